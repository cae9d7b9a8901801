"""Credited: the claim stands as far as the shares allow it, and no further."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.work.proof.credited import credited
from fleet.work.proof.evidence import Evidence, Source, Verdict
from fleet.work.proof.proven import Proven, best
from fleet.work.proof.share_check import ShareCheck

CHECK = ShareCheck()


def proven(shares: list[float], expected: list[float], verdict: Verdict = Verdict.UNTESTED) -> Proven:
    """What the tap says of machines that brought so many shares where so many were expected."""
    n = len(shares)
    evidence = replace(
        Evidence.nothing(n),
        shares=np.array(shares),
        expected=np.array(expected),
        verdict=np.full(n, verdict, np.int16),
    )
    return best({Source.TAP: evidence})


def test_nothing_known_is_the_whole_claim() -> None:
    """A machine that is worth nothing until it has proved something."""
    assert list(credited(best({Source.COUNTERS: Evidence.nothing(3)}), CHECK, 1)) == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("shares", "expected", "verdict", "least", "most"),
    [
        (1_000, 1_000, Verdict.HONEST, 1.0, 1.0),
        (950, 1_000, Verdict.UNTESTED, 1.0, 1.0),
        (60, 100, Verdict.UNTESTED, 0.9, 1.0),
        (8_000, 10_000, Verdict.UNTESTED, 0.80, 0.87),
        (8_000, 10_000, Verdict.SHORT, 0.80, 0.84),
        (0, 10_000, Verdict.SHORT, 0.0, 0.01),
        # who hashes more than he says is credited what he proves
        (13_000, 10_000, Verdict.HONEST, 1.2, 1.3),
        (1e9, 1e9, Verdict.HONEST, 0.999, 1.001),
    ],
)
def test_credit(shares: float, expected: float, verdict: Verdict, least: float, most: float) -> None:
    """A cheat that is credited its claim, or an honest machine that is credited its luck."""
    assert least <= credited(proven([shares], [expected], verdict), CHECK, 1)[0] <= most


@given(st.floats(0, 1e7), st.floats(1, 1e7), st.sampled_from(Verdict))
def test_it_lies_between_the_claim_and_what_was_counted(shares: float, expected: float, verdict: Verdict) -> None:
    """A credit beyond what was counted: that would be a punishment, or a present."""
    credit = credited(proven([shares], [expected], verdict), CHECK, 1)[0]
    ratio = shares / expected
    assert min(1.0, ratio) - 1e-9 <= credit <= max(1.0, ratio) + 1e-9


def test_no_honest_machine_of_a_fleet_leaves_its_claim() -> None:
    """Noise that moves what machines are worth: of 200 fleets of 100 honest machines hardly one machine ever moves."""
    rng, fleets, machines = np.random.default_rng(11), 200, 100
    shares = np.zeros(fleets * machines)
    left = np.zeros(fleets, np.bool_)
    for look in range(1, 41):
        shares += rng.poisson(30.0, len(shares))
        for fleet in range(fleets):
            rows = slice(fleet * machines, (fleet + 1) * machines)
            left[fleet] |= bool((credited(proven(list(shares[rows]), [30.0 * look] * machines), CHECK, 1) != 1.0).any())
    assert left.mean() <= CHECK.false_alarm + 3 * np.sqrt(CHECK.false_alarm / fleets)


def test_any_source_may_be_the_one_that_speaks() -> None:
    """Three sources that share no chance: an honest machine would leave its claim three times as often as stated."""
    leaves = proven([1_000.0], [1_000.0 * 1.126])
    assert [credited(leaves, CHECK, sources)[0] == 1.0 for sources in (1, 2, 3)] == [False, False, True]
