"""Audits: many shares from one machine for some minutes, within what it and the site can bear, and then let go."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from controllers.clock import Clock
from controllers.pool.audit import Audits, planned
from controllers.pool.settings import AuditBounds
from controllers.pool.share_log import RECORD_BYTES, prove, read
from fleet.machine import SLEEP_NAME, Mode
from fleet.units import HASHES_PER_DIFFICULTY
from fleet.work.counted import Flaw
from tests.controllers.pool.conftest import DIFFICULTY, SCALE, HonestPool, met, roster_of, standing

NOMINAL = 100e12 * 60 / HASHES_PER_DIFFICULTY


@pytest.mark.parametrize(
    ("dialect", "asked", "difficulty", "why"),
    [
        ("luxos", 600, 4_096, "as asked"),
        ("luxos", None, 4_096, "as asked"),
        ("luxos", 5_000, 2_048, "most_shares_per_min"),
        ("whatsminer-v3", 1_000, 4_096, "assumed"),
        ("asic-rs", 1_000, 4_096, "nothing is known"),
        ("luxos", 1, 2.0**21, "as asked"),
    ],
)
def test_a_plan_keeps_within_bounds(dialect: str, asked: float | None, difficulty: float, why: str) -> None:
    """Firmware that gets a difficulty that it cannot take stops hashing, and the audit costs what it should prove."""
    machine = replace(roster_of(1).machines[0], dialect=dialect)
    found, rate, because = planned(machine, AuditBounds(), asked)
    assert found == difficulty
    assert rate == pytest.approx(NOMINAL / difficulty)
    assert rate <= (600 if asked is None else asked)
    assert why in because


def test_a_machine_without_a_rate_cannot_be_audited() -> None:
    """Without an expected rate any difficulty is a guess, and a low one is a flood."""
    machine = replace(roster_of(1).machines[0], modes=(Mode(SLEEP_NAME, 1, 0), Mode("normal", 2, 0)))
    with pytest.raises(LookupError, match="no nominal hash rate"):
        planned(machine, AuditBounds(), None)


def test_the_site_bears_only_so_many() -> None:
    """Ten audits at once are ten times the shares, on the connection that all machines need."""
    wishes: dict[int, float] = {}
    changed: list[int] = []
    now_s = 0.0
    bounds = AuditBounds(at_once=2, site_shares_per_s=12, for_s=60)
    audits = Audits(roster_of(4), bounds, wishes, lambda: now_s, changed.append)
    audits.begin(0, 340, None)
    with pytest.raises(LookupError, match="site_shares_per_s"):
        audits.begin(1, 1_000, None)
    audits.begin(1, 340, 600)
    with pytest.raises(LookupError, match="at_once"):
        audits.begin(2, 10, None)
    audits.begin(1, 20, 600)
    assert sorted(wishes) == [0, 1]
    now_s = 61.0
    audits.sweep()
    assert (sorted(wishes), audits.done) == ([1], 1)
    assert audits.end(1)
    assert not audits.end(1)
    assert changed == [0, 1, 1, 0, 1]


def test_an_audit_asks_more_and_the_pool_gets_its_own(tmp_path: Path) -> None:
    """Easy shares that reach the pool are refused by it; hard ones that do not are not paid."""

    async def world() -> None:
        async with HonestPool() as pool:
            pool.difficulty = 2.0**17
            clock = Clock(speed=600.0)
            async with (
                standing(tmp_path, [pool.url], clock=clock, simulated_scale=SCALE) as tap,
                tap.miner() as miner,
            ):
                await miner.begin()
                assert miner.difficulty == pool.difficulty
                audit = tap.tap.audit("m1", 1_000, 3_600)
                assert audit["difficulty"] == 2_048
                await miner.until(lambda: miner.difficulty == 2_048)
                # firmware takes a difficulty with the next job
                pool.notify(clean=True)
                await miner.until(lambda: miner.work == pool.work)
                pool_asks = pool.difficulty
                for _ in range(5):
                    assert (await miner.submit(miner.mined(below=pool_asks)))["result"] is True
                assert not pool.shares
                assert not pool.bad
                assert (await miner.submit(miner.mined(difficulty=1, below=2_048)))["error"][0] == 23
                assert (await miner.submit(miner.mined(difficulty=pool_asks)))["result"] is True
                assert len(pool.shares) == 1
                counted = tap.tap.counted()
                assert (counted.shares[0], counted.work[0]) == (6, 6 * 2_048)
                assert (counted.difficulty[0], counted.flawed[0, Flaw.LOW]) == (2_048, 1)
                # the pool's word in between is not passed on, and is in force when the audit is over
                pool.set_difficulty(2.0**16)
                pool.notify()
                await miner.until(lambda: miner.work == pool.work)
                assert miner.difficulty == 2_048
                await met(lambda: not tap.tap.status()["audits"])
                await miner.until(lambda: miner.difficulty == 2.0**16)
                logged = b"".join(path.read_bytes() for path in tap.tap.share_log("m1"))
                proved = prove(logged, scale=SCALE)
                assert (proved.shares, proved.work, proved.bad) == (6, 6 * 2_048, 0)

    asyncio.run(world())


def test_an_audit_outlives_a_lost_connection(tmp_path: Path) -> None:
    """A machine that could end its audit by reconnecting would."""

    async def world() -> None:
        async with HonestPool() as pool:
            pool.difficulty = 2.0**17
            async with standing(tmp_path, [pool.url]) as tap:
                async with tap.miner() as miner:
                    await miner.begin()
                    tap.tap.audit("m1", 600, 3_600)
                    await miner.until(lambda: miner.difficulty == 4_096)
                async with tap.miner() as miner:
                    await miner.begin()
                    assert miner.difficulty == 4_096
                    assert (await miner.submit())["result"] is True
                    assert tap.tap.end_audit("m1")
                    await miner.until(lambda: miner.difficulty == 2.0**17)
                await met(lambda: not tap.tap.counted().connected[0])
                with pytest.raises(LookupError, match="no connection"):
                    tap.tap.audit("m1")
                with pytest.raises(LookupError, match="expected an id"):
                    tap.tap.audit("m99")

    asyncio.run(world())


def test_an_audit_of_an_aggregated_machine(tmp_path: Path) -> None:
    """A machine is no less suspect for sharing its connection."""

    async def world() -> None:
        async with HonestPool() as pool:
            pool.difficulty = 2.0**17
            vardiff = {"start": 2.0**15, "shares_per_min": NOMINAL / 2**15}
            async with (
                standing(tmp_path, [pool.url], how="aggregate", vardiff=vardiff) as tap,
                tap.miner() as miner,
            ):
                await miner.begin()
                assert miner.difficulty == 2.0**15
                tap.tap.audit("m1", 600, 3_600)
                await miner.until(lambda: miner.difficulty == 4_096)
                tap.tap.end_audit("m1")
                await miner.until(lambda: miner.difficulty == 2.0**15)

    asyncio.run(world())


def test_a_share_log_is_bounded_and_proves_itself(tmp_path: Path) -> None:
    """A log that grows without end fills the disk; one that cannot be checked proves nothing."""

    async def world() -> None:
        async with (
            HonestPool() as pool,
            standing(tmp_path, [pool.url], share_log_mb=10 * RECORD_BYTES / 1e6) as tap,
            tap.miner() as miner,
        ):
            await miner.begin()
            tap.tap.watch("m1", 600)
            for _ in range(23):
                await miner.submit()
            paths = tap.tap.share_log("m1")
            data = b"".join(path.read_bytes() for path in paths)
            assert len(data) <= 10 * RECORD_BYTES
            proved = prove(data, scale=SCALE)
            # the newest, without a gap: the older file is full
            assert (proved.shares, proved.bad, proved.repeated) == (8, 0, 0)
            assert proved.work == 8 * DIFFICULTY
            later = list(read(data))[3].at_s
            assert prove(data, scale=SCALE, since_s=later).shares == 5
            # what was made up, or counted twice, is found
            spoilt = data[:76] + b"\xff\xff\xff\xff" + data[80:]
            assert prove(spoilt + data[:RECORD_BYTES] + data[RECORD_BYTES : 2 * RECORD_BYTES], scale=2.0**-20).bad >= 7
            assert prove(data + data, scale=SCALE).repeated == 8
            assert prove(data + b"half", scale=SCALE) == proved

    asyncio.run(world())
