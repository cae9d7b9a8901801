"""A third party's miner, cpuminer-opt, mines at the pretend pool and through the tap; Bitcoin Core judges what it finds.

No package registry has a CPU miner that speaks Stratum for Bitcoin (Debian has none, npm none; PyPI's apoclypsebm wants
OpenCL and adds text to bytes at its first share). So this runs where a `cpuminer` is on the PATH, and says so elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pbk
import pytest

from controllers.clock import Clock
from controllers.pool.settings import TapSettings
from controllers.pool.tap import Tap
from fleet.catalogue import LUXOS, nameplate
from fleet.machine import Machine, Roster
from fleet.work.counted import Counted, Flaw
from fleet.work.sha256d import HashlibEngine
from simulators.chain import Regtest
from simulators.clock import ScaledClock
from simulators.wire.pool import PretendPool
from simulators.wire.pool_settings import PoolSettings
from tests.conftest import program

pytestmark = pytest.mark.skipif(program("cpuminer") is None, reason="cpuminer is in no registry: run where it is built")
SHARES = 25
DIFFICULTY = 0.0004
"""1.7 million hashes a share."""
WORKER = "hashwatt.cpu"


@contextlib.asynccontextmanager
async def mining(url: str) -> AsyncIterator[None]:
    """cpuminer at a pool, on one thread, without its API."""
    path = program("cpuminer")
    assert path is not None
    options = ["-a", "sha256d", "-o", url, "-u", WORKER, "-p", "x", "-t", "1", "--no-color", "-b", "0"]
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(path, *options, stdout=quiet, stderr=quiet)
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def enough(pool: PretendPool) -> None:
    """Until it has found some blocks."""
    async with asyncio.timeout(90.0):
        while len(pool.blocks) < SHARES:
            await asyncio.sleep(0.1)


def pool() -> PretendPool:
    """A pool on regtest, at the real scale."""
    rules = PoolSettings(start_difficulty=DIFFICULTY, shares_per_min=0.0, job_s=10.0)
    return PretendPool(rules, ScaledClock(time.time() - 3_600.0), 1, chain=Regtest())


def height(made: PretendPool, folder: Path) -> int:
    """How high Bitcoin Core's chain is with what was found."""
    chain = pbk.load_chainman(folder, pbk.ChainType.REGTEST)
    for block in made.blocks:
        assert chain.process_block(pbk.Block(block.raw)) is True
    return int(chain.get_active_chain().height)


def test_it_mines_at_the_pretend_pool(tmp_path: Path) -> None:
    """If this fails, the pretend pool speaks a Stratum of its own."""

    async def run() -> PretendPool:
        made = pool()
        async with made, mining(made.url):
            await enough(made)
        return made

    made = asyncio.run(run())
    assert made.books[WORKER].shares >= SHARES
    assert made.books[WORKER].refused == {}
    assert made.counts.malformed == 0
    assert height(made, tmp_path) == len(made.blocks)


@pytest.mark.parametrize("how", ["pass", "aggregate"])
def test_it_mines_through_the_tap(tmp_path: Path, how: str) -> None:
    """If this fails, the tap stands in the way of a miner that it was not written beside, or miscounts it."""
    plate = nameplate("Antminer S21", LUXOS)
    machine = Machine("cpu", plate.model, plate.dialect, "127.0.0.1", plate.modes, plate.usual)

    async def run() -> tuple[PretendPool, Counted]:
        made = pool()
        async with made:
            table = {"listen": "127.0.0.1:0", "pools": [{"url": made.url}], "how": how, "accounts": ["hashwatt"]}
            settings = TapSettings.model_validate(table)
            tap = Tap(settings, Roster.of([machine]), Clock(), lambda *_: None, tmp_path, HashlibEngine())
            serving = asyncio.create_task(tap.run())
            try:
                while tap.port is None:
                    await asyncio.sleep(0.01)
                async with mining(f"stratum+tcp://127.0.0.1:{tap.port}"):
                    await enough(made)
                await asyncio.sleep(0.2)
                return made, tap.counted()
            finally:
                serving.cancel()
                await asyncio.gather(serving, return_exceptions=True)

    made, counted = asyncio.run(run())
    assert counted.shares[0] >= SHARES - 1
    assert counted.flawed[0, [Flaw.LOW, Flaw.DUPLICATE, Flaw.EXTRANONCE, Flaw.FOREIGN, Flaw.MALFORMED]].sum() == 0
    assert height(made, tmp_path / "kernel") == len(made.blocks)
