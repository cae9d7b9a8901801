"""Extranonces that are not what they should be: of a wrong size, or replaced while their jobs are worked on."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest

from controllers.pool.finding import block_of
from controllers.pool.share_log import ShareLogs, read
from controllers.pool.verifier import Share
from fleet.work.counted import Flaw
from fleet.work.sha256d import sha256d
from fleet.work.stratum import Candidate, JobBook, Notify, SetDifficulty, Submit, judge
from tests.controllers.pool.conftest import DIFFICULTY, EASY, HonestPool, met, standing, twice

EASILY = {"least": 1, "start": DIFFICULTY, "shares_per_min": 100e12 * 60 / 2**32 / DIFFICULTY}
JOB = Notify("1", b"\1" * 32, b"first", b"last", (b"\2" * 32,), 0x2000_0000, 0x207F_FFFF, 1_700_000_000, clean=False)


def brought(extranonce2: bytes) -> Share:
    """A judged share for a job that asks for four bytes."""
    book = JobBook()
    book.subscribed(b"\xaa\xbb\xcc", 4)
    book.take(SetDifficulty(2.0**-40), 0.0)
    book.take(JOB, 0.0)
    submit = Submit(1, "w", "1", extranonce2, JOB.time_s, 7)
    candidate = book.prepare(submit, 1.0)
    assert isinstance(candidate, Candidate)
    share = Share(cast("Any", SimpleNamespace()), submit, candidate, b"", 1.0)
    share.judged = judge(candidate, sha256d(candidate.header))
    return share


def root(coinbase_hash: bytes) -> bytes:
    """The merkle root on a coinbase of the job."""
    return sha256d(coinbase_hash + JOB.branches[0])


@pytest.mark.parametrize("extranonce2", [b"\0\0\0\1", b"\1", b"", b"\1\2\3\4\5", b"\5" * 32])
def test_what_is_kept_of_a_share_is_what_was_hashed(extranonce2: bytes, tmp_path: Path) -> None:
    """A block whose coinbase is not the one in its header is no block, and a share's proof proves nothing."""
    share = brought(extranonce2)
    assert share.judged is not None
    block = block_of(share, machine="m", pool="p", subscription=None, prefix=b"\xcc")
    coinbase = bytes.fromhex(block.coinbase)
    assert root(sha256d(coinbase)) == share.judged.header[36:68]
    assert (block.extranonce1, len(block.extranonce2)) == ("aabb", 2 * 5)
    assert coinbase == JOB.coinbase1 + bytes.fromhex(block.extranonce1 + block.extranonce2) + JOB.coinbase2
    logs = ShareLogs(tmp_path, 1)
    logs.watch(0, "m", 1e9)
    logs.keep(0, share)
    logs.close()
    [logged] = read(b"".join(path.read_bytes() for path in logs.paths("m")))
    # a SHA-256 of the coinbase: the other one makes it the merkle tree's leaf
    assert root(hashlib.sha256(logged.coinbase).digest()) == logged.header[36:68]


def test_a_replaced_extranonce_is_for_the_jobs_to_come(tmp_path: Path) -> None:
    """Honest shares on their way would be called shares of no job, or go on with a prefix that they were not mined with."""

    async def world() -> None:
        async with (
            HonestPool(nbits=EASY) as pool,
            standing(tmp_path, [pool.url], how="aggregate", vardiff=EASILY) as tap,
            tap.miner(3) as gone,
            tap.miner(1) as first,
            tap.miner(2) as second,
        ):
            await first.begin(extranonce=True)
            await second.begin(extranonce=True)
            await gone.begin()
            # so that everybody's prefix is another one afterwards
            await gone.close()
            await met(lambda: tap.tap.counted().connected.sum() == 2)
            before, was = second.extranonce1, second.work
            late = [second.mined() for _ in range(5)]
            pool.set_extranonce(b"\x99\x88\x77\x66\x55")
            await second.until(lambda: second.extranonce1 != before)
            assert second.extranonce1[:5] == b"\x99\x88\x77\x66\x55"
            for params in late:
                assert (await second.submit(params))["result"] is True
            new = pool.notify()
            await second.until(lambda: second.work == new)
            assert (await second.submit())["result"] is True
            assert (await second.submit(second.mined()))["result"] is True
            assert was != new
            assert not pool.bad
            assert tap.tap.counted().flawed[1, Flaw.UNKNOWN_JOB] == 0
            await met(lambda: len(pool.blocks) >= 1)
            lines = (tmp_path / "blocks" / "blocks.jsonl").read_bytes().splitlines()
            blocks = [entry["block"] for line in lines if "block" in (entry := orjson.loads(line.rpartition(b" ")[0]))]
            assert {block["extranonce1"] for block in blocks} <= {before[:4].hex(), "9988776655"}
            assert {twice(bytes.fromhex(block["header"]))[::-1].hex() for block in blocks} == {
                b["hash"] for b in blocks
            }

    asyncio.run(world())
