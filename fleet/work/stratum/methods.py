"""Methods: from a JSON object to a message, by the name of its method; the same in both directions.

A table maps names to the functions that read parameters; a second one holds the other names that somebody has for a
method. An object without a method is an answer, one whose method nobody knows is passed on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from fleet.work.stratum.fields import Unreadable, listed
from fleet.work.stratum.messages import Id, Malformed, Other, Response
from fleet.work.stratum.replies import read_response

_MessageT = TypeVar("_MessageT")
Readers = dict[str, Callable[[Id, list[Any]], _MessageT]]
"""By name: what makes a message of an id and parameters, or raises `Unreadable`."""
_OTHER_NAMES: Final = {
    "mining.set_version": "mining.set_version_mask",  # SRI's translator
    "mining.auth": "mining.authorize",  # ckpool takes every name that begins so
    "client.show_messages": "client.show_message",  # Bitcoin Verde
}


def read_message(message: dict[str, Any], readers: Readers[_MessageT]) -> _MessageT | Response | Other | Malformed:
    """The message that an object is: by its method's reader, a response where it has none, or one that is passed on."""
    method = message.get("method")
    if method is None:
        return read_response(message)
    message_id = message.get("id")
    if not isinstance(method, str):
        return Malformed("a method that is no text", None, message_id)
    try:
        name, params = split_call(method, message.get("params"))
        read = readers.get(name) or readers.get(_OTHER_NAMES.get(name.lower(), name.lower()))
        return Other(message_id, method, message.get("params")) if read is None else read(message_id, listed(params))
    except Unreadable as error:
        return Malformed(str(error), method, message_id)


def split_call(method: str, params: Any) -> tuple[str, Any]:
    """A method's name and parameters; ckpool reads `mining.suggest_difficulty(1024)` too (stratifier.c, suggest_diff)."""
    name, bracket, rest = method.partition("(")
    if not bracket or params:
        return name, params
    argument = rest.rstrip(")")
    return name, [argument] if argument else []


def plain(value: float) -> float:
    """A number as old firmware reads it: a whole one without a point."""
    return int(value) if abs(value) < 1 << 53 and value == int(value) else value
