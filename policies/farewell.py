"""The declared farewell: what becomes of the machines when hashwatt stops or dies.

Pure, and the same for the daemon's orderly stop and for the guard. `leave` asks for nothing; `resume` wakes what hashwatt
itself put to sleep (or was about to); `sleep` puts all under live control to sleep, at once. What is due when is the
shell's (`controllers.guard_duty`), from these beliefs and from what the machines show.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from fleet.columns import UNKNOWN, Bools
from fleet.machine import SLEEP
from fleet.view import View

Farewell: TypeAlias = Literal["leave", "resume", "sleep"]
WHY = "farewell"


def ours_asleep(view: View) -> Bools:
    """rows[n] that hashwatt put to sleep, or asked to sleep without having heard, or was waking when it ended."""
    by_us = view.asleep_why != UNKNOWN
    asked = (view.wanted == SLEEP) | (view.doubt == SLEEP)
    waking = (view.mode == SLEEP) & (view.wanted > SLEEP)
    rows: Bools = (by_us & (view.mode <= SLEEP)) | asked | waking
    return rows
