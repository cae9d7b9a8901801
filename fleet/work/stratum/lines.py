"""Lines: bytes as they come in, cut at newlines, with a limit on what is kept.

Stratum V1 is one JSON object per line, and a packet holds any number of lines and parts of lines. What has no newline
yet is kept, up to the limit and never beyond it: a peer that passes it is not worth reading any further, so that is told
once and the rest is swallowed.
"""

from __future__ import annotations

from typing import Final

_ENDS: Final = b"\r\0"
"""What may stand before a newline: other systems' line ends, and the C string's end that some firmware sends along."""


class TooLong(ValueError):
    """A line, finished or not, is longer than the limit. `lines` are those that were complete before it."""

    def __init__(self, limit_bytes: int, lines: list[bytes]) -> None:
        super().__init__(f"a line of more than {limit_bytes} bytes")
        self.lines = lines


class Lines:
    """Cuts a stream into lines; never keeps more than `limit_bytes` of it."""

    __slots__ = ("_deaf", "_kept", "_limit_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._kept = bytearray()
        self._deaf = False

    @property
    def kept_bytes(self) -> int:
        """How much of an unfinished line is kept."""
        return len(self._kept)

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that this piece completes, without their ends; empty ones are left out.

        Raises:
            TooLong: a line exceeds the limit. Raised once; whatever is fed afterwards gives nothing.
        """
        lines: list[bytes] = []
        if self._deaf:
            return lines
        kept, limit_bytes = self._kept, self._limit_bytes
        at, end = 0, data.find(b"\n")
        while end >= 0:
            if len(kept) + end - at > limit_bytes:
                raise self._too_long(lines)
            piece = data[at:end]
            if kept:
                piece = bytes(kept + piece)
                kept.clear()
            line = piece.rstrip(_ENDS)
            if line:
                lines.append(line)
            at = end + 1
            end = data.find(b"\n", at)
        if len(kept) + len(data) - at > limit_bytes:
            raise self._too_long(lines)
        kept += data[at:]
        return lines

    def _too_long(self, lines: list[bytes]) -> TooLong:
        """Keep nothing, hear nothing more."""
        self._kept = bytearray()
        self._deaf = True
        return TooLong(self._limit_bytes, lines)
