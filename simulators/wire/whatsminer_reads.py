"""What a WhatsMiner says of itself over API v3: device info, status and settings.

Replies follow the captures (tests/fleet/captures/whatsminer_v3, of an M60S) key by key. Documented only (matroskin
0.1.0 on docs.rs, tetherto/mdk, asic-rs): `get.miner.setting`, the pools' `id`, `reject-percent` and `last-share-time`,
the error codes, and what a stopped machine answers: zeros, or with the quirk "btminer process is down err".
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fleet.machine import SLEEP
from fleet.reading import State
from simulators.faults import Quirk
from simulators.instruments import Telemetry
from simulators.mining.mined import SlotCount
from simulators.unit import PoolSlot, Unit
from simulators.wire.cgminer import Reply

FIRMWARE = "20251209.16.Rel2"
API = "3.0.2"
FAILED = -1
POWER_MODES = ("low", "normal", "high")
PROCESS_DOWN = "btminer process is down err"
STATUS_PARTS = ("summary", "edevs", "pools")


def type_name(unit: Unit) -> str:
    """The model without its make, and the hash boards' variant: "M60S_VK40"."""
    return f"{unit.machine.model.split()[-1].upper()}_{unit.hardware.variant or 'VK40'}"


def device_info(unit: Unit, t: Telemetry, param: Any) -> tuple[int, Any]:
    """`get.device.info`: all sections, or the one that is asked for."""
    sections = {
        "network": _network(unit),
        "miner": _miner(unit, t),
        "system": {
            "api": API,
            "platform": "H616",
            "fwversion": FIRMWARE,
            "control-board-version": "CB6V10",
            "apiswitch": "1",
            "ledstatus": "manual" if unit.light else "auto",
        },
        "power": _supply(unit, t),
        "salt": unit.token("salt"),
    }
    errors = _errors(unit, t)
    if errors:
        sections["error-code"] = errors
    if param is None or param == "":
        return 0, sections
    if param == "error-code":
        return 0, {"error-code": errors}
    if param not in sections:
        return FAILED, f"unknown param {param!s:.40}"
    return 0, {param: sections[param]}


def _network(unit: Unit) -> Reply:
    return {
        "ip": unit.machine.host,
        "proto": "dhcp",
        "netmask": "255.0.0.0",
        "dns": "127.0.0.1",
        "mac": unit.mac,
        "gateway": "127.0.0.1",
        "hostname": unit.hostname,
    }


def _miner(unit: Unit, t: Telemetry) -> Reply:
    boards = range(len(t.board_rate))
    factory = round(factory_ths(unit) * 1000 / len(t.board_rate))
    return {
        "working": "false" if t.target == SLEEP else "true",
        "type": type_name(unit),
        "hash-board": unit.hardware.board,
        "detect-hash-rate": ":".join(str(factory) for _ in boards),
        "pool-strategy": "FAILOVER",
        "hash-percent": "0",
        "fast-boot": "disable",
        "board-num": str(len(t.board_rate)),
        "miner-sn": unit.serial,
        **{f"pcbsn{board}": f"{unit.serial}B{board}" for board in boards},
        **{f"chipdata{board}": f"K8EC37{board}-2426 BINVE6-197806A" for board in boards},
    }


def _supply(unit: Unit, t: Telemetry) -> Reply:
    return {
        "type": "P221B",
        "mode": str(POWER_MODES.index(power_mode(unit, t))),
        "hwversion": "RT0159",
        "swversion": "230224.220429",
        "model": "P221B",
        "fanspeed": 6344 if t.target != SLEEP else 1200,
        "sn": f"P{unit.serial}",
        "vendor": "1",
    }


def _errors(unit: Unit, t: Telemetry) -> Any:
    """Codes as the maker lists them: 110 + fan lost, 350 too hot, 530 + board not found."""
    if t.target == SLEEP and unit.quirk(Quirk.PROCESS_DOWN):
        return PROCESS_DOWN
    at = datetime.fromtimestamp(t.at_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
    found = [(110 + fan, "Fan speed error") for fan, rpm in enumerate(t.fans_rpm) if rpm == 0]
    found += [(530 + board, "Slot not found") for board, share in enumerate(t.board_rate) if not share]
    if t.state == State.FAULTED and max(t.chip_c) > 80:
        found.append((350, "Temperature protecting"))
    return [{str(code): at, "reason": reason} for code, reason in found]


def factory_ths(unit: Unit) -> float:
    """The hash rate that it left the factory with."""
    return unit.machine.modes[unit.machine.mode_named(unit.machine.usual)].hashrate_ths


def power_mode(unit: Unit, t: Telemetry) -> str:
    """low, normal or high, by the operating point that is set or that it will wake to."""
    name = unit.machine.modes[unit.awake_mode(t)].name
    return name if name in POWER_MODES else "normal"


def power_limit(unit: Unit) -> int:
    """The limit that was set, W, or else what the highest operating point draws."""
    limit = unit.settings.get("power-limit")
    return limit if limit is not None else round(unit.machine.modes[-1].power_w)


def status(unit: Unit, t: Telemetry, param: Any) -> tuple[int, Any]:
    """`get.miner.status`: the parts that are asked for, joined by "+"."""
    if t.target == SLEEP and unit.quirk(Quirk.PROCESS_DOWN):
        return FAILED, PROCESS_DOWN
    wanted = str(param or "").split("+")
    makers = {"summary": summary, "edevs": _edevs, "pools": _pools}
    if not all(part in STATUS_PARTS for part in wanted):
        return FAILED, f"unknown param {param!s:.40}"
    return 0, {part: makers[part](unit, t) for part in wanted}


def summary(unit: Unit, t: Telemetry) -> Reply:
    """The summary part of the status; hash rates in TH/s."""
    fans = (*t.fans_rpm, 0, 0)
    return {
        "elapsed": int(t.elapsed_s),
        "bootup-time": int(unit.now() - unit.booted_s),
        "freq-avg": frequency_mhz(unit, t) if t.target != SLEEP else 0,
        "factory-hash": float(factory_ths(unit)),
        "hash-average": round(t.rate_av_ths, 3),
        "hash-1min": round(t.rate_1m_ths, 3),
        "hash-15min": round(t.rate_15m_ths, 3),
        "hash-realtime": round(t.rate_ths, 3),
        "power-rate": round(t.power_w / t.rate_ths, 2) if t.rate_ths > 1.0 else 0.0,
        "power-5min": float(round(t.power_w, 1)),
        "power-realtime": float(round(t.power_w, 1)),
        "power-limit": power_limit(unit),
        "environment-temperature": float(round(t.ambient_c, 1)),
        "board-temperature": [round(c, 1) for c in t.board_c],
        "chip-temp-min": round(min(t.chip_c) - t.chip_spread_c, 1),
        "chip-temp-avg": round(sum(t.chip_c) / len(t.chip_c), 1),
        "chip-temp-max": round(max(t.chip_c) + t.chip_spread_c, 1),
        "fan-speed-in": fans[0],
        "fan-speed-out": fans[1],
        "up-freq-finish": int(t.state == State.HASHING),
        "Debug": "",
    }


def frequency_mhz(unit: Unit, t: Telemetry) -> int:
    """The frequency at the operating point that is set or that it will wake to."""
    return round(625 * unit.machine.modes[unit.awake_mode(t)].hashrate_ths / factory_ths(unit))


def _edevs(unit: Unit, t: Telemetry) -> list[Reply]:
    factory = round(factory_ths(unit) / len(t.board_rate), 3)
    frequency = float(frequency_mhz(unit, t))
    return [
        {
            "id": board,
            "hash-average": round(t.board_ths(board, t.rate_av_ths), 3),
            "hash-realtime": round(t.board_ths(board, t.rate_ths), 3),
            "factory-hash": factory,
            "freq": frequency if t.target != SLEEP else 0.0,
            "effective-chips": unit.hardware.chips if share else 0,
            "chip-temp-min": round(t.chip_c[board] - t.chip_spread_c, 1),
            "chip-temp-avg": round(t.chip_c[board], 1),
            "chip-temp-max": round(t.chip_c[board] + t.chip_spread_c, 1),
            "status": "alive" if share else "dead",
        }
        for board, share in enumerate(t.board_rate)
    ]


def _pools(unit: Unit, t: Telemetry) -> list[Reply]:
    return [_pool(unit.pool_count(t, index), index, slot) for index, slot in enumerate(unit.pools)]


def _pool(count: SlotCount, index: int, slot: PoolSlot) -> Reply:
    found = count.accepted + count.rejected
    return {
        "id": index + 1,
        "url": slot.url,
        "account": slot.user,
        "status": "alive" if slot.url and not count.dead else "dead",
        "stratum-active": count.active,
        "pool-priority": index,
        "reject-percent": round(100.0 * count.rejected / found, 3) if found else 0.0,
        "last-share-time": int(count.last_s),
    }


def setting(unit: Unit, t: Telemetry, _param: Any) -> tuple[int, Any]:
    """`get.miner.setting`."""
    limit = power_limit(unit)
    return 0, {
        "power-limit": limit,
        "upfreq-speed": 0,
        "power-mode": power_mode(unit, t),
        "fast-boot": "disable",
        "target-freq": 0,
        "fast-mining": "disable",
        "power": limit,
        "power-percent": 0,
    }
