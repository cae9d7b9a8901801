"""`hashwatt bench`: the host's SHA-256d rate by engine, work and number of workers, beside others and the best machine.

The table says what this host can prove, verify or simulate in proof of work; what follows says which engine a start
chooses and how soon it hashes, what another miner does here where one is installed, and what all that is against a machine
that was built for it.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from controllers.bench import Asic, BenchFailed, Rate, Work, best_asic, first_hash_s, measure
from controllers.exits import Exit
from controllers.other_miner import LEAST_S, NoRate, OtherRate, installed, run
from controllers.terminal import err, number, out, print_json, progress, table
from fleet.machine import Machine
from fleet.work.sha256d import Choice, Missing, chosen, found

WORKS: tuple[Work, ...] = ("nonces", "versions")


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was measured."""

    rates: tuple[Rate, ...]
    choice: Choice
    missing: tuple[Missing, ...]
    first_hash_s: float
    others: tuple[OtherRate | NoRate, ...]
    asic: Asic | None
    of_site: bool
    cores: int

    @property
    def best(self) -> Rate:
        """The fastest row."""
        return max(self.rates, key=lambda rate: rate.hashes_s)

    def against(self, other: OtherRate, work: Work) -> float | None:
        """How many times the other's rate our best engine has, on as many workers."""
        ours = [r.hashes_s for r in self.rates if r.workers == other.threads and r.work == work]
        return max(ours) / other.hashes_s if ours else None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--site, --seconds, --workers, --json."""
    parser.add_argument("--site", type=Path, help="compare with this site's best machine (else the catalogue's)")
    parser.add_argument("--seconds", type=_seconds, default=2.0, help="for each row, 0.05 to 60 (default 2)")
    parser.add_argument(
        "--workers", type=_workers, default=None, help="numbers of workers, such as 1,2,4 (default 1 and every core)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def main(args: argparse.Namespace) -> int:
    """Measure and show; 1 when an engine fails."""
    machines: tuple[Machine, ...] = ()
    if args.site is not None:
        from controllers.config import load_site

        machines = load_site(args.site).roster.machines
    try:
        report = _measured(args, machines)
    except BenchFailed as error:
        err().print(f"hashwatt bench: {error}")
        return Exit.FOUND
    if args.json:
        print_json(as_json(report))
    else:
        show(report)
    return Exit.OK


def _measured(args: argparse.Namespace, machines: tuple[Machine, ...]) -> Report:
    """Everything, one after another, with a bar for those who wait."""
    cores = os.cpu_count() or 1
    workers = args.workers if args.workers is not None else sorted({1, cores})
    there, other = found(), installed()
    rates, others = [], []
    with progress(args.json) as bar:
        rows = len(there.engines) * len(workers) * len(WORKS) + (len(workers) if other is not None else 0)
        task = bar.add_task("measuring", total=rows)
        first_s = first_hash_s()
        choice = chosen(perf_counter)
        for engine in there.engines:
            for work in WORKS:
                for count in workers:
                    bar.update(task, description=f"measuring {engine.name}, {work}, workers: {count}")
                    rates.append(measure(engine, count, args.seconds, work))
                    bar.advance(task)
        for count in workers if other is not None else ():
            assert other is not None
            bar.update(task, description=f"measuring {other.name}, workers: {count}")
            others.append(run(other, count, max(LEAST_S, args.seconds)))
            bar.advance(task)
    asic = best_asic(machines)
    return Report(
        tuple(rates), choice, there.missing, first_s, tuple(others), asic, of_site=bool(machines), cores=cores
    )


def as_json(report: Report) -> dict[str, Any]:
    """The result for programs; rates in MH/s (1e6 hashes a second)."""
    best, asic = report.best, report.asic
    return {
        "processor": processor(),
        "cores": report.cores,
        "chosen": {
            "engine": report.choice.engine.name,
            "trials": [
                {
                    "engine": trial.engine,
                    "hashrate_mhs": None if trial.hashes_s is None else trial.hashes_s / 1e6,
                    "why_not": trial.why_not or None,
                }
                for trial in report.choice.trials
            ],
            "first_hash_s": report.first_hash_s,
        },
        "missing": [{"engine": missing.engine, "why": missing.why} for missing in report.missing],
        "rates": [
            {
                "engine": rate.engine,
                "work": rate.work,
                "workers": rate.workers,
                "kind": rate.kind,
                "hashes": rate.hashes,
                "seconds": rate.seconds,
                "hashrate_mhs": rate.hashes_s / 1e6,
                "efficiency_j_th": rate.joules_th,
            }
            for rate in report.rates
        ],
        "others": [_other_as_json(report, other) for other in report.others],
        "best_engine": best.engine,
        "best_hashrate_mhs": best.hashes_s / 1e6,
        "asic": None
        if asic is None
        else {
            "model": asic.model,
            "from": "site" if report.of_site else "catalogue",
            "hashrate_ths": asic.hashrate_ths,
            "efficiency_j_th": asic.efficiency_j_th,
            "hosts_in_one": asic.hashrate_ths * 1e12 / best.hashes_s,
        },
    }


def _other_as_json(report: Report, other: OtherRate | NoRate) -> dict[str, Any]:
    """Another miner: its rate and how it was measured, or why there is none."""
    if isinstance(other, NoRate):
        return {"why_not": other.why}
    return {
        "miner": other.miner,
        "threads": other.threads,
        "hashrate_mhs": other.hashes_s / 1e6,
        "command": other.command,
        "ours_against_it": {work: report.against(other, work) for work in WORKS},
    }


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """What the processor calls itself; "unknown" where the host does not say."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def show(report: Report) -> None:
    """The table for people."""
    single = {(rate.engine, rate.work): rate.hashes_s for rate in report.rates if rate.workers == 1}
    lines = [
        (
            rate.engine,
            "rolled versions" if rate.work == "versions" else rate.work,
            f"{rate.workers} {rate.kind}" if rate.workers > 1 else "1 thread",
            number(rate.hashes_s / 1e6, 3),
            number(
                rate.hashes_s / single[rate.engine, rate.work] if (rate.engine, rate.work) in single else None, 2, "x"
            ),
            number(rate.joules_th, 0),
        )
        for rate in report.rates
    ]
    console = out()
    title = f"SHA-256d on {processor()}, {report.cores} cores"
    columns = ("engine", "work", "workers", "MH/s", "against one", "J/TH")
    console.print(table(title, columns, lines, right=(3, 4, 5)))
    console.print(f"a start chooses: {report.choice}; first hash {number(report.first_hash_s, 2)} s after it")
    for missing in report.missing:
        console.print(f"{missing.engine} missing: {missing.why}")
    for other in report.others:
        console.print(_other_in_words(report, other))
    if report.asic is not None:
        whose = "this site's" if report.of_site else "the catalogue's"
        console.print(
            f"{whose} most efficient machine, {report.asic.model}: {number(report.asic.hashrate_ths)} TH/s at "
            f"{number(report.asic.efficiency_j_th)} J/TH, as much as "
            f"{report.asic.hashrate_ths * 1e12 / report.best.hashes_s:,.0f} of this host"
        )


def _other_in_words(report: Report, other: OtherRate | NoRate) -> str:
    """A line on another miner."""
    if isinstance(other, NoRate):
        return f"no comparison: {other.why}"
    nonces, versions = (number(report.against(other, work), 2, "x") for work in WORKS)
    return (
        f"{other.miner}, {other.threads} threads: {number(other.hashes_s / 1e6, 2)} MH/s, of its own benchmark "
        f"({other.command}); hashwatt has {nonces} that on nonces, {versions} with rolled versions"
    )


def _seconds(text: str) -> float:
    """A duration of one measurement."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.05 <= seconds <= 60:
        raise argparse.ArgumentTypeError(f"{text!r}, expected 0.05 to 60 seconds")
    return seconds


def _workers(text: str) -> list[int]:
    """Numbers of workers."""
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() and 1 <= int(part) <= 256 for part in parts) or len(parts) > 16:
        raise argparse.ArgumentTypeError(f"{text!r}, expected numbers from 1 to 256, such as 1,2,4")
    return sorted({int(part) for part in parts})
