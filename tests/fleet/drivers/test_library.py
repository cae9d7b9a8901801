"""The library drivers: their ambiguous answers, made honest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace as Thing
from typing import Any

import pytest

from fleet.driver import DriverError, Garbled, Refused, Unreachable, Unsupported
from fleet.drivers.library import bounded
from fleet.drivers.library_asicrs import AsicRs
from fleet.drivers.library_pyasic import NOT_WRITTEN, PyAsic
from fleet.links import Credentials
from fleet.machine import Machine, Mode
from fleet.reading import Depth, Pool, State

SLEEP, ON, LIMIT = Mode("sleep", 10, 0.0), Mode("on", 1200, 60.0), Mode("900W", 900, 50.0)


def machine(*modes: Mode, dialect: str = "asic-rs") -> Machine:
    """A machine behind a library."""
    return Machine("m1", "Avalon Q", dialect, "127.0.0.1", (SLEEP, *(modes or (ON,))), (modes or (ON,))[-1].name)


class Unit:
    """The libraries' units, as far as they are asked for."""

    TH = TeraHash = "TH"


class Rate(Thing):
    """A hash rate of either library."""

    unit = Unit()

    def into(self, unit: str) -> float:
        """In TH/s, for pyasic."""
        assert unit == "TH"
        return float(self.ths)

    def into_unit(self, unit: str) -> Thing:
        """In TH/s, for asic-rs."""
        return Thing(value=self.into(unit))


def data(ths: float | None = 60.0, watts: float | None = 1190.0, **changes: Any) -> Thing:
    """What either library collects of a machine."""
    rate = None if ths is None else Rate(ths=ths)
    board = Thing(
        hashrate=rate,
        board_temperature=50.0,
        inlet_chip_temperature=60.0,
        outlet_chip_temperature=71.0,
        working_chips=100,
        temp=50.0,
        inlet_temp=None,
        outlet_temp=49.0,
        chip_temp=71.0,
        chips=100,
    )
    pool = Thing(
        url="stratum+tcp://a", user="w", active=True, accepted_shares=5, rejected_shares=1, accepted=5, rejected=1
    )
    common = {
        "hashrate": rate,
        "raw_hashrate": rate,
        "wattage": watts,
        "hashboards": [board] if ths is not None else [],
        "is_mining": True,
        "operating_state": None,
        "tuning_target": None,
        "raw_wattage_limit": None,
        "uptime": None,
        "fans": [Thing(rpm=3000.0, speed=3000)],
        "pools": [Thing(pools=[pool])],
        "messages": [Thing(message="fan 1 slow")],
        "errors": [Thing(error_code=7, error_message="fan 1 slow")],
        "device_info": Thing(model="Avalon Q"),
        "firmware_version": "1.0",
        "fw_ver": "1.0",
        "mac": "aa:bb",
        "serial_number": "s",
        "hostname": "h",
    }
    return Thing(**{**common, **changes})


class Miner:
    """A miner of either library that answers what it is given, and counts what it is asked."""

    make, firmware = "Avalon", "Avalon Stock"
    supports_pause = supports_resume = supports_shutdown = supports_set_power_limit = supports_tuning_config = True

    def __init__(self, answer: Any = None, *, mining: bool = True, says: Any = True, delay_s: float = 0.0) -> None:
        self.answer = answer if answer is not None else data()
        self.mining = mining
        self.says = says
        self.delay_s = delay_s
        self.asked: list[str] = []
        self.signed_in: list[str] = []

    def set_auth(self, username: str, password: str) -> None:
        """Take credentials."""
        self.signed_in += [username, password]

    async def get_data(self, **_: Any) -> Any:
        """The collected data."""
        await asyncio.sleep(self.delay_s)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def get_pools(self) -> Any:
        """The pools alone: grouped in asic-rs, flat in pyasic."""
        return self.answer.pools

    async def get_is_mining(self) -> bool:
        """What asic-rs says."""
        return self.mining

    async def is_mining(self) -> bool:
        """What pyasic says."""
        return self.mining

    async def _write(self, name: str) -> Any:
        self.asked.append(name)
        return self.says

    async def pause(self) -> Any:
        """asic-rs."""
        return await self._write("stop")

    async def resume(self) -> Any:
        """asic-rs."""
        return await self._write("start")

    async def stop_mining(self) -> Any:
        """pyasic."""
        return await self._write("stop")

    async def resume_mining(self) -> Any:
        """pyasic."""
        return await self._write("start")

    async def set_power_limit(self, watts: float) -> Any:
        """Both."""
        return await self._write(f"{watts:g} W")


LIBRARIES: list[Callable[..., Any]] = [AsicRs, PyAsic]


def driver(library: Callable[..., Any], miner: Any, *modes: Mode, deadline_s: float = 1.0) -> Any:
    """A driver whose library identifies this miner."""

    async def identify(host: str) -> Any:
        assert host == "127.0.0.1"
        return miner

    return library(
        machine(*modes),
        Credentials("u", "hunter2"),
        read_deadline_s=deadline_s,
        write_deadline_s=deadline_s,
        identify=identify,
    )


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("answer", "state", "mode", "ths"),
    [
        (data(), State.HASHING, "on", 60.0),
        (data(0.0, 12.0, is_mining=False), State.SLEEPING, "sleep", 0.0),
        (data(0.0, 900.0), State.UNKNOWN, "on", 0.0),
        (data(60.0, is_mining=False), State.HASHING, "on", 60.0),
        (data(1e9), State.UNKNOWN, "on", None),
        (data(60.0, hashrate=None, raw_hashrate=None), State.HASHING, "on", 60.0),  # the sum of its boards
    ],
)
def test_a_reading(library: Any, answer: Any, state: State, mode: str, ths: float | None) -> None:
    """is_mining is True by default in both libraries: only hashes tell that a machine hashes."""
    reading = asyncio.run(driver(library, Miner(answer)).read(Depth.LEAN))
    assert (reading.state, reading.mode, reading.hashrate_ths) == (state, mode, ths)
    assert reading.power_measured
    if ths:
        assert (reading.chip_c, reading.board_c) == (71.0, 50.0)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("answer", "power_w"),
    [
        (data(60.0, None), 1200.0),
        (data(0.0, None, is_mining=False), 10.0),
        (data(60.0, None, is_mining=False), 1200.0),
        (data(0.0, None), None),
    ],
)
def test_no_watts_are_the_nameplates(library: Any, answer: Any, power_w: float | None) -> None:
    """A machine that measures nothing would count as unknown; one that does neither hash nor sleep is."""
    reading = asyncio.run(driver(library, Miner(answer)).read(Depth.LEAN))
    assert (reading.power_w, reading.power_measured) == (power_w, False)


def test_a_power_target_names_the_mode() -> None:
    """A ladder of power limits would never be confirmed."""
    by_watts = data(tuning_target=Thing(watts=900.4, target_mode=None, preset_name=None), raw_wattage_limit=900)
    off = data(tuning_target=Thing(watts=800.0, target_mode=None, preset_name=None), raw_wattage_limit=800)
    modes = (LIMIT, ON)
    assert asyncio.run(driver(AsicRs, Miner(by_watts), *modes).read(Depth.LEAN)).mode == "900W"
    assert asyncio.run(driver(PyAsic, Miner(by_watts), *modes).read(Depth.LEAN)).mode == "900W"
    assert asyncio.run(driver(AsicRs, Miner(off), *modes).read(Depth.LEAN)).mode == "800W"
    assert asyncio.run(driver(PyAsic, Miner(off), *modes).read(Depth.LEAN)).mode is None


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_full_reading_and_the_pools(library: Any) -> None:
    """Every make beyond the native ones would have no identity, fans, boards or pools."""
    answer = data()
    if library is PyAsic:
        answer.pools = answer.pools[0].pools
    lib = driver(library, Miner(answer))
    full, pools = asyncio.run(_both(lib))
    assert full.pools == pools.pools == (Pool("stratum+tcp://a", "w", 0, True, 5, 1),)
    assert (full.fans_rpm, full.boards[0].chips, full.identity.model) == ((3000,), 100, "Avalon Q")
    assert "fan 1 slow" in full.errors[0]


async def _both(lib: Any) -> Any:
    full, pools = await lib.read(Depth.FULL), await lib.read(Depth.POOLS)
    await lib.close()
    return full, pools


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("miner", "error", "words"),
    [
        (None, Unreachable, "no machine that it knows"),
        (Miner(data(None, None)), Unreachable, "a dead one"),
        (Miner(delay_s=30), Unreachable, "no answer in 0.2 s"),
        (Miner(ConnectionError("x")), Unreachable, "ConnectionError"),
        (Miner(KeyError("hunter2")), Garbled, "KeyError"),
    ],
)
def test_a_dead_or_failing_machine(library: Any, miner: Any, error: type[DriverError], words: str) -> None:
    """Both libraries return an object for a dead machine, and pyasic waits minutes for a hung one."""
    started = time.monotonic()
    with pytest.raises(error, match=words) as caught:
        asyncio.run(driver(library, miner, deadline_s=0.2).read(Depth.LEAN))
    assert time.monotonic() - started < 2
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("modes", "mining", "mode", "asked"),
    [
        ((ON,), True, SLEEP, ["stop"]),
        ((ON,), False, ON, ["start"]),
        ((ON,), True, ON, []),
        ((LIMIT, ON), True, LIMIT, ["900 W"]),
        ((LIMIT, ON), False, LIMIT, ["900 W", "start"]),
    ],
)
def test_what_is_sent(library: Any, modes: tuple[Mode, ...], mining: bool, mode: Mode, asked: list[str]) -> None:
    """A wake before its limit ramps to a point it was not allowed."""
    miner = Miner(mining=mining)
    assert asyncio.run(driver(library, miner, *modes).set_mode(mode)) is None
    assert miner.asked == asked


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("says", [False, None])
def test_no_is_no(library: Any, says: Any) -> None:
    """A refusal that passes as sent is found out only after the time to confirm."""
    with pytest.raises(Refused, match="not accepted"):
        asyncio.run(driver(library, Miner(says=says)).set_mode(SLEEP))


@pytest.mark.parametrize("name", NOT_WRITTEN)
def test_pyasic_does_not_write_what_it_could_blank(name: str) -> None:
    """pyasic's stop on a stock Antminer has written three blank pools and returned True."""
    miner = type(name, (Miner,), {})()
    with pytest.raises(Unsupported, match=name):
        asyncio.run(driver(PyAsic, miner).set_mode(SLEEP))
    assert miner.asked == []


@pytest.mark.parametrize(("firmware", "dialect"), [("LuxOS", "luxos"), ("AntMiner Stock", "antminer")])
def test_asicrs_does_not_write_what_we_speak(firmware: str, dialect: str) -> None:
    """The native dialects read back and keep the pools; the library must not be a way round them."""
    miner = Miner()
    miner.firmware = firmware
    with pytest.raises(Unsupported, match=dialect):
        asyncio.run(driver(AsicRs, miner).set_mode(SLEEP))
    assert miner.asked == []


def test_asicrs_leaves_whatsminers_alone() -> None:
    """It may unlock their writes even when it only reads."""
    miner = Miner()
    miner.make, miner.firmware = "WhatsMiner", "WhatsMiner Stock"
    with pytest.raises(Unsupported, match="whatsminer-v3"):
        asyncio.run(driver(AsicRs, miner).read(Depth.LEAN))


@pytest.mark.parametrize("library", LIBRARIES)
def test_mapped_ports_are_refused(library: Any) -> None:
    """The libraries would speak to another machine, or to none."""
    mapped = Machine("m1", "Avalon Q", "asic-rs", "127.0.0.1", (SLEEP, ON), "on", ports={"api": 14028})
    with pytest.raises(Unsupported, match="ports"):
        asyncio.run(library(mapped, Credentials()).read(Depth.LEAN))


def test_a_call_that_ignores_its_cancellation() -> None:
    """A library that swallows the cancellation would hold a poller beyond its deadline."""

    async def stubborn() -> None:
        for _ in range(3):
            try:
                await asyncio.sleep(0.5)
            except asyncio.CancelledError:
                continue

    started = time.monotonic()

    async def main() -> float:
        with pytest.raises(Unreachable):
            await bounded(stubborn(), 0.1, "here")
        return time.monotonic() - started

    assert asyncio.run(main()) < 0.4


def test_a_call_that_is_given_up_is_cancelled() -> None:
    """Calls left running would pile up, one each poll of a hung machine."""
    ends: list[str] = []

    async def hung() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    async def main() -> None:
        with pytest.raises(Unreachable):
            await bounded(hung(), 0.05, "here")
        await asyncio.sleep(0)
        assert ends == ["cancelled"]  # and not by the end of the loop

    asyncio.run(main())
    assert ends == ["cancelled"]
