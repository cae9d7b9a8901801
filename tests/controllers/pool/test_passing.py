"""Pass mode over real sockets: everything through unchanged, every share judged, the machine known."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.controllers.pool.conftest import DIFFICULTY, HonestPool, standing


def test_everything_passes_byte_for_byte(tmp_path: Path) -> None:
    """A tap that changes a byte of what machines and pools say is a pool of its own, with bugs of its own."""

    async def world() -> None:
        async with HonestPool() as pool, standing(tmp_path, [pool.url]) as tap, tap.miner() as miner:
            await miner.begin(rolls=True, extranonce=True)
            await miner.ask("mining.suggest_difficulty", [512])
            await miner.ask("vendor.secret", [{"a": [1.50, "ü"]}])
            miner.send(
                b'  {"method":"mining.submit", "params":["acct.m1","nojob","00000000","00000000","00000000"],"id":"x"}\r\n'
            )
            for _ in range(3):
                assert (await miner.submit())["result"] is True
            pool.notify(clean=True)
            await miner.until(lambda: miner.work == pool.work)
            guest = next(guest for guest in pool.guests if guest.users)
            assert guest.heard == miner.said
            assert guest.said == miner.heard

    asyncio.run(world())


def test_good_shares_are_credited_with_what_was_asked(tmp_path: Path) -> None:
    """Work that was delivered and not counted makes an honest machine a liar."""

    async def world() -> None:
        async with HonestPool() as pool, standing(tmp_path, [pool.url]) as tap, tap.miner(2) as miner:
            await miner.begin()
            for _ in range(5):
                await miner.submit()
            counted = tap.tap.counted()
            assert counted.shares.tolist() == [0, 5, 0, 0]
            assert counted.work.tolist() == [0, 5 * DIFFICULTY, 0, 0]
            assert counted.connected.tolist() == [False, True, False, False]
            assert counted.difficulty[1] == DIFFICULTY
            assert counted.best[1] >= DIFFICULTY
            assert counted.exposure[1] > 0
            assert not counted.flawed.any()

    asyncio.run(world())
