"""The clock of the pretend world: UTC seconds that may run faster than the wall.

The world is handed its clock, so that it can run at 1x beside a real daemon, at 1,000x in a demo, and on a virtual loop
in tests. Machines react in this clock's seconds; deadlines of the network stay in the event loop's.
"""

from __future__ import annotations

import asyncio
from typing import Protocol


class Clock(Protocol):
    """What the world needs of time."""

    @property
    def speed(self) -> float:
        """Seconds of the world per real second."""
        ...

    def now(self) -> float:
        """UTC seconds of the world."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return when so many of the world's seconds have passed."""
        ...


class ScaledClock:
    """The event loop's time, from `start_s` (UTC seconds) at `speed` seconds of the world per second of the loop.

    It starts to run when it is first read inside a loop.
    """

    def __init__(self, start_s: float, speed: float = 1.0) -> None:
        if not 0.001 <= speed <= 1_000_000:
            raise ValueError(f"speed is {speed}, expected 0.001 to 1,000,000 seconds of the world per second")
        self.start_s = start_s
        self._speed = speed
        self._anchor_s: float | None = None

    @property
    def speed(self) -> float:
        """Seconds of the world per second of the loop."""
        return self._speed

    def now(self) -> float:
        """UTC seconds of the world."""
        loop_s = asyncio.get_running_loop().time()
        if self._anchor_s is None:
            self._anchor_s = loop_s
        return self.start_s + (loop_s - self._anchor_s) * self._speed

    async def sleep(self, seconds: float) -> None:
        """Return when so many of the world's seconds have passed."""
        self.now()
        await asyncio.sleep(max(0.0, seconds) / self._speed)
