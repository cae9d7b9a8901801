"""asic-rs (PyPI: pyasic-rs) as a dialect: the first choice for makes that have no driver of their own.

Identified once and kept; each look is one collection of the fields it needs. Makes that we speak to natively are not
written through it, and WhatsMiners are left alone altogether: the library may unlock their writes even when it only
reads.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from fleet import links
from fleet.driver import Unreachable, Unsupported
from fleet.drivers.library import (
    POWER_LIMIT,
    accepted,
    bounded,
    mode_by_power,
    mode_set,
    power_of,
    reachable_by_library,
    state_of,
    wakes_to,
)
from fleet.drivers.values import celsius, count, hashes, hottest, rate_ths, seconds, text, total_ths, watts
from fleet.links import Credentials
from fleet.machine import SLEEP_NAME, Machine, Mode
from fleet.reading import Board, Depth, Identity, Pool, Reading, State

IDENTIFY_DEADLINE_S: Final = 15.0
_NATIVE: Final = {"luxos": "luxos", "antminer stock": "antminer"}
_LEAN: Final = frozenset(
    ("Hashrate", "Wattage", "Hashboards", "IsMining", "OperatingState", "TuningTarget", "ScaledTuningTarget", "Uptime")
)
_STATES: Final = {
    **dict.fromkeys(("Starting", "Initializing", "Restarting"), State.STARTING),
    **dict.fromkeys(("Paused", "Stopped", "Stopping", "Suspended", "Idling"), State.SLEEPING),
    "Error": State.FAULTED,
}
_POWER_MODES: Final = ("low", "normal", "high")


def parse(data: Any, machine: Machine, depth: Depth) -> Reading:
    """A reading from the library's MinerData.

    Raises:
        Unreachable: nothing in it was said by the machine (the library returns an object for a dead one).
    """
    boards = tuple(_board(board) for board in (data.hashboards or ())[:32])
    rate, said_w = rate_ths(_ths(data.hashrate)), watts(data.wattage)
    rate = total_ths(boards) if rate is None else rate
    chip = hottest(board.chip_c for board in boards)
    if rate is None and said_w is None and chip is None:
        raise Unreachable(f"{machine.host}: asic-rs gave an object that says nothing of its machine: a dead one")
    seen = rate is not None and hashes(machine, rate)
    sleeps = data.is_mining is False and not seen
    state = state_of(hashes=seen, sleeps=sleeps, said=_STATES.get(type(data.operating_state).__name__, State.UNKNOWN))
    mode = mode_set(machine, _target(machine, data.tuning_target), sleeps=sleeps)
    power, measured = power_of(machine, said_w, mode, state)
    full: dict[str, Any] = {}
    if depth is Depth.FULL:
        full = {
            "boards": boards,
            "fans_rpm": tuple(rpm for fan in (data.fans or ())[:16] if (rpm := count(round(fan.rpm or 0)))),
            "pools": pools_of(data.pools),
            "errors": tuple(said for row in (data.messages or ())[:64] if (said := text(row.message))),
            "identity": Identity(
                text(data.device_info.model),
                text(data.firmware_version),
                text(str(data.mac or "")),
                text(data.serial_number),
                text(data.hostname),
            ),
        }
    return Reading(
        state=state,
        mode=mode,
        hashrate_ths=rate,
        power_w=power,
        power_measured=measured,
        chip_c=chip,
        board_c=hottest(board.board_c for board in boards),
        uptime_s=seconds(data.uptime.total_seconds()) if data.uptime is not None else None,
        depth=depth,
        **full,
    )


def pools_of(groups: Any) -> tuple[Pool, ...]:
    """The pools of all groups in their order."""
    rows = [pool for group in (groups or ())[:16] for pool in group.pools[:16]]
    return tuple(
        Pool(str(row.url), row.user or "", place, row.active, count(row.accepted_shares), count(row.rejected_shares))
        for place, row in enumerate(rows)
        if row.url is not None
    )


def _ths(rate: Any) -> float | None:
    """A HashRate in TH/s."""
    return None if rate is None else float(rate.into_unit(type(rate.unit).TeraHash).value)


def _board(board: Any) -> Board:
    sensors = (board.inlet_chip_temperature, board.outlet_chip_temperature)
    return Board(
        rate_ths(_ths(board.hashrate)), celsius(board.board_temperature), hottest(sensors), count(board.working_chips)
    )


def _target(machine: Machine, target: Any) -> str | None:
    """The name of an operating point by the library's tuning target."""
    if target is None:
        return None
    if target.watts is not None:
        return mode_by_power(machine, target.watts)
    if target.target_mode is not None:
        return str(target.target_mode).rpartition(".")[2].lower()
    return text(target.preset_name)


async def _identify(host: str) -> Any:
    from pyasic_rs import MinerFactory

    return await MinerFactory().get_miner(host)


class AsicRs:
    """One machine through asic-rs."""

    def __init__(
        self,
        machine: Machine,
        credentials: Credentials,
        *,
        read_deadline_s: float = links.READ_DEADLINE_S,
        write_deadline_s: float = links.WRITE_DEADLINE_S,
        identify: Callable[[str], Awaitable[Any]] = _identify,
    ) -> None:
        self._machine = machine
        self._credentials = credentials
        self._read_deadline_s = read_deadline_s
        self._write_deadline_s = write_deadline_s
        self._identify = identify
        self._miner: Any = None

    async def read(self, depth: Depth) -> Reading:
        """See fleet.driver.Driver."""
        miner = await self._identified()
        where = f"{self._machine.host} asic-rs {depth.name.lower()} read"
        if depth is Depth.POOLS:
            pools = pools_of(await bounded(miner.get_pools(), self._read_deadline_s, where))
            if not pools:
                raise Unreachable(f"{where}: no pools; the library gives none for a dead machine either")
            return Reading(State.UNKNOWN, None, None, None, pools=pools, depth=depth)
        data = await bounded(miner.get_data(exclude=_others(depth)), self._read_deadline_s, where)
        return parse(data, self._machine, depth)

    async def set_mode(self, mode: Mode) -> None:
        """See fleet.driver.Driver. What the library answers is not believed, unless it is no."""
        miner = await self._identified()
        where = f"{self._machine.host} asic-rs {mode.name}"
        if native := _NATIVE.get(str(miner.firmware).lower()):
            raise Unsupported(f"{where}: {miner.firmware} is not written through a library; use dialect {native!r}")
        if mode.name == SLEEP_NAME:
            self._supported(miner.supports_pause, where)
            accepted(await bounded(miner.pause(), self._write_deadline_s, where), where)
            return
        if not wakes_to(self._machine, mode):
            await self._tune(miner, mode, where)
        if await bounded(miner.get_is_mining(), self._read_deadline_s, where) is False:
            self._supported(miner.supports_resume, where)
            accepted(await bounded(miner.resume(), self._write_deadline_s, where), where)

    async def close(self) -> None:
        """See fleet.driver.Driver."""
        self._miner = None

    async def _identified(self) -> Any:
        if self._miner is None:
            reachable_by_library(self._machine, "asic-rs")
            where = f"{self._machine.host} asic-rs identification"
            miner = await bounded(self._identify(self._machine.host), IDENTIFY_DEADLINE_S, where)
            if miner is None:
                raise Unreachable(f"{where}: no machine that it knows")
            if "whatsminer" in f"{miner.make} {miner.firmware}".lower():
                raise Unsupported(
                    f"{where}: a WhatsMiner, whose writes asic-rs may unlock even when it reads;"
                    " use dialect 'whatsminer-v3', or 'pyasic' for API v2"
                )
            if self._credentials.password:
                miner.set_auth(self._credentials.username, self._credentials.password)
            self._miner = miner
        return self._miner

    async def _tune(self, miner: Any, mode: Mode, where: str) -> None:
        from pyasic_rs import asic_rs

        if limit := POWER_LIMIT.fullmatch(mode.name):
            self._supported(miner.supports_set_power_limit, where)
            call = miner.set_power_limit(float(limit[1]))
        else:
            self._supported(miner.supports_tuning_config, where)
            tuning = cast("Any", asic_rs).TuningConfig
            target = (
                tuning.mode(getattr(asic_rs.MiningMode, mode.name.capitalize()))
                if mode.name in _POWER_MODES
                else tuning.preset(mode.name)
            )
            call = miner.set_tuning_config(target)
        accepted(await bounded(call, self._write_deadline_s, where), where)

    def _supported(self, supports: bool, where: str) -> None:
        if not supports:
            raise Unsupported(f"{where}: asic-rs cannot ask this firmware for that")


def _others(depth: Depth) -> list[Any]:
    """The fields that a look leaves out: all but a few for a lean one, the chips' table for a full one."""
    from pyasic_rs.asic_rs import DataField

    names = [name for name in vars(DataField) if name[:1].isupper()]
    return [
        getattr(DataField, name) for name in names if (name == "Chips" if depth is Depth.FULL else name not in _LEAN)
    ]
