"""Feeds: the sources of market signals, one file each, and the table of them.

A new source is a class with its settings and a coroutine, one name in `FeedSettings` and one row in `open_feed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeAlias, assert_never

from pydantic import Field

from controllers.feeds.feed import Feed, FeedFault, FeedState, Put, Tell
from controllers.feeds.fixed import FixedFeed, FixedTable
from controllers.feeds.http_json import HttpFeed, HttpTable
from controllers.feeds.mempool import MempoolFeed, MempoolTable
from controllers.feeds.replay import CsvFeed, CsvTable
from fleet.rows import SeriesError

__all__ = ["Feed", "FeedRefused", "FeedSettings", "FeedState", "Put", "Tell", "check_sources", "open_feed"]

FeedSettings: TypeAlias = Annotated[FixedTable | CsvTable | HttpTable | MempoolTable, Field(discriminator="kind")]
"""A feed of the site file."""


class FeedRefused(ValueError):
    """A feed that cannot be opened as the site file has it: its name, what is wrong and what was expected."""


def open_feed(table: FeedSettings, directory: Path) -> Feed:
    """The feed of a table of the site file; files are relative to `directory`, and are read and checked now.

    Raises:
        FeedRefused: a file or value that cannot be used, or a secret that is not there.
    """
    try:
        match table:
            case FixedTable():
                return FixedFeed(table)
            case CsvTable():
                return CsvFeed(table, directory)
            case HttpTable():
                table.secret_headers(directory)
                return HttpFeed(table, directory)
            case MempoolTable():
                table.secret_headers(directory)
                return MempoolFeed(table, directory)
    except (FeedFault, SeriesError) as error:
        raise FeedRefused(f"feed {table.source!r}: {error}") from error
    assert_never(table)


def check_sources(tables: Sequence[FeedSettings]) -> None:
    """Every feed has a name of its own: by it signals are told apart, and corroborate each other.

    Raises:
        ValueError: two have the same.
    """
    seen: set[str] = set()
    for table in tables:
        if table.source in seen:
            raise ValueError(f"two feeds are named {table.source!r}, expected a name of its own for each")
        seen.add(table.source)
