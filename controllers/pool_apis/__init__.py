"""Pools' APIs: what the pool credited to each worker, asked for regularly; the weaker proof where there is no tap.

A new pool is a class with its settings that reads one document, one name in `PoolApiSettings` and one row in
`open_pool_api`. Every exchange is bounded as a feed's is; a token stands in a file or the environment, never in an address.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import Field

from controllers.feeds import FeedRefused
from controllers.feeds.feed import FeedFault
from controllers.pool_apis.api import PoolApi
from controllers.pool_apis.book import PoolBook
from controllers.pool_apis.braiins import BraiinsTable
from controllers.pool_apis.ckpool import CkpoolTable
from controllers.pool_apis.http_json import HttpJsonTable

__all__ = ["PoolApi", "PoolApiSettings", "PoolBook", "check_pool_apis", "open_pool_api"]

PoolApiSettings: TypeAlias = Annotated[BraiinsTable | CkpoolTable | HttpJsonTable, Field(discriminator="kind")]
"""A pool's API in the site file."""


def open_pool_api(table: PoolApiSettings, directory: Path) -> PoolApi:
    """The API of a table of the site file; its token is read and checked now.

    Raises:
        FeedRefused: the token is not there.
    """
    try:
        table.secret_headers(directory)
    except FeedFault as fault:
        raise FeedRefused(f"pool_apis {table.source!r}: {fault}") from fault
    return PoolApi(table, directory)


def check_pool_apis(tables: Sequence[PoolApiSettings], machines: Collection[str]) -> None:
    """Every API has a name of its own, and names no machine that is not there.

    Raises:
        ValueError: it is not so.
    """
    seen: set[str] = set()
    for table in tables:
        if table.source in seen:
            raise ValueError(f"two pool_apis are named {table.source!r}, expected a name of its own for each")
        seen.add(table.source)
        for worker, machine in table.workers.items():
            if machine not in machines:
                raise ValueError(
                    f"pool_apis {table.source!r}: workers.{worker} is {machine!r}, expected a machine's id"
                )
