"""Market: network, coin price and power price as signals, each with its source and its age.

A signal is one value of the outside world: true from when until when, heard when, from whom. Several sources of one
quantity stand side by side, in the order of the site file: the first that is fresh is used, a second that agrees
corroborates it. Nothing here is ever zero for "not known".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf


class Quantity(StrEnum):
    """What a signal tells, with its unit in the name."""

    COIN_USD = "coin_usd"
    """Price of one bitcoin, USD."""
    DIFFICULTY = "difficulty"
    HEIGHT = "height"
    """Height of the last block: gives the subsidy."""
    FEES_BTC_BLOCK = "fees_btc_block"
    """Mean fees per block over the last 144 blocks, BTC."""
    HASHPRICE_USD_PHS_DAY = "hashprice_usd_phs_day"
    """Hashprice as published, where no formula is wanted."""
    POWER_USD_MWH = "power_usd_mwh"
    """The index price of power."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One value: true from `valid_from_s` until `valid_until_s`, heard at `heard_s`, from `source`. Times are UTC seconds.

    `max_age_s` is the age from which its own feed calls it stale, whatever its reader would still take.
    """

    value: float
    valid_from_s: float
    heard_s: float
    source: str
    valid_until_s: float = inf
    max_age_s: float = inf

    def age_s(self, at_s: float) -> float:
        """Seconds since the value was last confirmed, or since it ran out when that is longer ago than it was heard."""
        return max(at_s - self.heard_s, at_s - self.valid_until_s, 0.0)

    def is_fresh(self, at_s: float, max_age_s: float) -> bool:
        """Is it no older than its reader and its feed allow?"""
        return self.age_s(at_s) <= min(max_age_s, self.max_age_s)


@dataclass(frozen=True, slots=True)
class Market:
    """The latest signals by quantity, each source once, in the site file's order of preference."""

    signals: Mapping[Quantity, tuple[Signal, ...]] = field(default_factory=dict)

    def fresh(self, quantity: Quantity, at_s: float, max_age_s: float) -> Signal | None:
        """The first source's signal that is no older than `max_age_s`, or None."""
        for signal in self.signals.get(quantity, ()):
            if signal.is_fresh(at_s, max_age_s):
                return signal
        return None

    def corroborated(self, quantity: Quantity, at_s: float, max_age_s: float, tolerance: float) -> bool:
        """Do two fresh sources of a quantity agree within a fraction of the larger?"""
        fresh = [s for s in self.signals.get(quantity, ()) if s.is_fresh(at_s, max_age_s)]
        return any(
            a.source != b.source and abs(a.value - b.value) <= tolerance * max(abs(a.value), abs(b.value))
            for i, a in enumerate(fresh)
            for b in fresh[i + 1 :]
        )
