"""A small machine of paper on loopback: every test says what it answers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from fleet.catalogue import nameplate
from fleet.machine import Machine

Behaviour: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Talk: TypeAlias = Callable[[int], Awaitable[Any]]
AgainstOn: TypeAlias = Callable[[Callable[[], asyncio.AbstractEventLoop], Behaviour, Talk], Any]
AgainstTwo: TypeAlias = Callable[[Behaviour, Behaviour, Callable[[int, int], Awaitable[Any]]], Any]
Against: TypeAlias = Callable[[Behaviour, Talk], Any]

CAPTURES = Path(__file__).parent.parent / "captures"


@contextlib.asynccontextmanager
async def serving(behaviour: Behaviour) -> AsyncIterator[int]:
    """A server on a free port that behaves so with everyone; its port."""
    meetings: set[asyncio.Task[None]] = set()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        meetings.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await behaviour(reader, writer)
                writer.write_eof()
                await asyncio.wait_for(reader.read(), 2)
        finally:
            writer.transport.abort()
            meetings.discard(task)

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
        for task in list(meetings):
            task.cancel()
        await asyncio.gather(*meetings, return_exceptions=True)
        await asyncio.sleep(0.01)  # one turn for the transports to close


@pytest.fixture
def against_on() -> AgainstOn:
    """Run a talk against a server that behaves in one way, on a loop of this kind; what the talk returns."""

    def run(new_loop: Callable[[], asyncio.AbstractEventLoop], behaviour: Behaviour, talk: Talk) -> Any:
        async def main() -> Any:
            async with serving(behaviour) as port:
                return await asyncio.wait_for(talk(port), 20)

        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(main())

    return run


@pytest.fixture
def against(against_on: AgainstOn) -> Against:
    """The same on asyncio's own loop."""
    return lambda behaviour, talk: against_on(asyncio.new_event_loop, behaviour, talk)


@pytest.fixture
def against_two() -> AgainstTwo:
    """Run a talk against two servers."""

    def run(first: Behaviour, second: Behaviour, talk: Callable[[int, int], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            async with serving(first) as one, serving(second) as two:
                return await asyncio.wait_for(talk(one, two), 20)

        return asyncio.run(main())

    return run


@pytest.fixture
def capture() -> Callable[[str], Any]:
    """A captured reply by its path below the captures."""

    def load(path: str) -> Any:
        return json.loads((CAPTURES / path).read_text())

    return load


@pytest.fixture
def machine_of() -> Callable[..., Machine]:
    """A machine of the catalogue on a port of loopback."""

    def make(model: str, dialect: str, **ports: int) -> Machine:
        plate = nameplate(model, dialect)
        return Machine("m1", model, dialect, "127.0.0.1", plate.modes, plate.usual, ports=ports, start_s=plate.start_s)

    return make


class PaperWeb:
    """An HTTP/1.1 server with digest authentication that answers from `pages`; what was posted is in `posted`.

    `pages` holds what GET gives by path; a page that is a callable gets the posted value. Status and body of a page are
    200 and its JSON, unless it is a pair.
    """

    def __init__(self, pages: dict[str, Any], *, password: str | None = None, keeps_open: bool = True) -> None:
        self.pages = pages
        self.user = "root"
        self.password = password or "letmein"
        self.keeps_open = keeps_open
        self.nonce = "n1"
        self.algorithm = "MD5"
        self.posted: list[tuple[str, Any]] = []
        self.requests: list[str] = []
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, path, _ = head.split("\r\n")[0].split(" ")
            length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
            body = await reader.readexactly(int(length[1])) if length else b""
            status, value = self._answer(method, path, head, body)
            self.requests.append(f"{method} {path} {status}")
            raw = value if isinstance(value, bytes) else json.dumps(value).encode()
            lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(raw)}"]
            if status == 401:
                challenge = f'Digest realm="antMiner Configuration", nonce="{self.nonce}", qop="auth"'
                lines.append(
                    "WWW-Authenticate: "
                    + challenge
                    + ("" if self.algorithm == "MD5" else f", algorithm={self.algorithm}")
                )
            if not self.keeps_open:
                lines.append("Connection: close")
            writer.write("\r\n".join([*lines, "", ""]).encode() + raw)
            await writer.drain()
            if not self.keeps_open:
                return

    def _answer(self, method: str, path: str, head: str, body: bytes) -> tuple[int, Any]:
        if not self._knows(method, path, head):
            return 401, {}
        page = self.pages.get(path, (404, {}))
        if method == "POST":
            self.posted.append((path, json.loads(body)))
            page = page(json.loads(body)) if callable(page) else page
        return page if isinstance(page, tuple) else (200, page)

    def _knows(self, method: str, path: str, head: str) -> bool:
        """RFC 7616, section 3.4.1, written out on its own."""
        header = re.search(r"^authorization: digest (.*)$", head, re.IGNORECASE | re.MULTILINE)
        if header is None:
            return False
        said = {key: quoted or bare for key, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^,\s]+))', header[1])}
        algorithm = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[self.algorithm]

        def h(raw: str) -> str:
            return algorithm(raw.encode()).hexdigest()

        secret = h(f"{self.user}:antMiner Configuration:{self.password}")
        want = h(f"{secret}:{self.nonce}:{said['nc']}:{said['cnonce']}:auth:{h(f'{method}:{path}')}")
        return bool(said["nonce"] == self.nonce and said["response"] == want and said["uri"] == path)


@pytest.fixture
def paper_web() -> type[PaperWeb]:
    """The class of the web server of paper."""
    return PaperWeb
