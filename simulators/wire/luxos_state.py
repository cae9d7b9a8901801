"""What a LuxOS machine keeps besides its unit (session, switches), and what is fixed: its sensors and clocks."""

from __future__ import annotations

import asyncio
import re

from fleet.machine import SLEEP, Mode
from simulators.unit import Unit

SESSION_S = 60.0
CONNECTORS = ("J7", "J9", "J8")
POSITIONS = {
    "TopLeft": ("Board Exhaust (top)", [0, 0]),
    "TopRight": ("Board Intake (top)", [0, 1]),
    "BottomLeft": ("Board Exhaust (bottom)", [1, 0]),
    "BottomRight": ("Board Intake (bottom)", [1, 1]),
}


class LuxosState:
    """One machine's; a session ends a minute (real time) after it was last used."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.session = ""
        self.sessions = 0
        self.used_s = 0.0
        self.atm = True

    def live_session(self) -> str:
        """The session that is active now, or ""."""
        if self.session and asyncio.get_running_loop().time() - self.used_s > SESSION_S:
            self.session = ""
        return self.session

    def touch(self) -> None:
        """Count the minute anew."""
        self.used_s = asyncio.get_running_loop().time()

    def open(self) -> str:
        """A new session."""
        self.sessions += 1
        self.session = self.unit.token(f"session {self.sessions}")
        self.touch()
        return self.session


def frequency_mhz(modes: tuple[Mode, ...], column: int) -> int:
    """MHz of a profile by its name ("465MHz"); one named otherwise stands a step of 25 MHz above its neighbour."""
    for offset in (0, -1, 1):
        if SLEEP < column + offset < len(modes):
            found = re.fullmatch(r"(\d+)MHz", modes[column + offset].name)
            if found:
                return int(found[1]) - 25 * offset
    return 500
