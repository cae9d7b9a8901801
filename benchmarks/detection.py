"""What the share check can tell and how soon: one-shot tests against Wald's, a fleet's false alarms and its delays.

Everything is simulated at 30 shares a minute, looked at every ten seconds, with the product's own limits; what can be
computed beforehand stands beside it. The long part is a year of a thousand honest machines, 3.2 million looks of each; with
`--years 0.1` it is a tenth of that. Run: `python benchmarks/run.py detection`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from scipy.stats import poisson

from benchmarks import _shares as shares
from fleet.columns import Floats
from fleet.work.proof.contrast import wald_counts
from fleet.work.proof.counters import observe
from fleet.work.proof.delays import alarms_per_month, fleet_delay, one_shot_delay
from fleet.work.proof.evidence import Evidence, Source
from fleet.work.proof.proven import best
from fleet.work.proof.share_check import ShareCheck
from fleet.work.proof.watch import MONTH_S

SEED: Final = 20_261_124
FLEET: Final = 10_000
SHORTFALLS: Final = {0.10: 20_000, 0.05: 20_000, 0.02: 8_000}
"""Shortfalls of the issue, and so many machines each."""
MOST_OVER_WALD: Final = 1.1
HOUR_S: Final = 3_600.0

Figures = dict[str, Any]


def one_shot(dice: np.random.Generator) -> Figures:
    """Both errors and the mean length of the test on request."""
    print("a test on request, alpha = beta = 1 %: mean shares that the claim lets expect until the verdict")
    print("shortfall   Wald's   simulated   over Wald's   at 30 a minute   false alarms   missed")
    result = {}
    for shortfall, machines in SHORTFALLS.items():
        check = ShareCheck(shortfall=shortfall)
        short = shares.trials(check, 1 - shortfall, machines, dice)
        honest = shares.trials(check, 1.0, machines, dice)
        wald = wald_counts(check.on_request, 0.01, 0.01)
        mean = float(short.took.mean())
        row = {
            "wald": wald,
            "mean": mean,
            "over_wald": mean / wald,
            "hours": mean / shares.PER_S / HOUR_S,
            "false_alarms": float(honest.short.mean()),
            "missed": float(1 - short.short.mean()),
            "machines": machines,
        }
        result[f"{shortfall:g}"] = row
        print(
            f"{shortfall:8.0%} {wald:9,.0f} {mean:11,.0f} {row['over_wald']:13.3f} {row['hours']:14.2f} h"
            f" {row['false_alarms']:13.2%} {row['missed']:9.2%}"
        )
    return result


def average_power(shortfall: float, per_minute: float, alpha: float = 0.01) -> float:
    """Power of today's practice: a day's shares against the claim, exact Poisson, one look."""
    due = per_minute * 1_440
    most = poisson.ppf(alpha, due) - 1  # the largest count that is called short with a chance of alpha at most
    return float(poisson.cdf(most, due * (1 - shortfall)))


def averages() -> Figures:
    """What the pool's 24-hour average finds."""
    result = {f"{shortfall:g}": average_power(shortfall, 15) for shortfall in SHORTFALLS}
    told = ", ".join(f"{power:.0%} at {float(shortfall):.0%}" for shortfall, power in result.items())
    print(f"\ntoday's practice, a 24-hour average at 15 shares a minute, alpha 1 %: finds {told}, after a day and once")
    return result


def honest_fleet(years: float, dice: np.random.Generator) -> Figures:
    """False alarms of a thousand honest machines, simulated and as stated."""
    machines, looks = 1_000, int(years * 12 * MONTH_S / shares.LOOK_S)
    checks = {rate: ShareCheck(tolerance=0.0, false_alarms_per_month=rate) for rate in (1.0, 1_000.0)}
    limits = {rate: float(check.short_limit(np.array([shares.PER_S]), machines)[0]) for rate, check in checks.items()}
    began = time.perf_counter()
    alarms = shares.false_alarms(checks[1.0].contrast, np.array(list(limits.values())), looks, machines, dice)
    took_s = time.perf_counter() - began
    print(f"\n{machines:,} honest machines for {years:g} years ({looks:,} looks of each, simulated in {took_s:.0f} s)")
    print("stated for the fleet    limit    false alarms: at most    simulated    significant from (1 %)")
    result: Figures = {"machine_years": machines * years, "seconds": took_s}
    for rate, limit in limits.items():
        most, count = rate * 12 * years, alarms[limit]
        significant = int(poisson.isf(0.01, most)) + 1
        result[f"{rate:g}"] = {"limit": limit, "most": most, "simulated": count, "significant_from": significant}
        print(f"{rate:11,.0f} a month {limit:12.2f} {most:18,.1f} {count:17,} {significant:20,}")
    return result


def delays(dice: np.random.Generator) -> Figures:
    """Delay, since when and interval at a fleet's alpha, beside the one-shot test's."""
    print(f"\na fleet of {FLEET:,} at one false alarm a month; machines that change after 11 honest hours, 200 each")
    print(
        "check    lacks    one-shot    fleet: said    simulated    since when: median    90 % within    interval    covers"
    )
    result = {}
    for shortfall, actual in ((0.10, 0.10), (0.05, 0.05), (0.05, 0.10), (0.05, 0.20), (0.05, 0.50), (0.05, 1.0)):
        check = ShareCheck(shortfall=shortfall)
        got = shares.found(check, 1 - actual, 200, FLEET, dice)
        error = np.abs(got.since_error_s)
        row = {
            "one_shot_h": one_shot_delay(check, shares.PER_S, 1 - actual).seconds / HOUR_S,
            "said_h": fleet_delay(check, shares.PER_S, 1 - actual, FLEET).seconds / HOUR_S,
            "mean_h": float(got.delay_s.mean()) / HOUR_S,
            "since_median_min": float(np.median(got.since_error_s)) / 60,
            "since_90_min": float(np.quantile(error, 0.9)) / 60,
            "half_width": float(np.median(got.width)) / 2,
            "covers": float(got.covers.mean()),
        }
        result[f"{shortfall:g}/{actual:g}"] = row
        print(
            f"{shortfall:5.0%} {actual:8.0%} {row['one_shot_h']:9.2f} h {row['said_h']:12.2f} h {row['mean_h']:10.2f} h"
            f" {row['since_median_min']:14.0f} min {row['since_90_min']:12.0f} min {row['half_width']:12.1%}"
            f" {row['covers']:9.1%}"
        )
    return result


def between() -> Figures:
    """How often a fleet alarms whose machines all lack a little."""
    rates, tolerances = (1.0, 0.9975, 0.995, 0.99, 0.985), (0.0, 0.005, 0.01)
    print(
        f"\nalarms a month of {FLEET:,} machines that all deliver so much (shortfall 5 %, one a month stated); delay at 5 %"
    )
    print("tolerance" + "".join(f"{rate:12.2%}" for rate in rates) + "      delay")
    result = {}
    for tolerance in tolerances:
        check = ShareCheck(tolerance=tolerance)
        alarms = [alarms_per_month(check, shares.PER_S, rate, FLEET) for rate in rates]
        delay_h = fleet_delay(check, shares.PER_S, 0.95, FLEET).seconds / HOUR_S
        result[f"{tolerance:g}"] = {"alarms": dict(zip(map(str, rates), alarms, strict=True)), "delay_h": delay_h}
        print(f"{tolerance:9.1%}" + "".join(f"{value:12.3g}" for value in alarms) + f"{delay_h:9.1f} h")
    return result


def fees() -> Figures:
    """How long a check takes that is set to find just so small a fee."""
    print(
        f"\na hidden fee, found by a check whose shortfall it is and that tolerates nothing, at one alarm a month of {FLEET:,}"
    )
    print("  fee    on request at 30 a minute    in an audit at 600    by the running test at 30 a minute")
    result = {}
    for fee in (0.01, 0.02, 0.03, 0.05):
        check = ShareCheck(shortfall=fee, tolerance=0.0)
        row = {
            "on_request_h": one_shot_delay(check, shares.PER_S, 1 - fee).seconds / HOUR_S,
            "audit_min": one_shot_delay(check, 20 * shares.PER_S, 1 - fee).seconds / 60,
            "running_d": fleet_delay(check, shares.PER_S, 1 - fee, FLEET).seconds / HOUR_S / 24,
        }
        result[f"{fee:g}"] = row
        print(f"{fee:5.0%} {row['on_request_h']:24.1f} h {row['audit_min']:21.0f} min {row['running_d']:30.2f} days")
    return result


def intervals(dice: np.random.Generator) -> Figures:
    """Intervals that are watched."""
    got = shares.coverage(0.95, 2_000, 8_640, dice)
    print("\n95 % intervals of 2,000 machines, looked at every 10 s for a day: ever out of the true ratio")
    print(f"  the one shown {got.uniform:.1%}; Garwood's, right at one look, {got.one_look:.1%}")
    print(f"  after 43,200 shares the one shown is {got.width_over_one_look:.2f} times as wide")
    return {"uniform": got.uniform, "one_look": got.one_look, "width_over_one_look": got.width_over_one_look}


def speed() -> Figures:
    """What a tick pays."""
    print("\na tick in which every machine was heard: one source, and the strongest of two with its interval")
    result = {}
    for n in (10_000, 100_000):
        check, evidence, counter = ShareCheck(), Evidence.nothing(n), np.zeros(n)
        dice = np.random.default_rng(1)
        took: dict[str, list[float]] = {"observe": [], "best": [], "copy": []}
        for look in range(15):
            began = time.perf_counter()
            evidence = _heard(evidence, check, counter, look * 10.0)
            heard = time.perf_counter()
            best({Source.COUNTERS: evidence, Source.TAP: evidence})
            chosen = time.perf_counter()
            copied = [np.array(column) for column in vars(evidence).values()]
            ended = time.perf_counter()
            assert len(copied) > 30
            for name, seconds in (("observe", heard - began), ("best", chosen - heard), ("copy", ended - chosen)):
                took[name].append(seconds)
            counter = counter + 262_144.0 * dice.poisson(1.0, n)
        row = {name: 1e3 * median(times) for name, times in took.items()}
        result[str(n)] = row
        print(
            f"{n:9,} machines: observe {row['observe']:6.2f} ms, best {row['best']:6.2f} ms;"
            f" to copy the columns {row['copy']:6.2f} ms"
        )
    return result


def _heard(evidence: Evidence, check: ShareCheck, counter: Floats, at_s: float) -> Evidence:
    """All machines heard at once."""
    n = len(evidence)
    return observe(
        evidence,
        check,
        heard_s=np.full(n, at_s),
        claimed_ths=np.full(n, 100.0),
        accepted_difficulty=counter,
        share_difficulty=np.full(n, 262_144.0),
        power_w=np.full(n, 3_000.0),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables; 1 when a mean is over 1.1 times Wald's, or a rate of errors significantly over what is stated."""
    parser = argparse.ArgumentParser(prog="benchmarks/detection.py", description=main.__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--years", type=float, default=1.0, metavar="N", help="of the honest fleet (1)")
    options = parser.parse_args(argv)
    dice = np.random.default_rng(SEED)
    figures = {"one_shot": one_shot(dice), "averages": averages()}
    figures |= {
        "delays": delays(dice),
        "between": between(),
        "fees": fees(),
        "intervals": intervals(dice),
        "speed": speed(),
    }
    figures["honest_fleet"] = honest_fleet(options.years, dice)
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    missed = list(_missed(figures))
    print("\n" + "\n".join(missed) if missed else "\nall as stated")
    return 1 if missed else 0


def _missed(figures: Figures) -> Sequence[str]:
    """What was promised and not reached."""
    said = []
    for shortfall, row in figures["one_shot"].items():
        if row["over_wald"] > MOST_OVER_WALD:
            said.append(f"a shortfall of {shortfall} takes {row['over_wald']:.2f} times Wald's shares")
        most = int(poisson.isf(0.001, 0.01 * row["machines"])) / row["machines"]
        said += [f"{name} at {shortfall}: {row[name]:.2%}" for name in ("false_alarms", "missed") if row[name] > most]
    for rate, row in figures["honest_fleet"].items():
        if isinstance(row, dict) and row["simulated"] >= row["significant_from"]:
            said.append(f"{row['simulated']} false alarms where {rate} a month allow {row['most']:.0f}")
    if figures["intervals"]["uniform"] > 0.05:
        said.append(f"{figures['intervals']['uniform']:.1%} of the intervals were out")
    return said


if __name__ == "__main__":
    sys.exit(main())
