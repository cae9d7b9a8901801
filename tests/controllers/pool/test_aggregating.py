"""Many machines on one session: extranonces divided, shares told apart, and each machine at its own difficulty."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.pool.extranonce import Prefixes, TooSmall, divided
from controllers.pool.settings import Vardiff
from controllers.pool.vardiff import Varied
from fleet.work.counted import Flaw
from tests.controllers.pool.conftest import DIFFICULTY, EASY, HonestPool, met, standing

NOMINAL = 100e12 * 60 / 2**32
"""Difficulty-1 shares a minute of the tests' machines."""
QUICK = {"back_off_s": 0.05, "back_off_most_s": 0.1, "probe_s": 0.05, "return_after_s": 0.2}
EASILY = {"least": 1, "start": DIFFICULTY, "shares_per_min": NOMINAL / DIFFICULTY}


@pytest.mark.parametrize(
    ("extranonce2_bytes", "machines", "prefix_bytes", "sizes"),
    [
        (4, 1, None, (1, 3)),
        (4, 90, None, (1, 3)),
        (4, 100, None, (2, 2)),
        (8, 10_000, None, (2, 6)),
        (8, 100_000, None, (3, 5)),
        (8, 10, 4, (4, 4)),
        (4, 100_000, None, "leave 1, expected at least 2"),
        (2, 1, None, "a second extranonce of 2 bytes"),
        (4, 10, 3, "expected at least 2"),
    ],
)
def test_extranonces_are_divided(extranonce2_bytes: int, machines: int, prefix_bytes: int | None, sizes: Any) -> None:
    """Two machines with one prefix find the same shares; one with no room left has nothing to search."""
    if isinstance(sizes, str):
        with pytest.raises(TooSmall, match=sizes):
            divided(extranonce2_bytes, machines, prefix_bytes)
    else:
        division = divided(extranonce2_bytes, machines, prefix_bytes)
        assert (division.prefix_bytes, division.left_bytes) == sizes


@given(st.lists(st.integers(0, 2), max_size=400))
def test_no_prefix_is_used_twice_while_a_job_lives(actions: list[int]) -> None:
    """A prefix that comes back too early makes its new machine's shares duplicates of the old one's."""
    prefixes, kept, job = Prefixes(1), 3, 1
    have: list[bytes] = []
    last: dict[bytes, int] = {}
    for action in actions * 3:
        oldest = max(job - kept + 1, 1)
        if action == 0:
            prefix = prefixes.take(oldest)
            if prefix is not None:
                assert prefix not in have
                assert last.get(prefix, 0) < oldest
                have.append(prefix)
        elif action == 1 and have:
            prefix = have.pop(0)
            last[prefix] = job
            prefixes.free(prefix, job)
        else:
            job += 1
        assert prefixes.taken == len(have)


def test_prefixes_come_back_when_their_jobs_are_over() -> None:
    """A site whose machines restart would run out of prefixes, and turn them away for ever."""
    prefixes = Prefixes(1)
    taken = [prefixes.take(1) for _ in range(256)]
    assert prefixes.take(1) is None
    assert taken[7] is not None
    prefixes.free(taken[7], newest_job=5)
    assert prefixes.take(5) is None
    assert prefixes.take(6) == taken[7]


def rate_of(varied: Varied, per_min: float, minutes: float) -> float:
    """Let a machine that finds so many difficulty-1 shares a minute work; the difficulty in the end."""
    now_s, found = 0.0, 0.0
    while now_s < minutes * 60:
        now_s += 1
        found += per_min / 60 / varied.difficulty
        for _ in range(int(found)):
            varied.share()
        found %= 1
        varied.look(now_s)
    return varied.difficulty


@given(st.floats(1e3, 1e12))
def test_vardiff_finds_every_machine(per_min: float) -> None:
    """A machine with a hundred times too many shares floods the tap; with too few nobody knows what it does."""
    settings = Vardiff(shares_per_min=20, start=65_536, retarget_s=60)
    difficulty = rate_of(Varied(settings, None, 0.0), per_min, 30)
    assert difficulty == settings.least or 0.4 <= per_min / difficulty / 20 <= 2.5


def test_vardiff_begins_where_the_machine_is_expected() -> None:
    """Minutes of shares at a wrong difficulty, at every reconnect of every machine."""
    assert Varied(Vardiff(shares_per_min=20), 100.0, 0.0).difficulty == 65_536
    varied = Varied(Vardiff(shares_per_min=20), None, 0.0)
    assert varied.difficulty == 8_192
    varied.suggested(3_000, 0.0)
    assert varied.difficulty == 4_096
    varied.no_less(10_000)
    assert varied.difficulty == 10_000


def aggregate(directory: Path, pools: list[str], **tables: Any) -> Any:
    """A tap that aggregates."""
    return standing(directory, pools, how="aggregate", **{"vardiff": EASILY, **tables})


def test_many_machines_are_one_session(tmp_path: Path) -> None:
    """Work that is told apart wrongly is refused by the pool, or credited to a neighbour."""

    async def world() -> None:
        async with HonestPool() as pool, aggregate(tmp_path, [pool.url]) as tap, AsyncExitStack() as stack:
            miners = [await stack.enter_async_context(tap.miner(n)) for n in (1, 2, 3)]
            await asyncio.gather(*(miner.begin() for miner in miners))
            assert len([guest for guest in pool.guests if guest.users]) == 1
            (guest,) = (guest for guest in pool.guests if guest.users)
            assert {miner.extranonce1[:4] for miner in miners} == {guest.extranonce1}
            assert len({miner.extranonce1 for miner in miners}) == 3
            assert {miner.extranonce2_bytes for miner in miners} == {3}
            assert sorted(guest.users) == ["acct.m1", "acct.m2", "acct.m3"]
            for miner in miners:
                assert (await miner.submit())["result"] is True
                number = miner.say("mining.submit", miner.mined())
                assert (await miner.answer(number))["id"] == number
            pool.notify(clean=True)
            await asyncio.gather(*(m.until(lambda m=m: m.work == pool.work) for m in miners))
            assert (await miners[0].submit())["result"] is True
            assert not pool.bad
            assert len(pool.shares) == 7
            assert {worker for worker, _ in pool.shares} == {"acct.m1", "acct.m2", "acct.m3"}
            assert tap.tap.counted().shares.tolist() == [3, 2, 2, 0]

    asyncio.run(world())


def test_easy_shares_are_credited_here_and_hard_ones_go_on(tmp_path: Path) -> None:
    """A pool that gets every easy share cuts us off; one that gets no hard one pays nothing."""

    async def world() -> None:
        async with HonestPool() as pool:
            pool.difficulty = 64 * DIFFICULTY
            async with aggregate(tmp_path, [pool.url]) as tap, tap.miner() as miner:
                await miner.begin()
                assert miner.difficulty == DIFFICULTY
                easy = miner.mined(below=pool.difficulty)
                assert (await miner.submit(easy))["result"] is True
                assert (await miner.submit(easy))["error"][0] == 22
                assert not pool.shares
                assert (await miner.submit(miner.mined(difficulty=pool.difficulty)))["result"] is True
                assert len(pool.shares) == 1
                low = miner.mined(difficulty=1, below=DIFFICULTY)
                assert (await miner.submit(low))["error"][0] == 23
                counted = tap.tap.counted()
                assert (counted.shares[0], counted.work[0]) == (2, 2 * DIFFICULTY)
                assert counted.difficulty[0] == DIFFICULTY
                assert (counted.flawed[0, Flaw.DUPLICATE], counted.flawed[0, Flaw.LOW]) == (1, 1)
                assert not pool.bad
                # never harder than the pool asks
                pool.set_difficulty(DIFFICULTY / 4)
                await miner.until(lambda: miner.difficulty == DIFFICULTY / 4)

    asyncio.run(world())


def test_a_pool_that_gives_too_little_is_left_with_a_reason(tmp_path: Path) -> None:
    """Machines that share a prefix find each other's shares, and nobody would know why they are refused."""

    async def world() -> None:
        async with (
            HonestPool("a", extranonce2_bytes=2) as narrow,
            HonestPool("b") as wide,
            aggregate(tmp_path, [narrow.url, wide.url], failover={**QUICK, "return_after_s": 1_000}) as tap,
            tap.miner() as miner,
        ):
            await miner.begin()
            assert (await miner.submit())["result"] is True
            assert wide.shares
            assert "expected at least 2" in tap.told("pool narrow")[0]

    asyncio.run(world())


def test_a_dead_pool_is_replaced_under_the_machines(tmp_path: Path) -> None:
    """One connection for the whole site is one that may not be lost for long."""

    async def world() -> None:
        async with HonestPool("a") as first, HonestPool("b", extranonce2_bytes=6) as second:
            quick = {**QUICK, "return_after_s": 1_000}
            async with aggregate(tmp_path, [first.url, second.url], failover=quick) as tap:
                async with tap.miner(1) as modern, tap.miner(2) as old:
                    await modern.begin(rolls=True, extranonce=True)
                    await old.begin()
                    await modern.submit()
                    await first.close()
                    await asyncio.wait_for(old.ended.wait(), 5)
                    await modern.until(lambda: modern.work == second.work)
                    assert modern.extranonce2_bytes == 5
                    assert (await modern.submit())["result"] is True
                    assert not modern.ended.is_set()
                async with tap.miner(2) as old:
                    await old.begin()
                    assert (await old.submit())["result"] is True
                assert [worker for worker, _ in second.shares] == ["acct.m1", "acct.m2"]
                await second.close()
                async with tap.miner(3) as third:
                    await asyncio.wait_for(third.ended.wait(), 5)
                    assert tap.tap.status()["ended"]["no pool"] >= 1

    asyncio.run(world())


def test_an_aggregated_block_is_the_pools_own(tmp_path: Path) -> None:
    """A block with a wrong extranonce is no block."""

    async def world() -> None:
        async with HonestPool(nbits=EASY) as pool, aggregate(tmp_path, [pool.url]) as tap, tap.miner() as miner:
            await miner.begin()
            assert miner.work is not None
            for _ in range(40):
                await miner.submit()
                if pool.blocks:
                    break
            await met(lambda: tap.tap.status()["blocks"]["accepted"] == len(pool.blocks) >= 1)
            block = next(iter((tmp_path / "blocks" / "blocks.jsonl").read_bytes().splitlines()))
            assert pool.blocks[0].hex().encode() in block

    asyncio.run(world())


def test_a_foreign_worker_may_be_refused(tmp_path: Path) -> None:
    """On a shared session a hidden fee would be paid with our session's good name."""

    async def world() -> None:
        async with (
            HonestPool() as pool,
            aggregate(tmp_path, [pool.url], accounts=["acct"], foreign="refuse") as tap,
            tap.miner() as miner,
        ):
            await miner.begin()
            assert (await miner.ask("mining.authorize", ["devfee.x", "x"]))["error"][0] == 24
            assert (await miner.submit(["devfee.x", *miner.mined()[1:]]))["error"][0] == 24
            assert (await miner.ask("vendor.thing", [1]))["error"][0] == 20
            assert tap.tap.counted().flawed[0, Flaw.FOREIGN] == 1

    asyncio.run(world())
