"""Proof: what each machine's shares say of its claim, as a value for people and programs.

Rendered from the beliefs in a Record alone. The verdict is the sequential test's and holds however often it is looked at;
the interval is that of one look at the shares counted so far.
"""

from __future__ import annotations

import numpy as np

from fleet.work.evidence import Verdict, delivered
from policies.record import Record
from policies.shown import Shown
from policies.tick import Judgment


class Proof(Shown):
    """One machine's shares held against its claim."""

    machine: str
    verdict: str
    """untested, honest or short (it delivers less than it claims)."""
    since_s: float | None
    """When the verdict was reached (UTC seconds)."""
    delivered: float | None
    """Delivered over claimed."""
    interval: tuple[float, float] | None
    """95 % interval of it, at one look."""
    shares: float
    """Shares counted for it."""

    def in_words(self) -> str:
        """One line for people."""
        if self.delivered is None or self.interval is None:
            return f"{self.machine}: {self.verdict}"
        low, high = self.interval
        return (
            f"{self.machine} delivers {100 * self.delivered:.1f} % of what it claims, by its shares "
            f"(95 % interval {100 * low:.1f} to {100 * high:.1f})"
        )


def proofs(judgment: Judgment, record: Record) -> tuple[Proof, ...]:
    """Every machine's proof, in the roster's order."""
    evidence = record.view.evidence
    found = delivered(evidence)
    return tuple(
        Proof(
            machine=machine.id,
            verdict=Verdict(int(evidence.verdict[row])).name.lower(),
            since_s=float(evidence.verdict_s[row]) if np.isfinite(evidence.verdict_s[row]) else None,
            delivered=float(found.ratio[row]) if np.isfinite(found.ratio[row]) else None,
            interval=(float(found.low[row]), float(found.high[row])) if np.isfinite(found.ratio[row]) else None,
            shares=float(found.shares[row]),
        )
        for row, machine in enumerate(judgment.roster.machines)
    )


def short(judgment: Judgment, record: Record) -> tuple[Proof, ...]:
    """The machines whose shares do not bear out their claim."""
    return tuple(proof for proof in proofs(judgment, record) if proof.verdict == Verdict.SHORT.name.lower())
