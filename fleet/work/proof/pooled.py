"""observe_pool(): what a pool's API credits to the machines' workers, held against their claims.

A counter is booked like a machine's own. An average over a window is booked when a whole window has passed since the last
booking, so that no share is counted twice; it is credited work over time, and the claim of that time stands against it.
Pools tell late, and in lumps: after a break, figures count from `pool_delay_s` on, and the tests allow for shares of so long
that are still to be told.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fleet.columns import Bools, Floats
from fleet.work.pool_told import PoolTold
from fleet.work.proof.claims import Claims, claims, hardest, most_shares, since_booked
from fleet.work.proof.evidence import WORK_PER_THS_S, ClaimedSpan, Evidence
from fleet.work.proof.share_check import ShareCheck
from fleet.work.proof.verdicts import judged


def observe_pool(
    evidence: Evidence,
    check: ShareCheck,
    *,
    heard_s: Floats,
    claimed_ths: Floats,
    told: PoolTold,
    share_difficulty: Floats,
    uptime_s: Floats | None = None,
    power_w: Floats | None = None,
    tests: int | None = None,
) -> Evidence:
    """Take in the last readings of all machines and what their pools told last.

    `heard_s`, `claimed_ths`, `share_difficulty` (what the pool asks for, as the machine says), `uptime_s`, `power_w` and
    `tests` as for the counters. What a pool told counts once, with the next reading of the machine.
    """
    new = heard_s > evidence.heard_s
    if not new.any():
        return evidence
    said = claims(
        evidence, check, new=new, heard_s=heard_s, claimed_ths=claimed_ths, power_w=power_w, uptime_s=uptime_s
    )
    figures = _figures(evidence, check, new, told)
    difficulty = hardest(evidence, share_difficulty)
    ended = said.whole & figures.fresh & figures.moved & (figures.work >= 0) & (difficulty > 0) & (figures.span_s > 0)
    # of what was claimed, what is later than the pool's moment waits, and what is before its window is left out
    later = _later(said, heard_s - figures.told_s, heard_s - evidence.heard_s)
    part = (1 - later) * np.where(ended & ~figures.counts, figures.window_part, 1.0)
    per_share = np.where(ended, difficulty, 1.0)
    shares, expected = (
        np.where(ended, figures.work, 0.0) / per_share,
        np.where(ended, said.work * part, 0.0) / per_share,
    )
    believed = ended & (shares <= most_shares(expected))
    hashed_s = np.where(said.whole, evidence.settled_s + (heard_s - np.where(said.whole, evidence.heard_s, 0.0)), 0.0)
    begun = said.whole & figures.fresh & figures.unknown & (hashed_s >= check.pool_delay_s)
    rebased, lost = ended | begun, new & ~said.whole
    waits = np.where(rebased, later, 1.0)
    heard = replace(
        said.evidence,
        share_difficulty=since_booked(evidence, share_difficulty, difficulty, new, rebased),
        seen=np.where(figures.fresh & figures.counts, told.work, evidence.seen),
        told_s=np.where(figures.fresh, figures.told_s, evidence.told_s),
        counter=np.where(rebased, told.work, np.where(lost, np.nan, evidence.counter)),
        booked_s=np.where(rebased, figures.told_s, np.where(lost, np.nan, evidence.booked_s)),
        settled_s=np.where(new, hashed_s, evidence.settled_s),
        claimed_work=said.evidence.claimed_work * waits,
        joules=said.evidence.joules * waits,
        jumps=evidence.jumps + (ended & ~believed),
    )
    span = ClaimedSpan(
        believed, evidence.booked_s, figures.told_s, shares, expected, said.work * part, said.joules * part
    )
    return judged(heard, check, span, len(evidence) if tests is None else tests, check.pool_delay_s)


@dataclass(frozen=True, eq=False)
class _Figures:
    """What pools told, against what was booked last; one row a machine.

    `fresh`: told since the last reading, at `told_s`, `span_s` after the last booking. `counts`: by a counter, else by an
    average over `window_part` of the span. `work`: credited in the span or the window. `moved`: there is something to
    book. `unknown`: there is nothing yet that it could be counted from.
    """

    fresh: Bools
    told_s: Floats
    span_s: Floats
    counts: Bools
    window_part: Floats
    work: Floats
    moved: Bools
    unknown: Bools


def _figures(evidence: Evidence, check: ShareCheck, new: Bools, told: PoolTold) -> _Figures:
    """The figures of the machines whose readings are new."""
    fresh = new & np.isfinite(told.heard_s) & ~(told.heard_s <= evidence.told_s)
    told_s = np.where(fresh, told.heard_s, np.nan)
    span_s = told_s - evidence.booked_s
    counts = np.isfinite(told.work)
    work = np.where(counts, told.work - evidence.counter, told.rate_ths * told.window_s * WORK_PER_THS_S)
    # a counter that stands still counts as none for so long; an average counts once it overlaps with nothing booked
    stands = span_s >= check.most_gap_s
    moved = np.where(counts, (told.work != evidence.seen) | stands, span_s >= told.window_s)
    window_part = np.divide(told.window_s, span_s, out=np.ones(len(evidence)), where=span_s > 0)
    unknown = np.isnan(evidence.booked_s) | (counts & np.isnan(evidence.counter)) | (work < 0)
    return _Figures(fresh, told_s, span_s, counts, window_part, work, moved, unknown)


def _later(said: Claims, later_s: Floats, last_s: Floats) -> Floats:
    """The part of the claims since the last booking that is of the last `later_s` seconds, which are within the last span."""
    later = np.where(said.whole, said.mean_ths * np.minimum(later_s, last_s), 0.0) * WORK_PER_THS_S
    part = np.divide(later, said.work, out=np.zeros(len(later)), where=said.work > 0)
    return np.clip(np.where(np.isnan(part), 0.0, part), 0.0, 1.0)
