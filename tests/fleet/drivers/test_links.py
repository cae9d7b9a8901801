"""One exchange: whole whatever the far side's habits, and bounded whatever its faults."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import h11
import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from fleet.driver import DriverError, Garbled, Refused, Unreachable
from fleet.links import Challenge, Credentials, Endpoint, Web, ask_framed, ask_text, decoded
from fleet.links.exchange import Nonsense
from fleet.links.http import HttpReply

REPLY = {"STATUS": [{"STATUS": "S"}], "text": "a } brace { in } text", "rows": [{"a": 1}, {"b": [2, 3]}]}
RAW = json.dumps(REPLY).encode()


def framed(raw: bytes) -> bytes:
    """Length and bytes."""
    return len(raw).to_bytes(4, "little") + raw


def says(*chunks: bytes, then: str = "close", pause_s: float = 0.0) -> Callable[..., Any]:
    """A far side that hears a request, says this, and then closes, holds or resets."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            if pause_s:
                await asyncio.sleep(pause_s)
        if then == "reset":
            await asyncio.sleep(0.05)  # so that the bytes are there before the reset
            linger_not = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not)
            writer.transport.abort()
        elif then == "hold":
            await reader.read()

    return behave


def asks(kind: str, deadline_s: float = 0.5, limit: int = 100_000) -> Callable[[int], Any]:
    """One exchange of a kind."""

    async def talk(port: int) -> Any:
        endpoint = Endpoint("127.0.0.1", port, deadline_s, limit)
        match kind:
            case "text":
                return await ask_text(endpoint, b'{"command": "stats"}', "stats")
            case "frame":
                return await ask_framed(endpoint, b'{"cmd": "get.device.info"}', "get.device.info")
            case _:
                async with Web(endpoint, Credentials("root", "letmein")) as web:
                    return await web.get("/page.cgi")

    return talk


HTTP = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(RAW) + RAW
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(RAW), RAW)
UNTIL_CLOSE = b"HTTP/1.0 200 OK\r\n\r\n" + RAW


@pytest.mark.parametrize(
    ("kind", "behaviour"),
    [
        ("text", says(RAW)),
        ("text", says(RAW, then="hold")),
        ("text", says(RAW + b"\0")),
        ("text", says(RAW + b"\0", then="hold")),
        ("text", says(RAW + b"\n", then="hold")),
        ("text", says(RAW[:7], RAW[7:60], RAW[60:], pause_s=0.01)),
        ("text", says(RAW[:-1], RAW[-1:] + b"\0tail", pause_s=0.01, then="hold")),
        ("frame", says(framed(RAW))),
        ("frame", says(framed(RAW), then="hold")),
        ("frame", says(framed(RAW)[:2], framed(RAW)[2:9], framed(RAW)[9:], pause_s=0.01)),
        ("web", says(HTTP)),
        ("web", says(HTTP, then="hold")),
        ("web", says(HTTP[:9], HTTP[9:50], HTTP[50:], pause_s=0.01)),
        ("web", says(CHUNKED, then="hold")),
        ("web", says(UNTIL_CLOSE)),
    ],
)
def test_a_whole_reply_is_returned_at_once(against: Any, kind: str, behaviour: Any) -> None:
    """A machine that closes, holds, ends with NUL or splits its reply would be read late or not at all."""
    started = time.monotonic()
    assert against(behaviour, asks(kind, deadline_s=5.0)) == REPLY
    assert time.monotonic() - started < 2.0


def drips(raw: bytes) -> Callable[..., Any]:
    """A byte each tenth of a second."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        for byte in raw:
            writer.write(bytes((byte,)))
            await asyncio.sleep(0.1)

    return behave


async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """2 GB of what looks like the start of a reply."""
    await reader.read(65536)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2000000000\r\n\r\n{")
    block = b'"aaaaaaaa": 1, ' * 70_000
    for _ in range(2_000):
        writer.write(block)
        await writer.drain()


@pytest.mark.parametrize(
    ("kind", "behaviour", "error", "words"),
    [
        ("text", says(then="hold"), Unreachable, "no whole answer in 0.5 s"),
        ("frame", says(then="hold"), Unreachable, "no whole answer in 0.5 s"),
        ("web", says(then="hold"), Unreachable, "no whole answer in 0.5 s"),
        ("text", drips(RAW), Unreachable, "bytes)"),
        ("frame", drips(framed(RAW)), Unreachable, "no whole answer"),
        ("web", drips(HTTP), Unreachable, "no whole answer"),
        ("text", says(), Unreachable, "closed without an answer"),
        ("frame", says(), Unreachable, "closed without an answer"),
        ("web", says(), Unreachable, "closed without an answer"),
        ("text", says(RAW[:40]), Garbled, "40 bytes that are not JSON"),
        ("text", says(RAW[:40], then="hold"), Unreachable, "(40 bytes)"),
        ("frame", says(framed(RAW)[:40]), Garbled, "cut off after 40 bytes"),
        ("web", says(HTTP[:60]), Garbled, "cut off"),
        ("text", says(RAW[:40], then="reset"), Unreachable, "stats"),
        ("text", says(b"<html>not a machine</html>"), Garbled, "not JSON"),
        ("text", says(b"\0"), Garbled, "not JSON"),
        ("text", says(b"[" * 50_000 + b"\0"), Garbled, "nested too deeply"),
        ("text", says(b"\xff\xfe\x00\xd8"), Garbled, "not JSON"),
        ("frame", says(framed(b"{not json}")), Garbled, "not JSON"),
        ("frame", says(b"\xff\xff\xff\x7f"), Garbled, "promises 2147483647 bytes"),
        ("web", says(b"SSH-2.0-OpenSSH_9.2\r\n", then="hold"), Garbled, "not HTTP"),
        ("web", says(b"220 mail ready\r\n\r\n", then="hold"), Garbled, "not HTTP"),
        ("web", says(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnope"), Garbled, "not JSON"),
        ("web", says(b"HTTP/1.1 500 X\r\nContent-Length: 2\r\n\r\n{}"), Refused, "status 500"),
        ("web", says(b"HTTP/1.1 401 X\r\nContent-Length: 2\r\n\r\n{}"), Refused, "digest"),
        ("text", floods, Garbled, "over 100000 bytes"),
        ("web", floods, Garbled, "over 100000 bytes"),
    ],
)
def test_bad_behaviour_is_bounded_and_named(against: Any, kind: str, behaviour: Any, error: type, words: str) -> None:
    """A hung, hostile or broken machine would hold a poller, fill memory, or be told apart wrongly."""
    started = time.monotonic()
    with pytest.raises(error) as caught:
        against(behaviour, asks(kind))
    assert time.monotonic() - started < 3.0
    message = str(caught.value)
    assert type(caught.value) is error
    assert words in message
    assert message.startswith("127.0.0.1:")
    assert {"text": "stats", "frame": "get.device.info", "web": "GET /page.cgi"}[kind] in message


def test_nobody_listening_is_unreachable() -> None:
    """A refused connection has to be told from a machine that answers nonsense."""

    async def main() -> None:
        server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        await ask_text(Endpoint("127.0.0.1", port), b"{}", "stats")

    with pytest.raises(Unreachable, match="stats"):
        asyncio.run(main())


def test_uvloop_speaks_the_same(against_on: Any) -> None:
    """The daemon runs on uvloop where it is there: links must not depend on asyncio's own loop."""
    behaviour = says(RAW[:9], RAW[9:], pause_s=0.01)
    assert against_on(uvloop.new_event_loop, behaviour, asks("text")) == REPLY
    with pytest.raises(Garbled):
        against_on(uvloop.new_event_loop, behaviour, asks("frame"))
    with pytest.raises(Unreachable):
        against_on(uvloop.new_event_loop, says(then="hold"), asks("web"))
    with pytest.raises(Garbled):
        against_on(uvloop.new_event_loop, floods, asks("text"))


def test_a_hostile_reply_costs_little_time(against: Any) -> None:
    """A reply that always looks whole and never is would be parsed at each of its chunks, and hold the loop."""

    def cost_s(chunk: bytes) -> float:
        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(65536)
            writer.write(b"[" + b"{}," * 100_000)
            for _ in range(2_000):
                writer.write(chunk)
                await asyncio.sleep(0.001)
            await reader.read()

        before = time.process_time()
        with pytest.raises(Unreachable):
            against(behave, asks("text", deadline_s=2.0, limit=2_000_000))
        return time.process_time() - before

    # beside the same chunks that look unfinished: some three times as much; parsed at each of them, twelve times
    assert cost_s(b"{},{}") < 6 * cost_s(b"{},{},")


def test_no_secret_is_shown(against: Any, paper_web: Any) -> None:
    """A password in a log is everybody's password."""
    credentials = Credentials("operator", "hunter2")
    assert "hunter2" not in repr(credentials)
    assert "operator" not in repr(credentials)

    async def talk(port: int) -> Any:
        async with Web(Endpoint("127.0.0.1", port), credentials) as web:
            await web.get("/page.cgi")

    with pytest.raises(Refused, match="wrong user or password") as caught:
        against(paper_web({"/page.cgi": {}}, password="other"), talk)
    assert "hunter2" not in str(caught.value)
    assert "operator" not in str(caught.value)


def test_a_configuration_that_is_not_json_is_not_quoted(against: Any) -> None:
    """A configuration carries the pools' passwords, and error messages are shown."""
    body = b'{"pools": [{"url": "x", "pass": "hunter2"'
    for raw in (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body, body):
        with pytest.raises(DriverError) as caught:
            against(says(raw), asks("web"))
        assert "hunter2" not in str(caught.value)


def test_the_nonce_is_kept(against: Any, paper_web: Any) -> None:
    """Without it every request would cost two round trips and a signing-in."""
    server = paper_web({"/a.cgi": {"a": 1}, "/b.cgi": lambda body: {"got": body}})

    async def talk(port: int) -> Any:
        web = Web(Endpoint("127.0.0.1", port), Credentials("root", "letmein"))
        async with web:
            first = await web.get("/a.cgi")
        async with web:
            return first, await web.get("/a.cgi"), await web.post("/b.cgi", {"x": 2})

    assert against(server, talk) == ({"a": 1}, {"a": 1}, {"got": {"x": 2}})
    assert server.requests == ["GET /a.cgi 401", "GET /a.cgi 200", "GET /a.cgi 200", "POST /b.cgi 200"]
    assert server.connections == 2


def test_a_new_nonce_is_answered_once(against: Any, paper_web: Any) -> None:
    """A server that restarts, or lets a nonce lapse, would refuse us for good."""
    server = paper_web({"/a.cgi": {"a": 1}}, keeps_open=False)

    async def talk(port: int) -> None:
        async with Web(Endpoint("127.0.0.1", port), Credentials("root", "letmein")) as web:
            await web.get("/a.cgi")
            server.nonce = "n2"
            await web.get("/a.cgi")

    against(server, talk)
    assert server.requests == ["GET /a.cgi 401", "GET /a.cgi 200", "GET /a.cgi 401", "GET /a.cgi 200"]


def test_a_late_answer_is_not_taken_for_the_next(against: Any) -> None:
    """An answer that comes after its deadline, on a connection kept open, would answer another question."""

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/slow" in head:
            await asyncio.sleep(0.5)
        body = b'{"of": "%b"}' % head.split(b" ")[1]
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        await reader.read()

    async def talk(port: int) -> Any:
        async with Web(Endpoint("127.0.0.1", port), Credentials()) as web:
            with pytest.raises(Unreachable, match=r"0\.2 s"):
                await web.get("/slow", deadline_s=0.2)
            return await web.get("/fast")

    assert against(late, talk) == {"of": "/fast"}


def test_sha256_digest_is_spoken(against: Any, paper_web: Any) -> None:
    """Newer web servers challenge with SHA-256 alone."""
    server = paper_web({"/a.cgi": {"a": 1}})
    server.algorithm = "SHA-256"

    async def talk(port: int) -> Any:
        async with Web(Endpoint("127.0.0.1", port), Credentials("root", "letmein")) as web:
            return await web.get("/a.cgi")

    assert against(server, talk) == {"a": 1}


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_digest_is_the_standards(algorithm: str, response: str) -> None:
    """The example of RFC 7616, section 3.9.1: a slip in the formula would be a wrong password everywhere."""
    said = (
        f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    challenge = Challenge.of([said])
    assert challenge is not None
    header = challenge.answer(
        "GET",
        "/dir/index.html",
        Credentials("Mufasa", "Circle of Life"),
        "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    assert f'response="{response}"' in header


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'{"a": 1}{"b": 2}', None),
        (b'{"STATS": [{"a": 1}{"b": 2}]}', {"STATS": [{"a": 1}, {"b": 2}]}),
        (b'{"x": nan, "y": [-nan, inf], "z": -inf}', {"x": None, "y": [None, None], "z": None}),
        (b'{"words": "banana, nan: inf"}', {"words": "banana, nan: inf"}),
    ],
)
def test_known_slips_are_mended(raw: bytes, value: Any) -> None:
    """Older cgminers forget a comma between objects and print bare nan: their machines would be unreadable."""
    if value is None:
        with pytest.raises(ValueError):  # noqa: PT011  # json's own error
            decoded(raw)
    else:
        assert decoded(raw) == value


@given(st.binary(max_size=300))
def test_decoding_fails_in_one_way_only(raw: bytes) -> None:
    """Any other error would escape the driver as a traceback."""
    with contextlib.suppress(ValueError):
        decoded(raw)


def test_credentials_cannot_write_lines_of_their_own() -> None:
    """A line end in a user name would put headers into every request."""
    with pytest.raises(ValueError, match="cannot be printed") as caught:
        Credentials("root\r\nX: y", "hunter2")
    assert "hunter2" not in str(caught.value)


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """Responses, sound ones and nearly sound ones."""
    body = draw(st.binary(max_size=40))
    status = draw(
        st.sampled_from([b"200 OK", b"401", b"404 Not Found", b"204 No", b"304 Not", b"500 x", b"99 x", b"2000 x"])
    )
    headers = draw(
        st.lists(st.sampled_from([b"Server: x", b"X:y", b"Connection: close", b"Set-Cookie: a; b"]), max_size=3)
    )
    how = draw(st.sampled_from(["length", "length", "chunked", "chunked", "close", "wrong", "twice"]))
    match how:
        case "length":
            headers.append(b"Content-Length: %d" % len(body))
        case "wrong":
            headers.append(b"Content-Length: -%d" % len(body))
        case "twice":
            headers += [b"Content-Length: 1", b"Content-Length: 2"]
        case "chunked":
            headers.append(b"Transfer-Encoding: chunked")
            cut = draw(st.integers(0, len(body)))
            parts = [part for part in (body[:cut], body[cut:]) if part]
            body = (
                b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
                + b"0\r\n"
                + draw(st.sampled_from([b"\r\n", b"Trailer: x\r\n\r\n"]))
            )
        case _:
            pass
    version = draw(st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"]))
    before = draw(st.sampled_from([b"", b"", b"HTTP/1.1 100 Continue\r\n\r\n"]))
    return before + b"\r\n".join([version + b" " + status, *headers, b"", b""]) + body


def by_h11(raw: bytes) -> tuple[int, bytes] | None:
    """Status and body by h11; None when it is not one whole response."""
    wire = h11.Connection(h11.CLIENT)
    wire.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    wire.send(h11.EndOfMessage())
    status, body = 0, b""
    try:
        wire.receive_data(raw)
        ended = False
        while True:
            event = wire.next_event()
            match event:
                case h11.Response():
                    status = event.status_code
                case h11.Data():
                    body += bytes(event.data)
                case h11.EndOfMessage():
                    return status, body
                case h11.NEED_DATA if not ended:
                    ended = True
                    wire.receive_data(b"")
                case h11.InformationalResponse():
                    continue
                case _:
                    return None
    except h11.RemoteProtocolError:
        return None


@given(responses(), st.lists(st.integers(1, 60), max_size=8), st.data())
def test_responses_mean_what_h11_reads(raw: bytes, cuts: list[int], data: st.DataObject) -> None:
    """Our parser of responses is our own for speed: it must not mean anything else than the field's."""
    if data.draw(st.booleans()):
        raw = raw[: data.draw(st.integers(0, len(raw)))]
    reply, place, whole = HttpReply(1_000), 0, False
    try:
        for cut in [*cuts, len(raw)]:
            if not whole and place < len(raw):
                whole = reply.feed(raw[place : place + cut])
                place += cut
        whole = whole or reply.end()
    except Nonsense:
        whole = False
    assert ((reply.status, bytes(reply.body)) if whole else None) == by_h11(raw)
