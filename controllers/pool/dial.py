"""Dialling: a connection to the first pool that takes one, over TCP or TLS.

Ten thousand machines that come back at once are ten thousand connections to a pool, so they are made some at a time. A
pool's certificate has to be signed by an authority that is known, in force, and for the host of its address. What a pool
did is told to the bookkeeping of `pools`; it is said once when the pool in use changes, and when one fails in a new way.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

from controllers.pool.pools import Pools
from controllers.pool.settings import Failover, PoolTable
from controllers.pool.wire import Wire

_AT_ONCE: Final = 256


class Dial:
    """Opens connections to the site's pools; `directory` is what certificates' paths are relative to.

    `changed` is called whenever another pool is in use, or none.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pools: Pools,
        failover: Failover,
        directory: Path,
        *,
        say: Callable[[str, str], None],
        changed: Callable[[], None],
    ) -> None:
        self.pools = pools
        self._loop, self._failover, self._directory = loop, failover, directory
        self._say, self._changed = say, changed
        self._some = asyncio.Semaphore(_AT_ONCE)
        self._contexts: dict[int, ssl.SSLContext] = {}
        self._told: dict[int, str] = {}

    async def open(self, wire_to: Callable[[int], Wire]) -> tuple[int, Wire] | None:
        """A connection to the first pool that takes one, with its number; None where none does.

        `wire_to(number)` makes the wire for an attempt; that of a failed attempt is never heard of again.
        """
        for number in self.pools.candidates(self._loop.time()):
            wire = wire_to(number)
            try:
                await self.connect(number, wire)
            except ConnectionError as error:
                self.failed(number, str(error))
            else:
                return number, wire
        return None

    async def connect(self, number: int, wire: Wire) -> None:
        """Connect to one pool.

        Raises:
            ConnectionError: it took no connection, not in time, or none that can be trusted; the message says why.
        """
        table, within_s = self.pools.states[number].table, self._failover.connect_s
        try:
            async with self._some, asyncio.timeout(within_s):
                await self._loop.create_connection(
                    lambda: wire,
                    table.host,
                    table.port,
                    ssl=self._context(number, table),
                    server_hostname=table.host if table.tls else None,
                )
        except TimeoutError:
            raise ConnectionError(f"no {'TLS ' if table.tls else ''}connection within {within_s:g} s") from None
        except ssl.SSLCertVerificationError as error:
            raise ConnectionError(f"its certificate is not trusted: {error.verify_message}") from error
        except ssl.SSLError as error:
            raise ConnectionError(f"it does not speak TLS as we do: {error.reason or error}") from error
        except ConnectionResetError as error:
            raise ConnectionError("it ended the connection before it began") from error
        except OSError as error:
            raise ConnectionError(str(error) or type(error).__name__) from error

    def failed(self, number: int, why: str) -> None:
        """A pool took no session, or ended the only one."""
        state = self.pools.states[number]
        news = state.well_since_s is not None or why != self._told.get(number)
        self._told[number] = why
        if self.pools.failed(number, why, self._loop.time()):
            self._say("pool lost", f"{state.table.url}: {why}")
            self._changed()
        elif news:
            self._say("pool failed", f"{state.table.url}: {why}")

    def served(self, number: int) -> None:
        """A pool has taken a session."""
        if self.pools.served(number, self._loop.time()):
            self._say("pool", f"in use: {self.pools.states[number].table.url}")
            self._changed()

    def _context(self, number: int, table: PoolTable) -> ssl.SSLContext | None:
        """Made once for each pool: reading the authorities takes milliseconds.

        Raises:
            ConnectionError: the authority's file cannot be read or is none.
        """
        if not table.tls:
            return None
        context = self._contexts.get(number)
        if context is None:
            file = None if table.ca_file is None else self._directory / table.ca_file.expanduser()
            try:
                context = ssl.create_default_context(cafile=file)
            except OSError as error:
                why = error.reason if isinstance(error, ssl.SSLError) else error.strerror
                raise ConnectionError(f"ca_file {table.ca_file}: cannot be used: {why}") from error
            self._contexts[number] = context
        return context
