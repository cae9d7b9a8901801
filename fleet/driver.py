"""The Driver protocol and its three errors.

A driver is one dialect's two sentences: read, and set a mode. It asks once; the next tick is the retry. It raises
exactly three errors, which tell who is to blame: nobody answered, the machine said no, or what it said made no sense.
"""

from __future__ import annotations

from typing import Protocol

from fleet.machine import Mode
from fleet.reading import Depth, Reading


class DriverError(Exception):
    """Why an exchange with a machine failed. The message names the machine's address, the exchange, and what came."""


class Unreachable(DriverError):
    """No answer within the deadline: no route, nobody listening, a connection cut, silence, a byte a second."""


class Refused(DriverError):
    """The machine answered and said no: wrong password, locked API, a command it rejects."""


class Unsupported(Refused):
    """The firmware has no such command; raised before anything is sent."""


class Garbled(DriverError):
    """The machine answered something that is not its protocol: broken JSON, a missing field, too many bytes."""


class Driver(Protocol):
    """One machine, spoken to in its dialect. Not safe for two exchanges at once: callers take turns per machine."""

    async def read(self, depth: Depth) -> Reading:
        """Ask for the state. `Depth.POOLS` fills `pools` and may leave the rest unknown.

        Raises:
            Unreachable, Refused, Garbled: as their names say.
        """
        ...

    async def set_mode(self, mode: Mode) -> None:
        """Ask the machine to take an operating point (`sleep` included). Returning means accepted, not done.

        Changes nothing else: never a pool, a password or a network setting.

        Raises:
            Unreachable, Refused, Unsupported, Garbled: as their names say.
        """
        ...

    async def close(self) -> None:
        """Let go of sessions and sockets; never raises."""
        ...
