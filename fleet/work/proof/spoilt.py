"""Spoilt shares: how many of a machine's shares are rejected, stale or faulty, and does that exceed a bound?

Of each share the question is whether it is spoilt, so the expected number under a bound is the bound times all shares. A
coin's generating function is below a Poisson's of the same mean (1 + p (m - 1) <= e^(p (m - 1))), so the same tests and
intervals hold. They take shares as independent: errors that come in bursts raise more alarms than stated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Self, TypeVar

import numpy as np
from pydantic import Field, model_validator

from fleet.columns import Floats
from fleet.settings import Seconds
from fleet.work.proof.contrast import Contrast
from fleet.work.proof.evidence import Delivered, delivered
from fleet.work.proof.running import Running, Span
from fleet.work.proof.verdicts import judged
from fleet.work.proof.watch import Watch


class SpoilCheck(Watch):
    """How many of its shares a machine may spoil (the site file's [beliefs.reject_check])."""

    usual: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """The share that is well: up to it there are no more false alarms than stated."""
    too_many: Annotated[float, Field(gt=0, lt=1)] = 0.03
    """The share that is to be found; above the usual."""
    most_gap_s: Seconds = 1_800
    """Two readings further apart than this say nothing of the time between them."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        """What is usual is not too many."""
        if self.usual >= self.too_many:
            raise ValueError(f"usual {self.usual}: expected less than too_many, {self.too_many}")
        return self

    @property
    def contrast(self) -> Contrast:
        """Too many against the usual."""
        return Contrast(self.usual, self.too_many)


@dataclass(frozen=True, eq=False)
class Spoilt(Running):
    """One row a machine: `shares` are the spoilt ones, `expected` all of them; SHORT is "spoils too many".

    As last heard: the counters `bad` and `good`, and `uptime_s`.
    """

    bad: Floats
    good: Floats
    uptime_s: Floats

    UNKNOWN: ClassVar[tuple[str, ...]] = (*Running.UNKNOWN, "bad", "good", "uptime_s")


SpoiltT = TypeVar("SpoiltT", bound=Spoilt)


def observe_spoilt(
    record: SpoiltT,
    check: SpoilCheck,
    *,
    heard_s: Floats,
    bad: Floats,
    good: Floats,
    uptime_s: Floats | None = None,
    per_share: Floats | None = None,
    tests: int | None = None,
) -> SpoiltT:
    """Take in the counters of spoilt and of good shares, one row a machine, NaN where they are not known.

    Rows that are no newer than before, or whose counters are not known or have not moved, wait. When a counter or
    `uptime_s` falls the machine started anew, and what came until then is left out. `per_share` is what the counters count
    for one share (None: one). `tests` share the stated rate (None: the machines).
    """
    # counters that have not moved may be those of an earlier, fuller look
    moved = (bad != record.bad) | (good != record.good)
    new = (heard_s > record.heard_s) & np.isfinite(bad) & np.isfinite(good) & moved
    if not new.any():
        return record
    uptime = np.full(len(record), np.nan) if uptime_s is None else uptime_s
    fell = uptime < record.uptime_s
    more_bad, more_good = bad - record.bad, good - record.good
    near = heard_s - record.heard_s <= check.most_gap_s
    booked = new & near & ~fell & (more_bad >= 0) & (more_good >= 0)
    if per_share is not None:
        more_bad, more_good = more_bad / per_share, more_good / per_share
    span = Span(booked, record.heard_s, heard_s, more_bad, more_bad + more_good)
    heard = replace(
        record,
        heard_s=np.where(new, heard_s, record.heard_s),
        bad=np.where(new, bad, record.bad),
        good=np.where(new, good, record.good),
        uptime_s=np.where(new, uptime, record.uptime_s),
    )
    return judged(heard, check, span, len(record) if tests is None else tests)


def spoilt_share(record: Spoilt, confidence: float = 0.95) -> Delivered:
    """The share of its shares that each machine spoilt lately, with its time-uniform interval within 0 and 1."""
    found = delivered(record, confidence)
    return replace(found, low=np.minimum(found.low, 1.0), high=np.minimum(found.high, 1.0))
