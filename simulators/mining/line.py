"""Line: a machine's way to its pools: the first that answers, the next when it dies, and back again, as firmware does.

Times are the world's seconds; what a network takes (a connection, a first job, a word now and then) is real time at
least, as everywhere in the pretend world. Every connection comes from the machine's own address.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import urlsplit

from simulators.clock import Clock
from simulators.mining.firmware import Firmware
from simulators.mining.session import Listener, MinerSession

CONNECT_REAL_S: Final = 5.0
"""So long a machine waits for a pool to give it a job."""
SILENCE_REAL_S: Final = 10.0
"""And so long at least for a word from one that it works for."""
LEAST_REAL_S: Final = 0.05
RETRY_REAL_S: Final = 0.5
"""Between two rounds in which no pool could be had: a tap turns away who calls too often."""
PORT: Final = 3333


class Pool(Protocol):
    """A pool as it is configured on a machine."""

    @property
    def url(self) -> str:
        """stratum+tcp://HOST:PORT, or without the scheme."""
        ...

    @property
    def user(self) -> str:
        """ACCOUNT.WORKER."""
        ...

    @property
    def password(self) -> str:
        """Whatever; pools take any."""
        ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and in what manner. `more`: workers that log in beside a pool's own user. `renamed`: instead of it."""

    host: str
    firmware: Firmware
    agent: str
    scale: float
    more: tuple[str, ...] = ()
    renamed: Callable[[], str | None] = field(default=lambda: None)


class Line:
    """One machine's. `session` is the one that it works for, `index` that pool's place in the configuration."""

    def __init__(
        self,
        caller: Caller,
        clock: Clock,
        hears: Listener,
        pools: Callable[[], Sequence[Pool]],
        preferred: Callable[[], int] = lambda: 0,
    ) -> None:
        self.session: MinerSession | None = None
        self.index = 0
        self.sessions = 0
        """How many connections got a job."""
        self.returns = 0
        """How often it came back to a better pool."""
        self.dead: set[int] = set()
        """Places of pools that could not be had when they were tried last."""
        self._caller, self._clock, self._hears = caller, clock, hears
        self._pools, self._preferred = pools, preferred
        self._up = asyncio.Event()
        self._working: tuple[str, str] = ("", "")
        self._sent: tuple[str, int] | None = None
        self._wished = preferred()

    # --------------------------------------------------------------------------------------------------- from outside

    def set_up(self, up: bool) -> None:
        """Is there a process to keep a connection? Without one it is cut."""
        if up:
            self._up.set()
        elif self._up.is_set():
            self._up.clear()
            self.hang_up()

    def hang_up(self) -> None:
        """Cut the connection; a new one is made while the process is up."""
        if self.session is not None:
            self.session.cut()

    def send_to(self, host: str, port: int) -> None:
        """client.reconnect: elsewhere, or there again."""
        self._sent = (host, port) if host or port else None
        self.hang_up()

    def look(self) -> None:
        """A pool that says nothing is left, so is one that is configured no more, and any when another one is wished."""
        session = self.session
        if session is None or session.lost.is_set():
            return
        silent_s = asyncio.get_running_loop().time() - session.heard_s
        if silent_s > max(self._caller.firmware.silence_s / self._clock.speed, SILENCE_REAL_S):
            session.cut()
        slots, preferred = self._pools(), self._preferred()
        gone = self.index >= len(slots) or (slots[self.index].url, slots[self.index].user) != self._working
        if gone or preferred != self._wished:
            session.cut()
        self._wished = preferred

    # ------------------------------------------------------------------------------------------------------- the task

    async def run(self) -> None:
        """From pool to pool until cancelled."""
        try:
            while True:
                await self._up.wait()
                if await self._reach():
                    await self._stay()
                else:
                    await self._wait(self._caller.firmware.retry_s, RETRY_REAL_S)
        finally:
            self.hang_up()

    def _order(self) -> list[int]:
        """The places of the pools in the order in which they are tried."""
        places = [place for place, pool in enumerate(self._pools()) if pool.url]
        first = self._preferred()
        return sorted(places, key=lambda place: (place != first, place))

    async def _reach(self) -> bool:
        """The first pool that gives a job."""
        for place in self._order():
            session = await self._call(place)
            if session is not None:
                self._take(place, session)
                return True
        return False

    def _take(self, place: int, session: MinerSession) -> None:
        pool = self._pools()[place]
        self.session, self.index, self._working = session, place, (pool.url, pool.user)
        self.sessions += 1

    async def _stay(self) -> None:
        """Until the connection is lost; a better pool that is there for long enough is gone back to."""
        while self.session is not None and not self.session.lost.is_set():
            if self._better() is None:
                await self.session.lost.wait()
                return
            lost = asyncio.ensure_future(self.session.lost.wait())
            probe = asyncio.ensure_future(self._probe())
            try:
                await asyncio.wait((lost, probe), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (lost, probe):
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task

    def _better(self) -> int | None:
        """The pool that it would rather work for, if any."""
        order = self._order()
        return order[0] if order and order[0] != self.index else None

    async def _probe(self) -> None:
        """Try the better pools now and then; one that stays is taken, and the present one left."""
        firmware = self._caller.firmware
        await self._wait(firmware.probe_s)
        for place in self._order():
            if place == self.index:
                return
            found = await self._call(place)
            if found is None:
                continue
            try:
                await self._wait(firmware.steady_s)
            except asyncio.CancelledError:
                found.cut()
                raise
            if found.alive:
                before = self.session
                self._take(place, found)
                self.returns += 1
                if before is not None:
                    before.cut()
                return

    async def _call(self, place: int) -> MinerSession | None:
        """A connection to a configured pool that has given a job; None where there is none to be had."""
        pools = self._pools()
        if place >= len(pools):
            return None
        pool, caller = pools[place], self._caller
        where, self._sent = self._sent or ("", 0), None
        host, port = address_of(pool.url)
        workers = [(caller.renamed() or pool.user, pool.password), *((worker, "x") for worker in caller.more)]
        session = MinerSession(caller.firmware, caller.agent, workers, caller.scale, self._hears)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_REAL_S):
                await loop.create_connection(
                    lambda: session, where[0] or host, where[1] or port, local_addr=(caller.host, 0)
                )
                ready = asyncio.ensure_future(session.ready.wait())
                lost = asyncio.ensure_future(session.lost.wait())
                try:
                    await asyncio.wait((ready, lost), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    ready.cancel()
                    lost.cancel()
        except (OSError, TimeoutError):
            session.cut()
        except asyncio.CancelledError:
            session.cut()
            raise
        if not session.alive:
            self.dead.add(place)
            return None
        self.dead.discard(place)
        return session

    async def _wait(self, seconds: float, least_real_s: float = LEAST_REAL_S) -> None:
        """So many of the world's seconds, and a moment of real time at least."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self._clock.sleep(seconds)
        await asyncio.sleep(max(0.0, least_real_s - (loop.time() - began)))


def address_of(url: str) -> tuple[str, int]:
    """Host and port of a pool's URL, with or without its scheme."""
    parts = urlsplit(url if "//" in url else f"//{url}")
    return parts.hostname or "127.0.0.1", parts.port or PORT
