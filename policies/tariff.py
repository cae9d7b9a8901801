"""What a megawatt-hour costs, when: fixed, time of use, or an index plus adders.

A tariff is a frozen class whose fields are the site file's table; it answers for one moment, from the moment and the
market's signals alone. A time-of-use table is checked when it is read: every minute of the year has exactly one band.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from functools import cached_property
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
            raise ValueError(f"band from {self.start} to {self.end} is empty, expected an end after the start (split it at midnight)")
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
            raise ValueError(f"time zone {zone!r} is not known, expected an IANA name such as 'America/Chicago'") from error
        return zone

    @model_validator(mode="after")
    def _covers_the_year_once(self) -> Self:
        for month in range(1, 13):
            for number, weekday in enumerate(WEEKDAYS):
                taken: list[int | None] = [None] * _MINUTES
                for index, band in enumerate(self.bands):
                    if month not in band.months or weekday not in band.weekdays:
                        continue
                    for minute in band.minutes:
                        if taken[minute] is not None:
                            where = f"month {month}, {WEEKDAYS[number]} {minute // 60:02}:{minute % 60:02}"
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

    def _band(self, at_s: float) -> Band:
        local = datetime.fromtimestamp(at_s, self._zone)
        minute, weekday = local.hour * 60 + local.minute, WEEKDAYS[local.weekday()]
        for band in self.bands:
            if local.month in band.months and weekday in band.weekdays and minute in band.minutes:
                return band
        raise AssertionError(f"no band at {local}: the table was checked to cover every minute")

    def price_usd_mwh(self, at_s: float, market: Market, max_age_s: float) -> float | None:  # noqa: ARG002
        """The band's price plus the adder."""
        return self._band(at_s).usd_mwh + self.adder_usd_mwh

    def next_change_s(self, at_s: float) -> float | None:
        """The next minute whose band has another price, within eight days; None when there is none."""
        now = self._band(at_s).usd_mwh
        edge = datetime.fromtimestamp(at_s, UTC).replace(second=0, microsecond=0)
        for _ in range(8 * 24 * 4):
            edge += timedelta(minutes=15 - edge.minute % 15)
            if self._band(edge.timestamp()).usd_mwh != now:
                return edge.timestamp()
        return None


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
        if signal is None:
            return None
        index = signal.value if self.least_usd_mwh is None else max(signal.value, self.least_usd_mwh)
        return index * (1.0 + self.losses) + self.adder_usd_mwh

    def next_change_s(self, at_s: float) -> float | None:  # noqa: ARG002
        """Whenever the feed says so."""
        return None


Tariff = Annotated[FixedTariff | TimeOfUseTariff | IndexTariff, Field(discriminator="kind")]
