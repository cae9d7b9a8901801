"""World: served on loopback only, from one seed, at any speed, with a listener each or one for all."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import async_solipsism
import numpy as np
import pytest

from fleet.catalogue import ANTMINER, LUXOS, WHATSMINER
from fleet.machine import SLEEP, Machine, Roster
from fleet.reading import State
from simulators.clock import ScaledClock
from simulators.scenarios import SCENARIOS, scenario
from simulators.scenarios.demo import CHEAT, CLAIM
from simulators.world import Weather, World, loopback_socket, mapped

START_S = 1.79e9
Make = Callable[..., Machine]
Until = Callable[[Callable[[], bool]], Awaitable[None]]


def may_bind_devices() -> bool:
    """May this process bind a socket to the loopback device?"""
    try:
        loopback_socket(0).close()
    except PermissionError:
        return False
    return True


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


async def summary(host: str, port: int = 4028) -> Any:
    """One machine's `summary`."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b'{"command":"summary"}')
    raw = await reader.read()
    writer.close()
    return json.loads(raw[:-1])["SUMMARY"][0]


def test_no_address_but_loopback(machine: Make) -> None:
    """If this fails, the pretend world can be put on a real network."""
    for host in ("10.0.0.1", "0.0.0.0", "192.168.1.1"):
        with pytest.raises(ValueError, match="expected an address of 127"):
            World(Roster.of([machine(LUXOS, host=host)]), 1, ScaledClock(START_S))


def test_no_unknown_dialect(machine: Make) -> None:
    """If this fails, a machine that nobody simulates is silently missing."""
    with pytest.raises(ValueError, match="no simulator speaks dialect 'vnish'"):
        World(Roster.of([replace(machine(LUXOS), dialect="vnish")]), 1, ScaledClock(START_S))


@pytest.mark.parametrize("one_listener", [False, True])
def test_each_machine_has_its_own_address(machine: Make, one_listener: bool) -> None:
    """If this fails, machines answer for one another."""
    if one_listener and not may_bind_devices():
        pytest.skip("binding to the loopback device needs root")
    api, web = free_ports(2)
    roster = Roster.of([machine(LUXOS, number, ports={"api": api, "web": web}) for number in range(1, 31)])

    async def run() -> tuple[list[Any], Any]:
        async with World(roster, 9, ScaledClock(START_S), one_listener=one_listener) as world:
            said = await asyncio.gather(*(summary(one.host, api) for one in roster.machines))
            return said, world.truth

    said, truth = asyncio.run(run())
    rates = [entry["GHS 5s"] / 1e3 for entry in said]
    assert rates == pytest.approx(truth.hashrate_ths, rel=0.04)
    assert len(set(rates)) == 30


def test_one_listener_knows_no_strangers(machine: Make, block: str) -> None:
    """If this fails, an address without a machine answers."""
    if not may_bind_devices():
        pytest.skip("binding to the loopback device needs root")
    api, web = free_ports(2)
    roster = Roster.of([machine(LUXOS, 1, ports={"api": api, "web": web})])

    async def run() -> bytes:
        async with World(roster, 9, ScaledClock(START_S), one_listener=True):
            reader, writer = await asyncio.open_connection(f"{block}.77", api)
            try:
                writer.write(b'{"command":"summary"}')
                return await reader.read()
            except ConnectionError:
                return b""
            finally:
                writer.close()

    assert asyncio.run(run()) == b""


def test_the_loopback_socket_is_bound_to_the_loopback_device() -> None:
    """If this fails, `one_listener` listens on every network of the host."""
    if not may_bind_devices():
        pytest.skip("binding to the loopback device needs root")
    with loopback_socket(0) as listener:
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\0") == b"lo"


def test_mapped_ports_need_no_privileges(machine: Make) -> None:
    """If this fails, the world cannot be served without root."""
    roster = mapped(Roster.of([machine(ANTMINER, 1), machine(LUXOS, 2), machine(WHATSMINER, 3)]), 8_000)
    assert [dict(one.ports) for one in roster.machines] == [{"web": 8_080}, {"web": 8_080}, {}]


@pytest.mark.parametrize("speed", [1.0, 60.0, 1_000.0])
def test_time_runs_as_fast_as_the_clock(machine: Make, until: Until, speed: float) -> None:
    """If this fails, a fast clock makes other energy than a slow one."""
    roster = Roster.of([machine(LUXOS)])

    async def run() -> tuple[float, float, float]:
        async with World(roster, 9, ScaledClock(START_S, speed)) as world:
            first = world.truth
            await until(lambda: world.clock.now() - first.at_s > 0.2 * speed)
            last = world.truth
            return last.at_s - first.at_s, float(last.energy_j[0] - first.energy_j[0]), float(first.power_w[0])

    seconds, joules, watts = asyncio.run(run())
    assert joules == pytest.approx(seconds * watts, rel=1e-3)


def test_one_seed_reproduces_a_day_on_the_virtual_clock(machine: Make) -> None:
    """If this fails, law 10 is broken: a failing day cannot be played again."""

    async def day(seed: int) -> tuple[list[Any], Any]:
        roster = Roster.of([machine(LUXOS, 1), machine(LUXOS, 2)])
        said = []
        async with World(roster, seed, ScaledClock(START_S), weather=Weather(25, 8), step_s=60.0) as world:
            for hour in range(24):
                world.command(hour % 2, SLEEP if hour % 3 else 17)
                await asyncio.sleep(3_600)
                said.append([await summary(one.host) for one in roster.machines])
            return said, world.truth

    def played(seed: int) -> tuple[list[Any], Any]:
        with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
            return runner.run(day(seed))

    (first, truth), (second, again), (other, _) = played(1), played(1), played(2)
    assert first == second
    assert np.array_equal(truth.energy_j, again.energy_j)
    assert first != other


def test_truth_is_a_copy_that_nobody_can_change(machine: Make) -> None:
    """If this fails, who looks at the truth can change it, or sees it change."""

    async def run() -> None:
        async with World(Roster.of([machine(LUXOS)]), 1, ScaledClock(START_S, 100.0)) as world:
            truth = world.truth
            before = truth.energy_j.copy()
            await asyncio.sleep(0.05)
            assert world.truth.energy_j[0] > before[0]
            assert np.array_equal(truth.energy_j, before)
            with pytest.raises(ValueError, match="read-only"):
                truth.energy_j[0] = 0.0

    asyncio.run(run())


def test_machines_may_begin_asleep(machine: Make) -> None:
    """If this fails, a daemon cannot be tested on a site that it finds curtailed."""

    async def run() -> tuple[Any, Any]:
        one = machine(LUXOS)
        async with World(Roster.of([one]), 1, ScaledClock(START_S), asleep=[one.id]) as world:
            return world.truth, await summary(one.host)

    truth, said = asyncio.run(run())
    assert (truth.state[0], said["GHS 5s"]) == (State.SLEEPING, 0.0)
    assert truth.power_w[0] < 40
    assert truth.chip_c[0] < 40


def test_a_world_leaves_nothing_behind(machine: Make) -> None:
    """If this fails, listeners or connections outlive the world, and the next one cannot begin."""

    async def run() -> list[bytes]:
        got = []
        for _ in range(2):
            one = machine(WHATSMINER)
            async with World(Roster.of([one]), 1, ScaledClock(START_S)):
                reader, writer = await asyncio.open_connection(one.host, 4433)
            try:
                got.append(await reader.read())
            except ConnectionError:
                got.append(b"")
            writer.close()
            with pytest.raises(OSError, match="Connect call failed"):
                await asyncio.open_connection(one.host, 4433)
        return got

    assert asyncio.run(run()) == [b"", b""]


@pytest.mark.parametrize(("name", "machines", "dialects"), [("demo", 100, 3), ("home", 3, 3), ("thousand", 1_000, 3)])
def test_scenarios(name: str, machines: int, dialects: int) -> None:
    """If this fails, a scenario is not the site that it says it is."""
    made = scenario(name, seed=7, net=99)
    assert len(made.roster) == machines
    assert len({one.dialect for one in made.roster.machines}) == dialects
    assert all(one.host.startswith("127.99.") for one in made.roster.machines)
    assert made.seed == 7


def test_the_demo_has_four_feeders_a_cheat_and_a_cap_that_binds() -> None:
    """If this fails, the demo does not show what it is for."""
    made = scenario("demo")
    tree, roster = made.roster.tree, made.roster
    feeders = [name for name in tree.names if name.count("/") == 0 and name]
    assert sorted(feeders) == ["feeder-a", "feeder-b", "feeder-c", "feeder-d"]
    assert (CHEAT in roster.index, dict(made.claims)) == (True, {CHEAT: CLAIM})
    usual_w = roster.modes.power_w[np.arange(len(roster)), roster.usual]
    over = tree.totals(roster.leaf, usual_w) > tree.cap_w
    assert [name for name, binds in zip(tree.names, over, strict=True) if binds] == ["feeder-d"]


def test_an_unknown_scenario_is_named() -> None:
    """If this fails, a typing error starts another site, or none, without a word."""
    with pytest.raises(LookupError, match=f"known: {', '.join(sorted(SCENARIOS))}"):
        scenario("hundred")
