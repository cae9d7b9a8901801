"""A third party's Stratum client, npm's stratum-client, at the pretend pool and through the tap.

It knows no version rolling, no user agent and texts for ids; the hashing around it is ours (`mine.js`).
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from controllers.clock import Clock
from controllers.pool.settings import TapSettings
from controllers.pool.tap import Tap
from fleet.catalogue import LUXOS, nameplate
from fleet.machine import Machine, Roster
from fleet.work.sha256d import HashlibEngine
from simulators.clock import ScaledClock
from simulators.wire.pool import PretendPool
from simulators.wire.pool_settings import PoolSettings
from tests.conftest import CI, ROOT, program

SCRIPT = Path(__file__).with_name("mine.js")
SCALE, DIFFICULTY, SHARES = 2.0**-40, 2.0**14, 40
START_S = 1.7e9


PACKAGES = ROOT / ".cache" / "node" / "node_modules"
"""Where .ci/node-packages puts what npm has."""


@pytest.fixture(autouse=True)
def _there() -> None:
    """Left out where npm could not bring it; in CI that is an error."""
    if (PACKAGES / "stratum-client").is_dir():
        return
    reason = "npm's stratum-client is not on this machine (.ci/node-packages installs it)"
    if CI:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.mark.requires("node")
@pytest.mark.parametrize("how", [None, "pass", "aggregate"])
def test_it_mines(tmp_path: Path, how: str | None) -> None:
    """If this fails, the pool or the tap does not understand a client that it was not written beside."""
    plate = nameplate("Antminer S21", LUXOS)
    roster = Roster.of([Machine("node", plate.model, plate.dialect, "127.0.0.1", plate.modes, plate.usual)])

    async def mined(port: int) -> Any:
        node = program("node")
        assert node is not None
        options = [str(SCRIPT), str(port), repr(SCALE), str(SHARES)]
        process = await asyncio.create_subprocess_exec(
            node, *options, stdout=asyncio.subprocess.PIPE, env=os.environ | {"NODE_PATH": str(PACKAGES)}
        )
        try:
            async with asyncio.timeout(60.0):
                said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return json.loads(said)

    async def run() -> tuple[Any, int, float | None]:
        rules = PoolSettings(scale=SCALE, start_difficulty=DIFFICULTY, shares_per_min=0.0, grace_s=60.0)
        async with PretendPool(rules, ScaledClock(START_S), 1) as pool:
            if how is None:
                return await mined(pool.address[1]), pool.books["hashwatt.node"].shares, None
            table = {
                "listen": "127.0.0.1:0",
                "pools": [{"url": pool.url}],
                "how": how,
                "accounts": ["hashwatt"],
                "simulated_scale": SCALE,
            }
            settings = TapSettings.model_validate(table)
            tap = Tap(settings, roster, Clock(1.0, START_S), lambda *_: None, tmp_path, HashlibEngine())
            serving = asyncio.create_task(tap.run())
            try:
                while tap.port is None:
                    await asyncio.sleep(0.01)
                said = await mined(tap.port)
                counted = tap.counted()
            finally:
                serving.cancel()
                await asyncio.gather(serving, return_exceptions=True)
            assert counted.flawed.sum() == 0
            return said, sum(book.shares for book in pool.books.values()), float(counted.shares[0])

    said, shares, counted = asyncio.run(run())
    assert said == {"taken": SHARES, "refused": 0}
    assert shares >= SHARES
    assert counted is None or counted >= SHARES
