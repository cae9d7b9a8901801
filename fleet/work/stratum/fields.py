"""Fields: how hexadecimal, numbers and texts stand in Stratum lines, strictly and with the leniency that firmware needs.

Every function takes one JSON value and gives it decoded, or raises `Unreadable` with what was expected. Nothing here is
Python's own leniency: no underscores, signs, spaces or digits of other scripts.
"""

from __future__ import annotations

import math
import re
from binascii import Error as NotHex
from binascii import a2b_hex
from typing import Any, Final

_WORD: Final = re.compile(r"(?:0[xX])?([0-9a-fA-F]{1,8})", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?", re.ASCII)
_SHOWN_CHARACTERS: Final = 40


class Unreadable(ValueError):
    """A field is not what it should be; the message says what was expected."""


def shown(value: Any) -> str:
    """A value from the wire in an error message: short, and printable whatever it is."""
    text = ascii(value) if isinstance(value, (str, int, float, bool)) or value is None else f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


def word(value: Any, name: str) -> int:
    """32 bits as hexadecimal digits, big-endian: eight of them, or fewer (leading zeros dropped), or with 0x before."""
    try:
        if len(value) == 8:
            return int.from_bytes(a2b_hex(value), "big")
    except (NotHex, TypeError, ValueError):
        pass
    found = _WORD.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise Unreadable(f"{name} {shown(value)}, expected up to 8 hexadecimal digits")
    return int(found[1], 16)


def octets(value: Any, name: str, most_bytes: int) -> bytes:
    """Bytes as an even number of hexadecimal digits, with or without 0x before."""
    try:
        found = a2b_hex(value if value[:2] not in {"0x", "0X"} else value[2:])
    except (NotHex, TypeError, ValueError, KeyError) as error:
        raise Unreadable(f"{name} {shown(value)}, expected hexadecimal digits") from error
    if len(found) > most_bytes or not isinstance(value, str):
        raise Unreadable(f"{name} of {len(found)} bytes, expected at most {most_bytes}")
    return found


def exact_octets(value: Any, name: str, size_bytes: int) -> bytes:
    """Just so many bytes in hexadecimal."""
    found = octets(value, name, size_bytes)
    if len(found) != size_bytes:
        raise Unreadable(f"{name} of {len(found)} bytes, expected {size_bytes}")
    return found


def text(value: Any, name: str, most_characters: int = 512) -> str:
    """A string of bounded length."""
    if not isinstance(value, str) or len(value) > most_characters:
        raise Unreadable(f"{name} {shown(value)}, expected a text of at most {most_characters} characters")
    return value


def identifier(value: Any, name: str, most_characters: int = 128) -> str:
    """A name that a peer chose, as a string; a pool that counts its jobs may send the number itself."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return text(value, name, most_characters)


def optional_text(value: Any, name: str, most_characters: int = 512) -> str | None:
    """A string, or nothing (null)."""
    return None if value is None else text(value, name, most_characters)


def number(value: Any, name: str) -> float:
    """A finite number: as itself or as a decimal text."""
    if isinstance(value, str) and len(value) <= 64 and _NUMBER.fullmatch(value.strip(" ")):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Unreadable(f"{name} {shown(value)}, expected a number")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise Unreadable(f"{name} {shown(value)}, expected a finite number")
    return found


def difficulty(value: Any, name: str = "difficulty") -> float:
    """A difficulty: finite and above zero."""
    found = number(value, name)
    if found <= 0:
        raise Unreadable(f"{name} {shown(value)}, expected above zero")
    return found


def whole(value: Any, name: str, least: int, most: int) -> int:
    """A whole number between two bounds: as itself, as a float without a fraction, or as a decimal text."""
    found = number(value, name)
    if not least <= found <= most or found != int(found):
        raise Unreadable(f"{name} {shown(value)}, expected a whole number from {least} to {most}")
    return int(found)


def optional_port(value: Any, name: str = "port") -> int | None:
    """A TCP port; null, an empty text and zero are none."""
    return None if value in (None, "", 0, "0") else whole(value, name, 1, 65_535)


def flag(value: Any) -> bool:
    """A truth value: as itself, 0 or 1, or as text."""
    if isinstance(value, str):
        return value.strip().lower() in {"true", "1", "yes"}
    return value is True or value == 1
