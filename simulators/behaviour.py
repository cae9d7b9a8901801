"""Behaviour: how fast machines react, ramp and warm up, as columns.

Each dialect has ranges (LuxOS sleeps in under 5 s and hashes again in under 10 s; a stock Antminer takes 10 to 20 s to
sleep and 2 to 3 min and a warm-up to come back; a WhatsMiner stops in about 1 s, has its power back in 1 min and its
full hash rate after 6 to 10 min), and each machine draws its own place in them from the seed. `ideal` is the machine of
the backtest: it obeys at once, and a restart is `start_s` at full power without a hash.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fleet.columns import Bools, Floats, freeze_columns
from fleet.machine import Roster

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Pace:
    """Ranges in seconds within which the machines of one dialect lie.

    After a command the machine reacts in `sleep`, `wake` or `change`; from then power rises over `ramp`, no hash is
    made for `start`, and the hash rate rises over `warm`. `restarts`: going from one awake mode to another is a start.
    """

    sleep: Range
    wake: Range
    change: Range
    ramp: Range
    start: Range
    warm: Range
    boot: Range
    restarts: bool


PACES: dict[str, Pace] = {
    "luxos": Pace((1.0, 4.5), (1.0, 3.0), (1.0, 4.0), (1.0, 2.0), (1.0, 3.0), (1.0, 3.5), (50.0, 80.0), restarts=False),
    "antminer": Pace(
        (10.0, 20.0),
        (3.0, 10.0),
        (3.0, 10.0),
        (20.0, 40.0),
        (120.0, 170.0),
        (60.0, 180.0),
        (60.0, 110.0),
        restarts=True,
    ),
    "whatsminer": Pace(
        (0.5, 1.5), (1.0, 3.0), (2.0, 5.0), (20.0, 50.0), (30.0, 55.0), (335.0, 540.0), (60.0, 90.0), restarts=True
    ),
}


def family(dialect: str) -> str:
    """The dialect's key in the tables of the pretend world: "whatsminer_v3" and "whatsminer-v3" are "whatsminer"."""
    return dialect.replace("-", "_").split("_", 1)[0]


@dataclass(frozen=True, eq=False)
class Behaviour:
    """Seconds per machine: column names as in `Pace`."""

    sleep_s: Floats
    wake_s: Floats
    change_s: Floats
    ramp_s: Floats
    start_s: Floats
    warm_s: Floats
    boot_s: Floats
    restarts: Bools

    def __post_init__(self) -> None:
        """Read-only."""
        freeze_columns(self)

    @classmethod
    def ideal(cls, roster: Roster) -> Behaviour:
        """Obeys at once; a wake is `start_s` (the roster's) of full power without a hash; other changes are free."""
        zero = np.zeros(len(roster))
        return cls(
            sleep_s=zero,
            wake_s=zero.copy(),
            change_s=zero.copy(),
            ramp_s=zero.copy(),
            start_s=roster.start_s.copy(),
            warm_s=zero.copy(),
            boot_s=np.full(len(roster), 60.0),
            restarts=np.zeros(len(roster), np.bool_),
        )

    @classmethod
    def live(cls, roster: Roster, rng: np.random.Generator) -> Behaviour:
        """Each machine somewhere in its dialect's ranges; an unknown dialect starts in the roster's `start_s`."""
        n = len(roster)
        columns = {name: np.empty(n) for name in ("sleep", "wake", "change", "ramp", "start", "warm", "boot")}
        restarts = np.zeros(n, np.bool_)
        place = rng.random((n, len(columns)))
        for row, machine in enumerate(roster.machines):
            start = machine.start_s
            pace = PACES.get(family(machine.dialect)) or Pace(
                (1.0, 5.0), (1.0, 5.0), (1.0, 5.0), (1.0, 5.0), (start, start), (0.0, 0.0), (60.0, 90.0), restarts=True
            )
            restarts[row] = pace.restarts
            for column, (name, values) in enumerate(columns.items()):
                low, high = getattr(pace, name)
                values[row] = low + (high - low) * place[row, column]
        return cls(**{f"{name}_s": values for name, values in columns.items()}, restarts=restarts)
