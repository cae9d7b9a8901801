"""What holds of all three readers of shares, whatever machines, pools and taps say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.work.counted import Counted, Flaw
from fleet.work.pool_told import PoolTold
from fleet.work.proof.counters import observe
from fleet.work.proof.evidence import Evidence, Verdict, delivered
from fleet.work.proof.pooled import observe_pool
from fleet.work.proof.proven import efficiency
from fleet.work.proof.share_check import ShareCheck
from fleet.work.proof.tapped import observe_counted

NUMBERS = st.sampled_from([float("nan"), float("inf"), -float("inf"), 0.0, -1.0, 1e-300, 1e300]) | st.floats(0, 1e7)


@dataclass(frozen=True)
class Said:
    """One moment of one machine: what it claims, and what was counted of it by then."""

    wait_s: float
    claim_ths: float
    shares: float
    difficulty: float
    power_w: float = 3_000.0
    uptime_s: float = float("nan")
    late_s: float = 0.0


SAID = st.builds(
    Said,
    wait_s=st.sampled_from([0.0, 10.0, 60.0, 4_000.0]),
    claim_ths=NUMBERS,
    shares=NUMBERS,
    difficulty=NUMBERS,
    power_w=NUMBERS,
    uptime_s=NUMBERS,
    late_s=st.sampled_from([0.0, 3.0, 500.0, float("nan")]),
)

Reader = Callable[[Evidence, ShareCheck, float, Said], Evidence]


def by_counters(evidence: Evidence, check: ShareCheck, at_s: float, said: Said) -> Evidence:
    """The machine's own counter."""
    return observe(
        evidence,
        check,
        heard_s=np.array([at_s]),
        claimed_ths=np.array([said.claim_ths]),
        accepted_difficulty=np.array([said.shares * said.difficulty]),
        share_difficulty=np.array([said.difficulty]),
        uptime_s=np.array([said.uptime_s]),
        power_w=np.array([said.power_w]),
    )


def by_pool(evidence: Evidence, check: ShareCheck, at_s: float, said: Said) -> Evidence:
    """The pool's counter or, for odd numbers of shares, its average."""
    counts = said.shares % 2 != 1
    work, rate = (said.shares * said.difficulty, np.nan) if counts else (np.nan, said.shares)
    told = PoolTold(*(np.array([value]) for value in (at_s - said.late_s, work, rate, 60.0)))
    return observe_pool(
        evidence,
        check,
        heard_s=np.array([at_s]),
        claimed_ths=np.array([said.claim_ths]),
        told=told,
        share_difficulty=np.array([said.difficulty]),
        uptime_s=np.array([said.uptime_s]),
        power_w=np.array([said.power_w]),
    )


def by_tap(evidence: Evidence, check: ShareCheck, at_s: float, said: Said) -> Evidence:
    """The tap, whose numbers may be nonsense too, as far as this module is concerned."""
    one = np.array([said.shares])
    counted = Counted(
        at_s=at_s, epoch=1, shares=one, work=one, exposure=np.array([said.difficulty]), away_s=np.zeros(1),
        connected=np.ones(1, np.bool_), last_s=one, difficulty=np.array([said.difficulty]),
        flawed=np.zeros((1, len(Flaw))), foreign_work=np.zeros(1), best=np.zeros(1),
    )  # fmt: skip
    return observe_counted(
        evidence,
        check,
        heard_s=np.array([at_s]),
        claimed_ths=np.array([said.claim_ths]),
        counted=counted,
        uptime_s=np.array([said.uptime_s]),
        power_w=np.array([said.power_w]),
    )


READERS = pytest.mark.parametrize("reader", [by_counters, by_pool, by_tap])


@READERS
@given(tale=st.lists(SAID, max_size=12))
@pytest.mark.filterwarnings("ignore:invalid value|overflow|divide")
def test_nonsense_does_not_leak(reader: Reader, tale: list[Said]) -> None:
    """One absurd number would leave NaN or a negative count in a machine's test for ever, and it could hide behind that."""
    evidence, at_s = Evidence.nothing(1), 1_000.0
    for said in tale:
        at_s += said.wait_s
        evidence = reader(evidence, ShareCheck(), at_s, said)
        for name in ("score", "limit", "run_shares", "run_expected", "shares", "expected", "total_shares"):
            value = getattr(evidence, name)[0]
            assert np.isfinite(value), name
            assert value >= 0, name
        assert np.isfinite(evidence.first[0])
        assert np.isfinite(evidence.claimed_work[0])
    # and honest minutes afterwards are booked
    start_s, difficulty = at_s + 10_000.0, 65_536.0
    for minute in range(12):
        shares = 1e6 + 21.0 * minute
        said = Said(60.0, 100.0, 2 * shares, difficulty)
        if reader is by_tap:  # its exposure grows by a minute over the difficulty
            said = Said(60.0, 100.0, shares, 1e3 + minute * 60.0 / difficulty)
        evidence = reader(evidence, ShareCheck(), start_s + 60.0 * minute, said)
    assert evidence.booked_s[0] >= start_s + 10 * 60.0
    assert np.isfinite(evidence.total_expected[0])


@READERS
@given(times=st.floats(1e-3, 1e3), counts=st.lists(st.integers(0, 40), min_size=3, max_size=20))
def test_scale(reader: Reader, times: float, counts: list[int]) -> None:
    """A machine twice as large at twice the difficulty would get another verdict for the same shares."""
    if reader is by_tap:
        return  # its difficulty is in its exposure, which the claim multiplies: `test_tapped` holds that
    plain, scaled, at_s, total = Evidence.nothing(1), Evidence.nothing(1), 0.0, 0.0
    for count in counts:
        at_s, total = at_s + 60.0, total + 2 * count
        plain = reader(plain, ShareCheck(), at_s, Said(60.0, 100.0, total, 65_536.0))
        scaled = reader(scaled, ShareCheck(), at_s, Said(60.0, 100.0 * times, total, 65_536.0 * times))
    for name in ("score", "first", "shares", "expected", "total_expected", "jumps"):
        assert getattr(scaled, name)[0] == pytest.approx(getattr(plain, name)[0], rel=1e-6, abs=1e-6), name
    assert scaled.verdict[0] == plain.verdict[0]


@READERS
def test_honest_and_short_by_each(reader: Reader) -> None:
    """A source would not tell an honest machine from one that lacks a fifth, or joules per hash be missing where power is."""
    dice, due = np.random.default_rng(8), 21.33  # shares a minute of 100 TH/s at this difficulty
    for rate, verdict in ((1.0, Verdict.HONEST), (0.8, Verdict.SHORT)):
        evidence, counted, exposure = Evidence.nothing(1), 0.0, 0.0
        for minute in range(600):
            shown = Said(60.0, 100.0, counted, exposure) if reader is by_tap else Said(60.0, 100.0, counted, 65_536.0)
            evidence = reader(evidence, ShareCheck(), 60.0 * minute, shown)
            more = float(dice.poisson(rate * due))
            counted += more
            exposure += 60.0 / 65_536.0
            if reader is by_pool and counted % 2 == 1:
                counted += 1.0 - 2.0 * (minute % 2)  # an even number: a counter
        assert evidence.verdict[0] == verdict
        found, cost = delivered(evidence), efficiency(evidence, 0.01)
        assert found.low[0] < rate < found.high[0]
        assert cost.low[0] < 30.0 / rate < cost.high[0]


@READERS
@pytest.mark.parametrize("by_s", [-50_000.0, 7.5, 50_000.0])
def test_a_clock_that_steps(reader: Reader, by_s: float) -> None:
    """A step of the clock would be hours without a share, or hours in which nothing may be booked."""
    plain, stepped, total, exposure = Evidence.nothing(1), Evidence.nothing(1), 0.0, 0.0
    for minute in range(20):
        if minute == 10:
            stepped = stepped.shifted(by_s)
        said = Said(60.0, 100.0, total, exposure) if reader is by_tap else Said(60.0, 100.0, total, 65_536.0)
        plain = reader(plain, ShareCheck(), 60.0 * minute, said)
        stepped = reader(stepped, ShareCheck(), 60.0 * minute + (by_s if minute >= 10 else 0.0), said)
        total, exposure = total + 20.0, exposure + 60.0 / 65_536.0
    assert plain.total_expected[0] > 300
    for name in ("total_shares", "total_expected", "score", "first", "limit", "used_j"):
        assert getattr(stepped, name)[0] == pytest.approx(getattr(plain, name)[0], rel=1e-6), name
    for name in stepped.TIMES:
        assert getattr(stepped, name)[0] == pytest.approx(getattr(plain.shifted(by_s), name)[0], nan_ok=True), name
