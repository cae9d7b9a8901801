"""Fixtures of real mining: a virtual loop, sites whose machines mine for real on it, and a client that writes lines itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import async_solipsism
import pytest

from fleet.catalogue import LUXOS
from fleet.machine import Machine, Roster
from fleet.work.sha256d import HashlibEngine, header, sha256d
from simulators.chain import VERSION
from simulators.clock import ScaledClock
from simulators.mining.cheats import Cheat
from simulators.mining.work import Work
from simulators.physics import Spread
from simulators.wire.pool import PretendPool
from simulators.wire.pool_settings import PoolPlace, PoolSettings, PoolTrouble
from simulators.world import World

START_S = 1.7e9
DIFFICULTY = 65_536.0
HASHES_PER_SHARE = 16
SCALE = HASHES_PER_SHARE / 2.0**32 / DIFFICULTY
"""A share of DIFFICULTY takes 16 hashes."""
ACCOUNT = "hashwatt"
T = TypeVar("T")
Virtually = Callable[[Coroutine[Any, Any, T]], T]
Dig = Callable[..., AbstractAsyncContextManager[World]]


@pytest.fixture
def virtually() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Runs a coroutine on a loop whose time is virtual."""

    def run(main: Coroutine[Any, Any, T]) -> T:
        with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
            return runner.run(main)

    return run


@pytest.fixture
def dig(machine: Callable[..., Machine]) -> Dig:
    """Opens a world with two pools (on `port` and the one after it) whose machines mine for real.

    `cheats`: by the machine's number, from 1; everything else as its names say. Machines are their nameplates.
    """

    @asynccontextmanager
    async def opened(
        *,
        dialects: tuple[str, ...] = (LUXOS,),
        cheats: Mapping[int, tuple[Cheat, ...]] | None = None,
        claims: Mapping[int, float] | None = None,
        speed: float = 60.0,
        seed: int = 5,
        settings: PoolSettings | None = None,
        troubles: tuple[PoolTrouble, ...] = (),
        pools: tuple[str, ...] = (),
        asleep: tuple[int, ...] = (),
        regtest: bool = False,
        port: int = 3334,
    ) -> AsyncIterator[World]:
        roster = Roster.of([machine(dialect, number) for number, dialect in enumerate(dialects, 1)])
        ids = [one.id for one in roster.machines]
        rules = settings or PoolSettings(scale=SCALE, start_difficulty=DIFFICULTY, shares_per_min=0.0)
        places = (
            PoolPlace("pool", port, rules, api_port=port + 2, troubles=troubles, regtest=regtest),
            PoolPlace("fees", port + 1, rules),
        )
        world = World(
            roster,
            seed,
            ScaledClock(START_S, speed),
            spread=Spread.none(),
            asleep=[ids[number - 1] for number in asleep],
            claims={ids[number - 1]: claim for number, claim in (claims or {}).items()},
            work=Work(
                rules.scale,
                pools or (places[0].url,),
                ACCOUNT,
                cheats={ids[number - 1]: one for number, one in (cheats or {}).items()},
            ),
            pools=places,
            engine=HashlibEngine(),
        )
        async with world:
            yield world

    return opened


@dataclass(frozen=True)
class Notified:
    """A job as a client took it off the wire."""

    id: str
    previous: str
    first: str
    second: str
    branches: list[str]
    version: str
    nbits: str
    time: str
    clean: bool


class RawClient:
    """A client that knows no firmware's manner: it writes what it is told, and keeps what comes."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.heard: list[dict[str, Any]] = []
        self.extranonce1 = ""
        self.extranonce2_bytes = 0
        self._number = 0

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port, limit=2**22)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def write(self, raw: bytes) -> None:
        """Bytes as they are."""
        self.writer.write(raw)
        await self.writer.drain()

    async def line(self) -> dict[str, Any]:
        """The next line, whatever it is."""
        async with asyncio.timeout(20.0):
            raw = await self.reader.readline()
        if not raw:
            raise ConnectionResetError
        message: dict[str, Any] = json.loads(raw)
        self.heard.append(message)
        return message

    async def ask(self, method: str, *params: Any) -> dict[str, Any]:
        """A request's answer; what comes before it is kept in `heard`."""
        self._number += 1
        await self.write(json.dumps({"id": self._number, "method": method, "params": params}).encode() + b"\n")
        while True:
            message = await self.line()
            if message.get("id") == self._number and "method" not in message:
                return message

    async def join(self, user: str = f"{ACCOUNT}.raw", agent: str = "raw/1.0") -> Notified:
        """Subscribe and authorize; gives the first job."""
        subscribed = (await self.ask("mining.subscribe", agent))["result"]
        self.extranonce1, self.extranonce2_bytes = subscribed[1], subscribed[2]
        assert (await self.ask("mining.authorize", user, "x"))["result"] is True
        return await self.job()

    async def job(self, *, clean: bool | None = None) -> Notified:
        """The next job (a clean one, or not, where it is said)."""
        while True:
            message = await self.line()
            if message.get("method") == "mining.notify" and clean in {None, message["params"][8]}:
                return Notified(*message["params"])

    def difficulty(self) -> float:
        """The one that was told last."""
        told = [one["params"][0] for one in self.heard if one.get("method") == "mining.set_difficulty"]
        return float(told[-1])


def solved(
    client: RawClient, job: Notified, target: int, *, extranonce2: str = "", bits: int = 0, above: bool = False
) -> tuple[str, str, str, str]:
    """A share of a job at or below a target (`above`: one that is not): job, extranonce2, time and nonce as submitted."""
    extranonce2 = extranonce2 or "00" * client.extranonce2_bytes
    root = sha256d(bytes.fromhex(job.first + client.extranonce1 + extranonce2 + job.second))
    for branch in job.branches:
        root = sha256d(root + bytes.fromhex(branch))
    turned = bytes.fromhex(job.previous)
    previous = b"".join(turned[at : at + 4][::-1] for at in range(0, 32, 4))
    for nonce in range(1 << 20):
        head = header(VERSION | bits, previous, root, int(job.time, 16), int(job.nbits, 16), nonce)
        if (int.from_bytes(sha256d(head), "little") <= target) is not above:
            return job.id, extranonce2, job.time, f"{nonce:08x}"
    raise AssertionError("no share among a million")


Opened = Callable[..., AbstractAsyncContextManager[PretendPool]]


@pytest.fixture
def pool() -> Opened:
    """Opens one pretend pool on a free port; keywords are its settings, `troubles`, `speed` and `chain` beside them."""

    @asynccontextmanager
    async def opened(
        troubles: tuple[PoolTrouble, ...] = (), speed: float = 60.0, chain: Any = None, seed: int = 3, **rules: Any
    ) -> AsyncIterator[PretendPool]:
        given: dict[str, Any] = {"scale": SCALE, "start_difficulty": DIFFICULTY, "shares_per_min": 0.0}
        settings = PoolSettings(**(given | rules))
        async with PretendPool(settings, ScaledClock(START_S, speed), seed, troubles=troubles, chain=chain) as made:
            yield made

    return opened
