"""Fields: how hexadecimal, numbers and texts stand in Stratum lines, strictly, and as leniently as firmware needs.

Every function takes one JSON value and gives it decoded, or raises `Unreadable` with what was expected. Nothing here is
Python's own leniency: no underscores, signs, spaces or digits of other scripts in hexadecimal. What is lenient is so
because somebody sends it, and says who (the table of quirks in docs/stratum.md has the sources).
"""

from __future__ import annotations

import math
import re
from binascii import Error as NotHex
from binascii import a2b_hex
from typing import Any, Final

from fleet.work.target import DIFFICULTY_1_TARGET

_WORD: Final = re.compile(r"(?:0[xX])?([0-9a-fA-F]{1,8})", re.ASCII)
_DECIMAL: Final = re.compile(r" *[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})? *", re.ASCII)
_TRUE: Final = frozenset({"true", "1", "yes"})
_SHOWN_CHARACTERS: Final = 40
_DECIMAL_CHARACTERS: Final = 64
_DIFFICULTY_1: Final = float(DIFFICULTY_1_TARGET)


class Unreadable(ValueError):
    """A field is not what it should be; the message says what was expected."""


def shown(value: Any) -> str:
    """A value from the wire for an error message: short, and printable whatever it is."""
    if not isinstance(value, (str, int, float)) and value is not None:
        return f"a {type(value).__name__}"
    text = ascii(value[: _SHOWN_CHARACTERS + 1] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


# --------------------------------------------------------------------------------------------------- hexadecimal


def word(value: Any, name: str) -> int:
    """32 bits as eight hexadecimal digits, big-endian; see `lenient_word` for what else is taken."""
    try:
        if len(value) == 8:
            return int.from_bytes(a2b_hex(value), "big")
    except (NotHex, TypeError, ValueError):
        pass
    return lenient_word(value, name)


def lenient_word(value: Any, name: str) -> int:
    """32 bits as fewer digits than eight (NerdMiner, public-pool), with 0x before, or as the number itself (SRI)."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 32:
        return value
    found = _WORD.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise Unreadable(f"{name} {shown(value)}, expected up to 8 hexadecimal digits")
    return int(found[1], 16)


def octets(value: Any, name: str, most_bytes: int) -> bytes:
    """Bytes in hexadecimal, two digits each; an odd first digit stands for a byte (SRI), 0x before is dropped."""
    try:
        found = a2b_hex(value)
    except (NotHex, TypeError, ValueError):
        found = _lenient_octets(value, name)
    if len(found) > most_bytes:
        raise Unreadable(f"{name} of {len(found)} bytes, expected at most {most_bytes}")
    return found


def exact_octets(value: Any, name: str, size_bytes: int) -> bytes:
    """Just so many bytes in hexadecimal."""
    found = octets(value, name, size_bytes)
    if len(found) != size_bytes:
        raise Unreadable(f"{name} of {len(found)} bytes, expected {size_bytes}")
    return found


def _lenient_octets(value: Any, name: str) -> bytes:
    """Bytes in hexadecimal that are not written as they should be."""
    try:
        digits = value[2:] if value[:2] in {"0x", "0X"} else value
        return a2b_hex(digits if len(digits) % 2 == 0 else "0" + digits)
    except (NotHex, TypeError, ValueError, KeyError) as error:
        raise Unreadable(f"{name} {shown(value)}, expected hexadecimal digits") from error


# ------------------------------------------------------------------------------------------------------- numbers


def number(value: Any, name: str) -> float:
    """A finite number, as itself or as a decimal text."""
    if isinstance(value, str) and len(value) <= _DECIMAL_CHARACTERS and _DECIMAL.fullmatch(value):
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
    """A difficulty: above zero, and low enough that some hash can reach it (that is below 2**224)."""
    found = number(value, name)
    if not 0.0 < found <= _DIFFICULTY_1:
        raise Unreadable(f"{name} {shown(value)}, expected above zero and below 2**224")
    return found


def whole(value: Any, name: str, least: int, most: int) -> int:
    """A whole number between two bounds: as itself, as a float without a fraction, or as a decimal text."""
    found = number(value, name)
    if not least <= found <= most or found != int(found):
        raise Unreadable(f"{name} {shown(value)}, expected a whole number from {least} to {most}")
    return int(found)


def optional_port(value: Any, name: str = "port") -> int | None:
    """A TCP port, as a number or as text (ckpool); null, an empty text and zero are none."""
    return None if value is None or value in ("", 0, "0") else whole(value, name, 1, 65_535)


def flag(value: Any) -> bool:
    """A truth value: as itself, as a number, or as text."""
    return value.strip().lower() in _TRUE if isinstance(value, str) else value is True or value == 1


# --------------------------------------------------------------------------------------------------------- texts


def text(value: Any, name: str, most_characters: int = 1_024) -> str:
    """A string of bounded length."""
    if not isinstance(value, str) or len(value) > most_characters:
        raise Unreadable(f"{name} {shown(value)}, expected a text of at most {most_characters} characters")
    return value


def optional_text(value: Any, name: str, most_characters: int = 1_024) -> str | None:
    """A string, or null."""
    return None if value is None else text(value, name, most_characters)


def identifier(value: Any, name: str, most_characters: int = 128) -> str:
    """A name that a peer chose; a pool that counts its jobs may use the number itself (btcpool)."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return text(value, name, most_characters)


# ----------------------------------------------------------------------------------------------------- parameters


def listed(params: Any) -> list[Any]:
    """A message's parameters: a list; null or nothing is none (firmware), one bare value is itself (cgminer)."""
    if params is None:
        return []
    if isinstance(params, (str, int, float)):
        return [params]
    if not isinstance(params, list):
        raise Unreadable("parameters that are no list")
    return params


def at(params: list[Any], place: int) -> Any:
    """A parameter, or null where the list is shorter."""
    return params[place] if place < len(params) else None
