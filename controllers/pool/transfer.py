"""What was counted, from one process to another: JSON values, the columns as compressed bytes.

Columns are little-endian float64 (booleans as bytes), one machine after another, deflated and in base64; names and flaws
go with them, so that a tap and a daemon of different versions understand each other or say that they do not.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet.work.counted import Counted, Flaw

_SCALARS: Final = ("at_s", "epoch")
_COLUMNS: Final = tuple(field.name for field in fields(Counted) if field.name not in _SCALARS)
_BYTES_MOST: Final = 512 * 10**6


def packed(counted: Counted) -> dict[str, Any]:
    """Counted as JSON values."""
    columns = {name: _packed(getattr(counted, name)) for name in _COLUMNS}
    return {
        "at_s": counted.at_s,
        "epoch": counted.epoch,
        "flaws": [flaw.name for flaw in Flaw],
        "columns": columns,
    }


def unpacked(values: Mapping[str, Any]) -> Counted:
    """Counted from JSON values.

    Raises:
        ValueError: they are not what `packed` gives.
    """
    try:
        flaws = values["flaws"]
        columns = {name: _unpacked(name, values["columns"][name]) for name in _COLUMNS}
        counted = Counted(at_s=float(values["at_s"]), epoch=int(values["epoch"]), **columns)
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise ValueError(f"what a tap counted cannot be read: {type(error).__name__}: {error}") from error
    if flaws != [flaw.name for flaw in Flaw]:
        raise ValueError(f"flaws {flaws!r}, expected those of this version")
    return counted


def _packed(column: NDArray[Any]) -> str:
    kind = np.uint8 if column.dtype == np.bool_ else np.dtype("<f8")
    return base64.b64encode(zlib.compress(column.astype(kind).tobytes(), 1)).decode("ascii")


def _unpacked(name: str, text: str) -> NDArray[Any]:
    engine = zlib.decompressobj()
    data = engine.decompress(base64.b64decode(text, validate=True), _BYTES_MOST)
    if engine.unconsumed_tail:
        raise ValueError(f"{name}: more than {_BYTES_MOST} bytes")
    if name == "connected":
        return np.frombuffer(data, np.uint8).astype(np.bool_)
    column = np.frombuffer(data, "<f8").astype(np.float64)
    return column.reshape(-1, len(Flaw)) if name == "flawed" else column
