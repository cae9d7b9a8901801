"""The books between the outside and a tick: the market's latest signals, and the orders in force.

Feeds and people write whenever they like; a tick takes a frozen copy. Both are bounded, and both wake the loop, so that a
new price or order is judged at once and not at the next period.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from fleet.market import Market, Quantity, Signal
from fleet.meter import Meter
from fleet.order import Order

ORDERS_MOST = 1_000


class MarketBook:
    """The latest signal of each source, in the site file's order of sources."""

    def __init__(self, sources: Sequence[str], wake: Callable[[], None]) -> None:
        self._rank = {source: place for place, source in enumerate(sources)}
        self._signals: dict[Quantity, dict[str, Signal]] = {}
        self._meters: dict[str, Meter] = {}
        self._wake = wake

    def put(self, quantity: Quantity, signal: Signal) -> None:
        """Take a signal in; the loop is woken when its value is new."""
        sources = self._signals.setdefault(quantity, {})
        before = sources.get(signal.source)
        sources[signal.source] = signal
        if before is None or before.value != signal.value:
            self._wake()

    def put_meter(self, meter: Meter) -> None:
        """Take a meter's value in."""
        self._meters[meter.place] = meter

    def freeze(self) -> Market:
        """The signals now."""
        return Market(
            {
                quantity: tuple(
                    sorted(sources.values(), key=lambda signal: self._rank.get(signal.source, len(self._rank)))
                )
                for quantity, sources in self._signals.items()
            }
        )

    def shift(self, by_s: float) -> None:
        """Move the times at which signals were heard with a clock that has stepped; what they are true for is the source's."""
        for sources in self._signals.values():
            for source, signal in sources.items():
                sources[source] = replace(signal, heard_s=signal.heard_s + by_s)

    def meters(self) -> tuple[Meter, ...]:
        """The meters now."""
        return tuple(self._meters.values())


class TooManyOrders(Exception):
    """The book is full; orders have to expire or be released first."""


class OrderBook:
    """Orders that have not expired, oldest first."""

    def __init__(self, wake: Callable[[], None], orders: Iterable[Order] = ()) -> None:
        self._orders = {order.id: order for order in orders}
        self._wake = wake

    def reserve(self, order: Order) -> None:
        """Is there room for it?

        Raises:
            TooManyOrders: the book is full.
        """
        if order.id not in self._orders and len(self._orders) >= ORDERS_MOST:
            raise TooManyOrders(f"{ORDERS_MOST} orders are in force, expected fewer: let some expire")

    def put(self, order: Order) -> None:
        """Take an order in; one of the same id is replaced."""
        self._orders[order.id] = order
        self._wake()

    def freeze(self, at_s: float) -> tuple[Order, ...]:
        """The orders at `at_s`; what has expired is forgotten."""
        self._orders = {key: order for key, order in self._orders.items() if at_s < order.until_s}
        return tuple(self._orders.values())
