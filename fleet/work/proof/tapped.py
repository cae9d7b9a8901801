"""observe_counted(): what our tap counted, share by share, held against the machines' claims.

The tap's exposure is the time integral of one over the difficulty asked for, so a claim times exposure is the shares to
expect whatever difficulties were given in between; every share counts as one. Shares wait until the claim is known at both
ends of their span.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fleet.columns import Floats
from fleet.work.counted import Counted
from fleet.work.proof.claims import claims, most_shares
from fleet.work.proof.evidence import ClaimedSpan, Evidence
from fleet.work.proof.share_check import ShareCheck
from fleet.work.proof.verdicts import judged


def observe_counted(
    evidence: Evidence,
    check: ShareCheck,
    *,
    heard_s: Floats,
    claimed_ths: Floats,
    counted: Counted,
    uptime_s: Floats | None = None,
    power_w: Floats | None = None,
    tests: int | None = None,
) -> Evidence:
    """Take in the last readings of all machines and what the tap has counted by now.

    `heard_s`, `claimed_ths`, `uptime_s`, `power_w` and `tests` as for the counters: rows whose claim is no newer wait, and
    lose nothing. With another `counted.epoch` the counters began anew, and the span until then is dropped.
    """
    new = heard_s > evidence.heard_s
    if not new.any():
        return evidence
    said = claims(
        evidence, check, new=new, heard_s=heard_s, claimed_ths=claimed_ths, power_w=power_w, uptime_s=uptime_s
    )
    epoch = float(counted.epoch)
    shares, exposure = counted.shares - evidence.counter, counted.exposure - evidence.exposure
    ended = said.whole & (evidence.epoch == epoch) & (shares >= 0) & (exposure >= 0)
    span_s = np.where(ended, heard_s - evidence.booked_s, 1.0)
    expected = np.where(ended, said.work / np.where(span_s > 0, span_s, 1.0) * exposure, 0.0)
    believed = ended & (shares <= most_shares(expected))
    heard = replace(
        said.evidence,
        counter=np.where(new, counted.shares, evidence.counter),
        exposure=np.where(new, counted.exposure, evidence.exposure),
        epoch=np.where(new, epoch, evidence.epoch),
        booked_s=np.where(new, heard_s, evidence.booked_s),
        share_difficulty=np.where(new, counted.difficulty, evidence.share_difficulty),
        claimed_work=np.where(new, 0.0, said.evidence.claimed_work),
        joules=np.where(new, 0.0, said.evidence.joules),
        jumps=evidence.jumps + (ended & ~believed),
    )
    span = ClaimedSpan(believed, evidence.booked_s, heard_s, shares, expected, said.work, said.joules)
    return judged(heard, check, span, len(evidence) if tests is None else tests)
