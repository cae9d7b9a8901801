"""A WhatsMiner's port 4028: the read-only part of API v2 that firmwares with API v3 keep.

From the captures (tests/simulators/captures/whatsminer_v2): the commands by which clients recognise the make and its
version, and the summary and pools. Writes of v2 are encrypted and switched off on this firmware: none is known here.
"""

from __future__ import annotations

from collections.abc import Callable

from typing_extensions import override

from fleet.machine import SLEEP
from fleet.reading import State
from simulators.instruments import Telemetry
from simulators.mining.mined import SlotCount
from simulators.unit import PoolSlot, Unit
from simulators.wire.cgminer import CgminerConversation, Reply
from simulators.wire.whatsminer_reads import (
    API,
    FIRMWARE,
    factory_ths,
    frequency_mhz,
    power_limit,
    power_mode,
    summary,
    type_name,
)


class WhatsminerV2Conversation(CgminerConversation):
    """One request on port 4028: what API v2 reads. Its writes are encrypted and switched off on this firmware."""

    @override
    def describes(self) -> str:
        """The miner's name and version."""
        return "btminer"

    @override
    def writes(self, command: str) -> bool:
        """Nothing is written over this port."""
        return False

    @override
    def perform(self, command: str, parameter: str) -> Reply:
        """One command."""
        unit, t = self.unit, self.unit.telemetry()
        message = V2_MESSAGES.get(command)
        if message is not None:
            return {"STATUS": "S", "When": int(t.at_s), "Code": 131, "Msg": message(unit, t), "Description": ""}
        match command:
            case "devdetails":
                boards = range(len(t.board_rate))
                entries = [{"DEVDETAILS": board, **_DETAILS, "ID": board, "Model": type_name(unit)} for board in boards]
                return self.success(69, "Device Details", devdetails=entries)
            case "summary":
                return self.success(11, "Summary", summary=[_v2_summary(unit, t)])
            case "pools":
                pools = [_v2_pool(unit.pool_count(t, index), index, slot) for index, slot in enumerate(unit.pools)]
                return self.success(7, f"{len(pools)} Pool(s)", pools=pools)
            case _:
                return {"STATUS": "E", "When": int(t.at_s), "Code": 14, "Msg": "invalid cmd", "Description": ""}


_DETAILS = {"Name": "SM", "Driver": "bitmicro", "Kernel": ""}


def _v2_version(_unit: Unit, _t: Telemetry) -> Reply:
    return {"api_ver": API, "fw_ver": FIRMWARE, "platform": "H616", "chip": "K8EC370-2426"}


def _v2_info(unit: Unit, _t: Telemetry) -> Reply:
    return {"hostname": unit.hostname, "mac": unit.mac, "ledstat": "manual" if unit.light else "auto"}


def _v2_status(unit: Unit, t: Telemetry) -> Reply:
    off = t.target == SLEEP
    return {
        "FirmwareVersion": FIRMWARE,
        "hash_percent": "0",
        "mineroff": "true" if off else "false",
        "mineroff_reason": "api" if off else "",
        "mineroff_time": "",
        "power_limit_set": str(power_limit(unit)),
        "power_mode": power_mode(unit, t),
    }


def _v2_summary(unit: Unit, t: Telemetry) -> Reply:
    v3 = summary(unit, t)
    return {
        "Accepted": t.accepted,
        "Best Share": int(t.share_difficulty),
        "Chip Temp Avg": v3["chip-temp-avg"],
        "Chip Temp Max": v3["chip-temp-max"],
        "Chip Temp Min": v3["chip-temp-min"],
        "Elapsed": v3["elapsed"],
        "Env Temp": v3["environment-temperature"],
        "Factory GHS": round(factory_ths(unit) * 1e3),
        "Fan Speed In": v3["fan-speed-in"],
        "Fan Speed Out": v3["fan-speed-out"],
        "HS RT": t.rate_ths * 1e6,
        "Hash Stable": t.state == State.HASHING,
        "MAC": unit.mac,
        "MHS av": t.rate_av_ths * 1e6,
        "Pool Rejected%": 0.0,
        "Power": round(t.power_w),
        "Power Limit": power_limit(unit),
        "Power Mode": power_mode(unit, t).capitalize(),
        "Target Freq": frequency_mhz(unit, t),
        "Uptime": v3["bootup-time"],
    }


def _v2_pool(count: SlotCount, index: int, slot: PoolSlot) -> Reply:
    return {
        "POOL": index + 1,
        "URL": slot.url,
        "Status": "Alive" if slot.url and not count.dead else "Dead",
        "Priority": index,
        "Accepted": count.accepted,
        "Rejected": count.rejected,
        "User": slot.user,
        "Stratum Active": count.active,
    }


V2_MESSAGES: dict[str, Callable[[Unit, Telemetry], Reply]] = {
    "get_version": _v2_version,
    "get_miner_info": _v2_info,
    "status": _v2_status,
}
