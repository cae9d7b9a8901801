"""A WhatsMiner with API v3 on port 4433, and the read-only part of API v2 that the same firmware keeps on port 4028.

v3: JSON behind four bytes of length (little endian), connections that stay open, ten clients at most; writes carry a
token, the first eight letters of base64(sha256(command + password + salt + ts)). From the captures in
`captures/whatsminer_v3`, apidoc.whatsminer.com as quoted by independent clients (matroskin 0.1.0 on docs.rs, asic-rs,
pyasic, tetherto/mdk) for framing, errors (-1 failed, -2 invalid command, -4 no permission), get.miner.setting, the
pools' `id` and all writes: those are documented only. v2 on 4028: the read commands by which clients recognise the
make.
"""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, ClassVar

from typing_extensions import override

from fleet.machine import SLEEP, SLEEP_NAME
from fleet.reading import State
from simulators.faults import Quirk
from simulators.instruments import Telemetry
from simulators.unit import PoolSlot, Unit
from simulators.wire.cgminer import CgminerConversation, Reply
from simulators.wire.conversation import Conversation

FIRMWARE = "20251209.16.Rel2"
API = "3.0.2"
FAILED, INVALID, FORBIDDEN = -1, -2, -4
ACCOUNTS = frozenset({"super", "user1", "user2", "user3"})
PASSWORD = "super"
MAX_CLIENTS = 10
POWER_MODES = ("low", "normal", "high")
PROCESS_DOWN = "btminer process is down err"
STATUS_PARTS = ("summary", "edevs", "pools")


class WhatsminerConversation(Conversation):
    """A v3 connection: any number of framed requests."""

    def __init__(self, unit: Unit) -> None:
        super().__init__(unit)
        self._counted = False

    @override
    def data_received(self, data: bytes) -> None:
        """An eleventh client is sent away with its first request."""
        if not self._counted and not self.transport.is_closing():
            self._counted = True
            self.unit.clients += 1
        if self._counted and self.unit.clients > MAX_CLIENTS:
            self.transport.abort()
            return
        super().data_received(data)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """One client fewer."""
        if self._counted:
            self.unit.clients -= 1
        super().connection_lost(exc)

    @override
    def read(self) -> None:
        """One frame; a length of zero is a heartbeat, one beyond the limit ends the connection."""
        if len(self.inbox) < 4:
            return
        length = int.from_bytes(self.inbox[:4], "little")
        if length > self.LIMIT_BYTES:
            self.transport.abort()
            return
        if len(self.inbox) < 4 + length:
            return
        body = bytes(self.inbox[4 : 4 + length])
        del self.inbox[: 4 + length]
        if length:
            self._request(body)
        if self.inbox and not self.busy and not self.transport.is_closing():
            self.read()

    def _request(self, body: bytes) -> None:
        try:
            request = json.loads(body)
        except ValueError:
            request = None
        if not isinstance(request, dict):
            self._send(framed(self._reply("", FAILED, "invalid json")), close=True)
            return
        command = str(request.get("cmd", ""))
        self.answer(
            lambda: framed(self._perform(command, request)),
            lambda: framed(self._reply(command, FORBIDDEN, "no permission")),
            write=command.startswith("set."),
            close=False,
        )

    def _reply(self, command: str, code: int, message: Any) -> Reply:
        return {"code": code, "when": int(self.unit.now()), "msg": message, "desc": command}

    def _perform(self, command: str, request: Reply) -> Reply:
        verb = self.VERBS.get(command)
        if verb is None:
            return self._reply(command, INVALID, "invalid command")
        if command.startswith("set.") and not self._permitted(command, request):
            return self._reply(command, FORBIDDEN, "no permission")
        code, message = verb(self.unit, self.unit.telemetry(), request.get("param"))
        return self._reply(command, code, message)

    def _permitted(self, command: str, request: Reply) -> bool:
        """The account exists and the token is that of this command, the password, the salt and the time it names."""
        text = f"{command}{PASSWORD}{self.unit.token('salt')}{request.get('ts', '')}"
        token = b64encode(sha256(text.encode()).digest())[:8].decode()
        known = request.get("account") in ACCOUNTS
        return known and hmac.compare_digest(str(request.get("token", "")).encode(), token.encode())

    VERBS: ClassVar[dict[str, Callable[[Unit, Telemetry, Any], tuple[int, Any]]]] = {}


def framed(reply: Reply) -> bytes:
    """A reply behind its length."""
    body = json.dumps(reply, separators=(",", ":")).encode()
    return len(body).to_bytes(4, "little") + body


# ---------------------------------------------------------------------------------------------------------------- reads


def _type(unit: Unit) -> str:
    """The model without its make, and the hash boards' variant: "M60S_VK40"."""
    return f"{unit.machine.model.split()[-1].upper()}_{unit.hardware.variant or 'VK40'}"


def _device_info(unit: Unit, t: Telemetry, param: Any) -> tuple[int, Any]:
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
    factory = round(_factory_ths(unit) * 1000 / len(t.board_rate))
    return {
        "working": "false" if t.target == SLEEP else "true",
        "type": _type(unit),
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
        "mode": str(POWER_MODES.index(_power_mode(unit, t))),
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


def _factory_ths(unit: Unit) -> float:
    return unit.machine.modes[unit.machine.mode_named(unit.machine.usual)].hashrate_ths


def _power_mode(unit: Unit, t: Telemetry) -> str:
    name = unit.machine.modes[unit.awake_mode(t)].name
    return name if name in POWER_MODES else "normal"


def _power_limit(unit: Unit) -> int:
    limit = unit.settings.get("power-limit")
    return limit if limit is not None else round(unit.machine.modes[-1].power_w)


def _status(unit: Unit, t: Telemetry, param: Any) -> tuple[int, Any]:
    if t.target == SLEEP and unit.quirk(Quirk.PROCESS_DOWN):
        return FAILED, PROCESS_DOWN
    wanted = str(param or "").split("+")
    makers = {"summary": _summary, "edevs": _edevs, "pools": _pools}
    if not all(part in STATUS_PARTS for part in wanted):
        return FAILED, f"unknown param {param!s:.40}"
    return 0, {part: makers[part](unit, t) for part in wanted}


def _summary(unit: Unit, t: Telemetry) -> Reply:
    fans = (*t.fans_rpm, 0, 0)
    return {
        "elapsed": int(t.elapsed_s),
        "bootup-time": int(unit.now() - unit.booted_s),
        "freq-avg": _frequency_mhz(unit, t) if t.target != SLEEP else 0,
        "factory-hash": float(_factory_ths(unit)),
        "hash-average": round(t.rate_av_ths, 3),
        "hash-1min": round(t.rate_1m_ths, 3),
        "hash-15min": round(t.rate_15m_ths, 3),
        "hash-realtime": round(t.rate_ths, 3),
        "power-rate": round(t.power_w / t.rate_ths, 2) if t.rate_ths > 1.0 else 0.0,
        "power-5min": float(round(t.power_w, 1)),
        "power-realtime": float(round(t.power_w, 1)),
        "power-limit": _power_limit(unit),
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


def _frequency_mhz(unit: Unit, t: Telemetry) -> int:
    return round(625 * unit.machine.modes[unit.awake_mode(t)].hashrate_ths / _factory_ths(unit))


def _edevs(unit: Unit, t: Telemetry) -> list[Reply]:
    factory = round(_factory_ths(unit) / len(t.board_rate), 3)
    frequency = float(_frequency_mhz(unit, t))
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
    found = t.accepted + t.rejected
    reject = round(100.0 * t.rejected / found, 3) if found else 0.0
    return [
        {
            "id": index + 1,
            "url": slot.url,
            "account": slot.user,
            "status": "alive" if slot.url else "dead",
            "stratum-active": index == 0 and t.target != SLEEP and bool(slot.url),
            "pool-priority": index,
            "reject-percent": reject if index == 0 else 0.0,
            "last-share-time": int(t.at_s) if index == 0 else 0,
        }
        for index, slot in enumerate(unit.pools)
    ]


def _setting(unit: Unit, t: Telemetry, _param: Any) -> tuple[int, Any]:
    limit = _power_limit(unit)
    return 0, {
        "power-limit": limit,
        "upfreq-speed": 0,
        "power-mode": _power_mode(unit, t),
        "fast-boot": "disable",
        "target-freq": 0,
        "fast-mining": "disable",
        "power": limit,
        "power-percent": 0,
    }


# --------------------------------------------------------------------------------------------------------------- writes


def _service(unit: Unit, t: Telemetry, param: Any) -> tuple[int, Any]:
    match param:
        case "stop" | "disable":
            unit.take(SLEEP)
        case "start" | "enable":
            unit.take(unit.awake_mode(t))
        case "restart":
            if t.target == SLEEP:
                unit.take(unit.awake_mode(t))
            else:
                unit.restart()
        case _:
            return FAILED, f"invalid param {param!s:.40}"
    return 0, "ok"


def _set_power_mode(unit: Unit, _t: Telemetry, param: Any) -> tuple[int, Any]:
    column = unit.machine.mode_named(str(param))
    if param == SLEEP_NAME or column < 0:
        return FAILED, f"invalid param {param!s:.40}"
    unit.settings.pop("power-limit", None)
    unit.keep(column)
    return 0, "ok"


def _set_power_limit(unit: Unit, _t: Telemetry, param: Any) -> tuple[int, Any]:
    """The highest operating point within the limit; 0 to 99999 W by the document."""
    try:
        limit = round(float(param))
    except (TypeError, ValueError):
        return FAILED, f"invalid param {param!s:.40}"
    if not 0 <= limit <= 99_999:
        return FAILED, "power limit out of range"
    modes = unit.machine.modes
    within = [column for column, mode in enumerate(modes) if column != SLEEP and mode.power_w <= limit]
    unit.settings["power-limit"] = limit
    unit.keep(within[-1] if within else SLEEP + 1)
    return 0, "ok"


def _set_led(unit: Unit, _t: Telemetry, param: Any) -> tuple[int, Any]:
    unit.light = param != "auto"
    return 0, "ok"


def _set_reboot(unit: Unit, _t: Telemetry, _param: Any) -> tuple[int, Any]:
    unit.reboot()
    return 0, "ok"


WhatsminerConversation.VERBS.update(
    {
        "get.device.info": _device_info,
        "get.miner.status": _status,
        "get.miner.setting": _setting,
        "set.miner.service": _service,
        "set.miner.power_mode": _set_power_mode,
        "set.miner.power_limit": _set_power_limit,
        "set.system.led": _set_led,
        "set.system.reboot": _set_reboot,
    }
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
                entries = [{"DEVDETAILS": board, **_DETAILS, "ID": board, "Model": _type(unit)} for board in boards]
                return self.success(69, "Device Details", devdetails=entries)
            case "summary":
                return self.success(11, "Summary", summary=[_v2_summary(unit, t)])
            case "pools":
                pools = [_v2_pool(t, index, slot) for index, slot in enumerate(unit.pools)]
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
        "power_limit_set": str(_power_limit(unit)),
        "power_mode": _power_mode(unit, t),
    }


def _v2_summary(unit: Unit, t: Telemetry) -> Reply:
    summary = _summary(unit, t)
    return {
        "Accepted": t.accepted,
        "Best Share": int(t.share_difficulty),
        "Chip Temp Avg": summary["chip-temp-avg"],
        "Chip Temp Max": summary["chip-temp-max"],
        "Chip Temp Min": summary["chip-temp-min"],
        "Elapsed": summary["elapsed"],
        "Env Temp": summary["environment-temperature"],
        "Factory GHS": round(_factory_ths(unit) * 1e3),
        "Fan Speed In": summary["fan-speed-in"],
        "Fan Speed Out": summary["fan-speed-out"],
        "HS RT": t.rate_ths * 1e6,
        "Hash Stable": t.state == State.HASHING,
        "MAC": unit.mac,
        "MHS av": t.rate_av_ths * 1e6,
        "Pool Rejected%": 0.0,
        "Power": round(t.power_w),
        "Power Limit": _power_limit(unit),
        "Power Mode": _power_mode(unit, t).capitalize(),
        "Target Freq": _frequency_mhz(unit, t),
        "Uptime": summary["bootup-time"],
    }


def _v2_pool(t: Telemetry, index: int, slot: PoolSlot) -> Reply:
    return {
        "POOL": index + 1,
        "URL": slot.url,
        "Status": "Alive" if slot.url else "Dead",
        "Priority": index,
        "Accepted": t.accepted if index == 0 else 0,
        "Rejected": t.rejected if index == 0 else 0,
        "User": slot.user,
        "Stratum Active": index == 0 and t.target != SLEEP and bool(slot.url),
    }


V2_MESSAGES: dict[str, Callable[[Unit, Telemetry], Reply]] = {
    "get_version": _v2_version,
    "get_miner_info": _v2_info,
    "status": _v2_status,
}
