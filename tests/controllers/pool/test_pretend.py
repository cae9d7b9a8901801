"""The pretend site mines through the tap: machines of every dialect, honest and not, on a virtual clock.

Pool and machines read Stratum for themselves, so a misreading here shows as shares that one side counts and the other
does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import async_solipsism
import numpy as np
import pytest

from controllers.clock import Clock
from controllers.pool.settings import TapSettings
from controllers.pool.tap import Tap
from fleet.catalogue import ANTMINER, LUXOS, WHATSMINER, nameplate
from fleet.machine import Machine, Roster
from fleet.units import HASHES_PER_DIFFICULTY, HASHES_PER_TERAHASH
from fleet.work.counted import Flaw
from fleet.work.sha256d import HashlibEngine
from simulators.clock import ScaledClock
from simulators.mining.cheats import Cheat, Trick
from simulators.mining.work import Work
from simulators.physics import Spread
from simulators.wire.pool_settings import PoolFault, PoolPlace, PoolSettings, PoolTrouble
from simulators.world import World

START_S = 1.7e9
SPEED = 60.0
DIFFICULTY = 65_536.0
SCALE = 4 / 2.0**32 / DIFFICULTY
"""A share of DIFFICULTY takes four hashes."""
MODELS = {LUXOS: "Antminer S19k Pro", ANTMINER: "Antminer S19j Pro", WHATSMINER: "WhatsMiner M60S"}
TAP, SECOND = "stratum+tcp://127.0.0.1:3333", "stratum+tcp://127.0.0.1:3335"


def virtually(world: Coroutine[Any, Any, None]) -> None:
    """On a loop whose time is virtual."""
    with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
        runner.run(world)


class Site:
    """A world with a tap in front of its pool."""

    def __init__(self, world: World, tap: Tap, clock: Clock, running: asyncio.Task[None]) -> None:
        self.world, self.tap, self.clock, self.running = world, tap, clock, running

    async def after(self, seconds: float) -> None:
        """Let so many of the world's seconds pass."""
        await asyncio.sleep(seconds / SPEED)

    async def when(self, holds: Callable[[], bool], most_s: float = 900.0) -> None:
        """Wait for something in the world, for so many of its seconds at most."""
        end_s = self.clock.now() + most_s
        while not holds():
            assert self.clock.now() < end_s
            await asyncio.sleep(0.05)


@asynccontextmanager
async def site(
    directory: Path,
    dialects: tuple[str, ...],
    *,
    cheats: Mapping[int, tuple[Cheat, ...]] | None = None,
    troubles: tuple[PoolTrouble, ...] = (),
    **tables: Any,
) -> AsyncIterator[Site]:
    """Machines 1, 2 and so on, their cheats by number; `tables` are further keys of [tap]."""
    machines = []
    for number, dialect in enumerate(dialects, 1):
        plate = nameplate(MODELS[dialect], dialect)
        machines.append(
            Machine(f"m{number}", plate.model, dialect, f"127.1.7.{number}", plate.modes, plate.usual, ("rack",))
        )
    roster = Roster.of(machines)
    rules = PoolSettings(scale=SCALE, start_difficulty=DIFFICULTY, shares_per_min=0.0)
    world = World(
        roster,
        5,
        ScaledClock(START_S, SPEED),
        spread=Spread.none(),
        work=Work(
            SCALE, (TAP, SECOND), "acct", cheats={f"m{number}": found for number, found in (cheats or {}).items()}
        ),
        pools=(PoolPlace("pool", 3334, rules, troubles=troubles), PoolPlace("second", 3335, rules)),
        engine=HashlibEngine(),
    )
    clock = Clock(SPEED, START_S)
    settings = TapSettings.model_validate(
        {
            "pools": [{"url": "stratum+tcp://127.0.0.1:3334"}],
            "accounts": ["acct"],
            "simulated_scale": SCALE,
            "stale_grace_s": 30,
            "limits": {"messages_per_s": 10_000, "attempts_per_address_per_min": 10_000},
            **tables,
        }
    )
    tap = Tap(settings, roster, clock, lambda *_: None, directory, HashlibEngine())
    running = asyncio.create_task(tap.run())
    try:
        async with world:
            yield Site(world, tap, clock, running)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def delivered(site: Site) -> Any:
    """Shares credited over shares to expect of what each machine claims."""
    counted = site.tap.counted()
    claimed = np.array([m.modes[m.mode_named(m.usual)].hashrate_ths for m in site.world.roster.machines])
    return counted.shares / (claimed * HASHES_PER_TERAHASH / HASHES_PER_DIFFICULTY * counted.exposure)


@pytest.mark.parametrize("how", ["pass", "aggregate"])
def test_what_was_hashed_is_what_is_counted(tmp_path: Path, how: str) -> None:
    """A tap that counts too much or too little, by a per cent, makes every verdict wrong by that per cent."""

    async def world() -> None:
        vardiff = {"start": DIFFICULTY, "least": DIFFICULTY, "most": DIFFICULTY}
        async with site(tmp_path, (LUXOS, ANTMINER, WHATSMINER), how=how, vardiff=vardiff) as at:
            await at.when(lambda: bool(at.tap.counted().connected.all()))
            await at.after(3_600)
            counted = at.tap.counted()
            # n shares tell a rate to one part in the square root of n
            assert (abs(delivered(at) - 1) < 4 / np.sqrt(counted.shares)).all()
            assert (counted.shares > 1_000).all()
            # a share that was on its way when a block came, at most
            assert counted.flawed.sum() <= 0.005 * counted.shares.sum()
            books = at.world.pools["pool"].books
            credited = sum(book.work for book in books.values())
            assert credited == pytest.approx(counted.work.sum(), rel=0.005)
            assert not at.world.pools["second"].books

    virtually(world())


def test_every_cheat_shows_by_its_cause(tmp_path: Path) -> None:
    """A cheat that is taken for another is answered wrongly; one that is taken for honest is paid."""
    cheats = {
        2: (Cheat(Trick.FOREIGN, 0.2, worker="devfee.x"),),
        3: (Cheat(Trick.DUPLICATES, 0.2),),
        4: (Cheat(Trick.REPLAYS, 0.2, period_s=600),),
        5: (Cheat(Trick.AWAY, 0.2, worker="devfee.x", url=SECOND),),
    }

    async def world() -> None:
        async with site(tmp_path, (LUXOS,) * 5, cheats=cheats) as at:
            await at.when(lambda: bool(at.tap.counted().connected.all()))
            await at.after(2_400)
            counted = at.tap.counted()
            share = counted.flawed / (counted.shares + counted.flawed.sum(axis=1))[:, None]
            assert share[0].max() < 0.01
            assert 0.1 < share[1, Flaw.FOREIGN] < 0.3
            assert counted.foreign_work[1] > 0.1 * counted.work[1]
            assert 0.05 < share[2, Flaw.DUPLICATE] < 0.3
            assert 0.05 < share[3].sum() < 0.3
            # what goes past the tap does not come through it: the machine is short
            short = delivered(at)
            assert short[4] < 0.9
            assert short[1] < 0.9
            assert abs(short[0] - 1) < 4 / np.sqrt(counted.shares[0])

    virtually(world())


def test_machines_fall_back_when_the_tap_ends(tmp_path: Path) -> None:
    """If hashwatt stops, hashes that go nowhere are what it cost."""

    async def world() -> None:
        async with site(tmp_path, (LUXOS, ANTMINER, WHATSMINER)) as at:
            await at.when(lambda: bool((at.tap.counted().shares > 0).all()))
            mine = at.world.mine
            assert mine is not None
            at.running.cancel()
            ended_s = at.clock.now()
            second = at.world.pools["second"]
            await at.when(lambda: len(second.books) == 3 and all(b.work for b in second.books.values()), 120)
            assert all(miner.line.index == 1 for miner in mine.miners)
            assert at.clock.now() - ended_s < 60

    virtually(world())


def test_a_pools_outage_is_not_held_against_machines(tmp_path: Path) -> None:
    """A pool that is down for an hour would make every machine short at once."""
    dark = PoolTrouble(PoolFault.DARK, from_s=START_S + 1_200, until_s=START_S + 2_400)

    async def world() -> None:
        failover = {"back_off_s": 0.1, "back_off_most_s": 1}
        async with site(tmp_path, (LUXOS, ANTMINER), troubles=(dark,), failover=failover) as at:
            await at.after(4_800)
            counted = at.tap.counted()
            assert counted.connected.all()
            assert (delivered(at) > 0.85).all()
            assert (delivered(at) < 1.1).all()

    virtually(world())
