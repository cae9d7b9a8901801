"""A CSV file as a feed: a series of values by interval, replayed against the clock.

The file is read and checked whole before anything runs (`fleet/series.py` has its form). At each moment the feed knows
the interval that the moment lies in, or, with `lag_s`, the one that lay so far back: settled prices are known when their
interval is over. Where the file has a gap, or ends, there is no value and the last one ages.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from controllers.feeds.feed import Clock, FeedState, Put, QuantityTable, Tell, Watch
from fleet.market import Signal
from fleet.plausible import factor, unit_of_column
from fleet.rows import MOST_BYTES
from fleet.series import Series, SeriesError, decoded, parse_series, said
from fleet.settings import Seconds


class CsvTable(QuantityTable):
    """A file of values by interval: columns time and value, plain or gzip."""

    kind: Literal["csv"]
    file: Path
    """Relative to the site file."""
    column: str | None = None
    """The value's column; the second where none is named."""
    time_zone: str | None = None
    """The zone of times that carry none, such as "America/Chicago"."""
    lag_s: Seconds = 0
    """How long after its interval began a value is known: 900 for 15-minute prices that are known when settled."""

    @property
    def source(self) -> str:
        """Its name in signals and messages."""
        return self.name or f"csv {self.quantity.value}"


def read_series(table: CsvTable, directory: Path) -> Series:
    """The file of a table, checked against its range and unit.

    Raises:
        SeriesError: it cannot be read or used; the message names file, line, value and what was expected.
    """
    path = directory / table.file
    where = str(table.file)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise SeriesError(where, 0, f"{path.stat().st_size} bytes", f"at most {MOST_BYTES}")
        content = path.read_bytes()
    except OSError as error:
        raise SeriesError(where, 0, error.strerror or str(error), "a file that can be read") from error
    scale = factor(table.quantity, table.unit)
    believed = table.believed
    series = parse_series(
        decoded(content, where),
        where,
        column=table.column,
        time_zone=table.time_zone,
        least=believed.least / scale,
        most=believed.most / scale,
    )
    stated = unit_of_column(series.column)
    if stated is not None and stated != table.unit:
        raise SeriesError(where, 1, series.column, f"a column in {table.unit}, the unit of the site file, not {stated}")
    return series


class CsvFeed:
    """Puts each interval's value when it comes to be known, and confirms it every period while it holds.

    Raises:
        SeriesError: the file cannot be read or used.
    """

    def __init__(self, table: CsvTable, directory: Path) -> None:
        self._table = table
        self.series = read_series(table, directory)
        self._scale = factor(table.quantity, table.unit)
        self._watch = Watch(table.source)

    @property
    def source(self) -> str:
        """Its name."""
        return self._table.source

    @property
    def state(self) -> FeedState:
        """How it is."""
        return self._watch.state

    def signal_at(self, now_s: float) -> Signal | None:
        """What is known at a moment; None in a gap, before the first interval and after the last."""
        row = self.series.row_at(now_s - self._table.lag_s)
        if row is None:
            return None
        at_s = float(self.series.at_s[row])
        return Signal(
            value=float(self.series.value[row]) * self._scale,
            valid_from_s=at_s,
            heard_s=now_s,
            source=self.source,
            valid_until_s=at_s + self._table.lag_s + self.series.step_s,
            max_age_s=self._table.max_age_s,
        )

    async def run(self, put: Put, tell: Tell, clock: Clock) -> None:
        """Replay until cancelled; a gap or the end is a fault, said once."""
        while True:
            now_s = clock.now()
            signal = self.signal_at(now_s)
            if signal is None:
                fault = f"no value at {said(now_s - self._table.lag_s)} in {self.series.where}"
                self._watch.saw((fault,), now_s, tell)
            else:
                put(self._table.quantity, signal)
                self._watch.saw((), now_s, tell)
            until_next_s = max(self._next_s(now_s) - now_s, 1.0)
            await clock.sleep(min(until_next_s, self._table.period_s, self._table.max_age_s / 3))

    def _next_s(self, now_s: float) -> float:
        """When the next interval comes to be known."""
        from_s = self.series.from_s + self._table.lag_s
        steps = (now_s - from_s) // self.series.step_s + 1
        return from_s + max(steps, 0.0) * self.series.step_s
