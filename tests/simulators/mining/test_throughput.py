"""How much the mining loop bears: a hundred machines on one host, and a host that is asked for more than it has."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import numpy as np

from fleet.catalogue import LUXOS
from fleet.machine import Machine, Roster
from fleet.work.sha256d import HashlibEngine, Hit
from simulators.clock import ScaledClock
from simulators.mining.work import Work
from simulators.physics import Spread
from simulators.wire.pool import PretendPool
from simulators.wire.pool_settings import PoolSettings
from simulators.world import World
from tests.simulators.mining.conftest import START_S

Make = Callable[..., Machine]
MACHINES = 100
DIFFICULTY = 2.0**20


def hundred(machine: Make, pool: PretendPool, engine: object = None) -> World:
    """A hundred machines at a pool, without the wire of their firmwares being read by anybody."""
    roster = Roster.of([machine(LUXOS, number, ports={"api": 0, "web": 0}) for number in range(1, MACHINES + 1)])
    return World(
        roster,
        3,
        pool.clock,
        spread=Spread.none(),
        work=Work(pool.settings.scale, (pool.url,)),
        engine=engine,  # type: ignore[arg-type]
    )


def test_a_hundred_machines_and_their_pool_take_part_of_a_core(machine: Make) -> None:
    """If this fails, the loop's own cost per machine and beat, or per share, has grown beyond what a demo can bear."""

    async def run() -> tuple[float, float, float, float]:
        # 120 TH/s each at 60x: 300 kH/s together, a share a second of the world and machine would be 6,000 a second
        rules = PoolSettings(scale=4e-13, start_difficulty=DIFFICULTY, shares_per_min=0.0)
        async with PretendPool(rules, ScaledClock(START_S, 60.0), 1) as pool, hundred(machine, pool) as world:
            assert world.mine is not None
            await asyncio.sleep(1.0)
            before, shares, began = time.process_time(), _shares(pool), time.perf_counter()
            await asyncio.sleep(3.0)
            took_s = time.perf_counter() - began
            busy = (time.process_time() - before) / took_s
            mined = world.mine.mined()
            idle = float(mined.idle_th.sum() / mined.made_th.sum())
            return busy, (_shares(pool) - shares) / took_s, idle, mined.behind_s

    busy, shares_s, idle, behind_s = asyncio.run(run())
    assert shares_s > 80.0
    assert busy < 0.9
    assert idle < 0.2
    assert behind_s < 1.0


class SlowEngine:
    """An engine that takes its time, in the worker thread."""

    name, threads_gain = "slow", False

    def __init__(self) -> None:
        self._engine = HashlibEngine()

    def scan(self, head: bytes, nonces: range, target: int, versions: Sequence[int] = ()) -> tuple[Hit, ...]:
        time.sleep(0.002)
        return self._engine.scan(head, nonces, target, versions)

    def digests(self, headers: bytes) -> bytes:
        return self._engine.digests(headers)


def test_a_slow_host_hashes_late_and_loses_nothing(machine: Make) -> None:
    """If this fails, the event loop waits for hashing, or hashes that are late are not made at all."""

    async def run() -> tuple[float, float, float, list[float]]:
        rules = PoolSettings(scale=2e-14, start_difficulty=DIFFICULTY, shares_per_min=0.0, grace_s=600.0)
        async with (
            PretendPool(rules, ScaledClock(START_S, 60.0), 1) as pool,
            hundred(machine, pool, SlowEngine()) as world,
        ):
            assert world.mine is not None
            await asyncio.sleep(1.0)
            late = []
            for _ in range(100):
                before = time.perf_counter()
                await asyncio.sleep(0.01)
                late.append(time.perf_counter() - before - 0.01)
            mined = world.mine.mined()
            made = float((mined.made_th - mined.idle_th).sum()) * 1e12 * rules.scale
            return mined.behind_s, float(mined.hashed.sum()), made, late

    behind_s, hashed, made, late = asyncio.run(run())
    assert behind_s > 0.1  # a hundred scans of 2 ms do not fit in a beat of 50
    assert hashed > 0.98 * made - 200
    assert float(np.median(late)) < 0.05


def _shares(pool: PretendPool) -> int:
    return sum(book.shares for book in pool.books.values())
