"""A pool's API over a real socket: the token in a header, what is lost said once, every exchange bounded."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from controllers.feeds import FeedRefused, FeedState
from controllers.pool_apis import PoolApiSettings, open_pool_api
from controllers.pool_apis.table import Worked
from tests.controllers.feeds.conftest import DEADLINE_S, ScriptedWeb, SteppedClock, page

TABLE: TypeAdapter[PoolApiSettings] = TypeAdapter(PoolApiSettings)
SECRET = "s3cret-token"
WORKERS = json.dumps({"btc": {"workers": {"a.m0": {"hash_rate_unit": "Th/s", "hash_rate_60m": 100}}}})


def asked(
    folder: Path, *script: bytes, looks: int = 1
) -> tuple[list[Mapping[str, Worked]], list[FeedState], list[str]]:
    """What an API put and told, and the requests that its pool saw."""
    (folder / "token").write_text(f"{SECRET}\n")
    put: list[Mapping[str, Worked]] = []
    told: list[FeedState] = []

    async def work() -> list[str]:
        async with ScriptedWeb(*script) as web:
            table = {"kind": "braiins", "url": f"{web.url}/workers", "token_file": "token", "deadline_s": 0.5}
            api = open_pool_api(TABLE.validate_python(table), folder)
            clock = SteppedClock(looks - 1)
            running = asyncio.create_task(api.run(lambda _source, said: put.append(said), told.append, clock))
            try:
                async with asyncio.timeout(DEADLINE_S):
                    await clock.over.wait()
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
            return web.requests

    return put, told, asyncio.run(work())


def test_the_token_goes_into_a_header_and_nowhere_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A token in an address, a log or a message."""
    with caplog.at_level(logging.DEBUG):
        put, told, requests = asked(tmp_path, page(WORKERS))
    assert [dict(said) for said in put] == [{"m0": Worked(1_705_320_000.0, None, 100.0, 3_600.0)}]
    assert f"pool-auth-token: {SECRET}\r\n" in requests[0].lower()
    assert SECRET not in requests[0].splitlines()[0]
    assert [state.ok for state in told] == [True]
    assert SECRET not in caplog.text


def test_what_is_lost_is_said_once_and_once_that_it_is_back(tmp_path: Path) -> None:
    """A pool that is down for a day and says so every minute; or one whose word stays fresh while it is down."""
    script = (page(WORKERS), page("no", "500 No"), page("no", "500 No"), page("{}"), page(WORKERS))
    put, told, _ = asked(tmp_path, *script, looks=5)
    assert len(put) == 2
    assert [state.ok for state in told] == [True, False, True]
    assert "HTTP status 500, expected 200" in str(told[1].error)


def test_a_document_without_end_is_cut_off(tmp_path: Path) -> None:
    """A pool, or whoever stands in its place, that fills the daemon's memory."""
    _, told, _ = asked(tmp_path, page(b"[" + b" " * (9 * 2**20)))
    assert "more than 8388608 bytes" in str(told[0].error)


def test_a_missing_token_is_refused_before_anything_runs(tmp_path: Path) -> None:
    """An API that is asked without its token, for ever."""
    table = TABLE.validate_python({"kind": "braiins", "token_file": "nowhere"})
    with pytest.raises(FeedRefused, match="pool_apis 'Braiins Pool': token file nowhere cannot be read"):
        open_pool_api(table, tmp_path)
