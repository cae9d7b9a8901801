"""The coinbase transaction of a job: the height of the block, and whom it pays.

A pool's coinbase has one input, whose script begins with the height (BIP 34) and holds the extranonces, and outputs to
whoever is paid: the pool, or, where a pool pays in the block itself, the miner. What cannot be read is absent, because a
pool may send anything and a job is worked on all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_NO_TRANSACTION: Final = bytes(32)
_OP_1, _OP_16 = 0x51, 0x60
_MOST_HEIGHT_BYTES: Final = 3
"""A height of four bytes comes in the year 2168; four bytes in a block of today are no height (the genesis block)."""


@dataclass(frozen=True, slots=True)
class Output:
    """An output: satoshis, and the script that it pays to."""

    satoshis: int
    script: bytes


@dataclass(frozen=True, slots=True)
class Coinbase:
    """A coinbase taken apart. `height` is None where the input's script does not begin with one."""

    height: int | None
    outputs: tuple[Output, ...]

    @property
    def satoshis(self) -> int:
        """All that it pays."""
        return sum(output.satoshis for output in self.outputs)

    def paid(self, scripts: frozenset[bytes]) -> int:
        """The satoshis that go to any of these scripts."""
        return sum(output.satoshis for output in self.outputs if output.script in scripts)


def read_coinbase(transaction: bytes) -> Coinbase | None:
    """A coinbase transaction, with or without its witness, None where it is none."""
    cursor = _Cursor(transaction)
    try:
        cursor.take(4)
        has_witness = transaction[4:6] == b"\0\1"
        cursor.take(2 if has_witness else 0)
        if cursor.count() != 1 or cursor.take(32) != _NO_TRANSACTION:
            return None
        cursor.take(4)
        script = cursor.take(cursor.count())
        cursor.take(4)
        # an output has nine bytes at least, so a count that lies ends where the bytes end
        outputs = tuple(
            Output(int.from_bytes(cursor.take(8), "little"), cursor.take(cursor.count())) for _ in range(cursor.count())
        )
    except _TooShortError:
        return None
    return Coinbase(height_in(script), outputs)


def height_in(script: bytes) -> int | None:
    """The block's height, where the script of a coinbase's input begins with one (BIP 34): its shortest push."""
    if not script:
        return None
    size = script[0]
    if _OP_1 <= size <= _OP_16:
        return size - _OP_1 + 1
    push = script[1 : 1 + size]
    if not 1 <= size <= _MOST_HEIGHT_BYTES or len(push) != size or push[-1] & 0x80:
        return None
    height = int.from_bytes(push, "little")
    # the shortest form has no zero byte at its end, unless the one before it would be a sign
    shortest = push[-1] != 0 or (size > 1 and bool(push[-2] & 0x80))
    return height if shortest and height > _OP_16 - _OP_1 + 1 else None


class _TooShortError(Exception):
    """The bytes end before the transaction does."""


class _Cursor:
    """Takes bytes from the front, one piece after another."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, size: int) -> bytes:
        """So many bytes."""
        piece = self._data[self._at : self._at + size]
        if len(piece) != size:
            raise _TooShortError
        self._at += size
        return piece

    def count(self) -> int:
        """A number in Bitcoin's variable length."""
        first = self.take(1)[0]
        return first if first < 0xFD else int.from_bytes(self.take(1 << (first - 0xFC)), "little")
