"""`hashwatt check`: the site file validated, every machine and every feed asked once.

It commands nothing. The table shows what each machine says of itself beside what the site file says of it; a machine that
does not answer, is another model, or stands on no operating point of its ladder is said, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

import numpy as np

from controllers.commands.explain import detection_lines
from controllers.config import Site, load_site
from controllers.exits import Exit
from controllers.look import Look, look_once
from controllers.terminal import number, out, print_json, progress, table
from fleet.machine import Machine
from fleet.reading import Answer, Depth, Reading, Silence
from fleet.snapshot import Snapshot
from fleet.units import efficiency_j_th
from policies.detection import Detection, detection, shares_per_s


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--site, --offline, --json."""
    parser.add_argument("--site", type=Path, required=True, help="the site file")
    parser.add_argument("--offline", action="store_true", help="validate the site file alone; ask nobody")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def main(args: argparse.Namespace) -> int:
    """Check; 0 when nothing is wrong, 1 when something is, 2 for a bad site file."""
    site = load_site(args.site)
    if args.offline:
        if args.json:
            print_json({"site": site.file.name, "machines": len(site.roster), "faults": []})
        else:
            out().print(f"{args.site}: valid; {len(site.roster)} machines, {_mode(site)}")
        return Exit.OK
    with progress(args.json) as bar:
        task = bar.add_task("asking machines", total=len(site.roster))
        look = asyncio.run(look_once(site, Depth.FULL, lambda: bar.advance(task)))
    rows = [seen(machine, answer) for machine, answer in zip(site.roster.machines, look.answers, strict=True)]
    faults = [row["fault"] for row in rows if row["fault"]] + [
        f"feed {feed.source}: {feed.error}" for feed in look.feeds if not feed.ok
    ]
    prices, detects = site.judgment.prices(look.snapshot), site_detection(site, look.snapshot)
    faults += [f"signal {name} is not known: no feed gives it" for name in prices.missing]
    if args.json:
        print_json(
            {
                "site": site.file.name,
                "live": list(site.file.control.live),
                "machines": rows,
                "hashprice_usd_phs_day": prices.hashprice_usd_phs_day,
                "power_usd_mwh": prices.power_usd_mwh,
                "feeds": [{"source": f.source, "ok": bool(f.ok), "error": f.error} for f in look.feeds],
                "detection": None if detects is None else detects.model_dump(mode="json"),
                "faults": faults,
            }
        )
    else:
        _show(site, look, rows, faults, detects)
    return Exit.FOUND if faults else Exit.OK


def seen(machine: Machine, answer: Answer) -> dict[str, Any]:
    """What a machine said, as a JSON object; `fault` says what is wrong with it, or is None."""
    row: dict[str, Any] = {
        "id": machine.id,
        "place": "/".join(machine.place),
        "model": machine.model,
        "host": machine.host,
    }
    match answer:
        case Silence():
            return row | {"answered": False, "fault": f"machine {machine.id}: {answer.cause}: {answer.detail}"}
        case Reading():
            who = answer.identity
            efficiency = efficiency_j_th(answer.power_w or 0.0, answer.hashrate_ths or 0.0)
            return row | {
                "answered": True,
                "says_model": None if who is None else who.model,
                "firmware": None if who is None else who.firmware,
                "mac": None if who is None else who.mac,
                "serial": None if who is None else who.serial,
                "state": answer.state.name.lower(),
                "mode": answer.mode,
                "hashrate_ths": answer.hashrate_ths,
                "power_w": answer.power_w,
                "power_measured": answer.power_measured,
                "efficiency_j_th": efficiency,
                "chip_c": answer.chip_c,
                "fans_rpm": list(answer.fans_rpm),
                "pools": None if answer.pools is None else len(answer.pools),
                "errors": list(answer.errors),
                "fault": _fault(machine, answer),
            }


def _fault(machine: Machine, reading: Reading) -> str | None:
    """What a machine says that the site file does not."""
    if reading.mode is not None and machine.mode_named(reading.mode) < 0:
        names = ", ".join(mode.name for mode in machine.modes)
        return f"machine {machine.id}: runs mode {reading.mode!r}, which is none of its model's here: {names}"
    if reading.ladder:
        missing = {mode.name for mode in machine.modes[1:]} - {mode.name for mode in reading.ladder}
        if missing:
            return f"machine {machine.id}: its firmware has no operating point named {', '.join(sorted(missing))}"
    if reading.pools is None:
        return f"machine {machine.id}: does not tell its pools; nothing would be written to it"
    return None


def _mode(site: Site) -> str:
    """What may be commanded, in words."""
    live = site.file.control.live
    return f"live control of {', '.join(live)}" if live else "dry run"


def site_detection(site: Site, snapshot: Snapshot) -> Detection | None:
    """How long a shortfall takes to be found at the median share rate; None where no machine's is known."""
    rates = shares_per_s(snapshot.heard, snapshot.counted)
    known = rates[np.isfinite(rates) & (rates > 0)]
    if not len(known):
        return None
    check, median = site.judgment.beliefs.share_check, float(np.median(known))
    return detection(check, median, len(site.roster), site.proof_sources, site.audit_shares_per_min)


def _show(site: Site, look: Look, rows: list[dict[str, Any]], faults: list[str], detects: Detection | None) -> None:
    """The table for people."""
    console = out()
    lines = [
        (
            row["id"],
            row["place"],
            row.get("says_model") or f"({row['model']})",
            row.get("firmware") or "–",
            row.get("state", "silent"),
            row.get("mode") or "–",
            number(row.get("hashrate_ths")),
            number(row.get("power_w"), 0) + ("" if row.get("power_measured", True) else " est."),
            number(row.get("efficiency_j_th")),
            number(row.get("chip_c"), 0),
            str(row.get("pools") if row.get("pools") is not None else "–"),
        )
        for row in rows
    ]
    columns = ("machine", "place", "model", "firmware", "state", "mode", "TH/s", "W", "J/TH", "chip °C", "pools")
    console.print(
        table(
            f"{site.file.name}: {len(rows)} machines, {_mode(site)}",
            columns,
            lines,
            right=(6, 7, 8, 9, 10),
            spare=(3, 10, 1, 9, 8),
        )
    )
    prices = site.judgment.prices(look.snapshot)
    console.print(
        f"hashprice {number(prices.hashprice_usd_phs_day, 2)} $/PH/day after the pool's fee, "
        f"power {number(prices.power_usd_mwh, 2)} $/MWh at the machine"
    )
    for line in detection_lines(detects, "(the median) a machine"):
        console.print(line, markup=False)
    for fault in faults:
        console.print(f"! {fault}", markup=False)
    console.print("nothing is wrong" if not faults else f"{len(faults)} thing(s) to look at")
