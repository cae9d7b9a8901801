"""Delays: how long a check takes to find a machine, before anything has happened; for people who choose its settings.

Wald's and Siegmund's approximations (`contrast`), which leave out what the last look overshoots: a few hundredths more at ten
looks per verdict, nothing at thousands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fleet.work.proof.contrast import Contrast
from fleet.work.proof.share_check import ShareCheck
from fleet.work.proof.watch import MONTH_S, Watch


@dataclass(frozen=True, slots=True)
class Delay:
    """Mean expected shares, and seconds at the machine's rate, until a machine is found; infinite where it is not."""

    shares: float
    seconds: float


def one_shot_delay(check: ShareCheck, expected_per_s: float, rate: float, tests: int = 1, score: float = 0.0) -> Delay:
    """Until a test on request ends, of a machine that delivers `rate` of its claim; either verdict.

    `tests` share the chance of a false alarm (`ShareCheck.one_shot`). A test under way has a `score`: then it is what is
    still to come, and nothing where a limit is reached.
    """
    short_at, honest_at = check.one_shot(tests)
    if not honest_at < score < short_at:
        return Delay(0.0, 0.0)
    return _delay(check.on_request.counts(rate, short_at - score, honest_at - score), expected_per_s)


def fleet_delay(check: Watch, expected_per_s: float, rate: float, tests: int) -> Delay:
    """From the moment at which a machine begins to deliver `rate` of its claim until the running test finds it.

    The running score may be anywhere then; this is from zero, where it is most of the time and where the delay is longest.
    """
    return _delay(check.contrast.counts_reflected(rate, _limit(check, expected_per_s, tests)), expected_per_s)


def well_delay(check: Watch, expected_per_s: float, rate: float) -> Delay:
    """Until a machine that was found short, and delivers `rate` of its claim from now on, is called well again."""
    limit = float(check.well_limit(np.array([expected_per_s]))[0])
    return _delay(check.contrast.turned().counts_reflected(rate, limit), expected_per_s)


def alarms_per_month(check: Watch, expected_per_s: float, rate: float, tests: int) -> float:
    """How often a fleet whose machines all deliver `rate` of their claims alarms; at most as stated within the tolerance."""
    shares = check.contrast.counts_reflected(rate, _limit(check, expected_per_s, tests))
    return tests * MONTH_S * expected_per_s / shares


def undecided(contrast: Contrast) -> float:
    """The rate at which the score has no drift: machines above it tend to be called honest, those below it short."""
    return -contrast.slope / contrast.step


def _limit(check: Watch, expected_per_s: float, tests: int) -> float:
    """The running test's limit at that rate."""
    return float(check.short_limit(np.array([expected_per_s]), tests)[0])


def _delay(shares: float, expected_per_s: float) -> Delay:
    """In shares and seconds."""
    return Delay(shares, shares / expected_per_s)
