"""World: a site's machines, their physics and their faults, served on loopback from one seed.

The roster says who stands where and on which address; the clock that is passed in says how fast time runs. A
background task steps the physics of all machines at once, and a machine that is read between two steps is stepped to
the moment when that is a second or more. Addresses are loopback and nothing else: each machine has its own 127.x.y.z
on the vendor's ports, either with a listener each or (`one_listener`) with one listener per port for all of
127.0.0.0/8.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import pi, sin
from types import TracebackType
from typing import Self, TypeAlias, cast

import numpy as np
from typing_extensions import override

from fleet.columns import Floats
from fleet.machine import Machine, Roster
from fleet.units import SECONDS_PER_DAY
from fleet.work.sha256d import Engine
from simulators.behaviour import family
from simulators.chain import Regtest
from simulators.clock import Clock
from simulators.faults import FaultPlan, Faults, Mishap, Quirk
from simulators.hardware import hardware
from simulators.instruments import Instruments, Telemetry
from simulators.mining.mine import Mine
from simulators.mining.work import Work
from simulators.physics import Physics, Spread, Truth
from simulators.unit import PoolSlot, Unit
from simulators.wire.antminer import AntminerConversation
from simulators.wire.antminer_web import AntminerWeb
from simulators.wire.conversation import Conversation
from simulators.wire.luxos import LuxosConversation, LuxosPage
from simulators.wire.pool import PretendPool
from simulators.wire.pool_api import PoolApiServer
from simulators.wire.pool_settings import PoolPlace
from simulators.wire.whatsminer_v2 import WhatsminerV2Conversation
from simulators.wire.whatsminer_v3 import WhatsminerConversation

Serve: TypeAlias = Callable[[Unit], Conversation]
PRIVILEGED = 1024
STEP_S = 1.0
MAX_STEP_S = 60.0
BEAT_S = 0.05
"""The background task's aim for the real time between two steps."""
BACKLOG = 4_096


@dataclass(frozen=True, slots=True)
class Weather:
    """Air at the intakes: a mean and the half swing of a day, warmest at 15:00 UTC."""

    mean_c: float = 25.0
    swing_c: float = 0.0

    def at(self, at_s: float) -> float:
        """The temperature at a time."""
        return self.mean_c + self.swing_c * sin(2.0 * pi * (at_s / SECONDS_PER_DAY - 0.375))


@dataclass(frozen=True, slots=True)
class Service:
    """One port of a dialect: its name in `Machine.ports`, the vendor's number, and the server.

    An optional one is left out where its port may not be bound.
    """

    name: str
    port: int
    serve: Serve
    optional: bool = False


DIALECTS: Mapping[str, tuple[Service, ...]] = {
    "luxos": (Service("api", 4028, LuxosConversation), Service("web", 80, LuxosPage, optional=True)),
    "antminer": (Service("api", 4028, AntminerConversation), Service("web", 80, AntminerWeb)),
    "whatsminer": (Service("api", 4433, WhatsminerConversation), Service("api_v2", 4028, WhatsminerV2Conversation)),
}
"""By `family` of the dialect."""


class World:
    """The pretend site. `async with world:` serves it.

    Args:
        roster: who stands where; hosts are 127.x.y.z, `Machine.ports` maps a service's port elsewhere.
        seed: everything random comes from it.
        clock: the world's time.
        faults: what goes wrong on the wire.
        claims: by machine id, what it multiplies its stated hash rates by (1.05 inflates by 5 %).
        weather: the air.
        spread: how machines differ and age.
        asleep: ids of machines that begin asleep.
        step_s: the shortest step of the background task, in the world's seconds.
        one_listener: one listener per port, bound to the loopback device (needs root), instead of one per machine;
            nobody else may listen on that port, on whatever address.
        work: who of the machines mines for real, where and how; nobody, unless given.
        pools: the pools of this world.
        engine: what hashes for those who mine for real; the fastest that is here, unless given.
        mine_at_once: mining begins with the world; else when it is asked to (`begin_mining`), and until then the
            shares of all machines are the physics' draws.

    Raises:
        ValueError: a host that is not loopback, or a dialect that nobody here speaks.
    """

    def __init__(
        self,
        roster: Roster,
        seed: int,
        clock: Clock,
        *,
        faults: FaultPlan | None = None,
        claims: Mapping[str, float] | None = None,
        weather: Weather | None = None,
        spread: Spread | None = None,
        asleep: Iterable[str] = (),
        step_s: float = STEP_S,
        one_listener: bool = False,
        work: Work | None = None,
        pools: Sequence[PoolPlace] = (),
        engine: Engine | None = None,
        mine_at_once: bool = True,
    ) -> None:
        for machine in roster.machines:
            if not ipaddress.ip_address(machine.host).is_loopback:
                raise ValueError(f"machine {machine.id!r}: host is {machine.host}, expected an address of 127.0.0.0/8")
            if family(machine.dialect) not in DIALECTS:
                raise ValueError(f"machine {machine.id!r}: no simulator speaks dialect {machine.dialect!r}")
        self.roster, self.seed, self.clock = roster, seed, clock
        self.weather, self.step_s, self.one_listener = weather or Weather(), step_s, one_listener
        self._claims: Floats = np.array([(claims or {}).get(machine.id, 1.0) for machine in roster.machines])
        self._faults = Faults(faults or FaultPlan(), [machine.id for machine in roster.machines], seed)
        self._spread = spread
        self._asleep = tuple(asleep)
        self._work, self._engine, self._at_once = work, engine, mine_at_once
        self.mine: Mine | None = None
        self._places = tuple(pools)
        self.pools: dict[str, PretendPool] = {}
        """By name."""
        self.pages: dict[str, PoolApiServer] = {}
        """What those tell over HTTP, by name."""
        self._servers: list[asyncio.Server] = []
        self._pulse: asyncio.Task[None] | None = None
        self.physics: Physics
        self.units: tuple[Unit, ...] = ()

    # ---------------------------------------------------------------------------------------------------- what is true

    @property
    def truth(self) -> Truth:
        """What is true of every machine, now."""
        self.advance()
        return self.physics.truth()

    @property
    def claims(self) -> Floats:
        """What each machine multiplies its stated hash rates by."""
        return self._claims

    def advance(self, least_s: float = 0.0) -> None:
        """Step everything to the clock's time, when that is more than `least_s` after the last step."""
        now = self.clock.now()
        if now - self.physics.at_s > least_s:
            ambient_c = self.weather.at(now)
            self.physics.step(now, ambient_c)
            self._instruments.ambient_c = ambient_c
            self._instruments.observe()

    # ------------------------------------------------------------------------------------- the ground under every unit

    def now(self) -> float:
        """UTC seconds of the world."""
        return self.clock.now()

    async def sleep(self, seconds: float) -> None:
        """Wait so many of the world's seconds."""
        await self.clock.sleep(seconds)

    def telemetry(self, row: int) -> Telemetry:
        """A machine's gauges, now."""
        self.advance(self.step_s)
        return self._instruments.telemetry(row)

    def command(self, row: int, mode: int) -> None:
        """Ask a machine for an operating point."""
        at_s = max(self.clock.now(), self.physics.at_s)
        self.physics.command(np.array([row]), np.array([mode]), at_s)

    def restart(self, row: int) -> None:
        """A mining process starts anew."""
        self.advance()
        self.physics.restart(np.array([row]), self.physics.at_s)

    def reboot(self, row: int) -> None:
        """A machine goes dark and comes back."""
        self.advance()
        self.physics.reboot(np.array([row]), self.physics.at_s)

    def dark(self, row: int) -> bool:
        """Is a machine rebooting?"""
        return bool(self.clock.now() < self.physics.dark_until_s[row])

    def mishap(self, row: int, *, write: bool) -> Mishap | None:
        """What goes wrong in a machine's next exchange."""
        return self._faults.next(row, self.clock.now(), write=write)

    def quirk(self, row: int, quirk: Quirk) -> bool:
        """Has a machine's firmware this quirk?"""
        return (row, quirk) in self._faults.quirks

    # --------------------------------------------------------------------------------------------------------- serving

    async def __aenter__(self) -> Self:
        """Begin: physics at the clock's time, listeners up, time running."""
        self._begin()
        try:
            await self._open_pools()
            await self._listen()
            if self._at_once:
                await self.begin_mining()
        except BaseException:
            await self._stop()
            raise
        self._pulse = asyncio.get_running_loop().create_task(self._run(), name="pretend world")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End: no listener, no task."""
        await self._stop()

    def _begin(self) -> None:
        machines = self.roster.machines
        fans = np.array([hardware(machine.model).fans for machine in machines], np.int64)
        top_rpm = np.array([float(hardware(machine.model).top_rpm) for machine in machines])
        now = self.clock.now()
        self.physics = Physics(
            self.roster, self.seed, at_s=now, spread=self._spread, fans=fans, ambient_c=self.weather.at(now)
        )
        if self._asleep:
            self.physics.begin_asleep(np.array([self.roster.index[machine] for machine in self._asleep]))
        self._instruments = Instruments(self.physics, self.seed, self._claims, top_rpm)
        self.units = tuple(Unit(self, row, machine) for row, machine in enumerate(machines))

    async def begin_mining(self) -> None:
        """Those who are to mine for real begin to, at the pools that they are given; a second time nothing happens."""
        if self._work is None or self.mine is not None:
            return
        self.advance()
        for unit in self.units:
            if self._work.pools and self._work.includes(unit.machine.id):
                user = f"{self._work.account}.{unit.machine.id}"
                unit.pools = [PoolSlot(url, user) for url in self._work.pools]
        self.mine = Mine(self, self._work, self._engine)
        await self.mine.start()

    async def _open_pools(self) -> None:
        for number, place in enumerate(self._places):
            chain = Regtest() if place.regtest else None
            pool = PretendPool(place.settings, self.clock, self.seed + number, chain=chain, troubles=place.troubles)
            self.pools[place.name] = pool
            await pool.start(place.host, place.port)
            if place.api_port is not None:
                self.pages[place.name] = PoolApiServer(pool, place.token)
                await self.pages[place.name].start(place.host, place.api_port)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        ports: dict[int, dict[str, tuple[Unit, Serve]]] = {}
        for unit in self.units:
            for service in DIALECTS[family(unit.machine.dialect)]:
                port = unit.machine.ports.get(service.name, service.port)
                if not service.optional or may_bind(port):
                    ports.setdefault(port, {})[unit.machine.host] = (unit, service.serve)
        for port, hosts in ports.items():
            if self.one_listener:
                doors = Doors(hosts)
                self._servers.append(await loop.create_server(doors, sock=loopback_socket(port), backlog=BACKLOG))
                continue
            for host, (unit, serve) in hosts.items():
                server = await loop.create_server(partial(serve, unit), host, port, backlog=BACKLOG)
                self._servers.append(server)

    async def _run(self) -> None:
        """Step the physics, as often as `step_s` and the pace of the clock allow."""
        loop, step_s = asyncio.get_running_loop(), self.step_s
        while True:
            began = loop.time()
            await self.clock.sleep(step_s)
            self.advance()
            took = loop.time() - began
            if took < BEAT_S / 2:
                step_s = min(step_s * 2.0, MAX_STEP_S)
            elif took > BEAT_S * 2:
                step_s = max(step_s / 2.0, self.step_s)

    async def _stop(self) -> None:
        if self._pulse is not None:
            self._pulse.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pulse
            self._pulse = None
        if self.mine is not None:
            await self.mine.stop()
        for pages in self.pages.values():
            await pages.close()
        for pool in self.pools.values():
            await pool.close()
        listeners, self._servers = self._servers, []
        for listener in listeners:
            listener.close()
        for unit in self.units:
            unit.hang_up()
        await asyncio.sleep(0)


def mapped(roster: Roster, shift: int) -> Roster:
    """The same site with the ports below 1024 moved up by `shift`: what can be served without privileges."""
    machines = [replace(machine, ports={**_privileged(machine, shift), **machine.ports}) for machine in roster.machines]
    return Roster(tuple(machines), roster.tree)


def _privileged(machine: Machine, shift: int) -> Mapping[str, int]:
    return {item.name: item.port + shift for item in DIALECTS[family(machine.dialect)] if item.port < PRIVILEGED}


def may_bind(port: int) -> bool:
    """May this process listen on the port?"""
    with socket.socket() as probe:
        try:
            probe.bind(("127.255.255.254", port))
        except PermissionError:
            return False
        except OSError:
            return True
    return True


def loopback_socket(port: int) -> socket.socket:
    """A socket for a port of all of 127.0.0.0/8: bound to the loopback device, so that no other network reaches it.

    Raises:
        PermissionError: without the right to bind to a device (root).
    """
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind(("0.0.0.0", port))  # noqa: S104  on the loopback device alone, by the line above
    except BaseException:
        listener.close()
        raise
    return listener


class Doors:
    """One listener for many machines: who was called is known by the address that the client connected to."""

    def __init__(self, hosts: Mapping[str, tuple[Unit, Serve]]) -> None:
        self._hosts = hosts

    def __call__(self) -> asyncio.Protocol:
        """A connection whose server is chosen when it is made."""
        return _Arrival(self._hosts)


class _Arrival(asyncio.Protocol):
    """A connection of which nobody knows yet whom it calls."""

    def __init__(self, hosts: Mapping[str, tuple[Unit, Serve]]) -> None:
        self._hosts = hosts

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand it to the machine at the address, or cut it where there is none."""
        stream = cast("asyncio.Transport", transport)
        found = self._hosts.get(stream.get_extra_info("sockname")[0])
        if found is None:
            stream.abort()
            return
        unit, serve = found
        conversation = serve(unit)
        stream.set_protocol(conversation)
        conversation.connection_made(stream)
