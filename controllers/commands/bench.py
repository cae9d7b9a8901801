"""`hashwatt bench`: the host's SHA-256d rate by engine and number of workers, beside the site's best machine.

The table says what this host can prove, verify or simulate in proof of work; the last line says what that is against a
machine that was built for it.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from controllers.bench import Asic, BenchFailed, Rate, best_asic, measure
from controllers.exits import Exit
from controllers.terminal import err, number, out, print_json, progress, table
from fleet.machine import Machine
from fleet.work.sha256d import engines


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
    cores = os.cpu_count() or 1
    workers = args.workers if args.workers is not None else sorted({1, cores})
    every = engines()
    try:
        with progress(args.json) as bar:
            task = bar.add_task("measuring", total=len(every) * len(workers))
            rates = []
            for engine in every:
                for count in workers:
                    bar.update(task, description=f"measuring {engine.name}, workers: {count}")
                    rates.append(measure(engine, count, args.seconds))
                    bar.advance(task)
    except BenchFailed as error:
        err().print(f"hashwatt bench: {error}")
        return Exit.FOUND
    asic = best_asic(machines)
    if args.json:
        print_json(as_json(rates, asic, cores, of_site=bool(machines)))
    else:
        _show(rates, asic, cores, of_site=bool(machines))
    return Exit.OK


def as_json(rates: list[Rate], asic: Asic | None, cores: int, *, of_site: bool) -> dict[str, Any]:
    """The result for programs; rates in MH/s (1e6 hashes a second)."""
    best = max(rates, key=lambda rate: rate.hashes_s)
    return {
        "processor": processor(),
        "cores": cores,
        "rates": [
            {
                "engine": rate.engine,
                "workers": rate.workers,
                "kind": rate.kind,
                "hashes": rate.hashes,
                "seconds": rate.seconds,
                "hashrate_mhs": rate.hashes_s / 1e6,
                "efficiency_j_th": rate.joules_th,
            }
            for rate in rates
        ],
        "best_engine": best.engine,
        "best_hashrate_mhs": best.hashes_s / 1e6,
        "asic": None
        if asic is None
        else {
            "model": asic.model,
            "from": "site" if of_site else "catalogue",
            "hashrate_ths": asic.hashrate_ths,
            "efficiency_j_th": asic.efficiency_j_th,
            "hosts_in_one": asic.hashrate_ths * 1e12 / best.hashes_s,
        },
    }


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """What the processor calls itself; "unknown" where the host does not say."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _show(rates: list[Rate], asic: Asic | None, cores: int, *, of_site: bool) -> None:
    """The table for people."""
    single = {rate.engine: rate.hashes_s for rate in rates if rate.workers == 1}
    lines = [
        (
            rate.engine,
            f"{rate.workers} {rate.kind}" if rate.workers > 1 else "1 thread",
            number(rate.hashes_s / 1e6, 3),
            number(rate.hashes_s / single[rate.engine] if rate.engine in single else None, 2, "x"),
            number(rate.joules_th, 0),
        )
        for rate in rates
    ]
    console = out()
    title = f"SHA-256d on {processor()}, {cores} cores"
    console.print(table(title, ("engine", "workers", "MH/s", "against one", "J/TH"), lines, right=(2, 3, 4)))
    if asic is not None:
        best = max(rates, key=lambda rate: rate.hashes_s)
        whose = "this site's" if of_site else "the catalogue's"
        console.print(
            f"{whose} most efficient machine, {asic.model}: {number(asic.hashrate_ths)} TH/s at "
            f"{number(asic.efficiency_j_th)} J/TH, as much as {asic.hashrate_ths * 1e12 / best.hashes_s:,.0f} of this host"
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
