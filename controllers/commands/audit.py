"""`hashwatt audit`: ask a machine for many shares for some minutes, through the tap; or end that."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

from controllers.commands.order import duration_s
from controllers.config import load_site
from controllers.control import ask_daemon
from controllers.exits import Exit
from controllers.terminal import out, print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """MACHINE, --site, --shares-per-min, --for, --end, --json."""
    parser.add_argument("machine", help="the machine's id")
    parser.add_argument("--site", type=Path, required=True, help="the site file")
    parser.add_argument("--shares-per-min", type=float, help="how many shares; the site file's number where not given")
    parser.add_argument(
        "--for",
        dest="for_s",
        type=duration_s,
        metavar="TIME",
        help="how long: 90s, 5m, 1h; the site file's where not given",
    )
    parser.add_argument("--end", action="store_true", help="let go of the machine now")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def main(args: argparse.Namespace) -> int:
    """Ask; 3 when no daemon answers, 4 when the tap says no."""
    site = load_site(args.site)
    request: dict[str, Any] = {"ask": "end_audit" if args.end else "audit", "machine": args.machine}
    if not args.end:
        request |= {"shares_per_min": args.shares_per_min, "for_s": args.for_s}
    answer = asyncio.run(ask_daemon(site.socket, request))
    if args.json:
        print_json(answer)
    if not answer.pop("ok", False):
        if not args.json:
            out().print(str(answer.get("error")), markup=False)
        return Exit.REFUSED
    if not args.json:
        out().print(_in_words(args.machine, answer), markup=False)
    return Exit.OK


def _in_words(machine: str, answer: dict[str, Any]) -> str:
    """What was begun or ended."""
    if "audit" not in answer:
        return f"{machine}: let go" if answer["ended"] else f"{machine}: was not under audit"
    audit = answer["audit"]
    return (
        f"{machine}: {audit['shares_per_min']:g} shares a minute for {audit['for_s']:g} s, "
        f"at difficulty {audit['difficulty']:g} ({audit['why']})"
    )
