"""Feed: a source of signals from outside, the latest value with its age, never in the way of a tick.

A feed is a coroutine that puts values into the market's book whenever it has them. When it fails, the value that it
gave last stays where it is and ages; the feed says once that it is lost and once that it is back. A value that is not
finite, not plausible or older than it may be is refused, and never put.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Annotated, Protocol, Self, TypeAlias

from pydantic import Field, model_validator

from fleet.market import Quantity, Signal
from fleet.plausible import RANGES, Range, factor
from fleet.settings import Name, Settings

Period = Annotated[float, Field(ge=5, le=86_400)]
Age = Annotated[float, Field(gt=0, le=31_622_400)]
_DECIMAL = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*")
_MILLISECONDS_FROM = 1e11
"""A time above this many seconds (the year 5138) is in milliseconds."""


class Clock(Protocol):
    """What a feed needs of time; a simulated site's clock runs faster than the wall."""

    def now(self) -> float:
        """UTC seconds."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return when so many of this clock's seconds have passed."""
        ...


@dataclass(frozen=True, slots=True)
class FeedState:
    """How a feed is: `error` is None when its last look gave all that it should. `last_ok_s` None: never yet."""

    source: str
    ok: bool
    last_ok_s: float | None
    error: str | None


Put: TypeAlias = Callable[[Quantity, Signal], None]
Tell: TypeAlias = Callable[[FeedState], None]


class FeedFault(Exception):
    """One look gave no value, and why, for people: what came and what was expected, never a secret."""


class Feed(Protocol):
    """One source of signals."""

    @property
    def source(self) -> str:
        """Its name in signals, records and messages."""
        ...

    @property
    def state(self) -> FeedState:
        """How it is now."""
        ...

    async def run(self, put: Put, tell: Tell, clock: Clock) -> None:
        """Put signals until cancelled; `tell` hears of every change between well and lost, once.

        Ends by itself only when it can never have another value.
        """
        ...


class SourceTable(Settings):
    """What every feed of the site file has."""

    name: Name | None = None
    """Its name in messages and records; its kind and quantity where none is given."""
    period_s: Period = 300
    """How often it is asked, or its value confirmed; never more often than a third of the source's own period is useful."""
    max_age_s: Age = 3_600
    """A value older than this is stale, whatever its readers would still take."""


class QuantityTable(SourceTable):
    """A feed of one quantity, whose source has a unit."""

    quantity: Quantity
    unit: str
    """The source's unit, such as "USD/MWh", "USD/kWh", "c/kWh", "USD", "BTC/block", "1"."""
    least: float | None = None
    most: float | None = None
    """Values below `least` or above `most` are refused; in the quantity's own unit (USD/MWh for power_usd_mwh)."""

    @model_validator(mode="after")
    def _is_of_the_quantity(self) -> Self:
        """The unit is one of the quantity's, and the range is one."""
        factor(self.quantity, self.unit)
        believed = self.believed
        if not believed.least < believed.most:
            raise ValueError(f"least {believed.least:g} and most {believed.most:g}, expected least below most")
        return self

    @property
    def believed(self) -> Range:
        """The range in which its values are believed."""
        usual = RANGES[self.quantity]
        return Range(
            usual.least if self.least is None else self.least,
            usual.most if self.most is None else self.most,
        )

    def converted(self, value: float) -> float:
        """A value of the source in the quantity's own unit.

        Raises:
            FeedFault: not finite, or out of the range that is believed.
        """
        return plausible(self.quantity, value * factor(self.quantity, self.unit), self.believed)


class Watch:
    """A feed's state, which tells only of changes."""

    def __init__(self, source: str) -> None:
        self.state = FeedState(source, ok=False, last_ok_s=None, error="not heard yet")
        self._told: bool | None = None

    def saw(self, faults: tuple[str, ...], at_s: float, tell: Tell) -> None:
        """One look is over, with these faults or none."""
        ok = not faults
        last_ok_s = at_s if ok else self.state.last_ok_s
        self.state = FeedState(self.state.source, ok, last_ok_s, "; ".join(faults) if faults else None)
        if ok != self._told:
            self._told = ok
            tell(self.state)


Look: TypeAlias = Callable[[], Awaitable[tuple[str, ...]]]
"""One look at a source: puts what it has and returns the faults."""


async def look_regularly(look: Look, watch: Watch, period_s: float, tell: Tell, clock: Clock) -> None:
    """Look, and look again every `period_s`, for ever. A look that fails is a fault; the next one is the retry."""
    while True:
        try:
            faults = await look()
        except FeedFault as fault:
            faults = (str(fault),)
        except Exception as error:  # noqa: BLE001 (a bug in one source is a lost feed, not a lost site)
            faults = (_bug(error),)
        watch.saw(faults, clock.now(), tell)
        await clock.sleep(period_s)


def _bug(error: Exception) -> str:
    """Our own mistake in words: what and where, and not the message, which may carry a key."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
    return f"a bug in this feed: {type(error).__name__}{where}"


def plausible(quantity: Quantity, value: float, believed: Range) -> float:
    """The value, if it is believed.

    Raises:
        FeedFault: not finite, or out of range.
    """
    if value not in believed:
        raise FeedFault(f"{quantity.value} is {value:g}, expected {believed.least:g} to {believed.most:g}")
    return value


def as_number(found: object, what: str) -> float:
    """A number as JSON or text may carry it: a number, or a string that is one.

    Raises:
        FeedFault: anything else, NaN and infinity included.
    """
    if isinstance(found, str) and _DECIMAL.fullmatch(found):
        found = float(found)
    if isinstance(found, bool) or not isinstance(found, int | float) or abs(found) > 1e300 or not isfinite(found):
        shown = repr(found)
        raise FeedFault(f"{what} is {shown if len(shown) <= 80 else shown[:77] + '...'}, expected a number")
    return float(found)


def as_time(found: object, what: str) -> float:
    """UTC seconds of a time as JSON may carry it: seconds or milliseconds since 1970, or ISO 8601 with its zone.

    Raises:
        FeedFault: anything else.
    """
    if isinstance(found, str) and not _DECIMAL.fullmatch(found):
        try:
            moment = datetime.fromisoformat(found)
        except ValueError:
            raise FeedFault(f"{what} is {found[:80]!r}, expected a time") from None
        if moment.tzinfo is None:
            raise FeedFault(f"{what} is {found[:80]!r}, expected a time with its zone")
        return moment.astimezone(UTC).timestamp()
    seconds = as_number(found, what)
    return seconds / 1e3 if seconds > _MILLISECONDS_FROM else seconds


def not_too_old(what: str, at_s: float, now_s: float, max_age_s: float) -> None:
    """A time stamp that the source gave with its value.

    Raises:
        FeedFault: older than `max_age_s`, or more than that in the future.
    """
    age_s = now_s - at_s
    if abs(age_s) > max_age_s:
        when = f"{age_s:.0f} s old" if age_s > 0 else f"{-age_s:.0f} s ahead of our clock"
        raise FeedFault(f"{what} is {when}, expected at most {max_age_s:g} s")
