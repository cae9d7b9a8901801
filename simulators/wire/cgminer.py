"""The cgminer API on a TCP port, as Antminer and LuxOS firmwares share it.

One JSON object (or one line of text) in, one reply out, ended by NUL, and the connection is closed (cgminer's
API-README). A request is answered as soon as its JSON is complete. What both firmwares report of their chains in
`stats` is here too.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from typing import Any, TypeAlias

from typing_extensions import override

from simulators.instruments import Telemetry
from simulators.unit import Unit
from simulators.wire.conversation import Conversation

Reply: TypeAlias = dict[str, Any]
GHS_PER_THS = 1e3
MHS_PER_THS = 1e6
CHAINS = 4


class CgminerConversation(Conversation):
    """Recognises requests; a dialect gives `perform`, `describes` (its name and version) and `writes`."""

    FLOOD_HEAD = b'{"STATUS":[{"STATUS":"S","Msg":"'

    def __init__(self, unit: Unit) -> None:
        super().__init__(unit)
        self._ended = False

    @abstractmethod
    def describes(self) -> str:
        """What stands in every STATUS as Description."""

    @abstractmethod
    def perform(self, command: str, parameter: str) -> Reply:
        """Do and answer one command."""

    @abstractmethod
    def writes(self, command: str) -> bool:
        """Does the command change anything?"""

    @override
    def eof_received(self) -> bool:
        """The client has said all: a line of text is complete without its end."""
        self._ended = True
        if not self.busy:
            self.read()
        return True

    @override
    def read(self) -> None:
        """One request: a JSON object, or `command|parameter` up to the end of the line."""
        text = bytes(self.inbox).strip(b"\0\r\n\t ")
        if not text:
            return
        if text.startswith(b"{"):
            try:
                request = json.loads(text)
            except ValueError:
                return
            command, parameter, in_json = str(request.get("command", "")), str(request.get("parameter", "")), True
        elif self._ended or self.inbox.endswith((b"\n", b"\0")):
            command, _, parameter = text.decode("utf-8", "replace").partition("|")
            in_json = False
        else:
            return
        self.inbox.clear()
        render = as_json if in_json else as_text
        self.answer(
            lambda: render(self.perform(command, parameter)),
            lambda: render(self.status("E", 45, f"Access denied to '{command}' command")),
            write=self.writes(command),
            close=True,
        )

    def status(self, letter: str, code: int, message: str) -> Reply:
        """A reply's STATUS section and id, alone."""
        when = int(self.unit.now())
        section = {"STATUS": letter, "When": when, "Code": code, "Msg": message, "Description": self.describes()}
        return {"STATUS": [section], "id": 1}

    def success(self, code: int, message: str, **sections: Any) -> Reply:
        """A reply with its sections; their names are upper case on the wire."""
        reply = self.status("S", code, message)
        reply.update({name.upper(): section for name, section in sections.items()})
        return reply


def as_json(reply: Reply) -> bytes:
    """A reply as it goes out."""
    return json.dumps(reply, separators=(",", ":")).encode() + b"\0"


def as_text(reply: Reply) -> bytes:
    """A reply in cgminer's text form: `SECTION,key=value,...|`, STATUS first."""
    names = sorted((name for name in reply if name != "id"), key=lambda name: name != "STATUS")
    parts = []
    for name in names:
        for entry in reply[name]:
            head = "" if name == "STATUS" else f"{name},"
            parts.append(head + ",".join(f"{key}={value}" for key, value in entry.items()) + "|")
    return "".join(parts).encode() + b"\0"


def chains(unit: Unit, telemetry: Telemetry, rate_ths: float) -> Reply:
    """The per-chain keys of `stats`: chips, their map, rates (GH/s, as text), errors; chain 4 does not exist."""
    entry: Reply = {}
    present = len(telemetry.chip_c)
    for chain in range(1, CHAINS + 1):
        alive = chain <= present and telemetry.board_rate[chain - 1] > 0
        chips = unit.hardware.chips if alive else 0
        entry[f"chain_acn{chain}"] = chips
        entry[f"chain_acs{chain}"] = chip_map(chips)
        entry[f"chain_hw{chain}"] = int(telemetry.errors * telemetry.board_rate[chain - 1]) if alive else 0
        ghs = telemetry.board_ths(chain - 1, rate_ths) * GHS_PER_THS if alive else 0.0
        entry[f"chain_rate{chain}"] = f"{ghs:.2f}"
    return entry


def chip_map(chips: int) -> str:
    """One "o" per chip that answers, in groups of three."""
    return "".join(" ooo" for _ in range(chips // 3)) + (" " + "o" * (chips % 3) if chips % 3 else "")


def difficulty_text(difficulty: float) -> str:
    """A share difficulty as pools lists print it: "524K"."""
    return f"{int(difficulty // 1000)}K" if difficulty >= 1000 else f"{int(difficulty)}"


def clock_text(seconds: float) -> str:
    """h:mm:ss."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
