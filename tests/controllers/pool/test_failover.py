"""Pools come and go: machines are with the best that is well, and with their own second pool when the tap is gone."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import tomli_w

from controllers.pool.pools import Pools
from controllers.pool.settings import Failover, PoolTable
from tests.controllers.pool.conftest import SCALE, HonestPool, Miner, met, standing

HASHWATT = (sys.executable, "-P", "-c", "import sys; from controllers.cli import main; sys.exit(main())")
SILENT_S = 5.0
"""The least that the site file takes."""
SWEPT_OFTEN = {"unauthorized_s": 1}
"""What waits for too long is looked for twice as often as the shortest of such limits."""
QUICK = {"back_off_s": 0.05, "back_off_most_s": 0.1, "probe_s": 0.05, "return_after_s": 0.2}


def pools(count: int, **failover: float) -> Pools:
    """The bookkeeping of so many pools."""
    tables = tuple(PoolTable(url=f"stratum+tcp://p{n}:1") for n in range(count))
    return Pools(tables, Failover(**failover))


def test_the_first_pool_that_is_well_is_used() -> None:
    """Machines on the second pool while the first is well earn for the wrong account."""
    book = pools(3)
    assert book.candidates(0) == [0, 1, 2]
    assert not book.able
    assert book.served(0, 0)
    assert book.failed(0, "gone", 10)
    assert book.candidates(10) == [1, 2]
    assert book.served(1, 10)
    assert book.candidates(12) == [1, 0, 2]


def test_a_pool_that_fails_again_is_left_alone_for_longer() -> None:
    """Ten thousand machines that knock at a pool's door every second keep it from coming back."""
    book = pools(1, back_off_s=1, back_off_most_s=10)
    waits = []
    now_s = 0.0
    for _ in range(6):
        book.failed(0, "gone", now_s)
        waits.append(book.states[0].until_s - now_s)
        now_s = book.states[0].until_s
    assert waits == [1, 2, 4, 8, 10, 10]


def test_many_failures_at_once_are_one() -> None:
    """A pool that drops ten thousand connections at once would be left alone for the longest time at once."""
    book = pools(1, back_off_s=1)
    for _ in range(10_000):
        book.failed(0, "gone", 0.0)
    assert book.states[0].until_s == 1


def test_a_pool_is_returned_to_when_it_has_been_well_for_a_while() -> None:
    """A pool that comes and goes would drag every machine to and fro, at a restart's cost each."""
    book = pools(2, return_after_s=100)
    book.served(0, 0)
    book.failed(0, "gone", 0)
    book.served(1, 0)
    book.well(0, 10)
    assert not book.returned(109)
    book.failed(0, "gone again", 110)
    book.well(0, 120)
    assert not book.returned(219)
    assert book.returned(220)
    assert book.in_use == 0


def test_the_next_pool_takes_over_when_one_dies(tmp_path: Path) -> None:
    """A pool's outage would be the site's."""

    async def world() -> None:
        async with (
            HonestPool("a") as first,
            HonestPool("b") as second,
            standing(tmp_path, [first.url, second.url], failover=QUICK) as tap,
            tap.miner() as miner,
        ):
            await miner.begin()
            assert (await miner.submit())["result"] is True
            await first.close()
            # this machine takes no other extranonce: it is cut off, and comes again
            await asyncio.wait_for(miner.ended.wait(), 5)
            async with tap.miner() as again:
                await again.begin()
                assert (await again.submit())["result"] is True
                assert second.shares
                assert tap.tap.counted().shares[0] == 2
                assert tap.told("pool")[-1] == f"in use: {second.url}"

    asyncio.run(world())


def test_a_machine_that_takes_another_extranonce_stays_connected(tmp_path: Path) -> None:
    """A reconnect costs a machine seconds to minutes of hashing, and firmware that can do without should."""

    async def world() -> None:
        async with HonestPool("a") as first, HonestPool("b", extranonce2_bytes=6) as second:
            quick = {**QUICK, "return_after_s": 0.5}
            await first.close()
            async with standing(tmp_path, [first.url, second.url], failover=quick) as tap, tap.miner() as miner:
                await miner.begin(rolls=True, extranonce=True)
                assert miner.extranonce2_bytes == 6
                await first.open()
                # it is moved back to the first pool, on the same connection
                await miner.until(lambda: miner.extranonce2_bytes == 4 and miner.work == first.work)
                assert (await miner.submit())["result"] is True
                assert first.shares
                assert not miner.ended.is_set()
                assert "mining.set_version_mask" in [notice["method"] for notice in miner.notices]
                assert tap.told("pool")[-1] == f"back to {first.url}"

    asyncio.run(world())


def test_without_a_pool_a_machine_is_sent_away_at_once(tmp_path: Path) -> None:
    """A machine that waits at the tap for a pool that is not there does not go to its second one."""

    async def world() -> None:
        async with standing(tmp_path, ["stratum+tcp://127.0.0.1:9"]) as tap, tap.miner() as miner:
            await asyncio.wait_for(miner.ended.wait(), 5)
            assert tap.tap.status()["ended"] == {"no pool": 1}
            # nothing is expected of a machine that nobody could serve
            assert not tap.tap.counted().exposure.any()

    asyncio.run(world())


def test_a_pool_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    """client.reconnect is how a thief between pool and site takes the hashes."""

    async def world() -> None:
        async with HonestPool() as pool, standing(tmp_path, [pool.url]) as tap, tap.miner() as miner:
            await miner.begin()
            guest = next(guest for guest in pool.guests if guest.users)
            guest.say({"id": None, "method": "client.reconnect", "params": ["thief.example", 3333, 0]})
            await asyncio.wait_for(miner.ended.wait(), 5)
            assert b"thief" not in miner.heard
            assert tap.tap.status()["counts"]["reconnects asked by pools"] == 1

    asyncio.run(world())


@pytest.mark.parametrize("how", ["pass", "aggregate"])
def test_a_pool_that_falls_silent_is_left(tmp_path: Path, how: str) -> None:
    """A pool behind a firewall that forgot the connection takes no work and says nothing."""

    async def world() -> None:
        async with HonestPool("a") as first, HonestPool("b") as second:
            quick = {**QUICK, "connect_s": 0.5, "silent_s": SILENT_S, "return_after_s": 1_000}
            pools = [first.url, second.url]
            async with (
                standing(tmp_path, pools, how=how, failover=quick, limits=SWEPT_OFTEN) as tap,
                tap.miner() as miner,
            ):
                await miner.begin()
                assert (await miner.submit())["result"] is True
                first.silent = True
                said_s = time.monotonic()
                await asyncio.wait_for(miner.ended.wait(), 3 * SILENT_S)
                # not sooner than it may be silent
                assert time.monotonic() - said_s > SILENT_S - 0.1
                assert tap.told("pool lost") == [f"{first.url}: it says nothing"]
                assert tap.tap.status()["counts"]["pool connections ended: says nothing"] == 1
                # it takes connections as before, and says nothing on them either
                async with tap.miner() as again:
                    await again.begin()
                    assert (await again.submit())["result"] is True
                    await met(lambda: tap.told("pool failed") == [f"{first.url}: no answer within 0.5 s"])
                    assert tap.tap.status()["pools"][1]["in_use"]
                assert (len(first.shares), len(second.shares)) == (1, 1)

    asyncio.run(world())


@pytest.mark.parametrize("how", ["pass", "aggregate"])
def test_a_pool_that_takes_connections_and_nothing_else_is_left(tmp_path: Path, how: str) -> None:
    """Until the tap says that it is gone, machines wait for a session that never begins."""

    async def world() -> None:
        async with HonestPool("a") as first, HonestPool("b") as second:
            first.silent = True
            slow = {**QUICK, "connect_s": 1, "back_off_s": 60, "back_off_most_s": 60}
            pools = [first.url, second.url]
            async with standing(tmp_path, pools, how=how, failover=slow, limits={"idle_s": 1}) as tap:
                async with tap.miner() as early:
                    # it comes before the tap's own look at the pool is over
                    asking = asyncio.create_task(early.begin())
                    await met(lambda: f"{first.url}: it does not answer" in tap.told("pool failed"), 10)
                    await asyncio.gather(asking, return_exceptions=True)
                async with tap.miner() as miner:
                    await miner.begin()
                    assert (await miner.submit())["result"] is True
                assert tap.told("pool") == [f"in use: {second.url}"]
                assert (first.shares, len(second.shares)) == ([], 1)

    asyncio.run(world())


def test_a_pool_that_speaks_now_and_then_is_kept(tmp_path: Path) -> None:
    """A quiet pool that is left costs every machine a reconnect, again and again."""

    async def world() -> None:
        async with HonestPool("a") as first, HonestPool("b") as second:
            quick = {**QUICK, "silent_s": SILENT_S}
            async with (
                standing(tmp_path, [first.url, second.url], failover=quick, limits=SWEPT_OFTEN) as tap,
                tap.miner() as miner,
            ):
                await miner.begin()
                for _ in range(2):
                    with suppress(TimeoutError):
                        await asyncio.wait_for(miner.ended.wait(), 0.7 * SILENT_S)
                    job = first.notify()
                    await miner.until(lambda job=job: miner.work == job or miner.ended.is_set())
                    assert not miner.ended.is_set()
                assert tap.told("pool lost") == []

    asyncio.run(world())


def site_file(folder: Path, port: int, url: str) -> Path:
    """A site with a tap of its own process."""
    tap = {"listen": f"127.0.0.1:{port}", "pools": [{"url": url}], "apart": True, "simulated_scale": SCALE}
    machine = {"id": "m1", "model": "Antminer S19k Pro", "dialect": "luxos", "host": "127.0.1.1"}
    site = {"name": "t", "tariff": {"kind": "fixed", "usd_mwh": 60}, "machines": [machine], "tap": tap}
    path = folder / "site.toml"
    path.write_text(tomli_w.dumps(site))
    return path


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_when_the_tap_ends_machines_know_at_once(tmp_path: Path, how: signal.Signals) -> None:
    """A machine that holds on to a dead tap hashes for nobody until its own time-out, which may be minutes."""

    async def world() -> None:
        async with HonestPool() as pool, HonestPool("second") as second:
            probe = await asyncio.start_server(lambda _, __: None, "127.0.0.1", 0)
            port = probe.sockets[0].getsockname()[1]
            probe.close()
            path = site_file(tmp_path, port, pool.url)
            log = (tmp_path / "log").open("wb")
            tap = await asyncio.create_subprocess_exec(*HASHWATT, "tap", "--site", str(path), stdout=log, stderr=log)
            try:
                miner = Miner(port, address="127.0.1.1")

                async def connected() -> None:
                    async with asyncio.timeout(20):
                        while True:
                            with suppress(ConnectionError):
                                return await miner.connect()
                            await asyncio.sleep(0.05)

                await connected()
                await miner.begin()
                assert (await miner.submit())["result"] is True
                began_s = time.monotonic()
                os.kill(tap.pid, how)
                await asyncio.wait_for(miner.ended.wait(), 5)
                # its second pool, which is not the tap
                fallen = Miner(second.port, address="127.0.1.1")
                async with fallen:
                    await fallen.begin()
                    assert (await fallen.submit())["result"] is True
                assert time.monotonic() - began_s < 3
                await miner.close()
                await met(lambda: not any(guest.users for guest in pool.guests))
                code = await asyncio.wait_for(tap.wait(), 10)
                assert code == (0 if how is signal.SIGTERM else -signal.SIGKILL)
            finally:
                if tap.returncode is None:
                    tap.kill()
                    await tap.wait()
                log.close()

    asyncio.run(world())
