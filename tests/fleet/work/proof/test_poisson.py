"""Intervals of a Poisson mean: the exact one of one look, and the one that holds at every look."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaln
from scipy.stats import chi2, nbinom, poisson

from fleet.columns import Floats
from fleet.work.proof.poisson import poisson_interval, uniform_interval

COUNTS = st.just(0.0) | st.floats(1e-3, 1e9)
CONFIDENCES = st.sampled_from([0.9, 0.95, 0.99, 1 - 1e-9])
K = 50.0


def log_martingale(count: Floats, mean: Floats) -> Floats:
    """The logarithm of what Ville's inequality bounds, from scipy's gamma function."""
    value: Floats = K * np.log(K) - gammaln(K) + gammaln(K + count) - (K + count) * np.log(K + mean) + mean
    return value


@given(COUNTS, CONFIDENCES)
def test_one_look_is_garwood(count: float, confidence: float) -> None:
    """The interval would not be the exact one (the chi-square quantiles of scipy.stats are the judge)."""
    low, high = poisson_interval(np.array([count]), confidence)
    tail = (1 - confidence) / 2
    assert low[0] == pytest.approx(chi2.ppf(tail, 2 * count) / 2 if count > 0 else 0.0, rel=1e-8)
    assert high[0] == pytest.approx(chi2.isf(tail, 2 * count + 2) / 2, rel=1e-8)


@pytest.mark.parametrize("mean", [0.3, 2.0, 11.0, 60.0])
def test_one_look_covers(mean: float) -> None:
    """Either side would be wrong more often than with half of the chance, which is what makes it exact."""
    counts = np.arange(0.0, 400.0)
    low, high = poisson_interval(counts, 0.95)
    chance = poisson.pmf(counts, mean)
    assert chance[low > mean].sum() <= 0.025
    assert chance[high < mean].sum() <= 0.025


@given(COUNTS, CONFIDENCES)
def test_the_uniform_interval_is_where_the_martingale_is_small(count: float, confidence: float) -> None:
    """Its limits would be other numbers than those that Ville's inequality speaks of."""
    low, high = uniform_interval(np.array([count]), confidence)
    assert 0 <= low[0] <= count <= high[0]
    near = pytest.approx(-log(1 - confidence), rel=1e-6, abs=1e-6 + 1e-15 * count * log(count + 10))
    assert log_martingale(np.array(count), high)[0] == near
    if low[0] > 0:
        assert log_martingale(np.array(count), low)[0] == near
    else:
        assert log_martingale(np.array(count), np.zeros(1))[0] <= -log(1 - confidence) + 1e-9


@given(COUNTS, CONFIDENCES)
def test_a_single_look_is_the_narrower(count: float, confidence: float) -> None:
    """One that holds at all times cannot be narrower than the one that holds once; and it should not be three times as wide."""
    (low, high), (once_low, once_high) = (
        interval(np.array([count]), confidence) for interval in (uniform_interval, poisson_interval)
    )
    assert low[0] <= once_low[0] + 1e-9
    assert high[0] >= once_high[0]
    if 100 <= count <= 1e6 and confidence == 0.95:
        assert high[0] - low[0] <= 2.1 * (once_high[0] - once_low[0])


@pytest.mark.parametrize("mean", [1.0, 40.0, 700.0])
def test_what_is_averaged_has_mean_one(mean: float) -> None:
    """The gamma mixture would be no martingale: its mean over Poisson counts is 1, whatever the mean."""
    counts = np.arange(0.0, 40 * mean + 400)
    value = np.exp(log_martingale(counts, np.full(len(counts), mean)) + poisson.logpmf(counts, mean))
    # it is the ratio of a negative binomial's chances to a Poisson's, and sums to 1 because that does
    assert value.sum() == pytest.approx(1.0, abs=1e-6)
    assert value == pytest.approx(nbinom.pmf(counts, K, K / (K + mean)), abs=1e-12)


@pytest.mark.parametrize("uneven", [False, True])
def test_it_covers_at_all_times(uneven: bool) -> None:
    """Looking at every share would leave out the true mean more often than stated, with a steady rate or a wild one."""
    dice = np.random.default_rng(20_261_124)
    machines, looks = 3_000, 2_000
    step = np.full(looks, 1.0)
    if uneven:  # hours at a tenth of the rate, then an audit at twenty times it
        step = np.where(np.arange(looks) % 400 < 40, 20.0, 0.1)
    missed, narrowest = np.zeros(machines, np.bool_), 0
    count, mean = np.zeros(machines), 0.0
    for due in step:
        count = count + dice.poisson(due, machines)
        mean += due
        low, high = uniform_interval(count, 0.90)
        missed |= (low > mean) | (high < mean)
        once_low, once_high = poisson_interval(count[:50], 0.90)
        narrowest += int(((once_low > mean) | (once_high < mean)).any())
    # 300 may miss; three standard errors more would be 350
    assert missed.sum() <= 350
    assert missed.sum() >= 50, "and a bound that is never reached would be wider than it has to be"
    assert narrowest > looks / 2, "the interval of one look is out for some machine of fifty all the time"


def test_nothing_known_stays_so() -> None:
    """A machine without a count would get an interval."""
    for interval in (poisson_interval, uniform_interval):
        low, high = interval(np.array([np.nan, 4.0]))
        assert np.isnan([low[0], high[0]]).all()
        assert low[1] < 4 < high[1]
