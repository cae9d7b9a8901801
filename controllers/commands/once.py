"""`hashwatt once`: one look at the site, and what hashwatt would do. Dry, whatever the site file says."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from controllers.config import load_site
from controllers.exits import Exit
from controllers.look import look_once
from controllers.terminal import number, out, print_json, progress, table
from fleet.reading import Depth
from fleet.view import View
from policies.explain import explain
from policies.explanation import Explanation
from policies.record import Record
from policies.site_sums import SiteSums, site_sums


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--site, --json."""
    parser.add_argument("--site", type=Path, required=True, help="the site file")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output (schema: docs/cli.md)")


def main(args: argparse.Namespace) -> int:
    """Look, judge, show; 1 when a price is not known or no machine answered."""
    site = load_site(args.site)
    with progress(args.json) as bar:
        task = bar.add_task("asking machines", total=len(site.roster))
        look = asyncio.run(look_once(site, Depth.FULL, lambda: bar.advance(task)))
    judgment = replace(site.judgment, live=np.zeros(len(site.roster), np.bool_))
    view, decision = judgment.tick(View.fresh(site.roster), look.snapshot)
    record = Record(1, look.snapshot, view, decision)
    sums = site_sums(judgment, record)
    told = [explain(judgment, record, machine.id, site.audit_shares_per_min) for machine in site.roster.machines]
    if args.json:
        print_json(
            {
                "site": site.file.name,
                "sums": sums.model_dump(mode="json"),
                "machines": [_short(one) for one in told],
                "feeds": [{"source": f.source, "ok": bool(f.ok), "error": f.error} for f in look.feeds],
            }
        )
    else:
        _show(site.file.name, sums, told)
    heard = len(told) - sums.machines_by_state.get("silent", 0)
    return Exit.OK if heard and not sums.missing else Exit.FOUND


def _short(told: Explanation) -> dict[str, Any]:
    """One machine as a JSON object: where it is, what was decided, why, and what that changes per hour."""
    now = next((point.earns_usd_h for point in told.points if point.present), None)
    then = next((point.earns_usd_h for point in told.points if point.chosen), None)
    return {
        "machine": told.machine,
        "place": told.place,
        "state": told.state,
        "mode": told.mode,
        "decided": told.decided,
        "why": told.why,
        "earns_usd_h": now,
        "would_earn_usd_h": then,
        "doing": told.doing,
    }


def _show(name: str, sums: SiteSums, told: list[Explanation]) -> None:
    """The table for people."""
    console = out()
    rows = []
    for one in told:
        short = _short(one)
        rows.append(
            (
                one.machine,
                one.place,
                one.state,
                one.mode or "–",
                one.decided if one.heard_s is not None else "–",
                one.why if one.heard_s is not None else "no answer",
                number(short["earns_usd_h"], 4),
                number(short["would_earn_usd_h"], 4),
            )
        )
    columns = ("machine", "place", "state", "now", "would be", "because of", "earns\n$/h", "would earn\n$/h")
    console.print(
        table(f"{name}: what hashwatt would do now (nothing was commanded)", columns, rows, right=(6, 7), spare=(1,))
    )
    console.print(
        f"power {number(sums.power_w / 1e3)} kW now, {number(sums.decided_power_w / 1e3)} kW as decided; "
        f"hashprice {number(sums.hashprice_usd_phs_day, 2)} $/PH/day, power {number(sums.power_usd_mwh, 2)} $/MWh"
    )
    if sums.missing:
        console.print(f"not known: {', '.join(sums.missing)}: no feed gives it")
