"""LuxOS on port 4028, and the page on port 80 by which it is recognised.

Written from docs.luxor.tech/firmware/api (intro, sessions, logon, session, curtail, profileset). Documented only,
because no capture was had: sessions, curtail and profileset; the codes of their refusals beyond 402 ("Another session
is active") are a guess. Writes need the session; there is one at a time, and it ends after a minute without use (of
real time: it is there for clients to take turns).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from typing_extensions import override

from fleet.machine import SLEEP, SLEEP_NAME
from simulators.unit import PoolSlot
from simulators.wire.cgminer import Reply
from simulators.wire.http import Page, Request, WebConversation
from simulators.wire.luxos_reads import LuxosReads

NEED_SESSION = frozenset({"logoff", "curtail", "profileset", "ledset", "rebootdevice", "resetminer", "atmset"})
CHANGE = NEED_SESSION | {"addpool", "removepool", "switchpool"}


class LuxosConversation(LuxosReads):
    """One request to a LuxOS machine."""

    @override
    def writes(self, command: str) -> bool:
        """Does the command change anything?"""
        return command in CHANGE

    @override
    def perform(self, command: str, parameter: str) -> Reply:
        """One command, or several without parameters joined by "+"."""
        if "+" in command and not parameter:
            joined: Reply = {name: [self._one(name, "")] for name in command.split("+")[:16]}
            joined["id"] = 1
            return joined
        return self._one(command, parameter)

    def _one(self, command: str, parameter: str) -> Reply:
        verb = self.VERBS.get(command)
        if verb is None:
            return self.status("E", 14, "Invalid command")
        if command in NEED_SESSION:
            session, _, parameter = parameter.partition(",")
            if not session or session != self.state.live_session():
                return self.status("E", 401, "Invalid session id")
            self.state.touch()
        return verb(self, parameter)

    def _logon(self, _: str) -> Reply:
        if self.state.live_session():
            return self.status("E", 402, "Another session is active")
        return self.success(316, "Session created", session=[{"SessionID": self.state.open()}])

    def _logoff(self, _: str) -> Reply:
        self.state.session = ""
        return self.status("S", 317, "Session terminated")

    def _curtail(self, parameter: str) -> Reply:
        action = parameter.split(",", 1)[0]
        t = self.unit.telemetry()
        if action == SLEEP_NAME:
            self.unit.take(SLEEP)
            return self.success(335, "Curtailment command sent", curtail=[{"Action": "sleep mode"}])
        if action == "wakeup":
            self.unit.take(self.unit.remembered if t.target == SLEEP else t.target)
            return self.success(335, "Curtailment command sent", curtail=[{"Action": "wake up"}])
        return self.status("E", 334, f"Invalid curtailment action '{action}'")

    def _profileset(self, parameter: str) -> Reply:
        name = parameter.split(",", 1)[0]
        column = self.unit.machine.mode_named(name)
        if column <= SLEEP:
            return self.status("E", 322, f"Profile '{name}' not found")
        self.unit.keep(column)
        entry = {"Board": 0, "FrequencyStep": 5, "Profile": name, "VoltageStep": 0.05}
        return self.success(321, "Profile Set", profile=[entry])

    def _ledset(self, parameter: str) -> Reply:
        color, _, mode = parameter.partition(",")
        self.unit.light = color == "red" and mode == "blink"
        return self.success(325, "LED set", led=[{"Color": color, "State": mode}])

    def _atmset(self, parameter: str) -> Reply:
        settings = dict(item.partition("=")[::2] for item in parameter.split(","))
        self.state.atm = settings.get("enabled", str(self.state.atm)).lower() == "true"
        return self.status("S", 340, "Advanced Thermal Management configuration updated")

    def _rebootdevice(self, _: str) -> Reply:
        self.unit.reboot()
        return self.status("S", 308, "Device reboot scheduled")

    def _resetminer(self, _: str) -> Reply:
        self.unit.restart()
        return self.status("S", 309, "Miner reset scheduled")

    def _addpool(self, parameter: str) -> Reply:
        url, user, password = [*parameter.split(","), "", "", ""][:3]
        if not url or not user:
            return self.status("E", 52, "Invalid addpool details")
        self.unit.pools.append(PoolSlot(url, user, password))
        return self.status("S", 55, f"Added pool {len(self.unit.pools) - 1}: '{url}'")

    def _removepool(self, parameter: str) -> Reply:
        if not parameter.isdigit() or int(parameter) >= len(self.unit.pools):
            return self.status("E", 25, "Missing pool id parameter")
        slot = self.unit.pools.pop(int(parameter))
        self.unit.preferred = min(self.unit.preferred, max(0, len(self.unit.pools) - 1))
        return self.status("S", 68, f"Removed pool {parameter}:'{slot.url}'")

    def _switchpool(self, parameter: str) -> Reply:
        if not parameter.isdigit() or int(parameter) >= len(self.unit.pools):
            return self.status("E", 25, "Missing pool id parameter")
        self.unit.preferred = int(parameter)
        return self.status("S", 27, f"Switching to pool {parameter}")

    VERBS: ClassVar[dict[str, Callable[[Any, str], Reply]]] = {
        **LuxosReads.READS,
        "logon": _logon,
        "logoff": _logoff,
        "curtail": _curtail,
        "profileset": _profileset,
        "ledset": _ledset,
        "atmset": _atmset,
        "rebootdevice": _rebootdevice,
        "resetminer": _resetminer,
        "addpool": _addpool,
        "removepool": _removepool,
        "switchpool": _switchpool,
    }


class LuxosPage(WebConversation):
    """Port 80: the page by which clients recognise the firmware."""

    @override
    def respond(self, request: Request) -> Page:
        """The start page, whatever was asked."""
        return Page(200, b"<!DOCTYPE html><html><head><title>LuxOS - Luxor Firmware</title></head></html>", "text/html")
