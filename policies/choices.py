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
    """What is left to choose from, and who took the rest away.

    allowed[n, k], removed_by[n, k] (an index into `reasons`, -1: not removed), urgent[n] (a safety or emergency wish
    took the present mode away), pinned[n] (off its ladder and held there: no command but a stronger wish's), and
    `overruled`: (reason, machines) whose wish would have left nothing, or had to yield to a cap.

    After dispatch also `target[n]` (the column chosen), `why[n]` (its reason, an index into `reasons`),
    `value_usd_h[n, k]` (what each point earns now; None when the market is not known), `power_w[n, k]` as calibrated,
    `shadow_usd_mwh[m]` (what one more MWh of cap would earn at each place) and `overloaded[m]` (the cap cannot be met).
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
    pinned: Bools | None = None

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

    def pin(self, rows: Bools) -> Choices:
        """Machines off their ladder that are to stay as they are, unless a stronger wish has already narrowed them."""
        free = (self.removed_by == UNKNOWN).all(axis=1)
        pinned = rows & free if self.pinned is None else self.pinned | (rows & free)
        return replace(self, pinned=pinned) if pinned.any() else self

    def narrow(self, reason: int, keep: Bools, mode: Codes, *, urgent: bool) -> Choices:
        """The choices left by a wish. `mode[n]` is where each machine is: losing it to an urgent wish makes the row urgent.

        Guarantees: the result's `allowed` is a subset of this one's, and no row of it is empty if none was before.
        """
        left = self.allowed & keep
        if self.pinned is not None:
            left[self.pinned] = self.allowed[self.pinned]
        empty = ~left.any(axis=1)
        overruled = self.overruled
        if empty.any():
            left[empty] = self.allowed[empty]
            overruled = (*overruled, (reason, np.flatnonzero(empty)))
        removed = self.allowed & ~left
        if not removed.any():
            return self if overruled is self.overruled else replace(self, overruled=overruled)
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
