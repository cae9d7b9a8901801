"""`hashwatt explain MACHINE`: what it does, what each operating point would earn now, what took which away, what comes next."""

from __future__ import annotations

import argparse
import asyncio
from datetime import UTC, datetime
from pathlib import Path

from controllers.config import load_site
from controllers.control import ask_daemon
from controllers.exits import Exit
from controllers.terminal import err, number, out, print_json, table
from controllers.verify.display import duration
from policies.detection import Detection
from policies.explanation import Change, Explanation, Point
from policies.proof import COUNTED_BY, Proof, Tapped, rate_in_words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """MACHINE, --site, --json."""
    parser.add_argument("machine", help="the machine's id")
    parser.add_argument("--site", type=Path, required=True, help="the site file")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output (schema: docs/cli.md)")


def main(args: argparse.Namespace) -> int:
    """Ask and show; 3 when no daemon answers, 4 when it knows no such machine."""
    site = load_site(args.site)
    answer = asyncio.run(ask_daemon(site.socket, {"ask": "explain", "machine": args.machine}))
    if not answer.get("ok"):
        err().print(f"hashwatt explain: {answer.get('error')}", markup=False)
        return Exit.REFUSED
    if args.json:
        print_json(answer["explanation"])
    else:
        show(Explanation.model_validate(answer["explanation"]))
    return Exit.OK


def show(told: Explanation) -> None:
    """The explanation for people."""
    console = out()
    console.print(
        f"[bold]{told.machine}[/bold]  {told.model}  {told.place}  "
        f"{'live' if told.live else 'dry'}  {_clock(told.at_s)} UTC"
    )
    console.print(told.doing, markup=False)
    console.print(
        f"hashprice {number(told.hashprice_usd_phs_day, 2)} $/PH/day, "
        f"power {number(told.power_usd_mwh, 2)} $/MWh at the meter; "
        f"a step pays below {number(told.limit_j_th, 1)} J/TH",
    )
    console.print(
        table("", _POINT_COLUMNS, [_point_row(point) for point in told.points], right=(1, 2, 3, 4, 5, 6), spare=(3, 2))
    )
    for line in (*proof_lines(told.proof), *detection_lines(told.detection, "a machine like this")):
        console.print(line, markup=False)
    for shadow in told.shadows:
        console.print(f"one more MWh at {shadow.place or 'the site'} would earn {shadow.usd_mwh:.2f} $", markup=False)
    for hold in told.holds:
        until = "" if hold.until_s is None else f" until {_clock(hold.until_s)}"
        console.print(f"held by {hold.kind}: {hold.what}{until}", markup=False)
    for change in told.changes:
        console.print(f"next: {_change(change)}", markup=False)


def proof_lines(proof: Proof) -> list[str]:
    """What the shares say of the claim, for people."""
    lines = [proof.in_words()]
    if proof.credit != 1.0:
        lines.append(f"valued at {100 * proof.credit:.1f} % of what it claims")
    if proof.efficiency_j_th is not None and proof.efficiency_interval is not None:
        low, high = proof.efficiency_interval
        lines.append(f"{proof.efficiency_j_th:.1f} J/TH of proven hashes ({low:.1f} to {high:.1f})")
    if len(proof.sources) > 1:
        lines += [
            f"by {COUNTED_BY[said.source]}: {100 * said.delivered:.1f} % "
            f"({100 * said.low:.1f} to {100 * said.high:.1f}), {said.verdict}"
            for said in proof.sources
            if said.delivered is not None and said.low is not None and said.high is not None
        ]
    if proof.rejects is not None:
        lines.append(
            f"by its own counters {proof.rejects.in_words()}" + (", too many" if proof.rejects.too_many else "")
        )
    if proof.errors is not None:
        lines.append(f"by its own counters {proof.errors.in_words()}" + (", too many" if proof.errors.too_many else ""))
    lines += [said.jumped() for said in proof.sources if said.jumps]
    if proof.tap is not None:
        lines.append(_tapped(proof.tap))
    return lines


def detection_lines(told: Detection | None, who: str) -> list[str]:
    """How long a shortfall takes to be found, for people."""
    if told is None:
        return []
    audit = ""
    if told.audit_s is not None:
        audit = f", {duration(told.audit_s)} in an audit ({told.audit_shares_per_min:g} shares a minute)"
    share = f"false alarms: {rate_in_words(told.false_alarms_per_month)} of {told.tests} tests together"
    return [
        (
            f"at {told.shares_per_min:.1f} shares a minute {who} that lacks {100 * told.shortfall:g} % is found, on the mean, "
            f"in {duration(told.running_s)} by the running test ({share}), in {duration(told.on_request_s)} by a test on "
            f"request{audit}"
        )
    ]


def _tapped(tap: Tapped) -> str:
    """What the tap sees."""
    is_there = "connected" if tap.connected else "not connected"
    last = "" if tap.last_share_s is None else f", last share {_clock(tap.last_share_s)} UTC"
    flawed = ", ".join(f"{count:,.0f} {cause.replace('_', ' ')}" for cause, count in tap.flawed.items() if count)
    return (
        f"at the tap: {is_there}, difficulty {number(tap.difficulty, 0)}{last}; "
        f"{tap.shares:,.0f} shares credited" + (f", flawed: {flawed}" if flawed else ", none flawed")
    )


_POINT_COLUMNS = ("operating\npoint", "W", "TH/s", "J/TH", "step\nJ/TH", "earns\n$/h", "breaks even\n$/MWh", "")


def _point_row(point: Point) -> tuple[str, ...]:
    marks = [word for word, is_so in (("now", point.present), ("decided", point.chosen)) if is_so]
    if not point.allowed:
        marks.append(f"off: {point.removed_by}")
    if point.overruled:
        marks.append(f"overruled: {', '.join(point.overruled)}")
    return (
        point.mode,
        number(point.power_w, 0),
        number(point.hashrate_ths),
        number(point.efficiency_j_th),
        number(point.marginal_j_th),
        number(point.earns_usd_h, 4),
        number(point.break_even_usd_mwh, 2),
        ", ".join(marks),
    )


def _change(change: Change) -> str:
    when = f" at {_clock(change.at_s)}" if change.at_s is not None else ""
    price = f" at a power price of {change.power_usd_mwh:.2f} $/MWh" if change.power_usd_mwh is not None else ""
    return f"{change.what}{when}{price}" + (f", to {change.to}" if change.to else "")


def _clock(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S}"
