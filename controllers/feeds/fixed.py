"""A fixed value: what the site file says, confirmed for ever."""

from __future__ import annotations

from typing import Literal

from controllers.feeds.feed import Clock, FeedState, Put, QuantityTable, Tell, Watch, look_regularly
from fleet.market import Signal


class FixedTable(QuantityTable):
    """A value that a person wrote down: a contract's price, a difficulty to plan with."""

    kind: Literal["fixed"]
    value: float

    @property
    def source(self) -> str:
        """Its name in signals and messages."""
        return self.name or f"fixed {self.quantity.value}"


class FixedFeed:
    """Puts the value of the site file, and confirms it every period.

    Raises:
        FeedFault: the value is not plausible.
    """

    def __init__(self, table: FixedTable) -> None:
        self._table = table
        self._value = table.converted(table.value)
        self._watch = Watch(table.source)

    @property
    def source(self) -> str:
        """Its name."""
        return self._table.source

    @property
    def state(self) -> FeedState:
        """How it is."""
        return self._watch.state

    async def run(self, put: Put, tell: Tell, clock: Clock) -> None:
        """Put it until cancelled."""
        since_s = clock.now()

        async def look() -> tuple[str, ...]:
            signal = Signal(self._value, since_s, clock.now(), self.source, max_age_s=self._table.max_age_s)
            put(self._table.quantity, signal)
            return ()

        period_s = min(self._table.period_s, self._table.max_age_s / 3)
        await look_regularly(look, self._watch, period_s, tell, clock)
