"""JSON over HTTP/1.1 with one machine: signing in by digest, the nonce kept, one connection while it is open."""

from __future__ import annotations

import asyncio
import json
import secrets
from types import TracebackType
from typing import Any, Self

from fleet.driver import Garbled, Refused
from fleet.links.digest import Challenge, Credentials
from fleet.links.exchange import Endpoint, Line, Nonsense, blamed
from fleet.links.http import HttpReply
from fleet.links.tcp import decoded


class Web:
    """HTTP/1.1 with one machine: JSON both ways, digest authentication (RFC 7616), one connection while it is open.

    The server's nonce is kept between uses, so that a warm request is one round trip. Use it as a context manager round
    a group of requests; leaving it hangs up and keeps the nonce.
    """

    def __init__(self, endpoint: Endpoint, credentials: Credentials) -> None:
        self._endpoint = endpoint
        self._credentials = credentials
        self._challenge: Challenge | None = None
        self._line: Line | None = None

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
        except (OSError, Nonsense) as error:
            raise blamed(endpoint, what, self._line, error, deadline) from error
        if reply.status >= 400:
            raise Refused(f"{endpoint} {what}: {_refusal(reply)}")
        try:
            return decoded(reply.body)
        except ValueError as error:
            # The body is not quoted: a configuration carries the pools' passwords.
            raise Garbled(
                f"{endpoint} {what}: status {reply.status}, {len(reply.body)} bytes that are not JSON"
            ) from error

    async def _authorised(self, method: str, path: str, body: bytes) -> HttpReply:
        """Ask with what is known of the server's challenge; once more if it sets a new one."""
        reply = await self._sent(method, path, body)
        if reply.status != 401:
            return reply
        fresh = Challenge.of(reply.challenges)
        if fresh is None:
            return reply
        self._challenge = fresh
        return await self._sent(method, path, body)

    async def _sent(self, method: str, path: str, body: bytes) -> HttpReply:
        """One request and its reply, on the open connection or a new one."""
        head = [f"{method} {path} HTTP/1.1", f"Host: {self._endpoint}", "Accept: application/json"]
        if self._challenge is not None:
            signed = self._challenge.answer(method, path, self._credentials, secrets.token_hex(8))
            head.append(f"Authorization: {signed}")
        if body:
            head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        request = "\r\n".join([*head, "", ""]).encode() + body
        reply = HttpReply(self._endpoint.limit_bytes)
        if self._line is not None and not self._line.idle:
            self.hang_up()  # closed, or in the middle of an answer that was given up
        if self._line is None:
            line = self._line = Line()
            await asyncio.get_running_loop().create_connection(lambda: line, self._endpoint.host, self._endpoint.port)
        await self._line.ask(request, reply)
        if not reply.keeps_open:
            self.hang_up()
        return reply


def _refusal(reply: HttpReply) -> str:
    """What a status of 400 or more means, for people."""
    if reply.status != 401:
        return f"status {reply.status}"
    if Challenge.of(reply.challenges) is None:
        return "status 401, and asks for a way of signing in other than digest with MD5 or SHA-256"
    return "status 401: wrong user or password"
