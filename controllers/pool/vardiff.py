"""Vardiff: the difficulty at which a machine brings as many shares a minute as are wanted of it.

It begins at the machine's nominal hash rate, or at what the machine suggests, and is looked at again every so often: when
the rate is off by more than chance and drift explain, the difficulty goes to where the rate would have been right, in
powers of two, which every firmware takes, and by a factor of sixteen at most.
"""

from __future__ import annotations

from math import log2
from typing import Final

from controllers.pool.settings import Vardiff
from fleet.units import HASHES_PER_DIFFICULTY, HASHES_PER_TERAHASH

_OFF: Final = 2.0
_STEP_MOST: Final = 16.0
_SURE_SHARES: Final = 30


class Varied:
    """The difficulty of one machine; times are the site's elapsed seconds."""

    __slots__ = ("_least", "_settings", "_shares", "_since_s", "difficulty")

    def __init__(self, settings: Vardiff, nominal_ths: float | None, now_s: float) -> None:
        self._settings = settings
        self._least = settings.least
        self._shares, self._since_s = 0, now_s
        start = settings.start
        if nominal_ths:
            start = nominal_ths * HASHES_PER_TERAHASH * 60 / HASHES_PER_DIFFICULTY / settings.shares_per_min
        self.difficulty = self._fit(start)

    def suggested(self, difficulty: float, now_s: float) -> None:
        """The machine would like this one."""
        self._shares, self._since_s = 0, now_s
        self.difficulty = self._fit(difficulty)

    def no_less(self, difficulty: float) -> None:
        """The machine can take no less than this."""
        self._least = max(self._settings.least, min(difficulty, self._settings.most))
        self.difficulty = self._fit(self.difficulty)

    def share(self) -> None:
        """One has come."""
        self._shares += 1

    def look(self, now_s: float) -> bool:
        """Is it time, and does the difficulty change?"""
        spent_s = now_s - self._since_s
        wanted = self._settings.shares_per_min * spent_s / 60
        # a machine that is far too fast is not let run on until its time is over
        due = spent_s >= self._settings.retarget_s or self._shares >= max(8 * wanted, _SURE_SHARES)
        if not due or spent_s <= 0:
            return False
        # half a share: a machine that has brought none is not infinitely slow
        ratio = max(self._shares, 0.5) / wanted
        self._shares, self._since_s = 0, now_s
        if 1 / _OFF <= ratio <= _OFF:
            return False
        before = self.difficulty
        self.difficulty = self._fit(before * min(max(ratio, 1 / _STEP_MOST), _STEP_MOST))
        return self.difficulty != before

    def _fit(self, difficulty: float) -> float:
        """The nearest power of two within bounds; a bound itself where that is beyond."""
        least, most = self._least, self._settings.most
        fitted: float = 2.0 ** round(log2(min(max(difficulty, least), most)))
        return min(max(fitted, least), most)
