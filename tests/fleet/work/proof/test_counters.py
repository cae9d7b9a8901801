"""A machine's own counter held against its claim: what is heard, what breaks a span, what cannot be."""

from __future__ import annotations

from dataclasses import fields
from math import log
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from fleet.columns import Floats
from fleet.work.proof.claims import most_shares
from fleet.work.proof.counters import observe
from fleet.work.proof.evidence import Evidence, Verdict, delivered
from fleet.work.proof.poisson import uniform_interval
from fleet.work.proof.share_check import ShareCheck

CLAIM_THS = 100.0
DIFFICULTY = 262_144.0
WORK_S = CLAIM_THS * 1e12 / 2**32
"""Difficulty-1 shares in a second at the claim."""
FOUR_LATER = 1_000.0 + 4 * DIFFICULTY
RNG = np.random.default_rng(20_261_123)
NAN = float("nan")


def column(*values: float) -> Floats:
    """One value per machine."""
    return np.array(values, dtype=np.float64)


def heard(evidence: Evidence, at_s: float, counter: float, *, gap_s: float = 1_800, **given: float) -> Evidence:
    """One machine heard once."""
    return observe(
        evidence,
        ShareCheck(most_gap_s=gap_s, shortfall=given.get("shortfall", 0.05)),
        heard_s=column(at_s),
        claimed_ths=column(given.get("claimed_ths", CLAIM_THS)),
        accepted_difficulty=column(counter),
        share_difficulty=column(given.get("share_difficulty", DIFFICULTY)),
        uptime_s=column(given.get("uptime_s", NAN)),
    )


def test_cheating_that_begins_later() -> None:
    """A machine that was found honest would be believed for ever, or one that was repaired stay short for ever."""
    evidence, counter, at_s = Evidence.nothing(1), 0.0, 0.0
    seen = []
    for true in (1.0, 0.8, 1.0):
        for _ in range(300):
            evidence = heard(evidence, at_s, counter, shortfall=0.10)
            at_s += 60 * DIFFICULTY / WORK_S
            counter += DIFFICULTY * RNG.poisson(60 * true)
        seen.append(Verdict(int(evidence.verdict[0])))
    assert seen == [Verdict.HONEST, Verdict.SHORT, Verdict.HONEST]


def booked(evidence: Evidence) -> tuple[float, float]:
    """Shares and expected shares of the running test."""
    return float(evidence.shares[0]), float(evidence.expected[0])


def test_a_claim_that_changes_is_taken_as_a_straight_line() -> None:
    """A machine that ramps or changes its operating point would be held to a claim that it did not make."""
    evidence = heard(Evidence.nothing(1), 0.0, 1_000.0, claimed_ths=0.0)
    evidence = heard(evidence, 60.0, 1_000.0 + 3 * DIFFICULTY, claimed_ths=100.0)
    evidence = heard(evidence, 90.0, 1_000.0 + 5 * DIFFICULTY, claimed_ths=50.0)
    shares, expected = booked(evidence)
    assert shares == 5
    assert expected == pytest.approx((50 * 60 + 75 * 30) * 1e12 / 2**32 / DIFFICULTY)
    assert evidence.first[0] == pytest.approx(-(5 * log(0.95 / 0.995) + 0.045 * expected))


@pytest.mark.parametrize(
    ("what", "later", "shares"),
    [
        ("all is well", {"counter": FOUR_LATER}, 4.0),
        ("the counter started anew", {"counter": 500.0}, 0.0),
        ("the machine did, and overtook its old count", {"counter": FOUR_LATER, "uptime_s": 30.0}, 0.0),
        ("it stopped hashing", {"counter": FOUR_LATER, "claimed_ths": NAN}, 0.0),
        ("a claim below zero", {"counter": FOUR_LATER, "claimed_ths": -1.0}, 0.0),
        ("too long unheard", {"counter": FOUR_LATER, "at_s": 5_000.0}, 0.0),
        ("no counter", {"counter": NAN}, 0.0),
        ("not heard again", {"counter": FOUR_LATER, "at_s": 0.0}, 0.0),
    ],
)
def test_what_breaks_a_span(what: str, later: dict[str, float], shares: float) -> None:
    """Shares would be held against a time that they do not belong to, or a count go backwards."""
    assert what
    evidence = heard(Evidence.nothing(1), 0.0, 1_000.0, uptime_s=100.0)
    given = {"at_s": 60.0, "uptime_s": 160.0, **later}
    evidence = heard(evidence, given.pop("at_s"), given.pop("counter"), **given)
    assert booked(evidence)[0] == shares
    assert evidence.verdict[0] == Verdict.UNTESTED
    assert (booked(evidence)[1] > 0) == (shares > 0)
    # and whatever happened, the next whole span counts, and only it
    base = 700.0 if later["counter"] == 500.0 else FOUR_LATER + 200.0
    at_s = 6_000.0
    evidence = heard(evidence, at_s, base, uptime_s=6_100.0)
    before = booked(evidence)[0]
    evidence = heard(evidence, at_s + 60, base + 2 * DIFFICULTY, uptime_s=6_160.0)
    assert booked(evidence)[0] - before == 2


def test_lean_readings_without_a_counter() -> None:
    """Claims between two full readings would be lost, and the shares of the whole time be held against a part of it."""
    evidence = heard(Evidence.nothing(1), 0.0, 1_000.0)
    for at_s in (10.0, 20.0, 30.0):
        evidence = heard(evidence, at_s, NAN, share_difficulty=NAN)
        assert booked(evidence) == (0.0, 0.0)
    evidence = heard(evidence, 40.0, 1_000.0 + DIFFICULTY)
    shares, expected = booked(evidence)
    assert shares == 1
    assert expected == pytest.approx(WORK_S * 40 / DIFFICULTY)


def test_a_counter_that_is_older_than_its_reading() -> None:
    """A counter that only full looks renew would be taken as hours without shares and minutes with too many."""
    evidence = heard(Evidence.nothing(1), 0.0, 1_000.0)
    for at_s in range(10, 300, 10):
        evidence = heard(evidence, at_s, 1_000.0)
    assert booked(evidence) == (0.0, 0.0)
    evidence = heard(evidence, 300.0, 1_000.0 + 25 * DIFFICULTY)
    assert booked(evidence) == pytest.approx((25.0, WORK_S * 300 / DIFFICULTY))
    # it sleeps; when it wakes, the counter that is still shown is that of before
    evidence = heard(evidence, 310.0, 1_000.0 + 25 * DIFFICULTY, claimed_ths=NAN)
    evidence = heard(evidence, 900.0, 1_000.0 + 25 * DIFFICULTY)
    evidence = heard(evidence, 960.0, 1_000.0 + 40 * DIFFICULTY)
    assert booked(evidence)[0] == 25.0, "nobody knows when these came"
    evidence = heard(evidence, 1_020.0, 1_000.0 + 45 * DIFFICULTY)
    assert booked(evidence) == pytest.approx((30.0, WORK_S * 360 / DIFFICULTY))


def test_a_counter_that_stands_still() -> None:
    """A machine that claims to hash and delivers nothing at all would never be found."""
    evidence = heard(Evidence.nothing(1), 0.0, 1_000.0)
    for at_s in range(10, 1_800, 10):
        evidence = heard(evidence, at_s, 1_000.0)
    assert evidence.verdict[0] == Verdict.UNTESTED
    for at_s in range(1_800, 3_700, 10):
        evidence = heard(evidence, at_s, 1_000.0)
    assert evidence.verdict[0] == Verdict.SHORT
    assert evidence.before_shares[0] == 0
    assert delivered(evidence).ratio[0] == 0


def test_a_difficulty_that_changes() -> None:
    """Shares of a mixed span would be counted as more of the easier ones, which makes the test bolder than it says."""
    evidence = heard(Evidence.nothing(1), 0.0, 0.0, share_difficulty=2.0**16)
    evidence = heard(evidence, 60.0, 2 * 2.0**18, share_difficulty=2.0**18)
    assert booked(evidence)[0] == 2
    evidence = heard(evidence, 120.0, 4 * 2.0**18, share_difficulty=2.0**16)
    assert booked(evidence)[0] == 4
    # a hard hour between two counts is remembered until the next, and then forgotten
    evidence = heard(evidence, 180.0, NAN, share_difficulty=2.0**20)
    evidence = heard(evidence, 240.0, NAN, share_difficulty=2.0**16)
    evidence = heard(evidence, 300.0, 4 * 2.0**18 + 2.0**20, share_difficulty=2.0**16)
    assert booked(evidence)[0] == 5
    evidence = heard(evidence, 360.0, 4 * 2.0**18 + 2.0**20 + 2.0**16, share_difficulty=2.0**16)
    assert booked(evidence)[0] == 6


def test_nothing_new() -> None:
    """A tick in which no machine answered would cost the work of one in which all did."""
    evidence = heard(Evidence.nothing(1), 60.0, 1_000.0)
    assert heard(evidence, 60.0, 9_999.0) is evidence
    assert heard(evidence, NAN, 9_999.0) is evidence


@given(
    st.lists(st.sampled_from(["hears", "silence", "reboot", "sleeps", "lean"]), max_size=40), st.permutations(range(5))
)
def test_machines_do_not_touch_each_other(events: list[str], order: list[int]) -> None:
    """One machine's reset or silence would change another's evidence, or a column become negative or NaN in its test."""
    check = ShareCheck(most_gap_s=600)
    straight, turned = Evidence.nothing(5), Evidence.nothing(5)
    at_s, counter = np.zeros(5), np.arange(5) * 1_000.0
    for index, event in enumerate(events):
        machine = index % 5
        at_s = at_s + 60.0
        counter = counter + np.arange(5) * 512.0
        claim = np.full(5, CLAIM_THS)
        accepted = counter.copy()
        if event == "silence":
            at_s[machine] -= 60.0
        if event == "reboot":
            counter[machine] = accepted[machine] = 0.0
        if event == "sleeps":
            claim[machine] = NAN
        if event == "lean":
            accepted[machine] = NAN
        columns: dict[str, Any] = {
            "heard_s": at_s,
            "claimed_ths": claim,
            "accepted_difficulty": accepted,
            "share_difficulty": np.full(5, 512.0),
        }
        straight = observe(straight, check, **columns)
        turned = observe(turned, check, **{name: values[order] for name, values in columns.items()})
    for field in fields(Evidence):
        ours, theirs = getattr(straight, field.name), getattr(turned, field.name)
        np.testing.assert_array_equal(ours[order], theirs, err_msg=field.name)
    for name in ("shares", "expected", "score", "run_shares", "run_expected", "before_shares", "before_expected"):
        assert (getattr(straight, name) >= 0).all()


def test_delivered() -> None:
    """The estimate or its interval would not be of the shares that came against those expected."""
    evidence = heard(Evidence.nothing(1), 0.0, 0.0, gap_s=86_400)
    seconds = 1_000 * DIFFICULTY / WORK_S
    evidence = heard(evidence, seconds, 949 * DIFFICULTY, gap_s=86_400)
    found = delivered(evidence)
    assert found.ratio[0] == pytest.approx(0.949)
    low, high = uniform_interval(column(949.0))
    assert (found.low[0], found.high[0]) == pytest.approx((low[0] / 1_000, high[0] / 1_000))
    assert np.isnan(delivered(Evidence.nothing(1)).ratio[0])


@pytest.mark.parametrize(("what", "counter"), [("it jumps", 1e12), ("it wraps to a huge one", 2.0**63)])
def test_a_counter_that_jumps_impossibly(what: str, counter: float) -> None:
    """A machine would buy months of honesty with one made-up count, or the jump go unsaid."""
    assert what
    evidence = heard(Evidence.nothing(1), 0.0, 1_000.0)
    evidence = heard(evidence, 60.0, FOUR_LATER)
    assert evidence.jumps[0] == 0
    evidence = heard(evidence, 120.0, counter)
    assert evidence.jumps[0] == 1
    assert booked(evidence)[0] == 4
    evidence = heard(evidence, 180.0, counter + 5 * 2.0**20)
    assert booked(evidence)[0] > 4, "and what it counts from then on counts again"
    # a machine whose every count is made up is never called honest
    for at_s in range(300, 60_000, 60):
        evidence = heard(evidence, float(at_s), float(at_s) * 1e12)
    assert evidence.verdict[0] == Verdict.UNTESTED
    assert evidence.jumps[0] > 900


@pytest.mark.parametrize("expected", [0.0, 0.5, 3.0, 20.0, 150.0, 5_000.0])
def test_luck_is_no_jump(expected: float) -> None:
    """An honest machine's lucky hour would be left out as a lie (the docstring says how rarely)."""
    assert poisson.sf(float(most_shares(column(expected))[0]), expected) < 1e-11


def test_joules_are_of_the_same_time() -> None:
    """Joules per proven hash would be of other hours than the hashes."""
    evidence = Evidence.nothing(1)
    counter, watts, due_j, due_work = 0.0, 2_000.0, 0.0, 0.0
    for look in range(200):
        at_s = look * 60.0
        asleep = 50 <= look < 70
        evidence = observe(
            evidence,
            ShareCheck(),
            heard_s=column(at_s),
            claimed_ths=column(NAN if asleep else CLAIM_THS),
            accepted_difficulty=column(
                counter if look % 5 == 2 else NAN
            ),  # so that some joules wait when it falls asleep
            share_difficulty=column(DIFFICULTY),
            power_w=column(NAN if look % 7 == 3 else watts),
        )
        counter += 0.0 if asleep else 5 * DIFFICULTY
    due_j, due_work = evidence.used_j[0], evidence.work[0]
    assert due_j / (due_work / WORK_S) == pytest.approx(watts)
    assert evidence.total_expected[0] == pytest.approx(due_work / DIFFICULTY)
    assert 60 * 120 < due_work / WORK_S < 60 * 180


def test_it_is_cheap() -> None:
    """The check of a hundred thousand machines would cost a tick many times the copying of its columns."""
    n = 100_000
    evidence, counter, ratios = Evidence.nothing(n), np.zeros(n), []
    for look in range(7):
        columns: dict[str, Any] = {
            "heard_s": np.full(n, look * 10.0),
            "claimed_ths": np.full(n, CLAIM_THS),
            "accepted_difficulty": counter,
            "share_difficulty": np.full(n, DIFFICULTY),
        }
        began = perf_counter()
        evidence = observe(evidence, ShareCheck(), **columns)
        took = perf_counter() - began
        began = perf_counter()
        copied = [np.array(getattr(evidence, field.name)) for field in fields(Evidence)]
        ratios.append(took / (perf_counter() - began))
        counter = counter + DIFFICULTY * RNG.poisson(2.0, n)
        assert len(copied) > 30
    assert sorted(ratios)[3] < 12  # about 2 on an idle core


def test_columns_of_different_lengths() -> None:
    """Columns that do not belong to one roster would be compared row by row."""
    some = Evidence.nothing(2)
    columns = {field.name: getattr(some, field.name) for field in fields(Evidence)}
    with pytest.raises(ValueError, match="different lengths"):
        Evidence(**{**columns, "score": np.zeros(3)})
