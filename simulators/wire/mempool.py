"""A mempool instance's REST interface, as far as a miner asks it: prices, height, difficulty, rewards.

Written from the public documentation (https://mempool.space/docs/api/rest) and from the behaviour of the open backend:
totals of the reward statistics are strings of satoshi, the height is bare text, and an instance that has lost its node
or its price source says zero difficulty and -1 dollars with status 200. What it says at a moment comes from a `Ledger`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from fleet.coin import CoinDays, Epochs
from fleet.network import EPOCH_BLOCKS, network_hashrate_ths, subsidy_sat
from simulators.clock import Clock

HEAD_BYTES: Final = 8_192
IDLE_S: Final = 30.0
DRIP_S: Final = 0.2
HUGE_BYTES: Final = 64 * 2**20
_BLOCKS_MOST: Final = 52_560
_REASONS: Final[Mapping[int, str]] = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    429: "Too Many Requests",
    500: "Internal Server Error",
}


@dataclass(frozen=True, slots=True)
class Tip:
    """The chain and the coin at a moment; None is what the instance does not know."""

    height: int | None
    difficulty: float | None
    price_usd: float | None
    fees_btc_block: float | None


Ledger: TypeAlias = Callable[[float], Tip]
"""What is true at a moment (UTC seconds)."""


class Trouble(StrEnum):
    """What can be wrong with an instance."""

    NONE = "none"
    ERROR = "error"
    """Status 500 and no body."""
    LIMITED = "limited"
    """Status 429."""
    LOST_NODE = "lost node"
    """Status 200, zero difficulty, no price: what the open backend says without its node."""
    GARBAGE = "garbage"
    """Status 200 and a proxy's page of HTML."""
    HALF = "half"
    """The body ends in the middle, and the connection with it."""
    HANG = "hang"
    """The request is read and never answered."""
    DRIP = "drip"
    """The answer comes a byte at a time."""
    HUGE = "huge"
    """A body of 64 MB."""
    STALE_PRICE = "stale price"
    """The price carries a time two days ago."""


def from_history(coin: CoinDays, epochs: Epochs) -> Ledger:
    """A ledger of the coin's days and the chain's epochs; on a day that is not in them nothing is known of it."""

    def at(at_s: float) -> Tip:
        day, epoch = coin.row_at(at_s), epochs.row_at(at_s)
        return Tip(
            height=epochs.height_at(at_s),
            difficulty=None if epoch is None else float(epochs.difficulty[epoch]),
            price_usd=None if day is None else float(coin.price_usd[day]),
            fees_btc_block=None if day is None else float(coin.fees_btc_day[day]) / 144,
        )

    return at


class MempoolServer:
    """One instance on loopback. `trouble` may be set while it runs; `asked` counts its requests."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.trouble = Trouble.NONE
        self.asked = 0
        self._ledger = ledger
        self._clock = clock
        self._server: asyncio.Server | None = None
        self._lines: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        if self._server is None:
            raise RuntimeError("the server has not been started")
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen, on a free port if none is given."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=HEAD_BYTES)

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
        for line in list(self._lines):
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, request after request, until it is idle, cut or at fault."""
        task = asyncio.current_task()
        if task is not None:
            self._lines.add(task)
            task.add_done_callback(self._lines.discard)
        try:
            while True:
                async with asyncio.timeout(IDLE_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                if not await self._answer(head, writer):
                    break
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        except asyncio.CancelledError:
            # asyncio's streams would report the cancellation of `close` as an error of the handler
            pass
        finally:
            writer.close()

    async def _answer(self, head: bytes, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; is the connection kept?"""
        self.asked += 1
        status, body, kind = self._requested(head)
        whole = _rendered(status, body, kind)
        match self.trouble:
            case Trouble.ERROR | Trouble.LIMITED:
                whole = _rendered(500 if self.trouble is Trouble.ERROR else 429, b"", "text/plain")
            case Trouble.GARBAGE:
                whole = _rendered(200, b"<html><body>Checking your browser</body></html>", "text/html")
            case Trouble.HUGE:
                await self._pour(writer)
                return False
            case Trouble.HALF:
                writer.write(whole[: len(whole) - max(1, len(body) // 2)])
                await writer.drain()
                return False
            case Trouble.HANG:
                await asyncio.sleep(IDLE_S)
                return False
            case Trouble.DRIP:
                for at in range(len(whole)):
                    writer.write(whole[at : at + 1])
                    await writer.drain()
                    await asyncio.sleep(DRIP_S)
                return False
            case Trouble.NONE | Trouble.LOST_NODE | Trouble.STALE_PRICE:
                pass
        writer.write(whole)
        await writer.drain()
        return True

    def _requested(self, head: bytes) -> tuple[int, bytes, str]:
        """Status, body and type for a request."""
        line = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(line) != 3 or not line[2].startswith("HTTP/1."):
            return 400, b"", "text/plain"
        if line[0] != "GET":
            return 405, b"", "text/plain"
        return self._page(line[1].split("?", 1)[0])

    async def _pour(self, writer: asyncio.StreamWriter) -> None:
        """A body that does not end for a long time."""
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n[")
        for _ in range(HUGE_BYTES // 65_536):
            writer.write(b"0," * 32_768)
            await writer.drain()

    def _page(self, path: str) -> tuple[int, bytes, str]:
        """Status, body and type of a path."""
        now_s = self._clock.now()
        tip = Tip(None, None, None, None) if self.trouble is Trouble.LOST_NODE else self._ledger(now_s)
        parts = path.strip("/").split("/")
        match parts:
            case ["api", "v1", "prices"]:
                return _json(self._prices(tip, now_s))
            case ["api", "blocks", "tip", "height"]:
                return (500, b"", "text/plain") if tip.height is None else (200, str(tip.height).encode(), "text/plain")
            case ["api", "v1", "mining", "hashrate", _]:
                return _json(_hashrate(tip, now_s))
            case ["api", "v1", "mining", "reward-stats", count] if count.isdigit() and 0 < int(count) <= _BLOCKS_MOST:
                return (500, b"", "text/plain") if tip.height is None else _json(_rewards(tip, int(count)))
            case _:
                return 404, b"Not Found", "text/plain"

    def _prices(self, tip: Tip, now_s: float) -> Mapping[str, float]:
        """The latest price, which the backend fetches every hour."""
        if tip.price_usd is None:
            return {"time": 0, "USD": -1, "EUR": -1}
        hour_s = now_s - now_s % 3_600
        at_s = hour_s - 2 * 86_400 if self.trouble is Trouble.STALE_PRICE else hour_s
        return {"time": round(at_s), "USD": round(tip.price_usd), "EUR": round(tip.price_usd * 0.92)}


def _hashrate(tip: Tip, now_s: float) -> Mapping[str, object]:
    """The chart of hash rate and difficulty, with the current values."""
    difficulty = tip.difficulty or 0.0
    rate_hs = network_hashrate_ths(difficulty) * 1e12
    day_s = round(now_s - now_s % 86_400)
    height = (tip.height or 0) // EPOCH_BLOCKS * EPOCH_BLOCKS
    return {
        "hashrates": [{"timestamp": day_s - 86_400 * back, "avgHashrate": rate_hs} for back in (2, 1, 0)],
        "difficulty": [{"time": day_s, "height": height, "difficulty": difficulty, "adjustment": 1.0}],
        "currentHashrate": rate_hs,
        "currentDifficulty": difficulty,
    }


def _rewards(tip: Tip, count: int) -> Mapping[str, object]:
    """Rewards of the last blocks; totals are satoshi, as strings."""
    height = tip.height or 0
    first = max(0, height - count + 1)
    fees_sat = round((tip.fees_btc_block or 0.0) * 1e8) * (height - first + 1)
    reward_sat = fees_sat + sum(subsidy_sat(at) for at in range(first, height + 1))
    return {
        "startBlock": first,
        "endBlock": height,
        "totalReward": str(reward_sat),
        "totalFee": str(fees_sat),
        "totalTx": str(3_000 * (height - first + 1)),
    }


def _json(document: Mapping[str, object]) -> tuple[int, bytes, str]:
    """A document as an answer."""
    return 200, json.dumps(document).encode(), "application/json; charset=utf-8"


def _rendered(status: int, body: bytes, kind: str) -> bytes:
    """An answer as it goes out."""
    head = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode("latin-1") + body
