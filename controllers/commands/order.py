"""`hashwatt order`: hold, cap, curtail or release the site, a place or a machine. Every order expires."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import re
from pathlib import Path

from controllers.config import load_site
from controllers.control import ask_daemon
from controllers.exits import Exit
from controllers.terminal import err, out, print_json
from fleet.order import OrderKind, Rank

_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The kind, the scope, how long, and why."""
    parser.add_argument("kind", choices=[kind.value for kind in OrderKind])
    parser.add_argument(
        "scope", nargs="?", default="site", help='"site" (default), a place ("feeder-a/rack-3") or a machine id'
    )
    parser.add_argument("--site", type=Path, required=True, help="the site file")
    parser.add_argument(
        "--for",
        dest="for_s",
        type=duration_s,
        default=3_600.0,
        metavar="TIME",
        help="how long: 90s, 15m, 2h, 1d (default 1h)",
    )
    parser.add_argument("--cap-kw", type=float, help="for a cap: the power that the scope may draw")
    parser.add_argument("--why", default="", help="the reason, for the record")
    parser.add_argument("--who", default=None, help="who orders it (default: your user name)")
    parser.add_argument(
        "--rank",
        choices=[rank.value for rank in Rank],
        default=Rank.OPERATOR.value,
        help="an emergency waits for no dwell, stagger or ramp",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def main(args: argparse.Namespace) -> int:
    """Send the order; 4 when the daemon refuses it, 3 when there is none."""
    site = load_site(args.site)
    request = {
        "kind": args.kind,
        "scope": args.scope,
        "for_s": args.for_s,
        "cap_kw": args.cap_kw,
        "who": args.who or getpass.getuser(),
        "why": args.why,
        "rank": args.rank,
    }
    answer = asyncio.run(ask_daemon(site.socket, {"ask": "order", "order": request}))
    if not answer.get("ok"):
        err().print(f"hashwatt order: refused: {answer.get('error')}", markup=False)
        return Exit.REFUSED
    if args.json:
        print_json(answer)
    else:
        order = answer["order"]
        out().print(f"order {order['id']}: {order['kind']} {order['scope']} until {order['until']}", markup=False)
    return Exit.OK


def duration_s(text: str) -> float:
    """Seconds of a time such as "90s", "15m", "2h" or "1d"."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number and a unit, such as 90s, 15m, 2h or 1d")
    return float(match[1]) * _UNIT_S[match[2]]
