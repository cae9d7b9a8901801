"""One HTTP/1.1 response, taken in as it comes (RFC 9112); no I/O.

Only what a machine's web server needs: a status, the challenges, and a body by length, in chunks or until the end. h11
does the same in a third of the time of a whole exchange, so this is its own, and is held to h11 by the tests.
"""

from __future__ import annotations

import re
from typing import Any, Final

from fleet.links.exchange import Nonsense

_HEAD_LIMIT_BYTES: Final = 32_768
_STATUS: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [^\r\n]*)?")
_LENGTH: Final = re.compile(rb"[0-9]{1,15}")
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,12})[ \t]*(?:;[^\r\n]*)?")


class HttpReply:
    """A response to a GET or POST: `status`, `challenges` (of WWW-Authenticate), `body`; `keeps_open` when it is whole."""

    __slots__ = (
        "_buffer",
        "_chunked",
        "_left",
        "_limit",
        "_place",
        "body",
        "challenges",
        "keeps_open",
        "status",
        "value",
    )

    def __init__(self, limit: int) -> None:
        self.value: Any = None
        self.status = 0
        self.body = bytearray()
        self.challenges: list[str] = []
        self.keeps_open = False
        self._limit = limit
        self._buffer = bytearray()
        self._place = self._head
        self._chunked = False
        self._left: int | None = 0
        """Bytes still to come of the body or chunk; None: until the end."""

    def feed(self, chunk: bytes) -> bool:
        """Take what came; true when the response is whole. Raises Nonsense."""
        self._buffer += chunk
        while True:
            went_on = self._place()
            if went_on is None:
                return True
            if not went_on:
                return False

    def end(self) -> bool:
        """Whole if the response was of the kind that ends with its connection."""
        if self.status and self._left is None:
            return True
        raise Nonsense("cut off")

    # Each place takes its part of the buffer: true when it is done and the next goes on, false when it needs more, None when
    # the response is whole.

    def _head(self) -> bool | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or end > _HEAD_LIMIT_BYTES:
            if len(self._buffer) > _HEAD_LIMIT_BYTES:
                raise Nonsense("not HTTP: a head without an end")
            if not b"HTTP/1.".startswith(self._buffer[:7]):
                raise Nonsense("not HTTP")
            return False
        first, *lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        status = _STATUS.fullmatch(first)
        if status is None:
            raise Nonsense("not HTTP")
        code = int(status[2])
        if code < 200:  # information, and the response is still to come
            return True
        self.status = code
        self._read_headers(lines, old=status[1] == b"0")
        return None if self._left == 0 and not self._chunked else True

    def _read_headers(self, lines: list[bytes], *, old: bool) -> None:
        """What follows from the headers: how the body ends, whether the connection stays, and the challenges."""
        headers: dict[bytes, list[bytes]] = {}
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon or not name or name != name.strip():
                raise Nonsense("not HTTP: a header without a name")
            headers.setdefault(name.lower(), []).append(value.strip())
        self.challenges = [value.decode("latin-1") for value in headers.get(b"www-authenticate", [])]
        connection = b",".join(headers.get(b"connection", [])).lower()
        self.keeps_open = b"close" not in connection and (not old or b"keep-alive" in connection)
        self._chunked = headers.get(b"transfer-encoding", [b""])[-1].lower() == b"chunked"
        lengths = set(headers.get(b"content-length", []))
        if lengths and (len(lengths) > 1 or not all(_LENGTH.fullmatch(length) for length in lengths)):
            raise Nonsense("not HTTP: a body of no certain length")
        if self.status in (204, 304):
            self._left, self._chunked = 0, False
        elif self._chunked:
            self._place = self._chunk_size
        elif lengths:
            self._left, self._place = int(lengths.pop()), self._rest
        else:
            self._left, self._place, self.keeps_open = None, self._rest, False

    def _rest(self) -> bool | None:
        """The body, or one chunk of it."""
        took = len(self._buffer) if self._left is None else min(self._left, len(self._buffer))
        self.body += self._buffer[:took]
        del self._buffer[:took]
        if len(self.body) > self._limit:
            raise Nonsense(f"over {self._limit} bytes, and more coming")
        if self._left is None:
            return False
        self._left -= took
        if self._left:
            return False
        if not self._chunked:
            return None
        self._place = self._chunk_end
        return True

    def _line(self) -> bytes | None:
        """The next line of the chunks; None while it is not there."""
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > _HEAD_LIMIT_BYTES:
                raise Nonsense("not HTTP: a line without an end")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _chunk_size(self) -> bool | None:
        line = self._line()
        if line is None:
            return False
        size = _CHUNK.fullmatch(line)
        if size is None:
            raise Nonsense("not HTTP: a chunk of no certain size")
        self._left = int(size[1], 16)
        self._place = self._rest if self._left else self._trailers
        return True

    def _chunk_end(self) -> bool | None:
        line = self._line()
        if line is None:
            return False
        if line:
            raise Nonsense("not HTTP: a chunk longer than its size")
        self._place = self._chunk_size
        return True

    def _trailers(self) -> bool | None:
        line = self._line()
        if line is None:
            return False
        return True if line else None
