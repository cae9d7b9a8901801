"""Hashprice, revenue, the value of an operating point, break-even.

Expected blocks are one per `difficulty * 2**32` hashes, so hashprice follows from price, difficulty, subsidy and fees
alone; the last day's network revenue over an estimated hash rate is noisier and biased (docs/design.md). A machine's
operating point is worth its hashes less its energy; the average J/TH decides nothing, the step does.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from math import inf
from typing import Literal, TypeVar

import numpy as np

from fleet.columns import Floats
from fleet.market import Market, Quantity
from fleet.network import subsidy_btc
from fleet.settings import Fraction, Seconds, Settings
from fleet.units import HASHES_PER_DIFFICULTY, HOURS_PER_DAY, SECONDS_PER_DAY, THS_PER_PHS, WATTS_PER_MW


class Economics(Settings):
    """How hashes become money here (the site file's [economics])."""

    pool_fee: Fraction = 0.0
    """Share of the revenue that the pool keeps."""
    payout: Literal["fpps", "pps"] = "fpps"
    """FPPS pays subsidy and fees; PPS the subsidy alone."""
    overhead: Fraction = 0.0
    """Site power beyond the machines' own (fans, pumps, losses), as a fraction of theirs."""
    coin_max_age_s: Seconds = 3_600
    """Older than this, the coin's price is not known."""
    network_max_age_s: Seconds = 86_400
    """Older than this, difficulty, height and fees are not known."""
    power_max_age_s: Seconds = 1_200
    """Older than this, an index price of power is not known."""
    when_lost: Literal["hold", "sleep", "run"] = "hold"
    """What machines do while hashprice or power price is not known: stay as they are, sleep, or run their usual mode."""


Number = TypeVar("Number", float, Floats)
"""One value, or a column of them."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What a tick values with.

    Hashprice in USD per PH/s and day, after the pool's fee; power in USD per MWh at the machine, with adders and overhead.
    None: not known, and `missing` says what.
    """

    hashprice_usd_phs_day: float | None
    power_usd_mwh: float | None
    missing: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Can an operating point be valued?"""
        return self.hashprice_usd_phs_day is not None and self.power_usd_mwh is not None


def hashprice_usd_phs_day(coin_usd: float, difficulty: float, subsidy_and_fees_btc: float) -> float:
    """What one PH/s earns in a day of expected blocks, USD: 86400 * 1e15 / (D * 2**32) * (subsidy + fees) * price."""
    blocks_per_phs_day = SECONDS_PER_DAY * 1e15 / (difficulty * HASHES_PER_DIFFICULTY)
    return blocks_per_phs_day * subsidy_and_fees_btc * coin_usd


def market_hashprice(market: Market, at_s: float, economics: Economics) -> tuple[float | None, tuple[str, ...]]:
    """Hashprice before the pool's fee from the freshest signals, or None and the names of what is missing.

    A published hashprice, where the site has one, stands before the formula. A signal that is no number, or a price or
    difficulty of nothing, is missing.
    """
    published = _fresh(market, Quantity.HASHPRICE_USD_PHS_DAY, at_s, economics.coin_max_age_s)
    if published is not None:
        return published, ()
    coin = _fresh(market, Quantity.COIN_USD, at_s, economics.coin_max_age_s)
    difficulty = _fresh(market, Quantity.DIFFICULTY, at_s, economics.network_max_age_s)
    height = _fresh(market, Quantity.HEIGHT, at_s, economics.network_max_age_s, least=0.0)
    wanted = {Quantity.COIN_USD: coin, Quantity.DIFFICULTY: difficulty, Quantity.HEIGHT: height}
    fees: float | None = 0.0
    if economics.payout == "fpps":
        fees = _fresh(market, Quantity.FEES_BTC_BLOCK, at_s, economics.network_max_age_s, least=0.0)
        wanted[Quantity.FEES_BTC_BLOCK] = fees
    missing = tuple(quantity.value for quantity, value in wanted.items() if value is None)
    if coin is None or difficulty is None or height is None or fees is None:
        return None, missing
    return hashprice_usd_phs_day(coin, difficulty, subsidy_btc(int(height)) + fees), ()


def _fresh(
    market: Market, quantity: Quantity, at_s: float, max_age_s: float, least: float = sys.float_info.min
) -> float | None:
    """A fresh signal's value, where it is a finite number of at least `least`."""
    signal = market.fresh(quantity, at_s, max_age_s)
    return signal.value if signal is not None and least <= signal.value < inf else None


def revenue_usd_h(hashrate_ths: Number, hashprice: float) -> Number:
    """What a hash rate earns per hour, USD; `hashprice` in USD per PH/s and day."""
    return hashrate_ths * (hashprice / (THS_PER_PHS * HOURS_PER_DAY))


def cost_usd_h(power_w: Number, power_usd_mwh: float) -> Number:
    """What a power costs per hour, USD."""
    return power_w * (power_usd_mwh / WATTS_PER_MW)


def revenue_usd_mwh(efficiency_j_th: Number, hashprice: float) -> Number:
    """Revenue of a machine per MWh that it draws: hashprice * 1000 / (24 * e)."""
    return hashprice * 1000.0 / (HOURS_PER_DAY * efficiency_j_th)


def break_even_usd_mwh(power_w: Floats, hashrate_ths: Floats, hashprice: float) -> Floats:
    """The power price at the machine at which an operating point earns nothing, USD/MWh (NaN at 0 W)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(power_w > 0, revenue_usd_h(hashrate_ths, hashprice) / power_w * WATTS_PER_MW, np.nan)


def at_the_meter(machine_usd_mwh: Number, overhead: float) -> Number:
    """A price per MWh at the machine, seen from the site's meter (break-even divided by one plus overhead)."""
    return machine_usd_mwh / (1.0 + overhead)
