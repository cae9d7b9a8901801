"""A mempool instance (mempool.space, or one's own beside a Bitcoin node): coin price, difficulty, height and fees.

Four documented requests (https://mempool.space/docs/api/rest): prices, the tip's height, the current difficulty from the
hash-rate charts, and the reward statistics of the last 144 blocks, whose fees are what an FPPS pool pays by. Each stands
for itself: what one fails to give ages, the others stay fresh. An instance that has lost its node says zero difficulty
and a price of -1; neither is plausible, so neither is taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from controllers.feeds.exchange import Exchange, Url, WebTable
from controllers.feeds.feed import (
    Clock,
    FeedFault,
    FeedState,
    Put,
    Tell,
    Watch,
    as_number,
    as_time,
    look_regularly,
    not_too_old,
    plausible,
)
from fleet.market import Quantity, Signal
from fleet.network import FEE_BLOCKS, SATOSHI_PER_BTC
from fleet.plausible import RANGES
from fleet.settings import Fraction

QUANTITIES = (Quantity.COIN_USD, Quantity.DIFFICULTY, Quantity.HEIGHT, Quantity.FEES_BTC_BLOCK)


class MempoolTable(WebTable):
    """A mempool instance, by the address of its web page or of its interface."""

    kind: Literal["mempool"]
    url: Url
    """Such as "https://mempool.space" or "http://10.0.0.5:4080/api"."""
    period_s: Annotated[float, Field(ge=60, le=86_400)] = 300
    """The public instance limits the rate and bans those who exceed it."""
    price_max_age_s: Annotated[float, Field(ge=60, le=86_400)] = 7_200
    """Prices carry their time; older ones are refused."""
    least_of_144: Fraction = 0.5
    """Fees over fewer than this share of 144 blocks (an instance that is still indexing) are refused."""

    @property
    def source(self) -> str:
        """Its name in signals and messages."""
        return self.name or "mempool"


class MempoolFeed:
    """Asks the four, one after the other, every period."""

    def __init__(self, table: MempoolTable, directory: Path) -> None:
        self._table = table
        self._directory = directory
        # people write the address of the page, of the interface, or of its version
        self._base = table.url.rstrip("/").removesuffix("/v1").removesuffix("/api")
        self._watch = Watch(table.source)

    @property
    def source(self) -> str:
        """Its name."""
        return self._table.source

    @property
    def state(self) -> FeedState:
        """How it is."""
        return self._watch.state

    async def run(self, put: Put, tell: Tell, clock: Clock) -> None:
        """Ask until cancelled."""
        async with Exchange(self._table, self._directory) as exchange:

            async def look() -> tuple[str, ...]:
                return await self._look(exchange, put, clock)

            await look_regularly(look, self._watch, self._table.period_s, tell, clock)

    async def _look(self, exchange: Exchange, put: Put, clock: Clock) -> tuple[str, ...]:
        """All four; the faults of those that failed."""

        async def coin_usd() -> tuple[float, float]:
            document = await exchange.get_json(f"{self._base}/api/v1/prices")
            return parse_prices(document, clock.now(), self._table.price_max_age_s)

        async def difficulty() -> tuple[float, float]:
            document = await exchange.get_json(f"{self._base}/api/v1/mining/hashrate/3d")
            return as_number(_field(document, "currentDifficulty"), "currentDifficulty"), clock.now()

        async def height() -> tuple[float, float]:
            body = await exchange.get(f"{self._base}/api/blocks/tip/height")
            return parse_height(body), clock.now()

        async def fees() -> tuple[float, float]:
            document = await exchange.get_json(f"{self._base}/api/v1/mining/reward-stats/{FEE_BLOCKS}")
            return parse_fees(document, self._table.least_of_144), clock.now()

        asked: tuple[tuple[Quantity, Callable[[], Awaitable[tuple[float, float]]]], ...] = (
            (Quantity.COIN_USD, coin_usd),
            (Quantity.DIFFICULTY, difficulty),
            (Quantity.HEIGHT, height),
            (Quantity.FEES_BTC_BLOCK, fees),
        )
        faults: list[str] = []
        for quantity, ask in asked:
            try:
                value, since_s = await ask()
                value = plausible(quantity, value, RANGES[quantity])
            except FeedFault as fault:
                faults.append(str(fault))
                continue
            signal = Signal(value, since_s, clock.now(), self.source, max_age_s=self._table.max_age_s)
            put(quantity, signal)
            # four requests in a row are a burst; a breath between them lets the other tasks run
            await asyncio.sleep(0)
        return tuple(faults)


def parse_prices(document: Any, now_s: float, max_age_s: float) -> tuple[float, float]:
    """USD per coin, and since when, of {"time": seconds, "USD": number, "EUR": …}.

    Raises:
        FeedFault: not that, or too old.
    """
    price = as_number(_field(document, "USD"), "USD")
    at_s = as_time(_field(document, "time"), "the price's time")
    not_too_old("the price", at_s, now_s, max_age_s)
    return price, at_s


def parse_height(body: bytes) -> float:
    """The tip's height: a bare number.

    Raises:
        FeedFault: something else.
    """
    text = body[:64].decode("latin-1").strip()
    if not text.isdigit() or len(text) > 9:
        raise FeedFault(f"the tip's height is {text!r}, expected a whole number")
    return float(text)


def parse_fees(document: Any, least_share: float = 0.5) -> float:
    """BTC of fees per block of {"startBlock", "endBlock", "totalReward", "totalFee"} (totals are strings of satoshi).

    Raises:
        FeedFault: not that, or too few blocks.
    """
    first = as_number(_field(document, "startBlock"), "startBlock")
    last = as_number(_field(document, "endBlock"), "endBlock")
    total_sat = as_number(_field(document, "totalFee"), "totalFee")
    reward_sat = as_number(_field(document, "totalReward"), "totalReward")
    blocks = last - first + 1
    if not max(1.0, least_share * FEE_BLOCKS) <= blocks <= 2 * FEE_BLOCKS:
        raise FeedFault(f"the reward statistics are of {blocks:g} blocks, expected {FEE_BLOCKS}")
    if not 0 <= total_sat <= reward_sat:
        raise FeedFault(f"totalFee is {total_sat:g} satoshi of a totalReward of {reward_sat:g}, expected a part of it")
    return total_sat / SATOSHI_PER_BTC / blocks


def _field(document: Any, name: str) -> Any:
    """A field of a JSON object."""
    if not isinstance(document, dict) or name not in document:
        raise FeedFault(f"an answer without {name}, expected an object that has it")
    return document[name]
