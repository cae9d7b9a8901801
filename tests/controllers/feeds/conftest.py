"""What the feeds' tests share: a clock that runs as fast as it is slept on, a listener, and a web server with a script."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

import pytest

from controllers.feeds import Feed, FeedState
from fleet.market import Quantity, Signal

START_S = 1_705_320_000.0  # 2024-01-15T12:00Z
DEADLINE_S = 20.0


class SteppedClock:
    """Each sleep passes at once; after so many of them the sleeper sleeps for ever."""

    speed = 1.0

    def __init__(self, sleeps: int, start_s: float = START_S) -> None:
        self.now_s = start_s
        self.left = sleeps
        self.over = asyncio.Event()

    def now(self) -> float:
        """UTC seconds."""
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        """Pass."""
        assert seconds > 0
        if self.left == 0:
            self.over.set()
            await asyncio.Event().wait()
        self.left -= 1
        self.now_s += seconds
        await asyncio.sleep(0)


@dataclass
class Heard:
    """What a feed put and told."""

    signals: list[tuple[Quantity, Signal]] = field(default_factory=list)
    told: list[FeedState] = field(default_factory=list)

    def put(self, quantity: Quantity, signal: Signal) -> None:
        """Take a signal."""
        self.signals.append((quantity, signal))

    def values(self, quantity: Quantity) -> list[float]:
        """The values of a quantity."""
        return [signal.value for of, signal in self.signals if of is quantity]


async def run_feed(feed: Feed, looks: int = 1, start_s: float = START_S) -> Heard:
    """Run a feed for so many looks."""
    heard, clock = Heard(), SteppedClock(looks - 1, start_s)
    task = asyncio.create_task(feed.run(heard.put, heard.told.append, clock))
    over = asyncio.create_task(clock.over.wait())
    try:
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.wait({task, over}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
            raise AssertionError("the feed ended by itself")
    finally:
        over.cancel()
        task.cancel()
        await asyncio.gather(task, over, return_exceptions=True)
    return heard


Script = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


class ScriptedWeb:
    """A web server on loopback that says, to each request in turn, what its script has; the last entry stays."""

    def __init__(self, *script: bytes | Script) -> None:
        self.script = list(script)
        self.requests: list[str] = []
        self.url = ""

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            say = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            self.requests.append(head)
            if isinstance(say, bytes):
                writer.write(say)
                await writer.drain()
            else:
                await say(head, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def page(body: str | bytes, status: str = "200 OK", **headers: str) -> bytes:
    """One answer."""
    raw = body.encode() if isinstance(body, str) else body
    extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(raw)}\r\nConnection: close\r\n{extra}\r\n".encode() + raw


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the machine that tests run on is not in the way."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
