"""Requests: what miners send, from a line to a message and back.

One table maps a method's name to the function that reads its parameters. `mining.submit` is tried before the table,
because nearly every line is one. Whatever cannot be read is `Malformed` with a reason, never an exception.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from fleet.work.stratum.fields import (
    Unreadable,
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
    Request,
    Response,
    Submit,
    Subscribe,
    SuggestDifficulty,
    SuggestTarget,
)
from fleet.work.stratum.replies import read_response, write_response

MOST_EXTRANONCE2_BYTES: Final = 32


def read_request(line: bytes) -> Request | Malformed:  # noqa: PLR0911 - one refusal per reason
    """The message that a miner's line is, or why it is none."""
    try:
        message = orjson.loads(line)
    except ValueError as error:
        return Malformed(f"no JSON: {error}")
    if type(message) is not dict:
        return Malformed("JSON, but no object")
    method, params = message.get("method"), message.get("params")
    if method == "mining.submit" and type(params) is list:
        return _submit(message.get("id"), params)
    if method is None:
        return read_response(message)
    request_id = message.get("id")
    if not isinstance(method, str):
        return Malformed("a method that is no text", None, request_id)
    read = _READERS.get(method)
    if read is None:
        return Other(request_id, method, params)
    # null and a missing list mean no parameters; firmware does both
    params = [] if params is None else params
    if not isinstance(params, list):
        return Malformed("parameters that are no list", method, request_id)
    try:
        return read(request_id, params)
    except Unreadable as error:
        return Malformed(str(error), method, request_id)


def write_request(request: Request) -> bytes:
    """The line that a miner would send for it, with its newline."""
    if isinstance(request, Response):
        return write_response(request)
    method, params = _parts(request)
    return orjson.dumps({"id": request.id, "method": method, "params": params}) + b"\n"


def _submit(request_id: Id, params: list[Any]) -> Submit | Malformed:
    """A share; five parameters, or six with version bits."""
    try:
        return Submit(
            request_id,
            text(params[0], "worker"),
            identifier(params[1], "job"),
            octets(params[2], "extranonce2", MOST_EXTRANONCE2_BYTES),
            word(params[3], "time"),
            word(params[4], "nonce"),
            word(params[5], "version bits") if len(params) > 5 and params[5] is not None else None,
        )
    except Unreadable as error:
        return Malformed(str(error), "mining.submit", request_id)
    except IndexError:
        return Malformed(f"{len(params)} parameters, expected 5 or 6", "mining.submit", request_id)


def _at(params: list[Any], place: int) -> Any:
    """A parameter, or null where the list is shorter."""
    return params[place] if place < len(params) else None


def _subscribe(request_id: Id, params: list[Any]) -> Subscribe:
    """[user agent, session, host, port], each of which may be missing."""
    return Subscribe(
        request_id,
        optional_text(_at(params, 0), "user agent"),
        optional_text(_at(params, 1), "session"),
        optional_text(_at(params, 2), "host"),
        optional_port(_at(params, 3)),
    )


def _authorize(request_id: Id, params: list[Any]) -> Authorize:
    """[user, password]."""
    return Authorize(request_id, text(_at(params, 0), "user"), optional_text(_at(params, 1), "password"))


def _configure(request_id: Id, params: list[Any]) -> Configure:
    """[[extension …], {extension.parameter: value …}]."""
    names, parameters = _at(params, 0), _at(params, 1)
    if not isinstance(names, list) or not isinstance(parameters, (dict, type(None))):
        raise Unreadable("parameters, expected a list of extensions and an object")
    return Configure(request_id, tuple(text(name, "extension") for name in names), parameters or {})


_READERS: Final[dict[str, Callable[[Id, list[Any]], Request]]] = {
    "mining.subscribe": _subscribe,
    "mining.authorize": _authorize,
    "mining.configure": _configure,
    "mining.submit": lambda request_id, _: Other(request_id, "mining.submit", None),
    "mining.extranonce.subscribe": lambda request_id, _: ExtranonceSubscribe(request_id),
    "mining.suggest_difficulty": lambda request_id, params: SuggestDifficulty(request_id, difficulty(_at(params, 0))),
    "mining.suggest_target": lambda request_id, params: SuggestTarget(
        request_id, int.from_bytes(octets(_at(params, 0), "target", 32), "big")
    ),
    "mining.multi_version": lambda request_id, params: MultiVersion(
        request_id, whole(_at(params, 0), "versions", 0, 1 << 32)
    ),
    "mining.ping": lambda request_id, _: Ping(request_id),
    "client.get_version": lambda request_id, _: GetVersion(request_id),
}


def _parts(request: Request) -> tuple[str, Any]:  # noqa: C901, PLR0911, PLR0912 - one case per method
    """A request's method and parameters."""
    match request:
        case Submit():
            params = [
                request.worker,
                request.job_id,
                request.extranonce2.hex(),
                f"{request.time_s:08x}",
                f"{request.nonce:08x}",
            ]
            return "mining.submit", params if request.version_bits is None else [*params, f"{request.version_bits:08x}"]
        case Subscribe():
            fields = [request.agent, request.session, request.host, request.port]
            while fields and fields[-1] is None:
                fields.pop()
            return "mining.subscribe", fields
        case Authorize():
            return "mining.authorize", [request.user] if request.password is None else [request.user, request.password]
        case Configure():
            return "mining.configure", [list(request.extensions), dict(request.parameters)]
        case ExtranonceSubscribe():
            return "mining.extranonce.subscribe", []
        case SuggestDifficulty():
            return "mining.suggest_difficulty", [request.difficulty]
        case SuggestTarget():
            return "mining.suggest_target", [f"{request.target:064x}"]
        case MultiVersion():
            return "mining.multi_version", [request.versions]
        case Ping():
            return "mining.ping", []
        case GetVersion():
            return "client.get_version", []
        case Other():
            return request.method, request.params
        case Response():  # pragma: no cover - written by write_response
            raise TypeError("a response has no method")
