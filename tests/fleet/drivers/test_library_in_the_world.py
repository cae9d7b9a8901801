"""The real libraries behind their drivers, against the pretend world: what they read is true, and writes are withheld."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from fleet.catalogue import nameplate
from fleet.driver import Unreachable, Unsupported
from fleet.drivers import open_driver
from fleet.links import Credentials
from fleet.machine import Machine, Roster
from fleet.reading import Depth, State
from simulators.clock import ScaledClock
from simulators.world import World, may_bind

pytestmark = [
    pytest.mark.skipif(
        not may_bind(80), reason="the libraries speak to the vendors' own ports, and 80 is not ours to bind"
    ),
    pytest.mark.filterwarnings("ignore"),  # the libraries' own
]
MODELS = {"luxos": "Antminer S19k Pro", "antminer": "Antminer S21", "whatsminer-v3": "WhatsMiner M60S"}
FACTORY = {"luxos": Credentials(), "antminer": Credentials("root", "root"), "whatsminer-v3": Credentials("", "super")}


def machine(request: pytest.FixtureRequest, dialect: str, n: int) -> Machine:
    """A machine on the vendor's ports."""
    worker = str(getattr(request.config, "workerinput", {"workerid": "gw240"})["workerid"])
    plate = nameplate(MODELS[dialect], dialect)
    host = f"127.89.{int(worker.removeprefix('gw')) + 1}.{n}"
    return Machine(f"m{n}", plate.model, dialect, host, plate.modes, plate.usual, start_s=plate.start_s)


@pytest.mark.parametrize(
    ("library", "dialect"),
    [
        ("asic-rs", "luxos"),
        ("asic-rs", "antminer"),
        ("pyasic", "luxos"),
        ("pyasic", "antminer"),
        ("pyasic", "whatsminer-v3"),
    ],
)
def test_what_the_library_reads_is_true(request: pytest.FixtureRequest, library: str, dialect: str) -> None:
    """A field that a new release of the library renames would leave every make behind it unread."""
    one = machine(request, dialect, 1 + sorted(MODELS).index(dialect) + 10 * (library == "pyasic"))

    async def main() -> None:
        async with World(Roster.of([one]), 7, ScaledClock(1_700_000_000.0, 50.0)) as world:
            driver = open_driver(replace(one, dialect=library), FACTORY[dialect])
            lean, full = await driver.read(Depth.LEAN), await driver.read(Depth.FULL)
            for reading in (lean, full):
                assert reading.state is State.HASHING
                assert reading.hashrate_ths == pytest.approx(world.truth.hashrate_ths[0], rel=0.06)
                if dialect != "antminer":
                    assert reading.power_w == pytest.approx(world.truth.power_w[0], rel=0.08)
                assert reading.board_c is not None
            assert full.identity is not None
            assert full.identity.firmware is not None
            assert len(full.boards) == 3
            assert all(full.fans_rpm)
            if dialect != "whatsminer-v3":  # pyasic 0.79 reads no pools of API v3
                pools = (await driver.read(Depth.POOLS)).pools or ()
                native: Any = open_driver(one, FACTORY[dialect])
                true = (await native.read(Depth.POOLS)).pools
                assert [(pool.url, pool.user) for pool in pools] == [(pool.url, pool.user) for pool in true]
            before = world.truth.target[0]
            with pytest.raises(Unsupported):
                await driver.set_mode(one.modes[0])
            assert world.truth.target[0] == before
            await driver.close()

    asyncio.run(main())


@pytest.mark.parametrize("library", ["asic-rs", "pyasic"])
def test_nobody_there(request: pytest.FixtureRequest, library: str) -> None:
    """Neither an object for a dead machine nor the library's own error may pass as a reading."""
    gone = replace(machine(request, "antminer", 99), dialect=library)
    with pytest.raises(Unreachable):
        asyncio.run(open_driver(gone, Credentials()).read(Depth.LEAN))
