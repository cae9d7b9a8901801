"""pyasic-rs 0.8 (asic-rs) as a client of the pretend machines: takes them for real, reads what is true, controls them.

Where asic-rs itself is wrong or silent, the test says how: it would be so on a real machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fleet.catalogue import ANTMINER, LUXOS, WHATSMINER
from fleet.machine import Roster
from fleet.reading import State
from simulators.clock import ScaledClock
from simulators.world import World

pytestmark = pytest.mark.usefixtures("vendor_ports")
START_S = 1.79e9
ROWS = {LUXOS: 0, ANTMINER: 1, WHATSMINER: 2}
FASTER = 400.0
Until = Callable[[Callable[[], bool]], Awaitable[None]]


async def found(roster: Roster, dialect: str) -> Any:
    """What asic-rs takes the machine for."""
    from pyasic_rs import MinerFactory

    miner = await MinerFactory().get_miner(roster.machines[ROWS[dialect]].host)
    assert miner is not None
    return miner


@pytest.mark.parametrize(
    ("dialect", "make", "model", "firmware"),
    [
        (LUXOS, "Antminer", "S19KPro", "LuxOS"),
        (ANTMINER, "Antminer", "S19jPro", "AntMiner Stock"),
        (WHATSMINER, "Whatsminer", "M60SVK40", "WhatsMiner Stock"),
    ],
)
def test_identifies(trio: Roster, dialect: str, make: str, model: str, firmware: str) -> None:
    """If this fails, a pretend machine's banner is not that of its make, model and firmware."""

    async def look() -> Any:
        async with World(trio, 3, ScaledClock(START_S)):
            return await found(trio, dialect)

    miner = asyncio.run(look())
    assert (miner.make, miner.model, miner.firmware) == (make, model, firmware)


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
    assert [fan.rpm > 1000 for fan in data.fans] == [True] * unit.hardware.fans
    assert [board.working_chips for board in data.hashboards] == [unit.hardware.chips] * 3
    assert (data.is_mining, data.mac, data.hostname) == (True, unit.mac, unit.hostname)
    assert data.uptime.total_seconds() > 3600
    (group,) = data.pools
    assert [pool.user for pool in group.pools] == [slot.user for slot in unit.pools]
    assert [pool.active for pool in group.pools] == [True, False, False]
    for board in data.hashboards:
        if dialect == WHATSMINER:
            middle_c = (board.inlet_chip_temperature + board.outlet_chip_temperature) / 2
            assert middle_c == pytest.approx(truth.chip_c[row], abs=6.0)
        elif dialect == ANTMINER:
            assert board.board_temperature == pytest.approx(truth.board_c[row], abs=6.0)
        else:
            assert board.outlet_chip_temperature == pytest.approx(truth.board_c[row], abs=6.0)
    if dialect == ANTMINER:
        assert data.wattage is None, "a stock Antminer does not say its watts"
    else:
        assert data.wattage == pytest.approx(truth.power_w[row], rel=0.05)
    if dialect == WHATSMINER:
        assert data.fluid_temperature == pytest.approx(25.0), "it takes the air's temperature for a fluid's"
        assert data.serial_number is None, "it does not read a WhatsMiner v3's serial number, which is there"
    else:
        assert data.serial_number == unit.serial


@pytest.mark.parametrize("dialect", [LUXOS, ANTMINER, WHATSMINER])
def test_sleeps_and_resumes(trio: Roster, dialect: str, until: Until) -> None:
    """If this fails, a client that we did not write cannot put a pretend machine to sleep and wake it, pools intact."""
    row = ROWS[dialect]

    async def control() -> tuple[Any, ...]:
        async with World(trio, 3, ScaledClock(START_S, FASTER)) as world:
            miner = await found(trio, dialect)
            pools = [(slot.url, slot.user, slot.password) for slot in world.units[row].pools]
            slept = await miner.pause()
            await until(lambda: world.truth.state[row] == State.SLEEPING)
            asleep = await miner.get_data()
            asleep_w = float(world.truth.power_w[row])
            resumed = await miner.resume()
            await until(lambda: world.truth.state[row] == State.HASHING)
            kept = [(slot.url, slot.user, slot.password) for slot in world.units[row].pools] == pools
            return slept, resumed, kept, asleep, asleep_w

    slept, resumed, kept, asleep, asleep_w = asyncio.run(control())
    assert (slept, resumed, kept) == (True, True, True)
    assert asleep_w < 60.0
    assert float(asleep.hashrate) == 0.0
    # Of a sleeping LuxOS machine asic-rs says that it mines: it has no reading for that, and "yes" is its default.
    assert asleep.is_mining is (dialect == LUXOS)


def test_sets_a_power_limit(trio: Roster) -> None:
    """If this fails, a WhatsMiner does not take the highest operating point within a limit that a client sets."""
    row = ROWS[WHATSMINER]

    async def control() -> tuple[Any, Any]:
        async with World(trio, 3, ScaledClock(START_S, FASTER)) as world:
            miner = await found(trio, WHATSMINER)
            return await miner.set_power_limit(3000.0), world.truth.target[row]

    done, target = asyncio.run(control())
    assert done
    assert trio.machines[row].modes[target].name == "low"


@pytest.mark.parametrize(
    ("dialect", "user", "honest"), [(WHATSMINER, "super", "says no"), (ANTMINER, "root", "raises")]
)
def test_a_wrong_password_is_not_called_done(trio: Roster, dialect: str, user: str, honest: str) -> None:
    """If this fails, asic-rs calls a refused pause done on dialects where it was honest, or a wrong password opens."""

    async def control() -> tuple[str, int]:
        async with World(trio, 3, ScaledClock(START_S)) as world:
            miner = await found(trio, dialect)
            miner.set_auth(user, "not the password")
            try:
                said = "says yes" if await miner.pause() else "says no"
            except RuntimeError:
                said = "raises"
            return said, int(world.truth.target[ROWS[dialect]])

    assert asyncio.run(control()) == (honest, trio.usual[ROWS[dialect]])


def test_finds_the_site_by_its_range(trio: Roster, block: str) -> None:
    """If this fails, a scan of a pretend site's addresses does not find its machines, and none besides."""

    async def scan() -> list[str]:
        from pyasic_rs import MinerFactory

        async with World(trio, 3, ScaledClock(START_S)):
            miners = await MinerFactory.from_range(f"{block}.1-12").with_concurrent_limit(12).scan()
            return sorted(str(miner.ip) for miner in miners)

    assert asyncio.run(scan()) == [machine.host for machine in trio.machines]
