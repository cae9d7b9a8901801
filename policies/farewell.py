"""The declared farewell: what becomes of the machines when hashwatt stops or dies.

Pure, and the same for the daemon's orderly stop and for the guard: from the last beliefs to commands, in waves that keep
the stagger of starts by feeder. `leave` asks for nothing; `resume` wakes what hashwatt itself put to sleep (or was about
to); `sleep` puts all under live control to sleep, at once.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from fleet.columns import UNKNOWN, Bools, Ints
from fleet.command import Command, Urgency
from fleet.machine import SLEEP, Roster
from fleet.view import View

Farewell: TypeAlias = Literal["leave", "resume", "sleep"]
WHY = "farewell"


def farewell_waves(
    farewell: Farewell, view: View, roster: Roster, live: Bools, feeder: Ints, starts_per_feeder: int
) -> tuple[tuple[Command, ...], ...]:
    """Waves of commands, each to be started `starts_window_s` after the one before; none where nothing is to be done.

    `live[n]`: rows under live control, the only ones that are touched. `feeder[n]`: rows whose starts are staggered together.
    """
    match farewell:
        case "leave":
            return ()
        case "sleep":
            rows = np.flatnonzero(live & ((view.mode != SLEEP) | (view.wanted > SLEEP)))
            return (tuple(Command(int(row), SLEEP, WHY, Urgency.URGENT) for row in rows),) if len(rows) else ()
        case "resume":
            return _wakes(np.flatnonzero(live & ours_asleep(view)), roster, feeder, starts_per_feeder)


def ours_asleep(view: View) -> Bools:
    """rows[n] that hashwatt put to sleep, or asked to sleep without having heard, or was waking when it ended."""
    by_us = view.asleep_why != UNKNOWN
    asked = (view.wanted == SLEEP) | (view.doubt == SLEEP)
    waking = (view.mode == SLEEP) & (view.wanted > SLEEP)
    rows: Bools = (by_us & (view.mode <= SLEEP)) | asked | waking
    return rows


def _wakes(rows: Ints, roster: Roster, feeder: Ints, starts_per_feeder: int) -> tuple[tuple[Command, ...], ...]:
    """Rows to their usual mode, no more than so many of one feeder in a wave."""
    waves: list[list[Command]] = []
    count: dict[int, int] = {}
    for row in rows:
        place = int(feeder[row])
        wave, count[place] = count.get(place, 0) // max(starts_per_feeder, 1), count.get(place, 0) + 1
        while len(waves) <= wave:
            waves.append([])
        waves[wave].append(Command(int(row), int(roster.usual[row]), WHY))
    return tuple(tuple(wave) for wave in waves)
