"""What a pool's API tells held against claims: counters and windows, each share once, late and in lumps."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from fleet.work.pool_told import PoolTold
from fleet.work.proof.evidence import WORK_PER_THS_S, Evidence, Verdict, delivered
from fleet.work.proof.pooled import observe_pool
from fleet.work.proof.share_check import ShareCheck

CLAIM_THS = 100.0
DIFFICULTY = 65_536.0
WORK_S = CLAIM_THS * WORK_PER_THS_S
NAN = float("nan")


def told(at_s: float, work: float = NAN, rate_ths: float = NAN, window_s: float = NAN) -> PoolTold:
    """What a pool said of one worker."""
    return PoolTold(*(np.array([value]) for value in (at_s, work, rate_ths, window_s)))


@dataclass
class Pooled:
    """One machine that is heard every ten seconds, and its pool."""

    check: ShareCheck = field(default_factory=lambda: ShareCheck(pool_delay_s=0))
    evidence: Evidence = field(default_factory=lambda: Evidence.nothing(1))
    at_s: float = 0.0

    def hear(
        self, said: PoolTold, *, claim_ths: float = CLAIM_THS, difficulty: float = DIFFICULTY, wait_s: float = 10
    ) -> None:
        """The machine again, with what its pool said last."""
        self.at_s += wait_s
        self.evidence = observe_pool(
            self.evidence,
            self.check,
            heard_s=np.array([self.at_s]),
            claimed_ths=np.array([claim_ths]),
            told=said,
            share_difficulty=np.array([difficulty]),
            power_w=np.array([3_000.0]),
        )

    @property
    def booked(self) -> tuple[float, float]:
        """Shares and expected shares."""
        return float(self.evidence.total_shares[0]), float(self.evidence.total_expected[0])


def test_a_counter_counts_once() -> None:
    """What a pool told would be booked at every tick until it tells the next, or against the claims of another time."""
    machine = Pooled()
    for _ in range(3):
        machine.hear(told(NAN))
    first = told(machine.at_s + 6.0, work=5_000.0)
    machine.hear(first)
    began_s = machine.at_s - 4.0
    for _ in range(6):
        machine.hear(first)
    assert machine.booked == (0.0, 0.0)
    moment_s = machine.at_s + 7.0
    later = told(moment_s, work=5_000.0 + 20 * DIFFICULTY)
    for _ in range(5):
        machine.hear(later)
    assert machine.booked == pytest.approx((20.0, WORK_S * (moment_s - began_s) / DIFFICULTY))
    # what was claimed since stands against the next figures
    again = told(machine.at_s + 1.0, work=5_000.0 + 30 * DIFFICULTY)
    machine.hear(again)
    assert machine.booked == pytest.approx((30.0, WORK_S * (machine.at_s - 9.0 - began_s) / DIFFICULTY))
    joules, work = machine.evidence.used_j[0], machine.evidence.work[0]
    assert joules / work == pytest.approx(3_000.0 / WORK_S), "and so do the joules"


def test_a_counter_that_began_anew() -> None:
    """A new day's counter would be taken as a fall of all that was credited, or as what was credited since."""
    machine = Pooled()
    for work in (NAN, 1_000.0, 1_000.0 + 5 * DIFFICULTY, 700.0, 700.0 + 4 * DIFFICULTY):
        machine.hear(told(machine.at_s + 10.0, work=work), wait_s=60)
    shares, expected = machine.booked
    assert shares == 9
    assert expected == pytest.approx(2 * WORK_S * 60 / DIFFICULTY, rel=0.02)


def test_windows_do_not_overlap() -> None:
    """An average over ten minutes that is asked for every minute would count each share ten times."""
    machine, delivers = Pooled(), 0.93
    for _ in range(12 * 360):
        minute = np.floor((machine.at_s + 10.0) / 60.0) * 60.0
        machine.hear(told(minute, rate_ths=CLAIM_THS * delivers, window_s=600.0))
    shares, expected = machine.booked
    due = WORK_S * machine.at_s / DIFFICULTY
    assert 0.9 * due < expected <= due
    assert shares / expected == pytest.approx(delivers, rel=1e-3)


def test_a_window_longer_than_a_gap() -> None:
    """A day's average would be booked every half hour, and each share be counted fifty times."""
    machine = Pooled()
    for _ in range(300):
        machine.hear(told(machine.at_s, rate_ths=CLAIM_THS, window_s=86_400.0), wait_s=600)
    due = WORK_S * machine.at_s / DIFFICULTY
    assert machine.booked == pytest.approx((2 * 86_400 * WORK_S / DIFFICULTY,) * 2, rel=1e-3)
    assert machine.booked[1] <= due


def test_after_a_break_it_waits_for_the_pool() -> None:
    """A machine that woke up would lack the shares that its pool has not told yet."""
    machine = Pooled(check=ShareCheck(pool_delay_s=120))
    work = 0.0
    for i in range(40):
        asleep = 15 <= i < 20
        work += 0.0 if asleep else 3 * DIFFICULTY
        machine.hear(told(machine.at_s + 5.0, work=work), claim_ths=NAN if asleep else CLAIM_THS)
    evidence = machine.evidence
    assert evidence.jumps[0] == 0
    # twelve readings after each start are not booked: 40 - 5 asleep - 2 * 13, and none across the break
    assert machine.booked[0] == pytest.approx(3.0 * 9, abs=3.0)


def test_shares_that_are_still_to_be_told() -> None:
    """The limits would have no room for what a pool tells two minutes late, and a slow pool would make machines short."""
    limits = {}
    for delay_s in (0.0, 120.0):
        machine = Pooled(check=ShareCheck(pool_delay_s=delay_s))
        for i in range(20):
            machine.hear(told(machine.at_s + 10.0, work=3.0 * i * DIFFICULTY))
        limits[delay_s] = float(machine.evidence.limit[0])
    late = 120.0 * WORK_S / DIFFICULTY
    assert limits[120.0] - limits[0.0] == pytest.approx(late * -ShareCheck().contrast.step, rel=0.01)


def test_old_figures_are_no_beginning() -> None:
    """What a pool told before a machine slept would be the beginning of its next span, hours before it hashed again."""
    machine, first = Pooled(), told(30.0, work=0.0)
    for i in range(200):
        machine.hear(first, claim_ths=NAN if 10 <= i < 150 else CLAIM_THS)
    second = told(machine.at_s + 5.0, work=9 * DIFFICULTY)
    for _ in range(3):
        machine.hear(second)
    assert machine.booked == (0.0, 0.0)
    began_s = float(second.heard_s[0])
    for _ in range(10):
        machine.hear(told(machine.at_s + 5.0, work=30 * DIFFICULTY))
    assert machine.booked[0] == 21.0
    assert machine.evidence.block_s[0] == began_s


def test_an_impossible_counter() -> None:
    """A pool's counter that jumps would make a cheat honest for a month."""
    machine = Pooled()
    for i in range(3):
        machine.hear(told(machine.at_s, work=float(i)))
    machine.hear(told(machine.at_s, work=1e9 * DIFFICULTY))
    assert machine.evidence.jumps[0] == 1
    assert machine.booked[0] < 1


@pytest.mark.parametrize("lump_s", [10.0, 60.0, 120.0])
@pytest.mark.parametrize("by_window", [False, True])
def test_cheats_and_honest_machines_by_their_pool(lump_s: float, by_window: bool) -> None:
    """Honest machines would be called short because their pool tells in lumps, or a cheat not be found."""
    n, check = 40, ShareCheck(shortfall=0.10, pool_delay_s=120)
    true = np.where(np.arange(n) < 20, 1.0, 0.85)
    dice, evidence = np.random.default_rng(11), Evidence.nothing(n)
    work, history = np.zeros(n), []
    said = PoolTold.nothing(n)
    short = np.zeros(n, np.bool_)
    for i in range(9_000):
        at_s = 10.0 * i
        work = work + DIFFICULTY * dice.poisson(true * WORK_S * 10 / DIFFICULTY)
        history.append(work)
        if at_s % lump_s == 0:
            moment = np.full(n, at_s)
            if by_window and i >= 60:
                rate = np.round((work - history[i - 60]) / 600 / WORK_PER_THS_S, 1)  # as a page shows it
                said = PoolTold(moment, np.full(n, NAN), rate, np.full(n, 600.0))
            elif not by_window:
                said = PoolTold(moment, work, np.full(n, NAN), np.full(n, NAN))
        evidence = observe_pool(
            evidence,
            check,
            heard_s=np.full(n, at_s),
            claimed_ths=np.full(n, CLAIM_THS),
            told=said,
            share_difficulty=np.full(n, DIFFICULTY),
        )
        short |= evidence.verdict == Verdict.SHORT
        if short[20:].all():
            break
    assert short[20:].all()
    assert not short[:20].any()
    found = delivered(evidence, 0.999)
    assert (found.high[20:] < 1.0).mean() > 0.9
    assert found.ratio[:20].mean() == pytest.approx(1.0, abs=0.03)
