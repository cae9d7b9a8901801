"""`hashwatt replay`: judge a journal's snapshots again and compare with what was decided then."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from controllers.config import Site, SiteError, load_site, site_of
from controllers.exits import Exit
from controllers.replay import replay, settings_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """JOURNAL, --site, --json."""
    parser.add_argument("journal", type=Path, help="a journal's directory, or one file of it")
    parser.add_argument(
        "--site",
        type=Path,
        help="judge by this site file (what would it have done?) and not by the journal's own settings",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output (schema: docs/cli.md)")


def main(args: argparse.Namespace) -> int:
    """Replay and report; 1 when a tick comes out differently or none could be judged, 2 for bad input."""
    if not args.journal.exists():
        raise SiteError(f"{args.journal}: not there, expected a journal's directory or one file of it")
    if args.journal.is_dir() and not any(args.journal.glob("*.hwj")):
        inside = f"; its journal is {args.journal / 'journal'}" if any(args.journal.glob("journal/*.hwj")) else ""
        raise SiteError(f"{args.journal}: has no file of a journal (*.hwj){inside}")
    site = _recorded(args.journal) if args.site is None else load_site(args.site)
    report = replay(args.journal, site.judgment)
    sys.stdout.write((report.in_json() if args.json else report.in_words()) + "\n")
    return Exit.OK if report.same and report.ticks else Exit.FOUND


def _recorded(journal: Path) -> Site:
    """The site as the journal describes it.

    Raises:
        SiteError: it carries no settings that can be used.
    """
    tables = settings_of(journal)
    if tables is None:
        raise SiteError(f"{journal}: carries no site settings that can be read, expected a journal's, or --site FILE")
    return site_of(tables, journal / "settings")
