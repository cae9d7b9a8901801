"""`hashwatt verify MACHINE|site --for 2h`: is the claimed hash rate real? A check in the daemon, and a report of it.

The display shows each machine's interval narrowing; the check ends at the last verdict, at its time, or at Ctrl-C, which
gives a partial report. `--recheck REPORT` judges a report again, share by share, and asks no daemon.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from controllers.commands.order import duration_s
from controllers.config import Site, load_site
from controllers.control import ask_daemon
from controllers.exits import BadArgument, Exit
from controllers.state import ready, replace_file
from controllers.terminal import err, number, out, table
from controllers.verify.display import Display, duration
from controllers.verify.page import page
from controllers.verify.recheck import NoReport, recheck
from controllers.verify.report import MachineReport, Report
from controllers.verify.shares import with_shares
from policies.proof import COUNTED_BY

_LOOK_REAL_S: Final = 0.5
_AWAY_REAL_S: Final = 600.0
"""A daemon that is gone for longer does not come back for this check."""
_SHOWN_MOST: Final = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """MACHINE, --site, --for, --by, --why, --shares-per-min, --full, --json, --html, --recheck."""
    parser.add_argument("scope", nargs="?", help='a machine\'s id, a place, or "site"')
    parser.add_argument("--site", type=Path, help="the site file")
    parser.add_argument(
        "--for",
        dest="for_s",
        type=duration_s,
        default=7_200.0,
        metavar="TIME",
        help="at most so long: 90s, 15m, 2h (default 2h)",
    )
    parser.add_argument("--by", metavar="NAME", help="who asks for it and signs it off (default: your user name)")
    parser.add_argument("--why", metavar="TEXT", default="", help="what it is for")
    parser.add_argument(
        "--shares-per-min",
        type=float,
        metavar="N",
        help="ask for an audit of so many shares a minute, where there is a tap",
    )
    parser.add_argument("--full", action="store_true", help="go on to the end of the time, whatever the verdicts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the report for programs (STATE/reports/…)")
    parser.add_argument("--html", type=Path, metavar="FILE", help="the report as a page (beside it)")
    parser.add_argument(
        "--recheck", type=Path, metavar="REPORT", help="judge a report again, share by share; ask no daemon"
    )


def main(args: argparse.Namespace) -> int:
    """Check and report; 0 none is short, 1 one is (or a report does not agree with itself), 3 no daemon, 130 Ctrl-C."""
    if args.recheck is not None:
        return again(args.recheck)
    if args.scope is None or args.site is None:
        raise BadArgument("MACHINE and --site: expected both, or --recheck REPORT")
    site = load_site(args.site)
    asked = {
        "scope": args.scope,
        "for_s": args.for_s,
        "by": args.by or getpass.getuser(),
        "why": args.why,
        "full": args.full,
        "shares_per_min": args.shares_per_min,
    }
    try:
        return check(site, asked, args.json, args.html)
    except CheckRefused as refused:
        err().print(f"hashwatt verify: {refused}", markup=False)
        return Exit.REFUSED


def check(site: Site, asked: Mapping[str, Any], json_file: Path | None, html_file: Path | None) -> int:
    """One check from its start to its report.

    Raises:
        CheckRefused: the daemon refuses it, or has forgotten it.
        ConnectionError, TimeoutError: no daemon answers, or it is gone for too long.
        OSError: the report cannot be written.
    """
    checking, interrupted = Checking(site), False
    try:
        asyncio.run(checking.run(asked))
    except KeyboardInterrupt:
        interrupted = True
        err().print("ending the check; a partial report follows", markup=False)
    if checking.id is None:
        return Exit.INTERRUPTED
    report, paths = asyncio.run(checking.report(json_file, html_file))
    show(report, paths)
    if interrupted:
        return Exit.INTERRUPTED
    return Exit.FOUND if report.verdicts["short"] else Exit.OK


class CheckRefused(Exception):
    """The daemon says no; the message is its own."""


class Checking:
    """One check, from the command line's side; `id` is None until the daemon has taken it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.id: str | None = None

    async def run(self, asked: Mapping[str, Any]) -> None:
        """Start it, and show it until it ends.

        Raises:
            CheckRefused: the daemon refuses it.
            ConnectionError, TimeoutError: no daemon answers, or it is gone for too long.
        """
        answer = await ask_daemon(self._site.socket, {"ask": "verify_start", **asked})
        if not answer.get("ok"):
            raise CheckRefused(str(answer.get("error")))
        self.id = str(answer["id"])
        for note in answer["notes"]:
            err().print(f"note: {note}", markup=False)
        with Display(shortfall=self._site.judgment.beliefs.share_check.shortfall) as display:
            while True:
                if await self._shown(display):
                    return
                await asyncio.sleep(_LOOK_REAL_S)

    async def _shown(self, display: Display) -> bool:
        """Show how it stands; has it ended?"""
        progress = await self._ask("verify_progress", display)
        display.show(progress)
        return progress["ended"] is not None

    async def _ask(self, what: str, display: Display | None = None) -> dict[str, Any]:
        """Ask of the check, again and again while the daemon is away: a restart does not end a check.

        Raises:
            ConnectionError, TimeoutError: it is away for too long.
            CheckRefused: it knows of no such check.
        """
        loop = asyncio.get_running_loop()
        end_s = loop.time() + _AWAY_REAL_S
        while True:
            try:
                answer = await ask_daemon(self._site.socket, {"ask": what, "id": self.id})
            except (ConnectionError, TimeoutError) as error:
                if loop.time() > end_s:
                    raise
                if display is not None:
                    display.waiting(f"{error}; the check goes on when the daemon is back")
                await asyncio.sleep(_LOOK_REAL_S)
                continue
            if not answer.pop("ok", False):
                raise CheckRefused(str(answer.get("error")))
            return answer

    async def report(self, json_file: Path | None, html_file: Path | None) -> tuple[Report, list[Path]]:
        """End the check where it has not ended, and write its report; the files, the JSON first.

        Raises:
            OSError: a file cannot be written.
        """
        await self._ask("verify_stop")
        answer = await self._ask("verify_result")
        told = Report.model_validate(answer["report"])
        json_path = json_file or ready(self._site.state / "reports") / _name(told)
        html_path = html_file or json_path.with_suffix(".html")
        tap = self._site.file.tap
        shares_path = json_path.with_suffix(".shares")
        told, content = with_shares(
            told, answer["share_logs"], shares_path.name, 1.0 if tap is None else tap.simulated_scale
        )
        report = told.sealed()
        paths = [json_path, html_path]
        if content:
            replace_file(shares_path, content)
            paths.append(shares_path)
            if html_path.parent.resolve() != json_path.parent.resolve():
                replace_file(html_path.parent / shares_path.name, content)
        replace_file(json_path, report.in_json().encode())
        replace_file(html_path, page(report).encode())
        return report, paths


def again(path: Path) -> int:
    """Judge a report again; 0 where it agrees with itself, 1 where it does not, 2 where it is no report."""
    try:
        found = recheck(path)
    except NoReport as error:
        raise BadArgument(str(error)) from error
    console, report = out(), found.report
    console.print(
        f"{path}: check {report.id} of {report.scope}, site {report.site}, by {report.asked_by}", markup=False
    )
    console.print(f"digest {report.digest}", markup=False)
    console.print(
        f"{found.shares:,} share headers hashed again, {len(report.machines)} machines judged again", markup=False
    )
    for note in found.unchecked:
        console.print(f"not checked: {note}", markup=False)
    for fault in found.faults:
        console.print(f"! {fault}", markup=False)
    console.print(
        "it agrees with itself" if not found.faults else f"{len(found.faults)} thing(s) do not agree", markup=False
    )
    return Exit.FOUND if found.faults else Exit.OK


def show(report: Report, paths: list[Path]) -> None:
    """The report in short, for people."""
    console = out()
    state = " (partial)" if report.partial else ""
    title = (
        f"{report.scope}, site {report.site}: {duration(report.ended_s - report.began_s)}, for {report.asked_by}{state}"
    )
    shown = sorted(report.machines, key=lambda machine: ("short", "untested", "honest").index(machine.verdict))
    console.print(
        table(
            title,
            ("machine", "claims\nTH/s", "delivers", "95 % interval", "shares", "counted by", "verdict"),
            [_row(machine) for machine in shown[:_SHOWN_MOST]],
            right=(1, 2, 3, 4),
            spare=(4, 1),
        )
    )
    if len(shown) > _SHOWN_MOST:
        console.print(f"and {len(shown) - _SHOWN_MOST} more, in the report", markup=False)
    for machine in shown[:_SHOWN_MOST]:
        if machine.verdict == "untested" and machine.lacks_s is not None:
            console.print(
                f"{machine.machine}: about {duration(machine.lacks_s)} more to a verdict, as it went", markup=False
            )
    for note in report.notes:
        console.print(f"note: {note}", markup=False)
    console.print(f"digest {report.digest}", markup=False)
    for path in paths:
        console.print(str(path), markup=False, soft_wrap=True)


def _row(machine: MachineReport) -> tuple[str, ...]:
    count = machine.spoken
    ratio, low, high = (None, None, None) if count is None else (count.ratio, count.low, count.high)
    return (
        machine.machine,
        number(machine.claim.mean_ths),
        "–" if ratio is None else f"{100 * ratio:.1f} %",
        "–" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f} %",
        "–" if count is None else number(count.shares, 0),
        "–" if machine.source is None else COUNTED_BY[machine.source].partition(",")[0],
        {"untested": "undecided"}.get(machine.verdict, machine.verdict),
    )


def _name(report: Report) -> str:
    """A report's file name: what, where, when."""
    scope = "".join(c if c.isalnum() or c in "-_." else "-" for c in report.scope)[:60]
    return f"{report.site}-{scope}-{datetime.fromtimestamp(report.ended_s, UTC):%Y%m%dT%H%M%SZ}-{report.id}.json"
