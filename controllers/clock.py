"""The only reader of wall time: UTC seconds anchored to the event loop's own time.

Between two looks at the wall the clock runs with the loop, so a tick never sees time jump; `check()` compares the two and
tells of a step (NTP, a suspended host), which the daemon records and shifts its beliefs by. A speed other than 1 is for
simulated sites alone: machines' and site's delays are then in simulated seconds, deadlines of the network stay real.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

_STEP_S = 2.0


def wall_s() -> float:
    """UTC seconds on the host's own clock, whatever a simulated site's says."""
    return time.time()


class Clock:
    """UTC seconds, at `speed` seconds per real second from `start_s` on (the wall clock's own where it is None).

    It runs with the event loop in which it was made (the host's monotonic time outside of one). `wall` is the host's own
    clock, which may be stepped.
    """

    def __init__(
        self, speed: float = 1.0, start_s: float | None = None, *, wall: Callable[[], float] = time.time
    ) -> None:
        if speed <= 0:
            raise ValueError(f"speed is {speed}, expected seconds per real second above 0")
        self.speed = speed
        self.simulated = start_s is not None or speed != 1.0
        self._wall = wall
        self._anchor_s = wall() if start_s is None else start_s
        try:
            self._real_s = asyncio.get_running_loop().time
        except RuntimeError:
            self._real_s = time.monotonic
        self._anchor_real_s = self._real_s()

    def now(self) -> float:
        """UTC seconds."""
        return self._anchor_s + (self._real_s() - self._anchor_real_s) * self.speed

    async def sleep(self, seconds: float) -> None:
        """Return when so many of this clock's seconds have passed."""
        await asyncio.sleep(max(seconds, 0.0) / self.speed)

    async def until(self, at_s: float) -> None:
        """Return at `at_s` or later."""
        await self.sleep(at_s - self.now())

    def check(self) -> float:
        """By how many seconds the wall clock has stepped since the last check, 0.0 if by none; the anchor follows it."""
        if self.simulated:
            return 0.0
        step_s = self._wall() - self.now()
        if abs(step_s) < _STEP_S:
            return 0.0
        self._anchor_s += step_s
        return step_s

    @classmethod
    def joining(cls, speed: float, start_s: float, anchor_real_s: float | None) -> Clock:
        """The clock of a simulated world that showed `start_s` at the real UTC second `anchor_real_s` (None: shows it now)."""
        ran_s = 0.0 if anchor_real_s is None else (time.time() - anchor_real_s) * speed
        return cls(speed, start_s + ran_s)
