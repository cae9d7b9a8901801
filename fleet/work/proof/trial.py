"""Trial: a test on request, from a moment of somebody's choosing until it says short or honest; all machines at once.

Wald's sequential test over what a source's evidence has counted since: short at ln(1 / false_alarm), honest at ln(missed),
which bounds both chances however often it is looked at. It is one test's chance: who tries a thousand machines at once, or
hears several sources of each, divides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fleet.columns import Codes, Floats, freeze_columns
from fleet.work.proof.evidence import Delivered, over
from fleet.work.proof.running import Running, Verdict
from fleet.work.proof.share_check import ShareCheck


@dataclass(frozen=True, eq=False)
class Trial:
    """One row a machine: begun at `began_s`, when `from_shares` of `from_expected` had been counted ever.

    Since then `shares` of `expected`; `score` is the log-likelihood ratio of short against well; `verdict`, and the
    expected shares that it took (`took`, NaN: none yet), which stand once they are reached.
    """

    began_s: float
    from_shares: Floats
    from_expected: Floats
    shares: Floats
    expected: Floats
    score: Floats
    verdict: Codes
    took: Floats

    def __post_init__(self) -> None:
        """Read-only."""
        freeze_columns(self)

    @classmethod
    def begun(cls, evidence: Running, at_s: float) -> Trial:
        """A trial of every machine that begins now."""
        n = len(evidence)
        return cls(
            began_s=at_s,
            from_shares=evidence.total_shares,
            from_expected=evidence.total_expected,
            shares=np.zeros(n),
            expected=np.zeros(n),
            score=np.zeros(n),
            verdict=np.full(n, Verdict.UNTESTED, np.int16),
            took=np.full(n, np.nan),
        )

    def after(self, evidence: Running, check: ShareCheck, tests: int = 1) -> Trial:
        """The trial with what has been counted by now; so many `tests` at once share the chance of a false alarm."""
        shares, expected = evidence.total_shares - self.from_shares, evidence.total_expected - self.from_expected
        score = check.on_request.score(shares, expected)
        short_at, honest_at = check.one_shot(tests)
        ended = np.where(
            score >= short_at, Verdict.SHORT, np.where(score <= honest_at, Verdict.HONEST, Verdict.UNTESTED)
        )
        fresh = (self.verdict == Verdict.UNTESTED) & (ended != Verdict.UNTESTED)
        return replace(
            self,
            shares=shares,
            expected=expected,
            score=score,
            verdict=np.where(fresh, ended, self.verdict).astype(np.int16),
            took=np.where(fresh, expected, self.took),
        )

    def delivered(self, confidence: float = 0.95) -> Delivered:
        """What was delivered since the trial began, with its time-uniform interval."""
        return over(self.shares, self.expected, np.full(len(self.shares), self.began_s), confidence)
