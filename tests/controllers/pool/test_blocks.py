"""A block is never lost: submitted at once, on disk before its answer, and submitted again when its pool was gone."""

from __future__ import annotations

import asyncio
import resource
import signal
import struct
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest

from controllers.pool.blocks import Answer, Block, Blocks
from tests.controllers.pool.conftest import EASY, HonestPool, Miner, Work, met, standing, twice

LIMIT = 0x7FFFFF << 232


def solved(miner: Miner, work: Work | None = None) -> list[Any]:
    """A share of regtest's difficulty, which is the pool's too."""
    work = miner.work if work is None else work
    assert work is not None
    counter = 0
    while True:
        counter += 1
        extranonce2 = counter.to_bytes(miner.extranonce2_bytes, "big")
        head = work.head(miner.extranonce1 + extranonce2, work.time_s, None)
        for nonce in range(8):
            value = int.from_bytes(twice(head + struct.pack("<I", nonce)), "little")
            if value <= LIMIT >> 2:
                return [miner.user, work.job_id, extranonce2.hex(), f"{work.time_s:08x}", f"{nonce:08x}"]


def entries(directory: Path) -> list[dict[str, Any]]:
    """What is in the block file."""
    lines = (directory / "blocks" / "blocks.jsonl").read_bytes().splitlines()
    return [orjson.loads(line.rpartition(b" ")[0]) for line in lines]


def test_a_block_is_on_disk_before_its_answer_is_told(tmp_path: Path) -> None:
    """A crash between the answer and the disk would leave no trace of the most valuable thing that a site makes."""

    async def world() -> None:
        async with HonestPool(nbits=EASY) as pool, standing(tmp_path, [pool.url]) as tap, tap.miner() as miner:
            await miner.begin()
            assert (await miner.submit(solved(miner)))["result"] is True
            kept = entries(tmp_path)
            assert kept[0]["block"]["machine"] == "m1"
            header = bytes.fromhex(kept[0]["block"]["header"])
            assert pool.blocks == [header]
            assert twice(header)[::-1].hex() == kept[0]["block"]["hash"]
            await met(lambda: len(entries(tmp_path)) == 2)
            assert entries(tmp_path)[1]["answer"]["accepted"] is True
            wanted = {"found": 1, "accepted": 1, "refused": 0, "open": [], "not_on_disk": 0}
            await met(lambda: tap.tap.status()["blocks"] == wanted)

    asyncio.run(world())


@pytest.mark.parametrize("how", ["pass", "aggregate"])
def test_an_answer_waits_for_the_disk(tmp_path: Path, how: str) -> None:
    """A machine that is told that its block was accepted, and a site that knows nothing of it after a crash."""
    slow = threading.Event()

    async def world() -> None:
        async with HonestPool(nbits=EASY) as pool, standing(tmp_path, [pool.url], how=how) as tap, tap.miner() as miner:
            await miner.begin()
            # the disk has something else to do
            tap.tap._shared.blocks._thread.submit(slow.wait, 10)
            try:
                number = miner.say("mining.submit", solved(miner))
                await met(lambda: len(pool.blocks) == 1)
                # the pool has answered both; the machine hears of the second alone
                await miner.ask("vendor.thing", [])
                assert not miner._waiting[number].done()
                assert not (tmp_path / "blocks" / "blocks.jsonl").exists()
            finally:
                slow.set()
            assert (await miner.answer(number))["result"] is True
            assert len(entries(tmp_path)) >= 1

    asyncio.run(world())


def test_a_full_disk_stops_neither_block_nor_answer(tmp_path: Path) -> None:
    """A log file is worth less than a block."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    async def world() -> None:
        async with HonestPool(nbits=EASY) as pool, standing(tmp_path, [pool.url]) as tap, tap.miner() as miner:
            await miner.begin()
            resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
            assert (await miner.submit(solved(miner)))["result"] is True
            assert len(pool.blocks) == 1
            await met(lambda: any("not kept" in text for text in tap.told("block")))
            await met(lambda: tap.tap.status()["blocks"]["not_on_disk"] == 2)
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            await met(lambda: (tmp_path / "blocks" / "blocks.jsonl").exists() and len(entries(tmp_path)) == 2)
            await met(lambda: "blocks are kept on disk again" in tap.told("block"))

    try:
        asyncio.run(world())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_block_whose_pool_went_away_is_submitted_again(tmp_path: Path) -> None:
    """A pool that restarts at the wrong moment would cost a block."""

    async def world() -> None:
        async with HonestPool(nbits=EASY) as pool, standing(tmp_path, [pool.url]) as tap:
            async with tap.miner() as miner:
                await miner.begin()
                pool.mute = True
                params = solved(miner)
                miner.say("mining.submit", params)
                await met(lambda: len(pool.blocks) == 1)
                await pool.close()
                # it never saw it, as far as anybody can tell
                pool.blocks.clear()
                pool._seen.clear()
                pool.mute = False
                await miner.ended.wait()
            await pool.open()
            await met(lambda: tap.tap.status()["blocks"]["accepted"] == 1)
            assert len(pool.blocks) == 1
            assert pool.shares[-1] == ("acct.m1", params)

    asyncio.run(world())


def test_a_restart_brings_a_block_that_had_no_answer(tmp_path: Path) -> None:
    """A block that was found a moment before a crash would be in a file that nobody reads."""

    async def world() -> None:
        async with HonestPool(nbits=EASY) as pool:
            async with standing(tmp_path, [pool.url]) as tap, tap.miner() as miner:
                await miner.begin()
                pool.mute = True
                miner.say("mining.submit", solved(miner))
                await met((tmp_path / "blocks" / "blocks.jsonl").exists)
                await met(lambda: len(entries(tmp_path)) == 1)
            pool.mute = False
            async with standing(tmp_path, [pool.url]) as tap:
                # the pool has it from the first time, and says so
                await met(lambda: tap.tap.status()["blocks"]["open"] == [])
                assert "accepted" in tap.told("block")[-1]
            async with standing(tmp_path, [pool.url]) as tap:
                assert tap.tap.status()["blocks"]["open"] == []

    asyncio.run(world())


def test_a_pool_that_gives_another_extranonce_gets_no_wrong_share(tmp_path: Path) -> None:
    """A block in a session that it was not made for is a share that is refused, and proves nothing lost or kept."""

    async def world() -> None:
        async with HonestPool(nbits=EASY) as pool, standing(tmp_path, [pool.url]) as tap:
            async with tap.miner() as miner:
                await miner.begin()
                pool.mute = True
                miner.say("mining.submit", solved(miner))
                await met(lambda: len(pool.blocks) == 1)
                await pool.close()
                pool.resumes.clear()
            before, visits = len(pool.shares) + len(pool.bad), len(pool.agents)
            await pool.open()
            await met(lambda: len(pool.agents) >= visits + 3)
            assert len(pool.shares) + len(pool.bad) == before
            assert len(tap.tap.status()["blocks"]["open"]) == 1

    asyncio.run(world())


def block(number: int) -> Block:
    """Some block."""
    return Block(
        hash=f"{number:064x}",
        at_s=1.0,
        machine="m1",
        worker="acct.m1",
        pool="stratum+tcp://p:1",
        session=None,
        job_id="1",
        extranonce1="00",
        extranonce2="00",
        time_s=1,
        nonce=1,
        version_bits=None,
        header="00" * 80,
        coinbase="00",
        branches=("11" * 32,),
        flaw=None,
    )


def test_half_a_line_swallows_no_other(tmp_path: Path) -> None:
    """What a power cut left of one block would make the next one unreadable."""

    async def world() -> None:
        said: list[str] = []
        loop = asyncio.get_running_loop()
        blocks = Blocks(tmp_path, loop, lambda _, text: said.append(text))
        blocks.new(block(1), lambda: None)
        await blocks.close()
        with (tmp_path / "blocks.jsonl").open("ab") as file:
            file.write(b'{"block":{"hash":"')
        blocks = Blocks(tmp_path, loop, lambda _, text: said.append(text))
        (fault,) = blocks.load()
        assert "line 2: expected" in fault
        blocks.new(block(3), lambda: None)
        blocks.answered(Answer(block(1).hash, 2.0, "p", accepted=True, said=""))
        await blocks.close()
        blocks = Blocks(tmp_path, loop, lambda _, text: said.append(text))
        assert len(blocks.load()) == 1
        assert list(blocks.open) == [block(3).hash]
        await blocks.close()

    asyncio.run(world())


def test_the_same_block_is_found_once(tmp_path: Path) -> None:
    """A machine that sends its block twice would fill the file, and be asked for twice."""

    async def world() -> None:
        kept: list[int] = []
        blocks = Blocks(tmp_path, asyncio.get_running_loop(), lambda _, __: None)
        blocks.new(block(1), lambda: kept.append(1))
        blocks.new(block(1), lambda: kept.append(2))
        await blocks.close()
        assert sorted(kept) == [1, 2]
        assert blocks.found == 1

    asyncio.run(world())
