"""A test on request: its two chances, its length against Wald's, and that a verdict stands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fleet.columns import Floats
from fleet.work.proof.contrast import wald_counts
from fleet.work.proof.delays import one_shot_delay
from fleet.work.proof.evidence import Evidence, Verdict
from fleet.work.proof.poisson import uniform_interval
from fleet.work.proof.share_check import ShareCheck
from fleet.work.proof.trial import Trial


def counted(evidence: Evidence, shares: Floats, expected: float) -> Evidence:
    """So many more."""
    return replace(
        evidence, total_shares=evidence.total_shares + shares, total_expected=evidence.total_expected + expected
    )


def tried(check: ShareCheck, rate: float, machines: int, per_look: float, seed: int) -> Trial:
    """Machines tried until each has its verdict."""
    dice, evidence = np.random.default_rng(seed), Evidence.nothing(machines)
    evidence = counted(evidence, dice.poisson(100.0, machines).astype(np.float64), 100.0)
    trial = Trial.begun(evidence, 0.0)
    while (trial.verdict == Verdict.UNTESTED).any():
        evidence = counted(evidence, dice.poisson(rate * per_look, machines).astype(np.float64), per_look)
        trial = trial.after(evidence, check)
    return trial


@pytest.mark.parametrize(
    ("shortfall", "machines", "per_look"), [(0.10, 10_000, 5.0), (0.05, 4_000, 10.0), (0.02, 800, 100.0)]
)
def test_both_errors_and_the_length(shortfall: float, machines: int, per_look: float) -> None:
    """At one percent each: honest machines called short, short ones called honest, or verdicts a tenth later than Wald's.

    100 (40, 8) machines may be wrong; three standard errors are 30 (19, 9) more.
    """
    check = ShareCheck(shortfall=shortfall, false_alarm=0.01, missed=0.01)
    honest = tried(check, 1.0, machines, per_look, 1)
    short = tried(check, 1.0 - shortfall, machines, per_look, 2)
    most = 0.01 + 3 * np.sqrt(0.01 / machines)
    assert (honest.verdict == Verdict.SHORT).mean() <= most
    assert (short.verdict == Verdict.HONEST).mean() <= most
    if machines >= 4_000:
        assert (honest.verdict == Verdict.SHORT).mean() >= 0.005
        assert (short.verdict == Verdict.HONEST).mean() >= 0.005
    wald = wald_counts(check.on_request, 0.01, 0.01)
    spread = 3 * short.took.std() / np.sqrt(machines)
    assert short.took.mean() <= 1.1 * wald + spread / 3
    assert short.took.mean() == pytest.approx(one_shot_delay(check, 0.5, 1 - shortfall).shares, rel=0.05, abs=spread)


def test_a_thousand_at_once_divide_the_chance() -> None:
    """`hashwatt verify site` would call ten of a thousand honest machines short."""
    check = ShareCheck(shortfall=0.10)
    alone, shared = check.one_shot(), check.one_shot(1_000)
    assert shared[0] == pytest.approx(alone[0] + np.log(1_000))
    assert shared[1] == alone[1]


def test_a_verdict_stands() -> None:
    """A trial would change its mind while somebody reads its report."""
    check, evidence = ShareCheck(shortfall=0.10), Evidence.nothing(1)
    trial = Trial.begun(evidence, 7.0)
    evidence = counted(evidence, np.array([700.0]), 1_000.0)
    trial = trial.after(evidence, check)
    assert trial.verdict[0] == Verdict.SHORT
    assert trial.took[0] == 1_000.0
    evidence = counted(evidence, np.array([9_400.0]), 9_000.0)
    trial = trial.after(evidence, check)
    assert trial.verdict[0] == Verdict.SHORT
    assert trial.took[0] == 1_000.0
    # what was delivered goes on, from the moment that was chosen
    found = trial.delivered()
    low, high = uniform_interval(np.array([10_100.0]))
    assert (found.shares[0], found.expected[0], found.since_s[0]) == (10_100.0, 10_000.0, 7.0)
    assert (found.low[0], found.high[0]) == pytest.approx((low[0] / 10_000, high[0] / 10_000))
