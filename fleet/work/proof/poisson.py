"""Intervals of a Poisson mean from a count: the exact one of one look, and one that holds at every look.

Columns in, columns out. One look: Garwood's interval, from the inverse of the incomplete gamma function. Every look: the
set of means L whose martingale k^k Gamma(k + n) / (Gamma(k) (k + L)^(k + n)) e^L is below 1 / alpha; Ville's inequality
bounds the chance that it ever leaves out the true one.
"""

from __future__ import annotations

from math import lgamma, log, pi
from typing import Final

import numpy as np

from fleet.columns import Floats

_TUNED: Final = 50.0
"""k: the width is least, against that of one look, at some ten times as many counts."""
_NEWTON: Final = 3


def poisson_interval(count: Floats, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Garwood's exact interval of a Poisson mean from a count, at one look (F. Garwood, Biometrika 28, 1936).

    Half of the chi-square quantiles with 2n and 2n + 2 degrees of freedom; low is 0 for no counts. NaN stays NaN.
    """
    from scipy.special import gammaincinv

    tail = (1 - confidence) / 2
    low = np.asarray(gammaincinv(np.where(count > 0, count, 1.0), tail), np.float64)
    high = np.asarray(gammaincinv(count + 1.0, 1 - tail), np.float64)
    return np.where(count > 0, low, np.where(count == 0, 0.0, np.nan)), high


def uniform_interval(count: Floats, confidence: Floats | float = 0.95) -> tuple[Floats, Floats]:
    """The interval of a Poisson process's mean so far that holds at all times at once; one confidence, or one each.

    For a count n whose mean so far is L, predictable and however uneven, exp(n ln m - (m - 1) L) is a martingale of mean
    1 for every m > 0; so is its average over m from a gamma distribution of shape and rate k, which is the one of the
    module's docstring. Its logarithm is convex in L: the two roots of u - (k + n) ln u = constant, u = k + L. The chance
    that the mean is ever outside is at most 1 - confidence (H. Robbins 1970; Howard, Ramdas, McAuliffe, Sekhon,
    Ann. Statist. 49, 2021, gamma-Poisson mixture; Lindon and Malek 2022). NaN stays NaN.
    """
    k = _TUNED
    shape = k + count
    constant = k * log(k) - lgamma(k) - k + _log_gamma(shape)
    # y = u / shape solves y - ln y - 1 = excess
    excess = np.maximum((-np.log(1 - confidence) - constant) / shape + np.log(shape) - 1.0, 0.0)
    below, above = _roots(excess)
    return np.maximum(shape * below - k, 0.0), shape * above - k


def _log_gamma(z: Floats) -> Floats:
    """ln Gamma(z) for z of 20 and more, by Stirling's series: within 1e-13 of it there."""
    inverse = 1.0 / z
    square = inverse * inverse
    series = inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))
    return (z - 0.5) * np.log(z) - z + 0.5 * log(2 * pi) + series


def _roots(excess: Floats) -> tuple[Floats, Floats]:
    """The two y with y - ln y - 1 = excess, below and above 1; Newton in ln y and in y, from a series in sqrt(excess)."""
    root = np.sqrt(2 * excess)
    below = -root - excess / 3  # ln y: exact to second order, and never above the root
    above = 1 + root + excess * (2 / 3)
    for _ in range(_NEWTON):
        lower = np.exp(below)
        slope = lower - 1.0
        below = below - np.divide(lower - below - 1 - excess, slope, out=np.zeros_like(below), where=slope < 0)
        slope = 1.0 - 1.0 / above
        wrong = above - np.log(above) - 1 - excess
        above = above - np.divide(wrong, slope, out=np.zeros_like(above), where=slope > 0)
    return np.exp(below), above
