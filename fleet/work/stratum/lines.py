"""Lines: bytes as they come in, cut at newlines, with a limit on what is kept.

Stratum V1 is one JSON object per line. What has no newline yet is kept, up to the limit and never beyond it: a peer
that passes it is not worth reading any further, so the limit is told once and the rest is swallowed.
"""

from __future__ import annotations


class TooLong(ValueError):
    """A line, finished or not, is longer than the limit. `lines` are those that were complete before it."""

    def __init__(self, limit_bytes: int, lines: list[bytes]) -> None:
        super().__init__(f"a line of more than {limit_bytes} bytes")
        self.lines = lines


class Lines:
    """Cuts a stream into lines; never keeps more than `limit_bytes` of it, beside the piece that is handed in."""

    __slots__ = ("_deaf", "_kept", "_limit_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._kept = b""
        self._deaf = False

    @property
    def kept_bytes(self) -> int:
        """How much of an unfinished line is kept."""
        return len(self._kept)

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that this piece completes, without newline and carriage return, empty ones left out.

        Raises:
            TooLong: a line exceeds the limit. Raised once; whatever is fed afterwards gives nothing.
        """
        if self._deaf:
            return []
        pieces = data.split(b"\n")
        if self._kept:
            # an unfinished line is never longer than the limit, so this copies no more than that per piece
            pieces[0] = self._kept + pieces[0]
        self._kept = pieces.pop()
        limit_bytes = self._limit_bytes
        lines: list[bytes] = []
        for piece in pieces:
            if len(piece) > limit_bytes:
                raise self._too_long(lines)
            line = piece.rstrip(b"\r\0")
            if line:
                lines.append(line)
        if len(self._kept) > limit_bytes:
            raise self._too_long(lines)
        return lines

    def _too_long(self, lines: list[bytes]) -> TooLong:
        """Keep nothing, hear nothing more."""
        self._kept, self._deaf = b"", True
        return TooLong(self._limit_bytes, lines)
