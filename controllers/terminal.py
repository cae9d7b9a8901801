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
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()
) -> RenderableType:
    """A table; `right` are the columns aligned to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        made.add_column(column, justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        # What machines say of themselves is text, never markup.
        made.add_row(*map(Text, row))
    return made


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
