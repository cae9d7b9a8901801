"""The wire as the vendors' documents have it: framing, sessions, digests, tokens, refusals, and the bounds on clients."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Awaitable, Callable, Coroutine
from hashlib import sha256
from typing import Any, TypeVar

import async_solipsism
import httpx
import pytest

from fleet.catalogue import ANTMINER, LUXOS, WHATSMINER
from fleet.machine import SLEEP, Machine, Roster
from simulators.clock import ScaledClock
from simulators.world import World

START_S = 1.79e9
WEB = 18_080
PASSWORD = "super"
Make = Callable[..., Machine]
Result = TypeVar("Result")


def virtually(work: Coroutine[Any, Any, Result]) -> Result:
    """Run on a virtual loop: time jumps, nothing waits."""
    with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
        return runner.run(work)


async def raw(host: str, sent: bytes, port: int = 4028) -> bytes:
    """Send, and read until the other side closes; the client does not close first."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(sent)
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def rpc(host: str, command: str, parameter: str = "") -> Any:
    """One exchange with cgminer's API."""
    return json.loads((await raw(host, json.dumps({"command": command, "parameter": parameter}).encode()))[:-1])


def code(reply: Any) -> tuple[str, int]:
    """A reply's status letter and code."""
    return reply["STATUS"][0]["STATUS"], reply["STATUS"][0]["Code"]


def alone(machine: Machine, ask: Callable[[World], Awaitable[Result]], speed: float = 1.0) -> Result:
    """What a world of one machine answers, on the virtual loop."""

    async def run() -> Result:
        async with World(Roster.of([machine]), 5, ScaledClock(START_S, speed)) as world:
            return await ask(world)

    return virtually(run())


# ------------------------------------------------------------------------------------------------------- cgminer's port


@pytest.mark.parametrize("sent", [b'{"command":"version"}', b'{"command": "version"}\n', b' {"command":"version"}\0'])
def test_answers_as_soon_as_the_json_is_complete(machine: Make, sent: bytes) -> None:
    """If this fails, clients that wait for the reply before they close would wait for ever, or get no NUL."""
    one = machine(LUXOS)
    got = alone(one, lambda _: raw(one.host, sent))
    assert got.endswith(b"\0")
    assert json.loads(got[:-1])["VERSION"][0]["Type"] == one.model


def test_a_request_may_come_in_pieces(machine: Make) -> None:
    """If this fails, a slow client gets no answer."""
    one = machine(ANTMINER, ports={"web": WEB})

    async def ask(_: World) -> bytes:
        reader, writer = await asyncio.open_connection(one.host, 4028)
        for piece in (b'{"comm', b'and":"summ', b'ary"', b"}"):
            writer.write(piece)
            await asyncio.sleep(0.5)
        got = await reader.read()
        writer.close()
        return got

    assert b'"SUMMARY"' in alone(one, ask)


def test_text_is_answered_with_text(machine: Make) -> None:
    """If this fails, cgminer's plain form is gone, which firmwares still speak."""
    one = machine(LUXOS)
    got = alone(one, lambda _: raw(one.host, b"version\n"))
    assert got.startswith(b"STATUS=S,")
    assert b"|VERSION,API=3.7" in got


@pytest.mark.parametrize("sent", [b"{" * 20_000, b"x" * 20_000, b'{"command":"' + b"a" * 20_000])
def test_too_much_is_cut_off(machine: Make, sent: bytes) -> None:
    """If this fails, a client can fill the world's memory."""
    one = machine(LUXOS)

    async def ask(_: World) -> tuple[bytes, float]:
        began = asyncio.get_running_loop().time()
        return await raw(one.host, sent), asyncio.get_running_loop().time() - began

    got, took = alone(one, ask)
    assert got == b""
    assert took < 1.0, "at once, and not when the patience ends"


def test_half_a_request_is_cut_off_in_the_end(machine: Make) -> None:
    """If this fails, a client that says half a sentence holds a connection for ever."""
    one = machine(LUXOS)

    async def ask(_: World) -> float:
        began = asyncio.get_running_loop().time()
        assert await raw(one.host, b'{"command":') == b""
        return asyncio.get_running_loop().time() - began

    assert 10 < alone(one, ask) < 60


@pytest.mark.parametrize(("dialect", "joined"), [(LUXOS, True), (ANTMINER, False)])
def test_joined_commands(machine: Make, dialect: str, joined: bool) -> None:
    """If this fails, LuxOS refuses what it can do, or a stock Antminer does what real ones refuse."""
    one = machine(dialect, ports={"web": WEB})
    got = alone(one, lambda _: rpc(one.host, "version+summary"))
    if joined:
        assert sorted(got) == ["id", "summary", "version"]
        assert got["summary"][0]["SUMMARY"][0]["GHS 5s"] > 0
    else:
        assert code(got) == ("E", 14)


# --------------------------------------------------------------------------------------------------------------- LuxOS


def test_luxos_writes_need_the_session(machine: Make) -> None:
    """If this fails, LuxOS sessions are not exclusive, do not end, or are not needed."""
    one = machine(LUXOS)

    async def ask(world: World) -> list[Any]:
        said = [code(await rpc(one.host, "curtail", "sleep")), code(await rpc(one.host, "curtail", "nonsense,sleep"))]
        session = (await rpc(one.host, "logon"))["SESSION"][0]["SessionID"]
        said.append(code(await rpc(one.host, "logon")))
        said.append((await rpc(one.host, "session"))["SESSION"][0]["SessionID"] == session)
        said.append(world.truth.target[0] == SLEEP)
        said.append(code(await rpc(one.host, "curtail", f"{session},sleep")))
        said.append(world.truth.target[0] == SLEEP)
        said.append(code(await rpc(one.host, "logoff", session)))
        said.append((await rpc(one.host, "session"))["SESSION"][0]["SessionID"])
        return said

    assert alone(one, ask) == [
        ("E", 401),
        ("E", 401),
        ("E", 402),
        True,
        False,
        ("S", 335),
        True,
        ("S", 317),
        "",
    ]


def test_a_luxos_session_ends_a_minute_after_its_last_use(machine: Make) -> None:
    """If this fails, a client that dies with a session locks the machine."""
    one = machine(LUXOS)

    async def ask(_: World) -> list[Any]:
        session = (await rpc(one.host, "logon"))["SESSION"][0]["SessionID"]
        said = []
        for wait_s in (50.0, 50.0, 65.0):
            await asyncio.sleep(wait_s)
            said.append(code(await rpc(one.host, "ledset", f"{session},red,blink")))
        said.append(code(await rpc(one.host, "logon")))
        return said

    assert alone(one, ask) == [("S", 325), ("S", 325), ("E", 401), ("S", 316)]


def test_luxos_profiles(machine: Make) -> None:
    """If this fails, a profile is not taken, or a sleeping machine is woken by it, or wakes to another."""
    one = machine(LUXOS)

    async def ask(world: World) -> list[Any]:
        session = (await rpc(one.host, "logon"))["SESSION"][0]["SessionID"]
        said: list[Any] = [code(await rpc(one.host, "profileset", f"{session},no such"))]
        await rpc(one.host, "profileset", f"{session},465MHz")
        await asyncio.sleep(30)
        said.append(one.modes[world.truth.mode[0]].name)
        await rpc(one.host, "curtail", f"{session},sleep")
        await asyncio.sleep(30)
        said.append((await rpc(one.host, "config"))["CONFIG"][0]["CurtailMode"])
        await rpc(one.host, "profileset", f"{session},490MHz")
        await asyncio.sleep(10)
        said.append(one.modes[world.truth.mode[0]].name)
        await rpc(one.host, "curtail", f"{session},wakeup")
        await asyncio.sleep(30)
        config = (await rpc(one.host, "config"))["CONFIG"][0]
        return [*said, one.modes[world.truth.mode[0]].name, config["Profile"], config["CurtailMode"]]

    assert alone(one, ask) == [("E", 322), "465MHz", "Sleep", "sleep", "490MHz", "490MHz", "None"]


def test_luxos_pools_are_added_and_removed_one_by_one(machine: Make) -> None:
    """If this fails, pools cannot be managed, or a bad call changes them."""
    one = machine(LUXOS)

    async def ask(world: World) -> list[Any]:
        said = [code(await rpc(one.host, "addpool", "stratum+tcp://new:1,worker,"))]
        said.append(code(await rpc(one.host, "addpool", "stratum+tcp://new:1")))
        said.append(code(await rpc(one.host, "removepool", "1")))
        said.append(code(await rpc(one.host, "removepool", "9")))
        return [*said, [slot.url for slot in world.units[0].pools]]

    *codes, urls = alone(one, ask)
    assert codes == [("S", 55), ("E", 52), ("S", 68), ("E", 25)]
    assert urls == [
        "stratum+tcp://pool.example.net:3333",
        "stratum+tcp://pool3.example.net:3333",
        "stratum+tcp://new:1",
    ]


# ------------------------------------------------------------------------------------------------------- stock Antminer


def page(machine: Machine, path: str) -> str:
    """A page's address."""
    return f"http://{machine.host}:{WEB}{path}"


def web(auth: httpx.Auth | None, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
    """A client that closes each connection: of an idle one httpcore asks the file descriptor, a virtual loop has none."""
    return httpx.AsyncClient(auth=auth, headers={"connection": "close"} | (headers or {}))


CONF, SET_CONF = "/cgi-bin/get_miner_conf.cgi", "/cgi-bin/set_miner_conf.cgi"


@pytest.mark.parametrize(
    ("auth", "status"),
    [
        (None, 401),
        (httpx.BasicAuth("root", "root"), 401),
        (httpx.DigestAuth("root", "wrong"), 401),
        (httpx.DigestAuth("admin", "root"), 401),
        (httpx.DigestAuth("root", "root"), 200),
    ],
)
def test_the_antminers_password_is_asked_for_by_digest(machine: Make, auth: httpx.Auth | None, status: int) -> None:
    """If this fails, pages open without the password, or not with it."""
    one = machine(ANTMINER, ports={"web": WEB})

    async def ask(_: World) -> httpx.Response:
        async with web(auth) as client:
            return await client.get(page(one, CONF))

    got = alone(one, ask)
    assert got.status_code == status
    if status == 401:
        assert got.headers["www-authenticate"].startswith('Digest realm="antMiner Configuration", nonce="')


def test_a_digest_is_good_for_its_page_and_time_only(machine: Make) -> None:
    """If this fails, a digest can be replayed for another page, or an hour later."""
    one = machine(ANTMINER, ports={"web": WEB})

    async def ask(_: World) -> list[Any]:
        async with web(httpx.DigestAuth("root", "root")) as client:
            sent = (await client.get(page(one, CONF))).request.headers["authorization"]
        async with web(None, {"authorization": sent}) as client:
            again = await client.get(page(one, CONF))
            other = await client.get(page(one, "/cgi-bin/stats.cgi"))
            posted = await client.post(page(one, CONF))
            await asyncio.sleep(3_600)
            late = await client.get(page(one, CONF))
        stale = "stale=true" in late.headers["www-authenticate"]
        return [again.status_code, other.status_code, posted.status_code, late.status_code, stale]

    assert alone(one, ask) == [200, 401, 401, 401, True]


@pytest.mark.parametrize(
    ("mode", "name"), [(1, "sleep"), ("1", "sleep"), (3, "low"), ("3", "low"), (0, "normal"), ("2", None), (7, None)]
)
def test_work_modes(machine: Make, mode: object, name: str | None) -> None:
    """If this fails, a work mode is not what its number says, or one that the model lacks is taken."""
    one = machine(ANTMINER, ports={"web": WEB})

    async def ask(world: World) -> list[Any]:
        async with web(httpx.DigestAuth("root", "root")) as client:
            conf = (await client.get(page(one, CONF))).json()
            said = (await client.post(page(one, SET_CONF), json={"miner-mode": mode, "pools": conf["pools"]})).json()
            after = (await client.get(page(one, CONF))).json()
            return [said["code"], one.modes[world.truth.target[0]].name, after["bitmain-work-mode"]]

    said, target, shown = alone(one, ask)
    if name is None:
        assert (said, target, shown) == ("M001", "normal", "0")
    else:
        assert (said, target, shown) == ("M000", name, {"sleep": "1", "low": "3", "normal": "0"}[name])
    assert isinstance(shown, str)


def test_writing_the_configuration_replaces_the_pools_and_restarts(machine: Make) -> None:
    """If this fails, the trap that blanks real machines' pools is not there to be fallen into."""
    one = machine(ANTMINER, ports={"web": WEB})
    blank = [{"url": "", "user": "", "pass": ""}] * 3

    async def ask(world: World) -> list[Any]:
        async with web(httpx.DigestAuth("root", "root")) as client:
            refused = (await client.post(page(one, SET_CONF), json={"miner-mode": 0})).json()["code"]
            before = [slot.url for slot in world.units[0].pools]
            said = (await client.post(page(one, SET_CONF), json={"miner-mode": 0, "pools": blank})).json()["code"]
            listed = (await client.get(page(one, CONF))).json()["pools"]
        return [refused, len(before), all(before), said, listed, world.truth.starts[0]]

    assert alone(one, ask) == ["M001", 3, True, "M000", blank, 1]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nContent-Length: minus one\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nContent-Length: 999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 9_000, 400),
        (b"GET /cgi-bin/nothing.cgi HTTP/1.0\r\n\r\n", 401),
    ],
)
def test_bad_requests_are_answered_and_closed(machine: Make, sent: bytes, status: int) -> None:
    """If this fails, a broken client hangs a page or fills its memory."""
    one = machine(ANTMINER, ports={"web": WEB})
    got = alone(one, lambda _: raw(one.host, sent, WEB))
    assert got.startswith(f"HTTP/1.1 {status} ".encode())


# ------------------------------------------------------------------------------------------------------------ WhatsMiner


class Line:
    """A client's connection to API v3."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, host: str) -> Line:
        return cls(*await asyncio.open_connection(host, 4433))

    async def ask(self, command: str, **fields: Any) -> Any:
        """One framed exchange."""
        body = json.dumps({"cmd": command, **fields}).encode()
        self.writer.write(len(body).to_bytes(4, "little") + body)
        return await self.answer()

    async def answer(self) -> Any:
        length = int.from_bytes(await self.reader.readexactly(4), "little")
        return json.loads(await self.reader.readexactly(length))

    async def write(self, command: str, param: Any, password: str = PASSWORD, account: str = "super") -> Any:
        """One framed write with its token."""
        salt = (await self.ask("get.device.info", param="salt"))["msg"]["salt"]
        token = b64encode(sha256(f"{command}{password}{salt}1790000000".encode()).digest())[:8].decode()
        return await self.ask(command, param=param, ts=1790000000, token=token, account=account)


def test_a_whatsminer_line_stays_open(machine: Make) -> None:
    """If this fails, a client cannot ask twice, in pieces, or send the heartbeat."""
    one = machine(WHATSMINER)

    async def ask(_: World) -> list[Any]:
        line = await Line.to(one.host)
        said = [(await line.ask("get.miner.status", param="summary"))["code"]]
        line.writer.write(b"\0\0\0\0")
        said.append(sorted((await line.ask("get.miner.status", param="edevs+pools"))["msg"]))
        body = b'{"cmd":"get.device.info","param":"network"}'
        for piece in (
            b"",
            len(body).to_bytes(4, "little")[:2],
            len(body).to_bytes(4, "little")[2:] + body[:9],
            body[9:],
        ):
            line.writer.write(piece)
            await asyncio.sleep(0.1)
        said.append(list((await line.answer())["msg"]))
        for _again in range(5):
            await asyncio.sleep(20)
            said.append((await line.ask("get.miner.setting"))["code"])
        line.writer.close()
        return said

    assert alone(one, ask) == [0, ["edevs", "pools"], ["network"], 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("command", "fields", "expected"),
    [
        ("no.such", {}, -2),
        ("get.miner.status", {"param": "nothing"}, -1),
        ("get.device.info", {"param": "nothing"}, -1),
        ("set.miner.service", {"param": "stop"}, -4),
        ("set.miner.service", {"param": "stop", "ts": 1, "token": "AAAAAAAA", "account": "super"}, -4),
    ],
)
def test_a_whatsminer_says_no(machine: Make, command: str, fields: dict[str, Any], expected: int) -> None:
    """If this fails, a WhatsMiner does what it should refuse, or refuses without a code."""
    one = machine(WHATSMINER)

    async def ask(world: World) -> tuple[Any, bool]:
        line = await Line.to(one.host)
        said = (await line.ask(command, **fields))["code"]
        line.writer.close()
        return said, world.truth.target[0] == SLEEP

    assert alone(one, ask) == (expected, False)


@pytest.mark.parametrize(
    ("command", "param", "said", "name"),
    [
        ("set.miner.service", "stop", 0, "sleep"),
        ("set.miner.service", "start", 0, "normal"),
        ("set.miner.service", "dance", -1, "normal"),
        ("set.miner.power_mode", "low", 0, "low"),
        ("set.miner.power_mode", "sleep", -1, "normal"),
        ("set.miner.power_limit", 3_500, 0, "normal"),
        ("set.miner.power_limit", 3_000, 0, "low"),
        ("set.miner.power_limit", 100, 0, "low"),
        ("set.miner.power_limit", "many", -1, "normal"),
        ("set.miner.power_limit", 1e9, -1, "normal"),
    ],
)
def test_whatsminer_writes(machine: Make, command: str, param: Any, said: int, name: str) -> None:
    """If this fails, a WhatsMiner's write does something else than its document says."""
    one = machine(WHATSMINER)

    async def ask(world: World) -> tuple[int, str]:
        line = await Line.to(one.host)
        got = (await line.write(command, param))["code"]
        line.writer.close()
        return got, one.modes[world.truth.target[0]].name

    assert alone(one, ask) == (said, name)


@pytest.mark.parametrize(("password", "account"), [("admin", "super"), ("super", "nobody")])
def test_a_whatsminer_knows_its_password_and_accounts(machine: Make, password: str, account: str) -> None:
    """If this fails, the token is not checked."""
    one = machine(WHATSMINER)

    async def ask(_: World) -> Any:
        line = await Line.to(one.host)
        got = await line.write("set.miner.service", "stop", password, account)
        line.writer.close()
        return got

    got = alone(one, ask)
    assert (got["code"], got["msg"]) == (-4, "no permission")


def test_a_power_mode_waits_for_the_wake(machine: Make) -> None:
    """If this fails, setting a stopped WhatsMiner's power mode starts it, or is forgotten."""
    one = machine(WHATSMINER)

    async def ask(world: World) -> list[str]:
        line = await Line.to(one.host)
        names = []
        for command, param in (
            ("set.miner.service", "stop"),
            ("set.miner.power_mode", "high"),
            ("set.miner.service", "start"),
        ):
            await line.write(command, param)
            names.append(one.modes[world.truth.target[0]].name)
        line.writer.close()
        return names

    assert alone(one, ask) == ["sleep", "sleep", "high"]


def test_eleven_clients_are_one_too_many(machine: Make) -> None:
    """If this fails, the documented limit of ten clients is not kept, or a place is never given back."""
    one = machine(WHATSMINER)

    async def ask(_: World) -> list[Any]:
        lines = [await Line.to(one.host) for _ in range(11)]
        said: list[Any] = []
        for line in lines:
            try:
                said.append((await line.ask("get.miner.setting"))["code"])
            except (asyncio.IncompleteReadError, ConnectionError):
                said.append(None)
        lines[0].writer.close()
        lines[10].writer.close()
        await asyncio.sleep(1)
        late = await Line.to(one.host)
        said.append((await late.ask("get.miner.setting"))["code"])
        for line in (*lines[1:10], late):
            line.writer.close()
        return said

    assert alone(one, ask) == [0] * 10 + [None, 0]


@pytest.mark.parametrize("sent", [b"\xff\xff\xff\x7f", (20_000).to_bytes(4, "little") + b"x" * 10])
def test_a_frame_beyond_the_limit_ends_the_line(machine: Make, sent: bytes) -> None:
    """If this fails, a client can announce two gigabytes and be waited for."""
    one = machine(WHATSMINER)
    assert alone(one, lambda _: raw(one.host, sent, 4433)) == b""


def test_a_frame_that_is_no_json_is_refused(machine: Make) -> None:
    """If this fails, garbage kills the server or is taken for a command."""
    one = machine(WHATSMINER)
    got = alone(one, lambda _: raw(one.host, (4).to_bytes(4, "little") + b"oops", 4433))
    assert json.loads(got[4:])["code"] == -1
