"""Notices: what pools send, from a line to a message and back.

A job's hashes are turned here into the order that a header has: the previous block's hash comes with the bytes of each
of its eight words reversed. Whatever cannot be read is `Malformed` with a reason, never an exception.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from fleet.work.stratum.fields import (
    Unreadable,
    difficulty,
    exact_octets,
    flag,
    identifier,
    number,
    octets,
    optional_port,
    optional_text,
    text,
    whole,
    word,
)
from fleet.work.stratum.messages import (
    GetVersion,
    Id,
    Malformed,
    Notify,
    Other,
    Ping,
    PoolMessage,
    Reconnect,
    Response,
    SetDifficulty,
    SetExtranonce,
    SetGoal,
    SetVersionMask,
    ShowMessage,
)
from fleet.work.stratum.replies import MOST_EXTRANONCE_BYTES, read_response, write_response

MOST_BRANCHES: Final = 32
"""A tree of 2**32 transactions; a block of 4 MB has 16 levels at most."""
MOST_COINBASE_BYTES: Final = 100_000


def read_pool(line: bytes) -> PoolMessage | Malformed:
    """The message that a pool's line is, or why it is none."""
    try:
        message = orjson.loads(line)
    except ValueError as error:
        return Malformed(f"no JSON: {error}")
    if type(message) is not dict:
        return Malformed("JSON, but no object")
    method = message.get("method")
    if method is None:
        return read_response(message)
    message_id, params = message.get("id"), message.get("params")
    if not isinstance(method, str):
        return Malformed("a method that is no text", None, message_id)
    read = _READERS.get(method)
    if read is None:
        return Other(message_id, method, params)
    params = [] if params is None else params
    if not isinstance(params, list):
        return Malformed("parameters that are no list", method, message_id)
    try:
        return read(message_id, params)
    except Unreadable as error:
        return Malformed(str(error), method, message_id)


def write_pool(message: PoolMessage) -> bytes:
    """The line that a pool would send for it, with its newline."""
    if isinstance(message, Response):
        return write_response(message)
    method, params = _parts(message)
    return orjson.dumps({"id": message.id, "method": method, "params": params}) + b"\n"


def swapped_words(octets_of_words: bytes) -> bytes:
    """The bytes of every word of four reversed: Stratum's order of a hash from a header's, and back."""
    return b"".join(octets_of_words[at : at + 4][::-1] for at in range(0, len(octets_of_words), 4))


def _at(params: list[Any], place: int) -> Any:
    """A parameter, or null where the list is shorter."""
    return params[place] if place < len(params) else None


def _notify(message_id: Id, params: list[Any]) -> Notify:
    """[job, previous, coinb1, coinb2, [branch …], version, nBits, time, clean]."""
    if len(params) < 8:
        raise Unreadable(f"{len(params)} parameters, expected 9")
    branches = params[4]
    if not isinstance(branches, list) or len(branches) > MOST_BRANCHES:
        raise Unreadable(f"merkle branches, expected a list of at most {MOST_BRANCHES}")
    return Notify(
        identifier(params[0], "job"),
        swapped_words(exact_octets(params[1], "previous hash", 32)),
        octets(params[2], "coinbase 1", MOST_COINBASE_BYTES),
        octets(params[3], "coinbase 2", MOST_COINBASE_BYTES),
        tuple(exact_octets(branch, "merkle branch", 32) for branch in branches),
        word(params[5], "version"),
        word(params[6], "nBits"),
        word(params[7], "time"),
        flag(_at(params, 8)),
        message_id,
    )


def _set_extranonce(message_id: Id, params: list[Any]) -> SetExtranonce:
    """[extranonce1, size of extranonce2]."""
    return SetExtranonce(
        octets(_at(params, 0), "extranonce1", MOST_EXTRANONCE_BYTES),
        whole(_at(params, 1), "extranonce2 size", 0, MOST_EXTRANONCE_BYTES),
        message_id,
    )


def _reconnect(message_id: Id, params: list[Any]) -> Reconnect:
    """[host, port, wait in seconds], each of which may be missing."""
    wait = _at(params, 2)
    return Reconnect(
        optional_text(_at(params, 0), "host", 255) or None,
        optional_port(_at(params, 1)),
        0.0 if wait is None else max(number(wait, "wait"), 0.0),
        message_id,
    )


def _set_goal(message_id: Id, params: list[Any]) -> SetGoal:
    """[name, {parameters}]."""
    parameters = _at(params, 1)
    return SetGoal(text(_at(params, 0), "goal"), parameters if isinstance(parameters, dict) else {}, message_id)


_READERS: Final[dict[str, Callable[[Id, list[Any]], PoolMessage]]] = {
    "mining.notify": _notify,
    "mining.set_difficulty": lambda message_id, params: SetDifficulty(difficulty(_at(params, 0)), message_id),
    "mining.set_extranonce": _set_extranonce,
    "mining.set_version_mask": lambda message_id, params: SetVersionMask(
        word(_at(params, 0), "version mask"), message_id
    ),
    "mining.set_goal": _set_goal,
    "mining.ping": lambda message_id, _: Ping(message_id),
    "client.reconnect": _reconnect,
    "client.show_message": lambda message_id, params: ShowMessage(text(_at(params, 0), "message", 4096), message_id),
    "client.get_version": lambda message_id, _: GetVersion(message_id),
}


def _parts(message: PoolMessage) -> tuple[str, Any]:  # noqa: C901, PLR0911 - one case per method
    """A message's method and parameters."""
    match message:
        case Notify():
            return "mining.notify", [
                message.job_id,
                swapped_words(message.previous).hex(),
                message.coinbase1.hex(),
                message.coinbase2.hex(),
                [branch.hex() for branch in message.branches],
                f"{message.version:08x}",
                f"{message.nbits:08x}",
                f"{message.time_s:08x}",
                message.clean,
            ]
        case SetDifficulty():
            asked = message.difficulty
            # old firmware reads whole numbers alone
            return "mining.set_difficulty", [int(asked) if asked == int(asked) else asked]
        case SetExtranonce():
            return "mining.set_extranonce", [message.extranonce1.hex(), message.extranonce2_bytes]
        case SetVersionMask():
            return "mining.set_version_mask", [f"{message.mask:08x}"]
        case Reconnect(host, port, wait_s):
            return "client.reconnect", [] if host is None and port is None else [host or "", port or 0, int(wait_s)]
        case ShowMessage():
            return "client.show_message", [message.text]
        case SetGoal():
            return "mining.set_goal", [message.goal, dict(message.parameters)]
        case Ping():
            return "mining.ping", []
        case GetVersion():
            return "client.get_version", []
        case Other():
            return message.method, message.params
        case Response():  # pragma: no cover - written by write_response
            raise TypeError("a response has no method")
