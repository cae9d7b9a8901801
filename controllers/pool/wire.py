"""A wire: one TCP connection that carries lines, with a bound on everything it may hold.

Both ends of the tap are such: what comes in is cut into lines, and handed on as raw bytes (to be passed on unchanged) and
as lines (to be read). Half a line is kept up to a limit, an unread answer too; who exceeds a bound is cut off at once, with
the cause, so that one peer's manners cost no other peer anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import Final, cast

from fleet.work.stratum.lines import Lines, TooLong

WRITE_BYTES_MOST: Final = 256 * 1024
"""Of answers and jobs that a peer has not read yet: some sixty jobs."""

_ENDS: Final = b"\r\n\0"
LINES_AT_ONCE: Final = 128
"""Of one connection, before the loop looks at the others: three milliseconds' work."""
EARLY_BYTES_MOST: Final = 512 * 1024
"""Of what comes in while we hear nothing: what a loop had read already, twice over."""


class Cut(Enum):
    """Why a connection was ended by us."""

    TOO_LONG = "line too long"
    FLOOD = "too many messages"
    SLOW = "does not read"
    GARBAGE = "garbage"
    IDLE = "idle"
    UNAUTHORIZED = "never authorized"
    MOVED = "moved to another pool"
    NO_POOL = "no pool"
    POOL_LOST = "pool lost"
    SILENT = "says nothing"
    UNANSWERED = "does not answer"
    LED_AWAY = "wanted to lead elsewhere"
    NARROW = "gives too small a second extranonce"
    DONE = "machine has gone"
    NO_ROOM = "no extranonce left"
    STOPPED = "tap stopped"


class Allowance:
    """A token bucket: so many messages a second, and a few seconds of them at once."""

    __slots__ = ("_at_s", "_left", "_most", "_per_s")

    def __init__(self, per_s: float, burst_s: float, now_s: float) -> None:
        self._per_s, self._most = per_s, max(per_s * burst_s, 1.0)
        self._left, self._at_s = self._most, now_s

    def take(self, count: int, now_s: float) -> bool:
        """Take so many; False, and nothing is taken, where they are not there."""
        left = min(self._left + (now_s - self._at_s) * self._per_s, self._most)
        self._at_s = now_s
        if count > left:
            self._left = left
            return False
        self._left = left - count
        return True


class Wire(asyncio.Protocol):
    """One connection. `made` is called when it is there, `lost` once when it has ended, with the cause where we ended it.

    `said(raw, lines)` gets every piece that completed a line: its bytes, whole lines alone, and those lines that are not
    empty.
    """

    __slots__ = (
        "_allowance",
        "_early",
        "_ended",
        "_held",
        "_in_turns",
        "_lines",
        "_loop",
        "_made",
        "_paused",
        "_plain_bytes",
        "cut",
        "heard_s",
        "lost",
        "said",
        "transport",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        line_bytes: int,
        messages_per_s: float,
        made: Callable[[], None] = lambda: None,
        said: Callable[[bytes, list[bytes]], None],
        lost: Callable[[Cut | None], None],
    ) -> None:
        self._loop = loop
        self._lines, self._plain_bytes = Lines(line_bytes), line_bytes
        self._allowance = Allowance(messages_per_s, 5.0, loop.time())
        self._held, self._early = bytearray(), bytearray()
        self._paused = self._in_turns = False
        self._ended = False
        self._made, self.said, self.lost = made, said, lost
        self.transport: asyncio.Transport | None = None
        self.heard_s = loop.time()
        self.cut: Cut | None = None

    # -------------------------------------------------------------------------------------------- called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Bound what the kernel does not take."""
        self.transport = cast("asyncio.Transport", transport)
        if self._ended:
            self.transport.abort()
            return
        self.transport.set_write_buffer_limits(high=WRITE_BYTES_MOST)
        self._made()

    def data_received(self, data: bytes) -> None:
        """Hand on what is complete, of very many lines a part now and the rest after the loop's next turn."""
        if self._ended:
            return
        if self._paused or self._in_turns:
            # what was on its way already: some loops begin to read whatever they were told before
            self._early += data
            self._stop_reading()
            if len(self._early) > EARLY_BYTES_MOST:
                self.end(Cut.FLOOD)
            return
        self.heard_s = now_s = self._loop.time()
        count = data.count(b"\n")
        if count > LINES_AT_ONCE:
            *some, rest = data.split(b"\n", LINES_AT_ONCE)
            data, count = b"\n".join(some) + b"\n", LINES_AT_ONCE
            self._early += rest
            self._in_turns = True
            self._stop_reading()
            self._loop.call_soon(self._next_turn)
        if count and not self._allowance.take(count, now_s):
            self.end(Cut.FLOOD)
            return
        if not self._held and data[-1:] == b"\n" and count == 1 and len(data) <= self._plain_bytes:
            # nearly always: one line, whole
            line = data.rstrip(_ENDS)
            self.said(data, [line] if line else [])
            return
        try:
            lines = self._lines.feed(data)
        except TooLong:
            self.end(Cut.TOO_LONG)
            return
        if not count:
            # the same bytes, and the same bound, as what `Lines` keeps
            self._held += data
            return
        end = data.rfind(b"\n") + 1
        raw = data if end == len(data) else data[:end]
        if self._held:
            raw = bytes(self._held + raw)
            self._held.clear()
        self._held += data[end:]
        self.said(raw, lines)

    def pause_writing(self) -> None:
        """It does not read what we write: no memory is spent on it."""
        self.end(Cut.SLOW)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - a reset and a farewell are one to us
        """Gone."""
        self._finish()

    # ------------------------------------------------------------------------------------------------------- for us

    @property
    def open(self) -> bool:
        """May it be written to?"""
        return not self._ended and self.transport is not None

    def write(self, data: bytes) -> None:
        """Send; silently nothing once it has ended."""
        if not self._ended and self.transport is not None:
            self.transport.write(data)

    def pause(self) -> None:
        """Hear nothing for now: the kernel keeps what comes in, and then its sender."""
        self._paused = True
        self._stop_reading()

    def resume(self) -> None:
        """Hear again, at once what came in meanwhile."""
        self._paused = False
        if not self._in_turns:
            self._next_turn()

    def _next_turn(self) -> None:
        """Hear what has come in already; then read on."""
        self._in_turns = False
        if self._paused:
            return
        if self._early:
            early = bytes(self._early)
            self._early.clear()
            self.data_received(early)
        self._read_on()

    def _read_on(self) -> None:
        if self.open and not self._paused and not self._in_turns:
            assert self.transport is not None
            if not self.transport.is_reading():
                self.transport.resume_reading()

    def _stop_reading(self) -> None:
        if self.open and self.transport is not None and self.transport.is_reading():
            self.transport.pause_reading()

    def half_s(self, now_s: float) -> float:
        """For how long half a line has been lying here without another byte; 0.0 where there is none."""
        return now_s - self.heard_s if self._held else 0.0

    def end(self, cause: Cut | None = None, *, flush: bool = False) -> None:
        """Close at once; what was not sent yet is dropped, but for `flush`, where the kernel is given time to take it."""
        if self._ended:
            return
        self.cut = cause
        if self.transport is not None:
            if flush:
                self.transport.close()
            else:
                self.transport.abort()
        self._finish()

    def _finish(self) -> None:
        if not self._ended:
            self._ended = True
            self._held.clear()
            self._early.clear()
            self.lost(self.cut)
