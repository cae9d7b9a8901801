"""Counted: what the tap has counted of every machine's shares, as columns.

All counters only grow within one `epoch` (one life of the tap); with another epoch they begin anew at zero. A share is
credited with the difficulty that it was asked for, never with the one that it happened to reach, and `exposure` is what
turns a claim into the shares to expect: a machine that claims R TH/s throughout is expected to bring
`R * 1e12 / 2**32 * exposure` shares, whatever difficulties it was given in the meantime.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np

from fleet.columns import Bools, Floats, freeze_columns


class Flaw(IntEnum):
    """Why a share was not credited to its machine; the columns of `Counted.flawed`."""

    LOW = 0
    """Its hash does not reach the difficulty that was asked for."""
    DUPLICATE = 1
    """The same share was there before."""
    STALE = 2
    """Its job had been replaced, by `clean_jobs` or by a new block."""
    UNKNOWN_JOB = 3
    """No job of that id was sent on this session: made up, or replayed from another one."""
    EXTRANONCE = 4
    """Its second extranonce has the wrong size or is not the machine's own."""
    TIME = 5
    """Its time is before the job's or too far after it."""
    VERSION = 6
    """It rolled bits of the version that the pool's mask does not give."""
    FOREIGN = 7
    """It works for a worker or an address that is not ours: a hidden fee."""
    MALFORMED = 8
    """No share can be read from it."""
    UNAUTHORIZED = 9
    """No worker was authorized on this connection."""
    REFUSED = 10
    """We found nothing wrong with it, and the pool refused it all the same (it is credited, and counted here too)."""
    CROWDED = 11
    """More shares came for its job than are remembered: it might be a duplicate, and nobody could tell."""


@dataclass(frozen=True, eq=False)
class Counted:
    """Counters of all machines at `at_s` (UTC seconds), one row each in the roster's order.

    `shares[n]`: credited shares. `work[n]`: their difficulty, in difficulty-1 shares of 2**32 hashes.
    `exposure[n]`: the time integral of 1/difficulty, in seconds, while the tap was able to take a share of this machine
    (it had a job to give; time in which the machine itself was away is part of it up to a bound, see `away_s`).
    `away_s[n]`: seconds of `exposure`'s time in which the machine had no connection. `connected[n]`. `last_s[n]`: when
    the last share was credited (NaN: never). `difficulty[n]`: what is asked of it now (NaN: nothing).
    `flawed[n, len(Flaw)]`: shares not credited, by cause. `foreign_work[n]`: the difficulty of shares for workers that
    are not ours. `best[n]`: the hardest share so far.
    """

    at_s: float
    epoch: int
    shares: Floats
    work: Floats
    exposure: Floats
    away_s: Floats
    connected: Bools
    last_s: Floats
    difficulty: Floats
    flawed: Floats
    foreign_work: Floats
    best: Floats

    def __post_init__(self) -> None:
        """Read-only, one length."""
        freeze_columns(self)
        columns = [getattr(self, field.name) for field in fields(self) if field.name not in {"at_s", "epoch"}]
        if len({len(column) for column in columns}) != 1 or self.flawed.shape[1:] != (len(Flaw),):
            raise ValueError("the columns of what was counted are of different lengths")

    def __len__(self) -> int:
        """How many machines."""
        return len(self.shares)

    @classmethod
    def nothing(cls, n: int, at_s: float = 0.0, epoch: int = 0) -> Counted:
        """n machines that the tap has not seen."""

        def unknown() -> Floats:
            return np.full(n, np.nan)

        return cls(
            at_s=at_s,
            epoch=epoch,
            shares=np.zeros(n),
            work=np.zeros(n),
            exposure=np.zeros(n),
            away_s=np.zeros(n),
            connected=np.zeros(n, np.bool_),
            last_s=unknown(),
            difficulty=unknown(),
            flawed=np.zeros((n, len(Flaw))),
            foreign_work=np.zeros(n),
            best=np.zeros(n),
        )
