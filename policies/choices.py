"""Choices: what is still allowed, and who took the rest away. May only narrow.

A wish is applied to all machines at once. Where it would leave a machine nothing, it is recorded as overruled there and
ignored: what a higher kind left stands. The first that removes an operating point is its reason.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fleet.columns import UNKNOWN, Bools, Codes, Floats, Ints, freeze_columns
from fleet.machine import Roster


@dataclass(frozen=True, eq=False)
class Choices:
    """allowed[n, k], removed_by[n, k] (an index into `reasons`, -1: not removed), urgent[n] (a safety or emergency wish
    took the present mode away), and `overruled`: (reason, machine) pairs whose wish would have left nothing.

    After dispatch also `target[n]` (the column chosen), `value_usd_h[n, k]` (what each point earns now; NaN when the market
    is not known), `power_w[n, k]`, `why[n]` (the reason of the target, an index into `reasons`) and `shadow_usd_mwh[m]` (what one more MW of cap would earn at each place).
    """

    reasons: tuple[str, ...]
    allowed: Bools
    removed_by: Codes
    urgent: Bools
    overruled: tuple[tuple[int, Ints], ...] = ()
    target: Codes | None = None
    value_usd_h: Floats | None = None
    power_w: Floats | None = None
    shadow_usd_mwh: Floats | None = None
    overloaded: Bools | None = None
    why: Codes | None = None

    def __post_init__(self) -> None:
        """Read-only."""
        freeze_columns(self)

    @classmethod
    def all(cls, roster: Roster, reasons: tuple[str, ...]) -> Choices:
        """Every operating point of every machine."""
        allowed = roster.modes.exists
        return cls(
            reasons=reasons,
            allowed=allowed,
            removed_by=np.full(allowed.shape, UNKNOWN, np.int16),
            urgent=np.zeros(len(allowed), np.bool_),
        )

    def narrow(self, reason: int, keep: Bools, mode: Codes, *, urgent: bool) -> Choices:
        """The choices left by a wish. `mode[n]` is where each machine is: losing it to an urgent wish makes the row urgent.

        Guarantees: the result's `allowed` is a subset of this one's, and no row of it is empty if none was before.
        """
        left = self.allowed & keep
        empty = ~left.any(axis=1)
        overruled = self.overruled
        if empty.any():
            left[empty] = self.allowed[empty]
            overruled = (*overruled, (reason, np.flatnonzero(empty)))
        removed = self.allowed & ~left
        rows = self.urgent
        if urgent:
            present = np.maximum(mode, 0)
            lost = removed[np.arange(len(mode)), present] & (mode >= 0)
            # A machine whose mode is not known, or off its ladder, may be at any of the points taken away.
            rows = rows | lost | ((mode < 0) & removed.any(axis=1))
        return replace(
            self,
            allowed=left,
            removed_by=np.where(removed, np.int16(reason), self.removed_by),
            urgent=rows,
            overruled=overruled,
        )
