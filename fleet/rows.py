"""Rows of a text table, checked one by one: what a price, coin or difficulty file is made of.

A row that is wrong (cut, NaN, out of range, out of order, twice) is an error that names file, line, value and what was
expected. A row that is missing is a `Gap`: said, and without a value. Opening a file is the edge's affair; `decoded`
turns its bytes into lines.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from fleet.localtime import LocalTimes

MOST_BYTES: Final = 256 * 2**20
MOST_ROWS: Final = 5_000_000
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d+)?|\.\d+)([eE][+-]?\d+)?")


class SeriesError(ValueError):
    """A file that cannot be used: where, which line, what stood there, what was expected.

    Line 1 is the header, 0 the file as a whole.
    """

    def __init__(self, where: str, line: int, value: object, expected: str) -> None:
        self.where, self.line, self.value, self.expected = where, line, value, expected
        shown = value if isinstance(value, str) and not line else repr(value)
        place = f"{where}, line {line}" if line else where
        super().__init__(f"{place}: {shown if len(shown) <= 120 else shown[:117] + '...'}, expected {expected}")


@dataclass(frozen=True, slots=True)
class Gap:
    """Times without a value, from `from_s` until `until_s` (UTC seconds): `missing` rows are lacking before `line`."""

    from_s: float
    until_s: float
    missing: int
    line: int

    def in_words(self) -> str:
        """One sentence for people."""
        rows = "1 row is" if self.missing == 1 else f"{self.missing} rows are"
        return f"{rows} missing before line {self.line}: no value from {said(self.from_s)} until {said(self.until_s)}"


def said(at_s: float) -> str:
    """A moment as the files write it: 2021-01-08T06:00Z."""
    moment = datetime.fromtimestamp(at_s, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ" if moment.second else "%Y-%m-%dT%H:%MZ")


def decoded(content: bytes, where: str) -> list[str]:
    """The lines of a file's bytes, plain or gzip (known by its first bytes), UTF-8, line ends kept.

    Raises:
        SeriesError: cut in the middle of the compression, too large, or not UTF-8.
    """
    if content[:2] == b"\x1f\x8b":
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
                content = packed.read(MOST_BYTES + 1)
        except (EOFError, OSError, zlib.error) as error:
            raise SeriesError(where, 0, repr(str(error)), "a whole gzip file: this one is cut or damaged") from error
    if len(content) > MOST_BYTES:
        raise SeriesError(where, 0, f"more than {MOST_BYTES} bytes", f"at most {MOST_BYTES} bytes of text")
    try:
        return io.StringIO(content.decode("utf-8-sig")).readlines()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise SeriesError(where, line, content[error.start : error.start + 8], "UTF-8 text") from error


class Rows:
    """A table's header and, once iterated, its rows as (line, fields), each as wide as the header.

    Raises:
        SeriesError: no header; while iterating, a row of another width, or too many of them.
    """

    def __init__(self, lines: Iterable[str], where: str) -> None:
        self.where = where
        self.notes: tuple[str, ...] = ()
        self._last = ""
        self._reader = csv.reader(self._remembered(lines), strict=True)
        self.header = [name.strip().removeprefix("\ufeff") for name in next(self._read(), [])]
        if not self.header:
            raise SeriesError(where, 0, "the file is empty", "a header and rows")

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """Every row that is not blank."""
        for count, fields in enumerate(self._read(), start=1):
            line = self._reader.line_num
            if len(fields) != len(self.header):
                whole = self._last.rstrip("\r\n")
                raise SeriesError(self.where, line, whole, f"{len(self.header)} fields ({','.join(self.header)})")
            if count > MOST_ROWS:
                raise SeriesError(self.where, line, f"row {count}", f"at most {MOST_ROWS} rows")
            yield line, [field.strip() for field in fields]
        if self._last and not self._last.endswith(("\n", "\r")):
            self.notes = (
                f"line {self._reader.line_num} has no line end, so its last value may be cut: {self._last!r}",
            )

    def named(self, columns: Sequence[str]) -> Iterator[tuple[int, Mapping[str, str]]]:
        """Rows as (line, text by column name); other columns are left out.

        Raises:
            SeriesError: the header lacks one of them.
        """
        missing = [name for name in columns if name not in self.header]
        if missing:
            raise SeriesError(self.where, 1, ",".join(self.header), f"the columns {','.join(columns)}")
        place = [(name, self.header.index(name)) for name in columns]
        for line, fields in self:
            yield line, {name: fields[at] for name, at in place}

    def _remembered(self, lines: Iterable[str]) -> Iterator[str]:
        """The lines, keeping the last for the messages."""
        for line in lines:
            self._last = line
            yield line

    def _read(self) -> Iterator[list[str]]:
        """Non-blank rows; what csv cannot read is an error of ours."""
        while True:
            try:
                fields = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise SeriesError(self.where, self._reader.line_num, str(error), "comma-separated fields") from error
            if any(field.strip() for field in fields):
                yield fields


class Clock:
    """Reads the time column of one table, which has to rise from row to row."""

    def __init__(self, where: str, times: LocalTimes) -> None:
        self._where = where
        self._times = times
        self.at_s: list[float] = []

    def tick(self, line: int, text: str) -> None:
        """Take one row's time.

        Raises:
            SeriesError: no time, the same as the row before, or earlier.
        """
        try:
            at_s = self._times.seconds(text)
        except ValueError as error:
            raise SeriesError(self._where, line, text, str(error)) from None
        if self.at_s and at_s <= self.at_s[-1]:
            before = said(self.at_s[-1])
            why = "stands twice, as in a daylight-saving fold" if at_s == self.at_s[-1] else "goes back in time"
            raise SeriesError(self._where, line, text, f"a time after {before}: this one {why}")
        self.at_s.append(at_s)

    def end(self) -> None:
        """All rows are read.

        Raises:
            SeriesError: a time that autumn repeats stands once.
        """
        lonely = self._times.unpaired()
        if lonely is not None:
            raise SeriesError(self._where, 0, f"one row of {lonely.isoformat()}", "two: the clocks go back over it")


def number(where: str, line: int, text: str, expected: str, least: float, most: float) -> float:
    """A decimal number from `least` to `most`.

    Raises:
        SeriesError: it is none (NaN and infinities included), or out of that range.
    """
    if _NUMBER.fullmatch(text) is None:
        raise SeriesError(where, line, text, f"a number for {expected}")
    value = float(text)
    if not least <= value <= most:
        raise SeriesError(where, line, text, f"{expected} from {least:g} to {most:g}")
    return value


def gaps_of(where: str, at_s: Sequence[float], step_s: float, line: Sequence[int]) -> tuple[Gap, ...]:
    """The holes of a rising time column on a grid of `step_s`; line[t] is where each row stands.

    Raises:
        SeriesError: a row that is off the grid.
    """
    gaps: list[Gap] = []
    for row in range(1, len(at_s)):
        steps = (at_s[row] - at_s[row - 1]) / step_s
        if steps == 1:
            continue
        due_s = at_s[row - 1] + step_s
        if steps != round(steps):
            raise SeriesError(where, line[row], said(at_s[row]), f"{said(due_s)}: rows are {step_s:g} s apart")
        gaps.append(Gap(due_s, at_s[row], round(steps) - 1, line[row]))
    return tuple(gaps)
