"""`hashwatt run`: the daemon, until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from controllers.config import load_site
from controllers.daemon import run_daemon
from controllers.exits import Exit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--site, --verbose."""
    parser.add_argument("--site", type=Path, required=True, help="the site file")
    parser.add_argument("--verbose", action="store_true", help="log every exchange with a feed or a broker too")


def main(args: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT; 2 for a bad site file, 4 when another holds the site's lease."""
    site = load_site(args.site)
    level = logging.DEBUG if args.verbose else logging.INFO
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=level)
    # Ours by name too: pyasic, imported with the first machine that needs it, sets the root's level to WARNING.
    logging.getLogger("hashwatt").setLevel(level)
    # The libraries' own chatter may hold addresses and headers; ours is what an operator reads.
    for library in ("httpx", "httpcore", "aiomqtt", "asyncio", "mqtt"):
        logging.getLogger(library).setLevel(logging.WARNING)
    runner = asyncio.Runner(loop_factory=loop_factory())
    with runner:
        runner.run(run_daemon(site))
    return Exit.OK


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed: a third more exchanges per core."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
