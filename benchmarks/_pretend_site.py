"""A pretend site in another process, on another core, for the benchmarks of drivers.

The client's process pins itself to the first core and starts this module as a child, which pins itself to the second
and serves one world until its standard input closes. With one core the two share it, and the table says so.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvloop

from fleet.catalogue import nameplate
from fleet.links import Credentials
from fleet.machine import Machine, Roster

MODELS: Final = {"antminer": "Antminer S19j Pro", "whatsminer-v3": "WhatsMiner M60S", "luxos": "Antminer S19k Pro"}
CREDENTIALS: Final = {
    "antminer": Credentials("root", "root"),  # every maker's factory password
    "whatsminer-v3": Credentials("super", "super"),
    "luxos": Credentials(),
}
NETS: Final = {"antminer": 41, "whatsminer-v3": 42, "luxos": 43}
START_S: Final = 60.0


def site(dialect: str, machines: int) -> list[Machine]:
    """So many machines of one dialect, each at its own address of loopback, on the vendor's ports."""
    plate = nameplate(MODELS[dialect], dialect)
    return [
        Machine(
            id=f"{dialect}-{n}",
            model=plate.model,
            dialect=dialect,
            host=f"127.{NETS[dialect]}.{n // 250}.{n % 250 + 1}",
            modes=plate.modes,
            usual=plate.usual,
            start_s=plate.start_s,
        )
        for n in range(machines)
    ]


def two_cores() -> bool:
    """Whether client and world can have a core each. The parent itself stays unpinned: a child inherits its cores."""
    return len(os.sched_getaffinity(0)) >= 2


def pin(core: int) -> bool:
    """Keep this process to one core; whether there are two to choose from."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return False
    os.sched_setaffinity(0, {cores[core]})
    return True


@contextmanager
def served(dialect: str, machines: int) -> Iterator[list[Machine]]:
    """The machines of a world that another process serves meanwhile.

    Raises:
        RuntimeError: it did not come up; the message has what it said.
    """
    command = [sys.executable, "-m", "benchmarks._pretend_site", dialect, str(machines)]
    root = Path(__file__).resolve().parent.parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(root), os.environ.get("PYTHONPATH", "")))}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root, env=environment
    ) as child:
        try:
            said = child.stdout.readline() if child.stdout else ""
            if said.strip() != "ready":
                raise RuntimeError(f"the pretend site did not come up: {said.strip() or 'it ended'}")
            yield site(dialect, machines)
        finally:
            if child.stdin:
                child.stdin.close()
            try:
                child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                child.kill()


async def serve(dialect: str, machines: int) -> None:
    """Serve until standard input closes."""
    from simulators.clock import ScaledClock
    from simulators.world import World

    loop = asyncio.get_running_loop()
    world = World(Roster.of(site(dialect, machines)), 1, ScaledClock(1_780_000_000.0))
    async with world:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    """One world, for the benchmark that started this."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("dialect", choices=sorted(MODELS))
    parser.add_argument("machines", type=int)
    options = parser.parse_args()
    pin(1)
    uvloop.run(serve(options.dialect, options.machines))


if __name__ == "__main__":
    main()
