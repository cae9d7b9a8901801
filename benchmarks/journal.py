"""What the journal costs: CPU and bytes per tick, the wait for the disk where commands have to be durable, and the start.

Half of the machines give a new, noisy reading between two ticks of 5 s, as at a poll every 10 s; power is dear every other
150 s, so that some ticks command everybody. Each record is kept, then all are read back from the last key frame on.
Run: `python benchmarks/run.py journal`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any, Final

import numpy as np

from controllers.journal.entries import Title
from controllers.journal.resume import last
from controllers.journal.settings import JournalSettings
from controllers.journal.writer import Writer
from fleet.machine import Machine, Mode, Roster
from fleet.market import Market, Quantity, Signal
from fleet.reading import State
from fleet.snapshot import Heard, Snapshot
from fleet.view import View
from policies.plan import Pace
from policies.record import Record
from policies.switching import Threshold
from policies.tariff import IndexTariff
from policies.tick import Judgment

TICK_S: Final = 5.0
POINTS: Final = 10
CASES: Final = ((1_000, 240), (16_500, 60))
CORE_SHARE_MOST: Final = {1_000: 0.01, 16_500: 0.03}


def site(count: int) -> Judgment:
    """So many machines, all of it live."""
    modes = (
        Mode("sleep", 25, 0),
        *(Mode(f"p{j}", 800 + 270 * j, 44 + 11.6 * j - 0.22 * j * j) for j in range(1, POINTS)),
    )
    machines = [
        Machine(f"m{i}", "X", "luxos", f"10.{i // 65536}.{i // 256 % 256}.{i % 256}", modes, "p9", (f"f{i % 20}",))
        for i in range(count)
    ]
    live = np.ones(count, np.bool_)
    pace = Pace(min_up_s=0, min_down_s=0)
    return Judgment(Roster.of(machines), IndexTariff(), switching=Threshold(), pace=pace, live=live)


def records(judgment: Judgment, ticks: int) -> Iterator[Record]:
    """Ticks with what changes between them."""
    n, dice, view = len(judgment.roster), np.random.default_rng(1), View.fresh(judgment.roster)
    nothing = Heard.nothing(n)
    heard = {name: np.array(getattr(nothing, name)) for name in Heard.__dataclass_fields__}
    mode = judgment.roster.usual.astype(np.int16)
    for i in range(ticks):
        at_s = 1.7e9 + TICK_S * i
        rows = np.flatnonzero(dice.random(n) < (0.5 if i else 1.1))
        heard["at_s"][rows] = heard["asked_s"][rows] = at_s - TICK_S * dice.random(len(rows))
        heard["mode"][rows], heard["measured"][rows] = mode[rows], True
        heard["state"][rows] = np.where(mode[rows] == 0, State.SLEEPING, State.HASHING)
        heard["hashrate_ths"][rows] = np.round(130 + dice.normal(0, 2, len(rows)), 2)
        heard["power_w"][rows] = np.round(3200 + dice.normal(0, 20, len(rows)))
        heard["chip_c"][rows] = np.round(62 + dice.normal(0, 3, len(rows)), 1)
        heard["uptime_s"][rows] = heard["accepted"][rows] = np.floor(at_s - 1.69e9)
        prices = {Quantity.HASHPRICE_USD_PHS_DAY: 40.0, Quantity.POWER_USD_MWH: 300.0 if i // 30 % 2 else 30.0}
        market = Market({quantity: (Signal(value, at_s, at_s, "x"),) for quantity, value in prices.items()})
        known = Snapshot(at_s, Heard(**{name: column.copy() for name, column in heard.items()}), market)
        view, decision = judgment.tick(view, known)
        mode = mode.copy()
        mode[decision.commands.machine] = decision.commands.mode
        yield Record(i + 1, known, view, decision)


def measure(count: int, ticks: int) -> dict[str, Any]:
    """One site's journal."""
    judgment = site(count)
    title = Title.of("benchmark", judgment.roster, "{}")
    cpu_ms: list[float] = []
    wall_ms: list[float] = []
    durable_ms: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        writer = Writer(Path(folder), JournalSettings(), title)
        for record in records(judgment, ticks):
            durable = bool(len(record.decision.commands))
            cpu, wall = time.process_time(), time.perf_counter()
            writer.append(record, durable=durable)
            (durable_ms if durable else wall_ms).append((time.perf_counter() - wall) * 1e3)
            cpu_ms.append((time.process_time() - cpu) * 1e3)
        writer.close()
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        began = time.perf_counter()
        known = last(Path(folder), judgment.roster, judgment.reasons)
        start_ms = (time.perf_counter() - began) * 1e3
    share = mean(cpu_ms) / 1e3 / TICK_S
    return {
        "machines": count,
        "ticks": ticks,
        "cpu_mean_ms": round(mean(cpu_ms), 3),
        "core_share": round(share, 5),
        "core_share_most": CORE_SHARE_MOST[count],
        "kb_per_tick": round(size / ticks / 1e3, 1),
        "gb_per_day": round(size / ticks * 86_400 / TICK_S / 1e9, 2),
        "append_median_ms": round(median(wall_ms), 3),
        "durable_median_ms": round(median(durable_ms), 3) if durable_ms else None,
        "start_ms": round(start_ms, 1),
        "within": share <= CORE_SHARE_MOST[count] and known.number == ticks,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Keep the records; 1 when the journal takes more of a core than it may."""
    parser = argparse.ArgumentParser(prog="benchmarks/journal.py", description=main.__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args(argv)
    print(
        f"{'machines':>9} {'cpu ms':>8} {'of a core':>9} {'kB/tick':>8} {'GB/day':>7} "
        f"{'append ms':>10} {'durable ms':>11} {'start ms':>9}"
    )
    figures = []
    for count, ticks in CASES:
        told = measure(count, ticks)
        figures.append(told)
        print(
            f"{told['machines']:>9,} {told['cpu_mean_ms']:>8.2f} {told['core_share']:>9.3%} {told['kb_per_tick']:>8.1f} "
            f"{told['gb_per_day']:>7.2f} {told['append_median_ms']:>10.2f} {told['durable_median_ms'] or 0:>11.2f} "
            f"{told['start_ms']:>9.1f}",
            flush=True,
        )
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0 if all(told["within"] for told in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
