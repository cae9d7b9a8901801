"""JSON over TCP in the two ways of machines: a bare text (cgminer's), and a frame with its length (WhatsMiner v3)."""

from __future__ import annotations

import json
import re
from typing import Any

from fleet.links.exchange import Endpoint, Nonsense, exchange

_ATTEMPTS = 16
"""How often a text that looks balanced is parsed before only its end counts: bounds a hostile reply's work."""


async def ask_text(endpoint: Endpoint, request: bytes, what: str) -> Any:
    """Send a request, return the one JSON value that answers (cgminer's way): until it is complete, or NUL, or the end.

    Raises:
        Unreachable, Garbled: as the module says; `what` names the exchange in their messages.
    """
    return await exchange(endpoint, request, Text(endpoint.limit_bytes), what)


async def ask_framed(endpoint: Endpoint, request: bytes, what: str) -> Any:
    """Send a JSON request behind its length (4 bytes, little endian), return the JSON value framed likewise.

    Raises:
        Unreachable, Garbled: as the module says; `what` names the exchange in their messages.
    """
    framed = len(request).to_bytes(4, "little") + request
    return await exchange(endpoint, framed, Frame(endpoint.limit_bytes), what)


def decoded(raw: bytes | bytearray) -> Any:
    """JSON as machines write it: strict first, then with the two well-known slips of cgminer's descendants mended.

    Those are a missing comma between objects and bare nan or inf, which become null.

    Raises:
        ValueError: it is not JSON even so.
    """
    try:
        return json.loads(raw)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except ValueError:
        mended = _BARE_NAN.sub(b"null", bytes(raw).replace(b"}{", b"},{"))
        if mended == raw:
            raise
        try:
            return json.loads(mended)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


_BARE_NAN = re.compile(rb"(?<=[:,\[])\s*[-+]?(?:nan|inf(?:inity)?)(?=\s*[,}\]])", re.IGNORECASE)


class Text:
    """One JSON value with nothing around it but, perhaps, a final NUL."""

    __slots__ = ("_attempts", "_buffer", "_depth", "_limit", "value")

    def __init__(self, limit: int) -> None:
        self.value: Any = None
        self._buffer = bytearray()
        self._depth = 0
        self._attempts = 0
        self._limit = limit

    def feed(self, chunk: bytes) -> bool:
        """Whole at a NUL, or as soon as braces balance and it parses."""
        buffer = self._buffer
        buffer += chunk
        if len(buffer) > self._limit:
            raise Nonsense(f"over {self._limit} bytes, and more coming")
        if b"\0" in chunk:
            del buffer[buffer.index(0) :]
            return self.end()
        self._depth += chunk.count(b"{") - chunk.count(b"}")
        if self._depth > 0 or self._attempts >= _ATTEMPTS or not buffer.rstrip().endswith((b"}", b"]")):
            return False
        self._attempts += 1
        try:
            self.value = decoded(buffer)
        except ValueError:
            return False
        return True

    def end(self) -> bool:
        """Whole if it parses."""
        try:
            self.value = decoded(self._buffer)
        except ValueError as error:
            raise Nonsense(f"{len(self._buffer)} bytes that are not JSON ({error}): {quoted(self._buffer)}") from error
        return True


class Frame:
    """A length in 4 bytes, little endian, and that many bytes of JSON."""

    __slots__ = ("_buffer", "_limit", "value")

    def __init__(self, limit: int) -> None:
        self.value: Any = None
        self._buffer = bytearray()
        self._limit = limit

    def feed(self, chunk: bytes) -> bool:
        """Whole when as many bytes came as were promised."""
        buffer = self._buffer
        buffer += chunk
        if len(buffer) < 4:
            return False
        promised = int.from_bytes(buffer[:4], "little")
        if promised > self._limit:
            raise Nonsense(f"a frame that promises {promised} bytes, over the limit of {self._limit}")
        if len(buffer) < 4 + promised:
            return False
        try:
            self.value = decoded(buffer[4 : 4 + promised])
        except ValueError as error:
            raise Nonsense(f"a frame of {promised} bytes that is not JSON ({error}): {quoted(buffer[4:])}") from error
        return True

    def end(self) -> bool:
        """Never whole: a frame says its own length."""
        raise Nonsense(f"a frame cut off after {len(self._buffer)} bytes")


def quoted(raw: bytes | bytearray) -> str:
    """The first bytes, for people."""
    return repr(bytes(raw[:48]))
