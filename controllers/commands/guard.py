"""`hashwatt guard`: the small second process that carries out the declared farewell when the daemon is gone."""

from __future__ import annotations

import argparse
import asyncio
import logging
from pathlib import Path

from controllers.config import load_site
from controllers.exits import Exit
from controllers.guard import run_guard


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--site."""
    parser.add_argument("--site", type=Path, required=True, help="the site file, the daemon's own")


def main(args: argparse.Namespace) -> int:
    """Watch until SIGTERM or SIGINT; 2 for a bad site file."""
    site = load_site(args.site)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    for library in ("httpx", "httpcore", "asyncio"):
        logging.getLogger(library).setLevel(logging.WARNING)
    asyncio.run(run_guard(site))
    return Exit.OK
