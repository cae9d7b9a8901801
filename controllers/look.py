"""One look at a whole site: every machine asked once, every feed and pool heard once. For `check`, `once` and `init`.

The same drivers, observer and books as the daemon's, with no loop and no act: nothing here can command.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from controllers.books import MarketBook
from controllers.clock import Clock
from controllers.config import Site
from controllers.feeds import FeedState, Tell, open_feed
from controllers.observe import Observer
from controllers.opening import clock_of, open_drivers
from controllers.pool_apis import open_pool_api
from fleet.reading import Answer, Depth
from fleet.snapshot import Snapshot

_FEEDS_REAL_S = 15.0


@dataclass(frozen=True, eq=False)
class Look:
    """What was seen: the snapshot, each machine's answer in the roster's order, each feed's and pool's state."""

    snapshot: Snapshot
    answers: tuple[Answer, ...]
    feeds: tuple[FeedState, ...]


async def look_once(site: Site, depth: Depth, seen: Callable[[], None] = lambda: None) -> Look:
    """Ask every machine and every feed once; `seen` is called after each machine.

    Raises:
        SiteError: a secret is not there.
    """
    clock, polling = clock_of(site), site.file.polling
    observer = Observer(
        site.roster,
        open_drivers(site),
        clock,
        lean_s=polling.lean_s,
        full_s=polling.full_s,
        at_once=polling.at_once,
        seen=lambda _row, _answer: seen(),
    )
    market = MarketBook([], lambda: None)
    try:
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(observer.look_at_all(depth))
            hearing = group.create_task(hear_feeds(site, market, clock))
        answers, feeds = asking.result(), hearing.result()
    finally:
        await observer.close()
    snapshot = Snapshot(clock.now(), observer.latest.freeze(), market.freeze(), market.meters())
    return Look(snapshot, answers, feeds)


async def hear_feeds(site: Site, market: MarketBook, clock: Clock) -> tuple[FeedState, ...]:
    """Each feed and pool's API until its first values, its first error, or a deadline; a feed's go into the book."""
    feeds = [open_feed(settings, site.path.parent) for settings in site.file.feeds]
    pools = [open_pool_api(settings, site.path.parent) for settings in site.file.pool_apis]

    async def hear(run: Callable[[Tell], Coroutine[Any, Any, None]]) -> None:
        settled = asyncio.Event()
        running = asyncio.create_task(run(lambda _state: settled.set()))
        waiting = asyncio.create_task(settled.wait())
        await asyncio.wait((running, waiting), timeout=_FEEDS_REAL_S, return_when=asyncio.FIRST_COMPLETED)
        running.cancel()
        waiting.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)

    await asyncio.gather(
        *(hear(partial(feed.run, market.put, clock=clock)) for feed in feeds),
        *(hear(partial(pool.run, lambda _source, _said: None, clock=clock)) for pool in pools),
    )
    return (*(feed.state for feed in feeds), *(pool.state for pool in pools))
