"""Reading | Silence: what a machine said, or why it said nothing.

A field that a firmware does not report is None, never zero. Power that the machine did not measure is the operating
point's nameplate and marked as an estimate. Counters are the machine's own and may reset; who reads them handles that.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TypeAlias

from fleet.machine import Mode


class State(IntEnum):
    """What a machine is doing, as it says itself."""

    UNKNOWN = -1
    HASHING = 0
    STARTING = 1
    SLEEPING = 2
    FAULTED = 3


class Depth(IntEnum):
    """How much of a machine one look asks for."""

    LEAN = 0
    """Hash rate, power, temperatures, state, mode: what a tick needs."""
    FULL = 1
    """Everything the dialect has: identity, boards, fans, pools, counters, errors, its ladder of operating points."""
    POOLS = 2
    """The pools alone: what a write has to leave as it found it."""


class Cause(StrEnum):
    """Why there is no reading."""

    NEVER_ASKED = "never asked"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    GARBLED = "garbled"


@dataclass(frozen=True, slots=True)
class Pool:
    """One configured pool as the machine lists it; counters are the machine's own."""

    url: str
    user: str
    priority: int = 0
    active: bool | None = None
    accepted: int | None = None
    rejected: int | None = None

    @property
    def identity(self) -> tuple[int, str, str]:
        """What must not change unasked: the order, the address and the worker."""
        return (self.priority, self.url, self.user)


@dataclass(frozen=True, slots=True)
class Board:
    """One hash board: its own rate and temperatures."""

    hashrate_ths: float | None = None
    board_c: float | None = None
    chip_c: float | None = None
    chips: int | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a machine says it is."""

    model: str | None = None
    firmware: str | None = None
    mac: str | None = None
    serial: str | None = None
    hostname: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer of one machine. None is "did not say"; a lean look leaves the full look's fields None or empty.

    `mode` is the firmware's name of the operating point that is set (not whether it is reached), `SLEEP_NAME` when it
    is told to sleep. `hashrate_ths` is the shortest average that the firmware gives. `accepted_difficulty` is the sum
    of the difficulty of accepted shares, in difficulty-1 shares of 2**32 hashes.
    """

    state: State
    mode: str | None
    hashrate_ths: float | None
    power_w: float | None
    power_measured: bool = False
    chip_c: float | None = None
    board_c: float | None = None
    uptime_s: float | None = None
    accepted: int | None = None
    rejected: int | None = None
    stale: int | None = None
    hardware_errors: int | None = None
    accepted_difficulty: float | None = None
    share_difficulty: float | None = None
    fans_rpm: tuple[int, ...] = ()
    boards: tuple[Board, ...] = ()
    pools: tuple[Pool, ...] | None = None
    errors: tuple[str, ...] = ()
    identity: Identity | None = None
    ladder: tuple[Mode, ...] = ()
    depth: Depth = Depth.LEAN


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer, and why; `detail` is for people."""

    cause: Cause
    detail: str = ""


Answer: TypeAlias = Reading | Silence
