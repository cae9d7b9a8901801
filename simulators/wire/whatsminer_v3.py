"""A WhatsMiner's API v3 on port 4433: JSON behind four bytes of length (little endian), on connections that stay open.

Ten clients at most. Writes carry a token, the first eight letters of base64(sha256(command + password + salt + ts)).
From apidoc.whatsminer.com as independent clients quote it (matroskin 0.1.0 on docs.rs, asic-rs, pyasic, tetherto/mdk)
for framing, errors (-1 failed, -2 invalid command, -4 no permission) and all writes: documented only.
"""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import Any, ClassVar

from typing_extensions import override

from fleet.machine import SLEEP, SLEEP_NAME
from simulators.instruments import Telemetry
from simulators.unit import Unit
from simulators.wire.cgminer import Reply
from simulators.wire.conversation import Conversation
from simulators.wire.whatsminer_reads import FAILED, device_info, setting, status

INVALID, FORBIDDEN = -2, -4
ACCOUNTS = frozenset({"super", "user1", "user2", "user3"})
PASSWORD = "super"
MAX_CLIENTS = 10
Verb = Callable[[Unit, Telemetry, Any], tuple[int, Any]]


class WhatsminerConversation(Conversation):
    """A v3 connection: any number of framed requests."""

    FLOOD_HEAD = b'\xff\xff\xff\x7f{"code":0,"msg":"'

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
        "get.device.info": device_info,
        "get.miner.status": status,
        "get.miner.setting": setting,
        "set.miner.service": _service,
        "set.miner.power_mode": _set_power_mode,
        "set.miner.power_limit": _set_power_limit,
        "set.system.led": _set_led,
        "set.system.reboot": _set_reboot,
    }
)
