"""What a year of 15-minute intervals takes: 1,000 machines of mixed models, each with its own state, in one process.

The intervals timed are real ones, begun where prices were wild (so that machines start and stop), and scaled to a year; the
whole table of `hashwatt backtest` is the policies' times and the clairvoyant's, over the cores. Run:
`python benchmarks/run.py backtest`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from policies.tariff import IndexTariff
from policies.tick import Judgment
from simulators.backtest import POLICIES, backtest_judgment
from simulators.backtesting.clairvoyant import clairvoyant
from simulators.backtesting.drive import World, drive, prospect_of, with_switching
from simulators.backtesting.history import History, midnight_s, read_history
from simulators.backtesting.machines import fleet_of

DATA = Path(__file__).resolve().parents[1] / "simulators" / "scenarios" / "data"
MODELS = ("Antminer S19j Pro", "Antminer S19k Pro", "Antminer S21", "WhatsMiner M50S", "WhatsMiner M60S")
YEAR = 365 * 96
MOST_S = 60.0
"""A policy's year on one core."""


def site(machines: int, *, ladder: bool) -> Judgment:
    """Machines of five models on the index."""
    return backtest_judgment(Judgment(fleet_of(MODELS, machines, ladder=ladder), tariff=IndexTariff()), 900.0)


def timed(judgment: Judgment, history: History) -> dict[str, float]:
    """Seconds that a year takes, by policy and for the clairvoyant."""
    seconds = {}
    for name, rule in POLICIES.items():
        began = time.process_time()
        drive(with_switching(judgment, rule), history, "settled", World())
        seconds[name] = (time.process_time() - began) * YEAR / len(history)
    began = time.process_time()
    clairvoyant(prospect_of(judgment, history, World()))
    seconds["clairvoyant"] = (time.process_time() - began) * YEAR / len(history)
    return seconds


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 1 when a policy's year takes longer than it may."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--days", type=int, default=30, help="days timed (default 30)")
    parser.add_argument("--machines", type=int, default=1_000)
    args = parser.parse_args(argv)
    begin = midnight_s("2022-07-01")
    history = read_history(
        DATA / "ercot_hb_houston_rtm_15min.csv.gz",
        DATA / "btc_daily.csv.gz",
        DATA / "btc_difficulty_epochs.csv",
        from_s=begin,
        until_s=begin + args.days * 86_400.0,
    )
    cores = os.cpu_count() or 1
    figures: dict[str, object] = {"machines": args.machines, "days_timed": args.days, "cores": cores}
    print(f"A year of 15-minute intervals, {args.machines} machines of {len(MODELS)} models ({args.days} days timed):")
    longest = 0.0
    for ladder in (False, True):
        seconds = timed(site(args.machines, ladder=ladder), history)
        name = "with ladders" if ladder else "on or off"
        table_s = sum(seconds.values()) / cores
        cells = ", ".join(f"{policy} {one:.1f} s" for policy, one in seconds.items())
        print(f"  {name}: {cells}; the whole table on {cores} cores {table_s:.0f} s")
        figures[name] = {**seconds, "table_s": table_s}
        if not ladder:
            longest = max(seconds[policy] for policy in POLICIES)
    print(f"  the longest policy, on or off: {longest:.1f} s a year (at most {MOST_S:.0f} s)")
    if args.json is not None:
        args.json.write_text(json.dumps({**figures, "longest_s": longest}), encoding="utf-8")
    return 0 if longest <= MOST_S else 1


if __name__ == "__main__":
    sys.exit(main())
