"""Clients that take turns: each in its own process on the first core, so that none pays for another's heap or sockets.

A player prepares (identifies its machines, signs in), says "ready", and on each "go" does its work once with every
machine and says how long it took. The parent gives the word to one at a time.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final, TypeAlias

from benchmarks._pretend_site import pin, site
from fleet.machine import Machine

IN_FLIGHT: Final = 100
One: TypeAlias = Callable[[int], Awaitable[None]]
Ready: TypeAlias = Callable[[Sequence[Machine]], Awaitable[One]]
NewLoop: TypeAlias = Callable[[], asyncio.AbstractEventLoop]
Clients: TypeAlias = dict[str, tuple[Ready, NewLoop]]


@dataclass(frozen=True, slots=True)
class Rate:
    """One client's medians over the rounds."""

    client: str
    per_s: float
    cpu_ms: float


async def each(one: One, machines: int) -> None:
    """Do it with every machine, so many at once."""
    rows = iter(range(machines))

    async def worker() -> None:
        for row in rows:
            await one(row)

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))


def play(clients: Clients, name: str, dialect: str, machines: int, least_s: float = 0.0) -> int:
    """Be one client: prepare, then work at each word until standard input closes.

    A turn repeats its work until `least_s` have passed, and says how long one pass took.
    """
    logging.disable(logging.CRITICAL)  # the libraries warn and log while they work
    warnings.simplefilter("ignore")
    pin(0)
    ready, new_loop = clients[name]

    async def prepared() -> One:
        return await ready(site(dialect, machines))

    with asyncio.Runner(loop_factory=new_loop) as runner:
        one = runner.run(prepared())
        gc.collect()
        gc.freeze()
        _say({"ready": True})
        for _ in sys.stdin:
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            passes = 0
            while not passes or time.perf_counter() - wall_s < least_s:
                runner.run(each(one, machines))
                passes += 1
            took_s, used_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
            _say({"wall_s": took_s / passes, "cpu_s": used_s / passes})
    return 0


def _say(what: dict[str, float | bool]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Player:
    """The parent's end of one client."""

    def __init__(self, process: subprocess.Popen[str], name: str) -> None:
        self.name, self._process = name, process
        self._heard()

    def go(self) -> tuple[float, float]:
        """One round; wall and CPU seconds."""
        if self._process.stdin is None:
            raise RuntimeError(f"{self.name} cannot be given the word")
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        said = self._heard()
        return said["wall_s"], said["cpu_s"]

    def _heard(self) -> dict[str, float]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError(f"{self.name} ended in the middle of its turn")
        found: dict[str, float] = json.loads(line)
        return found


@contextmanager
def _player(module: str, name: str, dialect: str, machines: int) -> Iterator[Player]:
    command = [sys.executable, "-m", module, "--play", name, "--dialect", dialect, "--machines", str(machines)]
    root = Path(__file__).resolve().parent.parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(root), os.environ.get("PYTHONPATH", "")))}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root, env=environment
    ) as process:
        try:
            yield Player(process, name)
        finally:
            if process.stdin:
                process.stdin.close()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


def taken(
    module: str, names: Sequence[str], dialect: str, machines: int, rounds: int, between: Callable[[str], None]
) -> list[Rate]:
    """Each client's median rate; `between` is called with a client's name after each of its turns."""
    with ExitStack() as stack:
        players = [stack.enter_context(_player(module, name, dialect, machines)) for name in names]
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        for _ in range(rounds):
            for player in players:
                times[player.name].append(player.go())
                between(player.name)
    return [
        Rate(name, machines / median(wall for wall, _ in seen), median(cpu for _, cpu in seen) / machines * 1e3)
        for name, seen in times.items()
    ]
