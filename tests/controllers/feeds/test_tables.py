"""The site file's feeds: what is refused before anything runs."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from controllers.feeds import FeedRefused, FeedSettings, check_sources, open_feed
from fleet.market import Quantity
from fleet.plausible import RANGES, UNITS

TABLE: TypeAdapter[FeedSettings] = TypeAdapter(FeedSettings)
FIXED = {"kind": "fixed", "quantity": "power_usd_mwh", "unit": "USD/MWh", "value": 45}
HTTP = {"kind": "http", "quantity": "coin_usd", "unit": "USD", "url": "http://127.0.0.1:1/price", "value": "last"}
CSV = {"kind": "csv", "quantity": "power_usd_mwh", "unit": "USD/MWh", "file": "prices.csv"}
GOOD = "interval_start_utc,price_usd_mwh\n2024-01-15T12:00Z,17.67\n2024-01-15T12:15Z,18.2\n"


def table(**fields: Any) -> FeedSettings:
    """A table of the site file."""
    return TABLE.validate_python(fields)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {**FIXED, "unit": "EUR/MWh"},
            "unit 'EUR/MWh' for power_usd_mwh, expected one of 'USD/MWh', 'USD/kWh', 'c/kWh'",
        ),
        ({**FIXED, "unit": "USD"}, "expected one of 'USD/MWh'"),
        ({**FIXED, "unit": "usd/mwh"}, "expected one of 'USD/MWh'"),
        ({**FIXED, "quantity": "power"}, "Input should be 'coin_usd', 'difficulty'"),
        ({**FIXED, "value": float("nan")}, "finite number"),
        ({**FIXED, "value": "45 $"}, "valid number"),
        ({**FIXED, "vlaue": 45}, "Extra inputs are not permitted"),
        ({**FIXED, "least": 10, "most": 10}, "expected least below most"),
        ({**FIXED, "max_age_s": 0}, "greater than 0"),
        ({**FIXED, "period_s": 1}, "greater than or equal to 5"),
        ({**FIXED, "kind": "telex"}, "'fixed', 'csv', 'http', 'mempool'"),
        ({**HTTP, "url": "ftp://127.0.0.1/price"}, "expected http://"),
        ({**HTTP, "url": "http://me:secret@127.0.0.1/price"}, "expected no user or password in it"),
        ({**HTTP, "value": "data[0"}, "expected JMESPath"),
        ({**HTTP, "deadline_s": 0}, "greater than or equal to 0.1"),
        ({"kind": "mempool", "url": "mempool.space"}, "expected http://"),
        ({"kind": "mempool", "url": "https://mempool.space", "period_s": 10}, "greater than or equal to 60"),
    ],
)
def test_refused_tables(fields: dict[str, Any], said: str) -> None:
    """A wrong unit, range, address or key would be found out only when machines are commanded on it."""
    with pytest.raises(ValidationError) as caught:
        table(**fields)
    assert said in str(caught.value)
    assert "me:secret" not in str(caught.value.errors(include_input=False, include_url=False))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({**FIXED, "value": 1e9}, "feed 'fixed power_usd_mwh': power_usd_mwh is 1e+09, expected -1000 to 10000"),
        ({**FIXED, "unit": "USD/kWh", "value": 45}, "power_usd_mwh is 45000, expected -1000 to 10000"),
        ({**FIXED, "value": 600, "most": 500}, "power_usd_mwh is 600, expected -1000 to 500"),
        ({**CSV, "file": "nowhere.csv"}, "nowhere.csv: No such file or directory, expected a file that can be read"),
        ({**CSV, "unit": "USD/kWh"}, "line 2: '17.67', expected price_usd_mwh from -1 to 10"),
        (
            {**CSV, "unit": "c/kWh"},
            "line 1: 'price_usd_mwh', expected a column in c/kWh, the unit of the site file, not USD/MWh",
        ),
        ({**CSV, "most": 18}, "line 3: '18.2', expected price_usd_mwh from -1000 to 18"),
        ({**CSV, "column": "lmp"}, "line 1: 'interval_start_utc,price_usd_mwh', expected a column named 'lmp'"),
        ({**CSV, "file": "half.csv.gz"}, "half.csv.gz: 'Compressed file ended before"),
        (
            {**CSV, "file": "fold.csv"},
            "line 3: '2024-01-15T12:00Z', expected a time after 2024-01-15T12:00Z: this one stands twice",
        ),
        ({**CSV, "file": "cut.csv"}, "cut.csv, line 3: '2024-01-15T12:', expected 2 fields"),
        ({**CSV, "file": "nan.csv"}, "line 2: 'nan', expected a number for price_usd_mwh"),
        ({**CSV, "file": "dear.csv"}, "line 2: '1e9', expected price_usd_mwh from -1000 to 10000"),
        (
            {**CSV, "file": "euro.csv"},
            "line 1: 'price_eur_mwh', expected a column in USD/MWh, the unit of the site file, not EUR/MWh",
        ),
        ({**CSV, "file": "."}, "expected a file that can be read"),
        ({**HTTP, "token_file": "token"}, "token file token cannot be read: FileNotFoundError"),
        ({**HTTP, "token_env": "HASHWATT_NO_SUCH"}, "environment variable HASHWATT_NO_SUCH is not set"),
        ({**HTTP, "token_env": "A", "token_file": "b"}, "token_file and token_env are both given"),
        ({**HTTP, "token_file": "two-lines"}, "the token of two-lines, expected one line of printable ASCII"),
    ],
)
def test_feeds_that_cannot_be_opened(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    """A value out of range, a file or a secret that is not there would be found out when the daemon runs."""
    (tmp_path / "prices.csv").write_text(GOOD)
    (tmp_path / "half.csv.gz").write_bytes(gzip.compress(GOOD.encode())[:-12])
    (tmp_path / "fold.csv").write_text(GOOD.replace("12:15Z", "12:00Z"))
    (tmp_path / "cut.csv").write_text(GOOD[: GOOD.index("15Z,18")])
    (tmp_path / "nan.csv").write_text(GOOD.replace("17.67", "nan"))
    (tmp_path / "dear.csv").write_text(GOOD.replace("17.67", "1e9"))
    (tmp_path / "euro.csv").write_text(GOOD.replace("usd", "eur"))
    (tmp_path / "two-lines").write_text("secret-of-one\nsecret-of-two\n")
    with pytest.raises(FeedRefused) as caught:
        open_feed(table(**fields), tmp_path)
    assert said in str(caught.value)
    assert "secret-of" not in str(caught.value)


def test_sources_have_names_of_their_own(tmp_path: Path) -> None:
    """Two feeds of one name would overwrite each other's signals, and one would seem to corroborate itself."""
    (tmp_path / "prices.csv").write_text(GOOD)
    one, other, third = table(**FIXED), table(**CSV), table(**FIXED, name="contract")
    check_sources([one, other, third])
    assert [open_feed(each, tmp_path).source for each in (one, other, third)] == [
        "fixed power_usd_mwh",
        "csv power_usd_mwh",
        "contract",
    ]
    with pytest.raises(ValueError, match="two feeds are named 'contract'"):
        check_sources([third, one, third])


def test_every_quantity_has_units_and_a_range() -> None:
    """A new quantity would have no unit, or no range to be believed in."""
    assert set(UNITS) == set(RANGES) == set(Quantity)
    assert all(1.0 in units.values() for units in UNITS.values())
