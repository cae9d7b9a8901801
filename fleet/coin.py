"""The coin's history: days of price, fees and hash rate, and epochs of difficulty, read from text line by line.

Missing days and epochs are gaps, said and without a value. The last epoch before a hole or the file's end has no known
end, so it is believed for the 14 days that an epoch is meant to last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from math import inf, isfinite, nan
from typing import Final

import numpy as np

from fleet.columns import Floats, Ints, freeze_columns
from fleet.localtime import LocalTimes
from fleet.network import BLOCK_S, EPOCH_BLOCKS, EPOCH_S
from fleet.rows import Clock, Gap, Rows, SeriesError, gaps_of, number
from fleet.series import row_of
from fleet.units import SECONDS_PER_DAY
from fleet.work.target import difficulty_of_nbits, target_of_nbits

COIN_COLUMNS: Final = ("date", "hashrate_ths", "price_usd", "fees_btc")
EPOCH_COLUMNS: Final = ("epoch", "first_height", "start_utc", "nbits", "difficulty")
_NBITS: Final = re.compile("[0-9a-fA-F]{8}")
_MOST: Final = {"hashrate_ths": 1e12, "price_usd": 1e8, "fees_btc": 1e5}


@dataclass(frozen=True, eq=False)
class CoinDays:
    """The coin day by day: at_s[d] is the UTC midnight that begins a day; fees are the whole day's, in BTC."""

    where: str
    at_s: Floats
    hashrate_ths: Floats
    price_usd: Floats
    fees_btc_day: Floats
    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Read-only."""
        freeze_columns(self)

    def __len__(self) -> int:
        """How many days."""
        return len(self.at_s)

    def row_at(self, at_s: float) -> int | None:
        """The row of the day that holds a moment; None for a missing day and outside."""
        return row_of(self.at_s, at_s, SECONDS_PER_DAY)


@dataclass(frozen=True, eq=False)
class Epochs:
    """Difficulty epochs: first_height[e] (multiples of 2,016), start_s[e] (NaN: not said), nbits[e], difficulty[e].

    `lasts_s[e]` is how long an epoch is believed: until the next one's start, or 14 days where that is not in the file.
    """

    where: str
    first_height: Ints
    start_s: Floats
    lasts_s: Floats
    nbits: Ints
    difficulty: Floats
    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Read-only."""
        freeze_columns(self)

    def __len__(self) -> int:
        """How many epochs."""
        return len(self.first_height)

    def row_at(self, at_s: float) -> int | None:
        """The epoch that holds a moment; None before the first that says its start, in a hole, and after the end."""
        unsaid = int(np.count_nonzero(np.isnan(self.start_s)))
        row = int(np.searchsorted(self.start_s[unsaid:], at_s, side="right")) - 1 + unsaid
        return row if row >= unsaid and at_s < self.start_s[row] + self.lasts_s[row] else None

    def height_at(self, at_s: float) -> int | None:
        """A height of that moment, estimated: the epoch's first and one more every 600 s, never beyond the epoch."""
        row = self.row_at(at_s)
        if row is None:
            return None
        into = min(int((at_s - self.start_s[row]) // BLOCK_S), EPOCH_BLOCKS - 1)
        return int(self.first_height[row]) + into


def parse_coin_days(lines: Iterable[str], where: str) -> CoinDays:
    """Read the daily table: date, hashrate_ths, price_usd, fees_btc (by name, others left out), one row a UTC day.

    Raises:
        SeriesError: with the line of the first row that is wrong.
    """
    table = Rows(lines, where)
    clock = Clock(where, LocalTimes(UTC))
    columns: dict[str, list[float]] = {name: [] for name in COIN_COLUMNS[1:]}
    line_of: list[int] = []
    for line, row in table.named(COIN_COLUMNS):
        clock.tick(line, row["date"])
        if clock.at_s[-1] % SECONDS_PER_DAY:
            raise SeriesError(where, line, row["date"], "a day alone, such as 2021-01-08")
        for name, cells in columns.items():
            cells.append(number(where, line, row[name], name, 0.0, _MOST[name]))
        line_of.append(line)
    if not line_of:
        raise SeriesError(where, 0, "no rows", "at least one day")
    return CoinDays(
        where=where,
        at_s=np.array(clock.at_s),
        hashrate_ths=np.array(columns["hashrate_ths"]),
        price_usd=np.array(columns["price_usd"]),
        fees_btc_day=np.array(columns["fees_btc"]),
        gaps=gaps_of(where, clock.at_s, SECONDS_PER_DAY, line_of),
        notes=table.notes,
    )


def parse_epochs(lines: Iterable[str], where: str) -> Epochs:
    """Read the epochs: columns epoch, first_height, start_utc, nbits (hexadecimal), difficulty, by name.

    The first rows may leave start_utc empty. The difficulty has to be that of the nBits, to one part in 1e9.

    Raises:
        SeriesError: with the line of the first row that is wrong.
    """
    table = Rows(lines, where)
    clock = Clock(where, LocalTimes(UTC))
    height: list[int] = []
    nbits: list[int] = []
    difficulty: list[float] = []
    line_of: list[int] = []
    for line, row in table.named(EPOCH_COLUMNS):
        height.append(_height(where, line, row["epoch"], row["first_height"], height))
        if row["start_utc"] or clock.at_s:
            clock.tick(line, row["start_utc"])
        nbits.append(_nbits(where, line, row["nbits"]))
        difficulty.append(number(where, line, row["difficulty"], "difficulty", 0.0, inf))
        exact = difficulty_of_nbits(nbits[-1])
        if abs(difficulty[-1] - exact) > 1e-9 * exact:
            raise SeriesError(
                where, line, row["difficulty"], f"the difficulty of nBits {row['nbits']}, which is {exact!r}"
            )
        line_of.append(line)
    if not line_of:
        raise SeriesError(where, 0, "no rows", "at least one epoch")
    start = [nan] * (len(height) - len(clock.at_s)) + clock.at_s
    lasts, gaps = _lives(height, start, line_of)
    return Epochs(
        where=where,
        first_height=np.array(height, dtype=np.int64),
        start_s=np.array(start),
        lasts_s=np.array(lasts),
        nbits=np.array(nbits, dtype=np.int64),
        difficulty=np.array(difficulty),
        gaps=gaps,
        notes=table.notes,
    )


def _lives(height: list[int], start_s: list[float], line: list[int]) -> tuple[list[float], tuple[Gap, ...]]:
    """How long each epoch is believed, and the holes between them."""
    lasts: list[float] = []
    gaps: list[Gap] = []
    for row in range(len(height) - 1):
        missing = (height[row + 1] - height[row]) // EPOCH_BLOCKS - 1
        length = start_s[row + 1] - start_s[row]
        lasts.append(min(length, EPOCH_S) if missing else length)
        if missing and isfinite(start_s[row]):
            gaps.append(Gap(start_s[row] + lasts[row], start_s[row + 1], missing, line[row + 1]))
    return [*lasts, float(EPOCH_S)], tuple(gaps)


def _height(where: str, line: int, epoch: str, first_height: str, earlier: list[int]) -> int:
    """An epoch's first height: 2,016 times its number, above the row before."""
    for text, name in ((epoch, "epoch"), (first_height, "first_height")):
        if not (text.isascii() and text.isdigit() and len(text) <= 12):
            raise SeriesError(where, line, text, f"a whole number for {name}")
    if int(first_height) != int(epoch) * EPOCH_BLOCKS:
        raise SeriesError(
            where, line, first_height, f"{int(epoch) * EPOCH_BLOCKS}, which is {EPOCH_BLOCKS} times epoch {epoch}"
        )
    if earlier and int(first_height) <= earlier[-1]:
        raise SeriesError(where, line, first_height, f"a height above {earlier[-1]}")
    return int(first_height)


def _nbits(where: str, line: int, text: str) -> int:
    """Eight hexadecimal digits that a header may carry."""
    if _NBITS.fullmatch(text) is None:
        raise SeriesError(where, line, text, "nBits of eight hexadecimal digits")
    nbits = int(text, 16)
    try:
        target_of_nbits(nbits)
    except ValueError as error:
        raise SeriesError(where, line, text, f"nBits that a header may carry ({error})") from error
    return nbits
