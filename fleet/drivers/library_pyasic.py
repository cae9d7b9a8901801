"""pyasic as a dialect: for what asic-rs lacks.

Identified once and kept; each look collects the fields it needs under a deadline of our own (a hung port costs the
library minutes). Firmware that we speak to natively is not written through it, nor any whose stop rewrites the
configuration: when reading that fails once, pyasic writes three blank pools and returns True.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

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
from fleet.drivers.values import celsius, count, hashes, hottest, number, rate_ths, seconds, text, total_ths, watts
from fleet.links import Credentials
from fleet.machine import SLEEP_NAME, Machine, Mode
from fleet.reading import Board, Depth, Identity, Pool, Reading, State

IDENTIFY_DEADLINE_S: Final = 15.0
NOT_WRITTEN: Final = {
    "AntminerModern": "use dialect 'antminer'",
    "AntminerOld": "its stop rewrites the configuration, pools included",
    "HiveonModern": "its stop rewrites the configuration, pools included",
    "LUXMiner": "use dialect 'luxos'",
    "BTMinerV3": "use dialect 'whatsminer-v3'",
}
"""pyasic's backends that are read and never written through it, and what to do instead."""
_LEAN: Final = ["hashrate", "hashboards", "wattage", "wattage_limit", "is_mining", "uptime"]
_FULL: Final = [*_LEAN, "fans", "pools", "errors", "mac", "fw_ver", "hostname", "serial_number"]


def parse(data: Any, machine: Machine, depth: Depth) -> Reading:
    """A reading from the library's MinerData.

    Raises:
        Unreachable: nothing in it was said by the machine (the library returns an object for a dead one).
    """
    boards = tuple(_board(board) for board in (data.hashboards or ())[:32])
    rate, said_w = rate_ths(_ths(data.raw_hashrate)), watts(data.wattage)
    rate = total_ths(boards) if rate is None else rate
    chip = hottest(board.chip_c for board in boards)
    if rate is None and said_w is None and chip is None:
        raise Unreachable(f"{machine.host}: pyasic gave an object that says nothing of its machine: a dead one")
    seen = rate is not None and hashes(machine, rate)
    sleeps = data.is_mining is False and not seen
    state = state_of(hashes=seen, sleeps=sleeps)
    # A limit is a target only where the ladder is one of limits: firmware with modes of its own reports one too.
    limited = mode_by_power(machine, number(data.raw_wattage_limit, 1.0, 1e5))
    named = limited if limited and POWER_LIMIT.fullmatch(limited) and machine.mode_named(limited) > 0 else None
    mode = mode_set(machine, named, sleeps=sleeps)
    power, measured = power_of(machine, said_w, mode, state)
    full: dict[str, Any] = {}
    if depth is Depth.FULL:
        info = data.device_info
        full = {
            "boards": boards,
            "fans_rpm": tuple(rpm for fan in (data.fans or ())[:16] if (rpm := count(fan.speed))),
            "pools": pools_of(data.pools),
            "errors": tuple(
                f"{getattr(row, 'error_code', '')} {getattr(row, 'error_message', '')}".strip()
                for row in data.errors[:64]
            ),
            "identity": Identity(
                text(str(info.model)) if info else None,
                text(data.fw_ver),
                text(data.mac),
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
        uptime_s=seconds(data.uptime),
        depth=depth,
        **full,
    )


def pools_of(rows: Any) -> tuple[Pool, ...]:
    """The pools in their order."""
    return tuple(
        Pool(str(row.url), row.user or "", place, row.active, count(row.accepted), count(row.rejected))
        for place, row in enumerate((rows or ())[:64])
        if row.url is not None
    )


def _ths(rate: Any) -> float | None:
    """A rate of the library's in TH/s."""
    return None if rate is None else float(rate.into(type(rate.unit).TH))


def _board(board: Any) -> Board:
    sensors = (board.temp, board.inlet_temp, board.outlet_temp)
    return Board(rate_ths(_ths(board.hashrate)), hottest(sensors), celsius(board.chip_temp), count(board.chips))


async def _identify(host: str) -> Any:
    import pyasic

    return await pyasic.get_miner(host)


class PyAsic:
    """One machine through pyasic."""

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
        where = f"{self._machine.host} pyasic {depth.name.lower()} read"
        if depth is Depth.POOLS:
            pools = pools_of(await bounded(miner.get_pools(), self._read_deadline_s, where))
            if not pools:
                raise Unreachable(f"{where}: no pools; the library gives none for a dead machine either")
            return Reading(State.UNKNOWN, None, None, None, pools=pools, depth=depth)
        fields = _LEAN if depth is Depth.LEAN else _FULL
        return parse(
            await bounded(miner.get_data(include=list(fields)), self._read_deadline_s, where), self._machine, depth
        )

    async def set_mode(self, mode: Mode) -> None:
        """See fleet.driver.Driver. What the library answers is not believed, unless it is no."""
        miner = await self._identified()
        where = f"{self._machine.host} pyasic {mode.name}"
        for kind in type(miner).__mro__:
            if kind.__name__ in NOT_WRITTEN:
                raise Unsupported(
                    f"{where}: {kind.__name__} is not written through pyasic: {NOT_WRITTEN[kind.__name__]}"
                )
        if mode.name == SLEEP_NAME:
            if not miner.supports_shutdown:
                raise Unsupported(f"{where}: pyasic cannot ask this firmware to stop")
            accepted(await bounded(miner.stop_mining(), self._write_deadline_s, where), where)
            return
        if limit := POWER_LIMIT.fullmatch(mode.name):
            accepted(await bounded(miner.set_power_limit(int(limit[1])), self._write_deadline_s, where), where)
        elif not wakes_to(self._machine, mode):
            raise Unsupported(f"{where}: pyasic sets no operating point by name, only power limits (<n>W)")
        if await bounded(miner.is_mining(), self._read_deadline_s, where) is False:
            accepted(await bounded(miner.resume_mining(), self._write_deadline_s, where), where)

    async def close(self) -> None:
        """See fleet.driver.Driver."""
        self._miner = None

    async def _identified(self) -> Any:
        if self._miner is None:
            reachable_by_library(self._machine, "pyasic")
            where = f"{self._machine.host} pyasic identification"
            miner = await bounded(self._identify(self._machine.host), IDENTIFY_DEADLINE_S, where)
            if miner is None:
                raise Unreachable(f"{where}: no machine that it knows")
            if self._credentials.password:
                for side in (getattr(miner, "rpc", None), getattr(miner, "web", None)):
                    if side is not None:
                        side.pwd = self._credentials.password
                        if self._credentials.username and hasattr(side, "username"):
                            side.username = self._credentials.username
            self._miner = miner
        return self._miner
