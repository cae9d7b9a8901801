"""HTTP/1.1 as small web servers on control boards speak it: GET and POST, keep-alive, digest authentication.

Enough of RFC 9112 for real clients and no more: a head of 8 KB, a body with a Content-Length of 64 KB. Digest is RFC
2617 with MD5 and qop=auth; a nonce is the time it was made, signed, and is stale after ten minutes.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import md5

from typing_extensions import override

from simulators.wire.conversation import Conversation

HEAD_BYTES, BODY_BYTES = 8_192, 65_536
NONCE_S = 600.0
REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Payload Too Large",
    501: "Not Implemented",
}
_FIELD = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')


@dataclass(frozen=True, slots=True)
class Request:
    """One request; header names are lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.split("?", 1)[0]


@dataclass(frozen=True, slots=True)
class Page:
    """One response."""

    status: int
    body: bytes = b""
    kind: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class WebConversation(Conversation):
    """Recognises requests; a dialect gives `respond`, and `changes` for which requests write."""

    FLOOD_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2147483647\r\n\r\n"

    LIMIT_BYTES = HEAD_BYTES + BODY_BYTES

    @abstractmethod
    def respond(self, request: Request) -> Page:
        """The page for a request."""

    def changes(self, request: Request) -> bool:
        """Does the request change anything?"""
        return request.method == "POST"

    @override
    def read(self) -> None:
        """One request from the inbox, when its head and body are there."""
        end = self.inbox.find(b"\r\n\r\n")
        if end < 0:
            if len(self.inbox) > HEAD_BYTES:
                self._close_with(400)
            return
        lines = self.inbox[:end].decode("latin-1").split("\r\n")
        first = lines[0].split(" ")
        if len(first) != 3 or not first[2].startswith("HTTP/1."):
            self._close_with(400)
            return
        pairs = (line.partition(":") for line in lines[1:])
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdigit():
            self._close_with(501)
            return
        if int(length) > BODY_BYTES:
            self._close_with(413)
            return
        whole = end + 4 + int(length)
        if len(self.inbox) < whole:
            return
        request = Request(first[0], first[1], headers, bytes(self.inbox[end + 4 : whole]))
        del self.inbox[:whole]
        close = first[2] == "HTTP/1.0" or headers.get("connection", "").lower() == "close"
        self.answer(
            lambda: rendered(self.respond(request), close=close),
            lambda: rendered(Page(403, b"Forbidden", "text/plain"), close=close),
            write=self.changes(request),
            close=close,
        )
        if self.inbox and not self.busy and not self.transport.is_closing():
            self.read()

    def _close_with(self, status: int) -> None:
        self.transport.write(rendered(Page(status, REASONS[status].encode(), "text/plain"), close=True))
        self.transport.close()


def rendered(page: Page, *, close: bool) -> bytes:
    """A response as it goes out."""
    head = [f"HTTP/1.1 {page.status} {REASONS[page.status]}", f"Content-Type: {page.kind}"]
    head.append(f"Content-Length: {len(page.body)}")
    head.extend(f"{name}: {value}" for name, value in page.headers.items())
    head.append("Connection: close" if close else "Connection: keep-alive")
    head.append("Server: lighttpd/1.4.32")
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + page.body


class Digest:
    """The digest authentication of one realm (RFC 2617, MD5, qop=auth)."""

    def __init__(self, realm: str, user: str, password: str, secret: str) -> None:
        self.realm, self.user, self._secret = realm, user, secret.encode()
        self.ha1 = _md5(f"{user}:{realm}:{password}")

    def challenge(self, *, stale: bool = False) -> Mapping[str, str]:
        """The header that asks for credentials."""
        stamp = f"{int(asyncio.get_running_loop().time()):x}"
        value = f'Digest realm="{self.realm}", nonce="{stamp}:{self._sign(stamp)}", qop="auth"'
        return {"WWW-Authenticate": value + (", stale=true" if stale else "")}

    def refusal(self, request: Request) -> Mapping[str, str] | None:
        """None when the request's credentials are right, otherwise the challenge to send."""
        scheme, _, rest = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "digest":
            return self.challenge()
        given = {name.lower(): quoted or plain for name, quoted, plain in _FIELD.findall(rest)}
        stamp, _, signature = given.get("nonce", "").partition(":")
        ha2 = _md5(f"{request.method}:{given.get('uri', '')}")
        middle = ":".join(given.get(name, "") for name in ("nonce", "nc", "cnonce", "qop"))
        right = (
            given.get("username") == self.user
            and given.get("realm") == self.realm
            and given.get("uri") == request.target
            and given.get("qop") == "auth"
            and hmac.compare_digest(given.get("response", ""), _md5(f"{self.ha1}:{middle}:{ha2}"))
        )
        if not right or not hmac.compare_digest(signature, self._sign(stamp)):
            return self.challenge()
        if asyncio.get_running_loop().time() - int(stamp, 16) > NONCE_S:
            return self.challenge(stale=True)
        return None

    def _sign(self, stamp: str) -> str:
        return hmac.new(self._secret, stamp.encode(), "md5").hexdigest()


def _md5(text: str) -> str:
    return md5(text.encode()).hexdigest()
