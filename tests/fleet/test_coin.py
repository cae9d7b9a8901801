"""What the coin's daily table and the difficulty epochs may hold, and what each wrong file is told."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fleet.coin import CoinDays, Epochs, parse_coin_days, parse_epochs
from fleet.rows import SeriesError, decoded

SCENARIO = Path(__file__).parents[2] / "simulators/scenarios/data"
DAILY = "date,hashrate_ths,price_usd,fees_btc\n"
EPOCHS = "epoch,first_height,start_utc,nbits,difficulty,change_pct\n"
ROWS = (
    "470,947520,2026-05-02T10:00Z,1702068f,138955357012247.3,0\n",
    "471,949536,2026-05-15T10:00Z,1702068f,138955357012247.3,0\n",
    "472,951552,2026-05-29T10:51Z,1702068f,138955357012247.3,1.719\n",
    "473,953568,2026-06-14T00:45Z,170240c3,124932866006548.16,-10.0914\n",
)


def utc(text: str) -> float:
    """UTC seconds of an ISO time."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def days(*rows: str) -> CoinDays:
    """A daily table of these rows."""
    return parse_coin_days([DAILY, *(f"{row}\n" for row in rows)], "coin.csv")


def epochs(*rows: str) -> Epochs:
    """An epoch table of these rows."""
    return parse_epochs([EPOCHS, *rows], "epochs.csv")


def test_the_files_of_the_project() -> None:
    """The coin files that demo and backtest run on would not be read as they stand."""
    coin = parse_coin_days(decoded((SCENARIO / "btc_daily.csv.gz").read_bytes(), "coin"), "coin")
    assert (len(coin), coin.gaps, coin.price_usd[-1]) == (3288, (), 92652.68)
    table = parse_epochs(decoded((SCENARIO / "btc_difficulty_epochs.csv").read_bytes(), "epochs"), "epochs")
    assert (len(table), table.gaps, table.difficulty[-1]) == (474, (), 124932866006548.16)
    row = table.row_at(utc("2024-04-20T00:09"))  # the fourth halving's block, height 840,000
    assert row is not None
    assert table.first_height[row] <= 840_000 < table.first_height[row] + 2016
    height = table.height_at(utc("2024-04-20T00:09"))
    assert height is not None
    assert abs(height - 840_000) < 144


def test_a_missing_day_has_no_price() -> None:
    """A missing day would be taken from its neighbour."""
    coin = days("2024-01-01,1,40000,10", "2024-01-04,1,41000,10")
    (gap,) = coin.gaps
    assert (gap.missing, gap.line) == (2, 3)
    cases = {
        "2023-12-31": None,
        "2024-01-01": 0,
        "2024-01-02": None,
        "2024-01-03": None,
        "2024-01-04": 1,
        "2024-01-05": None,
    }
    assert {day: coin.row_at(utc(f"{day}T12:00")) for day in cases} == cases


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("2024-01-02,1,nan,10", "a number for price_usd"),
        ("2024-01-02,1,,10", "a number for price_usd"),
        ("2024-01-02,1,1e9,10", "price_usd from 0 to 1e+08"),
        ("2024-01-02,-1,40000,10", "hashrate_ths from 0"),
        ("2024-01-01,1,40000,10", "stands twice"),
        ("2023-12-31,1,40000,10", "goes back in time"),
        ("2024-01-02T06:00Z,1,40000,10", "a day alone"),
        ("2024-01-02,1,400", "4 fields"),
        ("yesterday,1,40000,10", "a time such as"),
    ],
)
def test_wrong_days(row: str, expected: str) -> None:
    """A wrong day would become a coin price."""
    with pytest.raises(SeriesError) as caught:
        days("2024-01-01,1,40000,10", row)
    assert caught.value.line == 3
    assert expected in caught.value.expected


def test_a_hole_between_epochs() -> None:
    """An epoch before a hole, or the file's last, would be believed for ever."""
    table = epochs(ROWS[0], ROWS[2], ROWS[3])
    (gap,) = table.gaps
    assert (gap.missing, gap.from_s) == (1, utc("2026-05-16T10:00"))
    cases = {
        "2026-05-01T00:00": None,
        "2026-05-10T00:00": 0,
        "2026-05-20T00:00": None,
        "2026-06-01T00:00": 1,
        "2026-06-14T00:45": 2,
        "2026-06-28T00:44": 2,
        "2026-06-28T00:45": None,
    }
    assert {at: table.row_at(utc(at)) for at in cases} == cases
    assert table.height_at(utc("2026-05-20T00:00")) is None
    assert table.height_at(utc("2026-06-14T01:45")) == 953_568 + 6


def test_early_epochs_say_no_start() -> None:
    """The first epochs, whose start nobody wrote down, would be placed in time."""
    table = epochs("0,0,,1d00ffff,1.0,\n", "1,2016,,1d00ffff,1.0,0\n", *ROWS)
    assert table.row_at(utc("2009-02-01T00:00")) is None
    assert table.row_at(utc("2026-05-10T00:00")) == 2
    assert table.gaps == ()


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("473,953568,2026-06-14T00:45Z,170240c3,124933866006548.16,0\n", "the difficulty of nBits 170240c3"),
        ("473,953569,2026-06-14T00:45Z,170240c3,124932866006548.16,0\n", "953568, which is 2016 times epoch 473"),
        ("472,951552,2026-06-14T00:45Z,170240c3,124932866006548.16,0\n", "a height above 951552"),
        ("473,953568,,170240c3,124932866006548.16,0\n", "a time such as"),
        ("473,953568,2026-05-14T00:45Z,170240c3,124932866006548.16,0\n", "goes back in time"),
        ("473,953568,2026-06-14T00:45Z,17c240c3,124932866006548.16,0\n", "nBits that a header may carry"),
        ("473,953568,2026-06-14T00:45Z,0x1702,124932866006548.16,0\n", "nBits of eight hexadecimal digits"),
        ("473,953568,2026-06-14T00:45Z,170240c3,nan,0\n", "a number for difficulty"),
        ("x,953568,2026-06-14T00:45Z,170240c3,124932866006548.16,0\n", "a whole number for epoch"),
        ("473,953568,2026-06-14T00:45Z\n", "6 fields"),
    ],
)
def test_wrong_epochs(row: str, expected: str) -> None:
    """A wrong epoch would become a difficulty."""
    with pytest.raises(SeriesError) as caught:
        epochs(*ROWS[:3], row)
    assert caught.value.line == 5
    assert expected in caught.value.expected


def test_wrong_header() -> None:
    """A table that lacks a column would be read with another in its place."""
    with pytest.raises(
        SeriesError, match=r"line 1: 'date,price_usd', expected the columns date,hashrate_ths,price_usd,fees"
    ):
        parse_coin_days(["date,price_usd\n", "2024-01-01,1\n"], "coin.csv")
