"""Columns: one numpy row per machine, read-only once they are published.

A site has 10,000 to 100,000 machines and a tick has milliseconds, so the inside of a View and of Choices is columns;
objects exist only at the edges. Unknown is NaN in a float column and -1 in an index column, never zero.
"""

from __future__ import annotations

from dataclasses import fields
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Codes: TypeAlias = NDArray[np.int16]
Bools: TypeAlias = NDArray[np.bool_]

UNKNOWN = -1
"""In an index column: not known."""
OFF_LADDER = -2
"""In a mode column: known, and none of the operating points of the roster."""


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """The same array, read-only from now on."""
    array.flags.writeable = False
    return array


def freeze_columns(record: object) -> None:
    """Make every array field of a dataclass read-only (for `__post_init__`)."""
    kind: Any = type(record)
    for name in _fields(kind):
        value = getattr(record, name)
        # Most columns of a new record were another's before: they are frozen, and asking is cheaper than telling.
        if isinstance(value, np.ndarray) and value.flags.writeable:
            value.flags.writeable = False


@lru_cache(maxsize=256)
def _fields(kind: Any) -> tuple[str, ...]:
    """Names of a dataclass's fields; a tick makes records by the dozen."""
    return tuple(field.name for field in fields(kind))
