"""Laws of the tests of all machines: what must not matter to them, and what must never get into them."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.columns import Bools, Floats
from fleet.work.proof.evidence import ClaimedSpan, Evidence, Verdict
from fleet.work.proof.running import Running
from fleet.work.proof.share_check import ShareCheck
from fleet.work.proof.verdicts import judged


def span_of(
    counts: Floats, due: Floats | float, from_s: float, to_s: float, booked: Bools | None = None
) -> ClaimedSpan:
    """A span of all machines, or of those that are booked."""
    n = len(counts)
    expected = np.broadcast_to(np.asarray(due, np.float64), (n,)).copy()
    all_of_them = np.ones(n, np.bool_) if booked is None else booked
    return ClaimedSpan(
        all_of_them, np.full(n, from_s), np.full(n, to_s), counts, expected, expected.copy(), np.full(n, np.nan)
    )


def columns_of(evidence: Running, names: tuple[str, ...]) -> Floats:
    """Some columns, one above the other."""
    return np.array([getattr(evidence, name) for name in names])


TALES = st.lists(st.tuples(st.integers(0, 40), st.floats(0.1, 20.0)), min_size=1, max_size=30)


@given(TALES, st.floats(0.01, 100.0))
def test_what_is_counted_does_not_depend_on_the_looks(tale: list[tuple[int, float]], part: float) -> None:
    """The first test and the totals would come out differently when the same shares are booked in other portions."""
    check = ShareCheck(missed=1e-6, shortfall=0.05)
    one_by_one, at_once = Evidence.nothing(1), Evidence.nothing(1)
    at_s = 0.0
    for count, due in tale:
        one_by_one = judged(one_by_one, check, span_of(np.array([float(count)]), due, at_s, at_s + part), 10**6)
        at_s += part
    total, expected = float(sum(count for count, _ in tale)), sum(due for _, due in tale)
    at_once = judged(at_once, check, span_of(np.array([total]), expected, 0.0, at_s), 10**6)
    same = ("shares", "expected", "total_shares", "total_expected")
    if Verdict.SHORT not in {int(one_by_one.verdict[0]), int(at_once.verdict[0])}:
        np.testing.assert_allclose(columns_of(one_by_one, same), columns_of(at_once, same), rtol=1e-9)
    untested = (Verdict.UNTESTED, Verdict.UNTESTED)
    if (int(one_by_one.verdict[0]), int(at_once.verdict[0])) == untested:
        assert one_by_one.first[0] == pytest.approx(at_once.first[0], abs=1e-9)
    # held at zero at more looks, the running score is higher, never lower: a coarse look is the slower to accuse
    if (int(one_by_one.verdict[0]), int(at_once.verdict[0])) == untested:
        assert one_by_one.score[0] >= at_once.score[0] - 1e-9


@given(TALES, st.floats(-1e8, 1e8))
def test_a_clock_that_steps(tale: list[tuple[int, float]], by_s: float) -> None:
    """A step of the clock would count as time without shares, or move "since when"."""
    check = ShareCheck(shortfall=0.3)
    plain, stepped = Evidence.nothing(1), Evidence.nothing(1)
    at_s = 0.0
    for i, (count, due) in enumerate(tale):
        if i == len(tale) // 2:
            stepped = stepped.shifted(by_s)
        moved_s = by_s if i >= len(tale) // 2 else 0.0
        plain = judged(plain, check, span_of(np.array([float(count)]), due, at_s, at_s + 10), 1)
        stepped = judged(stepped, check, span_of(np.array([float(count)]), due, at_s + moved_s, at_s + moved_s + 10), 1)
        at_s += 10.0
    for field in fields(Evidence):
        ours, theirs = getattr(plain.shifted(by_s), field.name), getattr(stepped, field.name)
        np.testing.assert_allclose(theirs, ours, rtol=1e-6, atol=1e-6, err_msg=field.name)


@given(
    st.lists(st.tuples(st.floats(0, 1e9) | st.just(np.nan), st.floats(0, 1e9) | st.just(np.nan)), max_size=20),
    st.sampled_from([0.0, 1.0, np.nan]),
)
def test_nothing_leaks(tale: list[tuple[float, float]], wait_s: float) -> None:
    """A span that cannot be booked would put NaN into a machine's test, or touch its neighbour."""
    check = ShareCheck()
    evidence, alone = Evidence.nothing(2), Evidence.nothing(1)
    at_s = 0.0
    for count, due in tale:
        counts, expected = np.array([count, 5.0]), np.array([due, 5.0])
        booked = np.array([bool(count <= 1e12), True])
        to_s = np.array([at_s + wait_s, at_s + 10.0])
        span = ClaimedSpan(booked, np.full(2, at_s), to_s, counts, expected, expected, np.full(2, np.nan))
        evidence = judged(evidence, check, span, 2)
        alone = judged(alone, check, span_of(np.array([5.0]), 5.0, at_s, at_s + 10.0), 2)
        at_s += 10.0
    for name in ("score", "limit", "first", "run_shares", "run_expected", "shares", "expected", "total_shares"):
        assert np.isfinite(getattr(evidence, name)).all(), name
        assert getattr(evidence, name)[1] == getattr(alone, name)[0], name


@given(st.floats(0.05, 0.9), st.integers(1, 10**6), st.floats(1e-4, 100.0))
def test_a_limit_never_falls_under_a_score(shortfall: float, tests: int, per_s: float) -> None:
    """The rate of false alarms would be that of a slow hour while the shares of a fast one (an audit) are counted."""
    check = ShareCheck(shortfall=shortfall, tolerance=0.0)
    evidence = Evidence.nothing(1)
    at_s, limit = 0.0, 0.0
    for rate in (per_s, per_s * 20, per_s, per_s / 20):
        evidence = judged(evidence, check, span_of(np.array([0.0]), rate * 0.01, at_s, at_s + 0.01), tests)
        if evidence.verdict[0] == Verdict.SHORT:
            return
        assert evidence.limit[0] >= limit
        assert evidence.limit[0] >= check.short_limit(np.array([rate]), tests)[0] - 1e-9
        limit = float(evidence.limit[0])
        at_s += 0.01
    # once the score is zero again, the limit is that of the present rate
    evidence = judged(evidence, check, span_of(np.array([1e6]), per_s, at_s, at_s + 1.0), tests)
    evidence = judged(evidence, check, span_of(np.array([0.0]), per_s * 1e-6, at_s + 1, at_s + 1 + 1e-6), tests)
    assert evidence.limit[0] == pytest.approx(check.short_limit(np.array([per_s]), tests)[0], rel=1e-6)
