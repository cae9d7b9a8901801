"""ckpool's page of a user: https://POOL/users/ADDRESS, as solo pools and others that run ckpool serve it.

`worker` is a list; a worker's `shares` is the sum of the difficulties of its accepted shares, a counter, and its
`hashrate5m`, `hashrate1hr` … are decaying averages, as text with a suffix ("1.23T"). The counter is taken: an average that
decays is no count of a window. Source: ckpool's stratifier.c, worker and user statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from controllers.feeds.exchange import shown
from controllers.feeds.feed import FeedFault, as_number
from controllers.pool_apis.table import PoolApiTable, Worked, at_least_nothing, bounded


class CkpoolTable(PoolApiTable):
    """A ckpool user's page."""

    kind: Literal["ckpool"]

    @property
    def source(self) -> str:
        """Its name in messages and records."""
        return self.name or "ckpool"

    def read(self, document: Any, now_s: float) -> Mapping[str, Worked]:
        """The counters of the user's workers.

        Raises:
            FeedFault: no such page.
        """
        where = shown(self.url)
        workers = document.get("worker") if isinstance(document, dict) else None
        if not isinstance(workers, list):
            raise FeedFault(f"{where}: no list `worker`, expected ckpool's page of a user")
        found = {}
        for row in bounded(workers, where):
            name = row.get("workername") if isinstance(row, dict) else None
            if not isinstance(name, str):
                raise FeedFault(f"{where}: a worker without `workername`, expected ckpool's page of a user")
            what = f"{where}: shares of {name[:80]}"
            found[name] = Worked(now_s, work=at_least_nothing(as_number(row.get("shares"), what), what))
        return found
