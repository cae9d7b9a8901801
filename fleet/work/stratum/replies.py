"""Replies: results and errors, in the forms that pools give them.

An error is the array [code, message, traceback], an object with `code` and `message`, or a bare text; some pools send a
`reject-reason` beside the result. The results that matter are those of subscribe and configure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from fleet.work.stratum.fields import Unreadable, flag, octets, text, whole, word
from fleet.work.stratum.messages import Error, Id, Malformed, Response

MOST_EXTRANONCE_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a session begins with: its extranonce1 and how many bytes of extranonce2 the miner fills."""

    extranonce1: bytes
    extranonce2_bytes: int
    session: str | None = None


@dataclass(frozen=True, slots=True)
class Configured:
    """What the pool granted of mining.configure: the version mask (None: no version rolling), and everything said."""

    version_mask: int | None
    granted: Mapping[str, Any] = field(default_factory=dict)


def read_response(message: Mapping[str, Any]) -> Response | Malformed:
    """The answer that an object without a method is."""
    if "result" not in message and "error" not in message:
        return Malformed("neither a method nor a result", None, message.get("id"))
    error = message.get("error")
    if error is None:
        reason = message.get("reject-reason")
        if reason is None:
            return Response(message.get("id"), message.get("result"))
        error = reason
    return Response(message.get("id"), message.get("result"), _error(error))


def write_response(response: Response) -> bytes:
    """The line for an answer, with its newline; an error is the array of three."""
    error = response.error
    said = None if error is None else [error.code, error.message, error.extra]
    return orjson.dumps({"id": response.id, "result": response.result, "error": said}) + b"\n"


def read_subscription(result: Any) -> Subscription | Malformed:
    """The result of mining.subscribe: [[[method, session] …], extranonce1, size of extranonce2]."""
    if not isinstance(result, list) or len(result) < 3:
        return Malformed("a subscription that is no list of three", "mining.subscribe")
    try:
        return Subscription(
            octets(result[1], "extranonce1", MOST_EXTRANONCE_BYTES),
            whole(result[2], "extranonce2 size", 0, MOST_EXTRANONCE_BYTES),
            _session(result[0]),
        )
    except Unreadable as error:
        return Malformed(str(error), "mining.subscribe")


def write_subscription(request_id: Id, subscription: Subscription) -> bytes:
    """The answer to mining.subscribe."""
    session = subscription.session or subscription.extranonce1.hex()
    channels = [["mining.set_difficulty", session], ["mining.notify", session]]
    result = [channels, subscription.extranonce1.hex(), subscription.extranonce2_bytes]
    return write_response(Response(request_id, result))


def read_configured(result: Any) -> Configured | Malformed:
    """The result of mining.configure (BIP 310)."""
    if not isinstance(result, dict):
        return Malformed("a configuration that is no object", "mining.configure")
    try:
        rolls = flag(result.get("version-rolling"))
        mask = word(result.get("version-rolling.mask"), "version mask") if rolls else None
    except Unreadable as error:
        return Malformed(str(error), "mining.configure")
    return Configured(mask, result)


def _error(error: Any) -> Error:
    """An error in any of its forms."""
    if isinstance(error, list) and error:
        code = error[0] if type(error[0]) is int else None
        message = error[1] if len(error) > 1 and isinstance(error[1], str) else ""
        return Error(code, message, error[2] if len(error) > 2 else None)
    if isinstance(error, dict):
        number, said = error.get("code"), error.get("message")
        return Error(number if type(number) is int else None, said if isinstance(said, str) else "", error.get("data"))
    return Error(None, error if isinstance(error, str) else "", None)


def _session(channels: Any) -> str | None:
    """The session's id: the second of the pair of mining.notify, or of the only pair."""
    pairs = channels if isinstance(channels, list) else []
    if len(pairs) == 2 and all(isinstance(part, str) for part in pairs):
        pairs = [pairs]
    for pair in reversed(pairs):
        if isinstance(pair, list) and len(pair) == 2 and pair[0] == "mining.notify" and isinstance(pair[1], str):
            return text(pair[1], "session")
    return None
