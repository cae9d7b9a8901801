"""One exchange with one machine, over TCP-JSON or HTTP/1.1: the only sockets of fleet.

Every exchange has one deadline in real time for all of it (connecting included) and one limit on what may come back,
and ends the moment the reply is whole, however the far side closes. Whatever goes wrong is one of fleet.driver's
errors: nothing came, or the connection broke, or time ran out (Unreachable); the machine said no (Refused); what came
is not the protocol (Garbled). A message names the address, the exchange and what came, and never a secret.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

import h11

from fleet.driver import Garbled, Refused, Unreachable

READ_DEADLINE_S = 5.0
WRITE_DEADLINE_S = 30.0
"""Some firmware takes over 20 s to answer a stop."""
LIMIT_BYTES = 2_000_000
"""The largest real replies (chip tables) are under 200 kB."""
_ATTEMPTS = 16
"""How often a text that looks balanced is parsed before only its end counts: bounds a hostile reply's work."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """User and password of a machine; shown nowhere, not even in its own repr."""

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to ask, how long one exchange may take in all, and how many bytes may come back."""

    host: str
    port: int
    deadline_s: float = READ_DEADLINE_S
    limit_bytes: int = LIMIT_BYTES

    def __str__(self) -> str:
        """Host and port, as messages name them."""
        return f"{self.host}:{self.port}"


async def ask_text(endpoint: Endpoint, request: bytes, what: str) -> Any:
    """Send a request, return the one JSON value that answers (cgminer's way): until it is complete, or NUL, or the end.

    Raises:
        Unreachable, Garbled: as the module says; `what` names the exchange in their messages.
    """
    return await _once(endpoint, request, _Text(endpoint.limit_bytes), what)


async def ask_framed(endpoint: Endpoint, request: bytes, what: str) -> Any:
    """Send a JSON request behind its length (4 bytes, little endian), return the JSON value framed likewise.

    Raises:
        Unreachable, Garbled: as the module says; `what` names the exchange in their messages.
    """
    framed = len(request).to_bytes(4, "little") + request
    return await _once(endpoint, framed, _Frame(endpoint.limit_bytes), what)


def decoded(raw: bytes | bytearray) -> Any:
    """JSON as machines write it: strict first, then with the two well-known slips of cgminer's descendants mended.

    Those are a missing comma between objects and bare nan or inf, which become null.

    Raises:
        ValueError: it is not JSON even so.
    """
    try:
        return json.loads(raw)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except ValueError:
        mended = _BARE_NAN.sub(b"null", bytes(raw).replace(b"}{", b"},{"))
        if mended == raw:
            raise
        try:
            return json.loads(mended)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


_BARE_NAN = re.compile(rb"(?<=[:,\[])\s*[-+]?(?:nan|inf(?:inity)?)(?=\s*[,}\]])", re.IGNORECASE)


class _Nonsense(Exception):
    """What came is not the protocol; the reason, without quoting what may be secret."""


class _Reply(Protocol):
    """What one exchange waits for: takes bytes until it is whole."""

    value: Any

    def feed(self, chunk: bytes) -> bool:
        """Take what came; true when the reply is whole (then `value` is it). Raises _Nonsense."""

    def end(self) -> bool:
        """The far side closed: true when what came is whole all the same. Raises _Nonsense when it is not."""


class _Text:
    """One JSON value with nothing around it but, perhaps, a final NUL."""

    __slots__ = ("_attempts", "_buffer", "_depth", "_limit", "value")

    def __init__(self, limit: int) -> None:
        self.value: Any = None
        self._buffer = bytearray()
        self._depth = 0
        self._attempts = 0
        self._limit = limit

    def feed(self, chunk: bytes) -> bool:
        """Whole at a NUL, or as soon as braces balance and it parses."""
        buffer = self._buffer
        buffer += chunk
        if len(buffer) > self._limit:
            raise _Nonsense(f"over {self._limit} bytes, and more coming")
        if b"\0" in chunk:
            del buffer[buffer.index(0) :]
            return self.end()
        self._depth += chunk.count(b"{") - chunk.count(b"}")
        if self._depth > 0 or self._attempts >= _ATTEMPTS or not buffer.rstrip().endswith((b"}", b"]")):
            return False
        self._attempts += 1
        try:
            self.value = decoded(buffer)
        except ValueError:
            return False
        return True

    def end(self) -> bool:
        """Whole if it parses."""
        try:
            self.value = decoded(self._buffer)
        except ValueError as error:
            raise _Nonsense(
                f"{len(self._buffer)} bytes that are not JSON ({error}): {_quoted(self._buffer)}"
            ) from error
        return True


class _Frame:
    """A length in 4 bytes, little endian, and that many bytes of JSON."""

    __slots__ = ("_buffer", "_limit", "value")

    def __init__(self, limit: int) -> None:
        self.value: Any = None
        self._buffer = bytearray()
        self._limit = limit

    def feed(self, chunk: bytes) -> bool:
        """Whole when as many bytes came as were promised."""
        buffer = self._buffer
        buffer += chunk
        if len(buffer) < 4:
            return False
        promised = int.from_bytes(buffer[:4], "little")
        if promised > self._limit:
            raise _Nonsense(f"a frame that promises {promised} bytes, over the limit of {self._limit}")
        if len(buffer) < 4 + promised:
            return False
        try:
            self.value = decoded(buffer[4 : 4 + promised])
        except ValueError as error:
            raise _Nonsense(f"a frame of {promised} bytes that is not JSON ({error}): {_quoted(buffer[4:])}") from error
        return True

    def end(self) -> bool:
        """Never whole: a frame says its own length."""
        raise _Nonsense(f"a frame cut off after {len(self._buffer)} bytes")


def _quoted(raw: bytes | bytearray) -> str:
    """The first bytes, for people."""
    return repr(bytes(raw[:48]))


class _Line(asyncio.Protocol):
    """The client's end of one TCP connection: hands what comes to the reply that is awaited, and drops the rest."""

    __slots__ = ("_heard", "_over", "_reply", "_transport", "_whole")

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._reply: _Reply | None = None
        self._whole: asyncio.Future[None] | None = None
        self._over: Exception | None = None
        self._heard = 0

    @property
    def heard_bytes(self) -> int:
        """How much came for the present reply."""
        return self._heard

    @property
    def over(self) -> bool:
        """The far side has closed, or the connection broke."""
        return self._over is not None

    async def ask(self, request: bytes, reply: _Reply) -> None:
        """Send, and wait until the reply is whole. The deadline is the caller's."""
        if self._transport is None or self._over is not None:
            raise self._over or ConnectionAbortedError("closed")
        self._reply, self._heard = reply, 0
        self._whole = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            await self._whole
        finally:
            self._whole = self._reply = None

    def abort(self) -> None:
        """Let go of the socket at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]  # TCP connections come with a Transport

    def data_received(self, data: bytes) -> None:
        """Feed the reply; what nobody waits for ends the connection (a machine that talks unasked is bounded too)."""
        if self._reply is None:
            self.abort()
            return
        self._heard += len(data)
        self._try(lambda reply: reply.feed(data))

    def eof_received(self) -> bool:
        """The far side has said all it will."""
        self._finish(ConnectionAbortedError("closed without an answer"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; an error here is the network's."""
        if exc is not None and self._over is None:
            self._over = exc
            self._fail(exc)
        else:
            self._finish(ConnectionAbortedError("closed without an answer"))

    def _finish(self, why: Exception) -> None:
        if self._over is not None:
            return
        self._over = why
        if self._heard:
            self._try(lambda reply: reply.end())
        self._fail(why)

    def _try(self, step: Callable[[_Reply], bool]) -> None:
        if self._whole is None or self._whole.done() or self._reply is None:
            return
        try:
            if step(self._reply):
                self._whole.set_result(None)
        except _Nonsense as error:
            self._fail(error)
            self.abort()

    def _fail(self, why: Exception) -> None:
        if self._whole is not None and not self._whole.done():
            self._whole.set_exception(why)


async def _once(endpoint: Endpoint, request: bytes, reply: _Reply, what: str) -> Any:
    """Connect, ask, hang up."""
    line = _Line()
    try:
        async with asyncio.timeout(endpoint.deadline_s):
            await asyncio.get_running_loop().create_connection(lambda: line, endpoint.host, endpoint.port)
            await line.ask(request, reply)
    except (OSError, _Nonsense) as error:
        raise _blamed(endpoint, what, line, error) from error
    finally:
        line.abort()
    return reply.value


def _blamed(endpoint: Endpoint, what: str, line: _Line, error: Exception) -> Unreachable | Garbled:
    """The driver error that says where, in which exchange, and what came."""
    match error:
        case _Nonsense():
            return Garbled(f"{endpoint} {what}: {error}")
        case TimeoutError():
            return Unreachable(
                f"{endpoint} {what}: no whole answer in {endpoint.deadline_s:g} s ({line.heard_bytes} bytes)"
            )
        case _:
            return Unreachable(f"{endpoint} {what}: {str(error) or type(error).__name__}")


class Web:
    """HTTP/1.1 with one machine: JSON both ways, digest authentication (RFC 7616), one connection while it is open.

    The server's nonce is kept between uses, so that a warm request is one round trip. Use it as a context manager round
    a group of requests; leaving it hangs up and keeps the nonce.
    """

    def __init__(self, endpoint: Endpoint, credentials: Credentials) -> None:
        self._endpoint = endpoint
        self._credentials = credentials
        self._challenge: Challenge | None = None
        self._line: _Line | None = None

    async def __aenter__(self) -> Self:
        """Nothing is opened before the first request."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up."""
        self.hang_up()

    def hang_up(self) -> None:
        """Close the connection, if there is one."""
        if self._line is not None:
            self._line.abort()
            self._line = None

    async def get(self, path: str, deadline_s: float | None = None) -> Any:
        """The JSON value at a path.

        Raises:
            Unreachable, Refused, Garbled: as the module says; Refused too for a status of 400 or more.
        """
        return await self._asked("GET", path, b"", deadline_s)

    async def post(self, path: str, body: Any, deadline_s: float | None = None) -> Any:
        """Post a JSON value, return the JSON value that answers.

        Raises:
            Unreachable, Refused, Garbled: as the module says; Refused too for a status of 400 or more.
        """
        return await self._asked("POST", path, json.dumps(body).encode(), deadline_s)

    async def _asked(self, method: str, path: str, body: bytes, deadline_s: float | None) -> Any:
        endpoint, what = self._endpoint, f"{method} {path}"
        deadline = endpoint.deadline_s if deadline_s is None else deadline_s
        try:
            async with asyncio.timeout(deadline):
                reply = await self._authorised(method, path, body)
        except (OSError, _Nonsense) as error:
            raise _blamed(endpoint, what, self._line or _Line(), error) from error
        finally:
            if self._line is not None and self._line.over:
                self.hang_up()
        if reply.status >= 400:
            raise Refused(f"{endpoint} {what}: {_refusal(reply)}")
        try:
            return decoded(reply.body)
        except ValueError as error:
            # The body is not quoted: a configuration carries the pools' passwords.
            raise Garbled(
                f"{endpoint} {what}: status {reply.status}, {len(reply.body)} bytes that are not JSON"
            ) from error

    async def _authorised(self, method: str, path: str, body: bytes) -> _HttpReply:
        """Ask with what is known of the server's challenge; once more if it sets a new one."""
        reply = await self._sent(method, path, body)
        if reply.status != 401:
            return reply
        fresh = Challenge.of(reply.challenges)
        if fresh is None:
            return reply
        self._challenge = fresh
        again = await self._sent(method, path, body)
        if again.status == 401:
            self._challenge = None
        return again

    async def _sent(self, method: str, path: str, body: bytes) -> _HttpReply:
        """One request and its reply, on the open connection or a new one."""
        headers = [("Host", str(self._endpoint)), ("Accept", "application/json")]
        if self._challenge is not None:
            headers.append(
                ("Authorization", self._challenge.answer(method, path, self._credentials, secrets.token_hex(8)))
            )
        if body:
            headers += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        wire = h11.Connection(h11.CLIENT)
        request = wire.send(h11.Request(method=method, target=path, headers=headers)) or b""
        request += (wire.send(h11.Data(data=body)) or b"") if body else b""
        request += wire.send(h11.EndOfMessage()) or b""
        reply = _HttpReply(wire, self._endpoint.limit_bytes)
        if self._line is None or self._line.over:
            line = self._line = _Line()
            await asyncio.get_running_loop().create_connection(lambda: line, self._endpoint.host, self._endpoint.port)
        await self._line.ask(request, reply)
        if not reply.keeps_open:
            self.hang_up()
        return reply


def _refusal(reply: _HttpReply) -> str:
    """What a status of 400 or more means, for people."""
    if reply.status != 401:
        return f"status {reply.status}"
    if Challenge.of(reply.challenges) is None:
        return "status 401, and asks for a way of signing in other than digest with MD5 or SHA-256"
    return "status 401: wrong user or password"


class _HttpReply:
    """One HTTP response, by h11."""

    __slots__ = ("_limit", "_wire", "body", "challenges", "keeps_open", "status", "value")

    def __init__(self, wire: h11.Connection, limit: int) -> None:
        self._wire = wire
        self._limit = limit
        self.value: Any = None
        self.status = 0
        self.body = bytearray()
        self.challenges: list[str] = []
        self.keeps_open = False

    def feed(self, chunk: bytes) -> bool:
        """Whole when h11 says so."""
        try:
            self._wire.receive_data(chunk)
            return self._drained()
        except h11.RemoteProtocolError as error:
            raise _Nonsense("not HTTP") from error  # h11 quotes what came, which may be a configuration

    def end(self) -> bool:
        """Whole if the response was of the kind that ends with its connection."""
        try:
            self._wire.receive_data(b"")
            whole = self._drained()
        except h11.RemoteProtocolError as error:
            raise _Nonsense("cut off") from error
        if not whole:
            raise _Nonsense("cut off")
        return True

    def _drained(self) -> bool:
        while True:
            event = self._wire.next_event()
            match event:
                case h11.Response():
                    self.status = event.status_code
                    self.challenges = [v.decode("latin-1") for k, v in event.headers if k == b"www-authenticate"]
                case h11.Data():
                    self.body += event.data
                    if len(self.body) > self._limit:
                        raise _Nonsense(f"over {self._limit} bytes, and more coming")
                case h11.EndOfMessage():
                    self.keeps_open = self._wire.their_state is h11.DONE
                    return True
                case h11.InformationalResponse():
                    continue
                case _:  # needs more, or closed
                    return False


_DIRECTIVE = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_DIGESTS: dict[str, Callable[[bytes], str]] = {
    "MD5": lambda raw: hashlib.md5(raw, usedforsecurity=False).hexdigest(),  # the protocol's, not our choice
    "SHA-256": lambda raw: hashlib.sha256(raw).hexdigest(),
}


@dataclass(slots=True)
class Challenge:
    """A server's digest challenge, and how often it was answered (RFC 7616)."""

    realm: str
    nonce: str
    opaque: str | None
    algorithm: str
    names_algorithm: bool
    has_qop: bool
    count: int = 0

    @classmethod
    def of(cls, challenges: list[str]) -> Challenge | None:
        """The strongest digest challenge that we can answer; None when there is none."""
        found: list[Challenge] = []
        for challenge in challenges:
            scheme, _, rest = challenge.strip().partition(" ")
            if scheme.lower() != "digest":
                continue
            said = {key.lower(): quoted or bare for key, quoted, bare in _DIRECTIVE.findall(rest)}
            algorithm = said.get("algorithm", "MD5").upper()
            qop = [option.strip() for option in said.get("qop", "").split(",") if option.strip()]
            if algorithm in _DIGESTS and "nonce" in said and (not qop or "auth" in qop):
                realm, nonce, opaque = said.get("realm", ""), said["nonce"], said.get("opaque")
                found.append(cls(realm, nonce, opaque, algorithm, "algorithm" in said, bool(qop)))
        return max(found, key=lambda challenge: challenge.algorithm, default=None)

    def answer(self, method: str, path: str, credentials: Credentials, ours: str) -> str:
        """The Authorization header for one request with our nonce; counts the uses of the server's."""
        digest = _DIGESTS[self.algorithm]
        self.count += 1
        count = f"{self.count:08x}"
        secret = digest(f"{credentials.username}:{self.realm}:{credentials.password}".encode())
        asked = digest(f"{method}:{path}".encode())
        middle = f"{self.nonce}:{count}:{ours}:auth" if self.has_qop else self.nonce
        response = digest(f"{secret}:{middle}:{asked}".encode())
        user = credentials.username.replace("\\", "\\\\").replace('"', '\\"')
        parts = [f'username="{user}"', f'realm="{self.realm}"', f'nonce="{self.nonce}"', f'uri="{path}"']
        parts.append(f'response="{response}"')
        if self.names_algorithm:
            parts.append(f"algorithm={self.algorithm}")
        if self.opaque is not None:
            parts.append(f'opaque="{self.opaque}"')
        if self.has_qop:
            parts += ["qop=auth", f"nc={count}", f'cnonce="{ours}"']
        return "Digest " + ", ".join(parts)
