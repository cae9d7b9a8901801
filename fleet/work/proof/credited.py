"""Credited: the part of a machine's claim that its shares leave it, for whoever values hashes.

The claim stands as long as the shares allow it: what is credited is the claim, moved into the interval of what is proven,
and no further. The interval is so wide that with the stated chance no honest machine of the whole fleet ever leaves its
claim; of a machine that the tests found short, it is the interval that people are shown.
"""

from __future__ import annotations

import numpy as np

from fleet.columns import Floats
from fleet.work.proof.evidence import Verdict, over
from fleet.work.proof.proven import Proven
from fleet.work.proof.share_check import ShareCheck


def credited(proven: Proven, check: ShareCheck, sources: int, confidence: float = 0.95) -> Floats:
    """credit[n]: over the claim; 1 where nothing is known.

    An honest machine's is 1 at all times, but for a chance of `check.false_alarm` for all machines and a window together.
    Any of the `sources` of `proven` may be the one that speaks, so the chance is divided among them too. `confidence` is
    that of the interval of a machine found short.
    """
    n = len(proven)
    credit = np.ones(n)
    if not (proven.expected > 0).any():
        return credit
    wide = over(proven.shares, proven.expected, proven.since_s, 1.0 - check.false_alarm / max(1, n * sources))
    credit = _within(wide.low, wide.high)
    short = np.flatnonzero(proven.verdict == Verdict.SHORT)
    if len(short):
        shown = over(proven.shares[short], proven.expected[short], proven.since_s[short], confidence)
        credit[short] = _within(shown.low, shown.high)
    return credit


def _within(low: Floats, high: Floats) -> Floats:
    """One, moved into the interval; one where there is none."""
    return np.where(np.isnan(low) | np.isnan(high), 1.0, np.clip(1.0, low, high))
