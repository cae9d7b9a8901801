"""The ledger: what each machine has brought, and what it could have brought, as columns that only grow.

A share costs a few additions to machine arrays, so the columns are `array.array`, and `counted()` hands out copies as
numpy. Exposure is a time integral of 1/difficulty: it is booked whenever something of a machine changes (a job with a new
difficulty, a connection, the pools as a whole) and on every look, never by a timer.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from math import isnan
from typing import Final

import numpy as np

from fleet.columns import Floats
from fleet.work.counted import Counted, Flaw

STRANGER: Final = -1
"""The row of connections that are no machine of the roster; their shares are counted, and shown to nobody."""
_NAN: Final = float("nan")


class Ledger:
    """Counters of n machines within one epoch.

    `now` is the site's clock (UTC seconds), `elapsed` runs with it and never steps. `away_most_s` bounds the time in
    which a machine that is away is still expected to bring shares.
    """

    def __init__(
        self, machines: int, epoch: int, *, now: Callable[[], float], elapsed: Callable[[], float], away_most_s: float
    ) -> None:
        # one row more than machines: the last one, which -1 names, is the strangers'
        rows = machines + 1
        self.machines, self.epoch = machines, epoch
        self._now, self._elapsed, self._away_most_s = now, elapsed, away_most_s
        self._serving = True

        def column(value: float, times: int = 1) -> array[float]:
            return array("d", [value]) * (rows * times)

        self._shares, self._work, self._best = column(0.0), column(0.0), column(0.0)
        self._foreign_work, self._last_s = column(0.0), column(_NAN)
        self._flawed = column(0.0, len(Flaw))
        self._difficulty, self._exposure, self._away_s = column(_NAN), column(0.0), column(0.0)
        self._booked_s, self._gone_s = column(_NAN), column(_NAN)
        self._sessions: list[list[object]] = [[] for _ in range(rows)]

    # ------------------------------------------------------------------------------------------------------- shares

    def credit(self, row: int, asked: float, reached: float, at_s: float) -> None:
        """A good share of the difficulty `asked`, whose hash reaches `reached`."""
        self._shares[row] += 1.0
        self._work[row] += asked
        self._last_s[row] = at_s
        self._best[row] = max(self._best[row], reached)

    def flaw(self, row: int, flaw: Flaw) -> None:
        """A share with a flaw."""
        self._flawed[row * len(Flaw) + flaw if row >= 0 else flaw - len(Flaw)] += 1.0

    def foreign(self, row: int, asked: float) -> None:
        """A share that is good, and for somebody else."""
        self.flaw(row, Flaw.FOREIGN)
        self._foreign_work[row] += asked

    # ----------------------------------------------------------------------------------------------------- exposure

    def opened(self, row: int, session: object) -> None:
        """A session of a machine: exposed from its first job on."""
        if row == STRANGER:
            return
        self._book(row)
        self._sessions[row].append(session)
        self._gone_s[row] = _NAN

    def asks(self, row: int, session: object, difficulty: float) -> None:
        """From now on this machine works at this difficulty; of several sessions the newest one's counts."""
        if row == STRANGER or not self._sessions[row] or self._sessions[row][-1] is not session:
            return
        if difficulty != self._difficulty[row]:
            self._book(row)
            self._difficulty[row] = difficulty

    def closed(self, row: int, session: object) -> None:
        """A session has ended; with its last one the machine is away."""
        if row == STRANGER or session not in self._sessions[row]:
            return
        self._book(row)
        self._sessions[row].remove(session)
        if not self._sessions[row]:
            self._gone_s[row] = self._elapsed()

    def serve(self, able: bool) -> None:
        """Is there a pool that could give jobs? Without one nothing is expected of any machine."""
        if able != self._serving:
            self._book_all()
            self._serving = able

    def _book(self, row: int) -> None:
        """Integrate one machine's exposure up to now."""
        now_s, since_s = self._elapsed(), self._booked_s[row]
        self._booked_s[row] = now_s
        difficulty, gone_s = self._difficulty[row], self._gone_s[row]
        # comparisons with NaN are false: nothing was asked yet, nothing booked yet
        if not (self._serving and difficulty > 0 and now_s > since_s):
            return
        if isnan(gone_s):
            self._exposure[row] += (now_s - since_s) / difficulty
        elif gone_s + self._away_most_s > since_s:
            away_s = min(now_s, gone_s + self._away_most_s) - since_s
            self._away_s[row] += away_s
            self._exposure[row] += away_s / difficulty

    def _book_all(self) -> None:
        """The same for all machines: a look at 10,000 of them must not hold up their shares."""
        now_s = self._elapsed()
        booked_s, gone_s, difficulty = map(_view, (self._booked_s, self._gone_s, self._difficulty))
        until_s = np.fmin(now_s, gone_s + self._away_most_s)
        span_s = np.where((until_s > booked_s) & (difficulty > 0), until_s - booked_s, 0.0)
        if self._serving:
            exposure, away_s = _view(self._exposure), _view(self._away_s)
            exposure += np.divide(span_s, difficulty, out=np.zeros(len(span_s)), where=span_s > 0)
            away_s += np.where(np.isnan(gone_s), 0.0, span_s)
        booked_s[:] = now_s

    # ------------------------------------------------------------------------------------------------------ reading

    def counted(self) -> Counted:
        """The columns as of now."""
        n = self.machines
        self._book_all()
        connected = np.fromiter((bool(sessions) for sessions in self._sessions[:n]), np.bool_, n)
        return Counted(
            at_s=self._now(),
            epoch=self.epoch,
            shares=self._column(self._shares),
            work=self._column(self._work),
            exposure=self._column(self._exposure),
            away_s=self._column(self._away_s),
            connected=connected,
            last_s=self._column(self._last_s),
            difficulty=np.where(connected, self._column(self._difficulty), np.nan),
            flawed=_view(self._flawed)[: n * len(Flaw)].reshape(n, len(Flaw)).copy(),
            foreign_work=self._column(self._foreign_work),
            best=self._column(self._best),
        )

    def connected(self, row: int) -> bool:
        """Has this machine a session?"""
        return row != STRANGER and bool(self._sessions[row])

    def flaws(self) -> dict[str, int]:
        """All flaws by cause, strangers' too."""
        sums = _view(self._flawed).reshape(-1, len(Flaw)).sum(axis=0)
        return {flaw.name.lower(): int(sums[flaw]) for flaw in Flaw}

    def total(self) -> tuple[int, float]:
        """Credited shares and work of all, strangers' too."""
        return int(_view(self._shares).sum()), float(_view(self._work).sum())

    def stranger_shares(self) -> int:
        """Credited shares of connections that are no machine of the roster."""
        return int(self._shares[STRANGER])

    def _column(self, column: array[float]) -> Floats:
        return _view(column)[: self.machines].copy()


def _view(column: array[float]) -> Floats:
    """The same memory as numpy."""
    return np.frombuffer(column, np.float64)
