"""Economics against published figures: hashprice, break-even, and a bank's cost of a coin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fleet.market import Market, Quantity
from policies.economics import (
    Economics,
    at_the_meter,
    break_even_usd_mwh,
    cost_usd_h,
    hashprice_usd_phs_day,
    market_hashprice,
    revenue_usd_h,
    revenue_usd_mwh,
)
from policies.tariff import IndexTariff
from policies.tick import Judgment
from tests.policies.conftest import T0, Bench, roster, signals


@pytest.mark.parametrize(("j_th", "usd_mwh"), [(13.5, 108.0), (17.5, 83.3), (21.5, 67.8), (29.5, 49.4)])
def test_revenue_of_a_megawatt_hour(j_th: float, usd_mwh: float) -> None:
    """At 35 $/PH/day machines of these efficiencies earn these figures a megawatt-hour, by either way of asking."""
    assert revenue_usd_mwh(j_th, 35.0) == pytest.approx(usd_mwh, abs=0.06)
    rate = np.array([1e6 / j_th])
    assert revenue_usd_h(rate, 35.0)[0] == pytest.approx(usd_mwh, abs=0.06)
    assert break_even_usd_mwh(np.array([1e6]), rate, 35.0)[0] == pytest.approx(usd_mwh, abs=0.06)


def test_about_a_fifth_of_miners_at_30() -> None:
    """A 21.5 J/TH machine breaks even at 5.81 c/kWh at a hashprice of 30."""
    assert revenue_usd_mwh(21.5, 30.0) == pytest.approx(58.1, abs=0.06)


@pytest.mark.parametrize(
    ("difficulty", "cost_usd", "hash_cost"),
    [(124.93e12, 78_000, 39.3), (148.26e12, 90_000, 38.2), (125.86e12, 77_000, 38.5)],
)
def test_a_banks_cost_of_a_coin(difficulty: float, cost_usd: float, hash_cost: float) -> None:
    """A coin that costs what the bank estimates is a hash cost of about 39 $/PH/day, in all three of its estimates."""
    assert hashprice_usd_phs_day(cost_usd, difficulty, 3.125) == pytest.approx(hash_cost, abs=0.15)


@pytest.mark.parametrize(("j_th", "cents_kwh"), [(28.2, 5.8), (20.0, 8.18), (17.5, 9.34)])
def test_the_banks_power_prices(j_th: float, cents_kwh: float) -> None:
    """At that hash cost these efficiencies break even at the power prices that it names."""
    hash_cost = hashprice_usd_phs_day(78_000, 124.93e12, 3.125)
    assert revenue_usd_mwh(j_th, hash_cost) == pytest.approx(cents_kwh * 10, rel=0.003)


def test_power_at_no_cost_has_no_break_even_at_no_power() -> None:
    """An operating point of 0 W has no break-even: not known, never infinite."""
    assert np.isnan(break_even_usd_mwh(np.array([0.0]), np.array([10.0]), 35.0)).all()
    assert cost_usd_h(np.array([0.0]), -50.0)[0] == 0.0
    assert at_the_meter(66.0, 0.1) == pytest.approx(60.0)


@pytest.mark.parametrize(
    ("settings", "more", "reward_btc"),
    [
        ({}, {}, 3.175),
        ({"payout": "pps"}, {}, 3.125),
        ({}, {"height": 839_999}, 6.30),
        ({}, {"height": 840_000}, 3.175),
    ],
)
def test_hashprice_of_a_market(settings: dict[str, Any], more: dict[str, float], reward_btc: float) -> None:
    """Subsidy by height, fees under FPPS and not under PPS, at the difficulty and the coin's price."""
    found, missing = market_hashprice(Market(signals(T0, **more)), T0, Economics(**settings))
    assert missing == ()
    assert found == pytest.approx(86_400e15 / (100e12 * 2**32) * reward_btc * 60_000)


@pytest.mark.parametrize(
    ("bad", "missing"),
    [
        ({"difficulty": 0.0}, ("difficulty",)),
        ({"difficulty": float("nan")}, ("difficulty",)),
        ({"coin_usd": -1.0}, ("coin_usd",)),
        ({"coin_usd": float("inf")}, ("coin_usd",)),
        ({"fees_btc_block": float("nan")}, ("fees_btc_block",)),
        ({"height": float("nan"), "coin_usd": 0.0}, ("coin_usd", "height")),
    ],
)
def test_what_is_no_number_is_missing(bad: dict[str, float], missing: tuple[str, ...]) -> None:
    """A signal that is no number, or nothing, is missing by name: it neither raises nor decides."""
    market = Market(signals(T0, **bad))
    assert market_hashprice(market, T0, Economics()) == (None, missing)
    site = Bench(Judgment(roster(1), IndexTariff(), live=np.ones(1, np.bool_)))
    record = site.tick(market=market)
    assert record.decision.prices.hashprice_usd_phs_day is None
    assert len(record.decision.commands) == 0


def test_old_signals_are_missing() -> None:
    """Each signal has its own age limit, and past it is missing by name."""
    market = Market(signals(T0))
    assert market_hashprice(market, T0 + 3_600, Economics())[1] == ()
    assert market_hashprice(market, T0 + 3_601, Economics())[1] == ("coin_usd",)
    assert set(market_hashprice(market, T0 + 90_000, Economics())[1]) == {
        "coin_usd",
        "difficulty",
        "height",
        "fees_btc_block",
    }


def test_a_published_hashprice_stands_before_the_formula() -> None:
    """Where the site has a published hashprice, that is used, and nothing else is missed."""
    market = Market(signals(T0, hashprice_usd_phs_day=33.3, difficulty=0.0))
    assert market_hashprice(market, T0, Economics()) == (33.3, ())
    assert Quantity.DIFFICULTY in market.signals


def test_fee_and_overhead() -> None:
    """The pool's fee lowers hashprice, the site's overhead raises what a machine's megawatt-hour costs."""
    economics = Economics(pool_fee=0.02, overhead=0.06)
    site = Bench(Judgment(roster(1), IndexTariff(adder_usd_mwh=5.0), economics))
    prices = site.tick(price=50.0, hashprice=40.0).decision.prices
    assert prices.hashprice_usd_phs_day == pytest.approx(39.2)
    assert prices.power_usd_mwh == pytest.approx(55 * 1.06)
