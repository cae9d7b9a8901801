"""What a pretend pool tells of its workers over HTTP, in the form of two real pools.

`/users/ACCOUNT` is ckpool's page of a user (solo pools and others that run ckpool serve it): `shares` is the sum of the
difficulties of accepted shares, a counter, and hash rates are decaying averages as text with a suffix.
`/accounts/workers/json/btc/` is Braiins Pool's Worker API: averages of 5 minutes, an hour and a day in Gh/s by the
worker's whole name, for those who send the token in Pool-Auth-Token. Both read the same books.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import orjson

from fleet.units import HASHES_PER_DIFFICULTY
from simulators.wire.pool_books import WINDOWS_S, WorkerBook

if TYPE_CHECKING:
    from simulators.wire.pool import PretendPool

HEAD_BYTES: Final = 8_192
IDLE_REAL_S: Final = 30.0
NAMES: Final = ("hashrate1m", "hashrate5m", "hashrate1hr", "hashrate1d", "hashrate7d")
LATELY_S: Final = 600.0
"""A worker that brought nothing for so long is off."""
SUFFIXES: Final = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K"))


class PoolApiServer:
    """The pages of one pool, on loopback. `token`: what Braiins' page asks for (empty: nothing)."""

    def __init__(self, pool: PretendPool, token: str = "") -> None:
        self.asked = 0
        self._pool, self._token = pool, token
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

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request on one connection."""
        task = asyncio.current_task()
        if task is not None:
            self._lines.add(task)
            task.add_done_callback(self._lines.discard)
        try:
            async with asyncio.timeout(IDLE_REAL_S):
                head = await reader.readuntil(b"\r\n\r\n")
                status, document = self.page(head)
                body = orjson.dumps(document)
                first = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                writer.write(first.encode("latin-1") + b"Connection: close\r\n\r\n" + body)
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        except asyncio.CancelledError:
            # asyncio's streams would report the cancellation of `close` as an error of the handler
            pass
        finally:
            writer.close()

    def page(self, head: bytes) -> tuple[str, Mapping[str, Any]]:
        """Status and document for the head of a request."""
        self.asked += 1
        first, *rest = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        parts = first.split(" ")
        if len(parts) != 3 or parts[0] != "GET":
            return "405 Method Not Allowed", {"error": "GET alone"}
        if self._pool.dark:
            return "503 Service Unavailable", {"error": "maintenance"}
        match [unquote(part) for part in parts[1].split("?", 1)[0].strip("/").split("/")]:
            case ["users", account]:
                return self._user(account)
            case ["accounts", "workers", "json", "btc"]:
                if self._token and headers.get("pool-auth-token") != self._token:
                    return "403 Forbidden", {"error": "access denied"}
                return "200 OK", {"btc": {"workers": self._workers()}}
            case _:
                return "404 Not Found", {"error": "no such page"}

    def _user(self, account: str) -> tuple[str, Mapping[str, Any]]:
        """ckpool's page of a user: everybody whose name begins with the account."""
        books = [book for book in self._pool.books.values() if book.name.split(".", 1)[0] == account]
        if not books and account not in self._pool.settings.accounts:
            return "404 Not Found", {"error": "no such user"}
        now_s = self._pool.clock.now()
        for book in books:
            book.decay(now_s)
        rates = [sum(book.rates[column] for book in books) for column in range(len(WINDOWS_S))]
        working = sum(now_s - book.last_s < LATELY_S for book in books)
        user = {
            **_rates(rates),
            "lastshare": int(max((book.last_s for book in books), default=0.0)),
            "workers": working,
            "shares": round(sum(book.work for book in books)),
            "bestshare": max((book.best for book in books), default=0.0),
            "bestever": round(max((book.best for book in books), default=0.0)),
            "authorised": int(min((book.since_s for book in books), default=now_s)),
            "worker": [_worker(book) for book in books],
        }
        return "200 OK", user

    def _workers(self) -> Mapping[str, Any]:
        """Braiins' table of workers."""
        now_s = self._pool.clock.now()
        return {book.name: _row(book, now_s) for book in self._pool.books.values()}


def _worker(book: WorkerBook) -> Mapping[str, Any]:
    return {
        "workername": book.name,
        **_rates(book.rates),
        "lastshare": int(book.last_s),
        "shares": round(book.work),
        "bestshare": book.best,
        "bestever": round(book.best),
    }


def _rates(rates: list[float]) -> dict[str, str]:
    """Difficulty a second as hash rates in text."""
    return {name: suffixed(rate * HASHES_PER_DIFFICULTY) for name, rate in zip(NAMES, rates, strict=True)}


def _row(book: WorkerBook, now_s: float) -> Mapping[str, Any]:
    windows = {"5m": 300.0, "60m": 3_600.0, "24h": 86_400.0}
    lately = {name: book.lately(now_s, window_s) for name, window_s in windows.items()}
    return {
        "state": "ok" if book.last_s and now_s - book.last_s < LATELY_S else "off",
        "last_share": int(book.last_s),
        "hash_rate_unit": "Gh/s",
        "hash_rate_scoring": 0,
        **{
            f"hash_rate_{name}": work * HASHES_PER_DIFFICULTY / windows[name] / 1e9
            for name, (_, work) in lately.items()
        },
        **{f"shares_{name}": shares for name, (shares, _) in lately.items()},
    }


def suffixed(value: float) -> str:
    """A number with three digits and a suffix, as ckpool's suffix_string writes it: "1.23T"."""
    for unit, suffix in SUFFIXES:
        if value >= unit:
            return f"{value / unit:.3g}{suffix}"
    return f"{value:.3g}"
