"""What a megawatt-hour costs, when: fixed, time of use, or an index plus adders.

A tariff is a frozen class whose fields are the site file's table; it answers for one moment, from the moment and the
market's signals alone. A time-of-use table is checked when it is read: every minute of the year has exactly one band.
"""

from __future__ import annotations

from datetime import datetime, time
from functools import cached_property
from math import isfinite
from typing import Annotated, Literal, Protocol, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from fleet.market import Market, Quantity
from fleet.settings import Fraction, Settings, UsdPerMwh

_MINUTES = 1440
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class Priced(Protocol):
    """What every tariff answers."""

    def price_usd_mwh(self, at_s: float, market: Market, max_age_s: float) -> float | None:
        """Price of the next MWh at the site's meter, adders and losses included; None when it is not known."""
        ...

    def next_change_s(self, at_s: float) -> float | None:
        """When the tariff's own table changes next (UTC seconds); None when it never does by itself."""
        ...

    def known_until_s(self, at_s: float, market: Market, max_age_s: float) -> float:
        """Until when the present price is known to hold (UTC seconds; `at_s` where nothing says so)."""
        ...

    def uses(self) -> tuple[Quantity, ...]:
        """The market's signals that it rests on."""
        ...


class FixedTariff(Settings):
    """One price, always."""

    kind: Literal["fixed"] = "fixed"
    usd_mwh: UsdPerMwh
    """The price, adders and taxes included."""

    def price_usd_mwh(self, at_s: float, market: Market, max_age_s: float) -> float | None:  # noqa: ARG002
        """The one price."""
        return self.usd_mwh

    def next_change_s(self, at_s: float) -> float | None:  # noqa: ARG002
        """Never."""
        return None

    def known_until_s(self, at_s: float, market: Market, max_age_s: float) -> float:  # noqa: ARG002
        """Nothing is gained by looking ahead where nothing changes."""
        return at_s

    def uses(self) -> tuple[Quantity, ...]:
        """None."""
        return ()


class Band(Settings):
    """One row of a time-of-use table: these months, these weekdays, from this time of day to that one (24:00 is "00:00")."""

    usd_mwh: UsdPerMwh
    months: tuple[Annotated[int, Field(ge=1, le=12)], ...] = tuple(range(1, 13))
    weekdays: tuple[Weekday, ...] = WEEKDAYS  # type: ignore[assignment]
    start: time = time(0)
    end: time = time(0)

    @property
    def minutes(self) -> range:
        """Minutes of the day, from `start` up to, not including, `end`."""
        begin = self.start.hour * 60 + self.start.minute
        end = self.end.hour * 60 + self.end.minute or _MINUTES
        return range(begin, end)

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if not self.minutes:
            raise ValueError(
                f"band from {self.start} to {self.end} is empty, expected an end after the start (split it at midnight)"
            )
        if any(edge.second or edge.microsecond or edge.tzinfo for edge in (self.start, self.end)):
            raise ValueError(f"band from {self.start} to {self.end}: expected local times of day in whole minutes")
        return self


class TimeOfUseTariff(Settings):
    """A table of bands in local time that covers every minute exactly once."""

    kind: Literal["time-of-use"] = "time-of-use"
    zone: str
    """The tariff's time zone (IANA name)."""
    bands: tuple[Band, ...]
    adder_usd_mwh: UsdPerMwh = 0.0

    @field_validator("zone")
    @classmethod
    def _zone_exists(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"time zone {zone!r} is not known, expected an IANA name such as 'America/Chicago'"
            ) from error
        return zone

    @model_validator(mode="after")
    def _covers_the_year_once(self) -> Self:
        for month in range(1, 13):
            for weekday in WEEKDAYS:
                taken: list[int | None] = [None] * _MINUTES
                for index, band in enumerate(self.bands):
                    if month not in band.months or weekday not in band.weekdays:
                        continue
                    for minute in band.minutes:
                        if taken[minute] is not None:
                            where = f"month {month}, {weekday} {minute // 60:02}:{minute % 60:02}"
                            raise ValueError(f"bands {taken[minute]} and {index} overlap at {where}, expected one band")
                        taken[minute] = index
                if None in taken:
                    minute = taken.index(None)
                    where = f"month {month}, {weekday} {minute // 60:02}:{minute % 60:02}"
                    raise ValueError(f"no band at {where}, expected one")
        return self

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    @cached_property
    def _days(self) -> dict[tuple[int, int], tuple[tuple[range, Band], ...]]:
        """The bands of each month and weekday, with their minutes."""
        return {
            (month, number): tuple((b.minutes, b) for b in self.bands if month in b.months and weekday in b.weekdays)
            for month in range(1, 13)
            for number, weekday in enumerate(WEEKDAYS)
        }

    def _band(self, at_s: float) -> Band:
        local = datetime.fromtimestamp(at_s, self._zone)
        minute = local.hour * 60 + local.minute
        for minutes, band in self._days[local.month, local.weekday()]:
            if minute in minutes:
                return band
        raise AssertionError(f"no band at {local}: the table was checked to cover every minute")

    def price_usd_mwh(self, at_s: float, market: Market, max_age_s: float) -> float | None:  # noqa: ARG002
        """The band's price plus the adder."""
        return self._band(at_s).usd_mwh + self.adder_usd_mwh

    @cached_property
    def _edges(self) -> tuple[int, ...]:
        """Minutes of a quarter of an hour at which a band may begin or end (offsets from UTC are whole quarters)."""
        minutes = {edge.minute % 15 for band in self.bands for edge in (band.start, band.end)}
        return tuple(sorted(minutes | {0}))

    def next_change_s(self, at_s: float) -> float | None:
        """The next minute whose band has another price, within eight days; None when there is none."""
        now = self._band(at_s).usd_mwh
        return self._change_s(at_s, now, 8 * 96)

    def _change_s(self, at_s: float, now: float, quarters: int) -> float | None:
        """The first minute after `at_s` with another price than `now`, within so many quarters of an hour."""
        quarter_s = at_s - at_s % 900
        for q in range(quarters + 1):
            for minute in self._edges:
                edge_s = quarter_s + q * 900 + minute * 60
                if edge_s > at_s and self._band(edge_s).usd_mwh != now:
                    return edge_s
        return None

    def known_until_s(self, at_s: float, market: Market, max_age_s: float) -> float:  # noqa: ARG002
        """The table's next change, as far as an hour ahead."""
        change_s = self._change_s(at_s, self._band(at_s).usd_mwh, 4)
        return at_s + 3_600 if change_s is None else min(change_s, at_s + 3_600)

    def uses(self) -> tuple[Quantity, ...]:
        """None."""
        return ()


class IndexTariff(Settings):
    """An index's price (a feed's `power_usd_mwh`) with losses and adders."""

    kind: Literal["index"] = "index"
    adder_usd_mwh: UsdPerMwh = 0.0
    """Per-MWh charges on top of the index: retail margin, transmission, taxes."""
    losses: Fraction = 0.0
    """Index energy bought beyond the metered energy, as a fraction of it."""
    least_usd_mwh: UsdPerMwh | None = None
    """Where the contract floors the index."""

    def price_usd_mwh(self, at_s: float, market: Market, max_age_s: float) -> float | None:
        """Index * (1 + losses) + adder; None when no source is fresh."""
        signal = market.fresh(Quantity.POWER_USD_MWH, at_s, max_age_s)
        if signal is None or not isfinite(signal.value):
            return None
        index = signal.value if self.least_usd_mwh is None else max(signal.value, self.least_usd_mwh)
        return index * (1.0 + self.losses) + self.adder_usd_mwh

    def next_change_s(self, at_s: float) -> float | None:  # noqa: ARG002
        """Whenever the feed says so."""
        return None

    def known_until_s(self, at_s: float, market: Market, max_age_s: float) -> float:
        """Until the index's next value, where the feed says when that is."""
        signal = market.fresh(Quantity.POWER_USD_MWH, at_s, max_age_s)
        return at_s if signal is None or not isfinite(signal.valid_until_s) else max(signal.valid_until_s, at_s)

    def uses(self) -> tuple[Quantity, ...]:
        """The index."""
        return (Quantity.POWER_USD_MWH,)


Tariff = Annotated[FixedTariff | TimeOfUseTariff | IndexTariff, Field(discriminator="kind")]
