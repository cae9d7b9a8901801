"""What a price file may hold, and what each wrong file is told."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fleet.series import SeriesError, decoded, parse_series

ROOT = Path(__file__).parents[2]
HOUSTON = ROOT / "simulators/scenarios/data/ercot_hb_houston_rtm_15min.csv.gz"
HEADER = "interval_start_utc,price_usd_mwh\n"


def utc(text: str) -> float:
    """UTC seconds of an ISO time."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def lines(*rows: str, header: str = HEADER) -> list[str]:
    """A file's lines."""
    return [header, *(f"{row}\n" for row in rows)]


def test_houston_prices() -> None:
    """The price file that demo and backtest run on would not be read as it stands."""
    series = parse_series(decoded(HOUSTON.read_bytes(), HOUSTON.name), HOUSTON.name, least=-300, most=10_000)
    assert (len(series), series.step_s, series.gaps, series.notes) == (139_560, 900.0, (), ())
    assert (series.from_s, series.until_s) == (utc("2021-01-08T06:00"), utc("2025-01-01T00:00"))
    assert series.value[0] == 17.67
    row = series.row_at(utc("2024-12-31T23:59"))
    assert row is not None
    assert series.value[row] == 51.37


@pytest.mark.parametrize(
    ("rows", "line", "value", "expected"),
    [
        (["2021-01-08T06:00Z,nan", "2021-01-08T06:15Z,1"], 2, "'nan'", "a number for price_usd_mwh"),
        (["2021-01-08T06:00Z,inf", "2021-01-08T06:15Z,1"], 2, "'inf'", "a number"),
        (["2021-01-08T06:00Z,1", "2021-01-08T06:15Z,"], 3, "''", "a number"),
        (["2021-01-08T06:00Z,1", "2021-01-08T06:15Z,1_000"], 3, "'1_000'", "a number"),
        (["2021-01-08T06:00Z,1", "2021-01-08T06:15Z,17."], 3, "'17.'", "a number"),
        (["2021-01-08T06:00Z,1", "2021-01-08T06:15Z,1e9"], 3, "'1e9'", "price_usd_mwh from -1000 to 10000"),
        (["2021-01-08T06:00Z,1", "2021-01-08T06:00Z,1"], 3, "06:00Z", "stands twice, as in a daylight-saving fold"),
        (["2021-01-08T06:15Z,1", "2021-01-08T06:00Z,1"], 3, "06:00Z", "after 2021-01-08T06:15Z: this one goes back"),
        (["2021-01-08T06:00Z,1", "2021-01-08T06:1"], 3, "2021-01-08T06:1", "2 fields"),
        (["2021-01-08T06:00Z,1", "08/01/2021 06:15,1"], 3, "08/01", "a time such as"),
        (["2021-01-08T06:00Z,1", "2021-01-08T06:15Z,1,2"], 3, "06:15Z,1,2", "2 fields"),
        (
            ["2021-01-08T06:00Z,1", "2021-01-08T06:15Z,1", "2021-01-08T06:20Z,1", "2021-01-08T06:35Z,1"],
            4,
            "2021-01-08T06:20Z",
            "2021-01-08T06:30Z: rows are 900 s apart",
        ),
        (["2021-01-08T06:00Z,1"], 0, "1 row(s)", "at least two"),
        ([], 0, "0 row(s)", "at least two"),
    ],
)
def test_wrong_rows(rows: list[str], line: int, value: str, expected: str) -> None:
    """A wrong row would become a price, or its message would not say file, line, value and what was expected."""
    with pytest.raises(SeriesError) as caught:
        parse_series(lines(*rows), "prices.csv", least=-1_000, most=10_000)
    error = caught.value
    assert error.line == line
    assert expected in error.expected
    said = str(error)
    assert said.startswith("prices.csv, line" if line else "prices.csv:")
    assert value in said


@pytest.mark.parametrize(
    ("header", "column", "expected"),
    [
        ("when,price_usd_mwh\n", None, "a header of a time"),
        ("interval_start_utc;price_usd_mwh\n", None, "a header of a time"),
        ("interval_start_utc\n", None, "a header of a time"),
        ("interval_start_utc,price_usd_mwh\n", "lmp", "a column named 'lmp'"),
        ("2021-01-08T06:00Z,17.67\n", None, "a header of a time"),
    ],
)
def test_wrong_header(header: str, column: str | None, expected: str) -> None:
    """A file of something else would be read as prices."""
    with pytest.raises(SeriesError) as caught:
        parse_series(lines("2021-01-08T06:00Z,1", header=header), "prices.csv", column=column)
    assert caught.value.line == 1
    assert expected in caught.value.expected


def test_empty_file() -> None:
    """An empty file would be a series of nothing."""
    with pytest.raises(SeriesError, match=r"prices\.csv: the file is empty, expected a header and rows"):
        parse_series([], "prices.csv")


def test_gap_is_said_and_has_no_value() -> None:
    """A missing row would be carried forward or interpolated."""
    rows = ("2021-01-08T06:00Z,1", "2021-01-08T06:15Z,2", "2021-01-08T07:00Z,3", "2021-01-08T07:15Z,4")
    series = parse_series(lines(*rows), "prices.csv")
    (gap,) = series.gaps
    assert (gap.from_s, gap.until_s, gap.missing) == (utc("2021-01-08T06:30"), utc("2021-01-08T07:00"), 2)
    said = "2 rows are missing before line 4: no value from 2021-01-08T06:30Z until 2021-01-08T07:00Z"
    assert gap.in_words() == said
    cases = {"05:59": None, "06:00": 0, "06:29": 1, "06:30": None, "06:59": None, "07:00": 2, "07:29": 3, "07:30": None}
    assert {at: series.row_at(utc(f"2021-01-08T{at}")) for at in cases} == cases
    at_s, value = series.on_grid(utc("2021-01-08T06:15"), utc("2021-01-08T07:15"))
    assert at_s.tolist() == [utc(f"2021-01-08T{at}") for at in ("06:15", "06:30", "06:45", "07:00")]
    np.testing.assert_equal(value, [2.0, np.nan, np.nan, 3.0])


AUTUMN = [
    "2021-11-07T00:00,1",
    "2021-11-07T01:00,2",
    "2021-11-07T01:00,3",
    "2021-11-07T02:00,4",
]
SPRING = ["2021-03-14T01:00,1", "2021-03-14T03:00,2", "2021-03-14T04:00,3"]


def test_local_time_with_its_zone() -> None:
    """The hour that autumn repeats would be dropped, or the hour that spring skips would be a gap."""
    autumn = parse_series(lines(*AUTUMN, header="time,price\n"), "p", time_zone="America/Chicago")
    assert autumn.gaps == ()
    assert autumn.at_s.tolist() == [utc(f"2021-11-07T0{hour}:00") for hour in (5, 6, 7, 8)]
    spring = parse_series(lines(*SPRING, header="time,price\n"), "p", time_zone="America/Chicago")
    assert (spring.gaps, spring.step_s) == ((), 3600.0)


@pytest.mark.parametrize(
    ("rows", "zone", "expected"),
    [
        (AUTUMN, None, "a time with its zone"),
        (AUTUMN, "UTC", "fold"),
        (AUTUMN[:2] + AUTUMN[3:], "America/Chicago", "two: the clocks go back over it"),
        ([*AUTUMN[:3], "2021-11-07T01:00,3"], "America/Chicago", "at most two rows of this time"),
        (["2021-03-14T01:00,1", "2021-03-14T02:00,2"], "America/Chicago", "the clocks go forward over it"),
        (AUTUMN, "America/Huston", "an IANA name"),
    ],
)
def test_local_time_that_cannot_be_known(rows: list[str], zone: str | None, expected: str) -> None:
    """A local time of unknown zone, or one that never was, would be placed by guessing."""
    with pytest.raises(SeriesError) as caught:
        parse_series(lines(*rows, header="time,price\n"), "p", time_zone=zone)
    assert expected in caught.value.expected


def test_zone_against_header() -> None:
    """A file that says UTC would be shifted by a zone given for it."""
    with pytest.raises(SeriesError, match="time zone 'America/Chicago', not UTC"):
        parse_series(lines("2021-01-08T06:00,1"), "p", time_zone="America/Chicago")


@pytest.mark.parametrize(
    ("header", "rows", "step_s"),
    [
        ("time,price\n", ["2021-01-08 06:00:00+00:00,1", "2021-01-08 07:00:00+00:00,2"], 3600.0),
        ("date,price\n", ["2021-01-08,1", "2021-01-09,2"], 86_400.0),
        ("interval_start_utc,price\n", ["2021-01-08T06:00,1", "2021-01-08T06:05,2"], 300.0),
        ("timestamp,forecast,price\r\n", ["2021-01-08T06:00-06:00,1,2", "2021-01-08T06:30-06:00,1,2"], 1800.0),
        ("\ufefftime,price\n", ["2021-01-08T06:00Z,1", "", "2021-01-08T07:00Z,2"], 3600.0),
    ],
)
def test_other_markets(header: str, rows: list[str], step_s: float) -> None:
    """Another market's file of the same form would not run unchanged."""
    column = "price"
    series = parse_series(lines(*rows, header=header), "p", column=column)
    assert (series.step_s, len(series), series.column) == (step_s, 2, "price")


def test_last_line_without_an_end() -> None:
    """A file cut within its last value would pass without a word."""
    series = parse_series([HEADER, "2021-01-08T06:00Z,17.67\n", "2021-01-08T06:15Z,1"], "p")
    (note,) = series.notes
    assert "line 3 has no line end" in note


@pytest.mark.parametrize(
    ("content", "line", "expected"),
    [
        (gzip.compress(b"interval_start_utc,price_usd_mwh\n" * 100, mtime=0)[:40], 0, "a whole gzip file"),
        (b"\x1f\x8bnot really gzip", 0, "a whole gzip file"),
        (b"time,price\n2021-01-08T06:00Z,1\xff\n", 2, "UTF-8 text"),
    ],
)
def test_damaged_bytes(content: bytes, line: int, expected: str) -> None:
    """Half a file would be taken for a whole one, or end in a traceback."""
    with pytest.raises(SeriesError) as caught:
        decoded(content, "p")
    assert caught.value.line == line
    assert expected in caught.value.expected


@given(st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=30), st.sets(st.integers(3, 28), max_size=20))
def test_every_row_comes_back(values: list[float], dropped: set[int]) -> None:
    """A value would move to another interval when rows before it are missing."""
    kept = [row for row in range(len(values)) if row not in dropped]
    step_s = 900.0
    start = utc("2021-01-08T06:00")

    def when(row: int) -> str:
        return datetime.fromtimestamp(start + row * step_s, UTC).strftime("%Y-%m-%dT%H:%MZ")

    distances = [later - earlier for earlier, later in pairwise(kept)]
    assume(distances.count(1) >= max(distances.count(distance) for distance in distances))
    series = parse_series(lines(*(f"{when(row)},{values[row]!r}" for row in kept)), "p")
    assert sum(gap.missing for gap in series.gaps) == kept[-1] + 1 - len(kept)
    for row in range(kept[-1] + 1):
        found = series.row_at(start + row * step_s + 1)
        assert (found is None) == (row in dropped)
        assert found is None or series.value[found] == values[row]
