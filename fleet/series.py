"""Series: values by interval, such as power prices, read from text and checked line by line.

The first column says when an interval starts, another its value; the step is the commonest distance of two rows.
Nothing is interpolated or carried forward: a moment in a gap has no value, and the gap is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, tzinfo
from itertools import pairwise
from math import inf
from typing import Final

import numpy as np

from fleet.columns import Floats, freeze_columns
from fleet.localtime import LocalTimes, zone_of
from fleet.rows import Clock, Gap, Rows, SeriesError, decoded, gaps_of, number, said

__all__ = ["TIME_COLUMNS", "Gap", "Series", "SeriesError", "decoded", "parse_series", "row_of", "said"]

TIME_COLUMNS: Final = ("interval_start_utc", "interval_start", "time_utc", "time", "timestamp", "date")
"""Names of a first column that says when an interval starts; one that ends in "_utc" says the zone too."""


@dataclass(frozen=True, eq=False)
class Series:
    """Values on a regular grid with gaps: value[t] holds from at_s[t] (UTC seconds, strictly rising) for `step_s`.

    `column` is the header's name of the values. `notes` are sentences about what is odd and not wrong.
    """

    where: str
    column: str
    at_s: Floats
    value: Floats
    step_s: float
    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Read-only."""
        freeze_columns(self)

    def __len__(self) -> int:
        """How many rows."""
        return len(self.at_s)

    @property
    def from_s(self) -> float:
        """Start of the first interval."""
        return float(self.at_s[0])

    @property
    def until_s(self) -> float:
        """End of the last interval."""
        return float(self.at_s[-1]) + self.step_s

    def row_at(self, at_s: float) -> int | None:
        """The row whose interval holds a moment; None in a gap and outside."""
        return row_of(self.at_s, at_s, self.step_s)

    def on_grid(self, from_s: float, until_s: float) -> tuple[Floats, Floats]:
        """(at_s[t], value[t]) of every step that starts in [from_s, until_s); NaN where the file has no row."""
        first = int(np.ceil((from_s - self.from_s) / self.step_s))
        last = int(np.ceil((until_s - self.from_s) / self.step_s))
        at_s: Floats = self.from_s + np.arange(first, max(first, last), dtype=np.float64) * self.step_s
        value = np.full(len(at_s), np.nan)
        row = np.rint((self.at_s - self.from_s) / self.step_s).astype(np.int64) - first
        inside = (row >= 0) & (row < len(at_s))
        value[row[inside]] = self.value[inside]
        return at_s, value


def row_of(at_s: Floats, moment_s: float, lasts_s: float) -> int | None:
    """The last row that starts at or before a moment, if it is less than `lasts_s` ago."""
    row = int(np.searchsorted(at_s, moment_s, side="right")) - 1
    return row if row >= 0 and moment_s < at_s[row] + lasts_s else None


def parse_series(
    lines: Iterable[str],
    where: str,
    *,
    column: str | None = None,
    time_zone: str | None = None,
    least: float = -inf,
    most: float = inf,
) -> Series:
    """Read a series from lines (with their line ends): a header, then one row of time and value per interval.

    Times are ISO 8601 (`2021-01-08T06:00Z`). One without an offset is read in `time_zone` (an IANA name) and refused
    where none is given, unless the column's name ends in "_utc"; in such a zone the hour that autumn repeats stands
    twice, in order. A day alone is a UTC day. `column` names the value's column (None: the second). Values lie from
    `least` to `most`, in the file's unit.

    Raises:
        SeriesError: with the line of the first row that is wrong.
    """
    table = Rows(lines, where)
    place = _place(table, column)
    name = table.header[place]
    clock = Clock(where, LocalTimes(_zone(table, time_zone)))
    value: list[float] = []
    line_of: list[int] = []
    for line, fields in table:
        clock.tick(line, fields[0])
        value.append(number(where, line, fields[place], name, least, most))
        line_of.append(line)
    clock.end()
    if len(value) < 2:
        raise SeriesError(where, 0, f"{len(value)} row(s)", "at least two: their distance is the interval")
    step_s = _step(clock.at_s)
    gaps = gaps_of(where, clock.at_s, step_s, line_of)
    return Series(where, name, np.array(clock.at_s), np.array(value), step_s, gaps, table.notes)


def _place(table: Rows, column: str | None) -> int:
    """The value's column."""
    header = table.header
    if header[0] not in TIME_COLUMNS or len(header) < 2:
        expected = f"a header of a time ({', '.join(TIME_COLUMNS)}) and a value"
        raise SeriesError(table.where, 1, ",".join(header), expected)
    if column is None:
        return 1
    if column not in header[1:]:
        raise SeriesError(table.where, 1, ",".join(header), f"a column named {column!r}")
    return header.index(column, 1)


def _zone(table: Rows, time_zone: str | None) -> tzinfo | None:
    """The zone of times that say none."""
    says_utc = table.header[0].endswith("_utc")
    if time_zone is None:
        return UTC if says_utc else None
    if says_utc and time_zone != "UTC":
        raise SeriesError(table.where, 1, table.header[0], f"times in the given time zone {time_zone!r}, not UTC")
    try:
        return zone_of(time_zone)
    except ValueError as error:
        raise SeriesError(table.where, 0, f"time zone {time_zone!r}", str(error)) from error


def _step(at_s: list[float]) -> float:
    """The commonest distance of two rows, the shortest of several as common."""
    distances = Counter(later - earlier for earlier, later in pairwise(at_s))
    return min(distances, key=lambda distance: (-distances[distance], distance))
