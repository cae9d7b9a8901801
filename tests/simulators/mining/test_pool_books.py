"""Vardiff, and what a pretend pool tells of its workers: the product's own readers take it for ckpool and Braiins Pool."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.pool_apis.braiins import BraiinsTable
from controllers.pool_apis.ckpool import CkpoolTable
from fleet.catalogue import ANTMINER, LUXOS
from simulators.wire.pool_api import suffixed
from simulators.wire.pool_books import WorkerBook
from simulators.wire.pool_vardiff import Vardiff
from tests.simulators.mining.conftest import ACCOUNT, Dig

LEAST, MOST = 1.0, 1e12


def settled(rate: float, wanted: float, start: float, hours: float = 1.0, seed: int = 1) -> tuple[Vardiff, int]:
    """Vardiff after some time with a machine of `rate` (difficulty a second), and how often it moved in the second half."""
    draws = np.random.default_rng(seed)
    vardiff, at_s, late = Vardiff(start, LEAST, MOST, wanted, 60.0, 0.0), 0.0, 0
    while at_s < hours * 3_600.0:
        next_s = draws.exponential(vardiff.difficulty / rate)
        at_s += min(next_s, 30.0)
        if next_s > 30.0:  # a job comes, and with it a look at who brings nothing
            vardiff.ease(at_s)
            continue
        late += vardiff.share(at_s, vardiff.difficulty) and at_s > hours * 1_800.0
    return vardiff, late


@pytest.mark.parametrize("start", [1.0, 1_024.0, 2.0**30])
@pytest.mark.parametrize("wanted", [6.0, 18.0, 120.0])
def test_vardiff_settles_where_the_shares_are_wanted(start: float, wanted: float) -> None:
    """If this fails, a machine floods its pool, or is asked for more than it can bring, for good."""
    rate = 47_000.0  # 200 TH/s
    vardiff, moved = settled(rate, wanted, start, hours=3.0)
    shares_per_min = rate * 60.0 / vardiff.difficulty
    assert wanted / 2.2 < shares_per_min < wanted * 2.2
    assert moved <= 10


def test_vardiff_that_is_switched_off_never_moves() -> None:
    """If this fails, a pool with fixed difficulty changes it."""
    vardiff, _ = settled(47_000.0, 0.0, 1_024.0, hours=0.05)
    assert vardiff.difficulty == 1_024.0


@given(
    steps=st.lists(st.tuples(st.floats(0.001, 1e4), st.sampled_from(["share", "ease", "set"]), st.floats(1e-9, 1e18))),
    wanted=st.floats(0.1, 1e4),
)
def test_vardiff_stays_within_its_limits(steps: list[tuple[float, str, float]], wanted: float) -> None:
    """If this fails, a stream of shares can drive the difficulty out of the pool's range."""
    vardiff, at_s = Vardiff(4_096.0, LEAST, MOST, wanted, 60.0, 0.0), 0.0
    for passed_s, step, value in steps:
        at_s += passed_s
        match step:
            case "share":
                vardiff.share(at_s, vardiff.difficulty)
            case "ease":
                vardiff.ease(at_s)
            case _:
                vardiff.set(at_s, value)
        assert LEAST <= vardiff.difficulty <= MOST


def test_a_machine_that_went_quiet_is_asked_for_less() -> None:
    """If this fails, a machine that was throttled to a tenth waits for its next share for an hour."""
    vardiff = Vardiff(2.0**20, LEAST, MOST, 12.0, 60.0, 0.0)
    assert [vardiff.ease(at_s) for at_s in (100.0, 479.0, 481.0, 482.0)] == [False, False, True, False]
    assert vardiff.difficulty == 2.0**19


def test_a_machine_that_slept_does_not_wake_to_a_flood() -> None:
    """If this fails, a night's sleep brings the difficulty down to nothing, and the morning a million shares."""
    vardiff = Vardiff(2.0**20, LEAST, MOST, 12.0, 60.0, 0.0)
    for minute in range(600):
        vardiff.ease(60.0 * minute)
    assert vardiff.difficulty == 2.0**16
    for second in range(8):
        vardiff.share(36_000.0 + second, vardiff.difficulty)
    assert vardiff.difficulty == 2.0**16


def read(url: str, token: str = "") -> tuple[int, Any]:
    """A page, by somebody else's client."""
    request = urllib.request.Request(url, headers={"Pool-Auth-Token": token})  # noqa: S310  loopback
    try:
        with urllib.request.urlopen(request, timeout=5.0) as answer:  # noqa: S310  loopback
            return answer.status, orjson.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, orjson.loads(error.read())


def test_the_products_readers_take_the_pages_for_real_ones(dig: Dig, virtually: Any) -> None:
    """If this fails, the pretend pool's pages are not what ckpool and Braiins Pool serve, or the product misreads those."""

    async def run() -> tuple[Any, Any, dict[str, float], float]:
        async with dig(dialects=(LUXOS, ANTMINER)) as world:
            await asyncio.sleep(40.0)
            pool = world.pools["pool"]
            api = world.pages["pool"]
            _, user = api.page(f"GET /users/{ACCOUNT} HTTP/1.1\r\n\r\n".encode())
            _, workers = api.page(b"GET /accounts/workers/json/btc/ HTTP/1.1\r\n\r\n")
            return user, workers, {name: book.work for name, book in pool.books.items()}, world.now()

    user, workers, work, now_s = virtually(run())
    ckpool = CkpoolTable(kind="ckpool", url="http://127.0.0.1:3336/users/hashwatt")
    told = ckpool.read(orjson.loads(orjson.dumps(user)), now_s)
    assert {name: one.work for name, one in told.items()} == pytest.approx(work)
    braiins = BraiinsTable(kind="braiins", token_env="NOBODY", window="60m")
    rates = braiins.read(orjson.loads(orjson.dumps(workers)), now_s)
    for name, credited in work.items():
        expected_ths = credited * 2**32 / 3_600.0 / 1e12
        assert rates[name].rate_ths == pytest.approx(expected_ths, rel=0.05)
        assert rates[name].window_s == 3_600.0
    assert user["workers"] == 2
    assert user["shares"] == sum(work.values())


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (f"GET /users/{ACCOUNT} HTTP/1.1", 200),
        ("GET /users/nobody HTTP/1.1", 404),
        ("GET /accounts/workers/json/btc/ HTTP/1.1", 403),
        ("GET /accounts/workers/json/btc/ HTTP/1.1\r\nPool-Auth-Token: secret", 200),
        ("GET / HTTP/1.1", 404),
        ("POST /users/hashwatt HTTP/1.1", 405),
        ("GET", 405),
    ],
)
def test_pages(pool: Any, request_line: str, status: int) -> None:
    """If this fails, a page is given to whom it is not, or not to whom it is."""
    from simulators.wire.pool_api import PoolApiServer

    async def run() -> str:
        async with pool() as made:
            made.book(f"{ACCOUNT}.one")
            return PoolApiServer(made, "secret").page(f"{request_line}\r\n\r\n".encode())[0]

    assert asyncio.run(run()).startswith(str(status))


def test_the_pages_are_served(pool: Any) -> None:
    """If this fails, no HTTP client gets the pages."""
    from simulators.wire.pool_api import PoolApiServer

    async def run() -> list[int]:
        async with pool() as made:
            made.book(f"{ACCOUNT}.one").credit(made.clock.now(), 8_192.0, 10_000.0)
            api = PoolApiServer(made, "secret")
            await api.start()
            try:
                pages = [
                    (f"/users/{ACCOUNT}", ""),
                    ("/accounts/workers/json/btc/", "secret"),
                    ("/accounts/workers/json/btc/", ""),
                ]
                answers = [await asyncio.to_thread(read, api.url + path, token) for path, token in pages]
            finally:
                await api.close()
            return [status for status, _ in answers]

    assert asyncio.run(run()) == [200, 200, 403]


def test_averages_are_what_ckpool_keeps() -> None:
    """If this fails, a worker of constant rate is told another one, or one that stopped does not fade."""
    book = WorkerBook("a.b", since_s=0.0)
    for second in range(1, 3_601):
        book.credit(float(second), 500.0, 600.0)
    assert book.rates[0] == pytest.approx(500.0, rel=0.02)
    assert book.rates[1] == pytest.approx(500.0, rel=0.02)
    assert book.lately(3_600.0, 300.0)[1] == pytest.approx(500.0 * 300, rel=0.25)
    book.decay(3_900.0)
    assert book.rates[0] < 260.0


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (999.0, "999"), (1_234.0, "1.23K"), (1.5e12, "1.5T"), (2.26e15, "2.26P")]
)
def test_numbers_as_ckpool_writes_them(value: float, text: str) -> None:
    """If this fails, who reads hash rates with suffixes reads other ones."""
    assert suffixed(value) == text
