"""HTTP digest authentication (RFC 7616): what a server challenges with, and how it is answered."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Credentials:
    """User and password of a machine; shown nowhere, not even in its own repr."""

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """No control characters: they would write lines of their own into a request."""
        if not (self.username + self.password).isprintable():
            raise ValueError("a user or a password holds a character that cannot be printed")


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
