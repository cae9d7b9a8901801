"""Fail-over: machines leave a dead pool within seconds of the world, return as their firmware does, and obey the pool."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from fleet.catalogue import ANTMINER, LUXOS, WHATSMINER
from simulators.unit import PoolSlot
from simulators.wire.pool_settings import PoolFault, PoolTrouble
from simulators.world import World
from tests.simulators.mining.conftest import START_S, Dig
from tests.simulators.mining.test_session import polite

TRIO = (LUXOS, ANTMINER, WHATSMINER)
BOTH = ("stratum+tcp://127.0.0.1:3334", "stratum+tcp://127.0.0.1:3335")
DARK = PoolTrouble(PoolFault.DARK, from_s=START_S + 300.0, until_s=START_S + 600.0)


async def when(world: World, holds: Callable[[], bool], most_s: float = 2_000.0) -> float:
    """The world's time at which something comes to hold."""
    while not holds():
        assert world.now() - START_S < most_s
        await asyncio.sleep(0.01)
    return world.now()


def at(world: World, place: int) -> bool:
    """Do all machines work for the pool at a place?"""
    assert world.mine is not None
    sessions = [(miner.line.session, miner.line.index) for miner in world.mine.miners]
    return all(session is not None and session.alive and index == place for session, index in sessions)


def test_machines_fall_back_within_seconds_and_return_when_the_pool_is_steady(dig: Dig, virtually: Any) -> None:
    """If this fails, a pool that dies takes hashes with it, or machines never come back to the one that is preferred."""

    async def run() -> tuple[float, float, Any]:
        async with dig(dialects=TRIO, pools=BOTH, troubles=(DARK,), speed=10.0) as world:
            await when(world, lambda: at(world, 0))
            fell_s = await when(world, lambda: at(world, 1))
            back_s = await when(world, lambda: at(world, 0))
            assert world.mine is not None
            return fell_s - DARK.from_s, back_s - DARK.until_s, world.mine.mined()

    fell_s, back_s, mined = virtually(run())
    assert 0.0 <= fell_s <= 5.0
    assert 120.0 <= back_s <= 120.0 + 2 * 30.0 + 5.0
    assert mined.returns.tolist() == [1.0, 1.0, 1.0]
    assert (mined.idle_th < 0.01 * mined.made_th).all()


def test_a_machine_without_any_pool_is_idle_and_says_so(dig: Dig, virtually: Any) -> None:
    """If this fails, hashes that had no job to go to are held against the machine."""

    async def run() -> tuple[Any, float]:
        async with dig(troubles=(DARK,), speed=10.0) as world:
            await when(world, lambda: at(world, 0))
            await when(world, lambda: world.now() >= DARK.until_s - 1.0)
            idle_th = float(world.mine.mined().idle_th[0]) if world.mine else 0.0
            back_s = await when(world, lambda: at(world, 0))
            assert world.mine is not None
            await asyncio.sleep(30.0)
            return (world.mine.mined(), back_s - DARK.until_s), idle_th

    (mined, back_s), idle_th = virtually(run())
    assert idle_th == pytest.approx(0.5 * float(mined.made_th[0]), rel=0.4)
    assert 0.0 <= back_s <= 10.0
    assert mined.delivered == pytest.approx([1.0])


def test_a_pool_that_says_nothing_is_left(dig: Dig, virtually: Any) -> None:
    """If this fails, a machine waits for ever for a pool whose host has gone without a word."""

    async def run() -> float:
        over = asyncio.Event()

        async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await over.wait()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 3999)
        async with dig(pools=("stratum+tcp://127.0.0.1:3999", BOTH[0]), speed=1.0) as world:
            reached_s = await when(world, lambda: at(world, 1))
            server.close()
            over.set()
            return reached_s - START_S

    assert 4.9 <= virtually(run()) <= 6.0


def test_a_pool_that_falls_silent_is_called_anew(dig: Dig, virtually: Any) -> None:
    """If this fails, a machine hashes for ever on the last job of a pool whose line is dead."""

    async def run() -> list[float]:
        called: list[float] = []
        writers: list[asyncio.StreamWriter] = []
        loop = asyncio.get_running_loop()

        async def talks_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            called.append(loop.time())
            writers.append(writer)
            while line := await reader.readline():
                for answer in polite(json.loads(line)):
                    if "submit" not in line.decode():
                        writer.write(json.dumps(answer).encode() + b"\n")

        server = await asyncio.start_server(talks_once, "127.0.0.1", 3999)
        async with dig(pools=("stratum+tcp://127.0.0.1:3999",), speed=10.0):
            await asyncio.sleep(30.0)
        server.close()
        for writer in writers:
            writer.close()
        await asyncio.sleep(0.1)
        return called

    called = virtually(run())
    gaps = [later - earlier for earlier, later in pairwise(called)]
    assert len(called) == 3
    assert all(12.0 <= gap <= 13.0 for gap in gaps)  # cgminer's two minutes, at ten times the speed


def test_the_pool_sends_machines_elsewhere(dig: Dig, virtually: Any) -> None:
    """If this fails, client.reconnect does nothing, or a machine does not come back without it."""

    async def run() -> tuple[int, int, int]:
        async with dig(dialects=TRIO) as world:
            await when(world, lambda: at(world, 0))
            world.pools["pool"].reconnect("127.0.0.1", 3335)
            await asyncio.sleep(1.0)
            elsewhere = len(world.pools["fees"].sessions)
            world.pools["fees"].reconnect()
            await asyncio.sleep(1.0)
            return elsewhere, len(world.pools["fees"].sessions), len(world.pools["pool"].sessions)

    assert virtually(run()) == (3, 0, 3)


@pytest.mark.parametrize("how", ["written", "switched"])
def test_another_pool_is_configured(dig: Dig, virtually: Any, how: str) -> None:
    """If this fails, a machine goes on at a pool that was taken off it."""

    async def run() -> tuple[int, int]:
        async with dig(pools=BOTH) as world:
            await when(world, lambda: at(world, 0))
            unit = world.units[0]
            if how == "written":
                unit.pools = [PoolSlot(BOTH[1], "hashwatt.new")]
            else:
                unit.preferred = 1
            await asyncio.sleep(2.0)
            return len(world.pools["pool"].sessions), len(world.pools["fees"].sessions)

    assert virtually(run()) == (0, 1)


def test_a_reboot_is_a_new_session_and_counts_from_zero(dig: Dig, virtually: Any) -> None:
    """If this fails, a machine that reboots keeps its connection, or its counters."""

    async def run() -> tuple[bool, int, int, int]:
        async with dig() as world:
            await asyncio.sleep(5.0)
            world.units[0].reboot()
            await asyncio.sleep(0.5)
            gone = not world.pools["pool"].sessions
            await asyncio.sleep(10.0)
            unit = world.units[0]
            shares = world.pools["pool"].books["hashwatt.luxos-1"].shares
            return gone, unit.telemetry().accepted, unit.pool_count(unit.telemetry(), 0).accepted, shares

    gone, accepted, at_the_pool, shares = virtually(run())
    assert gone
    assert 0 < accepted < shares
    assert abs(at_the_pool - accepted) <= 0.05 * shares


def test_a_whatsminer_that_sleeps_leaves_and_the_others_stay(dig: Dig, virtually: Any) -> None:
    """If this fails, a sleeping machine is connected otherwise than its firmware would be."""

    async def run() -> list[str]:
        async with dig(dialects=TRIO, asleep=(1, 2, 3)) as world:
            await asyncio.sleep(5.0)
            return sorted(agent.split("/")[0] for agent in world.pools["pool"].counts.agents)

    assert virtually(run()) == ["Antminer S19j Pro", "LUXminer"]
