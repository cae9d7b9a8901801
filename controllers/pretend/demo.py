"""`hashwatt demo`: a pretend site on a real day of prices, run by the real daemon, in two minutes.

The world serves its machines on loopback and the daemon polls and commands them over the wire, as it would a real site;
only time runs faster. What is shown while it runs is the daemon's last record; what is reported at the end is what the
pretend machines truly did, beside always-on and the clairvoyant of the same day.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
import tempfile
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from controllers.clock import Clock
from controllers.config import site_of
from controllers.daemon import Daemon
from controllers.exits import BadArgument, Exit
from controllers.pretend.books import Books
from controllers.pretend.report import report, show_report
from controllers.pretend.simulate import mined_of, on_free_ports, servable
from controllers.pretend.site import Day, real_day, site_tables
from controllers.pretend.view import LiveView
from controllers.terminal import err, print_json
from fleet.work.engines.choice import chosen

_SPEED_MOST = 1_000
_SETTLE_S = 4.0
"""Real seconds."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The day, the seed, how long, and what to print."""
    parser.add_argument(
        "--day", type=date.fromisoformat, default=date(2024, 8, 20), help="the day of real prices (default 2024-08-20)"
    )
    parser.add_argument("--scenario", default="demo", help="demo, home, mining or thousand (default demo)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--net", type=int, default=50, help="machines answer at 127.NET.x.y (default 50)")
    parser.add_argument("--seconds", type=float, default=96.0, help="real seconds for the day (default 96)")
    parser.add_argument(
        "--hours", type=float, default=24.0, help="run the first so many hours of the day alone (default 24)"
    )
    parser.add_argument("--json", action="store_true", help="the report as one JSON object on standard output")


def main(args: argparse.Namespace) -> int:
    """Run the day; 1 when something went wrong that the report names."""
    from simulators.scenarios import scenario

    checked(args)
    try:
        made = scenario(args.scenario, args.seed, args.net)
        day = real_day(args.day)
    except LookupError as error:
        raise BadArgument(str(error.args[0])) from error
    logging.getLogger("hashwatt").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="hashwatt-demo-") as folder:
        found = asyncio.run(_run(args, day, made, Path(folder)))
    if args.json:
        print_json(found)
    else:
        show_report(found)
    return Exit.OK if found["ok"] else Exit.FOUND


def checked(args: argparse.Namespace) -> None:
    """The numbers, each within its range.

    Raises:
        BadArgument: one is not.
    """
    for name, least, most in (("hours", 1, 24), ("seconds", 10, 86_400), ("net", 1, 254), ("seed", 0, 2**63)):
        value = getattr(args, name)
        if not least <= value <= most:
            raise BadArgument(f"--{name} is {value}, expected {least} to {most}")
    speed = args.hours * 3_600.0 / args.seconds
    if speed > _SPEED_MOST:
        raise BadArgument(f"{speed:g} simulated seconds per second, expected {_SPEED_MOST} at most: more --seconds")


async def _run(args: argparse.Namespace, day: Day, made: Any, folder: Path) -> dict[str, Any]:
    """World, daemon, view and books side by side, until the day is over."""
    speed = args.hours * 3_600.0 / args.seconds
    roster = servable(made.roster)
    made, tap = on_free_ports(made)
    mined = mined_of(made, speed, tap)
    site = site_of(
        site_tables(roster, day, name=made.name, speed=speed, state="state", live=True, secrets=folder, mined=mined),
        folder / "site.toml",
    )
    # chosen before time runs: a trial of the engines holds the host for minutes of a fast world
    engine = None if mined is None else chosen(perf_counter).engine
    clock = Clock(speed, day.start_s)
    books = Books(day)
    nothing = np.zeros(len(roster))
    books.close(day.start_s, nothing, nothing)
    end_s = day.start_s + args.hours * 3_600.0
    async with made.world(clock, roster=roster, tap=tap, engine=engine, mine_at_once=False) as world:
        daemon = Daemon(site, clock)
        running = asyncio.create_task(daemon.run(), name="daemon")
        view = LiveView(daemon, day, made.name, speed, plain=args.json or not sys.stderr.isatty())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, daemon.stop)
        closing = asyncio.create_task(_keep_books(books, world, clock, end_s), name="books")
        beginning = asyncio.create_task(_begin_mining(world), name="mining")
        showing = asyncio.create_task(view.run(end_s), name="view")
        try:
            await asyncio.wait((running, closing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (showing, closing, beginning):
                task.cancel()
            ended = await asyncio.gather(showing, closing, beginning, return_exceptions=True)
        if running.done():
            running.result()
        for error in ended:
            if isinstance(error, Exception):
                raise error
        truth = world.truth
        if not closing.done() or closing.cancelled():
            books.close(clock.now(), truth.energy_j, truth.hashes_th)
        found = report(daemon, world, books, made)
        daemon.stop()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    if not args.json and sys.stderr.isatty():
        err().print()
    return found


async def _begin_mining(world: Any) -> None:
    """Real mining begins when the daemon's first looks are over: before, a host's moment is minutes of a fast world."""
    await asyncio.sleep(_SETTLE_S)
    await world.begin_mining()


async def _keep_books(books: Books, world: Any, clock: Clock, end_s: float) -> None:
    """Close the books at the end of every price interval."""
    step_s = books.day.power.step_s
    while True:
        truth = world.truth
        now_s = clock.now()
        books.close(now_s, truth.energy_j, truth.hashes_th)
        if now_s >= end_s:
            return
        await clock.until(min((now_s // step_s + 1) * step_s, end_s))
