"""The terminal: tables and progress for people, JSON for programs.

Standard output carries the answer and nothing else; progress and notes go to standard error, and only to a terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress


def out() -> Console:
    """Where answers go."""
    from rich.console import Console

    # A pipe is as wide as its reader likes: cut nothing there.
    return Console(width=None if sys.stdout.isatty() else 200, highlight=False)


def err() -> Console:
    """Where progress and notes go."""
    from rich.console import Console

    # A log is grepped: a message stays on its line there.
    return Console(stderr=True, width=None if sys.stderr.isatty() else 1_000, highlight=False)


def print_json(value: Any) -> None:
    """One JSON value; NaN and infinities are null."""
    sys.stdout.write(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """A value as JSON can say it: what is not finite is null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None  # noqa: PLR0124 - NaN
    return plain(value.item()) if hasattr(value, "item") else str(value)


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: Sequence[int] = (),
    spare: Sequence[int] = (),
) -> RenderableType:
    """A table; `right` are the columns aligned to the right, `spare` those to leave out, in turn, where room is short."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    rows = [tuple(row) for row in rows]
    widths = [max(map(_width, (column, *(row[i] for row in rows)))) for i, column in enumerate(columns)]
    shown, left_out = list(range(len(columns))), []
    for index in spare:
        if sum(widths[i] + _GAP for i in shown) <= out().width:
            break
        shown.remove(index)
        left_out.append(" ".join(columns[index].split()))
    made = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    made.show_header = any(columns)
    made.caption = f"no room for: {', '.join(left_out)} (a wider terminal, or --json, has them)" if left_out else None
    made.caption_justify = "left"
    for index in shown:
        # What a row is known by is never cut in two.
        made.add_column(
            columns[index],
            justify="right" if index in right else "left",
            overflow="fold",
            no_wrap=index == 0 or index in right,
        )
    for row in rows:
        # What machines say of themselves is text, never markup.
        made.add_row(*(Text(row[index]) for index in shown))
    return made


_GAP = 2


def _width(text: str) -> int:
    return max(map(len, text.split("\n")))


def progress(quiet: bool = False) -> Progress:
    """A progress bar on standard error, shown only on a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err(),
        transient=True,
        disable=quiet or not sys.stderr.isatty(),
    )


def number(value: float | None, digits: int = 1, unit: str = "") -> str:
    """A number for people; "–" for one that is not known."""
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return "–"
    return f"{value:,.{digits}f}{unit}"
