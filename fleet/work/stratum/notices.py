"""Notices: what pools send, from a line to a message and back.

A job's hashes are turned here into the order that a header has: the previous block's hash comes with the bytes of each
of its eight words reversed. A pool sends the same job to every session, so the last few that were read are remembered,
and ten thousand sessions share one. Whatever cannot be read is `Malformed` with a reason, never an exception.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import orjson

from fleet.work.stratum.fields import (
    Unreadable,
    at,
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
    Pong,
    PoolMessage,
    Reconnect,
    Response,
    SetDifficulty,
    SetExtranonce,
    SetGoal,
    SetVersionMask,
    ShowMessage,
)
from fleet.work.stratum.methods import Readers, plain, read_message
from fleet.work.stratum.replies import MOST_EXTRANONCE_BYTES, write_response

MOST_BRANCHES: Final = 32
"""A tree of 2**32 transactions; a block of 4 MB has 16 levels at most."""
MOST_COINBASE_BYTES: Final = 100_000
_REMEMBERED: Final = 64
_MOST_MESSAGE_CHARACTERS: Final = 16_384


def read_pool(line: bytes) -> PoolMessage | Malformed:
    """The message that a pool's line is, or why it is none."""
    # the answer to mining.subscribe names the method too
    return _remembered(line) if b'"mining.notify"' in line and b'"result"' not in line else _read(line)


def write_pool(message: PoolMessage) -> bytes:
    """The line that a pool would send for it, with its newline."""
    if isinstance(message, Response):
        return write_response(message)
    method, params = _parts(message)
    return orjson.dumps({"id": message.id, "method": method, "params": params}) + b"\n"


def swapped_words(words: bytes) -> bytes:
    """The bytes of every word of four reversed: Stratum's order of a hash from a header's, and back."""
    return b"".join(words[start : start + 4][::-1] for start in range(0, len(words), 4))


def _read(line: bytes) -> PoolMessage | Malformed:
    """A line, read anew."""
    try:
        message = orjson.loads(line)
    except ValueError as error:
        return Malformed(f"no JSON: {error}")
    if type(message) is not dict:
        return Malformed("JSON, but no object")
    return read_message(message, _READERS)


_remembered = lru_cache(_REMEMBERED)(_read)


def _notify(message_id: Id, params: list[Any]) -> Notify:
    """[job, previous, coinb1, coinb2, [branch …], version, nBits, time, clean]; the last may be missing (ESP-Miner)."""
    if len(params) < 8:
        raise Unreadable(f"{len(params)} parameters, expected 9")
    branches = params[4]
    if not isinstance(branches, list) or len(branches) > MOST_BRANCHES:
        raise Unreadable(f"merkle branches, expected a list of at most {MOST_BRANCHES}")
    return Notify(
        job_id=identifier(params[0], "job"),
        previous=swapped_words(exact_octets(params[1], "previous hash", 32)),
        coinbase1=octets(params[2], "coinbase 1", MOST_COINBASE_BYTES),
        coinbase2=octets(params[3], "coinbase 2", MOST_COINBASE_BYTES),
        branches=tuple(exact_octets(branch, "merkle branch", 32) for branch in branches),
        version=word(params[5], "version"),
        nbits=word(params[6], "nBits"),
        time_s=word(params[7], "time"),
        clean=flag(at(params, 8)),
        id=message_id,
    )


def _set_extranonce(message_id: Id, params: list[Any]) -> SetExtranonce:
    """[extranonce1, size of extranonce2] (NiceHash)."""
    return SetExtranonce(
        octets(at(params, 0), "extranonce1", MOST_EXTRANONCE_BYTES),
        whole(at(params, 1), "extranonce2 size", 0, MOST_EXTRANONCE_BYTES),
        message_id,
    )


def _reconnect(message_id: Id, params: list[Any]) -> Reconnect:
    """[host, port, wait in seconds], each of which may be missing; ckpool sends the port as text."""
    wait = at(params, 2)
    return Reconnect(
        optional_text(at(params, 0), "host", 255) or None,
        optional_port(at(params, 1)),
        0.0 if wait is None or wait == "" else max(number(wait, "wait"), 0.0),
        message_id,
    )


def _set_goal(message_id: Id, params: list[Any]) -> SetGoal:
    """[name, {parameters}]."""
    parameters = at(params, 1)
    return SetGoal(text(at(params, 0), "goal"), parameters if isinstance(parameters, dict) else {}, message_id)


def _show_message(message_id: Id, params: list[Any]) -> ShowMessage:
    """[text]."""
    return ShowMessage(text(at(params, 0), "message", _MOST_MESSAGE_CHARACTERS), message_id)


_READERS: Final[Readers[PoolMessage]] = {
    "mining.notify": _notify,
    "mining.set_difficulty": lambda message_id, params: SetDifficulty(difficulty(at(params, 0)), message_id),
    "mining.set_extranonce": _set_extranonce,
    "mining.set_version_mask": lambda message_id, params: SetVersionMask(
        word(at(params, 0), "version mask"), message_id
    ),
    "mining.set_goal": _set_goal,
    "mining.ping": lambda message_id, _: Ping(message_id),
    "pong": lambda message_id, _: Pong(message_id),
    "client.reconnect": _reconnect,
    "client.show_message": _show_message,
    "client.get_version": lambda message_id, _: GetVersion(message_id),
}


def _parts(message: PoolMessage) -> tuple[str, Any]:  # noqa: C901, PLR0911, PLR0912 - one case per method
    """A message's method and parameters."""
    match message:
        case Notify():
            return "mining.notify", _notify_params(message)
        case SetDifficulty(asked):
            return "mining.set_difficulty", [plain(asked)]
        case SetExtranonce(extranonce1, extranonce2_bytes):
            return "mining.set_extranonce", [extranonce1.hex(), extranonce2_bytes]
        case SetVersionMask(mask):
            return "mining.set_version_mask", [f"{mask:08x}"]
        case Reconnect(None, None, 0.0):
            return "client.reconnect", []
        case Reconnect(host, port, wait_s):
            return "client.reconnect", [host or "", port or 0, plain(wait_s)]
        case ShowMessage(said):
            return "client.show_message", [said]
        case SetGoal(goal, parameters):
            return "mining.set_goal", [goal, dict(parameters)]
        case Ping():
            return "mining.ping", []
        case Pong():
            return "pong", []
        case GetVersion():
            return "client.get_version", []
        case Other(_, method, others):
            return method, others
        case _:
            raise TypeError("a response has no method")


def _notify_params(notify: Notify) -> list[Any]:
    """A job's nine parameters."""
    return [
        notify.job_id,
        swapped_words(notify.previous).hex(),
        notify.coinbase1.hex(),
        notify.coinbase2.hex(),
        [branch.hex() for branch in notify.branches],
        f"{notify.version:08x}",
        f"{notify.nbits:08x}",
        f"{notify.time_s:08x}",
        notify.clean,
    ]
