"""Replies: results and errors, in the forms that pools give them, and what they mean.

An error is the array [code, message, traceback], an object with `code` and `message` (JSON-RPC 2), or a bare text; some
pools send a `reject-reason` beside the result. The results that matter are those of subscribe and configure. Why a pool
refused a share is told by its code where it keeps to the usual ones, and by its words where it does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from fleet.work.counted import Flaw
from fleet.work.stratum.fields import Unreadable, flag, identifier, octets, whole, word
from fleet.work.stratum.messages import Configure, Error, Id, Malformed, Response

MOST_EXTRANONCE_BYTES: Final = 32
_ANY_MASK: Final = 0xFFFF_FFFF
_MOST_WORDS_CHARACTERS: Final = 256


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
    error = message.get("error")
    if error is None and "result" not in message:
        return Malformed("neither a method nor a result", None, message.get("id"))
    # false, 0 and empty ones are no errors
    reason = error or message.get("reject-reason")
    return Response(message.get("id"), message.get("result"), None if reason is None else _error(reason))


def write_response(response: Response) -> bytes:
    """The line for an answer, with its newline; an error is the array of three."""
    error = response.error
    if error is None and response.result is True and type(response.id) is int:
        # what nearly every answer is
        return b'{"id":%d,"result":true,"error":null}\n' % response.id
    said = None if error is None else [error.code, error.message, error.extra]
    return orjson.dumps({"id": response.id, "result": response.result, "error": said}) + b"\n"


# ----------------------------------------------------------------------------------------------------- subscribe


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


def _session(channels: Any) -> str | None:
    """The session's id: of the pair for mining.notify, among several pairs or alone (the first Stratum servers)."""
    pairs = channels if isinstance(channels, list) else []
    for pair in (pairs, *pairs):
        if isinstance(pair, list) and len(pair) == 2 and pair[0] == "mining.notify":
            return identifier(pair[1], "session") if isinstance(pair[1], (str, int)) else None
    return None


# ----------------------------------------------------------------------------------------------------- configure


def read_configured(result: Any) -> Configured | Malformed:
    """The result of mining.configure (BIP 310)."""
    if not isinstance(result, dict):
        return Malformed("a configuration that is no object", "mining.configure")
    try:
        rolls = flag(result.get("version-rolling"))
        return Configured(word(result.get("version-rolling.mask"), "version mask") if rolls else None, result)
    except Unreadable as error:
        return Malformed(str(error), "mining.configure")


def asked_mask(configure: Configure) -> int | None:
    """The version bits that a miner can roll, None if it did not ask; without a mask of its own, all (BIP 310)."""
    if "version-rolling" not in configure.extensions:
        return None
    try:
        return word(configure.parameters.get("version-rolling.mask", f"{_ANY_MASK:08x}"), "version mask")
    except Unreadable:
        return None


def grant(configure: Configure, server_mask: int) -> dict[str, Any]:
    """The result for a miner's mining.configure of a server that lets these version bits be rolled (BIP 310).

    Every extension that was asked for is answered. Fewer bits than `min-bit-count` are granted all the same: the miner
    may work in a degraded mode. A minimum difficulty is refused: whoever answers here does not set the difficulty.
    """
    granted: dict[str, Any] = dict.fromkeys(configure.extensions, False)
    mask = asked_mask(configure)
    if mask is not None and mask & server_mask:
        granted["version-rolling"] = True
        granted["version-rolling.mask"] = f"{mask & server_mask:08x}"
    for extension in ("subscribe-extranonce", "info"):
        if extension in granted:
            granted[extension] = True
    return granted


# -------------------------------------------------------------------------------------------------------- errors

_CODES: Final[Mapping[Flaw, tuple[int, str]]] = {
    Flaw.LOW: (23, "Low difficulty share"),
    Flaw.DUPLICATE: (22, "Duplicate share"),
    Flaw.STALE: (21, "Stale share"),
    Flaw.UNKNOWN_JOB: (21, "Job not found"),
    Flaw.EXTRANONCE: (20, "Invalid extranonce2"),
    Flaw.TIME: (20, "Time out of range"),
    Flaw.VERSION: (20, "Invalid version mask"),
    Flaw.MALFORMED: (20, "Malformed share"),
    Flaw.UNAUTHORIZED: (24, "Unauthorized worker"),
}
_CODE_FLAWS: Final = {21: Flaw.STALE, 22: Flaw.DUPLICATE, 23: Flaw.LOW, 24: Flaw.UNAUTHORIZED, 25: Flaw.UNAUTHORIZED}
_WORDS: Final = (
    # the words of ckpool, slush's server, public-pool, btcpool, Ocean and miningcore; the first that is found counts
    ("not found", Flaw.UNKNOWN_JOB),
    ("invalid job", Flaw.UNKNOWN_JOB),
    ("unknown job", Flaw.UNKNOWN_JOB),
    ("stale", Flaw.STALE),
    ("dup", Flaw.DUPLICATE),
    ("above target", Flaw.LOW),
    ("low diff", Flaw.LOW),
    ("below minimum diff", Flaw.LOW),
    ("difficulty too low", Flaw.LOW),
    ("low-diff", Flaw.LOW),
    ("high-hash", Flaw.LOW),
    ("h-not-zero", Flaw.LOW),
    ("ntime", Flaw.TIME),
    ("time out of range", Flaw.TIME),
    ("version", Flaw.VERSION),
    ("nonce2", Flaw.EXTRANONCE),
    ("authorized", Flaw.UNAUTHORIZED),
    ("authorised", Flaw.UNAUTHORIZED),
    ("subscribed", Flaw.UNAUTHORIZED),
    ("worker mismatch", Flaw.UNAUTHORIZED),
)


def refusal(flaw: Flaw) -> Error:
    """The error that tells a miner of a flaw, with the codes of the first Stratum server (20 to 25)."""
    return Error(*_CODES.get(flaw, (20, "Other/Unknown")))


def cause(error: Error) -> Flaw | None:
    """What a pool found wrong with a share, None if it does not say: by its words, and by its code where it has none."""
    words = error.message[:_MOST_WORDS_CHARACTERS].lower()
    for part, flaw in _WORDS:
        if part in words:
            return flaw
    return _CODE_FLAWS.get(error.code) if error.code is not None else None


def _error(error: Any) -> Error:
    """An error in any of its forms; what has none of them is an error without words."""
    match error:
        case [code, str(message), *rest]:
            return Error(code if type(code) is int else None, message, rest[0] if rest else None)
        case [code, *_]:
            return Error(code if type(code) is int else None, "")
        case dict():
            number, said = error.get("code"), error.get("message")
            return Error(
                number if type(number) is int else None, said if isinstance(said, str) else "", error.get("data")
            )
        case str():
            return Error(None, error)
        case _:
            return Error(None, "")
