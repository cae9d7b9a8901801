"""What bad input gets: bounded, counted by cause, and the other machines do not notice."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from controllers.pool.door import Door
from controllers.pool.settings import Limits
from controllers.pool.wire import Allowance
from fleet.work.counted import Flaw
from tests.controllers.pool.conftest import HonestPool, Miner, met, standing


async def garbage(miner: Miner) -> None:
    """Lines that are no messages."""
    for line in (b"\x00\xff\xfe", b"{", b"[1,2]", b"null", b'{"id":1}', b"GET / HTTP/1.1", b'{"method":5}') * 3:
        miner.send(line + b"\n")


async def a_long_line(miner: Miner) -> None:
    """Ten megabytes without an end."""
    for _ in range(160):
        miner.send(b"a" * 65_536)
        await asyncio.sleep(0)
        if miner.ended.is_set():
            return


async def a_flood(miner: Miner) -> None:
    """As many submits as go through the wire."""
    await miner.begin()
    line = b'{"id":9,"method":"mining.submit","params":["acct.m1","j","00000000","00000000","00000000"]}\n'
    for _ in range(50):
        miner.send(line * 20_000)
        await asyncio.sleep(0)
        if miner.ended.is_set():
            return


BAD: list[tuple[Callable[[Miner], Awaitable[None]], str]] = [
    (garbage, "garbage"),
    (a_long_line, "line too long"),
    (a_flood, "too many messages"),
]


@pytest.mark.parametrize(("bad", "cause"), BAD, ids=[bad.__name__ for bad, _ in BAD])
@pytest.mark.parametrize("how", ["pass", "aggregate"])
def test_it_is_cut_off_by_cause_and_nobody_notices(
    tmp_path: Path, bad: Callable[[Miner], Awaitable[None]], cause: str, how: str
) -> None:
    """One broken machine, or one attacker, would take the site's income with it."""

    async def world() -> None:
        async with (
            HonestPool() as pool,
            standing(tmp_path, [pool.url], how=how, machines=8) as tap,
            tap.miner(2) as good,
            tap.miner(1) as evil,
        ):
            await good.begin()
            calm_s = await slowest(good, 10)
            task = asyncio.ensure_future(bad(evil))
            worst_s = 0.0
            async with asyncio.timeout(20):
                while not evil.ended.is_set():
                    worst_s = max(worst_s, await slowest(good, 1))
            task.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await task
            assert tap.tap.status()["ended"] == {cause: 1}
            # the evil one's sending happens in this very process: what it costs there is not the tap's
            assert worst_s < calm_s + 0.5
            assert tap.tap.counted().shares[1] > 10

    asyncio.run(world())


async def slowest(miner: Miner, shares: int) -> float:
    """The longest that an answer to a share took."""
    worst_s = 0.0
    for _ in range(shares):
        params = miner.mined()
        began_s = time.monotonic()
        assert (await miner.submit(params))["result"] is True
        worst_s = max(worst_s, time.monotonic() - began_s)
    return worst_s


def test_half_a_line_and_silence(tmp_path: Path) -> None:
    """Connections that say nothing are free for an attacker, and each holds two of our sockets."""

    async def world() -> None:
        limits = {"unauthorized_s": 0.5, "idle_s": 1_000}
        async with (
            HonestPool() as pool,
            standing(tmp_path, [pool.url], limits=limits) as tap,
            tap.miner(1) as half,
            tap.miner(2) as silent,
            tap.miner(3) as good,
            tap.miner(4) as stuck,
        ):
            await good.begin()
            await stuck.begin()
            half.send(b'{"id":1,"method":"mining.sub')
            stuck.send(b'{"id":1,"method":"mining.sub')
            await asyncio.gather(*(asyncio.wait_for(m.ended.wait(), 10) for m in (half, silent, stuck)))
            assert not good.ended.is_set()
            ended = tap.tap.status()["ended"]
            assert ended["idle"] >= 1
            assert sum(ended.values()) == 3
            assert (await good.submit())["result"] is True

    asyncio.run(world())


def test_who_does_not_read_is_cut_off(tmp_path: Path) -> None:
    """Answers that nobody reads pile up in our memory, a machine at a time."""

    async def world() -> None:
        async with (
            HonestPool() as pool,
            standing(tmp_path, [pool.url]) as tap,
            tap.miner() as slow,
            tap.miner(2) as good,
        ):
            await slow.begin()
            await good.begin()
            assert slow._task is not None
            slow._task.cancel()
            assert slow._writer is not None
            slow._writer.transport.pause_reading()
            for at in range(20_000):
                pool.notify()
                if at % 50 == 0:
                    await asyncio.sleep(0)
                if tap.tap.status()["ended"]:
                    break
            assert tap.tap.status()["ended"] == {"does not read": 1}
            assert (await good.submit())["result"] is True

    asyncio.run(world())


@pytest.mark.parametrize("how", ["pass", "aggregate"])
def test_jobs_that_never_end(tmp_path: Path, how: str) -> None:
    """A pool that sends jobs and ends none of them would fill our memory with them."""

    async def world() -> None:
        async with HonestPool() as pool, standing(tmp_path, [pool.url], how=how) as tap, tap.miner() as miner:
            await miner.begin()
            for _ in range(300):
                pool.notify()
            await miner.until(lambda: miner.work == pool.work)
            first = miner.work
            for _ in range(20):
                pool.notify()
            await miner.until(lambda: miner.work == pool.work)
            gc.collect()
            books = [found for found in gc.get_objects() if type(found).__name__ == "JobBook" and len(found)]
            assert books
            assert all(len(book) <= 8 for book in books)
            miner.say("mining.submit", miner.mined(work=first))
            await met(lambda: tap.tap.counted().flawed[0, Flaw.STALE] == 1)
            assert (await miner.submit())["result"] is True

    asyncio.run(world())


def test_a_pool_that_lies_about_difficulty(tmp_path: Path) -> None:
    """A pool that wants more than it says takes the difference, and the machine looks slow."""

    async def world() -> None:
        async with HonestPool() as pool, standing(tmp_path, [pool.url]) as tap, tap.miner() as miner:
            await miner.begin()
            for guest in pool.guests:
                guest.difficulty *= 1_000_000
            assert (await miner.submit())["error"][0] == 23
            counted = tap.tap.counted()
            assert (counted.shares[0], counted.flawed[0, Flaw.REFUSED]) == (1, 1)
            assert any("too easy that meets" in cause for cause in tap.tap.status()["counts"])
            for absurd in (b"0", b"-1", b"1e999", b"null", b'"much"', b"[]"):
                for guest in pool.guests:
                    guest.writer.write(b'{"id":null,"method":"mining.set_difficulty","params":[' + absurd + b"]}\n")
            for guest in pool.guests:
                guest.difficulty /= 1_000_000
            assert (await miner.submit())["result"] is True
            assert tap.tap.status()["counts"]["unread from pools"] >= 5

    asyncio.run(world())


def test_garbage_from_a_pool_ends_its_session_alone(tmp_path: Path) -> None:
    """A pool's broken front end would be every machine's."""

    async def world() -> None:
        async with (
            HonestPool() as pool,
            standing(tmp_path, [pool.url]) as tap,
            tap.miner(1) as one,
            tap.miner(2) as two,
        ):
            await one.begin()
            await two.begin()
            guest = next(guest for guest in pool.guests if guest.users == ["acct.m1"])
            guest.writer.write(b"\xff\xfe garbage\n" * 50)
            await asyncio.wait_for(one.ended.wait(), 5)
            assert b"garbage" not in one.heard
            assert (await two.submit())["result"] is True
            two_guest = next(guest for guest in pool.guests if guest.users == ["acct.m2"])
            two_guest.writer.write(b"x" * 400_000)
            await asyncio.wait_for(two.ended.wait(), 5)
            counts = tap.tap.status()["counts"]
            assert counts["pool connections ended: garbage"] == counts["pool connections ended: line too long"] == 1

    asyncio.run(world())


def test_a_flood_of_connections(tmp_path: Path) -> None:
    """Connections cost nothing to open; each that is let in costs a connection to the pool."""

    async def world() -> None:
        limits = {"connections": 6, "connections_per_address": 3, "attempts_per_address_per_min": 40}
        async with HonestPool() as pool, standing(tmp_path, [pool.url], limits=limits) as tap, tap.miner(2) as good:
            await good.begin()
            async with AsyncExitStack() as stack:
                for _ in range(60):
                    await stack.enter_async_context(tap.miner(1))
                assert (await good.submit())["result"] is True
                status = tap.tap.status()
                assert status["connections"] == 4
                assert status["turned_away"] == {"too many connections of one address": 37, "too many attempts": 20}
                assert len(pool.guests) <= 5
                extra = [await stack.enter_async_context(tap.miner(n)) for n in (3, 3, 4)]
                await asyncio.wait_for(extra[2].ended.wait(), 5)
                assert tap.tap.status()["turned_away"]["too many connections"] == 1
            await met(lambda: tap.tap.status()["connections"] == 1)

    asyncio.run(world())


def test_a_door_forgets_whom_it_need_not_know() -> None:
    """A list of everybody who ever knocked grows for as long as somebody knocks."""
    door = Door(Limits())
    for number in range(70_000):
        assert door.admits(str(number), 0.0)
        door.left(str(number))
        if number == 10:
            assert len(door._allowances) == 11
    assert len(door._allowances) == 65_536
    assert not door.inside


def test_an_allowance_is_a_rate_and_a_burst() -> None:
    """A machine that sends its shares in bunches is no flood; one that never stops is."""
    allowance = Allowance(10, 5.0, 0.0)
    assert allowance.take(50, 0.0)
    assert not allowance.take(1, 0.0)
    assert allowance.take(10, 1.0)
    assert not allowance.take(60, 100.0)
    assert allowance.take(50, 100.0)
