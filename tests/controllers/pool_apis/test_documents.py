"""What is read from pools' documents: as they are documented, and as they are not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from controllers.feeds.feed import FeedFault
from controllers.pool_apis import PoolApiSettings, check_pool_apis
from controllers.pool_apis.api import by_machine
from controllers.pool_apis.table import Worked

TABLE: TypeAdapter[PoolApiSettings] = TypeAdapter(PoolApiSettings)
NOW_S = 1_705_320_000.0
URL = "https://pool.example/users/bc1q"
CKPOOL = {"kind": "ckpool", "url": URL}
BRAIINS = {"kind": "braiins", "token_env": "TOKEN"}
COUNTED = {"kind": "http-json", "url": URL, "workers_at": "data", "worker": "name", "work": "accepted"}
RATED = {**COUNTED, "work": None, "rate": "speed.hour", "unit": "GH/s", "window_s": 3_600}
CKPOOL_PAGE = {
    "hashrate5m": "201T",
    "workers": 2,
    "worker": [
        {"workername": "bc1q.m0", "hashrate5m": "101T", "lastshare": 1705319990, "shares": 4_294_967, "bestshare": 9e9},
        {"workername": "bc1q.rack-3.m1", "hashrate5m": "100T", "lastshare": 1705319991, "shares": 0, "bestshare": 0},
    ],
}
BRAIINS_PAGE = {
    "btc": {
        "workers": {
            "acct.m0": {
                "state": "ok",
                "last_share": 1705319990,
                "hash_rate_unit": "Gh/s",
                "hash_rate_scoring": 14_000,
                "hash_rate_5m": 90_000,
                "hash_rate_60m": 95_000.5,
                "hash_rate_24h": 99_000,
            },
            "acct.m1": {"hash_rate_unit": "Th/s", "hash_rate_5m": 1, "hash_rate_60m": 100, "hash_rate_24h": 100},
        }
    }
}


def table(**fields: Any) -> PoolApiSettings:
    """A table of the site file."""
    return TABLE.validate_python({key: value for key, value in fields.items() if value is not None})


@pytest.mark.parametrize(
    ("fields", "document", "said"),
    [
        (CKPOOL, CKPOOL_PAGE, {"m0": Worked(NOW_S, 4_294_967.0), "m1": Worked(NOW_S, 0.0)}),
        (
            BRAIINS,
            BRAIINS_PAGE,
            {"m0": Worked(NOW_S, None, 95.0005, 3_600.0), "m1": Worked(NOW_S, None, 100.0, 3_600.0)},
        ),
        (
            {**BRAIINS, "window": "24h"},
            BRAIINS_PAGE,
            {"m0": Worked(NOW_S, None, 99.0, 86_400.0), "m1": Worked(NOW_S, None, 100.0, 86_400.0)},
        ),
        (COUNTED, {"data": [{"name": "a.m0", "accepted": "12.5"}]}, {"m0": Worked(NOW_S, 12.5)}),
        (
            {**COUNTED, "workers": {"a.left": "m0"}},
            {"data": [{"name": "a.left", "accepted": 3}]},
            {"m0": Worked(NOW_S, 3.0)},
        ),
        ({**COUNTED, "worker": None}, {"data": {"a.m0": {"accepted": 7}}}, {"m0": Worked(NOW_S, 7.0)}),
        (RATED, {"data": [{"name": "m0", "speed": {"hour": 1_500}}]}, {"m0": Worked(NOW_S, None, 1.5, 3_600.0)}),
        (
            {**COUNTED, "at": "time"},
            {"time": "2024-01-15T11:59:00Z", "data": [{"name": "m0", "accepted": 1}]},
            {"m0": Worked(NOW_S - 60, 1.0)},
        ),
        # two workers of one machine are one machine's work; what one of them lacks is not known of it
        (
            COUNTED,
            {"data": [{"name": "a.m0", "accepted": 1}, {"name": "b.m0", "accepted": 2}]},
            {"m0": Worked(NOW_S, 3.0)},
        ),
    ],
)
def test_documents_as_they_are_documented(fields: dict[str, Any], document: Any, said: dict[str, Worked]) -> None:
    """A worker's work that is another machine's, in another unit, or of another time."""
    api = table(**fields)
    found = by_machine(api, api.read(document, NOW_S))
    assert found == said


@pytest.mark.parametrize(
    ("fields", "document", "said"),
    [
        (CKPOOL, [], "no list `worker`, expected ckpool's page of a user"),
        (CKPOOL, {"worker": [{}]}, "a worker without `workername`"),
        (CKPOOL, {"worker": [{"workername": "a.m0", "shares": None}]}, "shares of a.m0 is None, expected a number"),
        (CKPOOL, {"worker": [{"workername": "a.m0", "shares": -1}]}, "shares of a.m0 is -1, expected none below 0"),
        (BRAIINS, {"error": "no"}, "no table `btc.workers`"),
        (BRAIINS, {"btc": {"workers": {"a.m0": 3}}}, "worker a.m0 is no table"),
        (
            BRAIINS,
            {"btc": {"workers": {"a.m0": {"hash_rate_60m": 1, "hash_rate_unit": "Sol/s"}}}},
            "hash rate in 'Sol/s', expected one of H/s",
        ),
        (BRAIINS, {"btc": {"workers": {"a.m0": {"hash_rate_unit": "Th/s"}}}}, "hash_rate_60m of a.m0 is None"),
        (COUNTED, {"data": 3}, "data is no list and no table, expected the workers"),
        (COUNTED, {"data": [{"accepted": 1}]}, "name finds nothing"),
        (COUNTED, {"data": [{"name": 4, "accepted": 1}]}, "name is '4', expected a worker's name"),
        (COUNTED, {"data": [{"name": "a.m0", "accepted": "NaN"}]}, "accepted of a.m0 is 'NaN', expected a number"),
        (COUNTED, {}, "data finds nothing in what came"),
        (
            {**COUNTED, "at": "time"},
            {"time": "2024-01-14T12:00Z", "data": []},
            "what it says is 86400 s old, expected at most 900 s",
        ),
    ],
)
def test_other_documents_are_faults(fields: dict[str, Any], document: Any, said: str) -> None:
    """A pool's error page that is read as machines which deliver nothing."""
    api = table(**fields)
    with pytest.raises(FeedFault) as fault:
        api.read(document, NOW_S)
    assert said in str(fault.value)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "braiins"}, "no token_file and no token_env"),
        ({**CKPOOL, "url": "https://me:secret@pool.example/x"}, "expected no user or password in it"),
        ({**COUNTED, "work": None}, "work and rate: expected exactly one of them"),
        ({**COUNTED, "rate": "x", "window_s": 60}, "work and rate: expected exactly one of them"),
        ({**RATED, "window_s": None}, "rate and window_s: expected both or neither"),
        ({**RATED, "unit": "Sol/s"}, "unit: hash rate in 'Sol/s'"),
        ({**COUNTED, "workers_at": "data["}, "expected JMESPath"),
        ({"kind": "telegraph"}, "'braiins', 'ckpool', 'http-json'"),
    ],
)
def test_refused_tables(fields: dict[str, Any], said: str) -> None:
    """A table that can never say anything, found out only when somebody misses its word."""
    with pytest.raises(ValidationError) as caught:
        table(**fields)
    assert said in str(caught.value)


def test_names_of_apis_and_machines() -> None:
    """Two APIs that cannot be told apart, or a worker given to a machine that is not there."""
    with pytest.raises(ValueError, match="two pool_apis are named 'ckpool'"):
        check_pool_apis([table(**CKPOOL), table(**CKPOOL)], {"m0"})
    with pytest.raises(ValueError, match=r"workers\.a\.b is 'm9', expected a machine's id"):
        check_pool_apis([table(**CKPOOL, workers={"a.b": "m9"})], {"m0"})
    check_pool_apis([table(**CKPOOL), table(**CKPOOL, name="other", workers={"a": "m0"})], {"m0"})
