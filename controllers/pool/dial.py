"""Dialling: a connection to the first pool that takes one, over TCP or TLS.

Ten thousand machines that come back at once are ten thousand connections to a pool, so they are made some at a time. What
a pool did is told to the bookkeeping of `pools`, and said once when the pool in use changes.
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

    async def open(self, wire_to: Callable[[int], Wire]) -> tuple[int, Wire] | None:
        """A connection to the first pool that takes one, with its number; None where none does.

        `wire_to(number)` makes the wire for an attempt; that of a failed attempt is never heard of again.
        """
        for number in self.pools.candidates(self._loop.time()):
            wire = wire_to(number)
            try:
                await self.connect(number, wire)
            except (OSError, TimeoutError) as error:
                self.failed(number, str(error) or type(error).__name__)
            else:
                return number, wire
        return None

    async def connect(self, number: int, wire: Wire) -> None:
        """Connect to one pool.

        Raises:
            OSError: it took no connection (TLS failures are such).
            TimeoutError: not in time.
        """
        table = self.pools.states[number].table
        async with self._some, asyncio.timeout(self._failover.connect_s):
            await self._loop.create_connection(
                lambda: wire,
                table.host,
                table.port,
                ssl=self._context(number, table),
                server_hostname=table.host if table.tls else None,
            )

    def failed(self, number: int, why: str) -> None:
        """A pool took no session, or ended the only one."""
        if self.pools.failed(number, why, self._loop.time()):
            self._say("pool lost", f"{self.pools.states[number].table.url}: {why}")
            self._changed()

    def served(self, number: int) -> None:
        """A pool has taken a session."""
        if self.pools.served(number, self._loop.time()):
            self._say("pool", f"in use: {self.pools.states[number].table.url}")
            self._changed()

    def _context(self, number: int, table: PoolTable) -> ssl.SSLContext | None:
        """Made once for each pool: reading the authorities takes milliseconds.

        Raises:
            OSError: the authority's file cannot be read or is none.
        """
        if not table.tls:
            return None
        context = self._contexts.get(number)
        if context is None:
            file = None if table.ca_file is None else self._directory / table.ca_file.expanduser()
            context = self._contexts[number] = ssl.create_default_context(cafile=file)
        return context
