"""Stock Antminer: what its replies mean, when its web server is asked, and that no write loses a pool."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.catalogue import nameplate
from fleet.driver import DriverError, Garbled, Refused, Unreachable, Unsupported
from fleet.drivers.antminer import Antminer, Told, changed, parse, parse_told
from fleet.drivers.antminer_web import as_api
from fleet.links import Credentials
from fleet.machine import Machine, Mode
from fleet.reading import Depth, Identity, Pool, Reading, State

MODEL = "Antminer S19 Pro"
SLEEP, LOW, NORMAL = nameplate(MODEL, "antminer").modes
POOLS = [
    {"url": "stratum+tcp://a.example:3333", "user": "site.w1", "pass": "hunter2"},
    {"url": "stratum+tcp://b.example:443", "user": "site.w1", "pass": "x"},
    {"url": "", "user": "", "pass": ""},
]
CONF = {
    "pools": POOLS,
    "api-listen": True,
    "bitmain-fan-ctrl": True,
    "bitmain-fan-pwm": "70",
    "bitmain-freq-level": "100",
    "bitmain-work-mode": "0",
    "something": {"unknown": [1, None]},
}
COMMANDS = ("stats", "summary", "pools", "version")


@pytest.fixture
def replies(capture: Callable[[str], Any]) -> dict[str, Any]:
    """The captured reply of each command."""
    return {name: capture(f"antminer/{name}.json") for name in (*COMMANDS, "system_info")}


@pytest.fixture
def machine(machine_of: Callable[..., Machine]) -> Machine:
    """A machine of the captured model."""
    return machine_of(MODEL, "antminer")


EXPECTED = Reading(
    state=State.HASHING,
    mode="normal",
    hashrate_ths=110.56689,
    power_w=3250,  # the nameplate: this firmware reports no watts
    power_measured=False,
    chip_c=78.0,
    board_c=73.0,
    uptime_s=50474.0,
    hardware_errors=562,
    fans_rpm=(6000, 5880, 5040, 5040),
)


def test_the_captured_lean_reading(replies: dict[str, Any], machine: Machine) -> None:
    """A tick would decide on wrong values of a real machine."""
    assert parse({"stats": replies["stats"]}, Told("normal", ()), machine, Depth.LEAN) == EXPECTED


def test_the_captured_full_reading(replies: dict[str, Any], machine: Machine) -> None:
    """Counters, boards, pools and identity of a real machine would be wrong or missing."""
    full = parse(replies, Told("normal", ()), machine, Depth.FULL)
    assert (full.accepted, full.rejected, full.stale, full.hardware_errors) == (4057, 11, 1, 562)
    assert (full.accepted_difficulty, full.share_difficulty) == (1305083904.0, 524288.0)
    assert [round(board.hashrate_ths or 0, 4) for board in full.boards] == [37.6033, 35.5362, 37.4274]
    assert [(board.board_c, board.chip_c, board.chips) for board in full.boards] == [
        (73.0, 78.0, 114),
        (66.0, 71.0, 114),
        (64.0, 69.0, 114),
    ]
    url, user = "stratum+tcp://btc.global.luxor.tech:700", "satokierepair.H04YK"
    assert full.pools == (
        Pool(url, user, 0, True, 4057, 11),
        Pool(url, user, 1, False, 0, 0),
        Pool(url, user, 2, False, 0, 0),
    )
    assert full.identity == Identity(
        "Antminer S21", "FR-1.12(251009-S21)", "02:55:97:22:3M:72", "THQING0BDJAB024NF", "Antminer"
    )


def test_the_accepted_difficulty_tells_the_same_hash_rate(replies: dict[str, Any], machine: Machine) -> None:
    """Counted in another unit it would make every machine a liar."""
    full = parse(replies, Told("normal", ()), machine, Depth.FULL)
    assert full.accepted_difficulty is not None
    assert full.uptime_s is not None
    assert full.accepted_difficulty * 2**32 / full.uptime_s / 1e12 == pytest.approx(111.8, rel=0.02)


@pytest.mark.parametrize(
    ("ghs", "elapsed", "told", "listens", "state", "power_w"),
    [
        (110e3, 50_000, "normal", True, State.HASHING, 3250),
        (88e3, 50_000, "low", True, State.HASHING, LOW.power_w),
        (88e3, 50_000, "7", True, State.HASHING, None),
        (110e3, 50_000, "sleep", True, State.HASHING, None),
        (110e3, 50_000, None, True, State.HASHING, None),
        (0.0, 50_000, "sleep", True, State.SLEEPING, SLEEP.power_w),
        (500.0, 20, "sleep", True, State.SLEEPING, SLEEP.power_w),
        (None, None, "sleep", False, State.SLEEPING, SLEEP.power_w),
        (None, None, "normal", False, State.STARTING, 3250),
        (0.0, 60, "normal", True, State.STARTING, 3250),
        (0.0, 5_000, "normal", True, State.FAULTED, None),
        (0.0, 5_000, None, True, State.UNKNOWN, None),
        (None, 5_000, "normal", True, State.UNKNOWN, None),
    ],
)
def test_state_and_power(
    replies: dict[str, Any],
    machine: Machine,
    ghs: Any,
    elapsed: Any,
    told: Any,
    listens: bool,
    state: State,
    power_w: Any,
) -> None:
    """Sleeping, starting and faulted all show no hashes; a nameplate stated for a machine that does not run at it is a lie."""
    replies["stats"]["STATS"][1].update({"GHS 5s": ghs, "Elapsed": elapsed})
    given_replies = {"stats": replies["stats"]} if listens else {}
    reading = parse(given_replies, None if told is None else Told(told, ()), machine, Depth.LEAN)
    assert (reading.state, reading.mode, reading.power_w) == (state, told, power_w)
    assert not reading.power_measured


@pytest.mark.parametrize(
    ("field", "value", "watts"),
    [("chain_power", "3312 W", 3312.0), ("power", 3199, 3199.0), ("watt", "3001", 3001.0), ("power", 1e9, None)],
)
def test_measured_power_is_taken_where_there_is_any(
    replies: dict[str, Any], machine: Machine, field: str, value: Any, watts: float | None
) -> None:
    """Firmware that does measure would be estimated."""
    replies["stats"]["STATS"][1][field] = value
    reading = parse({"stats": replies["stats"]}, Told("normal", ()), machine, Depth.LEAN)
    assert (reading.power_w, reading.power_measured) == ((watts, True) if watts else (3250, False))


def test_newer_sensor_names(replies: dict[str, Any], machine: Machine) -> None:
    """Newer firmware names its sensors by inlet and outlet: its machines would have no temperature."""
    row = replies["stats"]["STATS"][1]
    for key in [key for key in row if key.startswith("temp")]:
        del row[key]
    row.update({"temp_in_chip_1": 60, "temp_out_chip_1": 83, "temp_in_pcb_2": 41, "temp_out_pcb_2": "62"})
    reading = parse({"stats": replies["stats"]}, None, machine, Depth.LEAN)
    assert (reading.chip_c, reading.board_c) == (83.0, 62.0)


def test_what_it_is_told() -> None:
    """The work mode is a text in some firmware and a number in other; blank pools are none."""
    pools = (Pool(POOLS[0]["url"], "site.w1", 0), Pool(POOLS[1]["url"], "site.w1", 1))
    assert parse_told(CONF) == Told("normal", pools)
    assert parse_told({**CONF, "bitmain-work-mode": 1}).mode == "sleep"
    assert parse_told({"miner-mode": "3"}) == Told("low", ())
    assert parse_told({"bitmain-work-mode": "254"}).mode == "254"
    with pytest.raises(Garbled):
        parse_told([])


def test_a_write_changes_the_work_mode_and_nothing_else() -> None:
    """The configuration carries the pools: whatever is left out of it is lost."""
    before = copy.deepcopy(CONF)
    written = changed(CONF, SLEEP, "here")
    assert before == CONF
    assert written == {**CONF, "bitmain-work-mode": "1", "miner-mode": 1, "freq-level": "100"}
    assert changed({**CONF, "bitmain-work-mode": 0}, LOW, "here") == {
        **CONF,
        "bitmain-work-mode": 3,
        "miner-mode": 3,
        "freq-level": "100",
    }
    assert changed(CONF, NORMAL, "here") is None


@given(st.dictionaries(st.text(max_size=6), st.integers() | st.text(max_size=4)), st.sampled_from([SLEEP, LOW, NORMAL]))
def test_every_other_key_is_written_back(extra: dict[str, Any], mode: Mode) -> None:
    """A key of firmware we have not seen would be lost."""
    conf = {**extra, **CONF}
    written = changed(conf, mode, "here")
    for key, value in conf.items():
        if written is not None and key not in ("bitmain-work-mode", "miner-mode"):
            assert written[key] == value


@pytest.mark.parametrize(
    "conf",
    [
        {},
        [],
        None,
        {**CONF, "pools": []},
        {**CONF, "pools": None},
        {**CONF, "pools": [{"url": "", "user": "", "pass": ""}] * 3},
        {key: value for key, value in CONF.items() if key != "pools"},
        {key: value for key, value in CONF.items() if key != "bitmain-work-mode"},
    ],
)
def test_a_configuration_without_its_pools_is_not_written(conf: Any) -> None:
    """This is how fleets lose their pools."""
    with pytest.raises(Refused):
        changed(conf, SLEEP, "here")


def test_a_mode_that_the_firmware_lacks() -> None:
    """An unknown name must not become some code."""
    with pytest.raises(Unsupported, match="turbo"):
        changed(CONF, Mode("turbo", 5000, 150), "here")


WORDS = (
    "STATUS STATS Elapsed When temp_chip1 chain_acn1 chain_rate1 fan1 chain_power POOLS URL SUMMARY status type msg "
    "minertype pools url bitmain-work-mode"
)
KEYS = st.sampled_from((*WORDS.split(), "GHS 5s", "Stratum Active"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=24,
)


@given(st.dictionaries(st.sampled_from((*COMMANDS, "system_info", "web_summary")), JSON), JSON, st.sampled_from(Depth))
def test_any_json_is_a_reading_or_garbled(replies: dict[str, Any], conf: Any, depth: Depth) -> None:
    """Any other error would escape the driver as a traceback."""
    machine = Machine("m", MODEL, "antminer", "127.0.0.1", nameplate(MODEL, "antminer").modes, "normal")
    for reply in replies.values():
        if isinstance(reply, dict) and isinstance(reply.get("STATUS"), list):
            reply["STATUS"] = [{"STATUS": "S"}]
    try:
        parse(replies, parse_told(conf), machine, depth)
    except (Garbled, Refused):
        return


class PaperApi:
    """The TCP-JSON side: one command a connection, as captured."""

    def __init__(self, replies: dict[str, Any]) -> None:
        self.replies = replies
        self.heard: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        command = json.loads(await reader.read(65536))["command"]
        self.heard.append(command)
        writer.write(json.dumps(self.replies[command]).encode() + b"\0")
        await writer.drain()


def success(_: Any) -> dict[str, str]:
    """What the cgi answers when it took a configuration."""
    return {"stats": "success", "code": "M000", "msg": "OK!"}


@pytest.fixture
def web(paper_web: Any, replies: dict[str, Any]) -> Any:
    """The web side."""
    pages = {
        "/cgi-bin/get_miner_conf.cgi": copy.deepcopy(CONF),
        "/cgi-bin/get_system_info.cgi": replies["system_info"],
        "/cgi-bin/set_miner_conf.cgi": success,
        "/cgi-bin/summary.cgi": {
            "SUMMARY": [
                {"status": [{"type": "rate", "status": "s"}, {"type": "fans", "status": "e", "msg": "fan 2 lost"}]}
            ]
        },
    }
    return paper_web(pages)


def driver(machine_of: Any, api: int, web: int, password: str = "letmein") -> Antminer:  # noqa: S107
    """A driver of the paper machine."""
    credentials = Credentials("root", password)
    return Antminer(machine_of(MODEL, "antminer", api=api, web=web), credentials, read_deadline_s=2, write_deadline_s=2)


def test_a_lean_look_is_one_exchange_while_nothing_restarts(
    against_two: Any, replies: dict[str, Any], machine_of: Any, web: Any
) -> None:
    """Asking the web server each time would poll half the machines; never again would miss somebody else's hand."""
    api = PaperApi(replies)

    async def talk(api_port: int, web_port: int) -> tuple[list[Reading], list[int]]:
        ant = driver(machine_of, api_port, web_port)
        readings, asked = [], []

        async def look() -> None:
            readings.append(await ant.read(Depth.LEAN))
            asked.append(len(web.requests))

        await look()
        replies["stats"]["STATUS"][0]["When"] += 10
        replies["stats"]["STATS"][1]["Elapsed"] += 10
        await look()  # the same process, ten seconds older
        web.pages["/cgi-bin/get_miner_conf.cgi"]["bitmain-work-mode"] = "3"
        replies["stats"]["STATS"][1]["Elapsed"] = 150
        await look()  # restarted by somebody else, in another work mode
        replies["stats"]["STATS"][1]["GHS 5s"] = 0.0
        web.pages["/cgi-bin/get_miner_conf.cgi"]["bitmain-work-mode"] = "1"
        await look()  # hashes no more
        await look()
        return readings, asked

    readings, asked = against_two(api, web, talk)
    assert readings[0] == EXPECTED
    assert [reading.mode for reading in readings] == ["normal", "normal", "low", "sleep", "sleep"]
    assert [reading.state for reading in readings[-2:]] == [State.SLEEPING] * 2
    assert asked == [2, 2, 3, 4, 5]
    assert api.heard == ["stats"] * 5


def test_a_machine_that_was_just_woken_is_not_faulted(
    against_two: Any, replies: dict[str, Any], machine_of: Any, web: Any
) -> None:
    """Its old process still answers, hours old and without a hash, until it restarts: every wake would look like a fault."""
    stats, conf = replies["stats"], web.pages["/cgi-bin/get_miner_conf.cgi"]
    stats["STATS"][1]["GHS 5s"] = 0.0
    conf["bitmain-work-mode"] = "1"

    async def talk(api_port: int, web_port: int) -> list[State]:
        ant, states = driver(machine_of, api_port, web_port), []
        for code, later_s in (("1", 0), ("0", 10), ("0", 30), ("0", 700)):
            conf["bitmain-work-mode"] = code
            stats["STATUS"][0]["When"] += later_s
            stats["STATS"][1]["Elapsed"] += later_s
            states.append((await ant.read(Depth.LEAN)).state)
        return states

    states = against_two(PaperApi(replies), web, talk)
    assert states == [State.SLEEPING, State.STARTING, State.STARTING, State.FAULTED]


def test_a_full_look(against_two: Any, replies: dict[str, Any], machine_of: Any, web: Any, machine: Machine) -> None:
    """All that the machine has, from both its sides, and the checks that failed."""
    full = against_two(PaperApi(replies), web, lambda a, w: driver(machine_of, a, w).read(Depth.FULL))
    assert full == parse(
        {**replies, "web_summary": web.pages["/cgi-bin/summary.cgi"]}, parse_told(CONF), machine, Depth.FULL
    )
    assert full.errors == ("fans: fan 2 lost",)


def test_a_wrong_password_costs_the_mode_and_not_the_reading(
    against_two: Any, replies: dict[str, Any], machine_of: Any, web: Any
) -> None:
    """The hash rate is there without a password; what is told is not, and the reading says why."""
    reading = against_two(PaperApi(replies), web, lambda a, w: driver(machine_of, a, w, "wrong").read(Depth.LEAN))
    assert (reading.hashrate_ths, reading.mode, reading.power_w) == (110.56689, None, None)
    assert "wrong user or password" in reading.errors[0]
    with pytest.raises(Refused, match="wrong user or password"):
        against_two(PaperApi(replies), web, lambda a, w: driver(machine_of, a, w, "wrong").read(Depth.POOLS))


@pytest.mark.parametrize(("code", "state"), [("1", State.SLEEPING), ("0", State.STARTING)])
def test_nobody_listens_while_the_miner_restarts(
    against: Any, machine_of: Any, web: Any, code: str, state: State
) -> None:
    """For a minute after each command a stock Antminer would be unreachable, and counted as silent."""
    web.pages["/cgi-bin/get_miner_conf.cgi"]["bitmain-work-mode"] = code

    reading = against(web, lambda port: deaf_api(machine_of, port, Depth.LEAN))
    assert (reading.state, reading.hashrate_ths) == (state, None)


WEB_STATS: dict[str, Any] = {
    "STATUS": {"STATUS": "S", "when": 1763763763, "Msg": "stats", "api_version": "1.0.0"},
    "INFO": {"type": "Antminer S19 Pro"},
    "STATS": [
        {
            "elapsed": 5000,
            "rate_5s": 110.5,
            "rate_unit": "TH/s",
            "fan": [6000, 5900],
            "chain": [
                {"index": 0, "rate_real": 37.5, "asic_num": 114, "temp_pcb": [60, 62], "temp_chip": [70, 75]},
                {"index": 1, "rate_real": 36.5, "asic_num": 114, "temp_pcb": [61, 63], "temp_chip": [71, 79]},
                {"index": 2, "rate_real": 0.0, "asic_num": 0, "temp_pcb": [], "temp_chip": []},
            ],
        }
    ],
}


async def deaf_api(machine_of: Any, web_port: int, depth: Depth) -> Reading:
    """A look at a machine whose API does not listen."""
    free = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    api_port = free.sockets[0].getsockname()[1]
    free.close()
    await free.wait_closed()
    return await driver(machine_of, api_port, web_port).read(depth)


@pytest.mark.parametrize("depth", [Depth.LEAN, Depth.FULL])
def test_a_machine_whose_api_is_switched_off(against: Any, machine_of: Any, web: Any, depth: Depth) -> None:
    """Its web page has the same figures: without them it would seem to start for ever."""
    web.pages["/cgi-bin/stats.cgi"] = WEB_STATS
    reading = against(web, lambda port: deaf_api(machine_of, port, depth))
    assert (reading.state, reading.mode, reading.hashrate_ths) == (State.HASHING, "normal", pytest.approx(110.5))
    assert (reading.chip_c, reading.board_c, reading.uptime_s, reading.fans_rpm) == (79.0, 63.0, 5000.0, (6000, 5900))
    if depth is Depth.FULL:
        assert [round(board.hashrate_ths or 0, 3) for board in reading.boards] == [37.5, 36.5]
        assert reading.pools == parse_told(CONF).pools


@pytest.mark.parametrize(("unit", "ths"), [("GH/s", 0.1105), ("H/s", 1.105e-10), (None, 0.1105), ("Sol/s", None)])
def test_the_units_of_the_web_page(unit: Any, ths: float | None) -> None:
    """A rate in another unit is a thousand machines, or none."""
    page = {**WEB_STATS, "STATS": [{**WEB_STATS["STATS"][0], "rate_unit": unit}]}
    rate = (as_api(page) or {})["STATS"][1]["GHS 5s"]
    assert rate == (None if ths is None else pytest.approx(ths * 1e3))


@given(JSON)
def test_any_page_is_a_reply_or_none(page: Any) -> None:
    """Any other error would escape the driver as a traceback."""
    as_api(page)
    as_api({"STATS": [page]})
    as_api({"STATS": [{"chain": [page], "fan": page}]})


async def closes(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Hears and hangs up."""
    await reader.read(65536)


def test_a_dead_machine_is_unreachable(against_two: Any, machine_of: Any, web: Any) -> None:
    """A hung API is not a restarting one."""
    with pytest.raises(Unreachable):
        against_two(closes, web, lambda a, w: driver(machine_of, a, w).read(Depth.LEAN))


def test_sleep_is_written_back_whole(against_two: Any, machine_of: Any, web: Any) -> None:
    """One request to read, one to write, on one connection; the pools with their passwords go back as they came."""
    against_two(closes, web, lambda a, w: driver(machine_of, a, w).set_mode(SLEEP))
    assert web.requests == [
        "GET /cgi-bin/get_miner_conf.cgi 401",
        "GET /cgi-bin/get_miner_conf.cgi 200",
        "POST /cgi-bin/set_miner_conf.cgi 200",
    ]
    assert web.connections == 1
    assert web.posted == [("/cgi-bin/set_miner_conf.cgi", changed(CONF, SLEEP, ""))]


def test_nothing_is_written_when_it_is_set_already(against_two: Any, machine_of: Any, web: Any) -> None:
    """Each write restarts the miner."""
    against_two(closes, web, lambda a, w: driver(machine_of, a, w).set_mode(NORMAL))
    assert web.posted == []


@pytest.mark.parametrize(
    ("page", "answer", "error"),
    [
        ("get", (500, {}), Refused),
        ("get", {}, Refused),
        ("get", b"<html>", Refused),
        ("get", {**CONF, "pools": []}, Refused),
        ("set", {"stats": "error", "code": "M001", "msg": "Invalid configuration"}, Refused),
        ("set", {}, Refused),
        ("set", b"", Garbled),
    ],
)
def test_a_write_that_fails_says_so(
    against_two: Any, machine_of: Any, web: Any, page: str, answer: Any, error: type[DriverError]
) -> None:
    """Lost pools, and "ok" without a stop, are the commonest complaints of every such tool."""
    web.pages[f"/cgi-bin/{page}_miner_conf.cgi"] = answer
    with pytest.raises(error) as caught:
        against_two(closes, web, lambda a, w: driver(machine_of, a, w).set_mode(SLEEP))
    assert "hunter2" not in str(caught.value)
    assert len(web.posted) == (page == "set")


def test_after_a_write_the_mode_is_asked_again(
    against_two: Any, replies: dict[str, Any], machine_of: Any, web: Any
) -> None:
    """A remembered mode would confirm, or deny, a command without asking."""

    def takes(conf: dict[str, Any]) -> dict[str, str]:
        web.pages["/cgi-bin/get_miner_conf.cgi"]["bitmain-work-mode"] = conf["bitmain-work-mode"]
        return success(conf)

    web.pages["/cgi-bin/set_miner_conf.cgi"] = takes

    async def talk(api_port: int, web_port: int) -> list[str | None]:
        ant = driver(machine_of, api_port, web_port)
        before = await ant.read(Depth.LEAN)
        await ant.set_mode(LOW)
        after = await ant.read(Depth.LEAN)
        pools = await ant.read(Depth.POOLS)
        await ant.close()
        assert pools.pools == parse_told(CONF).pools
        return [before.mode, after.mode]

    assert against_two(PaperApi(replies), web, talk) == ["normal", "low"]
