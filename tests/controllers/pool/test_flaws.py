"""Every way in which a share can be wrong is counted by its cause, and what is right is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet.work.counted import Flaw
from tests.controllers.pool.conftest import DIFFICULTY, HonestPool, Miner, met, standing

Params = list[Any]


def spoilt(place: int, value: str) -> Callable[[Miner], Params]:
    """A good share with another parameter in one place."""

    def make(miner: Miner) -> Params:
        params = miner.mined()
        params[place] = value
        return params

    return make


TABLE = [
    (Flaw.LOW, lambda miner: miner.mined(difficulty=1, below=DIFFICULTY)),
    (Flaw.UNKNOWN_JOB, spoilt(1, "nojob")),
    (Flaw.EXTRANONCE, spoilt(2, "00112233445566")),
    (Flaw.TIME, spoilt(3, "00000001")),
    (Flaw.MALFORMED, spoilt(4, "not hexadecimal")),
    (Flaw.UNAUTHORIZED, spoilt(0, "acct.nobody")),
    (Flaw.VERSION, lambda miner: [*miner.mined(), "00000001"]),
]


@pytest.mark.parametrize(("flaw", "make"), TABLE, ids=[flaw.name for flaw, _ in TABLE])
def test_a_flaw_is_counted_by_its_cause(tmp_path: Path, flaw: Flaw, make: Callable[[Miner], Params]) -> None:
    """A machine that sends worthless shares would be paid for them, or blamed for the wrong thing."""

    async def world() -> None:
        async with HonestPool() as pool, standing(tmp_path, [pool.url], accounts=["acct"]) as tap, tap.miner() as miner:
            await miner.begin()
            miner.say("mining.submit", make(miner))
            await met(lambda: bool(tap.tap.counted().flawed.any()))
            counted = tap.tap.counted()
            assert {Flaw(at): n for at, n in enumerate(counted.flawed[0].tolist()) if n} == {flaw: 1}
            assert counted.shares[0] == counted.work[0] == 0

    asyncio.run(world())


def test_a_share_twice_is_counted_once(tmp_path: Path) -> None:
    """The cheapest way to seem to work is to send the same share again, on this connection or the next."""

    async def world() -> None:
        async with HonestPool() as pool, standing(tmp_path, [pool.url]) as tap:
            async with tap.miner() as miner:
                await miner.begin()
                share = miner.mined()
                assert (await miner.submit(share))["result"] is True
                assert (await miner.submit(share))["error"][0] == 22
            async with tap.miner() as again:
                await again.ask("mining.subscribe", ["small/1", miner.extranonce1.hex()])
                await again.ask("mining.authorize", ["acct.m1", "x"])
                await again.until(lambda: again.work is not None)
                await again.submit(share)
            counted = tap.tap.counted()
            assert (counted.shares[0], counted.flawed[0, Flaw.DUPLICATE]) == (1, 2)

    asyncio.run(world())


def test_a_share_from_another_session_is_not_this_ones(tmp_path: Path) -> None:
    """A machine that sends its neighbour's shares would be paid for its neighbour's work."""

    async def world() -> None:
        async with (
            HonestPool() as pool,
            standing(tmp_path, [pool.url]) as tap,
            tap.miner(1) as one,
            tap.miner(2) as two,
        ):
            # hard enough that a share does not happen to be good for the other session too
            pool.difficulty = 2.0**21
            await one.begin()
            await two.begin()
            share = one.mined()
            await one.submit(share)
            await two.submit(["acct.m2", *share[1:]])
            counted = tap.tap.counted()
            assert counted.shares.tolist() == [1, 0, 0, 0]
            assert counted.flawed[1, Flaw.LOW] == 1

    asyncio.run(world())


def test_stale_after_its_grace_alone(tmp_path: Path) -> None:
    """Shares that were under way when a block came would be held against an honest machine."""

    async def world() -> None:
        async with (
            HonestPool() as pool,
            standing(tmp_path, [pool.url], stale_grace_s=0.2) as tap,
            tap.miner() as miner,
        ):
            await miner.begin()
            old = miner.work
            pool.notify(clean=True)
            await miner.until(lambda: miner.work == pool.work)
            await miner.submit(miner.mined(work=old))
            assert tap.tap.counted().shares[0] == 1
            loop = asyncio.get_running_loop()
            over_s = loop.time() + 0.3
            await met(lambda: loop.time() > over_s)
            await miner.submit(miner.mined(work=old))
            assert tap.tap.counted().flawed[0, Flaw.STALE] == 1

    asyncio.run(world())


def test_a_difficulty_is_in_force_from_its_job_on(tmp_path: Path) -> None:
    """Shares credited with a difficulty that was not theirs make every verdict wrong by the same factor."""

    async def world() -> None:
        async with HonestPool() as pool, standing(tmp_path, [pool.url]) as tap, tap.miner() as miner:
            await miner.begin()
            await miner.submit()
            pool.set_difficulty(4 * DIFFICULTY)
            pool.notify()
            await miner.until(lambda: miner.work == pool.work and miner.difficulty == 4 * DIFFICULTY)
            await miner.submit()
            counted = tap.tap.counted()
            assert (counted.shares[0], counted.work[0]) == (2, 5 * DIFFICULTY)
            assert counted.difficulty[0] == 4 * DIFFICULTY

    asyncio.run(world())


@pytest.mark.parametrize("how", ["pass", "refuse"])
def test_work_for_another_account_is_a_hidden_fee(tmp_path: Path, how: str) -> None:
    """Firmware that mines a few per cent for somebody else looks like a machine that is a little slow."""

    async def world() -> None:
        async with (
            HonestPool() as pool,
            standing(tmp_path, [pool.url], accounts=["acct"], foreign=how) as tap,
            tap.miner() as miner,
        ):
            await miner.begin()
            authorized = await miner.ask("mining.authorize", ["devfee.x", "x"])
            share = miner.mined()
            answer = await miner.submit(["devfee.x", *share[1:]])
            await miner.submit()
            counted = tap.tap.counted()
            assert (counted.shares[0], counted.work[0]) == (1, DIFFICULTY)
            assert counted.flawed[0, Flaw.FOREIGN] == 1
            assert any("devfee" in text for text in tap.told("foreign work"))
            if how == "pass":
                assert authorized["result"] is answer["result"] is True
                assert counted.foreign_work[0] == DIFFICULTY
            else:
                assert (authorized["error"][0], answer["error"][0]) == (24, 24)
                assert [worker for worker, _ in pool.shares] == ["acct.m1"]

    asyncio.run(world())


def test_a_coinbase_that_pays_somebody_else_is_a_hidden_fee(tmp_path: Path) -> None:
    """A solo miner whose pool pays itself finds out when a block is found, or never."""
    ours = "12cbQLTFMXRnSzktFkuoG3eHoMeFtpTu3S"

    async def world() -> None:
        async with HonestPool() as pool:
            async with standing(tmp_path, [pool.url], payout_addresses=[ours]) as tap, tap.miner() as miner:
                await miner.begin()
                await miner.submit()
                counted = tap.tap.counted()
                assert (counted.shares[0], counted.foreign_work[0]) == (0, DIFFICULTY)
            paid = "12ZEw5Hcv1hTb6YUQJ69y1V7uhcoDz92PH"
            async with standing(tmp_path, [pool.url], payout_addresses=[ours, paid]) as tap, tap.miner() as miner:
                await miner.begin()
                await miner.submit()
                counted = tap.tap.counted()
                assert (counted.shares[0], counted.foreign_work[0]) == (1, 0)

    asyncio.run(world())


def test_a_pool_that_loses_shares_is_counted(tmp_path: Path) -> None:
    """A pool that refuses good shares takes money, and the machine would be blamed for it."""

    async def world() -> None:
        async with HonestPool() as pool, standing(tmp_path, [pool.url]) as tap, tap.miner() as miner:
            await miner.begin()
            pool.refuse = True
            assert (await miner.submit())["result"] is False
            counted = tap.tap.counted()
            assert (counted.shares[0], counted.flawed[0, Flaw.REFUSED]) == (1, 1)
            assert any("We do not like it" in cause for cause in tap.tap.status()["counts"])

    asyncio.run(world())


def test_a_stranger_is_served_and_blamed_on_nobody(tmp_path: Path) -> None:
    """A machine that is not in the site file should mine, and its shares should not be another machine's."""

    async def world() -> None:
        async with (
            HonestPool() as pool,
            standing(tmp_path, [pool.url]) as tap,
            Miner(tap.port, address="127.0.9.9", user="acct.unknown") as miner,
        ):
            await miner.begin()
            await miner.submit()
            assert not tap.tap.counted().shares.any()
            assert tap.tap.status()["shares_of_strangers"] == 1

    asyncio.run(world())


def test_a_machine_behind_another_address_is_known_by_its_worker(tmp_path: Path) -> None:
    """Behind a router all machines have one address, and all of their work would be nobody's."""

    async def world() -> None:
        async with (
            HonestPool() as pool,
            standing(tmp_path, [pool.url]) as tap,
            Miner(tap.port, address="127.0.9.9", user="acct.site.m3") as miner,
        ):
            await miner.begin()
            await miner.submit()
            assert tap.tap.counted().shares.tolist() == [0, 0, 1, 0]

    asyncio.run(world())
