"""The door: who may come in, so that a flood of connections costs as little as it can.

A connection counts against the whole, against its address, and against its address's rate; whoever exceeds one is turned
away before anything is made for it. Addresses that have nothing open are forgotten as soon as their allowance is whole
again, and are never more than a bound.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Final

from controllers.pool.settings import Limits
from controllers.pool.wire import Allowance

_ADDRESSES_MOST: Final = 65_536


class Door:
    """Counts connections; times are real seconds, passed in."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.most = limits.connections
        """Connections at once, at most."""
        self._allowances: OrderedDict[str, Allowance] = OrderedDict()
        self.inside: Counter[str] = Counter()
        """Connections now, by address."""
        self.connections = 0
        self.turned_away: Counter[str] = Counter()
        """Connections that were not let in, by cause."""

    def admits(self, address: str, now_s: float) -> bool:
        """May one more from this address come in? If so it is inside until `left`."""
        limits = self._limits
        if not self._allowance(address, now_s).take(1, now_s):
            cause = "too many attempts"
        elif self.connections >= self.most:
            cause = "too many connections"
        elif self.inside[address] >= limits.connections_per_address:
            cause = "too many connections of one address"
        else:
            self.connections += 1
            self.inside[address] += 1
            return True
        self.turned_away[cause] += 1
        return False

    def left(self, address: str) -> None:
        """One from this address has gone."""
        self.connections -= 1
        self.inside[address] -= 1
        if not self.inside[address]:
            del self.inside[address]

    def _allowance(self, address: str, now_s: float) -> Allowance:
        allowance = self._allowances.get(address)
        if allowance is None:
            # a minute's worth at once: a site that comes back after an outage does so in one go
            per_s = self._limits.attempts_per_address_per_min / 60
            allowance = self._allowances[address] = Allowance(per_s, 60.0, now_s)
            while len(self._allowances) > _ADDRESSES_MOST:
                self._allowances.popitem(last=False)
        else:
            self._allowances.move_to_end(address)
        return allowance
