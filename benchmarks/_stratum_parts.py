"""The parts that others play when the tap is measured: a pool, its miners, and a proxy that looks at nothing.

Each is a process of its own and costs as little as it can: the pool finds every share good, and the targets are so easy
that the miners have to seek none. They tell their parent what happened in lines of JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

import orjson
import uvloop

from benchmarks._pretend_site import pin

SHARES_PER_MIN: Final = 20.0
LOCAL: Final = 32
SCALE: Final = 2.0**-38
"""So easy that every hash is a share of the local difficulty."""
POOL: Final = {"bare": LOCAL, "pass": LOCAL, "aggregate": 32 * LOCAL}
"""The pool's difficulty: in pass mode the machines', aggregated one that every sixteenth share reaches."""
BRANCHES: Final = 12
JOB_S: Final = 30.0
SLICE: Final = 100


@dataclass(frozen=True)
class Case:
    """One measurement: so many machines, each sending `each` shares in bunches of `window`, or paced for `seconds`."""

    how: str
    machines: int
    each: int = 0
    window: int = 0
    seconds: float = 0.0


def say(what: dict[str, Any]) -> None:
    """One line to the parent."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class BareEnd(asyncio.Protocol):
    """A machine's end of a proxy that looks at nothing."""

    def __init__(self, pool_port: int) -> None:
        self.pool_port = pool_port
        self.early = b""
        self.other: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to the pool too."""
        self.transport = cast("asyncio.Transport", transport)
        self.opening = asyncio.get_running_loop().create_task(self.open())

    async def open(self) -> None:
        """The pool's end."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: BareBack(self.transport), "127.0.0.1", self.pool_port)
        transport.write(self.early)
        self.other = transport

    def data_received(self, data: bytes) -> None:
        """To the pool."""
        if self.other is None:
            self.early += data
        else:
            self.other.write(data)


class BareBack(asyncio.Protocol):
    """Its pool's end."""

    def __init__(self, machine: asyncio.Transport) -> None:
        self.machine = machine

    def data_received(self, data: bytes) -> None:
        """To the machine."""
        self.machine.write(data)


def play_bare(pool_port: int) -> int:
    """Be a proxy that looks at nothing: what the event loop and the kernel cost alone."""
    pin(0)

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: BareEnd(pool_port), "127.0.0.1", 0, backlog=4_096)
        say({"port": server.sockets[0].getsockname()[1], "engine": "none"})
        while await loop.run_in_executor(None, sys.stdin.readline):
            say({"status": {"verified": 0}, "shares": float("inf"), "flawed": 0})

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
    return 0


# -------------------------------------------------------------------------------------------------------------- pool


class PoolEnd(asyncio.Protocol):
    """One connection of the pool's: every share is good."""

    everyone: Final[dict[PoolEnd, None]] = {}

    def __init__(self, difficulty: int) -> None:
        self.difficulty = difficulty

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Another."""
        self.transport = cast("asyncio.Transport", transport)
        self.rest, self.works = b"", False
        self.everyone[self] = None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Gone."""
        self.everyone.pop(self, None)

    def data_received(self, data: bytes) -> None:
        """Answer all."""
        *lines, self.rest = (self.rest + data).split(b"\n")
        self.transport.write(b"".join([self.answer(orjson.loads(line)) for line in lines if line]))

    def answer(self, message: dict[str, Any]) -> bytes:
        """To one request."""
        number, method = orjson.dumps(message.get("id")), message.get("method")
        if method == "mining.subscribe":
            return b'{"id":%b,"result":[[["mining.notify","00"]],"01020304",8],"error":null}\n' % number
        if method == "mining.configure":
            return (
                b'{"id":%b,"result":{"version-rolling":true,"version-rolling.mask":"1fffe000"},"error":null}\n' % number
            )
        answer = b'{"id":%b,"result":true,"error":null}\n' % number
        if method == "mining.authorize" and not self.works:
            self.works = True
            answer += b'{"id":null,"method":"mining.set_difficulty","params":[%d]}\n' % self.difficulty + notify("1")
        return answer


def notify(job_id: str) -> bytes:
    """A job like a real one."""
    coinbase1 = (
        "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff2c03aabbcc" + "00" * 28
    )
    coinbase2 = "ffffffff02" + ("00f2052a010000001976a914" + "11" * 20 + "88ac") * 2 + "00000000"
    params = [
        job_id,
        "ab" * 32,
        coinbase1,
        coinbase2,
        ["cd" * 32] * BRANCHES,
        "20000000",
        "1703a30c",
        "66000000",
        False,
    ]
    return orjson.dumps({"id": None, "method": "mining.notify", "params": params}) + b"\n"


def play_pool(how: str) -> int:
    """Be the pool."""
    pin(1)

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: PoolEnd(POOL[how]), "127.0.0.1", 0, backlog=4_096)
        say({"port": server.sockets[0].getsockname()[1]})
        gone = loop.run_in_executor(None, sys.stdin.readline)
        number = 1
        while not gone.done():
            await asyncio.wait((gone,), timeout=JOB_S)
            number += 1
            line = notify(f"{number:x}")
            ends = list(PoolEnd.everyone)
            for at in range(0, len(ends), SLICE):
                for end in ends[at : at + SLICE]:
                    end.transport.write(line)
                await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
    return 0


# ------------------------------------------------------------------------------------------------------------ miners


class MinerEnd(asyncio.Protocol):
    """One machine's connection."""

    def __init__(self, number: int) -> None:
        self.user = f"acct.m{number}"
        self.ready = asyncio.get_running_loop().create_future()
        self.answers = self.sent = 0
        self.left = 0
        self.sent_s = 0.0
        self.job = ""
        self.size = 0
        self.latencies: list[float] | None = None
        self.more: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(
            b'{"id":1,"method":"mining.subscribe","params":["bench"]}\n'
            + orjson.dumps({"id": 2, "method": "mining.authorize", "params": [self.user, "x"]})
            + b"\n"
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """It should not be."""
        if not self.ready.done():
            self.ready.set_exception(exc or ConnectionError("cut off"))

    def data_received(self, data: bytes) -> None:
        """Answers and jobs."""
        now_s = time.perf_counter()
        plain = self.ready.done() and b"method" not in data
        answers = data.count(b"\n") if plain else self.greeted(data)
        if not answers:
            return
        self.answers += answers
        if self.latencies is not None:
            self.latencies.append(now_s - self.sent_s)
        if self.more is not None:
            self.more()

    def greeted(self, data: bytes) -> int:
        """What comes with jobs among it; how many answers to shares."""
        answers = 0
        for line in data.split(b"\n"):
            if line.startswith(b'{"id":1,'):
                self.size = orjson.loads(line)["result"][2]
            elif b"mining.notify" in line:
                self.job = orjson.loads(line)["params"][0]
                if not self.ready.done():
                    self.ready.set_result(None)
            elif b"result" in line and not line.startswith(b'{"id":2,'):
                answers += 1
        return answers

    def share(self) -> bytes:
        """One more."""
        self.sent += 1
        return b'{"id":%d,"method":"mining.submit","params":["%b","%b","%0*x","66000001","%08x"]}\n' % (
            self.sent + 10,
            self.user.encode(),
            self.job.encode(),
            2 * self.size,
            self.sent,
            self.sent,
        )


def _itself(end: MinerEnd) -> MinerEnd:
    """A protocol, for who asks for a factory."""
    return end


async def connected(port: int, numbers: range) -> list[MinerEnd]:
    """So many machines that have work."""
    loop = asyncio.get_running_loop()
    ends = []
    for at in range(0, len(numbers), SLICE):
        some = [MinerEnd(number) for number in numbers[at : at + SLICE]]
        await asyncio.gather(*(loop.create_connection(partial(_itself, end), "127.0.0.1", port) for end in some))
        await asyncio.wait_for(asyncio.gather(*(end.ready for end in some)), 60)
        ends += some
    return ends


async def flat_out(case: Case, port: int) -> dict[str, Any]:
    """Every machine sends a bunch, waits for its answers, and sends the next."""
    ends = await connected(port, range(case.machines))
    bunches = {
        end: [b"".join(end.share() for _ in range(case.window)) for _ in range(case.each // case.window)]
        for end in ends
    }
    done = asyncio.get_running_loop().create_future()
    left = len(ends)

    def run(end: MinerEnd) -> Callable[[], None]:
        queue = iter(bunches[end])
        begun = 0

        def more() -> None:
            nonlocal begun, left
            if end.answers < begun * case.window:
                return
            bunch = next(queue, None)
            if bunch is None:
                left -= 1
                if not left:
                    done.set_result(None)
                return
            begun += 1
            end.transport.write(bunch)

        return more

    say({"began": True})
    began_s = time.perf_counter()
    for end in ends:
        end.more = run(end)
        end.more()
    await asyncio.wait_for(done, 300)
    took_s = time.perf_counter() - began_s
    say({"ended": True})
    return {"shares": sum(end.answers for end in ends), "took_s": took_s}


async def paced(case: Case, port: int, pool_port: int) -> dict[str, Any]:
    """Every machine sends a share every so often; some go straight to the pool."""
    taps = await connected(port, range(case.machines))
    straight = await connected(pool_port, range(20_000, 20_000 + max(case.machines // 50, 50)))
    through_s: list[float] = []
    direct_s: list[float] = []
    for ends, latencies in ((taps, through_s), (straight, direct_s)):
        for end in ends:
            end.latencies = latencies
    interval_s = 60 / SHARES_PER_MIN
    order = [end for pair in zip(taps[:: len(taps) // len(straight)], straight, strict=False) for end in pair]
    order = list(dict.fromkeys([*order, *taps, *straight]))
    # straight ones evenly among the others
    step_s = interval_s / len(order)
    gc.freeze()
    say({"began": True})
    began_s = time.perf_counter()
    at, end_s = 0, began_s + case.seconds
    while (now_s := time.perf_counter()) < end_s:
        while began_s + at * step_s <= now_s:
            end = order[at * 7_919 % len(order)] if len(order) % 7_919 else order[at % len(order)]
            end.sent_s = time.perf_counter()
            end.transport.write(end.share())
            at += 1
        await asyncio.sleep(0.001)
    say({"ended": True})
    await asyncio.sleep(1)
    return {
        "shares": len(through_s),
        "took_s": case.seconds,
        "through_ms": quantiles(through_s),
        "direct_ms": quantiles(direct_s),
        "lost": sum(end.sent - end.answers for end in taps),
    }


def quantiles(latencies_s: list[float]) -> dict[str, float]:
    """In milliseconds."""
    ordered = sorted(latencies_s)
    return {f"p{share * 100:g}": ordered[int(share * (len(ordered) - 1))] * 1e3 for share in (0.5, 0.99, 0.999, 1.0)}


def play_miners(case: Case, port: int, pool_port: int) -> int:
    """Be the machines."""
    pin(1)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        say(runner.run(paced(case, port, pool_port) if case.seconds else flat_out(case, port)))
    return 0
