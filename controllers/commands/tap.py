"""`hashwatt tap`: the tap as a process of its own, where the site file says `apart`; it survives the daemon's restarts."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from pathlib import Path

from controllers.commands.run import loop_factory
from controllers.config import Site, SiteError, load_site
from controllers.exits import Exit
from controllers.state import ready

_LOG = logging.getLogger("hashwatt")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--site."""
    parser.add_argument(
        "--site", type=Path, required=True, help="the site file, the daemon's own, with [tap] apart = true"
    )


def main(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; 2 for a site file without a tap that is apart."""
    site = load_site(args.site)
    if site.file.tap is None or not site.file.tap.apart:
        raise SiteError(f"{site.path}: tap.apart is not true, expected it for a tap beside the daemon")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    ready(site.state)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(site))
    return Exit.OK


async def _serve(site: Site) -> None:
    """Until a signal."""
    from controllers.opening import clock_of
    from controllers.pool.source import run_apart

    settings = site.file.tap
    assert settings is not None

    def say(kind: str, text: str) -> None:
        _LOG.info("%s: %s", kind, text)

    running = asyncio.create_task(run_apart(site, settings, clock_of(site), say))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        say("stopped", "the tap's connections are closed")
