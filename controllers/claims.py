"""Claims: says once when a machine is found to deliver less than it claims, and once when that is over.

So it does of machines that have too many of their shares rejected, by their own counters.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fleet.work.evidence import Verdict
from policies.proof import Proof, proof, short
from policies.record import Record
from policies.tick import Judgment


class Claims:
    """Watches the verdicts from record to record."""

    def __init__(self, judgment: Judgment, say: Callable[[str, str], None]) -> None:
        self._judgment, self._say = judgment, say
        self._short: frozenset[str] = frozenset()
        self._rejected: frozenset[int] = frozenset()
        self.found_short: dict[str, Proof] = {}
        """Machines whose shares did not bear out their claim at some time since the start, as was first found."""

    def watch(self, record: Record) -> None:
        """Look at one record."""
        self._watch_rejects(record)
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

    def _watch_rejects(self, record: Record) -> None:
        """Shares that are rejected, by the machines' own counters."""
        rejects = record.view.rejects
        found = frozenset() if rejects is None else frozenset(np.flatnonzero(rejects.verdict == Verdict.SHORT).tolist())
        for row in sorted(found ^ self._rejected):
            machine, told = self._judgment.roster.machines[row].id, proof(self._judgment, record, row).rejects
            if row in self._rejected:
                self._say("rejected", f"{machine}: no more shares are rejected than may be")
            elif told is not None:
                self._say("rejected", f"{machine}: {told.in_words()}")
        self._rejected = found
