"""What comes in as proof of hash rate, asked for at each turn: the tap's counts and what pools told; nothing here waits."""

from __future__ import annotations

from typing import Protocol

from controllers.pool_apis import PoolBook
from fleet.work.counted import Counted
from fleet.work.pool_told import PoolTold


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
