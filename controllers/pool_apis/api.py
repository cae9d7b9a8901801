"""One pool's API: asked every period, what it says of the workers put into the book.

When it fails, what it said last stays and ages; that it is lost is said once, and once that it is back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from controllers.feeds.exchange import Exchange
from controllers.feeds.feed import Clock, FeedState, Tell, Watch, look_regularly
from controllers.pool_apis.table import PoolApiTable, Worked

PutWorked: TypeAlias = Callable[[str, Mapping[str, Worked]], None]
"""Takes in what a source said, by machine id."""


class PoolApi:
    """Asks every period, and puts what it finds."""

    def __init__(self, table: PoolApiTable, directory: Path) -> None:
        self._table, self._directory = table, directory
        self._watch = Watch(table.source)

    @property
    def source(self) -> str:
        """Its name."""
        return self._table.source

    @property
    def state(self) -> FeedState:
        """How it is."""
        return self._watch.state

    async def run(self, put: PutWorked, tell: Tell, clock: Clock) -> None:
        """Ask until cancelled."""
        table = self._table
        async with Exchange(table, self._directory) as exchange:

            async def look() -> tuple[str, ...]:
                document = await exchange.get_json(table.url)
                put(table.source, by_machine(table, table.read(document, clock.now())))
                return ()

            await look_regularly(look, self._watch, table.period_s, tell, clock)


def by_machine(table: PoolApiTable, said: Mapping[str, Worked]) -> dict[str, Worked]:
    """What a document says by machine id; several workers of one machine are added up.

    Figures that one of them lacks, or that are of different windows, are not known of the machine.
    """
    found: dict[str, Worked] = {}
    for worker, worked in said.items():
        machine = table.machine_of(worker)
        found[machine] = together(found[machine], worked) if machine in found else worked
    return found


def together(one: Worked, other: Worked) -> Worked:
    """Two parts of one machine's work, as of the older one's moment."""
    work = None if one.work is None or other.work is None else one.work + other.work
    same = one.window_s == other.window_s and one.rate_ths is not None and other.rate_ths is not None
    rate = one.rate_ths + other.rate_ths if same and one.rate_ths is not None and other.rate_ths is not None else None
    return Worked(min(one.at_s, other.at_s), work, rate, one.window_s if same else None)
