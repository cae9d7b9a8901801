"""What pretend machines that mine for real cost their host: CPU by machines, speed and shares, pool and physics included.

Each case is a pretend site of LuxOS machines on loopback that mine at a pretend pool, for some seconds after a start; what
is measured is this process's CPU over the wall's time, hashes and shares a second, and credited work over hashed work, which
has to be 1 within the spread of Poisson shares. Run: `python benchmarks/run.py pretend_mining`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any, Final

from controllers.pretend.simulate import free_ports, servable
from fleet.catalogue import LUXOS
from fleet.units import HASHES_PER_DIFFICULTY, HASHES_PER_TERAHASH
from simulators.clock import ScaledClock
from simulators.scenarios.scenario import Block, Mining, Scenario, site
from simulators.world import World

START_S: Final = 1.7e9
WARM_S: Final = 3.0
CASES: Final = ((100, 1.0, 20.0), (100, 60.0, 12.0), (12, 900.0, 5.0))
"""Machines, seconds of the world per second, shares a minute that vardiff aims at."""
MOST_SIGMAS: Final = 5.0


def shares(world: World) -> int:
    """Credited so far."""
    return sum(book.shares for book in world.pools["pool"].books.values())


async def case(machines: int, speed: float, shares_per_min: float, seconds: float, net: int) -> dict[str, Any]:
    """One site, measured after a start."""
    roster = site([Block("lux", "Antminer S21", LUXOS, machines, ("hall",))], net)
    mining = Mining(shares_per_min=shares_per_min).on_ports(free_ports(3))
    made = Scenario("bench", servable(roster), 1, mining=mining)
    async with made.world(ScaledClock(START_S, speed)) as world:
        assert world.mine is not None
        await asyncio.sleep(WARM_S)
        before, hashed, found = time.process_time(), world.mine.mined().hashed.sum(), shares(world)
        began = time.perf_counter()
        await asyncio.sleep(seconds)
        took_s = time.perf_counter() - began
        mined = world.mine.mined()
        books = world.pools["pool"].books.values()
        credited_th = sum(book.work for book in books) * HASHES_PER_DIFFICULTY / HASHES_PER_TERAHASH
        return {
            "machines": machines,
            "speed": speed,
            "shares_per_min": shares_per_min,
            "engine": world.mine.engine.name,
            "cpu": (time.process_time() - before) / took_s,
            "hashes_s": float(mined.hashed.sum() - hashed) / took_s,
            "shares_s": (shares(world) - found) / took_s,
            "credited": credited_th / float(mined.owner_th.sum()),
            "shares": shares(world),
            "refused": sum(sum(book.refused.values()) for book in books),
            "behind_s": mined.behind_s,
        }


def main(argv: Sequence[str] | None = None) -> int:
    """Every case; 1 when credited work is not the hashed one."""
    parser = argparse.ArgumentParser(prog="benchmarks/pretend_mining.py", description=main.__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each case (default 10)")
    parser.add_argument("--net", type=int, default=79, help="machines answer at 127.NET.x.y (default 79)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    found = [asyncio.run(case(*one, args.seconds, args.net)) for one in CASES]
    print("machines   speed  CPU, cores  kH/s  shares/s  credited/hashed  refused  engine")
    for one in found:
        print(
            f"{one['machines']:8d} {one['speed']:6g}x {one['cpu']:11.2f} {one['hashes_s'] / 1e3:5.0f} "
            f"{one['shares_s']:9.0f} {one['credited']:16.3f} {one['refused']:8d}  {one['engine']}"
        )
    if args.json is not None:
        args.json.write_text(json.dumps({"cases": found}))
    wrong = [one for one in found if abs(one["credited"] - 1.0) > MOST_SIGMAS / sqrt(max(one["shares"], 1)) + 0.02]
    for one in wrong:
        print(f"{one['machines']} machines at {one['speed']:g}x: credited {one['credited']:.3f} of what was hashed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
