"""Which pool: the first of the site file's that is well, left at once when it fails, returned to when it has been well.

Pure bookkeeping of times that are passed in (real seconds). A pool that failed is left alone for a while, twice as long
after every further failure; a preferred pool counts as well again only after it has answered, time after time, for as long
as the site file says, so that a pool that comes and goes does not drag the machines with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from controllers.pool.settings import Failover, PoolTable


@dataclass(slots=True)
class PoolState:
    """What is known of one pool."""

    table: PoolTable
    failures: int = 0
    """In a row."""
    until_s: float = 0.0
    """Left alone until then."""
    well_since_s: float | None = None
    """Since when every attempt succeeded; None: the last one failed, or there was none."""
    why: str = ""
    """The last failure, for people."""
    sessions: int = 0
    """Connections that we have with it now."""


class Pools:
    """The pools in the order of preference."""

    def __init__(self, tables: tuple[PoolTable, ...], failover: Failover) -> None:
        self.states = tuple(PoolState(table) for table in tables)
        self._failover = failover
        self._in_use: int | None = None

    def candidates(self, now_s: float) -> list[int]:
        """Pools to try, in order: the one in use first where it is well, then by preference those not left alone."""
        usable = [number for number, state in enumerate(self.states) if now_s >= state.until_s]
        if self._in_use in usable:
            usable.remove(self._in_use)
            usable.insert(0, self._in_use)
        return usable

    @property
    def in_use(self) -> int | None:
        """The pool that new sessions go to; None: no pool has taken one yet, or none does now."""
        return self._in_use

    def failed(self, number: int, why: str, now_s: float) -> bool:
        """It took no connection, or ended one; True where it was in use and is left now."""
        state, failover = self.states[number], self._failover
        if now_s >= state.until_s:
            # Ten thousand sessions that break together are one failure.
            state.failures += 1
            delay_s = failover.back_off_s * 2.0 ** min(state.failures - 1, 30)
            state.until_s = now_s + min(delay_s, failover.back_off_most_s)
        state.well_since_s, state.why = None, why
        if self._in_use == number:
            self._in_use = None
            return True
        return False

    def served(self, number: int, now_s: float) -> bool:
        """It has taken a session; True where it was not in use before."""
        self.well(number, now_s)
        if self._in_use is None:
            self._in_use = number
            return True
        return False

    def well(self, number: int, now_s: float) -> None:
        """It answered."""
        state = self.states[number]
        state.failures, state.until_s, state.why = 0, 0.0, ""
        if state.well_since_s is None:
            state.well_since_s = now_s

    def to_probe(self, now_s: float) -> list[int]:
        """Pools that are preferred to the one in use (all, where none is), and not left alone."""
        preferred = range(len(self.states) if self._in_use is None else self._in_use)
        return [number for number in preferred if now_s >= self.states[number].until_s]

    def returned(self, now_s: float) -> bool:
        """Return to a preferred pool that has been well for long enough; True where that changes the pool in use."""
        if self._in_use is None:
            return False
        for number in range(self._in_use):
            since_s = self.states[number].well_since_s
            if since_s is not None and now_s - since_s >= self._failover.return_after_s:
                self._in_use = number
                return True
        return False

    @property
    def able(self) -> bool:
        """Is there a pool that machines can work for?"""
        return self._in_use is not None
