"""Frozen values as JSON and columns, and back, guided by their own types.

A noun is a frozen dataclass of numbers, names, tuples, mappings, other nouns and numpy arrays. Packing turns it into plain
JSON and puts each array aside under its path; unpacking follows the type hints of the class. So a field that is added to a
noun is journaled from that day on, and one that an older journal lacks takes its default.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

Columns: TypeAlias = Mapping[str, NDArray[Any]]
"""Arrays by their path in the value, like "snapshot.heard.at_s"."""
Json: TypeAlias = Any
ARRAY = "@"
"""Stands in the JSON where an array belongs."""
T = TypeVar("T")


class Unreadable(ValueError):
    """Stored content that is not what its type says; the message names the path, the value and what was expected."""


def pack(value: object, columns: MutableMapping[str, NDArray[Any]], path: str = "") -> Json:
    """JSON of a value; its arrays go into `columns`.

    Raises:
        TypeError: a part of it is of no type that a noun may have.
    """
    match value:
        case np.ndarray():
            columns[path] = value
            packed: Json = ARRAY
        case Enum():
            packed = value.value
        case np.generic():
            packed = value.item()
        case None | bool() | str() | int() | float():
            packed = value
        case tuple() | list():
            packed = [pack(item, columns, _below(path, str(i))) for i, item in enumerate(value)]
        case Mapping():
            packed = {_name(key): pack(item, columns, _below(path, _name(key))) for key, item in value.items()}
        case _ if is_dataclass(value):
            packed = {f.name: pack(getattr(value, f.name), columns, _below(path, f.name)) for f in fields(value)}
        case _:
            raise TypeError(f"{path}: {type(value).__name__} is no part of a noun")
    return packed


def _name(key: object) -> str:
    """A mapping's key in JSON."""
    return str(key.value if isinstance(key, Enum) else key)


def unpack(kind: type[T], stored: Json, columns: Columns, path: str = "") -> T:
    """The value of a type from its JSON and columns.

    Raises:
        Unreadable: what is stored is not of that type.
    """
    try:
        value: T = _value(kind, stored, columns, path)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(f"{path or kind.__name__}: {error}, expected {kind.__name__}") from error
    return value


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    """The types of a noun's fields."""
    return get_type_hints(kind)


def _value(kind: Any, stored: Json, columns: Columns, path: str) -> Any:
    """One value by its hint."""
    origin = get_origin(kind)
    if origin is Union or origin is UnionType:
        if stored is None and NoneType in get_args(kind):
            return None
        kind = next(k for k in get_args(kind) if k is not NoneType)
        origin = get_origin(kind)
    if origin is np.ndarray or kind is np.ndarray:
        if stored != ARRAY or path not in columns:
            raise Unreadable(f"{path}: {str(stored)[:40]!r}, expected an array")
        return columns[path]
    if origin is tuple:
        return _tuple(get_args(kind), stored, columns, path)
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(get_args(kind), stored, columns, path)
    if isinstance(kind, type) and is_dataclass(kind):
        return _dataclass(kind, stored, columns, path)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(stored)
    return _plain(kind, stored, path)


def _plain(kind: Any, stored: Json, path: str) -> Any:
    """A number, a name, a truth value."""
    if kind is float and isinstance(stored, int | float) and not isinstance(stored, bool):
        return float(stored)
    if kind is Any or (kind in {int, str, bool} and type(stored) is kind):
        return stored
    raise Unreadable(f"{path}: {str(stored)[:40]!r}, expected {getattr(kind, '__name__', kind)}")


def _tuple(kinds: tuple[Any, ...], stored: Json, columns: Columns, path: str) -> tuple[Any, ...]:
    """tuple[X, ...], or a tuple of fixed length."""
    if not isinstance(stored, list):
        raise Unreadable(f"{path}: {str(stored)[:40]!r}, expected a list")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(stored)
    if len(kinds) != len(stored):
        raise Unreadable(f"{path}: {len(stored)} values, expected {len(kinds)}")
    return tuple(
        _value(kind, item, columns, _below(path, str(i)))
        for i, (kind, item) in enumerate(zip(kinds, stored, strict=True))
    )


def _mapping(kinds: tuple[Any, ...], stored: Json, columns: Columns, path: str) -> dict[Any, Any]:
    """Mapping[K, V]; keys are names, or an enumeration of them."""
    if not isinstance(stored, dict):
        raise Unreadable(f"{path}: {str(stored)[:40]!r}, expected a table")
    return {
        _value(kinds[0], key, columns, path): _value(kinds[1], item, columns, _below(path, key))
        for key, item in stored.items()
    }


def _dataclass(kind: Any, stored: Json, columns: Columns, path: str) -> Any:
    """A noun; what is not stored takes its default."""
    if not isinstance(stored, dict):
        raise Unreadable(f"{path}: {str(stored)[:40]!r}, expected a {kind.__name__}")
    hints = _hints(kind)
    values = {}
    for field in fields(kind):
        if field.name in stored:
            values[field.name] = _value(hints[field.name], stored[field.name], columns, _below(path, field.name))
        elif not _has_default(field):
            raise Unreadable(f"{_below(path, field.name)}: missing, expected {field.type}")
    return kind(**values)


def _has_default(field: Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
