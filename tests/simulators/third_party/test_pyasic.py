"""pyasic 0.79 as a client of the pretend machines: it takes them for real ones, reads what is true, and can control them.

Where pyasic itself is wrong, the test says how: it would be as wrong on a real machine.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fleet.catalogue import ANTMINER, LUXOS, WHATSMINER
from fleet.machine import SLEEP, Roster
from fleet.reading import State
from simulators.clock import ScaledClock
from simulators.faults import Fault, FaultPlan, Scheduled
from simulators.world import World

pytestmark = [pytest.mark.usefixtures("vendor_ports"), pytest.mark.filterwarnings("ignore")]
START_S = 1.79e9
ROWS = {LUXOS: 0, ANTMINER: 1, WHATSMINER: 2}
FASTER = 400.0
Until = Callable[[Callable[[], bool]], Awaitable[None]]


async def found(roster: Roster, dialect: str) -> Any:
    """What pyasic takes the machine for."""
    from pyasic import get_miner

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return await get_miner(roster.machines[ROWS[dialect]].host)


@pytest.mark.parametrize(
    ("dialect", "make", "model", "firmware"),
    [
        (LUXOS, "AntMiner", "S19k Pro", "LuxOS"),
        (ANTMINER, "AntMiner", "S19j Pro", "Stock"),
        (WHATSMINER, "WhatsMiner", "M60S VK40", "Stock"),
    ],
)
def test_identifies(trio: Roster, dialect: str, make: str, model: str, firmware: str) -> None:
    """If this fails, a pretend machine's banner is not that of its make, model and firmware."""

    async def look() -> Any:
        async with World(trio, 3, ScaledClock(START_S)):
            return await found(trio, dialect)

    miner = asyncio.run(look())
    assert (str(miner.make), str(miner.raw_model), str(miner.firmware)) == (make, model, firmware)


@pytest.mark.parametrize("dialect", [LUXOS, ANTMINER, WHATSMINER])
def test_reads_what_is_true(trio: Roster, dialect: str) -> None:
    """If this fails, what a machine says over the wire is not what the world says is true of it."""

    async def look() -> tuple[Any, Any, Any]:
        async with World(trio, 3, ScaledClock(START_S)) as world:
            data = await (await found(trio, dialect)).get_data()
            return data, world.truth, world.units[ROWS[dialect]]

    data, truth, unit = asyncio.run(look())
    row = ROWS[dialect]
    assert float(data.hashrate) == pytest.approx(truth.hashrate_ths[row], rel=0.04)
    assert sum(float(board.hashrate) for board in data.hashboards) == pytest.approx(truth.hashrate_ths[row], rel=0.04)
    assert data.expected_hashrate is not None
    assert [fan.speed > 1000 for fan in data.fans] == [True] * unit.hardware.fans
    assert [board.chips for board in data.hashboards] == [unit.hardware.chips] * 3
    assert data.is_mining
    assert data.uptime > 3600
    for board in data.hashboards:
        match dialect:
            case "luxos":  # LuxOS has board sensors only, and pyasic takes the intake side for the board
                assert board.chip_temp == pytest.approx(truth.board_c[row], abs=6.0)
            case "antminer":
                assert board.temp == pytest.approx(truth.board_c[row], abs=6.0)
                assert board.chip_temp == pytest.approx(truth.chip_c[row], abs=6.0)
            case _:
                middle_c = (board.inlet_temp + board.outlet_temp) / 2
                assert middle_c == pytest.approx(truth.chip_c[row], abs=6.0)
    if dialect == ANTMINER:
        assert data.wattage is None, "a stock Antminer does not say its watts"
        assert (data.mac, data.serial_number) == (unit.mac, unit.serial)
    else:
        assert data.wattage == pytest.approx(truth.power_w[row], rel=0.05)


@pytest.mark.parametrize("dialect", [LUXOS, ANTMINER, WHATSMINER])
def test_reads_the_pools(trio: Roster, dialect: str) -> None:
    """If this fails, a machine does not list the pools that are configured on it."""

    async def look() -> tuple[Any, Any]:
        async with World(trio, 3, ScaledClock(START_S)) as world:
            miner = await found(trio, dialect)
            return (await miner.get_data(), await miner.get_config()), world.units[ROWS[dialect]]

    (data, config), unit = asyncio.run(look())
    configured = [(pool.url, pool.user) for pool in config.pools.groups[0].pools]
    assert configured == [(slot.url, slot.user) for slot in unit.pools]
    if dialect == WHATSMINER:
        # pyasic asks for "summary" where it looks for the pools, so that a WhatsMiner v3 has none in its data.
        assert data.pools == []
    else:
        assert [(pool.active, pool.user) for pool in data.pools] == [
            (index == 0, slot.user) for index, slot in enumerate(unit.pools)
        ]


@pytest.mark.parametrize("dialect", [LUXOS, ANTMINER, WHATSMINER])
def test_sleeps_and_resumes(trio: Roster, dialect: str, until: Until) -> None:
    """If this fails, a client that we did not write cannot put a pretend machine to sleep and wake it, pools intact."""
    row = ROWS[dialect]

    async def control() -> tuple[Any, ...]:
        async with World(trio, 3, ScaledClock(START_S, FASTER)) as world:
            miner = await found(trio, dialect)
            pools = [(slot.url, slot.user, slot.password) for slot in world.units[row].pools]
            slept = await miner.stop_mining()
            await until(lambda: world.truth.state[row] == State.SLEEPING)
            asleep_w = float(world.truth.power_w[row])
            hashes_th = float(world.truth.hashes_th[row])
            resumed = await miner.resume_mining()
            await until(lambda: world.truth.state[row] == State.HASHING)
            truth = world.truth
            kept = [(slot.url, slot.user, slot.password) for slot in world.units[row].pools] == pools
            return (
                slept,
                resumed,
                asleep_w,
                truth.hashes_th[row] > hashes_th,
                kept,
                int(truth.mode[row]),
                truth.starts[row],
            )

    slept, resumed, asleep_w, hashes, kept, mode, starts = asyncio.run(control())
    assert (slept, resumed, hashes, kept, starts) == (True, True, True, True, 1)
    assert asleep_w < 60.0
    assert mode == trio.usual[row] != SLEEP


def test_is_wrong_about_luxos(trio: Roster) -> None:
    """If this fails, pyasic has learnt to read a LuxOS machine's MAC and to tell an automatic LED from a blinking one."""

    async def look() -> Any:
        async with World(trio, 3, ScaledClock(START_S)):
            return await (await found(trio, LUXOS)).get_data()

    data = asyncio.run(look())
    assert data.mac is None, "its parser returns before it looks"
    assert data.fault_light is True, "it takes every state but 'off' for a fault; real ones say 'auto'"


def test_says_stopped_when_the_password_is_wrong(trio: Roster) -> None:
    """If this fails, pyasic has learnt to tell a refused stop from one that was done; our driver must read back."""

    async def control() -> tuple[Any, int]:
        async with World(trio, 3, ScaledClock(START_S)) as world:
            miner = await found(trio, ANTMINER)
            miner.web.pwd = "not the password"
            return await miner.stop_mining(), int(world.truth.target[ROWS[ANTMINER]])

    assert asyncio.run(control()) == (True, trio.usual[ROWS[ANTMINER]])


def test_blanks_the_pools_when_one_read_fails(trio: Roster, until: Until) -> None:
    """If this fails, the trap is gone by which pyasic's stop, when it cannot read the pools, writes three blank ones."""
    row = ROWS[ANTMINER]
    one_second = FaultPlan(schedule=(Scheduled(trio.machines[row].id, Fault.DROP, until_s=START_S + 1.0),))

    async def control() -> list[str]:
        from pyasic.config import MiningModeConfig

        async with World(trio, 3, ScaledClock(START_S), faults=one_second) as world:
            await until(lambda: world.now() > START_S + 1.0)
            miner = await found(trio, ANTMINER)
        async with World(trio, 3, ScaledClock(START_S), faults=one_second) as world:
            config = await miner.get_config()  # the first line of its stop_mining, and the read fails
            await until(lambda: world.now() > START_S + 1.0)
            config.mining_mode = MiningModeConfig.sleep()  # and the other two
            await miner.send_config(config)
            return [slot.url for slot in world.units[row].pools]

    assert asyncio.run(control()) == ["", "", ""]
