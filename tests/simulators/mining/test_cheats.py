"""Cheats: each shows in the ground truth as planned, and at the pool as what it is."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from math import sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.mining.cheats import Cheat, Cheats, Trick
from simulators.mining.mined import Mined
from simulators.wire.pool_books import Cause
from tests.simulators.mining.conftest import ACCOUNT, DIFFICULTY, START_S, Dig

FEE = "shade.fee"
FEES_URL = "stratum+tcp://127.0.0.1:3335"
SHARE_TH = DIFFICULTY * 2**32 / 1e12
WORKER = f"{ACCOUNT}.luxos-1"

PLANS: list[tuple[Cheat, float, set[Cause], float]] = [
    (Cheat(Trick.FOREIGN, 0.05, worker=FEE), 0.95, set(), 0.05),
    (Cheat(Trick.AWAY, 0.05, worker=FEE, url=FEES_URL), 0.95, set(), 0.05),
    (Cheat(Trick.DUPLICATES, 0.2), 0.8, {Cause.DUPLICATE}, 0.0),
    (Cheat(Trick.LATE, 0.2), 0.8, {Cause.STALE}, 0.0),
    (Cheat(Trick.REPLAYS, 0.2, period_s=600.0), 0.8, {Cause.STALE, Cause.LOW}, 0.0),
    (Cheat(Trick.RENAMED, worker="hashwatt.luxos-9"), 1.0, set(), 0.0),
    (Cheat(Trick.RENAMED, worker=FEE), 0.0, set(), 1.0),
]


@pytest.mark.parametrize(("cheat", "delivered", "causes", "fee"), PLANS)
def test_each_cheat_costs_its_owner_what_the_plan_says(
    dig: Dig, virtually: Any, cheat: Cheat, delivered: float, causes: set[Cause], fee: float
) -> None:
    """If this fails, tests that look for a cheat look for one that is not there, or for another."""

    async def run() -> tuple[Mined, dict[str, tuple[float, dict[Cause, int]]]]:
        async with dig(cheats={1: (cheat,)}, speed=240.0) as world:
            await asyncio.sleep(45.0)
            assert world.mine is not None
            books: dict[str, tuple[float, dict[Cause, int]]] = {}
            for pool in world.pools.values():
                for name, book in pool.books.items():
                    work, refused = books.get(name, (0.0, {}))
                    books[name] = work + book.work, {**refused, **book.refused}
            return world.mine.mined(), books

    mined, books = virtually(run())
    assert mined.delivered[0] == pytest.approx(delivered, abs=0.012)
    working_th = float((mined.made_th - mined.idle_th)[0])
    owner = sum(work for name, (work, _) in books.items() if name.startswith(ACCOUNT)) * 2**32 / 1e12
    foreign = books.get(FEE, (0.0, {}))[0] * 2**32 / 1e12
    bound_th = 4.5 * sqrt(working_th / SHARE_TH) * SHARE_TH
    assert abs(owner - delivered * working_th) < bound_th + 0.012 * working_th
    assert abs(foreign - fee * working_th) < bound_th
    refused = {found: count for _, counts in books.values() for found, count in counts.items()}
    # a share of another session is low where a job of that number is still on
    assert set(refused) == causes
    if causes:
        filled = sum(refused.values()) * SHARE_TH / working_th
        assert filled == pytest.approx(1.0 - delivered, rel=0.25)
    if cheat.trick is Trick.RENAMED:
        assert WORKER not in books


def test_a_machine_does_not_count_what_it_gives_away(dig: Dig, virtually: Any) -> None:
    """If this fails, a hidden fee is in the machine's own counters, where its firmware would have left it out."""

    async def run() -> tuple[int, int, int]:
        cheats = {1: (Cheat(Trick.FOREIGN, 0.5, worker=FEE),)}
        async with dig(cheats=cheats, speed=120.0) as world:
            before = world.units[0].telemetry().accepted
            await asyncio.sleep(10.0)
            books = world.pools["pool"].books
            return world.units[0].telemetry().accepted - before, books[WORKER].shares, books[FEE].shares

    counted, ours, theirs = virtually(run())
    assert theirs > 100
    assert abs(counted - ours) <= 0.1 * ours


def test_heat_makes_errors(dig: Dig, virtually: Any) -> None:
    """If this fails, a hot machine loses nothing, or its errors are not seen by the firmware and at the pool."""

    async def run() -> tuple[Mined, float, int, int, float]:
        async with dig(cheats={1: (Cheat(Trick.HOT, 0.1),)}, speed=240.0) as world:
            before = world.units[0].telemetry().errors
            await asyncio.sleep(40.0)
            assert world.mine is not None
            book = world.pools["pool"].books[WORKER]
            unit = world.units[0].telemetry()
            return world.mine.mined(), book.work, book.refused[Cause.LOW], unit.errors - before, max(unit.chip_c)

    mined, work, low, errors, chip_c = virtually(run())
    lost = 1.0 - float(mined.delivered[0])
    assert 0.02 < lost < 0.3
    assert lost == pytest.approx(Cheats((Cheat(Trick.HOT, 0.1),)).error_share(START_S, chip_c), rel=0.6)
    assert work * 2**32 / 1e12 == pytest.approx(float(mined.owner_th[0]), rel=0.06)
    assert low > 5
    assert errors > 4 * low


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"trick": Trick.FOREIGN, "share": 0.05}, "no worker"),
        ({"trick": Trick.AWAY, "share": 0.05, "worker": FEE}, "no url"),
        ({"trick": Trick.LATE, "share": 0.0}, "above 0"),
        ({"trick": Trick.LATE, "share": 1.0}, "at most"),
    ],
)
def test_a_plan_that_cannot_be(fields: dict[str, Any], why: str) -> None:
    """If this fails, a cheat without what it needs does nothing and nobody knows."""
    with pytest.raises(ValueError, match=why):
        Cheat(**fields)


@given(
    share=st.floats(0.01, 0.9),
    period_s=st.floats(10.0, 10_000.0),
    begin_s=st.floats(0.0, 1e6),
    cuts=st.lists(st.floats(0.0, 1.0), max_size=6),
    length_s=st.floats(1.0, 1e5),
)
def test_time_elsewhere_adds_up(
    share: float, period_s: float, begin_s: float, cuts: list[float], length_s: float
) -> None:
    """If this fails, how much of the time a machine is away depends on how often somebody looks."""
    cheats = Cheats((Cheat(Trick.AWAY, share, worker=FEE, url=FEES_URL, period_s=period_s),))
    times = sorted({begin_s, begin_s + length_s, *(begin_s + cut * length_s for cut in cuts)})
    whole = cheats.away_share(times[0], times[-1]) * (times[-1] - times[0])
    parts = sum(cheats.away_share(a, b) * (b - a) for a, b in pairwise(times))
    assert parts == pytest.approx(whole, abs=1e-6 * (times[-1] + 1))
    assert abs(whole - share * length_s) <= period_s


def test_a_cheat_has_its_time() -> None:
    """If this fails, "since when" has no truth to be held against."""
    cheats = Cheats((Cheat(Trick.LATE, 0.1, from_s=100.0, until_s=200.0),))
    assert [cheats.useful(at_s, 60.0, ACCOUNT) for at_s in (99.0, 100.0, 199.0, 200.0)] == [1.0, 0.9, 0.9, 1.0]
