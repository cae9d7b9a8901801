"""Losses: what became of the shares of a machine that were not credited to it, as the tap saw them over some time.

Between two counts of one life of the tap, every share is credited or flawed, and flaws have causes. Each cause's part of
all shares is what that cause explains of a shortfall; time away is part of the time that a machine could have worked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

import numpy as np

from fleet.columns import Floats, freeze_columns
from fleet.work.counted import Counted, Flaw


class Loss(IntEnum):
    """Why work is not credited; the columns of `Losses.part`."""

    FOREIGN = 0
    """It was done for a worker or an address that is not ours: a hidden fee."""
    AWAY = 1
    """The machine had no connection."""
    STALE = 2
    """It came for a job that had been replaced."""
    DUPLICATE = 3
    """It had been there before, or more came than are remembered, and nobody could tell."""
    ERRORS = 4
    """It was wrong: too easy, of no job of ours, with a wrong nonce, time or version, or no share at all."""
    REFUSED = 5
    """The pool refused what we found nothing wrong with (it is credited all the same)."""


_FLAWS: Final = {
    Loss.FOREIGN: (Flaw.FOREIGN,),
    Loss.STALE: (Flaw.STALE,),
    Loss.DUPLICATE: (Flaw.DUPLICATE, Flaw.CROWDED),
    Loss.ERRORS: (
        Flaw.LOW,
        Flaw.UNKNOWN_JOB,
        Flaw.EXTRANONCE,
        Flaw.TIME,
        Flaw.VERSION,
        Flaw.MALFORMED,
        Flaw.UNAUTHORIZED,
    ),
    Loss.REFUSED: (Flaw.REFUSED,),
}
IN_WORDS: Final = {
    Loss.FOREIGN: "for a worker that is not ours",
    Loss.AWAY: "of the time not connected",
    Loss.STALE: "stale",
    Loss.DUPLICATE: "duplicates",
    Loss.ERRORS: "wrong",
    Loss.REFUSED: "refused by the pool",
}


@dataclass(frozen=True, eq=False)
class Losses:
    """part[n, len(Loss)]: of all shares that came, or for AWAY of all time; 0 where there were none. Over `over_s` seconds."""

    part: Floats
    over_s: float

    def __post_init__(self) -> None:
        """Read-only."""
        freeze_columns(self)


def losses(counted: Counted, since: Counted | None = None) -> Losses:
    """What was lost since an earlier count of the same life of the tap (None, or of another life: since it began).

    `over_s` is the time between the two counts, 0 where there is no earlier one.
    """
    if since is not None and since.epoch != counted.epoch:
        since = None
    flawed = counted.flawed - (0.0 if since is None else since.flawed)
    shares = counted.shares - (0.0 if since is None else since.shares)
    away_s = counted.away_s - (0.0 if since is None else since.away_s)
    # what the pool refused is credited, and would be counted twice
    came = shares + flawed.sum(axis=1) - flawed[:, Flaw.REFUSED]
    part = np.zeros((len(counted), len(Loss)))
    for loss, flaws in _FLAWS.items():
        lost = flawed[:, list(flaws)].sum(axis=1)
        part[:, loss] = np.divide(lost, came, out=np.zeros(len(counted)), where=came > 0)
    over_s = 0.0 if since is None else counted.at_s - since.at_s
    if over_s > 0:
        part[:, Loss.AWAY] = np.clip(away_s / over_s, 0.0, 1.0)
    return Losses(part, over_s)


def marked(marks: tuple[Counted, ...], counted: Counted, window_s: float) -> tuple[Counted, ...]:
    """Counts to look back to: the older of at most two is one to two windows old once the tap has lived that long.

    A new life of the tap begins with its own first count.
    """
    if not marks or marks[-1].epoch != counted.epoch:
        return (counted,)
    if counted.at_s - marks[-1].at_s >= window_s:
        return (marks[-1], counted)
    return marks


def shifted(marks: tuple[Counted, ...], by_s: float) -> tuple[Counted, ...]:
    """The same on a clock that has stepped."""
    return tuple(replace(mark, at_s=mark.at_s + by_s, last_s=mark.last_s + by_s) for mark in marks)
