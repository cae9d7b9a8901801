"""Tariffs: what a megawatt-hour costs at a moment, and which tables are refused with what is wrong named."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from fleet.market import Market, Quantity, Signal
from policies.tariff import FixedTariff, IndexTariff, Tariff, TimeOfUseTariff

NOTHING = Market()
ANY_TARIFF: TypeAdapter[Any] = TypeAdapter(Tariff)
WORK, WEEKEND = ("mon", "tue", "wed", "thu", "fri"), ("sat", "sun")
SUMMER: dict[str, Any] = {
    "kind": "time-of-use",
    "zone": "America/Chicago",
    "adder_usd_mwh": 5,
    "bands": [
        {"usd_mwh": 30, "weekdays": WORK, "end": "06:00"},
        {"usd_mwh": 45, "weekdays": WORK, "start": "06:00", "end": "14:10"},
        {"usd_mwh": 120, "weekdays": WORK, "start": "14:10", "end": "20:00", "months": [6, 7, 8, 9]},
        {"usd_mwh": 60, "weekdays": WORK, "start": "14:10", "end": "20:00", "months": [1, 2, 3, 4, 5, 10, 11, 12]},
        {"usd_mwh": 30, "weekdays": WORK, "start": "20:00"},
        {"usd_mwh": 25, "weekdays": WEEKEND},
    ],
}

TARIFF = TimeOfUseTariff(**SUMMER)


def at(text: str, zone: str = "America/Chicago", fold: int = 0) -> float:
    """UTC seconds of a local time."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def index(value: float, heard_s: float = 0.0) -> Market:
    """A market that knows the index alone."""
    return Market({Quantity.POWER_USD_MWH: (Signal(value, heard_s, heard_s, "test"),)})


@pytest.mark.parametrize(
    ("moment", "usd_mwh"),
    [
        ("2026-07-06 05:59:59", 35),
        ("2026-07-06 06:00", 50),
        ("2026-07-06 14:09:59", 50),
        ("2026-07-06 14:10", 125),
        ("2026-01-05 14:10", 65),
        ("2026-07-06 20:00", 35),
        ("2026-07-04 15:00", 30),
        # the day the clocks go forward has no 02:30; the day they go back has it twice
        ("2026-03-08 01:59", 30),
        ("2026-03-08 03:00", 30),
        ("2026-03-09 05:59", 35),
        ("2026-11-02 05:59", 35),
    ],
)
def test_time_of_use(moment: str, usd_mwh: float) -> None:
    """A local moment's band is the price, to the minute, with the adder."""
    assert TimeOfUseTariff(**SUMMER).price_usd_mwh(at(moment), NOTHING, 0.0) == usd_mwh


@pytest.mark.parametrize(
    ("moment", "change"),
    [
        ("2026-07-06 05:00", "2026-07-06 06:00"),
        ("2026-07-06 06:00", "2026-07-06 14:10"),
        ("2026-07-06 14:10", "2026-07-06 20:00"),
        # from Friday evening straight to Saturday's table; from Sunday to Monday over midnight
        ("2026-07-10 21:00", "2026-07-11 00:00"),
        ("2026-07-12 13:00", "2026-07-13 00:00"),
        # the night in which the clocks go forward, and the one in which they go back
        ("2026-03-07 12:00", "2026-03-09 00:00"),
        ("2026-11-01 00:30", "2026-11-02 00:00"),
    ],
)
def test_the_next_change_is_to_the_minute(moment: str, change: str) -> None:
    """The next change is the minute at which the price really differs, also over daylight saving's nights."""
    assert TimeOfUseTariff(**SUMMER).next_change_s(at(moment)) == at(change)


@settings(max_examples=50)
@given(st.integers(1_767_000_000, 1_799_000_000))
def test_every_second_has_one_price_until_the_next_change(second: int) -> None:
    """At every second of a year there is a price, and it holds until the change that is announced."""
    tariff = TARIFF
    now, change_s = tariff.price_usd_mwh(second, NOTHING, 0.0), tariff.next_change_s(second)
    assert change_s is not None
    assert second < change_s
    assert tariff.price_usd_mwh(change_s - 1, NOTHING, 0.0) == now
    assert tariff.price_usd_mwh(change_s, NOTHING, 0.0) != now
    assert second < tariff.known_until_s(second, NOTHING, 0.0) <= second + 3_600


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bands": SUMMER["bands"][:-1]}, "no band at month 1, sat 00:00, expected one"),
        (
            {"bands": [*SUMMER["bands"], {"usd_mwh": 1, "weekdays": ["sun"], "start": "23:00"}]},
            "bands 5 and 6 overlap at month 1, sun 23:00",
        ),
        ({"bands": [{"usd_mwh": 1, "months": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]}]}, "no band at month 12, mon 00:00"),
        ({"bands": [{"usd_mwh": 1, "start": "20:00", "end": "06:00"}]}, "split it at midnight"),
        ({"bands": [{"usd_mwh": 1, "start": "06:00:30"}]}, "whole minutes"),
        ({"bands": [{"usd_mwh": 1, "months": [13]}]}, "less than or equal to 12"),
        ({"bands": [{"usd_mwh": 50_000}]}, "less than or equal to 20000"),
        ({"bands": []}, "no band at month 1, mon 00:00"),
        ({"zone": "America/Houston"}, "time zone 'America/Houston' is not known, expected an IANA name"),
        ({"zone": "../../etc/passwd"}, "is not known, expected an IANA name"),
        ({"extra": 1}, "Extra inputs are not permitted"),
    ],
)
def test_a_wrong_table_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    """A hole, an overlap, a wrong zone or an unknown key is refused when the site file is read, and says where."""
    with pytest.raises(ValidationError) as caught:
        ANY_TARIFF.validate_python({**SUMMER, **change})
    assert message in str(caught.value)


def test_fixed() -> None:
    """One price, always, which nothing changes."""
    tariff = FixedTariff(usd_mwh=58.0)
    assert tariff.price_usd_mwh(0.0, NOTHING, 0.0) == 58.0
    assert tariff.next_change_s(0.0) is None
    assert tariff.uses() == ()


@pytest.mark.parametrize(
    ("settings", "value", "usd_mwh"),
    [
        ({}, 40.0, 40.0),
        ({"adder_usd_mwh": 12.5, "losses": 0.03}, 40.0, 40 * 1.03 + 12.5),
        ({"adder_usd_mwh": 12.5, "losses": 0.03}, -40.0, -40 * 1.03 + 12.5),
        ({"least_usd_mwh": 0.0, "adder_usd_mwh": 12.5}, -40.0, 12.5),
        ({}, float("nan"), None),
        ({}, float("inf"), None),
    ],
)
def test_an_index(settings: dict[str, Any], value: float, usd_mwh: float | None) -> None:
    """Index * (1 + losses) + adder, floored where the contract says so; what is no number is no price."""
    found = IndexTariff(**settings).price_usd_mwh(0.0, index(value), 60.0)
    assert found == (None if usd_mwh is None else pytest.approx(usd_mwh))


def test_an_old_index_is_no_price() -> None:
    """A signal older than its reader allows is not known, not the last value for ever."""
    assert IndexTariff().price_usd_mwh(61.0, index(40.0), 60.0) is None
    assert IndexTariff().price_usd_mwh(60.0, index(40.0), 60.0) == 40.0
