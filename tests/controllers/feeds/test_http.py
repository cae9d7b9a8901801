"""JSON over real HTTP on loopback: what is taken, and what each bad answer is called."""

from __future__ import annotations

import asyncio
import gzip
import logging
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from controllers.feeds.feed import look_regularly
from controllers.feeds.http_json import HttpFeed, HttpTable
from fleet.market import Quantity
from tests.controllers.feeds.conftest import START_S, Heard, Script, ScriptedWeb, SteppedClock, page, run_feed

POWER = Quantity.POWER_USD_MWH
SECRET = "s3cret-t0ken"


def feed(url: str, directory: Path = Path(), **fields: Any) -> HttpFeed:
    """A feed of an address."""
    given = {
        "kind": "http",
        "quantity": POWER,
        "unit": "USD/MWh",
        "url": url,
        "value": "data[0].lmp",
        "deadline_s": 0.5,
    }
    return HttpFeed(HttpTable.model_validate({**given, "most_bytes": 4_096, **fields}), directory)


def heard_from(*script: bytes | Script, looks: int = 1, path: str = "/rt", **fields: Any) -> tuple[Heard, list[str]]:
    """What a feed makes of a server's answers, and what the server was asked."""

    async def run() -> tuple[Heard, list[str]]:
        async with ScriptedWeb(*script) as web:
            return await run_feed(feed(web.url + path, **fields), looks), web.requests

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("body", "fields", "value"),
    [
        ('{"data": [{"lmp": 31.5}, {"lmp": 99}]}', {}, 31.5),
        ('{"data": [{"lmp": "-12.25"}]}', {}, -12.25),
        ('{"data": [{"lmp": 3.15}]}', {"unit": "c/kWh"}, 31.5),
        ('[{"node": "A", "p": 1}, {"node": "HB", "p": 7}]', {"value": "[?node=='HB'].p | [0]"}, 7.0),
        ('{"p": 0}', {"value": "p"}, 0.0),
        ('{"p": 4, "t": "2024-01-15T05:59:00-06:00"}', {"value": "p", "at": "t"}, 4.0),
        ('{"p": 4, "t": 1705319940}', {"value": "p", "at": "t"}, 4.0),
        ('{"p": 4, "t": 1705319940000}', {"value": "p", "at": "t"}, 4.0),
    ],
)
def test_values(body: str, fields: dict[str, Any], value: float) -> None:
    """A value would not be found, or would be put in the wrong unit or at the wrong time."""
    heard, _ = heard_from(page(body), **fields)
    ((quantity, signal),) = heard.signals
    assert (quantity, signal.value, signal.heard_s, signal.source) == (POWER, value, START_S, "http power_usd_mwh")
    assert signal.valid_from_s == (START_S - 60 if "at" in fields else START_S)
    assert [state.ok for state in heard.told] == [True]


async def hang(head: str, writer: asyncio.StreamWriter) -> None:
    """Never answer."""
    assert head
    await asyncio.sleep(5)
    writer.close()


async def drip(head: str, writer: asyncio.StreamWriter) -> None:
    """A byte, and then another."""
    assert head
    for byte in page('{"data": [{"lmp": 31.5}]}'):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.1)


async def endless(head: str, writer: asyncio.StreamWriter) -> None:
    """A body without end."""
    assert head
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(100_000):
        writer.write(b"1000\r\n" + b" " * 4_096 + b"\r\n")
        await writer.drain()


GOOD = page('{"data": [{"lmp": 31.5}]}')
BOMB = page(gzip.compress(b" " * 10_000_000, mtime=0), Content_Encoding="gzip")


@pytest.mark.parametrize(
    ("answer", "fields", "said"),
    [
        (page('{"data": []}'), {}, "data[0].lmp finds nothing in what came"),
        (page('{"data": [{"lmp": null}]}'), {}, "finds nothing"),
        (page('{"data": [{"lmp": "n/a"}]}'), {}, "data[0].lmp is 'n/a', expected a number"),
        (page('{"data": [{"lmp": true}]}'), {}, "is True, expected a number"),
        (page('{"data": [{"lmp": NaN}]}'), {}, "is nan, expected a number"),
        (page('{"data": [{"lmp": Infinity}]}'), {}, "is inf, expected a number"),
        (page('{"data": [{"lmp": 1e999}]}'), {}, "is inf, expected a number"),
        (page('{"data": [{"lmp": [1]}]}'), {}, "is [1], expected a number"),
        (page('{"data": [{"lmp": 1e9}]}'), {}, "power_usd_mwh is 1e+09, expected -1000 to 10000"),
        (page('{"data": [{"lmp": 31.5}]}'), {"unit": "USD/kWh"}, "power_usd_mwh is 31500, expected -1000 to 10000"),
        (page('{"data": [{"lmp": 31.5}]}'), {"value": "sum(data)"}, "sum(data) fails on what came (JMESPathTypeError)"),
        (page('{"data": [{"lmp": 31.'), {}, "expected JSON"),
        (page("<html>moved</html>"), {}, "'<html>moved</html>', expected JSON"),
        (page("[" * 4_000), {}, "expected JSON"),
        (page(""), {}, "an empty body, expected JSON"),
        (page(b"\xff\xfe\x00"), {}, "expected JSON"),
        (page("", "500 Internal Server Error"), {}, "HTTP status 500, expected 200"),
        (page("", "429 Too Many Requests"), {}, "HTTP status 429, expected 200"),
        (page("", "302 Found", Location="http://127.0.0.1:1/other"), {}, "HTTP status 302, expected 200"),
        (page(" " * 5_000), {}, "more than 4096 bytes"),
        (BOMB, {}, "more than 4096 bytes"),
        (endless, {}, "more than 4096 bytes"),
        (hang, {}, "no whole answer within 0.5 s"),
        (drip, {}, "no whole answer within 0.5 s"),
        (b"", {}, "RemoteProtocolError"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", {}, "RemoteProtocolError"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n{}", {}, "RemoteProtocolError"),
        (
            page('{"p": 4, "t": "2024-01-14T12:00Z"}'),
            {"value": "p", "at": "t"},
            "expected at most 3600 s",
        ),
        (page('{"p": 4, "t": 1705920000}'), {"value": "p", "at": "t"}, "ahead of our clock"),
        (page('{"p": 4, "t": "2024-01-15T12:00"}'), {"value": "p", "at": "t"}, "expected a time with its zone"),
        (page('{"p": 4, "t": "noon"}'), {"value": "p", "at": "t"}, "expected a time"),
    ],
)
def test_bad_answers(answer: bytes | Script, fields: dict[str, Any], said: str) -> None:
    """A bad answer would become a value, stop the feed, hold it for long, or be told without its cause."""
    began = perf_counter()
    # where the fields would make the good answer bad too, it is left out
    script = (answer, answer) if fields else (GOOD, answer, answer)
    heard, _ = heard_from(*script, looks=len(script), path="/rt?key=" + SECRET, **fields)
    assert perf_counter() - began < 5
    assert heard.values(POWER) == ([] if fields else [31.5])
    told = heard.told[-1]
    assert not told.ok
    assert told.error is not None
    assert said in told.error
    assert SECRET not in told.error
    assert len(heard.told) == (1 if fields else 2), "a loss is told once"


def test_lost_and_back() -> None:
    """A feed that recovers would stay lost, or its recovery not be told."""
    heard, _ = heard_from(GOOD, page("", "500 Oops"), page('{"data": [{"lmp": 40}]}'), looks=3)
    assert heard.values(POWER) == [31.5, 40.0]
    assert [(state.ok, state.last_ok_s) for state in heard.told] == [
        (True, START_S),
        (False, START_S),
        (True, START_S + 600),
    ]


def test_a_bug_is_a_lost_feed() -> None:
    """A mistake in one feed would end the daemon, or be told with the key that its message carries."""

    async def run() -> Heard:
        one = feed("http://127.0.0.1:1/rt")

        async def look() -> tuple[str, ...]:
            raise KeyError(SECRET)

        heard, clock = Heard(), SteppedClock(1)
        task = asyncio.create_task(look_regularly(look, one._watch, 60, heard.told.append, clock))
        await clock.over.wait()
        task.cancel()
        return heard

    (state,) = asyncio.run(run()).told
    assert state.error is not None
    assert state.error.startswith("a bug in this feed: KeyError at test_http.py:")
    assert SECRET not in state.error


def test_unreachable() -> None:
    """An address where nobody listens would end the feed."""
    heard = asyncio.run(run_feed(feed("http://127.0.0.1:1/rt"), looks=2))
    (state,) = heard.told
    assert (state.ok, state.last_ok_s) == (False, None)
    assert state.error == "http://127.0.0.1:1/rt: ConnectError"
    assert heard.signals == []


def test_token(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The token would not be sent, be sent with its line end, or show in a message or in the settings."""
    (tmp_path / "token").write_text(f"{SECRET}\n")

    caplog.set_level(logging.DEBUG)

    async def run() -> tuple[Heard, str, str]:
        async with ScriptedWeb(page("", "403 Forbidden")) as web:
            one = feed(
                web.url + "/?key=k3y-of-address",
                tmp_path,
                token_file="token",
                token_header="X-Api-Key",
                token_prefix="",
            )
            heard = await run_feed(one)
            return heard, web.requests[0], repr(one._table)

    heard, request, table = asyncio.run(run())
    assert f"x-api-key: {SECRET}\r\n" in request.replace("X-Api-Key", "x-api-key")
    assert "Authorization" not in request
    assert SECRET not in table
    for secret in (SECRET, "k3y-of-address"):
        assert secret not in caplog.text
        assert secret not in str(heard.told)
