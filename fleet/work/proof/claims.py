"""Claims between two readings: the work that was claimed and the joules that were used, summed until somebody counts.

What the three readers of shares have in common. A span needs a claim at both of its ends, not too far apart, and no
restart between them; the claim is taken as a straight line.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from fleet.columns import Bools, Floats, freeze_columns
from fleet.work.proof.evidence import WORK_PER_THS_S, Evidence
from fleet.work.proof.share_check import ShareCheck

_MOST_THS: Final = 1e7
_MOST_W: Final = 1e9
_DIFFICULTIES: Final = (1e-10, 1e18)
"""From the easiest chain for tests to a thousand times what the network asks for."""


@dataclass(frozen=True, eq=False)
class Claims:
    """What readings add: `evidence` with what they said in it, and whether each machine's span is `whole` so far.

    `work[n]` (difficulty-1 shares) and `joules[n]` (NaN: power not known) are of the time since `evidence.booked_s`;
    `mean_ths[n]` is of the last span alone.
    """

    evidence: Evidence
    whole: Bools
    work: Floats
    joules: Floats
    mean_ths: Floats

    def __post_init__(self) -> None:
        """Read-only."""
        freeze_columns(self)


def claims(
    evidence: Evidence,
    check: ShareCheck,
    *,
    new: Bools,
    heard_s: Floats,
    claimed_ths: Floats,
    power_w: Floats | None,
    uptime_s: Floats | None,
) -> Claims:
    """The claims of the rows that are `new`, added to those that are not booked yet; a span that is not whole begins anew."""
    unknown = np.full(len(evidence), np.nan)
    claimed = np.where((claimed_ths >= 0) & (claimed_ths <= _MOST_THS), claimed_ths, np.nan)
    power = unknown if power_w is None else np.where((power_w >= 0) & (power_w <= _MOST_W), power_w, np.nan)
    uptime = unknown if uptime_s is None else uptime_s
    elapsed_s = heard_s - evidence.heard_s
    mean_ths = 0.5 * (evidence.claim_ths + claimed)
    # comparisons with NaN are false: a span needs a claim at both of its ends
    whole = new & (elapsed_s <= check.most_gap_s) & (mean_ths >= 0) & ~(uptime < evidence.uptime_s)
    # a lean reading may not bring the power: then that of the other end is the best guess
    mean_w = 0.5 * (
        np.where(np.isnan(power), evidence.power_w, power)
        + np.where(np.isnan(evidence.power_w), power, evidence.power_w)
    )
    passed_s = np.where(whole, elapsed_s, 0.0)
    work = np.where(whole, evidence.claimed_work + np.where(whole, mean_ths, 0.0) * passed_s * WORK_PER_THS_S, 0.0)
    joules = np.where(whole, evidence.joules + mean_w * passed_s, 0.0)
    heard = replace(
        evidence,
        heard_s=np.where(new, heard_s, evidence.heard_s),
        claim_ths=np.where(new, claimed, evidence.claim_ths),
        power_w=np.where(new, power, evidence.power_w),
        uptime_s=np.where(new, uptime, evidence.uptime_s),
        claimed_work=np.where(new, work, evidence.claimed_work),
        joules=np.where(new, joules, evidence.joules),
    )
    return Claims(heard, whole, work, joules, mean_ths)


def _plausible(difficulty: Floats) -> Bools:
    """Difficulties of shares that somebody may really ask for."""
    plausible: Bools = (difficulty >= _DIFFICULTIES[0]) & (difficulty <= _DIFFICULTIES[1])
    return plausible


def hardest(evidence: Evidence, share_difficulty: Floats) -> Floats:
    """The hardest difficulty of the span so far, NaN where none is known; what is none is left out."""
    return np.fmax(np.where(_plausible(share_difficulty), share_difficulty, np.nan), evidence.share_difficulty)


def since_booked(evidence: Evidence, said: Floats, difficulty: Floats, new: Bools, rebased: Bools) -> Floats:
    """The hardest difficulty since the last booking; with a new one it begins with what was `said` last, if anything was."""
    return np.where(new, np.where(rebased & _plausible(said), said, difficulty), evidence.share_difficulty)


def most_shares(expected: Floats) -> Floats:
    """More than so many shares of one span are a counter's jump, not luck: twice what was expected, and twenty.

    An honest machine brings more with a chance below 1e-11 whatever is expected.
    """
    return 2 * expected + 20
