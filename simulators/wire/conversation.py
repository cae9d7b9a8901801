"""Conversation: one client's connection to one pretend machine, bounded, and with its share of faults.

A dialect says how a request is recognised and answered; here stand the limits on what a client may send and how long it
may take (real time), and what a fault does to the answer. A machine that reboots cuts every connection at once.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import cast

from typing_extensions import override

from simulators.faults import Fault, Mishap
from simulators.unit import Unit

STUCK_S = 600.0
"""A machine that hangs or takes its time keeps the connection for so long at most."""
SPLIT_PAUSE_S = 0.02
TRICKLE_PAUSE_S = 1.0
FLOOD_BYTES, FLOOD_PIECE = 2**31 - 1, b"0" * 65_536


class Conversation(asyncio.Protocol, ABC):
    """Subclasses give `read` and call `answer` once for each request that they find in `inbox`."""

    LIMIT_BYTES = 16_384
    FLOOD_HEAD = b""
    """How an answer of two gigabytes begins."""
    IDLE_S = 30.0

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.inbox = bytearray()
        self.busy = False
        self.transport: asyncio.Transport
        self._room = asyncio.Event()
        self._room.set()
        self._idle: asyncio.TimerHandle | None = None
        self._late: asyncio.Task[None] | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A machine that reboots is not there: the connection is cut."""
        self.transport = cast("asyncio.Transport", transport)
        if self.unit.dark:
            self.transport.abort()
            return
        self.unit.lines.add(self.transport)
        self._wait(self.IDLE_S)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.unit.lines.discard(self.transport)
        if self._idle is not None:
            self._idle.cancel()
        if self._late is not None:
            self._late.cancel()

    @override
    def pause_writing(self) -> None:
        """The client takes no more for now."""
        self._room.clear()

    @override
    def resume_writing(self) -> None:
        """The client takes more."""
        self._room.set()

    @override
    def data_received(self, data: bytes) -> None:
        """Collect what the client sends, up to the limit."""
        if self.transport.is_closing():
            return
        self.inbox += data
        if len(self.inbox) > self.LIMIT_BYTES:
            self.transport.abort()
        elif not self.busy:
            self.read()

    @abstractmethod
    def read(self) -> None:
        """Answer the request at the head of `inbox`, if it is there whole."""

    def answer(self, make: Callable[[], bytes], refuse: Callable[[], bytes], *, write: bool, close: bool) -> None:
        """Send what `make` gives (it also does what was asked), or what the machine's fault makes of it."""
        self._wait(self.IDLE_S)
        mishap = self.unit.mishap(write=write)
        if mishap is None:
            self._send(make(), close=close)
        else:
            self._stumble(mishap, make, refuse, close=close)

    def _stumble(self, mishap: Mishap, make: Callable[[], bytes], refuse: Callable[[], bytes], *, close: bool) -> None:
        match mishap.fault:
            case Fault.DROP:
                self.transport.abort()
            case Fault.HANG:
                self.busy = True
                self._wait(STUCK_S)
            case Fault.REBOOT:
                self.unit.reboot()
                self.transport.abort()
            case Fault.REFUSE:
                self._send(refuse(), close=close)
            case Fault.LIE:
                self.unit.obeys = False
                try:
                    payload = make()
                finally:
                    self.unit.obeys = True
                self._send(payload, close=close)
            case Fault.GARBLE:
                self._send(garbled(make()), close=close)
            case _:
                self._later(self._slowly(mishap, make, close=close))

    async def _slowly(self, mishap: Mishap, make: Callable[[], bytes], *, close: bool) -> None:
        match mishap.fault:
            case Fault.SPLIT:
                await self._in_pieces(make(), close=close)
            case Fault.TRICKLE:
                await self._by_the_byte(make(), close=close)
            case Fault.FLOOD:
                await self._without_end()
            case _:
                await self._after(mishap.delay_s, make, close=close)

    def _send(self, payload: bytes, *, close: bool) -> None:
        self.transport.write(payload)
        if close:
            self.transport.close()

    def _wait(self, seconds: float) -> None:
        """Give the other side so long (real time) from now until the next whole request."""
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(seconds, self.transport.abort)

    def _later(self, work: asyncio._CoroutineLike[None]) -> None:
        self.busy = True
        self._wait(STUCK_S)
        self._late = asyncio.get_running_loop().create_task(work)

    async def _in_pieces(self, payload: bytes, *, close: bool) -> None:
        third = max(1, len(payload) // 3)
        for piece in (payload[:third], payload[third : 2 * third]):
            self.transport.write(piece)
            await asyncio.sleep(SPLIT_PAUSE_S)
        self._resume(payload[2 * third :], close=close)

    async def _by_the_byte(self, payload: bytes, *, close: bool) -> None:
        for at in range(len(payload) - 1):
            self.transport.write(payload[at : at + 1])
            await asyncio.sleep(TRICKLE_PAUSE_S)
        self._resume(payload[-1:], close=close)

    async def _without_end(self) -> None:
        self.transport.write(self.FLOOD_HEAD)
        for _ in range(FLOOD_BYTES // len(FLOOD_PIECE)):
            await self._room.wait()
            if self.transport.is_closing():
                return
            self.transport.write(FLOOD_PIECE)
            await asyncio.sleep(0)
        self.transport.close()

    async def _after(self, delay_s: float, make: Callable[[], bytes], *, close: bool) -> None:
        await self.unit.ground.sleep(delay_s)
        if self.unit.dark:
            self.transport.abort()
        else:
            self._resume(make(), close=close)

    def _resume(self, payload: bytes, *, close: bool) -> None:
        self.busy = False
        self._send(payload, close=close)
        if self.inbox and not self.transport.is_closing():
            self.read()


def garbled(payload: bytes) -> bytes:
    """The same length, with a piece of the middle overwritten by bytes that are neither JSON nor UTF-8."""
    start, piece = len(payload) // 2, max(1, len(payload) // 6)
    return payload[:start] + b"\xff\x00{" * (piece // 3 + 1) + payload[start + 3 * (piece // 3 + 1) :]
