"""Unit: one pretend machine as its own control board sees it.

What a wire server may ask and do: read the gauges, take an operating point, restart, reboot, keep pools and settings.
The physics and the faults of all machines stand behind it as columns; the unit is the edge, one object per machine.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol

from fleet.machine import SLEEP, Machine
from simulators.faults import Mishap, Quirk
from simulators.hardware import Hardware, hardware
from simulators.instruments import Telemetry
from simulators.mining.mined import SlotCount

if TYPE_CHECKING:
    from simulators.mining.machine import Miner

LAST_SHARE_S = 3.0
"""A machine that does not mine for real found its last share so long ago."""
BOOTED_BEFORE_S = 86_400.0
"""How long every machine has been up when the world begins."""


class Ground(Protocol):
    """What the world gives a unit; `row` is the machine's place in the roster."""

    seed: int

    def now(self) -> float:
        """UTC seconds of the world."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait so many of the world's seconds."""
        ...

    def telemetry(self, row: int) -> Telemetry:
        """The machine's gauges, now."""
        ...

    def command(self, row: int, mode: int) -> None:
        """Ask the machine for an operating point (a column of its ladder)."""
        ...

    def restart(self, row: int) -> None:
        """The mining process starts anew."""
        ...

    def reboot(self, row: int) -> None:
        """The machine goes dark and comes back."""
        ...

    def dark(self, row: int) -> bool:
        """Is the machine rebooting?"""
        ...

    def mishap(self, row: int, *, write: bool) -> Mishap | None:
        """What goes wrong in the next exchange."""
        ...

    def quirk(self, row: int, quirk: Quirk) -> bool:
        """Has the firmware this quirk?"""
        ...


@dataclass(slots=True)
class PoolSlot:
    """One configured pool."""

    url: str
    user: str
    password: str = "x"


class Unit:
    """One machine: who it is, what is configured on it, and its way to the world."""

    def __init__(self, ground: Ground, row: int, machine: Machine) -> None:
        self.ground, self.row, self.machine = ground, row, machine
        self.hardware: Hardware = hardware(machine.model)
        self.boots = 0
        self.obeys = True
        self.light = False
        self.clients = 0
        self.lines: set[asyncio.Transport] = set()
        self.remembered = machine.mode_named(machine.usual)
        self.settings: dict[str, int] = {}
        self.memory: dict[str, object] = {}
        """What a dialect keeps until the next boot."""
        self.booted_s = ground.now() - BOOTED_BEFORE_S
        mark = blake2b(f"{ground.seed}/{machine.id}".encode(), digest_size=16).hexdigest().upper()
        self.mac = "02:" + ":".join(mark[i : i + 2] for i in range(0, 10, 2))
        self.serial = f"HWSIM{mark[10:22]}"
        self.mark = mark.lower()
        self.hostname = machine.id
        worker = f"hashwatt.{machine.id}"
        self.pools = [PoolSlot(f"stratum+tcp://pool{i}.example.net:3333", worker) for i in ("", "2", "3")]
        self.preferred = 0
        """The pool that it is told to mine on, by its place."""
        self.mining: Miner | None = None
        """Its mining process, when it mines for real."""

    def token(self, purpose: str) -> str:
        """Eight letters that differ by machine, purpose and boot."""
        text = f"{self.ground.seed}/{self.machine.id}/{purpose}/{self.boots}"
        return blake2b(text.encode(), digest_size=4).hexdigest()

    def now(self) -> float:
        """UTC seconds of the world."""
        return self.ground.now()

    def telemetry(self) -> Telemetry:
        """The gauges, now."""
        return self.ground.telemetry(self.row)

    @property
    def dark(self) -> bool:
        """Is it rebooting?"""
        return self.ground.dark(self.row)

    def mishap(self, *, write: bool) -> Mishap | None:
        """What goes wrong in the next exchange."""
        return self.ground.mishap(self.row, write=write)

    def quirk(self, quirk: Quirk) -> bool:
        """Has the firmware this quirk?"""
        return self.ground.quirk(self.row, quirk)

    @property
    def active_pool(self) -> int:
        """The place of the pool that it works for, or worked for last."""
        return self.preferred if self.mining is None else self.mining.line.index

    def pool_count(self, telemetry: Telemetry, index: int) -> SlotCount:
        """What it has counted of one configured pool; without real mining, everything was the preferred one's."""
        if self.mining is not None:
            return self.mining.slot(index)
        if index != self.preferred or not self.pools[index].url:
            return SlotCount()
        t = telemetry
        return SlotCount(
            t.accepted,
            t.rejected,
            t.stale,
            t.accepted_work,
            t.rejected_work,
            t.stale_work,
            t.at_s - LAST_SHARE_S,
            t.share_difficulty,
            active=t.target != SLEEP,
            used=True,
        )

    def take(self, mode: int) -> None:
        """Take an operating point; a machine that is lying in this exchange does nothing."""
        if self.obeys:
            if mode != SLEEP:
                self.remembered = mode
            self.ground.command(self.row, mode)

    def keep(self, mode: int) -> None:
        """Take an awake operating point now, or keep it for the next wake when it sleeps."""
        if self.obeys:
            self.remembered = mode
            if self.telemetry().target != SLEEP:
                self.take(mode)

    def restart(self) -> None:
        """Start the mining process anew, unless lying."""
        if self.obeys:
            self.ground.restart(self.row)

    def reboot(self) -> None:
        """Go dark and come back, unless lying."""
        if self.obeys:
            self.boots += 1
            self.booted_s = self.now()
            self.memory.clear()
            self.ground.reboot(self.row)
            self.hang_up()

    def hang_up(self) -> None:
        """Cut every connection."""
        for line in tuple(self.lines):
            line.abort()

    def awake_mode(self, telemetry: Telemetry) -> int:
        """The operating point that counts when it is awake: the one asked for, or the one it will wake to."""
        return telemetry.target if telemetry.target != SLEEP else self.remembered
