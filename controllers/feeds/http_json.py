"""Any source of JSON over HTTP: one value, found by a JMESPath expression.

`value` finds the number (https://jmespath.org), `at` the time that the source gives with it, where it gives one: then a
source that answers promptly with yesterday's value is stale, not fresh. Nothing is sent but a GET.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from controllers.feeds.exchange import Exchange, Url, WebTable, shown
from controllers.feeds.feed import (
    Clock,
    FeedFault,
    FeedState,
    Put,
    QuantityTable,
    Tell,
    Watch,
    as_number,
    as_time,
    look_regularly,
    not_too_old,
)
from fleet.market import Signal


def _compiles(expression: str) -> str:
    """A JMESPath expression."""
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        jmespath.compile(expression)
    except JMESPathError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"expression {expression!r}, expected JMESPath ({reason})") from None
    return expression


Expression = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_compiles)]


class HttpTable(QuantityTable, WebTable):
    """A number in a JSON document."""

    kind: Literal["http"]
    url: Url
    value: Expression
    """Where the number stands, such as "data[0].lmp"."""
    at: Expression | None = None
    """Where the time of the value stands (ISO 8601 with its zone, or seconds or milliseconds since 1970)."""

    @property
    def source(self) -> str:
        """Its name in signals and messages."""
        return self.name or f"http {self.quantity.value}"


class HttpFeed:
    """Asks every period, and puts what it finds."""

    def __init__(self, table: HttpTable, directory: Path) -> None:
        self._table = table
        self._directory = directory
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
        """Ask until cancelled."""
        table = self._table
        async with Exchange(table, self._directory) as exchange:

            async def look() -> tuple[str, ...]:
                document = await exchange.get_json(table.url)
                put(table.quantity, found_in(document, table, clock.now()))
                return ()

            await look_regularly(look, self._watch, table.period_s, tell, clock)


def found_in(document: Any, table: HttpTable, now_s: float) -> Signal:
    """The signal in a document.

    Raises:
        FeedFault: nothing there, no number, not plausible, or too old.
    """
    where = shown(table.url)
    value = table.converted(as_number(searched(document, table.value, where), f"{where}: {table.value}"))
    since_s = now_s
    if table.at is not None:
        since_s = as_time(searched(document, table.at, where), f"{where}: {table.at}")
        not_too_old(f"{where}: the value", since_s, now_s, table.max_age_s)
    return Signal(value, min(since_s, now_s), now_s, table.source, max_age_s=table.max_age_s)


def searched(document: Any, expression: str, where: str) -> Any:
    """What an expression finds in a document that came from `where`.

    Raises:
        FeedFault: nothing, or it fails on what came.
    """
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        found = jmespath.search(expression, document)
    except (JMESPathError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise FeedFault(f"{where}: {expression} fails on what came ({type(error).__name__})") from None
    if found is None:
        raise FeedFault(f"{where}: {expression} finds nothing in what came")
    return found
