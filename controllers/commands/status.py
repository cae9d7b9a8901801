"""`hashwatt status`: what the running daemon sees and does; the sums of its last record."""

from __future__ import annotations

import argparse
import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from controllers.config import load_site
from controllers.control import ask_daemon
from controllers.exits import Exit
from controllers.terminal import number, out, print_json, table
from policies.proof import COUNTED_BY, Proof


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--site, --events, --json."""
    parser.add_argument("--site", type=Path, required=True, help="the site file")
    parser.add_argument("--events", type=int, default=5, metavar="N", help="show the last N events (default 5)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output (schema: docs/cli.md)")


def main(args: argparse.Namespace) -> int:
    """Ask and show; 3 when no daemon answers."""
    site = load_site(args.site)
    answer = asyncio.run(ask_daemon(site.socket, {"ask": "status", "events": args.events}))
    if not answer.pop("ok", False):
        raise ConnectionError(str(answer.get("error")))
    if args.json:
        print_json(answer)
    else:
        show(answer)
    return Exit.OK


def show(answer: dict[str, Any]) -> None:
    """The sums for people."""
    console, sums = out(), answer["sums"]
    at = datetime.fromtimestamp(sums["at_s"], UTC)
    kind = "dry run" if sums["dry_run"] else f"live control of {sums['machines_live']} machines"
    console.print(f"[bold]{answer['site']}[/bold]  {at:%Y-%m-%d %H:%M:%S} UTC  tick {sums['number']}  {kind}")
    states = ", ".join(f"{count} {name}" for name, count in sums["machines_by_state"].items() if count)
    console.print(f"machines   {sums['machines']}: {states}")
    console.print(
        f"power      {sums['power_w'] / 1e6:.3f} MW "
        f"(curtailed {sums['curtailed_w'] / 1e6:.3f} MW, at worst {sums['worst_w'] / 1e6:.3f} MW)"
    )
    console.print(f"hash rate  {sums['hashrate_ths'] / 1e3:.2f} PH/s, {number(sums['efficiency_j_th'], 2)} J/TH")
    console.print(
        f"money      {number(sums['margin_usd_h'], 2)} $/h; power {number(sums['power_usd_mwh'], 2)} $/MWh, "
        f"breaks even at {number(sums['break_even_usd_mwh'], 2)}"
    )
    console.print(f"hashprice  {number(sums['hashprice_usd_phs_day'], 2)} $/PH/day after the pool's fee")
    since = datetime.fromtimestamp(sums["tally_since_s"], UTC)
    console.print(
        f"tally      {number(sums['earned_usd'], 2)} $ as the machines ran since {since:%Y-%m-%d %H:%M} UTC; "
        f"{number(sums['decided_usd'], 2)} $ as was decided"
    )
    _show_proof(answer)
    if sums["missing"]:
        console.print(f"[bold]not known[/bold]  {', '.join(sums['missing'])}")
    if sums["held_back"]:
        console.print("waiting    " + ", ".join(f"{count} for {why}" for why, count in sums["held_back"].items()))
    if sums["curtailed_w_by_reason"]:
        told = ", ".join(
            f"{w / 1e6:.3f} MW {why or 'not by hashwatt'}" for why, w in sums["curtailed_w_by_reason"].items()
        )
        console.print(f"asleep     {told}")
    for order in answer["orders"]:
        until = datetime.fromtimestamp(order["until_s"], UTC)
        console.print(
            f"order      {order['id']} {order['kind']} {order['scope']} by {order['who']} "
            f"until {until:%Y-%m-%d %H:%M} UTC" + (f": {order['why']}" if order["why"] else ""),
            markup=False,
        )
    places = [p for p in sums["places"] if p["cap_w"] is not None]
    if places:
        rows = [
            (
                p["place"] or "site",
                str(p["machines"]),
                number(p["power_w"] / 1e3),
                number(p["worst_w"] / 1e3),
                number(p["cap_w"] / 1e3),
                number(p["shadow_usd_mwh"], 2),
            )
            for p in places
        ]
        console.print(
            table(
                "",
                ("place", "machines", "kW", "kW at\nworst", "cap kW", "worth of more\n$/MWh"),
                rows,
                right=(1, 2, 3, 4, 5),
            )
        )
    for event in answer["events"]:
        when = datetime.fromtimestamp(event["at_s"], UTC)
        console.print(f"{when:%H:%M:%S} {event['kind']}: {event['text']}", markup=False)


def _show_proof(answer: dict[str, Any]) -> None:
    """What the shares say of the claims, how the tap is, and who is short."""
    console, sums = out(), answer["sums"]
    verdicts = ", ".join(f"{count} {name}" for name, count in sums["machines_by_verdict"].items() if count)
    sources = ", ".join(f"{count} by {COUNTED_BY[name]}" for name, count in sums["machines_by_source"].items() if count)
    if sums["delivered"] is not None:
        console.print(f"proof      {100 * sums['delivered']:.1f} % of what is claimed; {verdicts} ({sources})")
    verified = next((place["verified"] for place in sums["places"] if not place["place"]), None)
    if verified is not None:
        measured = "the site's meter" if verified["by"] == "meter" else "the machines' own meters"
        console.print(
            f"verified   {verified['j_th']:.2f} J/TH of proven hashes, 95 % interval {verified['low']:.2f} to "
            f"{number(verified['high'], 2)}, of {verified['machines']} machines by {measured}"
        )
    if answer["tap"] is not None:
        console.print(f"tap        {_tap(answer['tap'])}", markup=False)
    for proof in answer["short"]:
        console.print(f"short      {Proof.model_validate(proof).in_words()}", markup=False)


def _tap(tap: dict[str, Any]) -> str:
    """How the tap is, in one line."""
    pool = next((pool["url"] for pool in tap["pools"] if pool["in_use"]), "no pool")
    blocks = tap["blocks"]
    found = f"; {blocks['found']} blocks found, {len(blocks['open'])} not taken yet" if blocks["found"] else ""
    listens = "" if tap["listening"] else "does not listen; "
    return (
        f"{listens}{tap['connections']} connections, {pool}; {tap['verified_per_s']:,.1f} shares/s verified by "
        f"{tap['engine']}{found}"
    )
