"""One connection and one exchange on it: where, how long, how much, and who is to blame when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from fleet.driver import Garbled, Unreachable

READ_DEADLINE_S = 5.0
WRITE_DEADLINE_S = 30.0
"""Some firmware takes over 20 s to answer a stop."""
LIMIT_BYTES = 2_000_000
"""The largest real replies (chip tables) are under 200 kB."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to ask, how long one exchange may take in all, and how many bytes may come back."""

    host: str
    port: int
    deadline_s: float = READ_DEADLINE_S
    limit_bytes: int = LIMIT_BYTES

    def __str__(self) -> str:
        """Host and port, as messages name them."""
        return f"{self.host}:{self.port}"


class Nonsense(Exception):
    """What came is not the protocol; the reason, without quoting what may be secret."""


class Reply(Protocol):
    """What one exchange waits for: takes bytes until it is whole."""

    value: Any

    def feed(self, chunk: bytes) -> bool:
        """Take what came; true when the reply is whole (then `value` is it). Raises Nonsense."""

    def end(self) -> bool:
        """The far side closed: true when what came is whole all the same. Raises Nonsense when it is not."""


class Line(asyncio.Protocol):
    """The client's end of one TCP connection: hands what comes to the reply that is awaited, and drops the rest."""

    __slots__ = ("_busy", "_heard", "_over", "_reply", "_transport", "_whole")

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._reply: Reply | None = None
        self._whole: asyncio.Future[None] | None = None
        self._over: Exception | None = None
        self._heard = 0
        self._busy = False

    @property
    def heard_bytes(self) -> int:
        """How much came for the present reply."""
        return self._heard

    @property
    def idle(self) -> bool:
        """Open, with nothing outstanding: another request may be sent."""
        return self._over is None and not self._busy

    async def ask(self, request: bytes, reply: Reply) -> None:
        """Send, and wait until the reply is whole. The deadline is the caller's."""
        if self._transport is None or self._over is not None:
            raise self._over or ConnectionAbortedError("closed")
        self._reply, self._heard, self._busy = reply, 0, True
        self._whole = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            await self._whole
            self._busy = False
        finally:
            self._whole = self._reply = None

    def abort(self) -> None:
        """Let go of the socket at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]  # TCP connections come with a Transport

    def data_received(self, data: bytes) -> None:
        """Feed the reply; what nobody waits for ends the connection (a machine that talks unasked is bounded too)."""
        if self._reply is None:
            self.abort()
            return
        self._heard += len(data)
        self._try(lambda reply: reply.feed(data))

    def eof_received(self) -> bool:
        """The far side has said all it will."""
        self._finish(ConnectionAbortedError("closed without an answer"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; an error here is the network's."""
        if exc is not None and self._over is None:
            self._over = exc
            self._fail(exc)
        else:
            self._finish(ConnectionAbortedError("closed without an answer"))

    def _finish(self, why: Exception) -> None:
        if self._over is not None:
            return
        self._over = why
        if self._heard:
            self._try(lambda reply: reply.end())
        self._fail(why)

    def _try(self, step: Callable[[Reply], bool]) -> None:
        if self._whole is None or self._whole.done() or self._reply is None:
            return
        try:
            if step(self._reply):
                self._whole.set_result(None)
        except Nonsense as error:
            self._fail(error)
            self.abort()

    def _fail(self, why: Exception) -> None:
        if self._whole is not None and not self._whole.done():
            self._whole.set_exception(why)


async def exchange(endpoint: Endpoint, request: bytes, reply: Reply, what: str) -> Any:
    """Connect, ask, hang up."""
    line = Line()
    try:
        async with asyncio.timeout(endpoint.deadline_s):
            await asyncio.get_running_loop().create_connection(lambda: line, endpoint.host, endpoint.port)
            await line.ask(request, reply)
    except (OSError, Nonsense) as error:
        raise blamed(endpoint, what, line, error, endpoint.deadline_s) from error
    finally:
        line.abort()
    return reply.value


def blamed(
    endpoint: Endpoint, what: str, line: Line | None, error: Exception, deadline_s: float
) -> Unreachable | Garbled:
    """The driver error that says where, in which exchange, and what came."""
    match error:
        case Nonsense():
            return Garbled(f"{endpoint} {what}: {error}")
        case TimeoutError():
            heard = line.heard_bytes if line is not None else 0
            return Unreachable(f"{endpoint} {what}: no whole answer in {deadline_s:g} s ({heard} bytes)")
        case _:
            return Unreachable(f"{endpoint} {what}: {str(error) or type(error).__name__}")
