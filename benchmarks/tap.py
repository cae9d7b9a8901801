"""What the tap costs: shares a second flat out, and ten thousand machines at twenty shares a minute.

Tap, pool and miners are processes of their own, the tap alone on one core. Every share is verified: its header is built
and hashed; targets are so easy that no share has to be sought, so that the miners cost next to nothing. Latency is
measured by the miners against connections that go straight to the pool at the same time. CPU is the operating system's
account of the tap's process; beside it stands a bare proxy, which looks at nothing. Run: `python benchmarks/run.py tap`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final, cast

import orjson
import uvloop

from benchmarks._pretend_site import pin

SHARES_PER_S_LEAST: Final = 25_000.0
CPU_SHARE_MOST: Final = 0.25
ADDED_P99_MS_MOST: Final = 20.0
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


# --------------------------------------------------------------------------------------------------------------- tap


def play_tap(how: str, pool_port: int) -> int:
    """Be the tap."""
    pin(0)
    from controllers.clock import Clock
    from controllers.pool.settings import TapSettings
    from controllers.pool.source import collect_seldom
    from controllers.pool.tap import Tap
    from fleet.machine import SLEEP_NAME, Machine, Mode, Roster
    from fleet.work.engines.choice import chosen

    settings = TapSettings.model_validate(
        {
            "listen": "127.0.0.1:0",
            "how": how,
            "pools": [{"url": f"stratum+tcp://127.0.0.1:{pool_port}"}],
            "accounts": ["acct"],
            "simulated_scale": SCALE,
            "vardiff": {"least": LOCAL, "most": LOCAL, "start": LOCAL},
            "limits": {
                "connections_per_address": 200_000,
                "attempts_per_address_per_min": 1e7,
                "messages_per_s": 1e6,
                "unauthorized_s": 600,
            },
        }
    )
    modes = (Mode(SLEEP_NAME, 20.0, 0.0), Mode("normal", 3_000.0, 100.0))
    machines = [Machine(f"m{n}", "model", "luxos", f"10.0.{n >> 8}.{n & 255}", modes, "normal") for n in range(10_000)]

    async def serve() -> None:
        with tempfile.TemporaryDirectory() as state:
            choice = chosen(time.perf_counter)
            tap = Tap(settings, Roster.of(machines), Clock(), lambda *_: None, Path(state), choice.engine)
            running = asyncio.create_task(tap.run())
            while tap.port is None:  # noqa: ASYNC110 - a start, not a wait
                await asyncio.sleep(0.01)
            say({"port": tap.port, "engine": choice.engine.name})
            loop = asyncio.get_running_loop()
            # the daemon asks every few seconds what was counted
            while await loop.run_in_executor(None, sys.stdin.readline):
                status, counted = tap.status(), tap.counted()
                say({"status": status, "shares": float(counted.shares.sum()), "flawed": float(counted.flawed.sum())})
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    collect_seldom()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
    return 0


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


# ------------------------------------------------------------------------------------------------------------ parent


def say(what: dict[str, Any]) -> None:
    """One line to the parent."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Player:
    """A process with a part to play."""

    def __init__(self, stack: ExitStack, *words: str) -> None:
        root = Path(__file__).resolve().parent.parent
        path = os.pathsep.join((str(root), os.environ.get("PYTHONPATH", "")))
        self.process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.tap", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=root,
                env={**os.environ, "PYTHONPATH": path},
            )
        )
        stack.callback(self.end)

    def heard(self) -> dict[str, Any]:
        """What it says next."""
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise RuntimeError(f"{self.process.args!r} ended before its time")
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self) -> dict[str, Any]:
        """Have it tell."""
        assert self.process.stdin is not None
        self.process.stdin.write("tell\n")
        self.process.stdin.flush()
        return self.heard()

    def end(self) -> None:
        """Its part is over."""
        if self.process.stdin:
            self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def cpu_s(self) -> float:
        """CPU seconds that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        """The most memory that it has held."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(float(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM"))


def measured(case: Case, *, priority: bool = False) -> dict[str, Any]:
    """One case, in processes of its own."""
    first = ("--priority",) if priority else ()
    with ExitStack() as stack:
        pool = Player(stack, *first, "--play", "pool", "--how", case.how)
        pool_port = pool.heard()["port"]
        tap = Player(stack, *first, "--play", "tap", "--how", case.how, "--pool-port", str(pool_port))
        stands = tap.heard()
        miners = Player(
            stack,
            *first,
            "--play",
            "miners",
            "--pool-port",
            str(pool_port),
            "--port",
            str(stands["port"]),
            "--case",
            json.dumps(case.__dict__),
        )
        miners.heard()
        began_s = tap.cpu_s()
        miners.heard()
        used_s = tap.cpu_s() - began_s
        found = miners.heard()
        told = tap.ask()
        if told["flawed"] or told["shares"] < found["shares"]:
            raise RuntimeError(f"{told['shares']} of {found['shares']} shares were credited, {told['flawed']} flawed")
        return {
            **found,
            "engine": stands["engine"],
            "verified": told["status"]["verified"],
            "cpu_s": used_s,
            "rss_mb": tap.rss_mb(),
            "per_s": found["shares"] / found["took_s"],
            "cpu_us": used_s / max(found["shares"], 1) * 1e6,
            "cpu_share": used_s / found["took_s"],
        }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure both ways, flat out and paced; 1 where a figure is missed."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--play", choices=("tap", "pool", "miners"))
    parser.add_argument("--how", default="pass")
    parser.add_argument("--pool-port", type=int, default=0)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--case", type=json.loads)
    parser.add_argument(
        "--priority", action="store_true", help="before everything else on this host (needs the right to)"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--machines", type=int, default=10_000, help="of the paced cases")
    parser.add_argument("--seconds", type=float, default=45, help="of the paced cases")
    args = parser.parse_args(argv)
    if args.play and args.priority:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    if args.play == "tap":
        return play_bare(args.pool_port) if args.how == "bare" else play_tap(args.how, args.pool_port)
    if args.play == "pool":
        return play_pool(args.how)
    if args.play == "miners":
        return play_miners(Case(**args.case), args.port, args.pool_port)
    return compared(args)


def compared(args: argparse.Namespace) -> int:
    """All cases, as a table."""
    figures: dict[str, Any] = {}
    missed = []
    print("flat out: every share verified, a bunch of shares from each machine at a time")
    for how in ("bare", "pass", "aggregate"):
        for window in (1, 50):
            case = Case(how, machines=100, each=400 if window == 1 else 1_000, window=window)
            runs = [measured(case, priority=args.priority) for _ in range(args.rounds)]
            best = {key: median(run[key] for run in runs) for key in ("per_s", "cpu_us")}
            figures[f"flat {how} {window}"] = {**best, "engine": runs[0]["engine"]}
            print(
                f"  {how:<9} bunches of {window:>2}: {best['per_s']:>8,.0f} shares/s, {best['cpu_us']:.1f} us of CPU each"
            )
    if max(figures[f"flat {how} 50"]["per_s"] for how in ("pass", "aggregate")) < SHARES_PER_S_LEAST:
        missed.append(f"fewer than {SHARES_PER_S_LEAST:,.0f} shares/s")
    for how in ("bare", "pass", "aggregate"):
        # where each machine has two sockets, a process that may have twenty thousand files serves no more
        machines = args.machines if how == "aggregate" else min(args.machines, 9_900)
        run = measured(Case(how, machines=machines, seconds=args.seconds), priority=args.priority)
        added = {key: run["through_ms"][key] - run["direct_ms"][key] for key in run["through_ms"]}
        figures[f"paced {how}"] = {**run, "added_ms": added, "machines": machines}
        print(
            f"{how}: {machines:,} machines at {SHARES_PER_MIN:g} shares a minute: {run['cpu_share']:.0%} of a core, "
            f"{run['rss_mb']:.0f} MB; "
            f"through the tap p50 {run['through_ms']['p50']:.2f} p99 {run['through_ms']['p99']:.2f} ms, "
            f"straight {run['direct_ms']['p50']:.2f} and {run['direct_ms']['p99']:.2f}, "
            f"added p50 {added['p50']:.2f} p99 {added['p99']:.2f} ms; {run['lost']} without an answer"
        )
        if how == "bare":
            continue
        if run["cpu_share"] > CPU_SHARE_MOST:
            missed.append(f"{how}: more than {CPU_SHARE_MOST:.0%} of a core")
        if added["p99"] > ADDED_P99_MS_MOST:
            missed.append(f"{how}: p99 of added latency above {ADDED_P99_MS_MOST:g} ms")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2))
    for text in missed:
        print(f"missed: {text}")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
