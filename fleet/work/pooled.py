"""observe_pool(): what a pool's API credits to the machines' workers, held against their claims.

A counter is booked like a machine's own. An average over a window is booked when a whole window has passed since the last
booking, so that no share is counted twice; it is credited work over time, and the claim of that time stands against it.
Pools tell late: after a break, figures count from `pool_delay_s` on.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fleet.columns import Floats
from fleet.work.claims import claims, most_shares
from fleet.work.evidence import WORK_PER_THS_S, ClaimedSpan, Evidence
from fleet.work.pool_told import PoolTold
from fleet.work.share_check import ShareCheck
from fleet.work.verdicts import judged


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
    `tests` as for the counters. What a pool told is booked once the claims are known up to its moment.
    """
    new = heard_s > evidence.heard_s
    if not new.any():
        return evidence
    said = claims(
        evidence, check, new=new, heard_s=heard_s, claimed_ths=claimed_ths, power_w=power_w, uptime_s=uptime_s
    )
    counts = np.isfinite(told.work)
    difficulty = np.fmax(share_difficulty, evidence.share_difficulty)
    # claims beyond the pool's moment stay for the next booking
    told_s = np.where(told.heard_s <= heard_s, told.heard_s, np.nan)
    later_s = np.minimum(heard_s - told_s, heard_s - evidence.heard_s)
    kept = np.where(said.whole, said.mean_ths * later_s * WORK_PER_THS_S, 0.0)
    span_s = told_s - evidence.booked_s
    moved = np.where(counts, told.work != evidence.seen, span_s >= told.window_s)
    still = span_s >= check.most_gap_s
    delta = np.where(counts, told.work - evidence.counter, told.rate_ths * told.window_s * WORK_PER_THS_S)
    part = np.where(counts, 1.0, np.divide(told.window_s, span_s, out=np.ones(len(evidence)), where=span_s > 0))
    ended = said.whole & (moved | still) & (delta >= 0) & (difficulty > 0) & (span_s > 0)
    work = np.maximum(said.work - kept, 0.0) * part
    per_share = np.where(ended, difficulty, 1.0)
    shares, expected = np.where(ended, delta, 0.0) / per_share, np.where(ended, work, 0.0) / per_share
    believed = ended & (shares <= most_shares(expected))
    whole_s = np.where(said.whole, evidence.settled_s + heard_s - evidence.heard_s, 0.0)
    settled = whole_s >= check.pool_delay_s
    begun = said.whole & settled & np.isnan(evidence.booked_s) & np.isfinite(told_s)
    rebased = ended | begun | (new & said.whole & (delta < 0))
    lost = new & ~said.whole
    heard = replace(
        said.evidence,
        share_difficulty=np.where(new & (share_difficulty > 0), share_difficulty, evidence.share_difficulty),
        seen=np.where(new & counts, told.work, evidence.seen),
        counter=np.where(rebased, told.work, np.where(lost, np.nan, evidence.counter)),
        booked_s=np.where(rebased, told_s, np.where(lost, np.nan, evidence.booked_s)),
        settled_s=np.where(new, whole_s, evidence.settled_s),
        claimed_work=np.where(rebased, kept, said.evidence.claimed_work),
        joules=np.where(rebased, 0.0, said.evidence.joules),
        jumps=evidence.jumps + (ended & ~believed),
    )
    span = ClaimedSpan(believed, evidence.booked_s, told_s, shares, expected, work, said.joules)
    return judged(heard, check, span, len(evidence) if tests is None else tests)
