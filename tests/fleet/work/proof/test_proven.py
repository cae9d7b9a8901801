"""Which source speaks for a machine, and what a terahash of it costs in joules."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.columns import UNKNOWN
from fleet.work.proof.evidence import WORK_PER_THS_S, Evidence, Source, Verdict, delivered
from fleet.work.proof.proven import best, efficiency

Told: TypeAlias = tuple[Verdict, float, float]
"""Verdict, shares, expected."""
H, S, U = Verdict.HONEST, Verdict.SHORT, Verdict.UNTESTED
NAN = float("nan")


def evidence(*machines: Told) -> Evidence:
    """What a source says of each machine."""
    verdict, shares, expected = zip(*machines, strict=True)
    return replace(
        Evidence.nothing(len(machines)),
        verdict=np.array(verdict, np.int16),
        shares=np.array(shares, np.float64),
        expected=np.array(expected, np.float64),
        since_s=np.where(np.array(verdict) == U, np.nan, 50.0),
        verdict_s=np.where(np.array(verdict) == U, -np.inf, 60.0),
        block_s=np.full(len(machines), 10.0),
    )


CASES: list[tuple[tuple[Told, Told, Told], Source | None]] = [
    # counters, pool, tap -> who speaks
    (((U, 0, 0), (U, 0, 0), (U, 0, 0)), None),
    (((U, 9, 10), (U, 0, 0), (U, 0, 0)), Source.COUNTERS),
    (((U, 9, 10), (U, 8, 10), (U, 0, 0)), Source.POOL),
    (((U, 9, 10), (U, 8, 10), (U, 7, 10)), Source.TAP),
    (((H, 9, 10), (U, 8, 10), (U, 7, 10)), Source.COUNTERS),
    (((S, 9, 10), (H, 8, 10), (U, 7, 10)), Source.POOL),
    (((S, 9, 10), (S, 8, 10), (H, 7, 10)), Source.TAP),
    (((U, 0, 0), (U, 0, 0), (S, 0, 10)), Source.TAP),
    (((H, 0, 0), (U, 8, 10), (U, 0, 0)), Source.COUNTERS),
]


def test_the_strongest_that_has_something_to_say() -> None:
    """The machine's own word would be believed over what we counted ourselves, or nobody speak while somebody knows."""
    columns = [evidence(*(told[source] for told, _ in CASES)) for source in Source]
    proven = best(dict(zip(Source, columns, strict=True)))
    for row, (case, speaks) in enumerate(CASES):
        assert proven.source[row] == (UNKNOWN if speaks is None else speaks), case
        if speaks is None:
            assert np.isnan([proven.ratio[row], proven.low[row], proven.shares[row]]).all()
            assert proven.verdict[row] == U
            continue
        told = delivered(columns[speaks])
        for name in ("ratio", "low", "high", "shares", "expected", "since_s"):
            np.testing.assert_equal(getattr(proven, name)[row], getattr(told, name)[row], err_msg=f"{name} {case}")
        assert proven.verdict[row] == case[speaks][0]
        assert np.isfinite(proven.verdict_since_s[row]) == (case[speaks][0] != U)
        assert np.isfinite(proven.verdict_s[row]) == (case[speaks][0] != U)


def test_sources_are_never_added() -> None:
    """The same shares, counted by three, would make an interval as narrow as that of three times as many."""
    one = evidence((H, 930.0, 1_000.0))
    alone, together = best({Source.TAP: one}), best(dict.fromkeys(Source, one))
    for name in ("ratio", "low", "high", "shares", "expected"):
        assert getattr(alone, name)[0] == getattr(together, name)[0]
    with pytest.raises(ValueError, match="no source"):
        best({})


def used(shares: float, expected: float, ths: float, power_w: float, seconds: float) -> Evidence:
    """One machine that claimed so much and drew so much."""
    return replace(
        evidence((U, shares, expected)),
        work=np.array([ths * WORK_PER_THS_S * seconds]),
        used_j=np.array([power_w * seconds]),
    )


def test_joules_per_proven_terahash() -> None:
    """A machine that delivers nine tenths would be called as efficient as it claims."""
    machine = used(18_000.0, 20_000.0, 100.0, 3_000.0, 86_400.0)
    found, told = efficiency(machine, 0.02), delivered(machine)
    assert found.j_th[0] == pytest.approx(30.0 / 0.9)
    assert found.low[0] == pytest.approx(30.0 * 0.98 / told.high[0])
    assert found.high[0] == pytest.approx(30.0 * 1.02 / told.low[0])
    sharper = efficiency(machine, np.array([0.0]), 0.5)
    assert found.low[0] < sharper.low[0] < found.j_th[0] < sharper.high[0] < found.high[0]


@given(st.floats(0.01, 100.0), st.floats(0.0, 0.2))
def test_scale(times: float, error: float) -> None:
    """Twice the watts, or half the hashes, would not be twice the joules."""
    plain = efficiency(used(950.0, 1_000.0, 100.0, 3_000.0, 3_600.0), error)
    dear = efficiency(used(950.0, 1_000.0, 100.0, 3_000.0 * times, 3_600.0), error)
    small = efficiency(used(950.0, 1_000.0, 100.0 / times, 3_000.0, 3_600.0), error)
    for name in ("j_th", "low", "high"):
        assert getattr(dear, name)[0] == pytest.approx(times * getattr(plain, name)[0])
        assert getattr(small, name)[0] == pytest.approx(times * getattr(plain, name)[0])


@pytest.mark.parametrize(
    ("what", "machine"),
    [
        ("power not known", used(950.0, 1_000.0, 100.0, NAN, 3_600.0)),
        ("nothing claimed", used(0.0, 0.0, 0.0, 3_000.0, 3_600.0)),
        ("no time", used(0.0, 0.0, 100.0, 3_000.0, 0.0)),
    ],
)
def test_efficiency_that_is_not_known(what: str, machine: Evidence) -> None:
    """A machine without a power meter would be shown as running for nothing."""
    assert what
    found = efficiency(machine, 0.02)
    assert np.isnan([found.j_th[0], found.low[0], found.high[0]]).all()


def test_efficiency_of_a_machine_that_delivers_nothing() -> None:
    """Power for no hashes is endless joules a hash, bounded from below by what the interval allows; never a NaN or zero."""
    found = efficiency(used(0.0, 1_000.0, 100.0, 3_000.0, 3_600.0), 0.02)
    assert found.j_th[0] == np.inf
    assert found.high[0] == np.inf
    assert 1_000.0 < found.low[0] < np.inf
