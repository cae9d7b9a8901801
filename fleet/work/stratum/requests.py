"""Requests: what miners send, from a line to a message and back.

One table maps a method's name to the function that reads its parameters. `mining.submit` is tried before it, because
nearly every line is one. Whatever cannot be read is `Malformed` with a reason, never an exception.
"""

from __future__ import annotations

import struct
from binascii import Error as NotHex
from binascii import a2b_hex
from typing import Any, Final

import orjson

from fleet.work.stratum.fields import (
    Unreadable,
    at,
    difficulty,
    identifier,
    octets,
    optional_port,
    optional_text,
    text,
    whole,
    word,
)
from fleet.work.stratum.messages import (
    Authorize,
    Configure,
    ExtranonceSubscribe,
    GetVersion,
    Id,
    Malformed,
    MultiVersion,
    Other,
    Ping,
    Pong,
    Request,
    Response,
    Submit,
    Subscribe,
    SuggestDifficulty,
    SuggestTarget,
)
from fleet.work.stratum.methods import Readers, plain, read_message
from fleet.work.stratum.replies import write_response

MOST_EXTRANONCE2_BYTES: Final = 32
_WORDS: Final = struct.Struct(">III")
_NO_BITS: Final = "00000000"


def read_request(line: bytes) -> Request | Malformed:
    """The message that a miner's line is, or why it is none."""
    try:
        message = orjson.loads(line)
    except ValueError as error:
        return Malformed(f"no JSON: {error}")
    if type(message) is not dict:
        return Malformed("JSON, but no object")
    if message.get("method") != "mining.submit":
        return read_message(message, _READERS)
    try:
        return _submit(message.get("id"), message.get("params"))
    except Unreadable as error:
        return Malformed(str(error), "mining.submit", message.get("id"))


def write_request(request: Request) -> bytes:
    """The line that a miner would send for it, with its newline."""
    if isinstance(request, Response):
        return write_response(request)
    method, params = _parts(request)
    return orjson.dumps({"id": request.id, "method": method, "params": params}) + b"\n"


def _submit(request_id: Id, params: Any) -> Submit:
    """A share: five parameters, or six with version bits; more are other coins', and left alone."""
    if type(params) is not list or len(params) < 5:
        raise Unreadable(f"{len(params) if type(params) is list else 'no'} parameters, expected 5 or 6")
    worker, job_id, extranonce2, time, nonce = params[:5]
    bits = params[5] if len(params) > 5 else None
    # an empty text is none, as ckpool reads it
    bits = None if bits == "" else bits
    time_s, nonce_value, bits_value = _three_words(time, nonce, _NO_BITS if bits is None else bits)
    return Submit(
        request_id,
        worker if type(worker) is str and len(worker) < 512 else text(worker, "worker"),
        job_id if type(job_id) is str and len(job_id) < 128 else identifier(job_id, "job"),
        octets(extranonce2, "extranonce2", MOST_EXTRANONCE2_BYTES),
        time_s,
        nonce_value,
        None if bits is None else bits_value,
    )


def _three_words(time: Any, nonce: Any, bits: Any) -> tuple[int, int, int]:
    """A share's words; in one go where they have eight digits each, as nearly all have."""
    try:
        if len(time) == len(nonce) == 8:
            return _WORDS.unpack(a2b_hex(time + nonce + bits))
    except (NotHex, struct.error, TypeError, ValueError):
        pass
    return word(time, "time"), word(nonce, "nonce"), word(bits, "version bits")


def _subscribe(request_id: Id, params: list[Any]) -> Subscribe:
    """[user agent, session, host, port], each of which may be missing; NiceHash has a time and a signature there."""
    return Subscribe(
        request_id,
        optional_text(at(params, 0), "user agent"),
        optional_text(at(params, 1), "session"),
        optional_text(at(params, 2), "host"),
        optional_port(at(params, 3)),
    )


def _authorize(request_id: Id, params: list[Any]) -> Authorize:
    """[user, password]."""
    return Authorize(request_id, text(at(params, 0), "user"), optional_text(at(params, 1), "password"))


def _configure(request_id: Id, params: list[Any]) -> Configure:
    """[[extension …], {extension.parameter: value …}] (BIP 310)."""
    names, parameters = at(params, 0), at(params, 1)
    if not isinstance(names, list) or not isinstance(parameters, (dict, type(None))):
        raise Unreadable("parameters, expected a list of extensions and an object")
    return Configure(request_id, tuple(text(name, "extension") for name in names), parameters or {})


def _suggest_target(request_id: Id, params: list[Any]) -> SuggestTarget:
    """[256 bits in hexadecimal, big-endian]."""
    target = int.from_bytes(octets(at(params, 0), "target", 32), "big")
    if target == 0:
        raise Unreadable("a target of zero, expected one that some hash can reach")
    return SuggestTarget(request_id, target)


_READERS: Final[Readers[Request]] = {
    "mining.subscribe": _subscribe,
    "mining.authorize": _authorize,
    "mining.configure": _configure,
    "mining.submit": _submit,
    "mining.extranonce.subscribe": lambda request_id, _: ExtranonceSubscribe(request_id),
    "mining.suggest_difficulty": lambda request_id, params: SuggestDifficulty(request_id, difficulty(at(params, 0))),
    "mining.suggest_target": _suggest_target,
    "mining.multi_version": lambda request_id, params: MultiVersion(
        request_id, whole(at(params, 0), "versions", 0, 1 << 32)
    ),
    "mining.ping": lambda request_id, _: Ping(request_id),
    "pong": lambda request_id, _: Pong(request_id),
    "client.get_version": lambda request_id, _: GetVersion(request_id),
}


def _parts(request: Request) -> tuple[str, Any]:  # noqa: C901, PLR0911, PLR0912 - one case per method
    """A request's method and parameters."""
    match request:
        case Submit(_, worker, job_id, extranonce2, time_s, nonce, bits):
            params = [worker, job_id, extranonce2.hex(), f"{time_s:08x}", f"{nonce:08x}"]
            return "mining.submit", params if bits is None else [*params, f"{bits:08x}"]
        case Subscribe(_, agent, session, host, port):
            fields = [agent, session, host, port]
            while fields and fields[-1] is None:
                fields.pop()
            return "mining.subscribe", fields
        case Authorize(_, user, password):
            return "mining.authorize", [user] if password is None else [user, password]
        case Configure(_, extensions, parameters):
            return "mining.configure", [list(extensions), dict(parameters)]
        case ExtranonceSubscribe():
            return "mining.extranonce.subscribe", []
        case SuggestDifficulty(_, asked):
            return "mining.suggest_difficulty", [plain(asked)]
        case SuggestTarget(_, target):
            return "mining.suggest_target", [f"{target:064x}"]
        case MultiVersion(_, versions):
            return "mining.multi_version", [versions]
        case Ping():
            return "mining.ping", []
        case Pong():
            return "pong", []
        case GetVersion():
            return "client.get_version", []
        case Other(_, method, others):
            return method, others
        case Response():
            raise TypeError("a response has no method")
