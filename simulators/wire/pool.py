"""A pretend pool: a Stratum V1 server on loopback, with vardiff, jobs on a chain of its own, and faults by plan.

It pays no attention to who is right but to the hashes: every share is made a header again and hashed. What it counted
per worker is in `books`; `pool_api.py` shows the same as real pools' APIs do. Connections are in `pool_session.py`, the
judgment of a share in `pool_work.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final, Self

from simulators.chain import Chain, PretendNetwork, whole_block
from simulators.clock import Clock
from simulators.wire.pool_books import WorkerBook
from simulators.wire.pool_session import PoolSession
from simulators.wire.pool_settings import PoolFault, PoolSettings, PoolTrouble, PoolTroubles
from simulators.wire.pool_work import Found, Given, Job, job_of

TICK_REAL_S: Final = 0.02
"""The shortest real time between two looks at the clock."""
BACKLOG: Final = 4_096
BLOCKS_KEPT: Final = 1_000


@dataclass(frozen=True, slots=True)
class FoundBlock:
    """A block that a worker found; `raw` is the whole block where its transactions are known, else header and coinbase."""

    height: int
    worker: str
    head: bytes
    raw: bytes


@dataclass(slots=True)
class _Tally:
    """What a pool counts of itself."""

    connections: int = 0
    lines: int = 0
    malformed: int = 0
    too_long: int = 0
    pongs: int = 0
    agents: dict[str, int] = field(default_factory=dict)


class PretendPool:
    """One pool. `start` it, read its `books`, `close` it; or `async with`.

    Args:
        settings: its rules.
        clock: the world's time.
        seed: everything random comes from it.
        chain: what it builds on; a network of its own from the seed where none is given.
        troubles: what it does wrong.
    """

    def __init__(
        self,
        settings: PoolSettings,
        clock: Clock,
        seed: int,
        *,
        chain: Chain | None = None,
        troubles: Sequence[PoolTrouble] = (),
    ) -> None:
        self.settings, self.clock, self.seed = settings, clock, seed
        self.troubles = PoolTroubles(troubles, seed)
        self.books: dict[str, WorkerBook] = {}
        self.blocks: list[FoundBlock] = []
        self.sessions: dict[PoolSession, None] = {}
        """In the order in which they came: a set's would differ from run to run."""
        self.counts = _Tally()
        self._chain = chain
        self._server: asyncio.Server | None = None
        self._pulse: asyncio.Task[None] | None = None
        self._jobs = 0
        self.job: Job

    # --------------------------------------------------------------------------------------------------------- serving

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen, on a free port if none is given.

        Raises:
            ValueError: an address that is not loopback.
        """
        if not ipaddress.ip_address(host).is_loopback:
            raise ValueError(f"host {host}: expected an address of 127.0.0.0/8")
        if self._chain is None:
            self._chain = PretendNetwork(self.seed, self.clock.now(), mean_block_s=self.settings.mean_block_s)
        self._make_job(clean=True)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: PoolSession(self), host, port, backlog=BACKLOG)
        self._pulse = loop.create_task(self._run(), name="pretend pool")

    async def __aenter__(self) -> Self:
        """Listen on a free port of 127.0.0.1, unless it does already."""
        if self._server is None:
            await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.close()

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        if self._pulse is not None:
            self._pulse.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pulse
            self._pulse = None
        if self._server is not None:
            self._server.close()
            self._server = None
        self._cut()
        await asyncio.sleep(0)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        if self._server is None:
            raise RuntimeError("the pool has not been started")
        host, port = self._server.sockets[0].getsockname()[:2]
        return str(host), int(port)

    @property
    def url(self) -> str:
        """Where it listens, as it is written into a machine's configuration."""
        host, port = self.address
        return f"stratum+tcp://{host}:{port}"

    @property
    def dark(self) -> bool:
        """Is it not there?"""
        return self.troubles.now(PoolFault.DARK, self.clock.now()) is not None

    def _cut(self) -> None:
        for session in tuple(self.sessions):
            session.cut()

    # ------------------------------------------------------------------------------------------------------------ time

    async def _run(self) -> None:
        """New jobs in time, new blocks as the chain has them, darkness as the plan has it."""
        job_s = self.clock.now()
        while True:
            await self.clock.sleep(max(self._due_s(job_s) - self.clock.now(), TICK_REAL_S * self.clock.speed))
            now_s = self.clock.now()
            if self.dark:
                self._cut()
            if self._moved(now_s):
                self.broadcast(clean=True)
            elif now_s >= job_s + self._every_s(now_s):
                self.broadcast(clean=False)
            else:
                continue
            job_s = now_s

    def _every_s(self, now_s: float) -> float:
        """How often there is a new job."""
        endless = self.troubles.now(PoolFault.JOBS, now_s)
        return self.settings.job_s if endless is None else 1.0 / endless.factor

    def _due_s(self, job_s: float) -> float:
        """When there is something to do: a job, a block of the network's, a change of the plan."""
        now_s = self.clock.now()
        block_s = self._chain.due_s if isinstance(self._chain, PretendNetwork) else inf
        changes_s = [at_s for at_s in self.troubles.changes_s() if at_s > now_s]
        return min(job_s + self._every_s(now_s), block_s, *changes_s[:1])

    def _moved(self, now_s: float) -> bool:
        """Has the chain a new tip?"""
        assert self._chain is not None
        self._chain.advance(now_s)
        return self._chain.tip != self.job.template.previous

    def broadcast(self, *, clean: bool) -> None:
        """A new job for everybody; a clean one makes those before it stale."""
        self._make_job(clean=clean)
        now_s = self.clock.now()
        for session in tuple(self.sessions):
            session.ease(now_s)
            session.give(self.job)

    def again(self) -> Job:
        """The present job under another number: for one session whose difficulty or extranonce has changed."""
        self._jobs += 1
        return replace(self.job, id=f"{self._jobs:x}", clean=False)

    def _make_job(self, *, clean: bool) -> None:
        assert self._chain is not None
        self._jobs += 1
        size = self.settings.extranonce1_bytes + self.settings.extranonce2_bytes
        self.job = job_of(
            self._chain.template(),
            self._jobs,
            self.clock.now(),
            extranonce_bytes=size,
            tag=self.settings.tag,
            clean=clean,
        )

    # ---------------------------------------------------------------------------------------------- what sessions call

    def admit(self, session: PoolSession) -> int | None:
        """A new connection: its number, or None where it is not taken."""
        if self.dark or len(self.sessions) >= self.settings.most_sessions:
            return None
        self.sessions[session] = None
        self.counts.connections += 1
        return self.counts.connections

    def book(self, worker: str) -> WorkerBook:
        """A worker's book, opened where there is none."""
        found = self.books.get(worker)
        if found is None:
            found = self.books[worker] = WorkerBook(worker, self.clock.now())
        return found

    def knows(self, worker: str) -> bool:
        """Is the worker's account one of the pool's?"""
        accounts = self.settings.accounts
        return bool(worker) and (not accounts or worker.split(".", 1)[0] in accounts)

    def block(self, worker: str, found: Found, given: Given) -> None:
        """A share is a block: on to the chain with it, and a clean job for everybody."""
        assert self._chain is not None
        template = given.job.template
        if template.previous != self._chain.tip:
            return
        if template.transactions is None:
            raw = found.head + found.coinbase
        else:
            raw = whole_block(found.head, found.coinbase, template.transactions)
        self.blocks.append(FoundBlock(template.height, worker, found.head, raw))
        del self.blocks[:-BLOCKS_KEPT]
        self.book(worker).blocks += 1
        self._chain.extend(template, found.head, found.coinbase)
        self.broadcast(clean=True)

    # ----------------------------------------------------------------------------------------- what an operator can do

    def reconnect(self, host: str | None = None, port: int | None = None, wait_s: float = 0.0) -> None:
        """Send every miner elsewhere (client.reconnect); without a host, back to where it is."""
        params = [] if host is None and port is None else [host or "", port or 0, wait_s]
        for session in tuple(self.sessions):
            session.send_method("client.reconnect", params)

    def ping(self) -> None:
        """Ask every miner whether it is there; `counts.pongs` counts the answers."""
        for session in tuple(self.sessions):
            session.send_request("mining.ping", [])

    def show(self, text: str) -> None:
        """A message for people, to every miner."""
        for session in tuple(self.sessions):
            session.send_method("client.show_message", [text])

    def set_mask(self, mask: int) -> None:
        """Other version bits for everybody that rolls them."""
        for session in tuple(self.sessions):
            session.set_mask(mask)

    def set_extranonces(self) -> None:
        """A new first extranonce for everybody that asked for such changes."""
        for session in tuple(self.sessions):
            session.set_extranonce()
