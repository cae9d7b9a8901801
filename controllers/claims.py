"""Claims: says once when a machine is found to deliver less than it claims, and once when that is over."""

from __future__ import annotations

from collections.abc import Callable

from fleet.work.evidence import Verdict
from policies.proof import Proof, short
from policies.record import Record
from policies.tick import Judgment


class Claims:
    """Watches the verdicts from record to record."""

    def __init__(self, judgment: Judgment, say: Callable[[str, str], None]) -> None:
        self._judgment, self._say = judgment, say
        self._short: frozenset[str] = frozenset()
        self.found_short: dict[str, Proof] = {}
        """Machines whose shares did not bear out their claim at some time since the start, as was first found."""

    def watch(self, record: Record) -> None:
        """Look at one record."""
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
