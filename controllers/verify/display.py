"""The display of a check under way: one line a machine with its interval, which narrows until there is a verdict.

On a terminal it is drawn over and over; elsewhere a line is written now and then, for a log.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Self

from controllers.terminal import err, number

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

_LEAST, _MOST, _WIDTH = 0.80, 1.10, 31
_COLOURS: Final = {"short": "red", "honest": "green", "untested": "yellow"}
_SHOWN_MOST: Final = 15
_LINES: Final = 20
"""So many lines are written of a whole check where there is no terminal."""


class Display:
    """Shows progress as the daemon tells it; use it as a context."""

    def __init__(self, *, shortfall: float) -> None:
        self._shortfall = shortfall
        self._live: Live | None = None
        self._line = -1

    def __enter__(self) -> Self:
        """Take the terminal, where there is one."""
        if sys.stderr.isatty():
            from rich.live import Live

            self._live = Live(console=err(), refresh_per_second=4, transient=True)
            self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of it."""
        if self._live is not None:
            self._live.__exit__(None, None, None)

    def waiting(self, why: str) -> None:
        """Nothing new, and why."""
        from rich.text import Text

        if self._live is not None:
            self._live.update(Text(why))
        elif self._line != -2:
            self._line = -2
            err().print(why, markup=False)

    def show(self, progress: Mapping[str, Any]) -> None:
        """How the check stands."""
        if self._live is not None:
            self._live.update(self._picture(progress))
            return
        passed = (progress["at_s"] - progress["began_s"]) / progress["for_s"]
        line = min(int(passed * _LINES), _LINES)
        if line > self._line or progress["ended"]:
            self._line = line
            err().print(in_words(progress), markup=False)

    def _picture(self, progress: Mapping[str, Any]) -> Group:
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for title in (
            "machine",
            f"{100 * _LEAST:.0f} %{'':{_WIDTH - 10}}{100 * _MOST:.0f} %",
            "delivers",
            "shares",
            "verdict",
        ):
            table.add_column(title, justify="right" if title in {"delivers", "shares"} else "left", no_wrap=True)
        for row in progress["rows"][:_SHOWN_MOST]:
            colour = _COLOURS[row["verdict"]]
            table.add_row(
                Text(row["machine"]),
                bar(row, self._shortfall, colour),
                Text(_delivers(row)),
                Text(number(row["shares"], 0)),
                Text(_verdict(row), style=colour),
            )
        return Group(Text(in_words(progress)), table)


def bar(row: Mapping[str, Any], shortfall: float, colour: str) -> Text:
    """The interval on a scale, the claim and the shortfall marked."""
    from rich.text import Text

    cells, claim, short = [" "] * _WIDTH, _cell(1.0), _cell(1.0 - shortfall)
    cells[short], cells[claim] = "┊", "│"
    if row["low"] is None or row["high"] is None or row["ratio"] is None:
        return Text("".join(cells))
    low, high = _cell(row["low"]), _cell(row["high"])
    for cell in range(low, high + 1):
        cells[cell] = {claim: "┿", short: "╍"}.get(cell, "━")
    cells[_cell(row["ratio"])] = "●"
    text = Text("".join(cells))
    text.stylize(colour, low, high + 1)
    return text


def _cell(ratio: float) -> int:
    """Where a ratio is on the scale; beyond it, at its end."""
    return round((min(max(ratio, _LEAST), _MOST) - _LEAST) / (_MOST - _LEAST) * (_WIDTH - 1))


def _delivers(row: Mapping[str, Any]) -> str:
    if row["ratio"] is None:
        return "no share yet"
    return f"{100 * row['ratio']:.1f} % ({100 * row['low']:.1f} to {100 * row['high']:.1f})"


def _verdict(row: Mapping[str, Any]) -> str:
    if row["verdict"] != "untested":
        return str(row["verdict"])
    lacks_s = row["lacks_s"]
    return "undecided" if lacks_s is None else f"in about {duration(lacks_s)}"


def in_words(progress: Mapping[str, Any]) -> str:
    """One line."""
    passed_s = min(progress["at_s"] - progress["began_s"], progress["for_s"])
    counts = progress["verdicts"]
    return (
        f"check {progress['id']}: {duration(passed_s)} of {duration(progress['for_s'])}; {progress['machines']} machines: "
        f"{counts['short']} short, {counts['honest']} honest, {counts['untested']} undecided"
    )


def duration(seconds: float) -> str:
    """A time for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"
