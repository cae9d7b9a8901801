"""A small honest pool and a small miner, on loopback sockets, with a reading of Stratum of their own.

Work is easy: a share of difficulty 1,024 takes four hashes (`SCALE`), so both mine and verify for real. The pool keeps
every byte that it heard; tests turn its knobs.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
import struct
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest

from controllers.clock import Clock
from controllers.pool.settings import TapSettings
from controllers.pool.tap import Tap
from fleet.machine import SLEEP_NAME, Machine, Mode, Roster
from fleet.work.sha256d import HashlibEngine

T = TypeVar("T")
SCALE = 2.0**-40
DIFFICULTY = 1_024.0
DEADLINE_S = 20.0
HARD, EASY = 0x1703A30C, 0x207FFFFF
"""A real network's nBits of 2024, which no hash here meets, and regtest's, which every second one does."""
MASK = 0x1FFFE000


def twice(data: bytes) -> bytes:
    """SHA-256d."""
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def target_of(difficulty: float) -> int:
    """What a share of this difficulty must not exceed."""
    return int((0xFFFF << 208) / (difficulty * SCALE))


@dataclass(frozen=True)
class Work:
    """A job as the wire has it."""

    job_id: str
    previous: str
    coinbase1: str
    coinbase2: str
    branches: tuple[str, ...]
    version: int
    nbits: int
    time_s: int

    def head(self, extranonce: bytes, time_s: int, bits: int | None) -> bytes:
        """The header without its nonce."""
        root = twice(bytes.fromhex(self.coinbase1) + extranonce + bytes.fromhex(self.coinbase2))
        for branch in self.branches:
            root = twice(root + bytes.fromhex(branch))
        words = bytes.fromhex(self.previous)
        previous = b"".join(words[at : at + 4][::-1] for at in range(0, 32, 4))
        version = self.version if bits is None else (self.version & ~MASK) | bits
        return struct.pack("<I32s32sII", version, previous, root, time_s, self.nbits)

    def params(self, *, clean: bool) -> list[Any]:
        """As mining.notify has it."""
        return [
            self.job_id,
            self.previous,
            self.coinbase1,
            self.coinbase2,
            list(self.branches),
            f"{self.version:08x}",
            f"{self.nbits:08x}",
            f"{self.time_s:08x}",
            clean,
        ]


@dataclass(eq=False)
class Guest:
    """One connection of the pool's."""

    writer: asyncio.StreamWriter
    extranonce1: bytes
    heard: bytes = b""
    said: bytes = b""
    subscribed: bool = False
    users: list[str] = field(default_factory=list)
    difficulty: float = DIFFICULTY
    extranonce: bool = False
    given: dict[str, bytes] = field(default_factory=dict)
    """The extranonce1 that jobs were given with, where it is not the present one."""

    def say(self, message: Mapping[str, Any]) -> None:
        """One line."""
        line = json.dumps(message).encode() + b"\n"
        self.said += line
        with suppress(ConnectionError):
            self.writer.write(line)


class HonestPool:
    """A pool that verifies every share, with hashlib and its own reading."""

    def __init__(
        self,
        name: str = "p",
        *,
        nbits: int = HARD,
        extranonce2_bytes: int = 4,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.name, self.nbits, self.extranonce2_bytes = name, nbits, extranonce2_bytes
        self.tls, self.host = tls, host
        self.difficulty = DIFFICULTY
        self.mute = self.refuse = self.silent = False
        """Answer no share; refuse every share; answer nothing at all."""
        self.resumes: dict[str, bytes] = {}
        """Sessions that may be resumed."""
        self.guests: list[Guest] = []
        self.shares: list[tuple[str, list[Any]]] = []
        """Good shares: worker and parameters."""
        self.bad: list[tuple[str, list[Any]]] = []
        self.blocks: list[bytes] = []
        """Headers of blocks."""
        self.agents: list[str] = []
        """Whoever subscribed, by name."""
        self.port = 0
        self._seen: set[bytes] = set()
        self._works: dict[str, Work] = {}
        self._count = self._visitors = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.work = self._new_work()

    async def __aenter__(self) -> Self:
        """Listen."""
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End."""
        await self.close()

    async def open(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Gone, as after a power cut."""
        if self._server is not None:
            self._server.close()
        for guest in self.guests:
            guest.writer.transport.abort()
        self.guests.clear()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        """Its address."""
        return f"stratum+{'tcp' if self.tls is None else 'ssl'}://{self.host}:{self.port}"

    def notify(self, *, clean: bool = False, same_block: bool = True) -> Work:
        """A new job for everybody."""
        self.work = self._new_work(self.work.previous if same_block else None)
        for guest in self.guests:
            if guest.users:
                guest.say({"id": None, "method": "mining.notify", "params": self.work.params(clean=clean)})
        return self.work

    def set_difficulty(self, difficulty: float) -> None:
        """For everybody, from the next job on."""
        self.difficulty = difficulty
        for guest in self.guests:
            guest.difficulty = difficulty
            guest.say({"id": None, "method": "mining.set_difficulty", "params": [difficulty]})

    def set_extranonce(self, extranonce1: bytes) -> None:
        """For everybody, for the jobs to come (NiceHash)."""
        for guest in self.guests:
            guest.given |= {job_id: guest.extranonce1 for job_id in self._works if job_id not in guest.given}
            guest.extranonce1 = extranonce1
            guest.say({"id": None, "method": "mining.set_extranonce", "params": [extranonce1.hex(), 4]})

    def _new_work(self, previous: str | None = None) -> Work:
        self._count += 1
        seed = hashlib.sha256(f"{self.name} {self._count}".encode())
        work = Work(
            f"{self.name}{self._count:x}",
            seed.hexdigest() if previous is None else previous,
            "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff"
            f"{24 + self.extranonce2_bytes:02x}03aabbcc{'00' * 16}",
            "ffffffff0100f2052a010000001976a914" + "11" * 20 + "88ac00000000",
            tuple(hashlib.sha256(seed.digest() + bytes([at])).hexdigest() for at in range(3)),
            0x20000000,
            self.nbits,
            1_700_000_000 + self._count,
        )
        self._works[work.job_id] = work
        return work

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        guest = Guest(writer, hashlib.sha256(f"{self.name}{self._visitors}".encode()).digest()[:4])
        self._visitors += 1
        self.resumes[guest.extranonce1.hex()] = guest.extranonce1
        self.guests.append(guest)
        with suppress(ConnectionError, asyncio.CancelledError, asyncio.IncompleteReadError, ValueError):
            while line := await reader.readline():
                guest.heard += line
                if not self.silent:
                    self._hear(guest, json.loads(line))
        if guest in self.guests:
            self.guests.remove(guest)
        writer.transport.abort()
        self._tasks.discard(task)

    def _hear(self, guest: Guest, message: Mapping[str, Any]) -> None:
        number, params = message.get("id"), message.get("params") or []
        match message.get("method"):
            case "mining.subscribe":
                self.agents.append(params[0] if params else "")
                if len(params) > 1 and params[1] in self.resumes:
                    guest.extranonce1 = self.resumes[params[1]]
                pairs = [["mining.notify", guest.extranonce1.hex()]]
                guest.say(
                    {"id": number, "result": [pairs, guest.extranonce1.hex(), self.extranonce2_bytes], "error": None}
                )
            case "mining.configure":
                granted = {"version-rolling": True, "version-rolling.mask": f"{MASK:08x}"}
                guest.say({"id": number, "result": granted, "error": None})
            case "mining.extranonce.subscribe":
                guest.say({"id": number, "result": True, "error": None})
            case "mining.authorize":
                guest.say({"id": number, "result": True, "error": None})
                guest.users.append(params[0])
                guest.difficulty = self.difficulty
                guest.say({"id": None, "method": "mining.set_difficulty", "params": [self.difficulty]})
                guest.say({"id": None, "method": "mining.notify", "params": self.work.params(clean=True)})
            case "mining.submit":
                self._submitted(guest, number, params)
            case None:
                pass
            case _:
                guest.say({"id": number, "result": None, "error": [20, "Not supported", None]})

    def _submitted(self, guest: Guest, number: Any, params: list[Any]) -> None:
        worker, job_id, extranonce2, time_s, nonce = params[:5]
        work = self._works.get(job_id)
        error = None
        if work is None:
            error = [21, "Job not found", None]
        else:
            bits = int(params[5], 16) if len(params) > 5 else None
            extranonce1 = guest.given.get(job_id, guest.extranonce1)
            head = work.head(extranonce1 + bytes.fromhex(extranonce2), int(time_s, 16), bits)
            header = head + struct.pack("<I", int(nonce, 16))
            digest = twice(header)
            value = int.from_bytes(digest, "little")
            if header in self._seen:
                error = [22, "Duplicate share", None]
            elif value > target_of(guest.difficulty):
                error = [23, "Low difficulty share", None]
            elif worker not in guest.users:
                error = [24, "Unauthorized worker", None]
            else:
                self._seen.add(header)
                if work.nbits == EASY and value <= 0x7FFFFF << 232:
                    self.blocks.append(header)
        if self.refuse:
            error = [20, "We do not like it", None]
        (self.shares if error is None else self.bad).append((worker, params))
        if not self.mute:
            guest.say({"id": number, "result": error is None, "error": error})


class Miner:
    """A machine's connection, with a reading of its own."""

    def __init__(self, port: int, *, address: str = "127.0.0.1", user: str = "acct.m1") -> None:
        self.port, self.address, self.user = port, address, user
        self.extranonce1, self.extranonce2_bytes = b"", 0
        self.difficulty = 0.0
        self.work: Work | None = None
        self.heard = b""
        self.said = b""
        self.notices: list[dict[str, Any]] = []
        self.ended = asyncio.Event()
        self._next, self._counter = 1, 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Connect."""
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave."""
        await self.close()

    async def connect(self) -> None:
        """A connection, from its own address."""
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self.port, local_addr=(self.address, 0), limit=1 << 20
        )
        self.ended.clear()
        self._task = asyncio.create_task(self._read())

    async def close(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._writer is not None:
            self._writer.transport.abort()

    async def begin(self, *, rolls: bool = False, extranonce: bool = False) -> None:
        """Everything until there is work."""
        if rolls:
            await self.ask("mining.configure", [["version-rolling"], {"version-rolling.mask": "ffffffff"}])
        answer = await self.ask("mining.subscribe", ["small/1"])
        self.extranonce1, self.extranonce2_bytes = bytes.fromhex(answer["result"][1]), answer["result"][2]
        await self.ask("mining.authorize", [self.user, "x"])
        if extranonce:
            await self.ask("mining.extranonce.subscribe", [])
        await self.until(lambda: self.work is not None and self.difficulty > 0)

    async def ask(self, method: str, params: list[Any]) -> dict[str, Any]:
        """A request and its answer."""
        number = self.say(method, params)
        return await asyncio.wait_for(self._waiting[number], DEADLINE_S)

    def say(self, method: str, params: list[Any]) -> int:
        """A request; its number."""
        number, self._next = self._next, self._next + 1
        self._waiting[number] = asyncio.get_running_loop().create_future()
        self.send(json.dumps({"id": number, "method": method, "params": params}).encode() + b"\n")
        return number

    def send(self, data: bytes) -> None:
        """Bytes."""
        assert self._writer is not None
        self.said += data
        self._writer.write(data)

    async def answer(self, number: int) -> dict[str, Any]:
        """The answer to a request that was said."""
        return await asyncio.wait_for(self._waiting[number], DEADLINE_S)

    def mined(self, *, work: Work | None = None, difficulty: float | None = None, below: float = 0.0) -> list[Any]:
        """The parameters of a good share; `below`: one that does not reach this difficulty."""
        work = self.work if work is None else work
        assert work is not None
        target = target_of(self.difficulty if difficulty is None else difficulty)
        least = target_of(below) if below else -1
        while True:
            self._counter += 1
            extranonce2 = self._counter.to_bytes(self.extranonce2_bytes, "little")
            head = work.head(self.extranonce1 + extranonce2, work.time_s, None)
            for nonce in range(64):
                if least < int.from_bytes(twice(head + struct.pack("<I", nonce)), "little") <= target:
                    return [self.user, work.job_id, extranonce2.hex(), f"{work.time_s:08x}", f"{nonce:08x}"]

    async def submit(self, params: list[Any] | None = None) -> dict[str, Any]:
        """A share (a good one where none is given) and its answer."""
        return await self.ask("mining.submit", self.mined() if params is None else params)

    async def until(self, found: Callable[[], bool]) -> None:
        """Wait for something that the pool says."""
        async with asyncio.timeout(DEADLINE_S):
            while not found():
                self._news.clear()
                await self._news.wait()

    async def _read(self) -> None:
        assert self._reader is not None
        with suppress(ConnectionError, ValueError):
            while line := await self._reader.readline():
                self.heard += line
                self._hear(json.loads(line))
                self._news.set()
        self.ended.set()
        self._news.set()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError("ended"))
                waiting.exception()

    def _hear(self, message: dict[str, Any]) -> None:
        params = message.get("params")
        match message.get("method"):
            case "mining.notify":
                assert params is not None
                texts, (version, nbits, time_s) = params[:4], (int(text, 16) for text in params[5:8])
                self.work = Work(texts[0], texts[1], texts[2], texts[3], tuple(params[4]), version, nbits, time_s)
            case "mining.set_difficulty":
                assert params is not None
                self.difficulty = params[0]
            case "mining.set_extranonce":
                assert params is not None
                self.extranonce1, self.extranonce2_bytes = bytes.fromhex(params[0]), params[1]
            case None:
                waiting = self._waiting.get(message["id"])
                if waiting is not None and not waiting.done():
                    waiting.set_result(message)
        if message.get("method"):
            self.notices.append(message)


MODES = (Mode(SLEEP_NAME, 20.0, 0.0), Mode("normal", 3_000.0, 100.0))


def roster_of(count: int, first: int = 1) -> Roster:
    """Machines m1, m2 … at 127.0.1.1, 127.0.1.2 … in one rack."""
    return Roster.of(
        [
            Machine(f"m{n}", "model", "luxos", f"127.0.1.{n}", MODES, "normal", ("rack",))
            for n in range(first, first + count)
        ]
    )


@dataclass
class Standing:
    """A tap that stands."""

    tap: Tap
    said: list[tuple[str, str]]
    directory: Path
    task: asyncio.Task[None]

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self.tap.port is not None
        return self.tap.port

    def miner(self, number: int = 1, **knobs: Any) -> Miner:
        """Machine m`number`'s connection."""
        return Miner(self.port, address=f"127.0.1.{number}", user=knobs.pop("user", f"acct.m{number}"), **knobs)

    def told(self, kind: str) -> list[str]:
        """What was said of a kind."""
        return [text for said, text in self.said if said == kind]

    async def stop(self) -> None:
        """End it in order."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@asynccontextmanager
async def standing(
    directory: Path,
    pools: Sequence[str | Mapping[str, Any]],
    *,
    machines: int = 4,
    engine: Any = None,
    clock: Clock | None = None,
    **tables: Any,
) -> Any:
    """A tap in front of pools; `tables` are further keys of [tap], a pool its address or its table."""
    said: list[tuple[str, str]] = []
    told = [{"url": pool} if isinstance(pool, str) else pool for pool in pools]
    values = {"listen": "127.0.0.1:0", "simulated_scale": SCALE, "pools": told, **tables}
    settings = TapSettings.model_validate(values)
    tap = Tap(
        settings,
        roster_of(machines),
        clock or Clock(),
        lambda kind, text: said.append((kind, text)),
        directory,
        engine or HashlibEngine(),
    )
    task = asyncio.create_task(tap.run())
    stands = Standing(tap, said, directory, task)
    try:
        await met(lambda: tap.port is not None or task.done())
        if task.done():
            task.result()
        yield stands
    finally:
        await stands.stop()


async def met(found: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(deadline_s):
        while not found():
            await asyncio.sleep(0.002)


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, T]], T]:
    """Run a coroutine in a loop of its own."""
    return asyncio.run
