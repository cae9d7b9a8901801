"""LuxOS: one TCP-JSON exchange reads it, a session of a few commands changes it.

Reading joins its commands with "+", so that each look is one exchange (older firmware that refuses joined commands is
asked one by one). Writing follows the vendor's session rules: log on, `curtail` or `profileset`, log off; if somebody
else holds the session we are refused and do not take it over. From docs.luxor.tech/firmware/api (sessions, curtail,
profileset, events) and the captures; a session, a curtail and a sleeping machine are documented only.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from typing import Any, Final

from fleet import links
from fleet.driver import DriverError, Garbled, Refused, Unsupported
from fleet.drivers.cgminer import first, pools_of, sections, share_difficulty
from fleet.drivers.values import (
    Table,
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
from fleet.reading import Board, Depth, Identity, Reading, State

PORT: Final = 4028
LEAN: Final = ("summary", "config", "power", "temps", "events")
FULL: Final = (*LEAN, "fans", "devs", "pools", "profiles", "version")
_COMMANDS: Final = {Depth.LEAN: LEAN, Depth.FULL: FULL, Depth.POOLS: ("pools",)}
_NEEDED: Final = {Depth.LEAN: "summary", Depth.FULL: "summary", Depth.POOLS: "pools"}
_HARMLESS: Final = frozenset(
    (
        "SLEEP",
        "IDLE",
        "MINER_TUNED",
        "MINER_TUNING",
        "REBOOT_SYSINIT",
        "REBOOT_USER",
        "SHUTDOWN_USER",
        "HASH_ON_DISCONNECT",
    )
)
"""Events that tell of no fault; every other of the vendor's list does."""
_WRITES: Final = frozenset(("curtail", "profileset"))
_BOARD_CORNERS: Final = ("TopLeft", "TopRight", "BottomLeft", "BottomRight")


def parse(replies: Table, machine: Machine, depth: Depth) -> Reading:
    """A reading from the reply of each command by its name.

    Raises:
        Garbled: the command that the depth cannot do without is missing or is not a reply.
        Refused: the machine refused that command.
    """
    needed = sections(replies.get(_NEEDED[depth]), f"{machine.host} {_NEEDED[depth]}")
    if depth is Depth.POOLS:
        return Reading(State.UNKNOWN, None, None, None, pools=pools_of(needed), depth=depth)
    summary, config = first(needed, "SUMMARY"), first(_lenient(replies, "config"), "CONFIG")
    power, temps = first(_lenient(replies, "power"), "POWER"), _lenient(replies, "temps")
    power_w = watts(power.get("Watts"))
    rate, faults = rate_ths(summary.get("GHS 5s"), 1e3), _faults(_lenient(replies, "events"))
    curtailed = _curtailed(config)
    chip, board = _temperatures(temps)
    full = _full(replies) if depth is Depth.FULL else {}
    return Reading(
        state=_state(machine, rate, power_w, curtailed, config, faults),
        mode=curtailed or text(config.get("Profile")),
        hashrate_ths=rate,
        power_w=power_w,
        power_measured=flag(power.get("PSU")) is True,
        chip_c=chip,
        board_c=board,
        uptime_s=seconds(summary.get("Elapsed")),
        accepted=count(summary.get("Accepted")),
        rejected=count(summary.get("Rejected")),
        stale=count(summary.get("Stale")),
        hardware_errors=count(summary.get("Hardware Errors")),
        accepted_difficulty=number(summary.get("Difficulty Accepted"), 0.0, 1e18),
        errors=faults,
        depth=depth,
        **full,
    )


def _lenient(replies: Table, command: str) -> Table:
    """The reply to a command that a reading can do without."""
    return table(replies.get(command))


def _curtailed(config: Table) -> str | None:
    """How it is curtailed: "sleep", older firmware's lighter "idle", "" for not at all; None when it does not say."""
    mode = text(config.get("CurtailMode"))
    return None if mode is None else {"none": ""}.get(mode.lower(), mode.lower())


def _state(
    machine: Machine,
    rate: float | None,
    power_w: float | None,
    curtailed: str | None,
    config: Table,
    faults: tuple[str, ...],
) -> State:
    """Hashing is seen, sleeping is told, starting is neither, unless a fault says why.

    A hash rate that stands still while the supply is off and the power gone is old, and not seen.
    """
    dark = (
        flag(config.get("IsPowerSupplyOn")) is False and power_w is not None and power_w < machine.modes[1].power_w / 2
    )
    if rate is not None and hashes(machine, rate) and not dark:
        return State.HASHING
    if curtailed:
        return State.SLEEPING
    if faults:
        return State.FAULTED
    return State.UNKNOWN if rate is None or curtailed is None else State.STARTING


def _faults(events: Table) -> tuple[str, ...]:
    """The events that tell of a fault: code, what it concerns, and the vendor's words."""
    faults = []
    for event in tables(events.get("EVENTS")):
        code = text(event.get("Code"))
        if code is None or code in _HARMLESS:
            continue
        number_of = count(event.get("ID"))
        target = " ".join(
            part for part in (text(event.get("Target")), None if number_of is None else str(number_of)) if part
        )
        faults.append(f"{code} ({target}): {text(event.get('Description')) or 'no description'}" if target else code)
    return tuple(faults)


def _temperatures(temps: Table) -> tuple[float | None, float | None]:
    """The hottest chip and board. Corners are board sensors unless METADATA labels them as chips' or dies'."""
    labels = first(temps, "METADATA")
    of_chips = {corner for corner in labels if _is_chip(table(labels[corner]))}
    rows = tables(temps.get("TEMPS"))
    chip = hottest(value for row in rows for corner, value in row.items() if corner in of_chips)
    board = hottest(row.get(corner) for row in rows for corner in _BOARD_CORNERS if corner not in of_chips)
    return chip, board


def _is_chip(label: Table) -> bool:
    words = (text(label.get("Label")) or "").lower()
    return "chip" in words or "die" in words


def _full(replies: Table) -> dict[str, Any]:
    """The fields that only a full reading has."""
    config, version = first(_lenient(replies, "config"), "CONFIG"), first(_lenient(replies, "version"), "VERSION")
    pools = _lenient(replies, "pools")
    return {
        "fans_rpm": tuple(
            rpm for fan in tables(_lenient(replies, "fans").get("FANS")) if (rpm := count(fan.get("RPM"))) is not None
        ),
        "boards": _boards(replies),
        "pools": pools_of(pools) if "POOLS" in pools else None,
        "share_difficulty": share_difficulty(pools),
        "ladder": _ladder(_lenient(replies, "profiles")),
        "identity": Identity(
            model=text(config.get("Model")) or text(version.get("Type")),
            firmware=text(version.get("LUXminer")),
            mac=text(config.get("MACAddr")),
            serial=text(config.get("SerialNumber")),
            hostname=text(config.get("Hostname")),
        ),
    }


def _boards(replies: Table) -> tuple[Board, ...]:
    """Boards in the order of their ID: rate and temperature from devs, the corner from temps where it is hotter."""
    corners = {
        count(row.get("ID")): hottest(row.get(corner) for corner in _BOARD_CORNERS)
        for row in tables(_lenient(replies, "temps").get("TEMPS"))
    }
    rows = sorted(tables(_lenient(replies, "devs").get("DEVS")), key=lambda row: count(row.get("ID")) or 0)
    return tuple(
        Board(rate_ths(row.get("MHS 5s"), 1e6), hottest((row.get("Temperature"), corners.get(count(row.get("ID"))))))
        for row in rows
    )


def _ladder(profiles: Table) -> tuple[Mode, ...]:
    """The firmware's profiles by rising power, without sleep (which is no profile)."""
    modes = []
    for row in tables(profiles.get("PROFILES")):
        name, power, rate = text(row.get("Profile Name")), watts(row.get("Watts")), rate_ths(row.get("Hashrate"))
        if name is not None and power is not None and rate is not None:
            modes.append(Mode(name, power, rate))
    return tuple(sorted(modes, key=lambda mode: mode.power_w))


class LuxOS:
    """One machine that runs LuxOS."""

    def __init__(
        self,
        machine: Machine,
        credentials: Credentials,
        *,
        read_deadline_s: float = links.READ_DEADLINE_S,
        write_deadline_s: float = links.WRITE_DEADLINE_S,
    ) -> None:
        del credentials  # LuxOS's sessions coordinate, they do not authenticate
        self._machine = machine
        self._endpoint = Endpoint(machine.host, machine.ports.get("api", PORT), read_deadline_s)
        self._patient = replace(self._endpoint, deadline_s=write_deadline_s)
        self._joins = True

    async def read(self, depth: Depth) -> Reading:
        """See fleet.driver.Driver."""
        return parse(await self._replies(_COMMANDS[depth]), self._machine, depth)

    async def set_mode(self, mode: Mode) -> None:
        """See fleet.driver.Driver. Sends only what differs from what the machine says is set."""
        if "," in mode.name or mode.name in {"0", "1", "2", "3"}:
            raise Unsupported(f"{self._endpoint}: LuxOS cannot name a profile {mode.name!r} in a command")
        config = first(sections(await self._ask("config"), f"{self._endpoint} config"), "CONFIG")
        curtailed = _curtailed(config)
        if curtailed is None:
            raise Garbled(f"{self._endpoint} config: does not say whether it is curtailed")
        if mode.name == SLEEP_NAME:
            commands = [] if curtailed == SLEEP_NAME else [("curtail", SLEEP_NAME)]
        else:
            commands = [] if text(config.get("Profile")) == mode.name else [("profileset", mode.name)]
            # The profile is set before the wake, so that no machine ramps to a point it was not allowed.
            commands += [("curtail", "wakeup")] if curtailed else []
        if commands:
            await self._in_session(commands)

    async def close(self) -> None:
        """See fleet.driver.Driver. Nothing is held between exchanges."""

    async def _ask(self, command: str, parameter: str | None = None) -> Any:
        request = {"command": command} if parameter is None else {"command": command, "parameter": parameter}
        endpoint = self._patient if command in _WRITES else self._endpoint
        return await links.ask_text(endpoint, json.dumps(request).encode(), command)

    async def _replies(self, commands: tuple[str, ...]) -> Table:
        """Each command's reply by its name, joined where the firmware joins."""
        if self._joins and len(commands) > 1:
            reply = await self._ask("+".join(commands))
            if isinstance(reply, dict) and commands[0] in reply:
                return {name: rows[0] for name in commands if (rows := tables(reply.get(name), 1))}
            with contextlib.suppress(Refused):
                sections(reply, f"{self._endpoint} joined commands")
            self._joins = False
        return {command: await self._ask(command) for command in commands}

    async def _in_session(self, commands: list[tuple[str, str]]) -> None:
        """Log on, send the commands, log off. A session that cannot be closed lapses by itself within a minute."""
        reply = sections(await self._ask("logon"), f"{self._endpoint} logon")
        session = text(first(reply, "SESSION").get("SessionID"))
        if session is None:
            raise Garbled(f"{self._endpoint} logon: succeeded without a session")
        try:
            await self._send(session, commands)
        finally:
            await self._log_off(session)

    async def _send(self, session: str, commands: list[tuple[str, str]]) -> None:
        wakes = ("curtail", "wakeup") in commands
        for place, (command, argument) in enumerate(commands):
            try:
                sections(await self._ask(command, f"{session},{argument}"), f"{self._endpoint} {command} {argument}")
            except Refused:
                # Firmware that takes no profile while it sleeps: wake it, then set the profile.
                if command == "profileset" and wakes and place == 0:
                    for late, later in (("curtail", "wakeup"), (command, argument)):
                        sections(await self._ask(late, f"{session},{later}"), f"{self._endpoint} {late} {later}")
                    return
                raise

    async def _log_off(self, session: str) -> None:
        with contextlib.suppress(DriverError):
            await self._ask("logoff", session)
