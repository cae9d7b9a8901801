"""What a signal may say: the units that its source may speak, and the range in which it is believed.

A wrong unit is the commonest way to a wrong decision (a price in c/kWh read as USD/MWh is ten times too small), so a
unit is always named, an unknown one is refused with the list of those known, and a value out of range is no value.
Currencies other than the dollar are refused: nothing here knows an exchange rate.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType
from typing import Final

from fleet.market import Quantity
from fleet.network import FEE_BLOCKS, SATOSHI_PER_BTC


@dataclass(frozen=True, slots=True)
class Range:
    """A value from `least` to `most` is believed, in the quantity's own unit (that of its name)."""

    least: float
    most: float

    def __contains__(self, value: float) -> bool:
        """Is it a finite value within the range?"""
        return isfinite(value) and self.least <= value <= self.most


UNITS: Final[Mapping[Quantity, Mapping[str, float]]] = MappingProxyType(
    {
        Quantity.COIN_USD: {"USD": 1.0, "USD/BTC": 1.0},
        Quantity.DIFFICULTY: {"1": 1.0, "T": 1e12},
        Quantity.HEIGHT: {"1": 1.0},
        Quantity.FEES_BTC_BLOCK: {
            "BTC/block": 1.0,
            "sat/block": 1.0 / SATOSHI_PER_BTC,
            # a day is taken as the 144 blocks that it should have
            "BTC/day": 1.0 / FEE_BLOCKS,
        },
        Quantity.HASHPRICE_USD_PHS_DAY: {
            "USD/PH/s/day": 1.0,
            "USD/PH/day": 1.0,
            "USD/TH/s/day": 1e3,
            "USD/TH/day": 1e3,
            "USD/EH/s/day": 1e-3,
            "USD/EH/day": 1e-3,
        },
        Quantity.POWER_USD_MWH: {"USD/MWh": 1.0, "USD/kWh": 1e3, "c/kWh": 10.0},
    }
)
"""How much of the quantity's own unit one of the source's is."""

RANGES: Final[Mapping[Quantity, Range]] = MappingProxyType(
    {
        Quantity.COIN_USD: Range(50.0, 1e7),
        Quantity.DIFFICULTY: Range(1.0, 1e18),
        Quantity.HEIGHT: Range(0.0, 1e7),
        # the dearest day so far, 22 December 2017, brought 1,496 BTC: some 10 a block
        Quantity.FEES_BTC_BLOCK: Range(0.0, 50.0),
        Quantity.HASHPRICE_USD_PHS_DAY: Range(0.1, 10_000.0),
        # ERCOT's cap was 9,000 $/MWh with adders on top; European day-ahead markets go down to -500
        Quantity.POWER_USD_MWH: Range(-1_000.0, 10_000.0),
    }
)
"""What is believed of each quantity where the site file does not say otherwise."""

_ENERGY_COLUMN: Final = re.compile(r"_([a-z]+)_(mwh|kwh)$")


def factor(quantity: Quantity, unit: str) -> float:
    """What a value in `unit` is multiplied with to be in the quantity's own unit.

    Raises:
        ValueError: the unit is none of those known for it; the message lists them.
    """
    known = UNITS[quantity]
    if unit not in known:
        raise ValueError(f"unit {unit!r} for {quantity.value}, expected one of {', '.join(map(repr, known))}")
    return known[unit]


def unit_of_column(column: str) -> str | None:
    """The unit that a column's name ends in, such as price_eur_mwh; None where it ends in none of energy."""
    found = _ENERGY_COLUMN.search(column.lower())
    if found is None:
        return None
    money, energy = found.groups()
    return f"{'c' if money in {'c', 'ct', 'cent', 'cents'} else money.upper()}/{'MWh' if energy == 'mwh' else 'kWh'}"
