"""What the tap costs: shares a second flat out, and ten thousand machines at twenty shares a minute.

Tap, pool and miners are processes of their own, the tap alone on one core. Every share is verified: its header is built
and hashed; targets are so easy that no share has to be sought, so that the miners cost next to nothing. Latency is
measured by the miners against connections that go straight to the pool at the same time. CPU is the operating system's
account of the tap's process; beside it stands a bare proxy, which looks at nothing. Run: `python benchmarks/run.py tap`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, Final

import uvloop

from benchmarks._pretend_site import pin
from benchmarks._stratum_parts import LOCAL, SCALE, SHARES_PER_MIN, Case, play_bare, play_miners, play_pool, say

SHARES_PER_S_LEAST: Final = 25_000.0
CPU_SHARE_MOST: Final = 0.25
ADDED_P99_MS_MOST: Final = 20.0

# --------------------------------------------------------------------------------------------------------------- tap


def play_tap(how: str, pool_port: int) -> int:
    """Be the tap."""
    pin(0)
    from controllers.clock import Clock
    from controllers.pool.settings import TapSettings
    from controllers.pool.source import collect_seldom, gather
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
            gathering = asyncio.create_task(gather(tap))
            while tap.port is None:  # noqa: ASYNC110 - a start, not a wait
                await asyncio.sleep(0.01)
            say({"port": tap.port, "engine": choice.engine.name})
            loop = asyncio.get_running_loop()
            # the daemon asks every few seconds what was counted
            while await loop.run_in_executor(None, sys.stdin.readline):
                status, counted = tap.status(), tap.counted()
                say({"status": status, "shares": float(counted.shares.sum()), "flawed": float(counted.flawed.sum())})
            running.cancel()
            gathering.cancel()
            await asyncio.gather(running, gathering, return_exceptions=True)

    collect_seldom()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
    return 0


# ------------------------------------------------------------------------------------------------------------ parent


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
