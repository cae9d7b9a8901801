"""What comes in as proof of hash rate: the tap's counts and what pools told, asked for at each turn; nothing there waits.

The tap's status is for people and metrics alone; it is asked for beside the turns, because a tap apart takes its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Protocol

from controllers.pool_apis import PoolBook
from fleet.work.counted import Counted
from fleet.work.pool_told import PoolTold

_STATUS_REAL_S: Final = 5.0


class Tapped(Protocol):
    """A tap, in this process or another."""

    def counted(self) -> Counted | None:
        """What it has counted by now, without waiting; None while it says nothing."""
        ...


class Proofs:
    """The sources of one site: a tap (None: there is none) and the book of its pools' APIs (None: none are asked)."""

    def __init__(self, machines: int = 0, tap: Tapped | None = None, pools: PoolBook | None = None) -> None:
        self._machines, self._tap, self._pools = machines, tap, pools

    def counted(self) -> Counted | None:
        """What the tap has counted; nothing from a tap of another roster (it was not started anew with the site file)."""
        counted = None if self._tap is None else self._tap.counted()
        return counted if counted is not None and len(counted) == self._machines else None

    def pool_told(self, at_s: float) -> PoolTold | None:
        """What pools told of the machines, where it is not too old at `at_s`."""
        return None if self._pools is None else self._pools.freeze(at_s)

    def shift(self, by_s: float) -> None:
        """Move the times at which pools were heard with a clock that has stepped; the tap looks at its own."""
        if self._pools is not None:
            self._pools.shift(by_s)


class Asked(Protocol):
    """A tap that answers requests."""

    async def ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer to a request.

        Raises:
            LookupError, OSError: it cannot be answered.
        """
        ...


class TapStatus:
    """The tap's own status, asked for every few seconds; `latest` is None while it does not answer."""

    def __init__(self) -> None:
        self.latest: Mapping[str, Any] | None = None

    async def run(self, tap: Asked) -> None:
        """Keep asking until cancelled."""
        while True:
            try:
                self.latest = (await tap.ask({"ask": "tap"}))["tap"]
            except (LookupError, OSError):
                self.latest = None
            await asyncio.sleep(_STATUS_REAL_S)
