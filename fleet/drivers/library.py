"""What both library drivers need: a deadline that holds whatever a library does, and honest words for its answers.

The libraries answer for machines that we do not speak to natively. Their answers are ambiguous (True for a refusal,
an object for a dead machine), so nothing they say about a write is believed, and a reading without a hash rate, a
power and a temperature is none. Confirmation is the caller's read-back.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

from fleet.driver import DriverError, Garbled, Refused, Unreachable, Unsupported
from fleet.drivers.values import mode_of
from fleet.machine import SLEEP_NAME, Machine, Mode
from fleet.reading import State

_T = TypeVar("_T")
POWER_LIMIT: Final = re.compile(r"(\d{1,5})W")
"""The name of an operating point that is a power limit in W."""


async def bounded(call: Awaitable[_T], deadline_s: float, where: str) -> _T:
    """What a library's call returns, within a deadline that holds even if the call ignores being cancelled.

    Raises:
        Unreachable: the deadline passed, or the library says that it could not connect.
        Garbled: the library failed in another way; the message has the kind of its error and not its words, which may
            quote a request with a password in it.
    """
    task = asyncio.ensure_future(call)
    try:
        done, _ = await asyncio.wait({task}, timeout=deadline_s)
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(_forget)
    if not done:
        raise Unreachable(f"{where}: no answer in {deadline_s:g} s")
    try:
        return task.result()
    except DriverError:
        raise
    except (OSError, TimeoutError) as error:
        raise Unreachable(f"{where}: {type(error).__name__}") from error
    except asyncio.CancelledError as error:
        raise Unreachable(f"{where}: cancelled by the library") from error
    except Exception as error:  # a library may raise anything at all
        raise Garbled(f"{where}: the library failed with {type(error).__name__}") from error


def _forget(task: asyncio.Future[Any]) -> None:
    """Take the late outcome of a call that was given up, so that nobody is told of it."""
    if not task.cancelled():
        task.exception()


def accepted(answer: Any, where: str) -> None:
    """False is a refusal; anything else is only "sent".

    Raises:
        Refused: the library says that the machine said no.
    """
    if answer is False or answer is None:
        raise Refused(f"{where}: the library reports that it was not accepted")


def reachable_by_library(machine: Machine, library: str) -> None:
    """The libraries know the vendors' own ports only.

    Raises:
        Unsupported: the machine's ports are mapped.
    """
    if machine.ports:
        raise Unsupported(
            f"{machine.host}: {library} speaks to the vendors' own ports only, and this machine's are mapped"
        )


def mode_set(machine: Machine, name: str | None, *, sleeps: bool) -> str | None:
    """The name of the operating point that is set, from what the library says of it.

    A machine that has one point besides sleep is at it when it is awake; firmware behind a library often names none.
    """
    if sleeps:
        return SLEEP_NAME
    if name is None and len(machine.modes) == 2:
        return machine.modes[1].name
    return name


def mode_by_power(machine: Machine, limit_w: float | None) -> str | None:
    """The name of the operating point that a power target stands for: one of the machine's, else the target itself."""
    if limit_w is None:
        return None
    near = [mode.name for mode in machine.modes[1:] if abs(mode.power_w - limit_w) < 1.0]
    return near[0] if near else f"{limit_w:.0f}W"


def power_of(machine: Machine, said_w: float | None, mode: str | None, state: State) -> tuple[float | None, bool]:
    """The power and whether it was measured; the nameplate's of what the machine is seen to do where it says none."""
    if said_w is not None:
        return said_w, True
    point = mode_of(machine, mode)
    fits = point is not None and (state is State.SLEEPING) == (mode == SLEEP_NAME)
    return (point.power_w if point and fits and state in (State.HASHING, State.SLEEPING) else None), False


def wakes_to(machine: Machine, mode: Mode) -> bool:
    """Whether waking alone takes the machine to this operating point."""
    return len(machine.modes) == 2 and mode.name == machine.modes[1].name


def state_of(*, hashes: bool, sleeps: bool, said: State = State.UNKNOWN) -> State:
    """Hashing is seen; what the library says comes after that."""
    if hashes:
        return State.HASHING
    return said if said not in (State.UNKNOWN, State.HASHING) else State.SLEEPING if sleeps else State.UNKNOWN
