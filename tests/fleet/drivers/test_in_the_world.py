"""The drivers against the pretend world: two readings of the vendors' documents, by two hands, that have to agree."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from fleet.catalogue import NAMEPLATES, Nameplate, nameplate
from fleet.driver import Driver, DriverError, Refused, Unreachable
from fleet.drivers import open_driver
from fleet.links import Credentials
from fleet.machine import Machine, Mode, Roster
from fleet.reading import Depth, Pool, Reading, State
from simulators.clock import ScaledClock
from simulators.faults import Chances, Fault, FaultPlan, Scheduled
from simulators.world import World

FACTORY = {
    "luxos": Credentials(),
    "antminer": Credentials("root", "root"),
    "whatsminer-v3": Credentials("super", "super"),
}
MODELS = {"luxos": "Antminer S19k Pro", "antminer": "Antminer T21", "whatsminer-v3": "WhatsMiner M60S"}
DIALECTS = sorted(MODELS)
SPEED = 400.0


def free_net(worker: str) -> str:
    """A network of loopback for each worker of pytest-xdist."""
    return f"127.88.{int(worker.removeprefix('gw') or 0) + 1}" if worker != "master" else "127.88.250"


@pytest.fixture
def machine(request: pytest.FixtureRequest) -> Callable[[Nameplate], Machine]:
    """A machine of a nameplate at an address of its own, on mapped ports above 1024."""
    net = free_net(getattr(request.config, "workerinput", {"workerid": "master"})["workerid"])
    count = iter(range(1, 250))

    def make(plate: Nameplate) -> Machine:
        n = next(count)
        ports = {"api": 14028, "web": 18080, "api_v2": 14029}
        return Machine(
            f"m{n}",
            plate.model,
            plate.dialect,
            f"{net}.{n}",
            plate.modes,
            plate.usual,
            ports=ports,
            start_s=plate.start_s,
        )

    return make


Play = Callable[[World, Driver, Machine], Awaitable[Any]]


def play(
    machines: list[Machine], act: Callable[[World, list[Driver]], Awaitable[Any]], faults: FaultPlan | None = None
) -> Any:
    """Run an act in a world of these machines."""

    async def main() -> Any:
        clock = ScaledClock(1_700_000_000.0, SPEED)
        async with World(Roster.of(machines), 7, clock, faults=faults) as world:
            drivers = [
                open_driver(machine, FACTORY[machine.dialect], read_deadline_s=0.6, write_deadline_s=0.6)
                for machine in machines
            ]
            try:
                return await act(world, drivers)
            finally:
                for driver in drivers:
                    await driver.close()

    return asyncio.run(main())


async def until(world: World, driver: Driver, holds: Callable[[Reading], bool]) -> Reading:
    """The first lean reading of which it holds; an error in between is the wire's."""
    deadline = time.monotonic() + 12
    reading: Reading | None = None
    while time.monotonic() < deadline:
        reading = await driver.read(Depth.LEAN)
        if holds(reading):
            return reading
        await world.clock.sleep(5)
    raise AssertionError(f"it never came to that: {reading}")


def test_every_nameplate_is_read_true(machine: Callable[[Nameplate], Machine]) -> None:
    """A unit, a field or a sum taken wrongly by either side would show as a machine that is not what it is."""
    machines = [machine(plate) for plate in NAMEPLATES]

    async def act(world: World, drivers: list[Driver]) -> None:
        await world.clock.sleep(100)
        for row, (driver, one) in enumerate(zip(drivers, machines, strict=True)):
            lean, full = await driver.read(Depth.LEAN), await driver.read(Depth.FULL)
            for depth, reading in ((Depth.LEAN, lean), (Depth.FULL, full)):
                truth = world.truth
                assert (reading.state, reading.mode, reading.depth) == (State.HASHING, one.usual, depth), one
                assert reading.hashrate_ths == pytest.approx(truth.hashrate_ths[row], rel=0.06), one
                assert reading.power_w == pytest.approx(truth.power_w[row], rel=0.08), one
                assert reading.board_c == pytest.approx(truth.board_c[row], abs=12), one
                assert reading.errors == ()
            assert full.identity is not None
            assert full.identity.model is not None
            assert len(full.boards) == 3
            assert len(full.fans_rpm) >= 2
            if one.dialect == "luxos":
                assert full.ladder == one.modes[1:]

    play(machines, act)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_sleep_wake_and_every_point_between(machine: Callable[[Nameplate], Machine], dialect: str) -> None:
    """A command that one side means otherwise than the other would never be confirmed, or would take the pools along."""
    one = machine(nameplate(MODELS[dialect], dialect))
    points: list[Mode] = [one.modes[0], one.modes[-1], one.modes[1], one.modes[0], one.modes[one.mode_named(one.usual)]]

    async def act(world: World, drivers: list[Driver]) -> None:
        (driver,) = drivers
        pools = (await driver.read(Depth.POOLS)).pools
        for point in points:
            await driver.set_mode(point)
            told = await driver.read(Depth.LEAN)
            assert told.mode == point.name
            wanted = State.SLEEPING if point is one.modes[0] else State.HASHING
            reading = await until(world, driver, lambda seen, wanted=wanted: seen.state is wanted)  # type: ignore[misc]
            assert reading.mode == point.name
            assert one.modes[world.truth.target[0]].name == point.name
            assert (await driver.read(Depth.POOLS)).pools is not None
            assert identities((await driver.read(Depth.POOLS)).pools) == identities(pools)
            await driver.set_mode(point)  # again: nothing is sent
            assert (await driver.read(Depth.LEAN)).state in (wanted, State.STARTING)
        assert pools
        assert identities((await driver.read(Depth.FULL)).pools) == identities(pools)

    play([one], act)


def identities(pools: tuple[Pool, ...] | None) -> list[tuple[int, str, str]]:
    """What must not change."""
    return [pool.identity for pool in pools or ()]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_wake_looks_like_a_fault(machine: Callable[[Nameplate], Machine], dialect: str) -> None:
    """A safety policy that takes a start for a fault would send the machine back to sleep."""
    one = machine(nameplate(MODELS[dialect], dialect))

    async def act(world: World, drivers: list[Driver]) -> set[State]:
        (driver,) = drivers
        await driver.set_mode(one.modes[0])
        await until(world, driver, lambda reading: reading.state is State.SLEEPING)
        await driver.set_mode(one.modes[1])
        seen: set[State] = set()
        while State.HASHING not in seen:
            seen.add((await until(world, driver, lambda _: True)).state)
            await world.clock.sleep(2)
        return seen

    assert play([one], act) <= {State.SLEEPING, State.STARTING, State.HASHING}


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.LIE])
def test_a_fault_is_one_of_the_three_errors_in_time(machine: Callable[[Nameplate], Machine], fault: Fault) -> None:
    """Any other error, or a late one, would take the poller of a whole site along; one without an address helps nobody."""
    machines = [machine(nameplate(MODELS[dialect], dialect)) for dialect in DIALECTS]
    plan = FaultPlan(schedule=tuple(Scheduled(one.id, fault) for one in machines))

    async def attempts(one: Machine, driver: Driver) -> list[str]:
        met = []
        for attempt in (driver.read(Depth.LEAN), driver.read(Depth.FULL), driver.set_mode(one.modes[0])):
            try:
                await asyncio.wait_for(attempt, 5)
            except DriverError as error:
                met.append(str(error))
        return met

    async def act(_: World, drivers: list[Driver]) -> None:
        found = await asyncio.gather(*(attempts(one, driver) for one, driver in zip(machines, drivers, strict=True)))
        for one, met in zip(machines, found, strict=True):
            assert all(one.host in message for message in met), met
            assert fault in (Fault.SPLIT, Fault.DELAY, Fault.REBOOT) or met, one

    play(machines, act, plan)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_lie_is_found_by_reading_back(machine: Callable[[Nameplate], Machine], dialect: str) -> None:
    """A machine that says yes and goes on must not be believed: its reading says what it does."""
    one = machine(nameplate(MODELS[dialect], dialect))
    plan = FaultPlan(schedule=(Scheduled(one.id, Fault.LIE),))

    async def act(world: World, drivers: list[Driver]) -> Reading:
        await drivers[0].set_mode(one.modes[0])
        await world.clock.sleep(120)
        return await drivers[0].read(Depth.LEAN)

    reading = play([one], act, plan)
    assert reading.state is State.HASHING


def test_a_rough_site_is_read_for_an_hour(machine: Callable[[Nameplate], Machine]) -> None:
    """Faults that come and go must leave nothing behind in a driver: most looks succeed, and those that do are true."""
    machines = [machine(nameplate(MODELS[dialect], dialect)) for dialect in DIALECTS for _ in range(4)]
    rough = FaultPlan(
        everyone=Chances(drop=0.03, delay=0.03, split=0.1, garble=0.03, refuse=0.03, hang=0.01, delay_s=0.2)
    )

    async def act(world: World, drivers: list[Driver]) -> tuple[int, int]:
        good = bad = 0
        await world.clock.sleep(100)
        for _ in range(8):
            answers = await asyncio.gather(*(driver.read(Depth.LEAN) for driver in drivers), return_exceptions=True)
            for row, answer in enumerate(answers):
                if isinstance(answer, Reading):
                    good += 1
                    assert answer.state in (State.HASHING, State.UNKNOWN)
                    assert answer.hashrate_ths is None or answer.hashrate_ths == pytest.approx(
                        world.truth.hashrate_ths[row], rel=0.1
                    )
                else:
                    assert isinstance(answer, DriverError), answer
                    bad += 1
            await world.clock.sleep(60)
        return good, bad

    good, bad = play(machines, act, rough)
    assert good > 4 * bad > 0


@pytest.mark.parametrize("dialect", ["antminer", "whatsminer-v3"])
def test_a_wrong_password_is_refused_by_the_world_too(machine: Callable[[Nameplate], Machine], dialect: str) -> None:
    """A driver that signs wrongly, and a world that does not look, would agree with one another."""
    one = machine(nameplate(MODELS[dialect], dialect))

    async def act(world: World, drivers: list[Driver]) -> None:
        wrong = open_driver(one, Credentials("super", "wrong"), read_deadline_s=1, write_deadline_s=1)
        with pytest.raises(Refused):
            await wrong.set_mode(one.modes[0])
        assert world.truth.target[0] != 0

    play([one], act)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_machine_that_is_not_there(machine: Callable[[Nameplate], Machine], dialect: str) -> None:
    """The commonest fault of all."""
    here = machine(nameplate(MODELS[dialect], dialect))
    gone = replace(here, host="127.88.251.9")

    async def act(world: World, drivers: list[Driver]) -> None:
        missing = open_driver(gone, FACTORY[dialect], read_deadline_s=1, write_deadline_s=1)
        for attempt in (missing.read(Depth.LEAN), missing.read(Depth.POOLS), missing.set_mode(gone.modes[0])):
            with pytest.raises(Unreachable):
                await attempt

    play([here], act)
