"""WhatsMiner API v3: JSON in length-prefixed frames on port 4433, writes signed with a token of the machine's salt.

A lean look is one exchange (the status summary) as long as the mining service is the one whose setting was read and
the power limit is the same; the setting is asked again only then, and the service only when nothing hashes. A write's
token is the first 8 characters of base64(sha256(command + password + salt + time)). Locked writes are a refusal;
nothing here unlocks them. From apidoc.whatsminer.com (API 3.0.3) and the captures; the setting and every write are
documented only.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, replace
from typing import Any, Final

from fleet import links
from fleet.driver import Garbled, Refused, Unsupported
from fleet.drivers.values import (
    Table,
    celsius,
    count,
    flag,
    hashes,
    hottest,
    number,
    rate_ths,
    seconds,
    table,
    tables,
    text,
    watts,
)
from fleet.links import Credentials, Endpoint
from fleet.machine import SLEEP_NAME, Machine, Mode
from fleet.reading import Board, Depth, Identity, Pool, Reading, State

PORT: Final = 4433
POWER_MODES: Final = ("low", "normal", "high")
_LIMIT: Final = re.compile(r"(\d{1,5})W")
_NO_LIMIT_W: Final = 99_999
"""The highest limit that the API takes; the machine keeps within its own."""
_ACCOUNT: Final = "super"
_START_S: Final = 900.0
_SUMMARY: Final = b'{"cmd": "get.miner.status", "param": "summary"}'


@dataclass(frozen=True, slots=True)
class Told:
    """What the machine is told: whether the mining service runs, and its power mode. None is "did not say".

    `since_s` is how long the service has been told so, in the machine's own time, where it was seen told otherwise.
    """

    works: bool | None = None
    power_mode: str | None = None
    since_s: float | None = None


def message(reply: Any, where: str) -> Table:
    """The `msg` of a reply that says of itself that it succeeded.

    Raises:
        Garbled: it is not a reply of this API.
        Refused: its code is not 0; the message is the machine's.
    """
    if not isinstance(reply, dict) or isinstance(reply.get("code"), bool) or not isinstance(reply.get("code"), int):
        raise Garbled(f"{where}: a reply without a code")
    if (code := reply["code"]) != 0:
        hint = "; writes may be locked in the machine's own settings" if code == -4 else ""
        raise Refused(f"{where}: {text(reply.get('msg')) or 'no reason given'} (code {code}){hint}")
    return table(reply.get("msg"))


def parse_told(device: Any, setting: Any) -> Told:
    """What `get.device.info` and `get.miner.setting` say; None for a reply that was not asked for or refused."""
    miner = table(table(table(device).get("msg")).get("miner"))
    return Told(flag(miner.get("working")), text(table(table(setting).get("msg")).get("power-mode")))


def parse(replies: Table, told: Told, machine: Machine, depth: Depth) -> Reading:
    """A reading from replies by name (summary, edevs, pools, device) and what it is told.

    `replies` without `summary` is a machine that refuses its status because the service is stopped.

    Raises:
        Garbled, Refused: a reply that the depth cannot do without is none, or says no.
    """
    if depth is Depth.POOLS:
        pools = pools_of(message(replies.get("pools"), f"{machine.host} get.miner.status pools"))
        return Reading(State.UNKNOWN, None, None, None, pools=pools, depth=depth)
    summary = (
        table(message(replies["summary"], f"{machine.host} get.miner.status summary").get("summary"))
        if "summary" in replies
        else {}
    )
    device = table(table(replies.get("device")).get("msg"))
    rate, power = rate_ths(summary.get("hash-realtime")), watts(summary.get("power-realtime"))
    errors = errors_of(device)
    full = _full(replies, device, errors) if depth is Depth.FULL else {"errors": errors}
    return Reading(
        state=_state(machine, told, summary, rate, errors),
        mode=SLEEP_NAME if told.works is False else _mode(machine, told, summary),
        hashrate_ths=rate,
        power_w=power,
        power_measured=power is not None,
        chip_c=celsius(summary.get("chip-temp-max")),
        board_c=hottest(_list(summary.get("board-temperature"))),
        uptime_s=seconds(summary.get("elapsed")),
        fans_rpm=tuple(rpm for end in ("in", "out") if (rpm := count(summary.get(f"fan-speed-{end}"))) is not None),
        depth=depth,
        **full,
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mode(machine: Machine, told: Told, summary: Table) -> str | None:
    """A power limit that is one of the machine's operating points names it; else the power mode does."""
    limit = count(summary.get("power-limit"))
    return (
        f"{limit}W"
        if limit is not None and any(mode.name == f"{limit}W" for mode in machine.modes)
        else told.power_mode
    )


def _state(machine: Machine, told: Told, summary: Table, rate: float | None, errors: tuple[str, ...]) -> State:
    """It says when it is still raising its frequency; without hashes the service says whether that is as told."""
    ramping = count(summary.get("up-freq-finish")) == 0
    if rate is not None and hashes(machine, rate):
        return State.STARTING if ramping and told.works is not False else State.HASHING
    if told.works is False:
        return State.SLEEPING
    if told.works is None or (rate is None and not ramping):
        return State.UNKNOWN
    ages = [age for age in (seconds(summary.get("elapsed")), told.since_s) if age is not None]
    young = not ages or min(ages) < max(2 * machine.start_s, _START_S)
    return State.STARTING if young and not errors else State.FAULTED


def errors_of(device: Table) -> tuple[str, ...]:
    """The error codes of `get.device.info`, each with the machine's own reason where it gives one."""
    errors = []
    for row in tables(device.get("error-code")):
        reason = text(row.get("reason"))
        errors += [f"{code}: {reason}" if reason else str(code) for code in row if code != "reason"]
    return tuple(errors)


def pools_of(status: Table) -> tuple[Pool, ...]:
    """The pools of a status by priority; a row's place where it says none (its `id` counts from 1)."""
    pools = []
    for place, row in enumerate(tables(status.get("pools"))):
        if (url := text(row.get("url"))) is None:
            continue
        priority, number_of = count(row.get("pool-priority")), count(row.get("id"))
        rank = priority if priority is not None else number_of - 1 if number_of else place
        pools.append(Pool(url, text(row.get("account")) or "", rank, flag(row.get("stratum-active"))))
    return tuple(sorted(pools, key=lambda pool: pool.priority))


def _full(replies: Table, device: Table, errors: tuple[str, ...]) -> dict[str, Any]:
    """The fields that only a full reading has."""
    pools = table(table(replies.get("pools")).get("msg"))
    edevs = table(table(replies.get("edevs")).get("msg"))
    miner, network, system = table(device.get("miner")), table(device.get("network")), table(device.get("system"))
    return {
        "errors": errors,
        "pools": pools_of(pools) if "pools" in pools else None,
        "boards": tuple(
            Board(
                hashrate_ths=rate_ths(row.get("hash-realtime", row.get("hash-average"))),
                chip_c=celsius(row.get("chip-temp-max")),
                chips=count(row.get("effective-chips")),
            )
            for row in sorted(tables(edevs.get("edevs")), key=lambda row: count(row.get("id")) or 0)
        ),
        "identity": Identity(
            model=text(miner.get("type")),
            firmware=text(system.get("fwversion")),
            mac=text(network.get("mac")),
            serial=text(miner.get("miner-sn")),
            hostname=text(network.get("hostname")),
        ),
    }


@dataclass(frozen=True, slots=True)
class Seal:
    """What a write is signed with beside the password: the machine's salt, and its own time (so that no clock is ours)."""

    salt: str
    at_s: int

    @classmethod
    def of(cls, reply: Any, where: str) -> Seal:
        """The salt and the time of a whole `get.device.info`.

        Raises:
            Garbled: it has none.
        """
        salt, at_s = text(table(table(reply).get("msg")).get("salt")), count(table(reply).get("when"))
        if salt is None or at_s is None:
            raise Garbled(f"{where}: came without the salt or the time that a write is signed with")
        return cls(salt, at_s)


def token(command: str, password: str, salt: str, at_s: int) -> str:
    """What proves a write: 8 characters of the base64 of sha256(command + password + salt + time)."""
    return base64.b64encode(hashlib.sha256(f"{command}{password}{salt}{at_s}".encode()).digest())[:8].decode()


class WhatsMinerV3:
    """One WhatsMiner with API v3."""

    def __init__(
        self,
        machine: Machine,
        credentials: Credentials,
        *,
        read_deadline_s: float = links.READ_DEADLINE_S,
        write_deadline_s: float = links.WRITE_DEADLINE_S,
    ) -> None:
        self._machine = machine
        self._credentials = credentials
        self._endpoint = Endpoint(machine.host, machine.ports.get("api", PORT), read_deadline_s)
        self._patient = replace(self._endpoint, deadline_s=write_deadline_s)
        self._power_mode: str | None = None
        self._lived: tuple[float, int | None] | None = None
        self._last_works: bool | None = None
        self._works_since: float | None = None

    async def read(self, depth: Depth) -> Reading:
        """See fleet.driver.Driver."""
        if depth is Depth.POOLS:
            return parse({"pools": await self._get("get.miner.status", "pools")}, Told(), self._machine, depth)
        replies = await self._summary()
        if depth is Depth.LEAN:
            told = self._remembered(replies) or await self._asked(replies)
            return parse(replies, told, self._machine, depth)
        for name in ("edevs", "pools"):
            replies[name] = await self._get("get.miner.status", name)
        return parse(replies, await self._asked(replies, whole=True), self._machine, depth)

    async def set_mode(self, mode: Mode) -> None:
        """See fleet.driver.Driver. Sends only what differs from what the machine says is set."""
        limit = _LIMIT.fullmatch(mode.name)
        if mode.name not in (SLEEP_NAME, *POWER_MODES) and not limit:
            known = ", ".join((SLEEP_NAME, *POWER_MODES))
            raise Unsupported(
                f"{self._endpoint}: WhatsMiner has no operating point {mode.name!r}; it has {known} and <n>W"
            )
        self._power_mode = None
        where = f"{self._endpoint} get.device.info"
        reply = await self._get("get.device.info")
        device = message(reply, where)
        seal = Seal.of(reply, where)
        works = flag(table(device.get("miner")).get("working"))
        if mode.name == SLEEP_NAME:
            if works is not False:
                await self._set(seal, "set.miner.service", "stop")
            return
        point = await self._point(mode.name, limit)
        # The point is set before the service starts, so that no machine ramps to a point it was not allowed.
        if works is not False:
            await self._set_all(seal, point)
            return
        try:
            await self._set_all(seal, point)
        except Refused:
            await self._set(seal, "set.miner.service", "start")
            await self._set_all(seal, point)
        else:
            await self._set(seal, "set.miner.service", "start")

    async def close(self) -> None:
        """See fleet.driver.Driver. Nothing is held between exchanges."""

    async def _point(self, name: str, limit: re.Match[str] | None) -> list[tuple[str, Any]]:
        """The writes that set an operating point which is not set."""
        setting = message(await self._get("get.miner.setting"), f"{self._endpoint} get.miner.setting")
        set_w = count(setting.get("power-limit"))
        if limit:
            return [] if set_w == int(limit[1]) else [("set.miner.power_limit", int(limit[1]))]
        writes: list[tuple[str, Any]] = []
        if any(mode.name == f"{set_w}W" for mode in self._machine.modes):
            writes.append(("set.miner.power_limit", _NO_LIMIT_W))
        if text(setting.get("power-mode")) != name:
            writes.append(("set.miner.power_mode", name))
        return writes

    async def _set_all(self, seal: Seal, writes: list[tuple[str, Any]]) -> None:
        for command, param in writes:
            await self._set(seal, command, param)

    async def _get(self, command: str, param: str | None = None) -> Any:
        request = {"cmd": command} if param is None else {"cmd": command, "param": param}
        what = command if param is None else f"{command} {param}"
        return await links.ask_framed(self._endpoint, json.dumps(request).encode(), what)

    async def _set(self, seal: Seal, command: str, param: Any) -> None:
        """One signed write."""
        request = {
            "cmd": command,
            "param": param,
            "ts": seal.at_s,
            "token": token(command, self._credentials.password, seal.salt, seal.at_s),
            "account": self._credentials.username or _ACCOUNT,
        }
        reply = await links.ask_framed(self._patient, json.dumps(request).encode(), command)
        message(reply, f"{self._endpoint} {command}")

    async def _summary(self) -> dict[str, Any]:
        """The status summary; none when the machine refuses it, as it may while its service is stopped."""
        reply = await links.ask_framed(self._endpoint, _SUMMARY, "get.miner.status summary")
        try:
            message(reply, f"{self._endpoint} get.miner.status summary")
        except Refused:
            return {}
        return {"summary": reply}

    def _remembered(self, replies: Table) -> Told | None:
        """What it is told, if it hashes in the life of the service in which that was asked, under the same limit."""
        lived, known = _life(replies), self._lived
        if self._power_mode is None or lived is None or known is None:
            return None
        if abs(lived[0] - known[0]) > 3.0 or lived[1] != known[1]:
            return None
        rate = rate_ths(_summary_row(replies).get("hash-realtime"))
        return Told(True, self._power_mode) if rate is not None and hashes(self._machine, rate) else None

    async def _asked(self, replies: dict[str, Any], *, whole: bool = False) -> Told:
        """What it is told: the service (with its errors, when nothing hashes or all is wanted), then the setting."""
        rate = rate_ths(_summary_row(replies).get("hash-realtime"))
        everything = whole or rate is None or not hashes(self._machine, rate)
        replies["device"] = await self._get("get.device.info", None if everything else "miner")
        if not replies.get("summary"):
            message(replies["device"], f"{self._endpoint} get.device.info")
        told = parse_told(replies["device"], await self._get("get.miner.setting"))
        self._power_mode, self._lived = told.power_mode, _life(replies)
        return self._dated(told, number(table(replies["device"]).get("when"), 0.0, 1e11))

    def _dated(self, told: Told, now: float | None) -> Told:
        """The same with how long the service has been told so: it shows before the miner starts anew."""
        if told.works != self._last_works:
            self._works_since = None if self._last_works is None else now
            self._last_works = told.works
        if now is None or self._works_since is None:
            return told
        return replace(told, since_s=max(0.0, now - self._works_since))


def _summary_row(replies: Table) -> Table:
    return table(table(table(replies.get("summary")).get("msg")).get("summary"))


def _life(replies: Table) -> tuple[float, int | None] | None:
    """When the mining service started, by the machine's own clock, and the power limit; None when it does not say."""
    row = _summary_row(replies)
    now, uptime = number(table(replies.get("summary")).get("when"), 0.0, 1e11), seconds(row.get("elapsed"))
    return None if now is None or uptime is None else (now - uptime, count(row.get("power-limit")))
