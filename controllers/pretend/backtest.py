"""hashwatt backtest: years of prices through the same judgment, as a table for people or JSON for programs.

Reads the three files and, when one is given, the site file; everything else is in `simulators`, which is imported only
when the command runs. The schema of `--json` and the assumptions are in docs/backtest.md.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controllers.exits import Exit
from controllers.terminal import number, out, print_json, progress, table
from fleet.rows import SeriesError
from policies.economics import Economics
from policies.plan import Pace
from policies.switching import Switching
from policies.tariff import IndexTariff
from policies.tick import Judgment

if TYPE_CHECKING:
    from simulators.backtest import Backtest, Progress, Stretch
    from simulators.backtesting.history import History

POLICY_NAMES = ("always-on", "threshold", "hysteresis", "regret", "site")
_MODEL = "Antminer S19j Pro"
_SAID_MOST = 20
"""Skipped stretches told one by one on standard error; JSON has them all."""


class Unmeant(Exception):
    """Arguments that do not go together; the message says which."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "--power", type=Path, required=True, metavar="FILE", help="prices of power by interval (CSV, may be gzip)"
    )
    parser.add_argument("--coin", type=Path, required=True, metavar="FILE", help="coin price and fees by day")
    parser.add_argument("--difficulty", type=Path, required=True, metavar="FILE", help="difficulty epochs")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--site", type=Path, metavar="FILE", help="the machines, tariff and rules of a site file")
    which.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help=f"machines of this model, on or off (default {_MODEL}); may be repeated",
    )
    parser.add_argument("--ladder", action="store_true", help="with --model: every operating point of the catalogue")
    parser.add_argument(
        "--machines", type=_whole(1, 100_000), default=100, metavar="N", help="with --model: how many (default 100)"
    )
    parser.add_argument(
        "--start-s",
        type=_number(0, 86_400),
        metavar="S",
        help="seconds of a restart without a hash (default 600, or the site's)",
    )
    parser.add_argument(
        "--start-cost-usd-mw",
        type=_number(0, 1e6),
        metavar="X",
        help="wear of one start, USD per MW (default 0, or the site's)",
    )
    parser.add_argument("--from", type=_day, dest="from_day", metavar="DATE", help="first day, YYYY-MM-DD, UTC")
    parser.add_argument("--to", type=_day, dest="to_day", metavar="DATE", help="last day, this day included")
    parser.add_argument(
        "--information",
        choices=("settled", "current"),
        default="settled",
        help="the price known when an interval begins: the last settled one (default), or its own",
    )
    parser.add_argument(
        "--policy",
        action="append",
        choices=POLICY_NAMES,
        help="only these (always-on and the clairvoyant are always there); may be repeated",
    )
    parser.add_argument("--power-column", metavar="NAME", help="the column of the price (default: the second)")
    parser.add_argument(
        "--time-zone", metavar="ZONE", help="zone of times in the price file that say none, such as Europe/Berlin"
    )
    parser.add_argument(
        "--seed", type=_whole(0, 2**63 - 1), default=1, metavar="N", help="seed of how machines differ (default 1)"
    )
    parser.add_argument("--alike", action="store_true", help="every machine is exactly its nameplate")
    parser.add_argument(
        "--jobs",
        type=_whole(1, 256),
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes (default: one per core)",
    )
    parser.add_argument("--json", action="store_true", help="JSON on standard output")


def _day(text: str) -> date:
    """An argument that is a day."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a day such as 2024-01-31") from None


def _number(least: float, most: float) -> Callable[[str], float]:
    """An argument that is a number in a range."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r}, expected a number from {least:g} to {most:g}")
        return value

    return read


def _whole(least: int, most: int) -> Callable[[str], int]:
    """An argument that is a whole number in a range."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number from {least} to {most}")
        return int(text)

    return read


def _midnight_s(day: date) -> float:
    """UTC seconds of a day's first moment."""
    return datetime.combine(day, time(), UTC).timestamp()


def main(args: argparse.Namespace) -> int:
    """Read, run, show; 2 for input that cannot be used."""
    from simulators.backtesting.machines import UnknownModel

    try:
        return _main(args)
    except (SeriesError, UnknownModel, Unmeant) as error:
        sys.stderr.write(f"hashwatt backtest: {error}\n")
        return Exit.USAGE


def _main(args: argparse.Namespace) -> int:
    """As `main`, with errors raised.

    Raises:
        SeriesError: a file that cannot be used.
        UnknownModel: no such nameplate.
        Unmeant: arguments that do not go together.
    """
    from simulators.backtest import backtest_judgment, run_backtest
    from simulators.backtesting.drive import World
    from simulators.backtesting.history import read_history
    from simulators.backtesting.report import as_json

    if args.from_day is not None and args.to_day is not None and args.to_day < args.from_day:
        raise Unmeant(f"--to {args.to_day}: before --from {args.from_day}, expected that day or a later one")
    judgment, pace, own = _site(args)
    policies = _policies(args, own)
    history = read_history(
        args.power,
        args.coin,
        args.difficulty,
        from_s=None if args.from_day is None else _midnight_s(args.from_day),
        until_s=None if args.to_day is None else _midnight_s(args.to_day + timedelta(days=1)),
        power_column=args.power_column,
        time_zone=args.time_zone,
    )
    _say(history)
    world = World(args.seed, 0.0, 0.0) if args.alike else World(args.seed)
    judgment = backtest_judgment(judgment, history.step_s, pace=pace)
    with _shown(quiet=args.json) as shown:
        backtest = run_backtest(
            judgment,
            history,
            policies=policies,
            information=args.information,
            world=world,
            jobs=args.jobs,
            progress=shown,
        )
    if args.json:
        asked = _asked(args, judgment)
        print_json(
            as_json(backtest, history, asked=asked, information=args.information, world=world, policies=policies)
        )
    else:
        _show(backtest, judgment, args)
    return Exit.OK


def _site(args: argparse.Namespace) -> tuple[Judgment, Pace | None, Switching | None]:
    """The judgment to try, the pace where a site file gives one, and the site file's switching rule."""
    from simulators.backtesting.machines import START_S, fleet_of, with_start_cost, with_start_s

    pace: Pace | None = None
    own: Switching | None = None
    if args.site is None:
        start_s = START_S if args.start_s is None else args.start_s
        roster = fleet_of(args.model or [_MODEL], args.machines, start_s=start_s, ladder=args.ladder)
        judgment = Judgment(roster, tariff=IndexTariff(), economics=Economics())
    else:
        from controllers.config import load_site

        site = load_site(args.site)
        judgment, own = site.judgment, site.file.switching
        pace = site.file.pace if "pace" in site.file.model_fields_set else None
        if args.start_s is not None:
            judgment = replace(judgment, roster=with_start_s(judgment.roster, args.start_s))
    if args.start_cost_usd_mw is not None:
        judgment = replace(judgment, roster=with_start_cost(judgment.roster, args.start_cost_usd_mw))
    return judgment, pace, own


def _policies(args: argparse.Namespace, own: Switching | None) -> dict[str, Switching]:
    """The rules to compare, by name.

    Raises:
        Unmeant: the site's rule is asked for and there is no site file.
    """
    from simulators.backtest import POLICIES

    known = dict(POLICIES)
    if own is not None and own not in known.values():
        known["site"] = own
    if args.policy is None:
        return known
    if "site" in args.policy:
        if own is None:
            raise Unmeant("--policy site: there is no --site, expected one of the other policies")
        known["site"] = own
    return {name: rule for name, rule in known.items() if name in args.policy}


def _say(history: History) -> None:
    """What the files lack and what is odd in them, on standard error."""
    lines = [*history.notes, *(gap.in_words() for gap in history.skipped[:_SAID_MOST])]
    more = history.skipped[_SAID_MOST:]
    if more:
        lines.append(
            f"{sum(gap.intervals for gap in more)} more intervals skipped in {len(more)} stretches (all are in --json)"
        )
    sys.stderr.writelines(f"hashwatt backtest: {line}\n" for line in lines)


@contextmanager
def _shown(*, quiet: bool) -> Iterator[Progress]:
    """A progress bar on a terminal, and nothing elsewhere."""
    with progress(quiet) as bar:
        task = bar.add_task("intervals", total=None)
        yield lambda done, whole: bar.update(task, completed=done, total=whole)


def _asked(args: argparse.Namespace, judgment: Judgment) -> dict[str, Any]:
    """What was read and for which machines, for the report."""
    machines = judgment.roster.machines
    models: dict[str, int] = {}
    for machine in machines:
        models[machine.model] = models.get(machine.model, 0) + 1
    return {
        "files": {
            "power": str(args.power),
            "coin": str(args.coin),
            "difficulty": str(args.difficulty),
            "site": None if args.site is None else str(args.site),
        },
        "machines": len(machines),
        "models": models,
        "start_s": _range(machine.start_s for machine in machines),
        "wear_usd_per_start": _range(machine.wear_usd for machine in machines),
    }


def _range(values: Iterable[float]) -> dict[str, float]:
    """Least and most."""
    listed = list(values)
    return {"least": min(listed), "most": max(listed)}


def _show(backtest: Backtest, judgment: Judgment, args: argparse.Namespace) -> None:
    """The table for people."""
    rows = [row for stretch in backtest.years for row in _rows(str(stretch.year), stretch)]
    if len(backtest.years) > 1:
        rows += _rows("all", backtest.together)
    known = "the last settled price" if args.information == "settled" else "the interval's own price"
    models = ", ".join(dict.fromkeys(machine.model for machine in judgment.roster.machines))
    columns = ("year", "policy", "profit, $", "of clairvoyant, %", "flex capture, %", "starts/machine", "uptime, %")
    title = f"{len(judgment.roster)} machines ({models}), knowing {known}"
    out().print(table(title, columns, rows, right=range(2, len(columns))))


def _rows(year: str, stretch: Stretch) -> Iterator[tuple[str, ...]]:
    """One row a policy."""
    from simulators.backtesting.report import figures_of

    for one in figures_of(stretch):
        yield (
            year,
            one.policy,
            number(one.profit_usd, 0),
            _percent(one.share_of_clairvoyant),
            _percent(one.flex_capture),
            number(one.starts_per_machine, 1),
            _percent(one.uptime),
        )


def _percent(share: float | None) -> str:
    """A share for people."""
    return number(None if share is None else 100.0 * share, 1)
