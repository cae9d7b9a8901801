"""Shares of many pretend machines, look by look: what `detection` draws its figures from.

A look is 10 s at 30 shares a minute, as the daemon's lean look; numbers are Poisson. Every function takes its generator, so
that one seed repeats a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from fleet.columns import Bools, Floats
from fleet.work.proof.contrast import Contrast
from fleet.work.proof.evidence import ClaimedSpan, Delivered, Evidence, Verdict, delivered
from fleet.work.proof.poisson import poisson_interval
from fleet.work.proof.share_check import ShareCheck
from fleet.work.proof.verdicts import judged

LOOK_S: Final = 10.0
PER_S: Final = 0.5
PER_LOOK: Final = LOOK_S * PER_S
_BLOCK: Final = 256
_MOST_COUNTS: Final = 200


@dataclass(frozen=True, slots=True)
class Trials:
    """One-shot tests: which ended short, and the expected shares that each took."""

    short: Bools
    took: Floats


def trials(check: ShareCheck, rate: float, machines: int, dice: np.random.Generator) -> Trials:
    """A one-shot test of each of so many machines that deliver `rate` of their claims."""
    short_at, honest_at = check.one_shot()
    score, took, short = np.zeros(machines), np.zeros(machines), np.zeros(machines, np.bool_)
    alive, looks = np.arange(machines), 0
    while len(alive):
        counts = dice.poisson(PER_LOOK * rate, (len(alive), _BLOCK)).astype(np.float64)
        path = score[alive, None] + np.cumsum(check.on_request.score(counts, PER_LOOK), axis=1)
        out = (path >= short_at) | (path <= honest_at)
        ended, first = out.any(axis=1), out.argmax(axis=1)
        took[alive[ended]] = (looks + first[ended] + 1) * PER_LOOK
        short[alive[ended]] = path[ended, first[ended]] >= short_at
        score[alive] = path[:, -1]
        alive, looks = alive[~ended], looks + _BLOCK
    return Trials(short, took)


def false_alarms(
    contrast: Contrast, limits: Floats, looks: int, machines: int, dice: np.random.Generator
) -> dict[float, int]:
    """Alarms of so many honest machines together under each limit: what `judged` does to a score, and nothing else.

    A test holds this kernel to the product's (`tests/fleet/work/test_verdicts.py`).
    """
    table = contrast.score(np.arange(float(_MOST_COUNTS)), PER_LOOK)
    scores = [np.zeros(machines) for _ in limits]
    alarms = dict.fromkeys((float(limit) for limit in limits), 0)
    for done in range(0, looks, _BLOCK):
        for gain in table[dice.poisson(PER_LOOK * contrast.null, (min(_BLOCK, looks - done), machines))]:
            for score, limit in zip(scores, limits, strict=True):
                np.add(score, gain, out=score)
                np.maximum(score, 0.0, out=score)
                if score.max() >= limit:
                    over = score >= limit
                    alarms[float(limit)] += int(over.sum())
                    score[over] = 0.0
    return alarms


def looked(
    evidence: Evidence, check: ShareCheck, at_s: float, rate: float, tests: int, dice: np.random.Generator
) -> Evidence:
    """One more look, up to `at_s`, at machines that deliver `rate` of their claims; the product's own code."""
    n = len(evidence)
    counts, due = dice.poisson(PER_LOOK * rate, n).astype(np.float64), np.full(n, PER_LOOK)
    booked, unknown = np.ones(n, np.bool_), np.full(n, np.nan)
    span = ClaimedSpan(booked, np.full(n, at_s - LOOK_S), np.full(n, at_s), counts, due, due, unknown)
    return judged(evidence, check, span, tests)


@dataclass(frozen=True, slots=True)
class Found:
    """Machines that changed and were found, one row each.

    `delay_s` from the change; `since_error_s`: the stated change minus the real one; `width`: of the interval that came
    with the verdict, `covers`: whether it held the mean of the true ratio since its own beginning.
    """

    delay_s: Floats
    since_error_s: Floats
    width: Floats
    covers: Bools


def found(
    check: ShareCheck, rate: float, machines: int, tests: int, dice: np.random.Generator, honest_s: float = 40_000.0
) -> Found:
    """Machines that are honest for `honest_s`, then deliver `rate`, until each is found."""
    evidence, at_s = Evidence.nothing(machines), 0.0
    columns = {name: np.full(machines, np.nan) for name in ("delay_s", "since_error_s", "width")}
    covers, pending = np.zeros(machines, np.bool_), np.ones(machines, np.bool_)
    while pending.any():
        at_s += LOOK_S
        evidence = looked(evidence, check, at_s, 1.0 if at_s <= honest_s else rate, tests, dice)
        now = pending & (evidence.verdict == Verdict.SHORT) & (at_s > honest_s)
        if now.any():
            said = delivered(evidence)
            columns["delay_s"][now] = at_s - honest_s
            columns["since_error_s"][now] = evidence.since_s[now] - honest_s
            columns["width"][now] = (said.high - said.low)[now]
            covers[now] = _covers(said, at_s, honest_s, rate)[now]
            pending &= ~now
    return Found(columns["delay_s"], columns["since_error_s"], columns["width"], covers)


def _covers(said: Delivered, at_s: float, honest_s: float, rate: float) -> Bools:
    """Whether an interval holds the mean of the true ratio since its beginning, which may lie before the change."""
    honest = np.maximum(honest_s - said.since_s, 0.0) / np.maximum(at_s - said.since_s, LOOK_S)
    truth = honest + rate * (1 - honest)
    holds: Bools = (said.low <= truth) & (truth <= said.high)
    return holds


@dataclass(frozen=True, slots=True)
class Coverage:
    """Machines whose interval was ever out: of the one that holds at all times, and of Garwood's, looked at as often."""

    uniform: float
    one_look: float
    width_over_one_look: float


def coverage(rate: float, machines: int, looks: int, dice: np.random.Generator) -> Coverage:
    """Both 95 % intervals of machines that deliver `rate`, at every look from nothing on."""
    evidence, check = Evidence.nothing(machines), ShareCheck(shortfall=0.9, window_s=1e7)
    uniform, once = np.zeros(machines, np.bool_), np.zeros(machines, np.bool_)
    width = np.nan
    for look in range(1, looks + 1):
        evidence = looked(evidence, check, look * LOOK_S, rate, 1, dice)
        said = delivered(evidence)
        uniform |= (said.low > rate) | (said.high < rate)
        low, high = poisson_interval(said.shares)
        once |= (low > rate * said.expected) | (high < rate * said.expected)
        width = float(((said.high - said.low) * said.expected / (high - low)).mean())
    return Coverage(float(uniform.mean()), float(once.mean()), width)
