"""Frames: checksummed pieces of an append-only file, and what is left of them after damage.

A frame is a header of fixed size (a marker, its kind, its length, its number in the file, a checksum of the payload and one of
the header itself) and a payload. A reader that meets bytes that are no frame says where, what it found and what it expected,
and goes on at the next place where a whole frame stands; what stands after the last whole frame is the torn tail.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, Final

MARKER: Final = b"\xf5hwj"
PAYLOAD_BYTES_MOST: Final = 512 * 2**20
_HEADER: Final = struct.Struct("<4sB3xIQI")
_CHECK: Final = struct.Struct("<I")
HEADER_BYTES: Final = _HEADER.size + _CHECK.size
_CHUNK_BYTES: Final = 1 << 20


class Kind(IntEnum):
    """What a frame holds."""

    TITLE = 1
    """Of which site: roster, operating points, settings; the first frame of a file."""
    KEY = 2
    """A record, whole."""
    DELTA = 3
    """A record as its difference from the one before."""
    BEGAN = 4
    """The beliefs with which a process began: the state that later notes build on."""
    ORDER = 5
    OUTCOMES = 6
    COMMANDS = 7
    """Commands that belong to no record: a farewell's."""
    EVENT = 8


@dataclass(frozen=True, slots=True)
class Frame:
    """One whole frame: `payload` as it was written, `offset` where it stands in its file, `end` where the next one would."""

    kind: Kind
    sequence: int
    payload: bytes
    offset: int
    end: int


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a file that are not what they should be: from `offset` on, `length` of them (to the end when `tail`)."""

    file: str
    offset: int
    length: int
    expected: str
    found: str
    tail: bool = False

    def in_words(self) -> str:
        """One sentence for people."""
        what = "torn tail" if self.tail else "damage"
        return f"{self.file}, byte {self.offset}: {what} of {self.length} bytes: expected {self.expected}, found {self.found}"


def frame(kind: Kind, sequence: int, payload: bytes) -> bytes:
    """The bytes of one frame.

    Raises:
        ValueError: the payload is longer than any frame may be.
    """
    if len(payload) > PAYLOAD_BYTES_MOST:
        raise ValueError(f"a frame of {len(payload)} bytes, expected no more than {PAYLOAD_BYTES_MOST}")
    header = _HEADER.pack(MARKER, kind, len(payload), sequence, zlib.crc32(payload))
    return header + _CHECK.pack(zlib.crc32(header)) + payload


def scan(file: BinaryIO, name: str) -> Iterator[Frame | Damage]:
    """The frames of an open file from its first byte, with a `Damage` wherever something else stands.

    A frame cut out cleanly shows as a Damage of length 0 (the numbers do not follow each other). A torn tail comes last.
    """
    size = file.seek(0, 2)
    position, sequence = 0, 0
    while position < size:
        found = _frame_at(file, position, size)
        if isinstance(found, str):
            following = _next_frame(file, position + 1, size)
            end = size if following is None else following.offset
            yield Damage(name, position, end - position, f"frame {sequence}", found, tail=following is None)
            if following is None:
                return
            found, sequence = following, following.sequence
        if found.sequence != sequence:
            yield Damage(name, position, 0, f"frame {sequence}", f"frame {found.sequence}")
        yield found
        position, sequence = found.end, found.sequence + 1


def scan_file(path: Path) -> Iterator[Frame | Damage]:
    """The frames of a file by its path.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        yield from scan(file, path.name)


def _frame_at(file: BinaryIO, position: int, size: int) -> Frame | str:
    """The whole frame that begins at a place, or what stands there instead."""
    file.seek(position)
    header = file.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        return f"{len(header)} bytes of a header of {HEADER_BYTES}"
    marker, kind, length, sequence, payload_crc = _HEADER.unpack_from(header)
    if marker != MARKER:
        return f"{marker.hex()} where {MARKER.hex()} marks a frame"
    crc = zlib.crc32(header[: _HEADER.size])
    if _CHECK.unpack_from(header, _HEADER.size)[0] != crc:
        return f"a header whose checksum is not {crc:08x}"
    if length > PAYLOAD_BYTES_MOST or kind not in Kind.__members__.values():
        return f"a frame of kind {kind} and {length} bytes"
    if position + HEADER_BYTES + length > size:
        return f"{size - position - HEADER_BYTES} bytes of a payload of {length}"
    payload = file.read(length)
    crc = zlib.crc32(payload)
    if crc != payload_crc:
        return f"a payload whose checksum is {crc:08x}, not {payload_crc:08x}"
    return Frame(Kind(kind), sequence, payload, position, position + HEADER_BYTES + length)


def _next_frame(file: BinaryIO, position: int, size: int) -> Frame | None:
    """The first whole frame that begins at a place or after it."""
    while position < size:
        file.seek(position)
        chunk = file.read(_CHUNK_BYTES + len(MARKER) - 1)
        at = chunk.find(MARKER)
        while at >= 0:
            found = _frame_at(file, position + at, size)
            if isinstance(found, Frame):
                return found
            at = chunk.find(MARKER, at + 1)
        position += _CHUNK_BYTES
    return None
