"""Counting: one source's shares of the machines of a check, from each machine's first booking after its beginning on.

A booking that was under way when the check began covers time before it, so a machine's count begins with the next one.
The test is `fleet.work.proof.trial`'s; this keeps from when to when it counts, and notices when what was counted is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Final, Self

import numpy as np

from fleet.columns import Bools, Floats, Ints
from fleet.work.proof.evidence import Evidence, Verdict
from fleet.work.proof.share_check import ShareCheck
from fleet.work.proof.trial import Trial

_KEPT: Final = ("from_shares", "from_expected", "shares", "expected", "score", "took")
_SLACK: Final = 1e-6


def rows_of(evidence: Evidence, rows: Ints) -> Evidence:
    """The evidence of some machines."""
    return replace(evidence, **{field.name: getattr(evidence, field.name)[rows] for field in fields(evidence)})


@dataclass(frozen=True, eq=False)
class Counting:
    """One row a machine of the check: `trial`, counted `from_s` to `to_s` (NaN: not yet), `booked_s` when it began."""

    trial: Trial
    booked_s: Floats
    from_s: Floats
    to_s: Floats
    lost: int = 0
    """How often what had been counted of a machine was lost, and its count began anew."""

    @classmethod
    def begun(cls, evidence: Evidence, at_s: float) -> Counting:
        """Nothing counted yet."""
        unknown = np.full(len(evidence), np.nan)
        return cls(Trial.begun(evidence, at_s), np.array(evidence.booked_s), unknown, unknown.copy())

    def after(self, evidence: Evidence, check: ShareCheck, tests: int, counted_s: float | None) -> Counting:
        """With what has been counted by now; `tests` share the chance of a false alarm.

        `counted_s`: when the counts are of, where they are not of the moment of the booking (the tap's).
        """
        trial = self.trial
        moment_s = evidence.booked_s if counted_s is None else np.full(len(evidence), counted_s)
        begins, lost = self._begins(evidence), self._lost(evidence)
        fresh = begins | lost
        trial = replace(
            trial,
            from_shares=np.where(fresh, evidence.total_shares, trial.from_shares),
            from_expected=np.where(fresh, evidence.total_expected, trial.from_expected),
        )
        more = evidence.total_expected - trial.from_expected > trial.expected + _SLACK
        return replace(
            self,
            trial=trial.after(evidence, check, tests),
            booked_s=np.where(lost, evidence.booked_s, self.booked_s),
            from_s=np.where(lost, np.nan, np.where(begins, moment_s, self.from_s)),
            to_s=np.where(fresh, np.nan, np.where(more, moment_s, self.to_s)),
            lost=self.lost + int(lost.sum()),
        )

    def _begins(self, evidence: Evidence) -> Bools:
        """Machines with their first booking after the check's beginning."""
        # comparisons with NaN are false: one that was never booked before begins with its first booking
        booked = np.isfinite(evidence.booked_s) & ~(evidence.booked_s <= self.booked_s)
        begins: Bools = np.isnan(self.from_s) & booked
        return begins

    def _lost(self, evidence: Evidence) -> Bools:
        """Machines of which less has been counted than before: the daemon forgot, and begins anew."""
        lost: Bools = np.isfinite(self.from_s) & (evidence.total_expected < self.trial.from_expected - _SLACK)
        return lost

    @property
    def speaks(self) -> Bools:
        """Machines of which it has counted anything."""
        return self.trial.expected > 0

    def kept(self) -> dict[str, Any]:
        """As JSON values."""
        columns = {name: getattr(self.trial, name) for name in _KEPT}
        columns |= {"booked_s": self.booked_s, "from_s": self.from_s, "to_s": self.to_s}
        return {
            **{name: as_list(column) for name, column in columns.items()},
            "verdict": self.trial.verdict.tolist(),
            "began_s": self.trial.began_s,
            "lost": self.lost,
        }

    @classmethod
    def of(cls, kept: dict[str, Any]) -> Self:
        """From JSON values.

        Raises:
            KeyError, TypeError, ValueError: they are not what `kept` gives.
        """
        trial = Trial(
            began_s=float(kept["began_s"]),
            verdict=np.array([Verdict(code) for code in kept["verdict"]], np.int16),
            **{name: as_column(kept[name]) for name in _KEPT},
        )
        booked_s, from_s, to_s = (as_column(kept[name]) for name in ("booked_s", "from_s", "to_s"))
        return cls(trial, booked_s, from_s, to_s, int(kept["lost"]))


def as_list(column: Floats) -> list[float | None]:
    """A column as JSON has it; what is not finite is null."""
    return [value if np.isfinite(value) else None for value in column.tolist()]


def as_column(values: list[float | None]) -> Floats:
    """A column from JSON; null is NaN.

    Raises:
        TypeError, ValueError: it is no list of numbers.
    """
    return np.array([np.nan if value is None else float(value) for value in values], np.float64)
