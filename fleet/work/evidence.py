"""Evidence: do a machine's shares bear out the hash rate that it claims? A sequential test per machine, as columns.

A claim of R TH/s lets expect L = R * 1e12 * t / (d * 2**32) shares of difficulty d in t seconds; n arrive, Poisson. The
log-likelihood ratio of "delivers 1 - x of its claim" against "delivers all of it" is n ln(1 - x) + x L, which adds up
over changing rates, difficulties and uneven polls (Wald's SPRT). It is stopped at ln(1 / alpha) and ln(beta), where
Ville's inequality bounds both errors whatever the overshoot; after each verdict the next test begins, so that a machine
that starts to cheat later is found too.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntEnum
from math import log, log1p
from statistics import NormalDist
from typing import Annotated

import numpy as np
from pydantic import Field

from fleet.columns import Codes, Floats, freeze_columns
from fleet.settings import Seconds, Settings
from fleet.units import HASHES_PER_DIFFICULTY, HASHES_PER_TERAHASH

_DIFFICULTY_1_PER_THS_S = HASHES_PER_TERAHASH / HASHES_PER_DIFFICULTY


class Verdict(IntEnum):
    """What the last finished test of a machine said."""

    UNTESTED = 0
    """None has finished yet."""
    HONEST = 1
    SHORT = 2
    """It delivers less than it claims."""


class ShareCheck(Settings):
    """How a machine's shares are held against its claim (the site file's [share_check])."""

    shortfall: Annotated[float, Field(ge=0.005, le=0.9)] = 0.05
    """The share of its claim that a machine must lack to be called short."""
    false_alarm: Annotated[float, Field(gt=0, le=0.5)] = 0.01
    """Chance that one round of tests over the whole site calls any honest machine short."""
    missed: Annotated[float, Field(gt=0, le=0.5)] = 0.01
    """Chance that one test calls a machine of just that shortfall honest."""
    most_gap_s: Seconds = 1_800
    """Two readings further apart than this say nothing of the time between them; a counter that has not moved for this
    long stands still."""

    def limits(self, fleet: int) -> tuple[float, float]:
        """The ratio at which a machine of a fleet is called short, and the one at which it is called honest."""
        return log(max(1, fleet) / self.false_alarm), log(self.missed)


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of every machine, one row each.

    Last reading: `heard_s` (-inf: none), `claim_ths` (NaN: none), `uptime_s`, `share_difficulty`, `seen` (the counter).
    Since the counter was booked at `counter` (NaN: not yet), at `booked_s`: `claimed_work`, in difficulty-1 shares of
    2**32 hashes. The running test,
    begun at `since_s`: `shares`, `expected`, `ratio` (the log-likelihood ratio). The last finished one: `verdict`,
    reached at `verdict_s` (-inf: never), with `tested_shares` and `tested_expected`.
    """

    heard_s: Floats
    claim_ths: Floats
    uptime_s: Floats
    share_difficulty: Floats
    seen: Floats
    counter: Floats
    booked_s: Floats
    claimed_work: Floats
    since_s: Floats
    shares: Floats
    expected: Floats
    ratio: Floats
    verdict: Codes
    verdict_s: Floats
    tested_shares: Floats
    tested_expected: Floats

    def __post_init__(self) -> None:
        """Read-only, one length."""
        freeze_columns(self)
        if len({len(getattr(self, field.name)) for field in fields(self)}) != 1:
            raise ValueError("the columns of evidence are of different lengths")

    def __len__(self) -> int:
        """How many machines."""
        return len(self.heard_s)

    def shifted(self, by_s: float) -> Evidence:
        """The same on a clock that has stepped."""
        times = ("heard_s", "booked_s", "since_s", "verdict_s")
        return replace(self, **{name: getattr(self, name) + by_s for name in times})

    @classmethod
    def nothing(cls, n: int) -> Evidence:
        """Columns for n machines of which nothing was heard."""

        def filled(value: float) -> Floats:
            return np.full(n, value)

        return cls(
            heard_s=filled(-np.inf),
            claim_ths=filled(np.nan),
            uptime_s=filled(np.nan),
            share_difficulty=filled(np.nan),
            seen=filled(np.nan),
            counter=filled(np.nan),
            booked_s=filled(np.nan),
            claimed_work=filled(0.0),
            since_s=filled(np.nan),
            shares=filled(0.0),
            expected=filled(0.0),
            ratio=filled(0.0),
            verdict=np.full(n, Verdict.UNTESTED, np.int16),
            verdict_s=filled(-np.inf),
            tested_shares=filled(0.0),
            tested_expected=filled(0.0),
        )


@dataclass(frozen=True, eq=False)
class Delivered:
    """Delivered over claimed, per machine, over the last finished test and the running one; NaN where nothing is known.

    `low` and `high` bound `ratio` with the confidence asked for, at one look; they are not time-uniform, the verdict is.
    """

    ratio: Floats
    low: Floats
    high: Floats

    def __post_init__(self) -> None:
        """Read-only."""
        freeze_columns(self)


def observe(
    evidence: Evidence,
    check: ShareCheck,
    *,
    heard_s: Floats,
    claimed_ths: Floats,
    accepted_difficulty: Floats,
    share_difficulty: Floats,
    uptime_s: Floats | None = None,
    fleet: int | None = None,
) -> Evidence:
    """Take in the last readings of all machines, each column one row a machine and NaN where it is not known.

    `heard_s` is when each last answered (NaN: never): rows that are no newer than before change nothing, and with none
    newer the same evidence comes back. `claimed_ths` is the machine's own hash rate while it hashes and NaN while it
    does not; between two readings it is taken as a straight line. `accepted_difficulty` is the machine's counter, in
    difficulty-1 shares; when it falls, or `uptime_s` does, the machine started anew and the span is dropped. A reading
    whose counter is not known, or has not moved (it may be an older one), adds its claim, and the next one that has
    moved books both. `fleet` divides the false-alarm chance (None: the number of machines).
    """
    new = heard_s > evidence.heard_s
    if not new.any():
        return evidence
    claimed = np.where(np.isfinite(claimed_ths) & (claimed_ths >= 0), claimed_ths, np.nan)
    uptime = np.full(len(evidence), np.nan) if uptime_s is None else uptime_s
    # comparisons with NaN are false: a span needs a claim at both of its ends
    mean_ths = 0.5 * (evidence.claim_ths + claimed)
    elapsed_s = heard_s - evidence.heard_s
    whole = (elapsed_s <= check.most_gap_s) & (mean_ths >= 0) & ~(uptime < evidence.uptime_s)
    work = np.where(whole, evidence.claimed_work + mean_ths * elapsed_s * _DIFFICULTY_1_PER_THS_S, 0.0)
    # between two difficulties the harder counts: fewer shares of more work each make the test slower, never bolder
    difficulty = np.fmax(share_difficulty, evidence.share_difficulty)
    known = np.isfinite(accepted_difficulty)
    moved = known & (accepted_difficulty != evidence.seen)
    still = known & (heard_s - evidence.booked_s >= check.most_gap_s)
    delta = accepted_difficulty - evidence.counter
    booked = new & whole & (moved | still) & (delta >= 0) & (difficulty > 0)
    # after a break only a counter that has moved is known to be of now, and a new span begins with it
    begun = new & moved & (~whole | (delta < 0) | np.isnan(evidence.counter))
    rebased = booked | begun
    per_share = np.where(booked, difficulty, 1.0)
    shares = np.where(booked, delta, 0.0) / per_share
    expected = np.where(booked, work, 0.0) / per_share
    heard = replace(
        evidence,
        heard_s=np.where(new, heard_s, evidence.heard_s),
        claim_ths=np.where(new, claimed, evidence.claim_ths),
        uptime_s=np.where(new, uptime, evidence.uptime_s),
        share_difficulty=np.where(new & (share_difficulty > 0), share_difficulty, evidence.share_difficulty),
        seen=np.where(new & known, accepted_difficulty, evidence.seen),
        counter=np.where(rebased, accepted_difficulty, np.where(new & ~whole, np.nan, evidence.counter)),
        booked_s=np.where(rebased, heard_s, evidence.booked_s),
        claimed_work=np.where(rebased, 0.0, np.where(new, work, evidence.claimed_work)),
        since_s=np.where(new & np.isnan(evidence.since_s), heard_s, evidence.since_s),
    )
    return _judged(heard, check, shares, expected, len(evidence) if fleet is None else fleet)


def _judged(evidence: Evidence, check: ShareCheck, shares: Floats, expected: Floats, fleet: int) -> Evidence:
    """The tests after so many more shares, and as many expected; what reached a limit is a verdict, and begins anew."""
    short_at, honest_at = check.limits(fleet)
    shares = evidence.shares + shares
    expected = evidence.expected + expected
    ratio = shares * log1p(-check.shortfall) + check.shortfall * expected
    short, honest = ratio >= short_at, ratio <= honest_at
    done = short | honest
    if not done.any():
        return replace(evidence, shares=shares, expected=expected, ratio=ratio)
    return replace(
        evidence,
        shares=np.where(done, 0.0, shares),
        expected=np.where(done, 0.0, expected),
        ratio=np.where(done, 0.0, ratio),
        since_s=np.where(done, evidence.heard_s, evidence.since_s),
        verdict=np.where(short, Verdict.SHORT, np.where(honest, Verdict.HONEST, evidence.verdict)).astype(np.int16),
        verdict_s=np.where(done, evidence.heard_s, evidence.verdict_s),
        tested_shares=np.where(done, shares, evidence.tested_shares),
        tested_expected=np.where(done, expected, evidence.tested_expected),
    )


def delivered(evidence: Evidence, confidence: float = 0.95) -> Delivered:
    """What each machine delivered of its claim, with its interval."""
    shares = evidence.shares + evidence.tested_shares
    expected = evidence.expected + evidence.tested_expected
    low, high = poisson_interval(shares, confidence)
    scale = np.divide(1.0, expected, out=np.full(len(evidence), np.nan), where=expected > 0)
    return Delivered(shares * scale, low * scale, high * scale)


def poisson_interval(count: Floats, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """The exact (Garwood) interval of a Poisson mean from a count, by Wilson and Hilferty's cube root of chi-square.

    At 95 % its limits are within 0.6 % of the interval's width for every count and 0.01 % from 50 on; at 99 % within
    0.8 % and 0.04 %.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    above = count + 1.0
    high = above * (1 - 1 / (9 * above) + z / (3 * np.sqrt(above))) ** 3
    some = np.maximum(count, 1e-9)
    low = some * np.maximum(1 - 1 / (9 * some) - z / (3 * np.sqrt(some)), 0.0) ** 3
    return low, high


def shares_to_find(check: ShareCheck, fleet: int) -> float:
    """Expected shares, by its claim, until a machine of just that shortfall is called short (Wald's approximation)."""
    short_at, honest_at = check.limits(fleet)
    drift = (1 - check.shortfall) * log1p(-check.shortfall) + check.shortfall
    return ((1 - check.missed) * short_at + check.missed * honest_at) / drift
