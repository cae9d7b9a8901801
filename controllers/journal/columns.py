"""The payload of a frame: a JSON head, and the columns that differ from what the reader already has.

A column is written as the exclusive-or of its bits with those of a reference (the same column one record earlier, or a
column of this record that mostly equals it), bytes of equal weight side by side, all deflated at level 1: what did not change
is not written or is zeros. What follows exactly from other columns and the ladders is named, not written.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from controllers.journal.frames import PAYLOAD_BYTES_MOST
from controllers.journal.values import Columns, Json, Unreadable
from fleet.columns import frozen
from fleet.machine import ModeColumns
from fleet.units import HOURS_PER_DAY, THS_PER_PHS, WATTS_PER_MW

_LEVEL: Final = 1
_LENGTH: Final = struct.Struct("<I")
_UNPACKED_BYTES_MOST: Final = 4 * PAYLOAD_BYTES_MOST
_BEFORE, _NOTHING, _DERIVED = "^", "", "="
_LIKE: Final[Mapping[str, str]] = {
    "snapshot.heard.asked_s": "snapshot.heard.at_s",
    "view.heard_s": "snapshot.heard.at_s",
    "view.state": "snapshot.heard.state",
    "view.mode": "snapshot.heard.mode",
    "view.uptime_s": "snapshot.heard.uptime_s",
    "view.standing": "view.mode",
    "view.worst_w": "snapshot.heard.power_w",
    "decision.choices.target": "view.standing",
    **{
        f"view.{source}.{name}": f"snapshot.heard.{like}"
        for source in ("evidence", "pool_evidence", "tap_evidence", "rejects", "errors")
        for name, like in {
            "heard_s": "at_s",
            "booked_s": "at_s",
            "claim_ths": "hashrate_ths",
            "power_w": "power_w",
            "uptime_s": "uptime_s",
            "seen": "accepted_difficulty",
            "counter": "accepted_difficulty",
            "share_difficulty": "share_difficulty",
            "bad": "rejected",
            "good": "accepted",
        }.items()
    },
    "view.errors.bad": "snapshot.heard.hardware_errors",
    "view.errors.good": "snapshot.heard.accepted_difficulty",
    "view.pool_evidence.seen": "snapshot.pool_told.work",
    "view.pool_evidence.counter": "snapshot.pool_told.work",
    "view.pool_evidence.booked_s": "snapshot.pool_told.heard_s",
    "view.pool_evidence.told_s": "snapshot.pool_told.heard_s",
    "view.tap_evidence.counter": "snapshot.counted.shares",
    "view.tap_evidence.exposure": "snapshot.counted.exposure",
    "view.tap_evidence.share_difficulty": "snapshot.counted.difficulty",
}
"""Columns that mostly equal another, earlier one of the same record."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A payload read: its head, every column (the referenced ones included)."""

    head: Json
    columns: Columns


class Baseless(Exception):
    """A payload that builds on another than the one that was read."""


def encode(
    head: Json,
    columns: Columns,
    before: Columns | None = None,
    ladders: ModeColumns | None = None,
    prices: Json = None,
    base: int | None = None,
) -> bytes:
    """A payload; `before` holds the columns of the frame numbered `base`, which the reader has already (None: it has none).

    `ladders` and `prices` (the JSON of `policies.economics.Prices`) are what derived columns are derived from.
    """
    listed: list[list[Any]] = []
    buffers: list[bytes] = []
    before = {} if before is None else before
    earlier: dict[str, NDArray[Any]] = {}
    for name, column in columns.items():
        likely, earlier[name] = earlier.get(_LIKE.get(name, "")), column
        last = before.get(name)
        if last is column:
            continue
        bits = _bits(column)
        if last is not None and _alike(last, column) and np.array_equal(_bits(last), bits):
            continue
        entry: list[Any] = [name, column.dtype.str, list(column.shape)]
        derived = _derive(name, columns, ladders, prices)
        if derived is not None and _alike(derived, column) and np.array_equal(_bits(derived), bits):
            listed.append([*entry, _DERIVED])
            continue
        reference, against = _reference(name, bits, last, likely)
        listed.append([*entry, reference])
        buffers.append(_shuffled(bits if against is None else bits ^ _bits(against)))
    gone = [name for name in before if name not in columns]
    text = json.dumps({"head": head, "base": base, "columns": listed, "gone": gone}, separators=(",", ":")).encode()
    deflate = zlib.compressobj(_LEVEL)
    parts = [deflate.compress(_LENGTH.pack(len(text)) + text), *(deflate.compress(b) for b in buffers), deflate.flush()]
    return b"".join(parts)


def decode(
    payload: bytes, before: Columns | None = None, ladders: ModeColumns | None = None, base: int | None = None
) -> Unpacked:
    """The head and columns of a payload; `before`, `ladders` and `base` as they were when it was encoded.

    Raises:
        Baseless: it was encoded against another frame than `base`.
        Unreadable: it is no payload of this format.
    """
    raw = _inflated(payload)
    try:
        (length,) = _LENGTH.unpack_from(raw)
        body = json.loads(bytes(raw[_LENGTH.size : _LENGTH.size + length]))
        if body["base"] is not None and body["base"] != base:
            raise Baseless
        head, listed, gone = body["head"], body["columns"], set(body["gone"])
        prices = _prices(head)
        columns = {name: column for name, column in (before or {}).items() if name not in gone}
        position = _LENGTH.size + length
        for name, dtype, shape, reference in listed:
            if reference != _DERIVED:
                column, position = _column(raw, position, dtype, shape, _referred(reference, name, columns))
                columns[name] = frozen(column)
        # Derived columns follow from the others as they are in this record, so they come after all of those.
        for name in (name for name, _, _, reference in listed if reference == _DERIVED):
            derived = _derive(name, columns, ladders, prices)
            if derived is None:
                raise Unreadable(f"{name}: derived from what is not there")
            columns[name] = frozen(derived)
    except (struct.error, KeyError, TypeError, ValueError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(f"a payload of {len(payload)} bytes: {type(error).__name__}: {error}") from error
    return Unpacked(head, columns)


def _inflated(payload: bytes) -> memoryview:
    """The bytes that were deflated, bounded."""
    inflate = zlib.decompressobj()
    try:
        raw = inflate.decompress(payload, _UNPACKED_BYTES_MOST)
    except zlib.error as error:
        raise Unreadable(f"a payload of {len(payload)} bytes: {error}") from error
    if not inflate.eof:
        raise Unreadable(f"a payload of {len(payload)} bytes: cut, or more than {_UNPACKED_BYTES_MOST} bytes inflated")
    return memoryview(raw)


def _reference(
    name: str, bits: NDArray[Any], last: NDArray[Any] | None, likely: NDArray[Any] | None
) -> tuple[str, NDArray[Any] | None]:
    """What a column is written against: whichever it differs from in fewer places."""
    best, against, least = _NOTHING, None, bits.size + 1
    for reference, other in ((_BEFORE, last), (_LIKE.get(name, ""), likely)):
        if other is not None and other.size == bits.size and other.dtype.itemsize == bits.dtype.itemsize:
            differing = int(np.count_nonzero(_bits(other) != bits))
            if differing < least:
                best, against, least = reference, other, differing
    return best, against


def _referred(reference: str, name: str, columns: Mapping[str, NDArray[Any]]) -> NDArray[Any] | None:
    """The column that an entry was written against."""
    if reference == _NOTHING:
        return None
    return columns[name if reference == _BEFORE else reference]


def _column(
    raw: memoryview, position: int, dtype: str, shape: list[int], reference: NDArray[Any] | None
) -> tuple[NDArray[Any], int]:
    """One column from its bytes, and where the next one's begin."""
    kind = np.dtype(dtype)
    if kind.kind not in "biuf" or any(side < 0 for side in shape):
        raise Unreadable(f"a column of {dtype!r} {shape}, expected numbers")
    size = int(np.prod(shape, dtype=np.int64))
    end = position + size * kind.itemsize
    if end > len(raw):
        raise Unreadable(f"a column of {size} x {dtype}, expected no more than {len(raw) - position} bytes")
    planes = np.frombuffer(raw[position:end], np.uint8).reshape(kind.itemsize, size)
    bits = np.ascontiguousarray(planes.T).reshape(-1).view(f"<u{kind.itemsize}")
    if reference is not None:
        bits = bits ^ _bits(reference)
    return bits.view(kind).reshape(shape), end


def _bits(column: NDArray[Any]) -> NDArray[Any]:
    """The bits of a column, flat."""
    bits: NDArray[Any] = np.ascontiguousarray(column).reshape(-1).view(f"<u{column.dtype.itemsize}")
    return bits


def _shuffled(bits: NDArray[Any]) -> bytes:
    """First bytes together, then second bytes, and so on."""
    return np.ascontiguousarray(bits.view(np.uint8).reshape(-1, bits.dtype.itemsize).T).tobytes()


def _alike(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape


# What follows from other columns. Each is stored whole wherever it does not follow exactly, so these formulas are part of the
# format, and may not change without a new version of it.


def _allowed(columns: Columns, ladders: ModeColumns, _prices: Json) -> NDArray[Any]:
    return ladders.exists & (columns["decision.choices.removed_by"] < 0)


def _power_w(columns: Columns, ladders: ModeColumns, _prices: Json) -> NDArray[Any]:
    return ladders.power_w * columns["view.power_scale"][:, None]


def _value_usd_h(columns: Columns, ladders: ModeColumns, prices: Json) -> NDArray[Any]:
    per_ths_h = prices["hashprice_usd_phs_day"] / (THS_PER_PHS * HOURS_PER_DAY)
    scale = columns["view.rate_scale"]
    if "view.credit" in columns:  # version 1 has none
        scale = scale * columns["view.credit"]
    revenue = ladders.hashrate_ths * scale[:, None] * per_ths_h
    value: NDArray[Any] = revenue - _power_w(columns, ladders, prices) * (prices["power_usd_mwh"] / WATTS_PER_MW)
    return value


_DERIVATIONS: Final[Mapping[str, Callable[[Columns, ModeColumns, Json], NDArray[Any]]]] = {
    "decision.choices.allowed": _allowed,
    "decision.choices.power_w": _power_w,
    "decision.choices.value_usd_h": _value_usd_h,
}


def _derive(name: str, columns: Columns, ladders: ModeColumns | None, prices: Json) -> NDArray[Any] | None:
    """A column from what it follows from; None where that is not known."""
    derivation = _DERIVATIONS.get(name)
    if derivation is None or ladders is None:
        return None
    try:
        return derivation(columns, ladders, prices)
    except (KeyError, TypeError, ValueError):
        return None


def _prices(head: Json) -> Json:
    """The prices in a record's head; None in another frame's."""
    try:
        return head["value"]["decision"]["prices"]
    except (KeyError, TypeError):
        return None
