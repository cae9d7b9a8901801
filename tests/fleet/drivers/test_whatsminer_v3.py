"""WhatsMiner API v3: what its replies mean, and what is said to it."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.catalogue import nameplate
from fleet.driver import DriverError, Garbled, Refused, Unsupported
from fleet.drivers.whatsminer_v3 import Told, WhatsMinerV3, parse, parse_told, pools_of, token
from fleet.links import Credentials
from fleet.machine import Machine, Mode
from fleet.reading import Board, Depth, Identity, Pool, Reading, State

MODEL = "WhatsMiner M60S"
SLEEP, LOW, NORMAL, HIGH = nameplate(MODEL, "whatsminer-v3").modes
SETTING = {
    "code": 0,
    "when": 1,
    "msg": {"power-limit": 3600, "power-mode": "normal", "upfreq-speed": 0},
    "desc": "get.miner.setting",
}
NAMES = ("summary", "edevs", "pools", "device")


@pytest.fixture
def replies(capture: Callable[[str], Any]) -> dict[str, Any]:
    """The captured replies by name."""
    loaded = {name: capture(f"whatsminer_v3/get_miner_status_{name}.json") for name in NAMES[:3]}
    return {**loaded, "device": capture("whatsminer_v3/get_device_info.json")}


@pytest.fixture
def machine(machine_of: Callable[..., Machine]) -> Machine:
    """A machine of the captured model."""
    return machine_of(MODEL, "whatsminer-v3")


TOLD = Told(works=True, power_mode="normal")
EXPECTED = Reading(
    state=State.HASHING,
    mode="normal",
    hashrate_ths=171.259,
    power_w=3156.0,
    power_measured=True,
    chip_c=82.0,
    board_c=41.5,
    uptime_s=50000.0,
    fans_rpm=(5400, 5280),
)


def test_the_captured_lean_reading(replies: dict[str, Any], machine: Machine) -> None:
    """A tick would decide on wrong values of a real machine."""
    assert parse({"summary": replies["summary"]}, TOLD, machine, Depth.LEAN) == EXPECTED


def test_the_captured_full_reading(replies: dict[str, Any], machine: Machine, capture: Any) -> None:
    """Boards, pools, errors and identity of a real machine would be wrong or missing."""
    replies["device"] = capture("whatsminer_v3/get_device_info_with_errors.json")
    full = parse(replies, TOLD, machine, Depth.FULL)
    assert full.boards == (
        Board(57.2, None, 80.0, 75),
        Board(57.0, None, 82.0, 75),
        Board(57.1, None, 81.0, 75),
    )
    assert full.pools == (
        Pool("stratum+tcp://btc.example.pool:3333", "asic-rs.test", 0, True),
        Pool("stratum+tcp://btc2.example.pool:3333", "asic-rs.test", 1, False),
        Pool("stratum+tcp://btc3.example.pool:3333", "asic-rs.test", 2, False),
    )
    assert full.pools == parse(replies, TOLD, machine, Depth.POOLS).pools
    assert full.errors[0] == "264: Power xfer error. code: 0xffffffffc0000000"
    assert len(full.errors) == 5
    assert full.identity == Identity(
        "M60S_VK40", "20251209.16.Rel2", "CE:02:01:00:8C:36", "BTM3CS40HD24083100000000000000000", "WhatsMiner"
    )


@pytest.mark.parametrize(
    ("summary", "told", "errors", "state", "mode"),
    [
        ({}, TOLD, (), State.HASHING, "normal"),
        ({"up-freq-finish": 0}, TOLD, (), State.STARTING, "normal"),
        ({"hash-realtime": 0.0, "up-freq-finish": 0, "elapsed": 40}, TOLD, (), State.STARTING, "normal"),
        ({"hash-realtime": 0.0, "elapsed": 40}, TOLD, (), State.STARTING, "normal"),
        ({"hash-realtime": 0.0, "elapsed": 40}, TOLD, ("264",), State.FAULTED, "normal"),
        ({"hash-realtime": 0.0, "elapsed": 9000}, TOLD, (), State.FAULTED, "normal"),
        ({"hash-realtime": 0.0}, Told(False, "normal"), (), State.SLEEPING, "sleep"),
        ({"hash-realtime": 1.2}, Told(False, "high"), ("264",), State.SLEEPING, "sleep"),
        ({}, Told(False, "normal"), (), State.HASHING, "sleep"),
        ({"hash-realtime": 0.0}, Told(None, "normal"), (), State.UNKNOWN, "normal"),
        ({"hash-realtime": None}, TOLD, (), State.UNKNOWN, "normal"),
        ({}, Told(True, None), (), State.HASHING, None),
        ({"power-limit": 3000}, TOLD, (), State.HASHING, "normal"),
    ],
)
def test_state_and_mode(
    replies: dict[str, Any], machine: Machine, summary: Any, told: Told, errors: Any, state: State, mode: Any
) -> None:
    """Sleeping, starting and faulted all show no hashes; taken for one another they cost a start, or a machine."""
    replies["summary"]["msg"]["summary"].update(summary)
    replies["device"]["msg"]["error-code"] = [{code: "2026-05-23 09:19:10"} for code in errors]
    reading = parse({name: replies[name] for name in ("summary", "device")}, told, machine, Depth.LEAN)
    assert (reading.state, reading.mode) == (state, mode)


def test_a_stopped_service_that_gives_no_summary(replies: dict[str, Any], machine: Machine) -> None:
    """A machine that refuses its status while it is stopped would be silent and not asleep."""
    reading = parse({"device": replies["device"]}, Told(False, "normal"), machine, Depth.LEAN)
    assert (reading.state, reading.mode, reading.hashrate_ths, reading.power_w) == (State.SLEEPING, "sleep", None, None)


def test_a_power_limit_on_the_ladder_names_the_mode(replies: dict[str, Any], machine_of: Any) -> None:
    """A ladder of power limits would never be confirmed."""
    plain = machine_of(MODEL, "whatsminer-v3")
    modes = (SLEEP, Mode("3000W", 3000, 168), Mode("3600W", 3600, 190))
    machine = Machine("m", MODEL, "whatsminer-v3", "127.0.0.1", modes, "3600W")
    assert parse({"summary": replies["summary"]}, TOLD, machine, Depth.LEAN).mode == "3600W"
    assert parse({"summary": replies["summary"]}, TOLD, plain, Depth.LEAN).mode == "normal"


def test_pools_by_id_where_there_is_no_priority() -> None:
    """Older firmware counts its pools from 1 in `id`: their order is what must not change."""
    rows = [{"id": 2, "url": "b", "account": "w"}, {"id": 1, "url": "a", "account": "w"}, {"id": 3, "url": ""}]
    assert pools_of({"pools": rows}) == (Pool("a", "w", 0), Pool("b", "w", 1))


@pytest.mark.parametrize("bad", [float("nan"), -1.0, 1e9, "fast", None, True, [1], {"x": 1}])
def test_a_value_that_cannot_be_is_none(replies: dict[str, Any], machine: Machine, bad: Any) -> None:
    """A wrong value passed on steers a site."""
    for field in ("hash-realtime", "power-realtime", "chip-temp-max", "elapsed"):
        replies["summary"]["msg"]["summary"][field] = bad
    reading = parse({"summary": replies["summary"]}, TOLD, machine, Depth.LEAN)
    assert (reading.hashrate_ths, reading.power_w, reading.power_measured) == (None, None, False)
    assert reading.chip_c in (None, -1.0)


WORDS = (
    "code msg when summary edevs pools url account id hash-realtime power-realtime elapsed power-limit miner working "
    "error-code reason board-temperature up-freq-finish power-mode chip-temp-max stratum-active"
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS.split()), inner, max_size=6),
    max_leaves=24,
)


@given(st.dictionaries(st.sampled_from(NAMES), JSON), JSON, st.sampled_from(Depth), st.booleans())
def test_any_json_is_a_reading_or_garbled(replies: dict[str, Any], setting: Any, depth: Depth, succeeded: bool) -> None:
    """Any other error would escape the driver as a traceback."""
    machine = Machine("m", MODEL, "whatsminer-v3", "127.0.0.1", nameplate(MODEL, "whatsminer-v3").modes, "normal")
    if succeeded:
        for reply in replies.values():
            if isinstance(reply, dict):
                reply["code"] = 0
    try:
        parse(replies, parse_told(replies.get("device"), setting), machine, depth)
    except (Garbled, Refused):
        return


def test_the_token_is_the_documents() -> None:
    """A wrong token is a machine that cannot be stopped: base64(sha256(command + password + salt + time)), 8 characters."""
    assert token("set.miner.service", "super", "Abc123xy", 1759800000) == "Cg2iuKaj"


class PaperWhatsMiner:
    """API v3 as its documents have it."""

    def __init__(self, replies: dict[str, Any], *, password: str | None = None) -> None:
        self.replies = replies
        self.setting: dict[str, Any] = copy.deepcopy(SETTING)
        self.password = password or "super-secret"
        self.salt = "uhCiDyVj"
        self.locked = False
        self.refuses_modes_while_stopped = False
        self.heard: list[str] = []
        self.accounts: set[str] = set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one framed command."""
        length = int.from_bytes(await reader.readexactly(4), "little")
        asked = json.loads(await reader.readexactly(length))
        self.heard.append(" ".join(str(part) for part in (asked["cmd"], asked.get("param")) if part is not None))
        raw = json.dumps(self.answer(asked)).encode()
        writer.write(len(raw).to_bytes(4, "little") + raw)
        await writer.drain()

    @property
    def miner(self) -> dict[str, Any]:
        """The part of the device that says whether the service runs."""
        found: dict[str, Any] = self.replies["device"]["msg"]["miner"]
        return found

    def answer(self, asked: dict[str, Any]) -> Any:
        """The reply to one command."""
        command = str(asked["cmd"])
        param: Any = asked.get("param")
        if command == "get.device.info":
            whole = {**self.replies["device"]["msg"], "salt": self.salt}
            return self.replies["device"] | {"msg": whole if param is None else {param: whole[param]}}
        if command == "get.miner.setting":
            return self.setting
        if command == "get.miner.status":
            return self.replies[param]
        if self.locked:
            return {"code": -4, "msg": "no permission", "desc": command}
        secret = hashlib.sha256(f"{command}{self.password}{self.salt}{asked['ts']}".encode()).digest()
        if asked["token"] != b64encode(secret).decode()[:8] or asked["ts"] != self.replies["device"]["when"]:
            return {"code": -2, "msg": "invalid token", "desc": command}
        self.accounts.add(asked["account"])
        return self.write(command, param)

    def write(self, command: str, param: Any) -> Any:
        """A signed command."""
        if command == "set.miner.service":
            self.miner["working"] = "true" if param == "start" else "false"
        elif self.refuses_modes_while_stopped and self.miner["working"] == "false":
            return {"code": -1, "msg": "btminer is stopped", "desc": command}
        elif command == "set.miner.power_mode":
            self.setting["msg"]["power-mode"] = param
        elif command == "set.miner.power_limit":
            self.setting["msg"]["power-limit"] = param
        return {"code": 0, "msg": "ok", "desc": command}


@pytest.fixture
def paper(replies: dict[str, Any]) -> PaperWhatsMiner:
    """A machine of paper."""
    return PaperWhatsMiner(replies)


def driver(machine: Machine, port: int, password: str | None = None) -> WhatsMinerV3:
    """A driver of the paper machine."""
    at_port = Machine(
        "m", machine.model, machine.dialect, "127.0.0.1", machine.modes, machine.usual, ports={"api": port}
    )
    credentials = Credentials("", password or "super-secret")
    return WhatsMinerV3(at_port, credentials, read_deadline_s=2, write_deadline_s=2)


ASKED = "get.device.info"


@pytest.mark.parametrize(
    ("working", "power_mode", "mode", "heard"),
    [
        ("true", "normal", SLEEP, [ASKED, "set.miner.service stop"]),
        ("false", "normal", SLEEP, [ASKED]),
        ("true", "normal", NORMAL, [ASKED, "get.miner.setting"]),
        ("true", "normal", LOW, [ASKED, "get.miner.setting", "set.miner.power_mode low"]),
        ("false", "low", LOW, [ASKED, "get.miner.setting", "set.miner.service start"]),
        (
            "false",
            "low",
            HIGH,
            [ASKED, "get.miner.setting", "set.miner.power_mode high", "set.miner.service start"],
        ),
        (
            "true",
            "normal",
            Mode("3000W", 3000, 168),
            [ASKED, "get.miner.setting", "set.miner.power_limit 3000"],
        ),
    ],
)
def test_what_is_sent(
    against: Any, paper: PaperWhatsMiner, machine: Machine, working: str, power_mode: str, mode: Mode, heard: list[str]
) -> None:
    """A needless write restarts a machine; a start before its mode ramps to a point it was not allowed."""
    paper.miner["working"] = working
    paper.setting["msg"]["power-mode"] = power_mode
    against(paper, lambda port: driver(machine, port).set_mode(mode))
    assert paper.heard == heard
    assert paper.miner["working"] == ("false" if mode is SLEEP else "true")
    assert paper.accounts <= {"super"}


def test_firmware_that_takes_no_mode_while_stopped(against: Any, paper: PaperWhatsMiner, machine: Machine) -> None:
    """Such a machine could never be woken in another mode."""
    paper.miner["working"] = "false"
    paper.refuses_modes_while_stopped = True
    against(paper, lambda port: driver(machine, port).set_mode(LOW))
    assert (paper.miner["working"], paper.setting["msg"]["power-mode"]) == ("true", "low")


def test_a_named_mode_lifts_a_limit_of_the_ladder(against: Any, paper: PaperWhatsMiner) -> None:
    """A limit left behind would keep naming the operating point, and hold the machine below the new one."""
    modes = (SLEEP, Mode("3000W", 3000, 168), Mode("normal", 3441, 186))
    machine = Machine("m", MODEL, "whatsminer-v3", "127.0.0.1", modes, "normal")
    paper.setting["msg"]["power-limit"] = 3000
    against(paper, lambda port: driver(machine, port).set_mode(NORMAL))
    assert paper.heard[-1] == "set.miner.power_limit 99999"


def test_locked_writes_are_refused_and_left_locked(against: Any, paper: PaperWhatsMiner, machine: Machine) -> None:
    """Unlocking a machine behind its owner's back is not ours to do."""
    paper.locked = True
    with pytest.raises(Refused, match=r"set\.miner\.service: no permission \(code -4\); writes may be locked"):
        against(paper, lambda port: driver(machine, port).set_mode(SLEEP))
    assert paper.heard == [ASKED, "set.miner.service stop"]


def test_a_wrong_password_is_refused_and_not_shown(against: Any, paper: PaperWhatsMiner, machine: Machine) -> None:
    """A password in a message is everybody's password."""
    with pytest.raises(Refused, match="invalid token") as caught:
        against(paper, lambda port: driver(machine, port, "hunter2").set_mode(SLEEP))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("lacks", ["salt", "when"])
def test_a_device_without_what_a_write_is_signed_with(
    against: Any, paper: PaperWhatsMiner, machine: Machine, lacks: str
) -> None:
    """A token made of nothing would be refused, and look like a wrong password."""
    if lacks == "salt":
        paper.salt = ""
    else:
        del paper.replies["device"]["when"]
    with pytest.raises(Garbled, match="salt or the time"):
        against(paper, lambda port: driver(machine, port).set_mode(SLEEP))


def test_a_lean_look_is_one_exchange_while_nothing_restarts(
    against: Any, paper: PaperWhatsMiner, machine: Machine
) -> None:
    """Three exchanges a look would poll a third of the machines; never again would miss somebody else's hand."""
    summary = paper.replies["summary"]
    asked: list[int] = []

    async def talk(port: int) -> list[Reading]:
        whatsminer, readings = driver(machine, port), []

        async def look() -> None:
            readings.append(await whatsminer.read(Depth.LEAN))
            asked.append(len(paper.heard))

        await look()
        summary["when"] += 10
        summary["msg"]["summary"]["elapsed"] += 10
        await look()  # the same service, ten seconds older
        paper.setting["msg"]["power-mode"] = "low"
        summary["msg"]["summary"]["elapsed"] = 30
        await look()  # restarted by somebody else
        summary["msg"]["summary"]["power-limit"] = 3000
        await look()  # limited by somebody else
        summary["msg"]["summary"]["hash-realtime"] = 0.0
        paper.miner["working"] = "false"
        await look()
        return readings

    readings = against(paper, talk)
    assert readings[0] == EXPECTED
    assert [reading.mode for reading in readings] == ["normal", "normal", "low", "low", "sleep"]
    assert asked == [3, 4, 7, 10, 13]


def test_after_a_write_the_mode_is_asked_again(against: Any, paper: PaperWhatsMiner, machine: Machine) -> None:
    """A remembered mode would confirm, or deny, a command without asking."""

    async def talk(port: int) -> list[str | None]:
        whatsminer = driver(machine, port)
        before = await whatsminer.read(Depth.LEAN)
        await whatsminer.set_mode(LOW)
        return [before.mode, (await whatsminer.read(Depth.LEAN)).mode]

    assert against(paper, talk) == ["normal", "low"]


def test_a_machine_that_was_just_woken_is_not_faulted(against: Any, paper: PaperWhatsMiner, machine: Machine) -> None:
    """The old status may stand until the miner starts anew: every wake would look like a fault."""
    paper.replies["summary"]["msg"]["summary"]["hash-realtime"] = 0.0

    async def talk(port: int) -> list[State]:
        whatsminer, states = driver(machine, port), []
        for working, later_s in (("false", 0), ("true", 10), ("true", 2_000)):
            paper.miner["working"] = working
            paper.replies["device"]["when"] += later_s
            states.append((await whatsminer.read(Depth.LEAN)).state)
        return states

    assert against(paper, talk) == [State.SLEEPING, State.STARTING, State.FAULTED]


def test_a_full_look_and_the_pools(against: Any, paper: PaperWhatsMiner, machine: Machine) -> None:
    """All that the machine has."""

    async def talk(port: int) -> tuple[Reading, Reading]:
        whatsminer = driver(machine, port)
        full, pools = await whatsminer.read(Depth.FULL), await whatsminer.read(Depth.POOLS)
        await whatsminer.close()
        return full, pools

    full, pools = against(paper, talk)
    assert full == parse(paper.replies, TOLD, machine, Depth.FULL)
    assert pools.pools == full.pools


def test_a_stopped_machine_that_refuses_its_status(against: Any, paper: PaperWhatsMiner, machine: Machine) -> None:
    """It is asleep and not garbled."""
    paper.replies["summary"] = {"code": -1, "msg": "btminer is not running", "when": 1}
    paper.miner["working"] = "false"
    reading = against(paper, lambda port: driver(machine, port).read(Depth.LEAN))
    assert (reading.state, reading.mode) == (State.SLEEPING, "sleep")


@pytest.mark.parametrize(
    ("reply", "error"),
    [([], Garbled), ({}, Garbled), ({"code": "0"}, Garbled), ({"code": True}, Garbled)],
)
def test_what_is_not_the_protocol(
    against: Any, paper: PaperWhatsMiner, machine: Machine, reply: Any, error: type[DriverError]
) -> None:
    """Something else on port 4433 must not become a reading."""
    paper.replies["summary"] = reply
    with pytest.raises(error):
        against(paper, lambda port: driver(machine, port).read(Depth.LEAN))


def test_a_mode_that_the_firmware_lacks(machine: Machine) -> None:
    """An unknown name must be refused before anything is sent."""
    with pytest.raises(Unsupported, match="turbo"):
        asyncio.run(driver(machine, 1).set_mode(Mode("turbo", 5000, 250)))
