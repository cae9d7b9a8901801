"""The book of what pools told: every source's last word on each machine; a tick takes a frozen copy.

Pools' counters begin anew, and a machine changes pools, so the book keeps a counter of its own for each machine: what its
sources have credited since, all of them together. Where a source's counter fell, or a source knows the machine for the
first time, the book's falls by one, which says that nothing is known of the time before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import nan

import numpy as np

from controllers.pool_apis.table import Worked
from fleet.columns import Floats
from fleet.machine import Roster
from fleet.work.pool_told import PoolTold

_STRANGERS_NAMED_MOST = 10


@dataclass
class _Source:
    """One API's last word on each machine; NaN: it does not tell, or (heard_s) has never named the machine."""

    max_age_s: float
    heard_s: Floats
    work: Floats
    rate_ths: Floats
    window_s: Floats
    strangers: frozenset[str] = frozenset()

    @classmethod
    def silent(cls, max_age_s: float, n: int) -> _Source:
        """One that has said nothing of n machines."""
        return cls(max_age_s, np.full(n, nan), np.full(n, nan), np.full(n, nan), np.full(n, nan))


class PoolBook:
    """What pools told of the machines of one roster.

    Args:
        roster: the machines.
        max_age_s: how long each source's word counts.
        say: hears once of workers that are no machine's.
    """

    def __init__(self, roster: Roster, max_age_s: Mapping[str, float], say: Callable[[str, str], None]) -> None:
        self._roster, self._say = roster, say
        self._work = np.zeros(len(roster))
        self._sources = {source: _Source.silent(age_s, len(roster)) for source, age_s in max_age_s.items()}

    def put(self, source: str, said: Mapping[str, Worked]) -> None:
        """Take in what a source says of machines, by id."""
        book = self._sources[source]
        self._tell_of_strangers(source, book, frozenset(said) - self._roster.index.keys())
        rows = np.array([self._roster.index[machine] for machine in said if machine in self._roster.index], np.int64)
        known = [worked for machine, worked in said.items() if machine in self._roster.index]
        work = _column(worked.work for worked in known)
        grown = work - book.work[rows]
        # comparisons with NaN are false: what was not known before, or fell, begins anew
        self._work[rows] += np.where(np.isnan(work), 0.0, np.where(grown >= 0, grown, -1.0))
        book.heard_s[rows] = _column(worked.at_s for worked in known)
        book.work[rows] = work
        book.rate_ths[rows] = _column(worked.rate_ths for worked in known)
        book.window_s[rows] = _column(worked.window_s for worked in known)

    def freeze(self, at_s: float) -> PoolTold | None:
        """What is known at `at_s`; None while no source has named any machine.

        A machine that several sources have named is told of by all of them together, as of the one heard longest ago; and
        not at all while one of them is stale, lacks a figure, or gives its rate over another window.
        """
        named = np.zeros(len(self._roster), np.bool_)
        heard_s = np.full(len(named), np.inf)
        counted, rate, window = np.ones(len(named), np.bool_), np.zeros(len(named)), np.full(len(named), nan)
        for book in self._sources.values():
            tells = ~np.isnan(book.heard_s)
            stale = tells & (at_s - book.heard_s > book.max_age_s)
            heard_s = np.where(stale, -np.inf, np.where(tells, np.minimum(heard_s, book.heard_s), heard_s))
            counted &= ~tells | ~np.isnan(book.work)
            rate = np.where(tells, rate + book.rate_ths, rate)
            window = np.where(tells, np.where(named & (window != book.window_s), nan, book.window_s), window)
            named |= tells
        if not named.any():
            return None
        fresh = named & np.isfinite(heard_s)
        averaged = fresh & ~np.isnan(rate) & ~np.isnan(window)
        return PoolTold(
            heard_s=np.where(fresh, heard_s, nan),
            work=np.where(fresh & counted, self._work, nan),
            rate_ths=np.where(averaged, rate, nan),
            window_s=np.where(averaged, window, nan),
        )

    def shift(self, by_s: float) -> None:
        """Move the times at which it was heard with a clock that has stepped."""
        for book in self._sources.values():
            book.heard_s += by_s

    def _tell_of_strangers(self, source: str, book: _Source, strangers: frozenset[str]) -> None:
        """Say which workers are no machine's, when one is new among them."""
        if strangers - book.strangers:
            named = ", ".join(sorted(strangers)[:_STRANGERS_NAMED_MOST])
            more = len(strangers) - _STRANGERS_NAMED_MOST
            rest = f" and {more} more" if more > 0 else ""
            self._say("pool", f"{source} tells of workers that are no machine's: {named}{rest}")
        book.strangers = strangers


def _column(values: Iterable[float | None]) -> Floats:
    """Values as a column; None is NaN."""
    return np.array([nan if value is None else value for value in values], np.float64)
