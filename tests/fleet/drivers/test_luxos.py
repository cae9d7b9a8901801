"""LuxOS: what its replies mean, and what is said to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.driver import Garbled, Refused, Unreachable, Unsupported
from fleet.drivers import luxos
from fleet.drivers.luxos import FULL, LEAN, LuxOS, parse
from fleet.links import Credentials
from fleet.machine import Machine, Mode
from fleet.reading import Depth, Identity, Pool, Reading, State

MODEL = "Antminer S19k Pro"
SLEEP, STEP = Mode("sleep", 25, 0.0), Mode("315MHz", 1299, 65.0)


@pytest.fixture
def replies(capture: Callable[[str], Any]) -> dict[str, Any]:
    """The captured reply of each command."""
    return {command: capture(f"luxos/{command}.json") for command in FULL}


@pytest.fixture
def machine(machine_of: Callable[..., Machine]) -> Machine:
    """A machine of the captured model."""
    return machine_of(MODEL, "luxos")


FAULTS = (
    "NOPIC_PROTECTION (MINER): Miner shutdown due to NOPIC protection.",
    "REBOOT_NOT_HASHING (BOARD 0): Board reboot due to it not hashing.",
)
EXPECTED = Reading(
    state=State.HASHING,
    mode="290MHz",
    hashrate_ths=59.75606,
    power_w=1051.0,
    power_measured=False,  # the capture's PSU field is false: LuxOS reckons it
    chip_c=None,  # LuxOS reports board sensors
    board_c=47.0,
    uptime_s=3453.0,
    accepted=1483,
    rejected=1,
    stale=0,
    hardware_errors=0,
    accepted_difficulty=42323968.0,
    errors=FAULTS,
)


def test_the_captured_lean_reading(replies: dict[str, Any], machine: Machine) -> None:
    """A tick would decide on wrong values of a real machine."""
    assert parse(replies, machine, Depth.LEAN) == EXPECTED


def test_the_captured_full_reading(replies: dict[str, Any], machine: Machine) -> None:
    """Identity, boards, fans, pools and the ladder of a real machine would be wrong or missing."""
    full = parse(replies, machine, Depth.FULL)
    assert (full.state, full.mode, full.hashrate_ths, full.power_w) == (State.HASHING, "290MHz", 59.75606, 1051.0)
    assert full.fans_rpm == (1920, 1920, 2340, 2340)
    assert [round(board.hashrate_ths or 0, 4) for board in full.boards] == [19.7738, 19.2306, 20.7517]
    assert {(board.board_c, board.chip_c) for board in full.boards} == {(47.0, None)}
    assert full.identity == Identity(
        MODEL, "2025.4.8.220305-57b389c7", "62:f7:5e:b7:10:46", "JYZZB0UBDJABF06RB", "UrlacherS19k"
    )
    assert full.share_difficulty == 32768.0
    assert full.ladder == machine.modes[1:]
    assert full.pools == parse(replies, machine, Depth.POOLS).pools


def test_the_captured_pools(replies: dict[str, Any], machine: Machine) -> None:
    """A write is judged by the pools before and after it."""
    assert parse(replies, machine, Depth.POOLS).pools == (
        Pool("stratum+tcp://ca.stratum.braiins.com:3333", "asic-rs.user1", 0, True, 724, 0),
        Pool("stratum+tcp://stratum.braiins.com:3333", "asic-rs.user1", 1, False, 0, 0),
        Pool("stratum+tcp://ca.stratum.braiins.com:3333", "asic-rs.user2", 2, True, 759, 1),
        Pool("stratum+tcp://stratum.braiins.com:3333", "asic-rs.user2", 3, False, 0, 0),
    )


@pytest.mark.parametrize(
    ("ghs", "config", "events", "state", "mode"),
    [
        (59756.0, {}, [], State.HASHING, "290MHz"),
        (0.0, {"CurtailMode": "Sleep", "IsPowerSupplyOn": False}, ["SLEEP"], State.SLEEPING, "sleep"),
        (59756.0, {"CurtailMode": "Sleep", "IsPowerSupplyOn": False}, [], State.HASHING, "sleep"),
        (59756.0, {"CurtailMode": "Sleep", "IsPowerSupplyOn": True}, [], State.HASHING, "sleep"),
        (0.0, {"CurtailMode": "Idle"}, ["IDLE"], State.SLEEPING, "idle"),
        (0.0, {}, ["REBOOT_SYSINIT"], State.STARTING, "290MHz"),
        (100.0, {}, [], State.STARTING, "290MHz"),
        (0.0, {}, ["PSU_PANIC"], State.FAULTED, "290MHz"),
        (0.0, {"CurtailMode": "Sleep"}, ["FAN_FAILURE"], State.SLEEPING, "sleep"),
        (None, {}, [], State.UNKNOWN, "290MHz"),
        (0.0, {"CurtailMode": None, "Profile": 7}, [], State.UNKNOWN, None),
        (59756.0, {"Profile": "my own"}, [], State.HASHING, "my own"),
    ],
)
def test_state_and_mode(
    replies: dict[str, Any],
    machine: Machine,
    ghs: Any,
    config: dict[str, Any],
    events: list[str],
    state: State,
    mode: Any,
) -> None:
    """Sleeping, starting and faulted all show no hashes; taken for one another they cost a start, or a machine."""
    replies["summary"]["SUMMARY"][0]["GHS 5s"] = ghs
    replies["config"]["CONFIG"][0].update(config)
    replies["events"]["EVENTS"] = [{"Code": code} for code in events]
    reading = parse(replies, machine, Depth.LEAN)
    assert (reading.state, reading.mode) == (state, mode)


def test_a_frozen_hash_rate_is_not_hashing(replies: dict[str, Any], machine: Machine) -> None:
    """Data frozen at power-off would keep a sleeping machine from ever being confirmed."""
    replies["config"]["CONFIG"][0].update({"CurtailMode": "Sleep", "IsPowerSupplyOn": False})
    replies["power"]["POWER"][0]["Watts"] = 24
    assert parse(replies, machine, Depth.LEAN).state is State.SLEEPING


def test_chip_sensors_are_known_by_their_labels(replies: dict[str, Any], machine: Machine) -> None:
    """Newer models have die sensors, which must not be taken for boards'."""
    replies["temps"]["METADATA"] = [{"TopLeft": {"Label": "Chip (top)"}, "TopRight": {"Label": "Board Intake"}}]
    replies["temps"]["TEMPS"] = [{"ID": 0, "TopLeft": 81.5, "TopRight": 40.0, "BottomLeft": 0}]
    reading = parse(replies, machine, Depth.LEAN)
    assert (reading.chip_c, reading.board_c) == (81.5, 40.0)


@pytest.mark.parametrize("bad", [float("nan"), -1.0, 1e12, "fast", None, True, [1], {"GHS": 1}, 10**400])
def test_a_value_that_cannot_be_is_none(replies: dict[str, Any], machine: Machine, bad: Any) -> None:
    """A wrong value passed on steers a site."""
    replies["summary"]["SUMMARY"][0]["GHS 5s"] = bad
    replies["power"]["POWER"][0]["Watts"] = bad
    for corner in ("TopLeft", "TopRight", "BottomLeft", "BottomRight"):
        for row in replies["temps"]["TEMPS"]:
            row[corner] = bad
    reading = parse(replies, machine, Depth.LEAN)
    assert reading.hashrate_ths is None
    assert reading.power_w is None
    assert reading.board_c in (None, -1.0)


@pytest.mark.parametrize("missing", LEAN[1:])
def test_a_reading_does_without_any_other_command(replies: dict[str, Any], machine: Machine, missing: str) -> None:
    """One refused command would cost the whole reading."""
    replies[missing] = {"STATUS": [{"STATUS": "E", "Msg": "no"}]}
    assert parse(replies, machine, Depth.LEAN).hashrate_ths == 59.75606


WORDS = (
    "STATUS SUMMARY CONFIG Profile CurtailMode POWER Watts TEMPS METADATA EVENTS Code POOLS URL User Priority DEVS ID "
    "PROFILES Hashrate FANS RPM TopLeft Label"
)
KEYS = st.sampled_from((*WORDS.split(), "GHS 5s", "Profile Name"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=24,
)


@given(st.dictionaries(st.sampled_from(FULL), JSON), st.sampled_from(Depth), st.booleans())
def test_any_json_is_a_reading_or_garbled(replies: dict[str, Any], depth: Depth, succeeded: bool) -> None:
    """Any other error would escape the driver as a traceback."""
    from fleet.catalogue import nameplate

    machine = Machine("m", MODEL, "luxos", "127.0.0.1", nameplate(MODEL, "luxos").modes, "default")
    if succeeded:
        for reply in replies.values():
            if isinstance(reply, dict):
                reply["STATUS"] = [{"STATUS": "S"}]
    try:
        reading = parse(replies, machine, depth)
    except (Garbled, Refused):
        return
    assert reading.hashrate_ths is None or 0 <= reading.hashrate_ths <= 5000


class PaperLuxOS:
    """LuxOS as its documents have it: joined commands, one session at a time, curtail and profileset."""

    def __init__(self, replies: dict[str, Any], *, joins: bool = True, busy: bool = False) -> None:
        self.replies = replies
        self.joins = joins
        self.busy = busy
        self.refuses_profile_asleep = False
        self.session = ""
        self.heard: list[str] = []
        self.config = replies["config"]["CONFIG"][0]

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one command."""
        asked = json.loads(await reader.read(65536))
        self.heard.append(" ".join(part for part in (asked["command"], asked.get("parameter")) if part))
        writer.write(json.dumps(self.answer(asked["command"], asked.get("parameter", ""))).encode() + b"\0")
        await writer.drain()

    def answer(self, command: str, parameter: str) -> Any:
        """The reply to one command."""
        if "+" in command:
            return (
                {name: [self.answer(name, "")] for name in command.split("+")} | {"id": 1}
                if self.joins
                else _no("Invalid command")
            )
        if command == "logon":
            if self.busy or self.session:
                return _no("Another session is active", 402)
            self.session = "yJN2nlj1"
            return _yes(SESSION=[{"SessionID": self.session}])
        if command in ("logoff", "curtail", "profileset"):
            given, _, argument = parameter.partition(",")
            if given != self.session:
                return _no("Invalid session")
            return self.write(command, argument)
        return self.replies.get(command) or _no("Invalid command")

    def write(self, command: str, argument: str) -> Any:
        """A command of a session."""
        asleep = self.config["CurtailMode"] == "Sleep"
        if command == "logoff":
            self.session = ""
        elif command == "curtail":
            self.config["CurtailMode"] = "Sleep" if argument == "sleep" else "None"
        elif asleep and self.refuses_profile_asleep:
            return _no("Miner is sleeping")
        else:
            self.config["Profile"] = argument
        return _yes()


def _yes(**sections: Any) -> dict[str, Any]:
    return {"STATUS": [{"STATUS": "S", "Code": 1, "Msg": "ok"}], "id": 1, **sections}


def _no(why: str, code: int = 14) -> dict[str, Any]:
    return {"STATUS": [{"STATUS": "E", "Code": code, "Msg": why}], "id": 1}


def driver(machine_of: Callable[..., Machine], port: int) -> LuxOS:
    """A driver of the paper machine."""
    return LuxOS(machine_of(MODEL, "luxos", api=port), Credentials(), read_deadline_s=2, write_deadline_s=2)


@pytest.mark.parametrize("joins", [True, False])
def test_a_look_is_one_exchange_where_commands_join(
    against: Any, replies: dict[str, Any], machine_of: Any, machine: Machine, joins: bool
) -> None:
    """Five exchanges a look would poll a fifth of the machines; none at all would lose older firmware."""
    paper = PaperLuxOS(replies, joins=joins)

    async def talk(port: int) -> list[Reading]:
        lux = driver(machine_of, port)
        return [await lux.read(depth) for depth in (Depth.LEAN, Depth.LEAN, Depth.POOLS)]

    lean, again, pools = against(paper, talk)
    assert lean == again == EXPECTED
    assert pools == parse(replies, machine, Depth.POOLS)
    joined = "+".join(LEAN)
    assert paper.heard == ([joined, joined, "pools"] if joins else [joined, *LEAN, *LEAN, "pools"])


@pytest.mark.parametrize(
    ("config", "mode", "heard"),
    [
        ({}, SLEEP, ["config", "logon", "curtail S,sleep", "logoff S"]),
        ({"CurtailMode": "Sleep"}, SLEEP, ["config"]),
        ({}, STEP, ["config", "logon", "profileset S,315MHz", "logoff S"]),
        ({"Profile": "315MHz"}, STEP, ["config"]),
        ({"CurtailMode": "Sleep", "Profile": "315MHz"}, STEP, ["config", "logon", "curtail S,wakeup", "logoff S"]),
        (
            {"CurtailMode": "Sleep"},
            STEP,
            ["config", "logon", "profileset S,315MHz", "curtail S,wakeup", "logoff S"],
        ),
    ],
)
def test_what_is_sent(
    against: Any, replies: dict[str, Any], machine_of: Any, config: dict[str, Any], mode: Mode, heard: list[str]
) -> None:
    """A needless write wears a machine; a wake before its profile ramps to a point it was not allowed."""
    paper = PaperLuxOS(replies)
    paper.config.update(config)
    against(paper, lambda port: driver(machine_of, port).set_mode(mode))
    assert paper.heard == [line.replace(" S", " yJN2nlj1") for line in heard]
    assert paper.session == ""
    assert paper.config["CurtailMode"] == ("Sleep" if mode is SLEEP else "None")


def test_firmware_that_takes_no_profile_while_it_sleeps(against: Any, replies: dict[str, Any], machine_of: Any) -> None:
    """Such a machine could never be woken at another profile."""
    paper = PaperLuxOS(replies)
    paper.config["CurtailMode"] = "Sleep"
    paper.refuses_profile_asleep = True
    against(paper, lambda port: driver(machine_of, port).set_mode(STEP))
    assert (paper.config["CurtailMode"], paper.config["Profile"], paper.session) == ("None", "315MHz", "")


def test_another_session_is_not_taken_over(against: Any, replies: dict[str, Any], machine_of: Any) -> None:
    """Two controllers in one session would undo each other."""
    paper = PaperLuxOS(replies, busy=True)
    with pytest.raises(Refused, match="Another session is active"):
        against(paper, lambda port: driver(machine_of, port).set_mode(SLEEP))
    assert paper.heard == ["config", "logon"]


def test_the_session_is_closed_when_a_command_is_refused(
    against: Any, replies: dict[str, Any], machine_of: Any
) -> None:
    """A session left open would lock out the next command for a minute."""
    paper = PaperLuxOS(replies)
    paper.refuses_profile_asleep = True
    paper.config["CurtailMode"] = "None"
    paper.write = lambda command, _: _yes() if command == "logoff" else _no("no such profile")  # type: ignore[assignment,method-assign]
    with pytest.raises(Refused, match="no such profile"):
        against(paper, lambda port: driver(machine_of, port).set_mode(STEP))
    assert paper.heard[-1] == "logoff yJN2nlj1"


@pytest.mark.parametrize("name", ["a,b", "2"])
def test_a_name_that_commands_cannot_carry(machine: Machine, name: str) -> None:
    """A comma would become a parameter, a small number the old board id: some other change than was asked."""
    with pytest.raises(Unsupported):
        asyncio.run(LuxOS(machine, Credentials()).set_mode(Mode(name, 100, 1.0)))


def test_an_error_names_the_address_and_no_session(against: Any, replies: dict[str, Any], machine_of: Any) -> None:
    """An operator cannot act on an error without an address."""

    async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)

    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:\d+ summary\+config"):
        against(hangs_up, lambda port: driver(machine_of, port).read(Depth.LEAN))
    assert luxos.PORT == 4028
