"""What one tick costs: sites of 1,000 to 100,000 machines with 10 operating points each, free and under nested caps.

Every machine gives a new reading before each tick, the price of power jumps every few ticks, and machines take what they
are sent, so that most ticks command somebody. Times are wall time of `Judgment.tick` alone, with the CPU time beside
them. Run: `python benchmarks/run.py tick`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from fleet.machine import Machine, Mode, Roster
from fleet.market import Market, Quantity, Signal
from fleet.reading import State
from fleet.snapshot import Heard, Snapshot
from fleet.view import View
from policies.tariff import IndexTariff
from policies.tick import Judgment

POINTS: Final = 10
TICK_S: Final = 900.0
LIMIT_MS: Final = {10_000: 20.0, 100_000: 250.0}
PRICES_USD_MWH: Final = (30.0, 35.0, 60.0, 62.0, 75.0, 300.0)


@dataclass(frozen=True)
class Case:
    """One site: how many machines, whether its caps bind, and how many ticks are timed."""

    machines: int
    capped: bool
    ticks: int


CASES: Final = tuple(
    Case(machines, capped, ticks)
    for machines, ticks in ((1_000, 200), (10_000, 60), (100_000, 24))
    for capped in (False, True)
)


def site(case: Case) -> Roster:
    """Machines of one ladder's shape, each a little different, in containers and racks; caps of 60 % where they bind."""
    dice = np.random.default_rng(1)
    steps = np.arange(1, POINTS)
    machines = []
    for i in range(case.machines):
        power_w = (800 + 270 * steps) * dice.normal(1.0, 0.02)
        rate_ths = (44 + 11.6 * steps - 0.22 * steps**2) * dice.normal(1.0, 0.03)
        points = [Mode(f"p{j}", float(p), float(r)) for j, p, r in zip(steps, power_w, rate_ths, strict=True)]
        ladder = (Mode("sleep", 25.0, 0.0), *points)
        host = f"10.{i // 65_536}.{i // 256 % 256}.{i % 256}"
        place = (f"container-{i % 20}", f"rack-{i % 400}")
        machines.append(Machine(f"m{i}", "benchmark", "luxos", host, ladder, points[-1].name, place, start_s=300.0))
    most_w = sum(machine.modes[-1].power_w for machine in machines)
    caps = {"": 0.6 * most_w, "container-0": 0.02 * most_w, "container-1": 0.025 * most_w} if case.capped else {}
    return Roster.of(machines, caps)


def snapshot(
    at_s: float, mode: np.ndarray[Any, Any], price: float, dice: np.random.Generator, roster: Roster
) -> Snapshot:
    """All machines heard just now, at the power and rate of their point with some noise; fresh prices."""
    n = len(mode)
    rows = np.arange(n)
    heard = replace(
        Heard.nothing(n),
        at_s=np.full(n, at_s),
        asked_s=np.full(n, at_s),
        mode=mode,
        state=np.where(mode == 0, State.SLEEPING, State.HASHING).astype(np.int16),
        power_w=roster.modes.power_w[rows, mode] * dice.normal(1.0, 0.01, n),
        measured=np.ones(n, np.bool_),
        hashrate_ths=roster.modes.hashrate_ths[rows, mode] * dice.normal(1.0, 0.02, n),
        chip_c=dice.normal(62.0, 4.0, n),
        uptime_s=np.full(n, at_s - 1e6),
    )
    quantities = {Quantity.HASHPRICE_USD_PHS_DAY: 40.0, Quantity.POWER_USD_MWH: price}
    return Snapshot(at_s, heard, Market({q: (Signal(v, at_s, at_s, "benchmark"),) for q, v in quantities.items()}))


def measure(case: Case) -> dict[str, Any]:
    """The case's ticks, timed."""
    roster, dice = site(case), np.random.default_rng(2)
    judgment = Judgment(roster, IndexTariff(), live=np.ones(len(roster), np.bool_))
    view, mode = View.fresh(roster), roster.usual.astype(np.int16)
    wall_ms, cpu_ms, commands, price = [], [], 0, 60.0
    for i in range(case.ticks + 3):
        if i % 3 == 0:
            price = float(dice.choice(PRICES_USD_MWH))
        known = snapshot(1.7e9 + i * TICK_S, mode, price, dice, roster)
        cpu, wall = time.process_time(), time.perf_counter()
        view, decision = judgment.tick(view, known)
        if i >= 3:
            wall_ms.append((time.perf_counter() - wall) * 1e3)
            cpu_ms.append((time.process_time() - cpu) * 1e3)
        commands += len(decision.commands)
        mode = np.array(mode)
        mode[decision.commands.machine] = decision.commands.mode
    limit = LIMIT_MS.get(case.machines)
    return {
        "machines": case.machines,
        "points": POINTS,
        "capped": case.capped,
        "ticks": case.ticks,
        "median_ms": round(median(wall_ms), 3),
        "p95_ms": round(float(np.percentile(wall_ms, 95)), 3),
        "cpu_median_ms": round(median(cpu_ms), 3),
        "commands": commands,
        "limit_ms": limit,
        "within": limit is None or median(wall_ms) <= limit,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Time the ticks; 1 when a median is over its limit."""
    parser = argparse.ArgumentParser(prog="benchmarks/tick.py", description=main.__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--machines", type=int, help="only the sites of so many machines")
    options = parser.parse_args(argv)
    print(
        f"{'machines':>9} {'points':>6} {'caps':>5} {'median ms':>10} {'p95 ms':>8} {'cpu ms':>8} {'limit':>6} {'commands':>9}"
    )
    figures = []
    for case in CASES:
        if options.machines not in (None, case.machines):
            continue
        told = measure(case)
        figures.append(told)
        limit = "" if told["limit_ms"] is None else f"{told['limit_ms']:.0f}"
        print(
            f"{told['machines']:>9,} {told['points']:>6} {'bind' if told['capped'] else 'none':>5} "
            f"{told['median_ms']:>10.2f} {told['p95_ms']:>8.2f} {told['cpu_median_ms']:>8.2f} {limit:>6} "
            f"{told['commands']:>9,}",
            flush=True,
        )
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0 if all(told["within"] for told in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
