"""A fixed value and a CSV file against the clock."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from controllers.feeds import open_feed
from controllers.feeds.fixed import FixedTable
from controllers.feeds.replay import CsvFeed, CsvTable
from fleet.market import Market, Quantity
from tests.controllers.feeds.conftest import START_S, run_feed

POWER = Quantity.POWER_USD_MWH
HEADER = "interval_start_utc,price_usd_mwh\n"
ROWS = (
    "2024-01-15T12:00Z,10\n",
    "2024-01-15T12:15Z,20\n",
    # 12:30 and 12:45 are missing
    "2024-01-15T13:00Z,50\n",
    "2024-01-15T13:15Z,-60\n",
)


def csv_feed(directory: Path, *rows: str, header: str = HEADER, **fields: Any) -> CsvFeed:
    """A feed of these rows."""
    (directory / "prices.csv").write_text(header + "".join(rows))
    given = {"kind": "csv", "quantity": POWER, "unit": "USD/MWh", "file": "prices.csv", "period_s": 600, **fields}
    return CsvFeed(CsvTable.model_validate(given), directory)


def test_fixed_value_is_confirmed() -> None:
    """A value written in the site file would grow stale."""
    table = FixedTable(kind="fixed", quantity=POWER, unit="c/kWh", value=4.5, period_s=300, max_age_s=600)
    heard = asyncio.run(run_feed(open_feed(table, Path()), looks=4))
    assert heard.values(POWER) == [45.0] * 4
    assert [signal.heard_s - START_S for _, signal in heard.signals] == [0, 200, 400, 600]
    (state,) = heard.told
    assert (state.source, state.ok, state.error) == ("fixed power_usd_mwh", True, None)


@pytest.mark.parametrize(
    ("at_s", "lag_s", "value"),
    [
        (-1, 0, None),
        (0, 0, 10),
        (899, 0, 10),
        (900, 0, 20),
        (1_799, 0, 20),
        (1_800, 0, None),
        (3_599, 0, None),
        (3_600, 0, 50),
        (4_500, 0, -60),
        (5_399, 0, -60),
        (5_400, 0, None),
        (0, 900, None),
        (900, 900, 10),
        (1_800, 900, 20),
        (2_700, 900, None),
        (4_500, 900, 50),
    ],
)
def test_what_is_known_when(tmp_path: Path, at_s: float, lag_s: float, value: float | None) -> None:
    """A price would be known before its time, outlive its interval, or be invented in a gap."""
    signal = csv_feed(tmp_path, *ROWS, lag_s=lag_s).signal_at(START_S + at_s)
    assert (None if signal is None else signal.value) == value
    if signal is not None:
        assert signal.valid_from_s + lag_s <= START_S + at_s < signal.valid_until_s


def test_replay_over_a_gap(tmp_path: Path) -> None:
    """The last price before a gap would be confirmed through it, or its loss be told at every look."""
    feed = csv_feed(tmp_path, *ROWS, max_age_s=900)
    heard = asyncio.run(run_feed(feed, looks=40))
    confirmed = [(signal.heard_s - START_S, signal.value) for _, signal in heard.signals]
    assert confirmed[:6] == [(0, 10), (300, 10), (600, 10), (900, 20), (1_200, 20), (1_500, 20)]
    assert confirmed[6:] == [(3_600, 50), (3_900, 50), (4_200, 50), (4_500, -60), (4_800, -60), (5_100, -60)]
    assert [(state.ok, state.error) for state in heard.told] == [
        (True, None),
        (False, "no value at 2024-01-15T12:30Z in prices.csv"),
        (True, None),
        (False, "no value at 2024-01-15T13:30Z in prices.csv"),
    ]
    last = heard.signals[5][1]
    market = Market({POWER: (last,)})
    assert market.fresh(POWER, START_S + 2_399, 3_600) is last
    assert market.fresh(POWER, START_S + 2_401, 3_600) is None


def test_hourly_prices_do_not_go_stale_within_their_hour(tmp_path: Path) -> None:
    """A price that holds for an hour would be stale after the twenty minutes that a tick allows."""
    rows = ("2024-01-15T12:00Z,10\n", "2024-01-15T13:00Z,20\n", "2024-01-15T14:00Z,30\n")
    heard = asyncio.run(run_feed(csv_feed(tmp_path, *rows), looks=18))
    times = [signal.heard_s for _, signal in heard.signals]
    assert max(later - earlier for earlier, later in pairwise(times)) <= 600
    assert list(dict.fromkeys(heard.values(POWER))) == [10, 20, 30]


def test_units_and_columns(tmp_path: Path) -> None:
    """The daily coin file would not feed a fee or a price by its column and unit."""
    rows = ("2024-01-15,5e8,42000.5,14.4\n", "2024-01-16,5e8,43000,28.8\n")
    header = "date,hashrate_ths,price_usd,fees_btc\n"
    fees = csv_feed(
        tmp_path, *rows, header=header, quantity="fees_btc_block", unit="BTC/day", column="fees_btc"
    ).signal_at(START_S)
    coin = csv_feed(tmp_path, *rows, header=header, quantity="coin_usd", unit="USD", column="price_usd").signal_at(
        START_S
    )
    assert fees is not None
    assert coin is not None
    assert fees.value == pytest.approx(0.1)
    assert (coin.value, coin.valid_until_s - coin.valid_from_s) == (42_000.5, 86_400)
