"""Claims: says once when a machine is found to deliver less than it claims, and once when that is over.

So it does of machines that have too many of their shares rejected or of their nonces wrong, by their own counters; and once
of a machine whose counter has jumped, for what cannot be is no share.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fleet.work.proof.evidence import Verdict
from fleet.work.proof.spoilt import Spoilt
from policies.proof import Proof, proof, short
from policies.record import Record
from policies.tick import Judgment


class Claims:
    """Watches the verdicts from record to record."""

    def __init__(self, judgment: Judgment, say: Callable[[str, str], None]) -> None:
        self._judgment, self._say = judgment, say
        self._short: frozenset[str] = frozenset()
        self._spoilt: dict[str, frozenset[int]] = {}
        self._jumped: frozenset[int] = frozenset()
        self.found_short: dict[str, Proof] = {}
        """Machines whose shares did not bear out their claim at some time since the start, as was first found."""

    def watch(self, record: Record) -> None:
        """Look at one record."""
        self._watch_spoilt(record, "rejected", record.view.rejects, "no more shares are rejected than may be")
        self._watch_spoilt(record, "hardware errors", record.view.errors, "no more nonces are wrong than may be")
        self._watch_jumps(record)
        judged = record.view.evidences.values()
        if not any((evidence.verdict == Verdict.SHORT).any() for evidence in judged) and not self._short:
            return
        found = {proof.machine: proof for proof in short(self._judgment, record)}
        for machine in found.keys() - self._short:
            self.found_short.setdefault(machine, found[machine])
            self._say("claim", found[machine].in_words())
        for machine in sorted(self._short - found.keys()):
            self._say("claim", f"{machine}: its shares bear out its claim again")
        self._short = frozenset(found)

    def _watch_spoilt(self, record: Record, kind: str, spoilt: Spoilt | None, over: str) -> None:
        """Shares that are rejected, or nonces that are wrong, by the machines' own counters."""
        found = frozenset() if spoilt is None else frozenset(np.flatnonzero(spoilt.verdict == Verdict.SHORT).tolist())
        before = self._spoilt.get(kind, frozenset())
        for row in sorted(found ^ before):
            machine, told = self._judgment.roster.machines[row].id, proof(self._judgment, record, row)
            said = told.rejects if kind == "rejected" else told.errors
            if row in before:
                self._say(kind, f"{machine}: {over}")
            elif said is not None:
                self._say(kind, f"{machine}: {said.in_words()}")
        self._spoilt[kind] = found

    def _watch_jumps(self, record: Record) -> None:
        """Counters that brought more than a machine can have hashed: said with the first such jump of each machine."""
        jumps = sum(evidence.jumps for evidence in record.view.evidences.values())
        for row in np.flatnonzero(jumps).tolist():
            if row in self._jumped:
                continue
            self._jumped |= {row}
            machine = self._judgment.roster.machines[row].id
            for said in proof(self._judgment, record, row).sources:
                if said.jumps:
                    self._say("jump", f"{machine}: {said.jumped()}")
