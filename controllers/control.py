"""The Unix socket: status, explain and orders, one JSON line each way.

A request is `{"ask": ...}` and one line; the answer is one line with `ok`. Orders go into the order book and the journal
before they are acknowledged; everything else renders the last record. Requests are bounded in size and time; the socket
is for the daemon's own user alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import stat
import uuid
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from controllers.books import TooManyOrders
from controllers.config import SiteError
from fleet.machine import Roster
from fleet.order import Order, OrderKind, Rank
from fleet.settings import Seconds, Settings
from policies.orders import knows

REQUEST_BYTES_MOST = 65_536
REPLY_BYTES_MOST = 64_000_000
_REQUEST_S = 10.0
_ORDER_S_MOST = 31 * 86_400.0
_PATH_BYTES_MOST = 107
_LOG = logging.getLogger("hashwatt")


class OrderError(Exception):
    """An order that cannot be taken; the message names the field, the value and what was expected."""


class OrderRequest(Settings):
    """An order as it comes in, by the socket or by MQTT."""

    kind: OrderKind
    scope: str = Field(default="site", min_length=1, max_length=400)
    for_s: Seconds | None = None
    """How long it is in force; from now."""
    until_s: float | None = None
    """Or until when (UTC seconds)."""
    cap_kw: float | None = Field(default=None, ge=0)
    who: str = Field(min_length=1, max_length=200)
    why: str = Field(default="", max_length=1_000)
    rank: Rank = Rank.OPERATOR
    id: str | None = Field(default=None, max_length=100)


def order_of(request: Mapping[str, Any], roster: Roster, now_s: float) -> Order:
    """The order that a request asks for.

    Raises:
        OrderError: it is not one, names nothing here, or never ends.
    """
    try:
        asked = OrderRequest.model_validate(request)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "order"
        raise OrderError(f"{where} is {first.get('input')!r}: {first['msg']}") from error
    if not knows(roster, asked.scope):
        raise OrderError(f'scope is {asked.scope!r}, expected "site", a place or a machine id of this site')
    if (asked.kind is OrderKind.CAP) != (asked.cap_kw is not None):
        raise OrderError(f"cap_kw is {asked.cap_kw}, expected a power in kW for a cap and nothing for any other order")
    if (asked.for_s is None) == (asked.until_s is None):
        raise OrderError("for_s and until_s: expected exactly one of them, every order expires")
    until_s = now_s + asked.for_s if asked.for_s is not None else asked.until_s
    assert until_s is not None
    if not now_s < until_s <= now_s + _ORDER_S_MOST:
        raise OrderError(f"until_s is {until_s}, expected a time from now ({now_s:.0f}) on, at most 31 days ahead")
    try:
        return Order(
            id=asked.id or uuid.uuid4().hex[:12],
            kind=asked.kind,
            scope=asked.scope,
            who=asked.who,
            why=asked.why,
            given_s=now_s,
            until_s=until_s,
            rank=asked.rank,
            cap_w=None if asked.cap_kw is None else asked.cap_kw * 1e3,
        )
    except ValueError as error:
        raise OrderError(str(error)) from error


Answerer = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class ControlSocket:
    """Serves requests; `answers[name]` is called with the request and returns what is added to `{"ok": true}`.

    Raises:
        SiteError: the path is too long for a Unix socket.
    """

    def __init__(self, path: Path, answers: Mapping[str, Answerer]) -> None:
        if len(os.fsencode(path)) > _PATH_BYTES_MOST:
            raise SiteError(
                f"{path}: too long for a Unix socket, expected {_PATH_BYTES_MOST} bytes at most: give a shorter `state`"
            )
        self._path, self._answers = path, answers

    async def run(self) -> None:
        """Serve until cancelled."""
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(self._path.stat().st_mode):
                self._path.unlink()
        mask = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(self._serve, self._path, limit=REQUEST_BYTES_MOST)
        finally:
            os.umask(mask)
        ours = self._path.stat().st_ino
        try:
            async with server:
                await server.serve_forever()
        finally:
            # Who took this site over has put a socket of its own in place.
            with contextlib.suppress(FileNotFoundError):
                if self._path.stat().st_ino == ours:
                    self._path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_S):
                line = await reader.readline()
                writer.write(json.dumps(await self._answer(line), separators=(",", ":")).encode() + b"\n")
                await writer.drain()
        except (TimeoutError, ConnectionError, ValueError):
            # Too slow, gone, or a line longer than the limit: nothing that could be answered.
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, line: bytes) -> Mapping[str, Any]:
        try:
            request = json.loads(line)
            asked = request["ask"]
            answer = self._answers[asked]
        except (ValueError, TypeError, KeyError):
            return {
                "ok": False,
                "error": f"request is {line[:80]!r}, expected one JSON object whose ask is one of {sorted(self._answers)}",
            }
        try:
            return {"ok": True, **await answer(request)}
        except (OrderError, TooManyOrders, LookupError, OSError) as error:
            return {"ok": False, "error": str(error) if isinstance(error, OSError) else str(error.args[0])}
        except Exception as error:  # noqa: BLE001 - a bug in an answer is this answer's, and is told
            _LOG.exception("the answer to %s failed", asked)
            return {"ok": False, "error": f"the daemon failed: {type(error).__name__}: {error}"}


async def ask_daemon(path: Path, request: Mapping[str, Any], deadline_s: float = _REQUEST_S) -> dict[str, Any]:
    """One request to a running daemon.

    Raises:
        ConnectionError: no daemon listens there, or it went away, or it is none.
        TimeoutError: it did not answer in time.
    """
    try:
        async with asyncio.timeout(deadline_s):
            line = await _exchanged(path, json.dumps(request).encode() + b"\n")
    except TimeoutError as error:
        raise TimeoutError(f"{path}: the daemon did not answer within {deadline_s:g} s") from error
    except OSError as error:
        raise ConnectionError(
            f"{path}: no daemon answers there ({type(error).__name__}), expected `hashwatt run` for this site"
        ) from error
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise ConnectionError(f"{path}: the daemon answered {line[:80]!r}, expected one line with a JSON object")
    return answer


async def _exchanged(path: Path, request: bytes) -> bytes:
    """One line there, one line back."""
    reader, writer = await asyncio.open_unix_connection(path, limit=REPLY_BYTES_MOST)
    try:
        writer.write(request)
        await writer.drain()
        return await reader.readline()
    except ValueError as error:
        raise ConnectionError(str(error)) from error
    finally:
        writer.close()
