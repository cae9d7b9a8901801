"""Vardiff: which difficulty gives a connection the shares a minute that its pool wants; pure, times are passed in.

The work of a window over its length is the connection's rate; the difficulty that fits is rounded to a power of two, and
is taken when the present one is well off it, so that noise moves nothing. A window is judged when it is over, or at once
when it is four times too full; one in which next to nothing came halves the difficulty.
"""

from __future__ import annotations

from math import isfinite, log2
from typing import Final

FEW_SHARES: Final = 8
"""Fewer say too little of a rate."""
FULL: Final = 4.0
WELL_OFF: Final = 1.8
"""By this factor."""
STEP_MOST: Final = 16.0
"""Upwards in one go …"""
STEP_LEAST: Final = 0.25
"""… and downwards."""
PATIENCE: Final = 8.0
"""Windows without enough shares until the difficulty is halved."""
EASED_MOST: Final = 4
"""So often without a share in between: one who sleeps must not wake to a flood of them."""


class Vardiff:
    """One connection's. `difficulty` is what is asked now; `wanted` shares a minute of 0 never move it."""

    def __init__(
        self, difficulty: float, least: float, most: float, wanted: float, window_s: float, at_s: float
    ) -> None:
        self._least, self._most, self._wanted, self._length_s = least, most, wanted, window_s
        self._since_s, self._work, self._shares, self._eased = at_s, 0.0, 0, 0
        self.difficulty = float(difficulty)

    def share(self, at_s: float, work: float) -> bool:
        """A good share of so much work; is there another difficulty now?"""
        self._work += work
        self._shares += 1
        self._eased = 0
        passed_s = at_s - self._since_s
        if passed_s > PATIENCE * self._length_s:
            # it may have slept: such a window says nothing of its rate
            return self.set(at_s, self.difficulty)
        over = passed_s >= self._length_s and self._shares >= FEW_SHARES
        full = self._shares >= max(FULL * self._wanted * self._length_s / 60.0, FEW_SHARES)
        if self._wanted <= 0 or passed_s <= 0 or not (over or full):
            return False
        fitting = self._work / passed_s * 60.0 / self._wanted
        near = self.difficulty / WELL_OFF < fitting < self.difficulty * WELL_OFF
        bounded = min(max(fitting, self.difficulty * STEP_LEAST), self.difficulty * STEP_MOST)
        return self.set(at_s, self.difficulty if near else bounded)

    def ease(self, at_s: float) -> bool:
        """Time passed; has the difficulty been halved for want of shares?"""
        passed_s = at_s - self._since_s
        due = self._wanted * passed_s / 60.0
        if due <= 0 or passed_s <= PATIENCE * self._length_s or self._shares >= due / FULL:
            return False
        if self._eased >= EASED_MOST:
            return False
        self._eased += 1
        return self.set(at_s, self.difficulty / 2.0)

    def raise_least(self, at_s: float, least: float) -> bool:
        """The miner wants no less than this (BIP 310); is that within what the pool gives?"""
        if not isfinite(least) or not 0.0 < least <= self._most:
            return False
        self._least = max(self._least, least)
        self.set(at_s, self.difficulty)
        return True

    def set(self, at_s: float, difficulty: float) -> bool:
        """The nearest power of two within the limits; is it another one? A window begins.

        Raises:
            ValueError: the difficulty is not a number.
        """
        fitting = min(max(difficulty, self._least), self._most)
        rounded = 2.0 ** round(log2(fitting))
        rounded = rounded if self._least <= rounded <= self._most else fitting
        self._since_s, self._work, self._shares = at_s, 0.0, 0
        changed = rounded != self.difficulty
        self.difficulty = rounded
        return changed
