"""Snapshot: everything one tick may know, frozen, with its own time.

Pollers fill the latest readings all the time, each machine at its own pace; a tick works on an image of what is known
at one moment, each value with the time at which it was heard. Nothing reads the world twice in one tick.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fleet.columns import UNKNOWN, Bools, Codes, Floats, freeze_columns
from fleet.command import Outcomes
from fleet.market import Market
from fleet.meter import Meter
from fleet.order import Order
from fleet.reading import State
from fleet.work.counted import Counted
from fleet.work.pool_told import PoolTold


@dataclass(frozen=True, eq=False)
class Heard:
    """The last answer of each machine, as columns; NaN, -1 and UNKNOWN are "not known".

    `at_s[n]` is when it last gave a reading (NaN: never), `asked_s[n]` when it was last asked, with an answer or without
    (NaN: never), `counted_s[n]` when `accepted_difficulty` was last part of a reading (NaN: never). The other columns
    are those of the last reading, however old; `silent[n]` is true when the last asking gave none.
    """

    at_s: Floats
    asked_s: Floats
    counted_s: Floats
    silent: Bools
    state: Codes
    mode: Codes
    hashrate_ths: Floats
    power_w: Floats
    measured: Bools
    chip_c: Floats
    board_c: Floats
    uptime_s: Floats
    accepted: Floats
    rejected: Floats
    hardware_errors: Floats
    accepted_difficulty: Floats
    share_difficulty: Floats

    def __post_init__(self) -> None:
        """Read-only."""
        freeze_columns(self)

    @classmethod
    def nothing(cls, n: int) -> Heard:
        """n machines that were never asked."""

        def unknown() -> Floats:
            return np.full(n, np.nan)

        return cls(
            at_s=unknown(),
            asked_s=unknown(),
            counted_s=unknown(),
            silent=np.zeros(n, np.bool_),
            state=np.full(n, State.UNKNOWN, np.int16),
            mode=np.full(n, UNKNOWN, np.int16),
            hashrate_ths=unknown(),
            power_w=unknown(),
            measured=np.zeros(n, np.bool_),
            chip_c=unknown(),
            board_c=unknown(),
            uptime_s=unknown(),
            accepted=unknown(),
            rejected=unknown(),
            hardware_errors=unknown(),
            accepted_difficulty=unknown(),
            share_difficulty=unknown(),
        )

    def __len__(self) -> int:
        """How many machines."""
        return len(self.at_s)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The process image of one tick. `at_s` is the only time that the tick knows (UTC seconds).

    `counted` is what the tap has counted, and `pool_told` what pools' APIs say of the workers; None where the site has none,
    or it has said nothing yet.
    """

    at_s: float
    heard: Heard
    market: Market = field(default_factory=Market)
    meters: tuple[Meter, ...] = ()
    orders: tuple[Order, ...] = ()
    outcomes: Outcomes = field(default_factory=Outcomes)
    counted: Counted | None = None
    pool_told: PoolTold | None = None
