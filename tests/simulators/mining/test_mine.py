"""Machines that mine for real: as many shares as their physics makes hashes, counted alike on every side of the wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np
import pytest

from fleet.catalogue import ANTMINER, LUXOS, WHATSMINER
from fleet.machine import SLEEP, Machine, Roster
from fleet.work.sha256d import HashlibEngine
from simulators.clock import ScaledClock
from simulators.mining.mined import Mined
from simulators.mining.work import Work, scale_for
from simulators.physics import Spread
from simulators.wire.pool import PretendPool
from simulators.wire.pool_settings import PoolPlace, PoolSettings
from simulators.world import World
from tests.simulators.mining.conftest import ACCOUNT, DIFFICULTY, SCALE, START_S, Dig, Opened

TRIO = (LUXOS, ANTMINER, WHATSMINER)
SIGMAS = 4.5


def credited(pool: PretendPool, world: World) -> list[float]:
    """The work that the pool credited to each machine, in terahashes."""
    books = [pool.books[f"{ACCOUNT}.{machine.id}"] for machine in world.roster.machines]
    return [book.work * 2**32 / 1e12 for book in books]


def within_poisson(credited_th: float, made_th: float, difficulty: float = DIFFICULTY) -> bool:
    """Is the credited work what Poisson shares of one difficulty bring for so many terahashes?"""
    share_th = difficulty * 2**32 / 1e12
    expected = made_th / share_th
    return abs(credited_th / share_th - expected) < SIGMAS * sqrt(expected)


def test_honest_machines_deliver_what_their_physics_says(dig: Dig, virtually: Any) -> None:
    """If this fails, a machine that mines for real mines more or less than it hashes, or its pool credits something else."""

    async def run() -> tuple[list[float], Mined, dict[str, Any]]:
        async with dig(dialects=TRIO) as world:
            await asyncio.sleep(60.0)
            assert world.mine is not None
            pool = world.pools["pool"]
            return credited(pool, world), world.mine.mined(), {one.name: one.refused for one in pool.books.values()}

    brought, mined, refused = virtually(run())
    for brought_th, made_th in zip(brought, mined.made_th - mined.idle_th, strict=True):
        assert made_th > 3e5
        assert within_poisson(brought_th, made_th)
    assert list(refused.values()) == [{}, {}, {}]
    assert mined.delivered == pytest.approx([1.0, 1.0, 1.0])
    assert (mined.idle_th < 0.01 * mined.made_th).all()


def test_a_claim_does_not_make_shares(dig: Dig, virtually: Any) -> None:
    """If this fails, an inflated claim is true after all, or the ground truth does not know of it."""

    async def run() -> tuple[list[float], Mined, float]:
        async with dig(claims={1: 1.25}) as world:
            await asyncio.sleep(40.0)
            assert world.mine is not None
            told = world.units[0].telemetry().rate_av_ths
            return credited(world.pools["pool"], world), world.mine.mined(), told / world.truth.hashrate_ths[0]

    brought, mined, told = virtually(run())
    assert mined.delivered == pytest.approx([1 / 1.25])
    assert told == pytest.approx(1.25, rel=0.02)
    assert within_poisson(brought[0], float((mined.made_th - mined.idle_th)[0]))


def test_one_seed_reproduces_every_share(dig: Dig, virtually: Any) -> None:
    """If this fails, a run that went wrong cannot be played again."""

    async def run(seed: int) -> list[Any]:
        async with dig(dialects=TRIO, seed=seed) as world:
            await asyncio.sleep(20.0)
            assert world.mine is not None
            books = world.pools["pool"].books
            return [(one.name, one.shares, one.best, one.last_s) for one in books.values()]

    first, again, other = virtually(run(5)), virtually(run(5)), virtually(run(6))
    assert first == again
    assert first != other


def test_a_sleeping_machine_does_not_hash(dig: Dig, virtually: Any) -> None:
    """If this fails, a machine mines while it sleeps, or not when it was woken, or at once at full speed."""

    async def run() -> list[list[float]]:
        async with dig(dialects=TRIO, asleep=(1, 2, 3)) as world:
            assert world.mine is not None
            seen = []
            await asyncio.sleep(10.0)
            seen.append(world.mine.mined().hashed.tolist())
            for unit in world.units:
                unit.take(unit.remembered)
            await asyncio.sleep(20.0)
            seen.append(world.mine.mined().hashed.tolist())
            for unit in world.units:
                unit.take(SLEEP)
            await asyncio.sleep(2.0)
            asleep = world.mine.mined().hashed.tolist()
            await asyncio.sleep(10.0)
            seen.append((np.array(world.mine.mined().hashed) - asleep).tolist())
            return seen

    asleep, woken, again = virtually(run())
    assert asleep == [0.0, 0.0, 0.0]
    assert min(woken) > 1_000
    assert woken[0] / 120 > 1.1 * woken[2] / 177  # LuxOS is back in seconds, a WhatsMiner warms up for minutes
    assert again == [0.0, 0.0, 0.0]


def test_the_wire_shows_what_the_pool_answered(dig: Dig, virtually: Any) -> None:
    """If this fails, a machine's counters are still those of the physics and not of its mining."""

    async def run() -> list[Any]:
        async with dig(dialects=TRIO) as world:
            before = [unit.telemetry() for unit in world.units]
            await asyncio.sleep(20.0)
            after = [unit.telemetry() for unit in world.units]
            books = [world.pools["pool"].books[f"{ACCOUNT}.{unit.machine.id}"] for unit in world.units]
            return [
                (b.accepted - a.accepted, b.accepted_work - a.accepted_work, book.shares, book.work, b.share_difficulty)
                for a, b, book in zip(before, after, books, strict=True)
            ]

    for accepted, work, shares, credited_work, difficulty in virtually(run()):
        assert abs(accepted - shares) <= 0.05 * shares  # what was found in this beat is not in the gauges yet
        assert work / accepted == credited_work / shares == difficulty == DIFFICULTY


@pytest.mark.parametrize(
    ("dialect", "port", "command", "section", "keys"),
    [
        (LUXOS, 4028, "pools", "POOLS", ("Accepted", "Difficulty Accepted", "Stratum Active", "URL")),
        (ANTMINER, 4028, "pools", "POOLS", ("Accepted", "Difficulty Accepted", "Stratum Active", "URL")),
        (WHATSMINER, 4028, "pools", "POOLS", ("Accepted", None, "Stratum Active", "URL")),
    ],
)
def test_pools_on_the_wire_are_those_that_are_mined_at(
    dig: Dig, virtually: Any, dialect: str, port: int, command: str, section: str, keys: tuple[str | None, ...]
) -> None:
    """If this fails, `pools` shows other counts, or another pool as the active one, than the mining has."""
    pools = ("stratum+tcp://127.0.0.1:9", "stratum+tcp://127.0.0.1:3334")

    async def run() -> tuple[list[Any], int]:
        async with dig(dialects=(dialect,), pools=pools) as world:
            await asyncio.sleep(20.0)
            reader, writer = await asyncio.open_connection(world.roster.machines[0].host, port)
            writer.write(json.dumps({"command": command}).encode())
            said = json.loads((await reader.read()).rstrip(b"\0"))[section]
            writer.close()
            return said, world.pools["pool"].books[f"{ACCOUNT}.{world.roster.machines[0].id}"].shares

    said, shares = virtually(run())
    accepted, work, active, url = keys
    assert [one[url] for one in said] == list(pools)
    assert [one[active] for one in said] == [False, True]
    assert [one["Status"] for one in said] == ["Dead", "Alive"]
    assert abs(said[1][accepted] - shares) <= 0.05 * shares
    assert work is None or said[1][work] == pytest.approx(said[1][accepted] * DIFFICULTY)


def test_each_machine_calls_from_its_own_address(trio: Roster, pool: Opened) -> None:
    """If this fails, nobody can tell by the address which machine a share came from."""

    async def run() -> set[str]:
        async with pool(speed=1.0) as made:
            roster = Roster.of([replace(one, ports={"api": 0, "web": 0, "api_v2": 0}) for one in trio.machines])
            world = World(roster, 5, made.clock, work=Work(SCALE, (made.url,)), engine=HashlibEngine())
            async with world, asyncio.timeout(10.0):
                while len(made.books) < len(roster):
                    await asyncio.sleep(0.01)
                return {session.peer for session in made.sessions}

    assert asyncio.run(run()) == {one.host for one in trio.machines}


def test_mining_that_begins_later_goes_on_from_the_counters_that_are_there(
    machine: Callable[..., Machine], virtually: Any
) -> None:
    """If this fails, a machine's counters jump or stand still when real mining takes over from the physics' draws."""
    rules = PoolSettings(scale=SCALE, start_difficulty=DIFFICULTY, shares_per_min=0.0)
    places = (PoolPlace("pool", 3334, rules),)
    work = Work(SCALE, (places[0].url,))

    async def run() -> list[float]:
        roster = Roster.of([machine(LUXOS)])
        clock = ScaledClock(START_S, 60.0)
        world = World(roster, 5, clock, spread=Spread.none(), work=work, pools=places, mine_at_once=False)
        async with world:
            seen = []
            for step in range(5):
                if step == 2:
                    await world.begin_mining()
                    await world.begin_mining()
                seen.append(world.units[0].telemetry().accepted_work)
                await asyncio.sleep(20.0)
            shown = world.units[0].pool_count(world.units[0].telemetry(), 0).accepted_work
            assert shown == world.units[0].telemetry().accepted_work
            assert world.units[0].pools[0].url == places[0].url
            return seen

    seen = virtually(run())
    rates = np.diff(seen)
    assert rates == pytest.approx([rates.mean()] * 4, rel=0.12)


def test_vardiff_brings_every_machine_to_the_shares_that_are_wanted(dig: Dig, virtually: Any) -> None:
    """If this fails, difficulty does not follow the hash rate, or credited work changes with it."""
    rules = PoolSettings(scale=SCALE / 16, start_difficulty=1_024.0, shares_per_min=10.0)

    async def run() -> tuple[list[float], list[float], Mined]:
        async with dig(dialects=TRIO, settings=rules, speed=60.0) as world:
            await asyncio.sleep(10.0)
            pool = world.pools["pool"]
            before = [book.shares for book in pool.books.values()]
            await asyncio.sleep(30.0)
            rates = [(b.shares - a) / 30.0 for a, b in zip(before, pool.books.values(), strict=True)]
            assert world.mine is not None
            return rates, credited(pool, world), world.mine.mined()

    rates, brought, mined = virtually(run())
    assert all(10.0 / 1.7 < rate < 10.0 * 1.7 for rate in rates)
    for brought_th, owner_th in zip(brought, mined.owner_th, strict=True):
        assert brought_th == pytest.approx(owner_th, rel=0.25)


@pytest.mark.parametrize(("hashrate_ths", "speed"), [(100.0, 1.0), (20_000.0, 900.0), (1e7, 1_000.0), (0.000_001, 1.0)])
def test_the_scale_is_what_the_host_can_bear(hashrate_ths: float, speed: float) -> None:
    """If this fails, the host is asked for more hashes than it was said, or the scale is no power of two."""
    scale = scale_for(hashrate_ths, speed, 1e6)
    asked = hashrate_ths * 1e12 * scale * speed
    assert 2.0 ** round(np.log2(scale)) == scale <= 1.0
    assert asked <= 1e6 * (1 + 1e-9)
    assert scale == 1.0 or 2 * asked > 1e6
