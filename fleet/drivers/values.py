"""What a single field of a reply is worth: a plausible number, count or text, or None.

A missing or wrong-typed field is None and not a failed reading; so is a value that cannot be (NaN, a negative hash
rate, 1e9 TH/s). The ranges are wide enough for every machine on sale, and no wider than tells a unit's slip from a
value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from fleet.machine import Machine, Mode
from fleet.reading import Board

MOST_THS: Final = 5_000.0
MOST_WATTS: Final = 50_000.0
_MOST_COUNT: Final = 10**15
_MOST_TEXT: Final = 200
_NUMERIC: Final = frozenset((int, float, str))

SILENT_SHARE: Final = 0.01
"""Below this share of a machine's lowest hashing mode, a hash rate is the tail of an average and not hashing."""

Table = Mapping[str, Any]
NO_TABLE: Final[Table] = {}


def number(value: Any, low: float, high: float) -> float | None:
    """A number, or a text that is one, within [low, high]; else None."""
    if type(value) not in _NUMERIC:  # neither a bool, which is an int, nor a table
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if low <= found <= high else None  # not so for NaN either


def rate_ths(value: Any, per_ths: float = 1.0) -> float | None:
    """A hash rate in TH/s from a value in another unit: `per_ths` is how many of those a TH/s has."""
    found = number(value, 0.0, MOST_THS * per_ths)
    return None if found is None else found / per_ths


def watts(value: Any) -> float | None:
    """A power in W."""
    return number(value, 0.0, MOST_WATTS)


def celsius(value: Any) -> float | None:
    """A temperature in degrees Celsius; exactly 0 is how firmware says that it has no sensor there."""
    found = number(value, -50.0, 200.0)
    return found or None


def hottest(values: Iterable[Any]) -> float | None:
    """The highest plausible temperature; None when there is none."""
    highest: float | None = None
    for value in values:  # a plain loop: the costliest line of a lean look
        found = number(value, -50.0, 200.0)
        if found and (highest is None or found > highest):
            highest = found
    return highest


def seconds(value: Any) -> float | None:
    """A duration in s, up to a century."""
    return number(value, 0.0, 3.2e9)


def count(value: Any) -> int | None:
    """A whole number from 0 up."""
    found = number(value, 0.0, float(_MOST_COUNT))
    return int(found) if found is not None and found == int(found) else None


def text(value: Any) -> str | None:
    """A printable text that is not empty, at most 200 characters long."""
    if not isinstance(value, str):
        return None
    kept = value[:_MOST_TEXT]
    if not kept.isprintable():
        kept = "".join(char for char in kept if char.isprintable())
    return kept.strip() or None


def flag(value: Any) -> bool | None:
    """A truth value, written as one or as the text of one."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else None


def table(value: Any) -> Table:
    """A JSON object; an empty one where something else stands."""
    return value if isinstance(value, dict) else NO_TABLE


def tables(value: Any, most: int = 64) -> tuple[Table, ...]:
    """The objects of a JSON array, at most `most`."""
    return tuple(row for row in value[:most] if isinstance(row, dict)) if isinstance(value, list) else ()


def total_ths(boards: Iterable[Board]) -> float | None:
    """The sum of the boards' hash rates; None when none said any."""
    known = [board.hashrate_ths for board in boards if board.hashrate_ths is not None]
    return sum(known) if known else None


def mode_of(machine: Machine, name: str | None) -> Mode | None:
    """The machine's operating point of that name."""
    return next((mode for mode in machine.modes if mode.name == name), None)


def hashes(machine: Machine, hashrate_ths: float) -> bool:
    """Whether a hash rate is more than the tail of an average that decays to nothing."""
    return hashrate_ths > SILENT_SHARE * machine.modes[1].hashrate_ths
