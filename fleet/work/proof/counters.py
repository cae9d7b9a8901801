"""observe(): a machine's own accepted-difficulty counter held against its claim; all machines at once.

Readings come unevenly, the counter more seldom than the claim, and late; counters begin anew, wrap and jump. Claims are
summed until a counter moves, then both are booked for the same span; a span that cannot be trusted says nothing.
Where the difficulty changed within a span, its shares count as those of the harder one: fewer shares of more work each make
the tests slower, never bolder (m^w <= 1 + w (m - 1) for a share of weight w <= 1, so what bounds the errors still does).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fleet.columns import Floats
from fleet.work.proof.claims import claims, hardest, most_shares, since_booked
from fleet.work.proof.evidence import ClaimedSpan, Evidence
from fleet.work.proof.share_check import ShareCheck
from fleet.work.proof.verdicts import judged


def observe(
    evidence: Evidence,
    check: ShareCheck,
    *,
    heard_s: Floats,
    claimed_ths: Floats,
    accepted_difficulty: Floats,
    share_difficulty: Floats,
    uptime_s: Floats | None = None,
    power_w: Floats | None = None,
    tests: int | None = None,
) -> Evidence:
    """Take in the last readings of all machines, each column one row a machine and NaN where it is not known.

    `heard_s` is when each last answered (NaN: never): rows that are no newer than before change nothing, and with none
    newer the same evidence comes back. `claimed_ths` is the machine's own hash rate while it hashes and NaN while it
    does not; between two readings it is taken as a straight line, and so is `power_w`. `accepted_difficulty` is the
    machine's counter, in difficulty-1 shares; when it falls, or `uptime_s` does, the machine started anew and the span is
    dropped. A reading whose counter is not known, or has not moved (it may be an older one), adds its claim, and the next
    one that has moved books both. `tests` share the stated rate of false alarms: machines times the sources that are
    watched (None: the number of machines).
    """
    new = heard_s > evidence.heard_s
    if not new.any():
        return evidence
    said = claims(
        evidence, check, new=new, heard_s=heard_s, claimed_ths=claimed_ths, power_w=power_w, uptime_s=uptime_s
    )
    difficulty = hardest(evidence, share_difficulty)
    known = np.isfinite(accepted_difficulty)
    moved = known & (accepted_difficulty != evidence.seen)
    still = known & (heard_s - evidence.booked_s >= check.most_gap_s)
    delta = accepted_difficulty - evidence.counter
    ended = new & said.whole & (moved | still) & (delta >= 0) & (difficulty > 0)
    per_share = np.where(ended, difficulty, 1.0)
    shares, expected = np.where(ended, delta, 0.0) / per_share, said.work / per_share
    believed = shares <= most_shares(expected)
    # after a break only a counter that has moved is known to be of now, and a new span begins with it
    begun = new & moved & (~said.whole | (delta < 0) | np.isnan(evidence.counter))
    rebased = ended | begun
    heard = replace(
        said.evidence,
        share_difficulty=since_booked(evidence, share_difficulty, difficulty, new, rebased),
        seen=np.where(new & known, accepted_difficulty, evidence.seen),
        counter=np.where(rebased, accepted_difficulty, np.where(new & ~said.whole, np.nan, evidence.counter)),
        booked_s=np.where(rebased, heard_s, evidence.booked_s),
        claimed_work=np.where(rebased, 0.0, said.evidence.claimed_work),
        joules=np.where(rebased, 0.0, said.evidence.joules),
        jumps=evidence.jumps + (ended & ~believed),
    )
    span = ClaimedSpan(ended & believed, evidence.booked_s, heard_s, shares, expected, said.work, said.joules)
    return judged(heard, check, span, len(evidence) if tests is None else tests)
