"""Evidence: what a machine's shares say of the hash rate that it claims, as columns; one such record per source.

A claim of R TH/s lets expect L = R * 1e12 * t / (d * 2**32) shares of difficulty d in t seconds; n arrive, Poisson. The
readers (`counters`, `pooled`, `tapped`) turn what they hear into n and L; `verdicts` judges them. What was delivered is
n / L over a window that is at most two settings long, with an interval that holds however often it is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final

import numpy as np

from fleet.columns import Floats, freeze_columns
from fleet.units import HASHES_PER_DIFFICULTY, HASHES_PER_TERAHASH
from fleet.work.proof.poisson import uniform_interval
from fleet.work.proof.running import Running, Span, Verdict

WORK_PER_THS_S: Final = HASHES_PER_TERAHASH / HASHES_PER_DIFFICULTY
"""Difficulty-1 shares of 2**32 hashes that a terahash a second brings in a second."""


__all__ = ["ClaimedSpan", "Delivered", "Evidence", "Source", "Verdict", "delivered", "over"]


class Source(IntEnum):
    """Who counted the shares; the later, the less it has to be taken on trust."""

    COUNTERS = 0
    """The machine itself."""
    POOL = 1
    """The pool, by its API."""
    TAP = 2
    """We, share by share."""


@dataclass(frozen=True, eq=False)
class Evidence(Running):
    """What is known of every machine from one source, one row each; the test's columns are those of Running.

    Last heard: `claim_ths` (NaN: none), `power_w`, `uptime_s`, `seen` (the counter as last told). Last booked, at
    `booked_s`: the `counter` (NaN: not yet), of the tap also its `exposure` and `epoch`. Since then: the hardest
    `share_difficulty`, `claimed_work` in difficulty-1 shares, and the `joules` used for it. Of a pool: `told_s`, the moment
    of its last figures, and `settled_s`, for how long the machine has hashed without a break. `jumps`: spans so far that
    brought more shares than can be believed, and were left out. Of the block: the `work` that was claimed, and the joules
    `used_j`; `before_*` of the one before.
    """

    claim_ths: Floats
    power_w: Floats
    uptime_s: Floats
    share_difficulty: Floats
    seen: Floats
    counter: Floats
    exposure: Floats
    epoch: Floats
    told_s: Floats
    settled_s: Floats
    booked_s: Floats
    claimed_work: Floats
    joules: Floats
    jumps: Floats
    work: Floats
    used_j: Floats
    before_work: Floats
    before_used_j: Floats

    TIMES: ClassVar[tuple[str, ...]] = (*Running.TIMES, "booked_s", "told_s")
    UNKNOWN: ClassVar[tuple[str, ...]] = (
        *Running.UNKNOWN,
        *("claim_ths", "power_w", "uptime_s", "share_difficulty", "seen", "counter", "exposure", "epoch", "booked_s"),
        "told_s",
    )
    SUMS: ClassVar[tuple[str, ...]] = (*Running.SUMS, "work", "used_j")


@dataclass(frozen=True, eq=False)
class ClaimedSpan(Span):
    """A span for which the claim was `work` difficulty-1 shares, and the meter counted `used_j` joules (NaN: unknown)."""

    work: Floats
    used_j: Floats


@dataclass(frozen=True, eq=False)
class Delivered:
    """Delivered over claimed, per machine, since `since_s`; NaN where nothing is known.

    `low` and `high` bound the mean of the true ratio over that time with the confidence asked for, at all times at once:
    looking often, or only when it suits, does not make them wrong more often. Each time since when is a life of its own:
    the clock's windows, and what begins with a verdict. (While it is the time since a change that a verdict has just
    found, the data chose its beginning; that they hold then too is measured, not proven.) `shares` were counted, of
    `expected`.
    """

    ratio: Floats
    low: Floats
    high: Floats
    shares: Floats
    expected: Floats
    since_s: Floats

    def __post_init__(self) -> None:
        """Read-only."""
        freeze_columns(self)


def delivered(evidence: Running, confidence: float = 0.95) -> Delivered:
    """What each machine delivered of its claim in this block and the one before, with its time-uniform interval."""
    shares = evidence.shares + evidence.before_shares
    expected = evidence.expected + evidence.before_expected
    since_s = np.where(evidence.before_expected > 0, evidence.before_s, evidence.block_s)
    return over(shares, expected, since_s, confidence)


def over(shares: Floats, expected: Floats, since_s: Floats, confidence: float = 0.95) -> Delivered:
    """Delivered of so many shares where so many were expected; for whoever counts from a moment of his own choosing."""
    low, high = uniform_interval(shares, confidence)
    scale = np.divide(1.0, expected, out=np.full(len(expected), np.nan), where=expected > 0)
    return Delivered(shares * scale, low * scale, high * scale, shares, expected, since_s)
