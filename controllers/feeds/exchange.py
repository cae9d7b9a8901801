"""One bounded HTTP GET: a deadline for the whole, a size limit, no redirects, and no secret in any message.

The deadline is in real time and covers connecting and the last byte of the body, so that a byte a second ends like
silence. What comes back is the body; everything else is a fault whose words name the address without user, query or
fragment, where keys like to stand.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from controllers.feeds.feed import FeedFault, SourceTable

SECRET_BYTES_MOST = 4_096


def _plain_url(url: str) -> str:
    """An http or https address without user and password."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"address {shown(url)!r}, expected http://… or https://…")
    if parts.username or parts.password:
        raise ValueError(f"address {shown(url)!r}, expected no user or password in it (use token_file or token_env)")
    return url


Url = Annotated[str, Field(min_length=8, max_length=2_000), AfterValidator(_plain_url)]


def shown(url: str) -> str:
    """An address for people: scheme, host and path alone."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that cannot be read"
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


class WebTable(SourceTable):
    """What a feed over HTTP has besides."""

    deadline_s: Annotated[float, Field(ge=0.1, le=120)] = 10
    """For a whole exchange, in real seconds."""
    most_bytes: Annotated[int, Field(ge=64, le=16 * 2**20)] = 2**20
    token_file: Path | None = None
    """A file with the token that the source asks for; relative to the site file."""
    token_env: str | None = None
    """Or the environment variable that has it."""
    token_header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")] = "Authorization"  # noqa: S105 (a name, no secret)
    token_prefix: Annotated[str, Field(max_length=64)] = "Bearer "  # noqa: S105 (a name, no secret)

    def secret_headers(self, directory: Path) -> Mapping[str, str]:
        """The headers with the token, read now; none where none is named.

        Raises:
            FeedFault: the file or variable is not there, is empty, or no header's value.
        """
        if self.token_file is None and self.token_env is None:
            return {}
        if self.token_file is not None and self.token_env is not None:
            raise FeedFault("token_file and token_env are both given, expected one of them")
        token = (
            self._from_file(directory / self.token_file) if self.token_file is not None else self._from_environment()
        )
        if not token or not token.isascii() or not token.isprintable() or len(token) > SECRET_BYTES_MOST:
            raise FeedFault(f"the token of {self._place}, expected one line of printable ASCII")
        return {self.token_header: self.token_prefix + token}

    @property
    def _place(self) -> str:
        """Where the token stands."""
        return str(self.token_file) if self.token_file is not None else f"${self.token_env}"

    def _from_file(self, path: Path) -> str:
        """The token in a file."""
        try:
            with path.open(encoding="utf-8") as lines:
                return lines.read(SECRET_BYTES_MOST + 2).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise FeedFault(f"token file {self.token_file} cannot be read: {type(error).__name__}") from None

    def _from_environment(self) -> str:
        """The token in the environment."""
        token = os.environ.get(self.token_env or "")
        if token is None:
            raise FeedFault(f"environment variable {self.token_env} is not set, expected the feed's token")
        return token.strip()


class Exchange(AbstractAsyncContextManager["Exchange"]):
    """GETs from one source over kept connections. Use it as an async context; one request at a time."""

    def __init__(self, table: WebTable, directory: Path) -> None:
        import httpx

        self._table = table
        self._directory = directory
        self._httpx = httpx
        # at lower levels these write whole addresses and headers, and with them keys and tokens
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._client = httpx.AsyncClient(
            follow_redirects=False,
            trust_env=False,
            timeout=table.deadline_s,
            limits=httpx.Limits(max_connections=2, max_keepalive_connections=1),
            headers={
                "User-Agent": "hashwatt",
                "Accept": "application/json, text/plain;q=0.5",
                "Accept-Encoding": "identity",
            },
        )

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def get(self, url: str) -> bytes:
        """The body of a 200 answer.

        Raises:
            FeedFault: no answer within the deadline, another status, or more bytes than allowed.
        """
        where = shown(url)
        headers = self._table.secret_headers(self._directory)
        try:
            async with asyncio.timeout(self._table.deadline_s):
                return await self._body(url, where, headers)
        except TimeoutError:
            raise FeedFault(f"{where}: no whole answer within {self._table.deadline_s:g} s") from None
        except (self._httpx.HTTPError, self._httpx.InvalidURL, OSError) as error:
            # the words of these errors may carry the address with its query, so only their kind is told
            raise FeedFault(f"{where}: {type(error).__name__}") from None

    async def get_json(self, url: str) -> Any:
        """The JSON of a 200 answer.

        Raises:
            FeedFault: as `get`, or the body is no JSON.
        """
        body = await self.get(url)
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise FeedFault(f"{shown(url)}: {_start_of(body)}, expected JSON") from None

    async def _body(self, url: str, where: str, headers: Mapping[str, str]) -> bytes:
        """One request, its body counted as it comes."""
        most = self._table.most_bytes
        async with self._client.stream("GET", url, headers=headers) as answer:
            if answer.status_code != self._httpx.codes.OK:
                raise FeedFault(f"{where}: HTTP status {answer.status_code}, expected 200")
            body = bytearray()
            # decoded bytes are counted, so that a small body cannot unpack into a large one
            async for part in answer.aiter_bytes(chunk_size=16_384):
                body += part
                if len(body) > most:
                    raise FeedFault(f"{where}: more than {most} bytes, expected at most that")
            return bytes(body)


def _start_of(body: bytes) -> str:
    """The first bytes of a body, for people."""
    return repr(body[:40].decode("latin-1")) if body else "an empty body"
