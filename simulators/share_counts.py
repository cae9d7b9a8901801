"""ShareCounts: what n machines have counted of their shares, as columns; drawn from their hashes, or told by real mining.

A machine that does not mine for real finds shares as Poisson events in the hashes that it made, all of one difficulty,
and a few of them are refused. One that does (`tell`) has its counts from what its pools answered. Hardware errors grow
with the chip's heat for both; a machine that mines for real adds those of its shares that did not meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from fleet.columns import Bools, Floats, Ints
from fleet.units import HASHES_PER_DIFFICULTY, HASHES_PER_TERAHASH

REJECTED: Final = 0.002
STALE: Final = 0.0005
ERRORS_PER_TERAHASH: Final = 1e-4
"""Hardware errors at 75 degrees on the chip (the captured S19 Pro: 562 in 5.6e6 TH); they double every 7 degrees."""
WORKS: Final = ("accepted_work", "rejected_work", "stale_work")


class Counted(Protocol):
    """What one machine that mines for real has counted since the last time."""

    accepted: int
    rejected: int
    stale: int
    errors: int
    accepted_work: float
    rejected_work: float
    stale_work: float


@dataclass(slots=True)
class ShareCounts:
    """Columns, one row per machine: counts of the running process (`ever`: since the world began), and their difficulty.

    `difficulty[n]` is that of the shares that are found now; `told[n]`: counts come from real mining.
    """

    difficulty: Floats
    told: Bools
    ever: Ints
    errors_ever: Ints
    accepted: Ints
    rejected: Ints
    stale: Ints
    errors: Ints
    accepted_work: Floats
    rejected_work: Floats
    stale_work: Floats

    @classmethod
    def of(cls, difficulty: Floats) -> ShareCounts:
        """Nothing counted yet."""
        ever, errors_ever, accepted, rejected, stale, errors = np.zeros((6, len(difficulty)), np.int64)
        accepted_work, rejected_work, stale_work = np.zeros((3, len(difficulty)))
        return cls(
            difficulty,
            np.zeros(len(difficulty), np.bool_),
            ever,
            errors_ever,
            accepted,
            rejected,
            stale,
            errors,
            accepted_work,
            rejected_work,
            stale_work,
        )

    def draw(self, rows: slice | Ints, terahashes: Floats, chip_c: Floats, draws: np.random.Generator) -> None:
        """What `rows` find in so many terahashes. Every machine takes part in the draws, whoever uses them."""
        difficulty = self.difficulty[rows]
        shares = draws.poisson(terahashes * (HASHES_PER_TERAHASH / HASHES_PER_DIFFICULTY) / difficulty)
        rejected = draws.binomial(shares, REJECTED)
        stale = draws.binomial(shares - rejected, STALE)
        errors = draws.poisson(terahashes * ERRORS_PER_TERAHASH * np.exp2((chip_c - 75.0) / 7.0))
        drawn = ~self.told[rows]
        self._add(rows, (shares - rejected - stale) * drawn, rejected * drawn, stale * drawn)
        self.accepted_work[rows] += (shares - rejected - stale) * drawn * difficulty
        self.rejected_work[rows] += rejected * drawn * difficulty
        self.stale_work[rows] += stale * drawn * difficulty
        self.errors[rows] += errors
        self.errors_ever[rows] += errors

    def tell(self, rows: Ints) -> None:
        """From here on, the counts of `rows` are told."""
        self.told[rows] = True

    def take(self, rows: Ints, counted: Sequence[Counted], difficulty: Sequence[float]) -> None:
        """What `rows` counted since the last time, and the difficulty that they work at (0: as before)."""
        whole = np.array([(one.accepted, one.rejected, one.stale, one.errors) for one in counted], np.int64)
        accepted, rejected, stale, errors = whole.reshape(-1, 4).T
        self._add(rows, accepted, rejected, stale)
        self.errors[rows] += errors
        self.errors_ever[rows] += errors
        for name in WORKS:
            getattr(self, name)[rows] += [getattr(one, name) for one in counted]
        asked = np.array(difficulty)
        self.difficulty[rows] = np.where(asked > 0.0, asked, self.difficulty[rows])

    def _add(self, rows: slice | Ints, accepted: Ints, rejected: Ints, stale: Ints) -> None:
        self.accepted[rows] += accepted
        self.rejected[rows] += rejected
        self.stale[rows] += stale
        self.ever[rows] += accepted + rejected + stale

    def restart(self, rows: Ints) -> None:
        """The mining processes of `rows` begin anew, and count from zero."""
        for name in ("accepted", "rejected", "stale", "errors", *WORKS):
            getattr(self, name)[rows] = 0

    def settle(self) -> None:
        """What was counted so far was before the world began."""
        self.ever[:], self.errors_ever[:] = 0, 0
