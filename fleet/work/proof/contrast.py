"""Contrast: two rates that a count of shares is to tell apart, and what it costs to do so.

Counts come at `rate` times what is expected, Poisson; "null" and "other" are two values of that rate. The log-likelihood
ratio of n counts where L were expected is n ln(other / null) + (null - other) L: it adds up over changing difficulties
and claims, for they change L alone. Wald's approximations say how many counts a decision takes (A. Wald, Sequential
Analysis, 1947; D. Siegmund, Sequential Analysis, 1985, chapters 2 and 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import exp, expm1, inf, log, log1p
from typing import Final

import numpy as np

from fleet.columns import Floats

_SAME: Final = 1e-12
_HALVINGS: Final = 200
_OVERFLOW: Final = 700.0


@dataclass(frozen=True, slots=True)
class Contrast:
    """Rates `null` and `other`, both relative to what is expected; positive and different (ValueError)."""

    null: float
    other: float

    def __post_init__(self) -> None:
        """Two rates that can be told apart."""
        if not (self.null > 0 and self.other > 0) or self.null == self.other:
            raise ValueError(f"rates {self.null} and {self.other}: expected two different ones above zero")

    @property
    def step(self) -> float:
        """What one count adds to the log-likelihood ratio."""
        return log(self.other / self.null)

    @property
    def slope(self) -> float:
        """What one expected count adds to it."""
        return self.null - self.other

    def score(self, counts: Floats, expected: Floats | float) -> Floats:
        """Log-likelihood ratio of "other" against "null"; shapes as given."""
        return counts * self.step + expected * self.slope

    def drift(self, rate: float) -> float:
        """Mean of the score per expected count when counts come at `rate`."""
        return rate * self.step + self.slope

    @property
    def information(self) -> float:
        """Minus the drift under "null": the Kullback-Leibler divergence of "other" from it, per expected count."""
        return -self.drift(self.null)

    def turned(self) -> Contrast:
        """The same question with the roles changed; its score is minus this one's."""
        return Contrast(self.other, self.null)

    def exponent(self, rate: float) -> float:
        """The h != 0 with E[exp(h * score)] = 1 when counts come at `rate`: 1 under "null", -1 under "other".

        It is the root of rate * (exp(h * step) - 1) + h * slope; 0 where the drift is nil, infinite where no count comes.
        """
        return _exponent(self, rate)

    def chance(self, rate: float, other_at: float, null_at: float) -> float:
        """Chance that a test between `null_at` < 0 < `other_at` ends at `other_at` (Wald: overshoot left out)."""
        h = self.exponent(rate)
        if h == 0:
            return -null_at / (other_at - null_at)
        # (1 - e^(h null_at)) / (e^(h other_at) - e^(h null_at)), turned so that no exponent is above zero
        if h < 0:
            return expm1(-h * null_at) / expm1(h * (other_at - null_at))
        return expm1(h * null_at) * exp(-h * other_at) / expm1(h * (null_at - other_at))

    def counts(self, rate: float, other_at: float, null_at: float) -> float:
        """Expected counts until that test ends (Wald: overshoot left out)."""
        drift = self.drift(rate)
        if abs(drift) < _SAME:
            return -null_at * other_at / (rate * self.step**2)
        above = self.chance(rate, other_at, null_at)
        return (above * other_at + (1 - above) * null_at) / drift

    def counts_reflected(self, rate: float, limit: float) -> float:
        """Expected counts until the score, held at zero from below, first reaches `limit`; infinite where that overflows.

        With the h of `exponent`, (limit - (e^(h limit) - 1) / h) / drift: a Brownian motion's (Siegmund 1985, 2.52), and
        under "null" the bound of `rare_limit`.
        """
        drift, h = self.drift(rate), self.exponent(rate)
        if h == 0:
            return limit**2 / (rate * self.step**2)
        if h * limit > _OVERFLOW:
            return inf
        return (limit - expm1(h * limit) / h) / drift

    def rare_limit(self, expected: Floats) -> Floats:
        """The limit that a score held at zero from below reaches at most once in `expected` counts under "null".

        Smallest h, but for a little, with (e^h - h - 1) / information >= expected; `verdicts` says why that is so.
        """
        bound = np.maximum(expected, 0.0) * self.information
        # h = ln(2 + y + ln(1 + y)) has e^h - 1 - h >= y, because 2 + y + ln(1 + y) <= e (1 + y)
        return np.log(2.0 + bound + np.log1p(bound))


@lru_cache(maxsize=4_096)
def _exponent(contrast: Contrast, rate: float) -> float:
    """See `Contrast.exponent`; kept, because whoever asks for many machines asks for the same few rates."""
    step, slope = contrast.step, contrast.slope
    if abs(contrast.drift(rate)) < _SAME:
        return 0.0
    sign = 1.0 if contrast.drift(rate) < 0 else -1.0

    def growth(h: float) -> float:
        return rate * expm1(sign * h * step) + sign * h * slope

    high, most = 1.0, _OVERFLOW / abs(step)
    while growth(high) < 0:
        if high == most:
            return sign * inf
        high = min(2 * high, most)
    low = 0.0
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if growth(middle) < 0 else (low, middle)
    return sign * high


def wald_limits(false_alarm: float, missed: float) -> tuple[float, float]:
    """Where a one-shot test ends: above for "other", below for "null".

    ln(1 / false_alarm) and ln(missed) rather than Wald's ln((1 - missed) / false_alarm) and so on: by Ville's inequality
    these bound both chances whatever the overshoot, and they cost 0.2 % more at 1 %.
    """
    return -log(false_alarm), log(missed)


def wald_counts(contrast: Contrast, false_alarm: float, missed: float) -> float:
    """Wald's expected counts under "other" of the test with these two chances: the yardstick of the issue's figures."""
    above, below = log1p(-missed) - log(false_alarm), log(missed) - log1p(-false_alarm)
    return ((1 - missed) * above + missed * below) / contrast.drift(contrast.other)
