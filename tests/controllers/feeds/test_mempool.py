"""The mempool feed against a pretend instance, and against the documented examples."""

from __future__ import annotations

import asyncio
from math import nan
from pathlib import Path

import pytest

from controllers.feeds.feed import FeedFault
from controllers.feeds.mempool import MempoolFeed, MempoolTable, parse_fees, parse_height, parse_prices
from fleet.market import Quantity
from simulators.wire.mempool import MempoolServer, Tip, Trouble
from tests.controllers.feeds.conftest import START_S, Heard, SteppedClock, run_feed

TIP = Tip(height=825_904, difficulty=73_197_634_206_448.34, price_usd=42_511.6, fees_btc_block=0.8)
NOTHING = Tip(None, None, None, None)


def heard_from(*troubles: Trouble, tip: Tip = TIP, path: str = "") -> Heard:
    """What a feed makes of an instance that is in trouble at each look in turn."""

    async def run() -> Heard:
        server = MempoolServer(lambda _at_s: tip, SteppedClock(0))
        await server.start()
        left = list(troubles)

        class Turning(SteppedClock):
            async def sleep(self, seconds: float) -> None:
                if left:
                    server.trouble = left.pop(0)
                await super().sleep(seconds)

        server.trouble = left.pop(0)
        table = MempoolTable(kind="mempool", url=server.url + path, deadline_s=0.5, most_bytes=100_000)
        heard, clock = Heard(), Turning(len(troubles) - 1)
        task = asyncio.create_task(MempoolFeed(table, Path()).run(heard.put, heard.told.append, clock))
        try:
            async with asyncio.timeout(30):
                await clock.over.wait()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await server.close()
        return heard

    return asyncio.run(run())


@pytest.mark.parametrize("path", ["", "/", "/api", "/api/v1/"])
def test_the_four(path: str) -> None:
    """A quantity would be missing, in another unit, or read from another field."""
    heard = heard_from(Trouble.NONE, path=path)
    found = {quantity: signal.value for quantity, signal in heard.signals}
    assert found == {
        Quantity.COIN_USD: 42_512.0,
        Quantity.DIFFICULTY: 73_197_634_206_448.34,
        Quantity.HEIGHT: 825_904.0,
        Quantity.FEES_BTC_BLOCK: pytest.approx(0.8),
    }
    assert all(signal.heard_s == START_S and signal.source == "mempool" for _, signal in heard.signals)
    assert [state.ok for state in heard.told] == [True]


@pytest.mark.parametrize(
    ("trouble", "said", "kept"),
    [
        (Trouble.ERROR, "/api/v1/prices: HTTP status 500, expected 200", 0),
        (Trouble.LIMITED, "HTTP status 429, expected 200", 0),
        (Trouble.GARBAGE, "expected JSON", 0),
        (Trouble.LOST_NODE, "difficulty is 0, expected 1 to 1e+18", 0),
        (Trouble.HALF, "RemoteProtocolError", 0),
        (Trouble.HANG, "no whole answer within 0.5 s", 0),
        (Trouble.DRIP, "no whole answer within 0.5 s", 0),
        (Trouble.HUGE, "more than 100000 bytes", 0),
        (Trouble.STALE_PRICE, "s old, expected at most 7200 s", 3),
    ],
)
def test_an_instance_in_trouble(trouble: Trouble, said: str, kept: int) -> None:
    """An instance's trouble would become values, or end the feed, or keep it from coming back."""
    heard = heard_from(Trouble.NONE, trouble, Trouble.NONE)
    assert len(heard.signals) == 4 + kept + 4
    assert [state.ok for state in heard.told] == [True, False, True]
    error = heard.told[1].error
    assert error is not None
    assert said in error


def test_a_day_of_which_nothing_is_known() -> None:
    """An instance without a price source or chain would be believed in its -1 and 0."""
    heard = heard_from(Trouble.NONE, tip=NOTHING)
    assert heard.signals == []
    assert [state.ok for state in heard.told] == [False]


def test_documented_examples() -> None:
    """The answers that the documentation shows would not be read."""
    prices = {"time": 1_703_252_411, "USD": 43_753, "EUR": 40_545, "GBP": 37_528, "CAD": 58_123}
    assert parse_prices(prices, 1_703_252_500, 7_200) == (43_753, 1_703_252_411)
    rewards = {"startBlock": 740_875, "endBlock": 740_974, "totalReward": "63757391391", "totalFee": "1257391391"}
    assert parse_fees({**rewards, "totalTx": "209000"}) == pytest.approx(0.1257391391)
    assert parse_fees({**rewards, "totalReward": 63_757_391_391, "totalFee": 1_257_391_391}) == pytest.approx(
        0.1257391391
    )
    assert parse_height(b"825904\n") == 825_904


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        [],
        {"startBlock": 1, "endBlock": 144, "totalReward": "1"},
        {"startBlock": 1, "endBlock": 10, "totalReward": "9", "totalFee": "1"},
        {"startBlock": 144, "endBlock": 1, "totalReward": "9", "totalFee": "1"},
        {"startBlock": 1, "endBlock": 144, "totalReward": "9", "totalFee": "10"},
        {"startBlock": 1, "endBlock": 144, "totalReward": "9", "totalFee": nan},
    ],
)
def test_fees_of_something_else(wrong: object) -> None:
    """Fees would be made up of blocks that are not there."""
    with pytest.raises(FeedFault):
        parse_fees(wrong)


@pytest.mark.parametrize("body", [b"", b"-1", b"1e6", b"12345678901", b"Block not found", b"\xff"])
def test_height_of_something_else(body: bytes) -> None:
    """A height would be made of what is no whole number."""
    with pytest.raises(FeedFault, match="expected a whole number"):
        parse_height(body)


def test_run_feed_once() -> None:
    """The feed would need an event loop or a network to be made."""

    async def run() -> Heard:
        table = MempoolTable(kind="mempool", url="http://127.0.0.1:1", name="own node")
        return await run_feed(MempoolFeed(table, Path()))

    (state,) = asyncio.run(run()).told
    assert (state.source, state.ok) == ("own node", False)
    assert state.error is not None
    assert state.error.count("ConnectError") == 4
