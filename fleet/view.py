"""View: what we believe of every machine, carried from tick to tick, with the age of each belief.

A belief changes only through what was heard (a reading, an outcome) and through time. It holds what a restart must not
forget: what we asked for and when, which machines we put to sleep and why, whose hand changed a machine, how often a
command failed, and how much power we moved lately (for ramp, stagger and brake).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf

import numpy as np

from fleet.columns import UNKNOWN, Bools, Codes, Floats, Ints, freeze_columns
from fleet.machine import Roster
from fleet.reading import State
from fleet.work.counted import Counted
from fleet.work.proof.evidence import Evidence, Source
from fleet.work.proof.faulty import Faulty
from fleet.work.proof.losses import shifted
from fleet.work.proof.spoilt import Spoilt


@dataclass(frozen=True, eq=False, slots=True)
class Move:
    """What one tick's commands moved: W up, W down, W moved for money alone, and starts[m] by node of the tree."""

    at_s: float
    up_w: float
    down_w: float
    money_w: float
    starts: Ints


@dataclass(frozen=True, slots=True)
class Tally:
    """Two running totals in USD since `since_s`: what the site earned as it ran, and what it would have earned as decided."""

    since_s: float = 0.0
    actual_usd: float = 0.0
    decided_usd: float = 0.0


@dataclass(frozen=True, eq=False)
class View:
    """Beliefs as columns, one row per machine, at `at_s` (-inf before the first tick).

    `mode[n]`: the operating point that the machine's own readings show (-1 unknown, -2 off its ladder). `changed_s[n]`:
    when that last changed. `standing[n]`: the mode that decisions start from: `mode` where we may command, what we would
    have commanded where we may not. `wanted[n]`: commanded at `sent_s[n]` and not yet resolved (-1: nothing).
    `doubt[n]`: commanded, given up, and possibly carried out all the same (-1: none). `failures[n]`: commands in a row
    that failed; none is sent before `retry_s[n]`. `hand_s[n]`: when somebody else changed it (-inf: nobody).
    `fault_s[n]`: when it last said that it is faulted. `asleep_why[n]`: the reason code of our command that put it to
    sleep (-1: not by us). `regret_usd[n]`: what staying awake (or asleep) has cost so far. `power_scale[n]` and
    `rate_scale[n]`: what it measures over its nameplate. `evidence`: how the shares that it counts itself bear out its
    claim; `pool_evidence` and `tap_evidence`: how those that its pool credits and those that the tap has verified do (None:
    the site has no such source). `credit[n]`: the part of its claim that the shares leave it, 1 where they say nothing else.
    `tap_marks`: earlier counts of the tap, the oldest first, for what was lost since. `rejects`: how many of their shares
    machines say were rejected, `errors`: how many of their nonces they say were hardware errors (None: none tells).
    """

    at_s: float
    mode: Codes
    standing: Codes
    state: Codes
    heard_s: Floats
    changed_s: Floats
    looked: Bools
    uptime_s: Floats
    wanted: Codes
    sent_s: Floats
    doubt: Codes
    failures: Codes
    retry_s: Floats
    hand_s: Floats
    fault_s: Floats
    asleep_why: Codes
    regret_usd: Floats
    power_scale: Floats
    rate_scale: Floats
    worst_w: Floats
    evidence: Evidence
    credit: Floats
    pool_evidence: Evidence | None = None
    tap_evidence: Evidence | None = None
    tap_marks: tuple[Counted, ...] = ()
    rejects: Spoilt | None = None
    errors: Faulty | None = None
    moves: tuple[Move, ...] = ()
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        """Read-only."""
        freeze_columns(self)

    def __len__(self) -> int:
        """How many machines."""
        return len(self.mode)

    @property
    def evidences(self) -> Mapping[Source, Evidence]:
        """What each source says of the claims, the sources that the site has."""
        sources = {Source.COUNTERS: self.evidence, Source.POOL: self.pool_evidence, Source.TAP: self.tap_evidence}
        return {source: evidence for source, evidence in sources.items() if evidence is not None}

    @property
    def valued_scale(self) -> Floats:
        """scale[n]: what each machine's operating points are believed to deliver over their nameplates."""
        return self.rate_scale * self.credit

    def shifted(self, by_s: float) -> View:
        """The same beliefs on a clock that has stepped: every remembered time moves with it."""
        times = ("heard_s", "changed_s", "sent_s", "retry_s", "hand_s", "fault_s")
        return replace(
            self,
            at_s=self.at_s + by_s,
            moves=tuple(replace(move, at_s=move.at_s + by_s) for move in self.moves),
            evidence=self.evidence.shifted(by_s),
            tap_marks=shifted(self.tap_marks, by_s),
            rejects=None if self.rejects is None else self.rejects.shifted(by_s),
            errors=None if self.errors is None else self.errors.shifted(by_s),
            pool_evidence=None if self.pool_evidence is None else self.pool_evidence.shifted(by_s),
            tap_evidence=None if self.tap_evidence is None else self.tap_evidence.shifted(by_s),
            **{name: getattr(self, name) + by_s for name in times},
        )

    @classmethod
    def fresh(cls, roster: Roster) -> View:
        """Nothing known yet: every machine counts at its worst case."""
        n = len(roster)

        def never() -> Floats:
            return np.full(n, -inf)

        def unknown() -> Codes:
            return np.full(n, UNKNOWN, np.int16)

        return cls(
            at_s=-inf,
            mode=unknown(),
            standing=unknown(),
            state=np.full(n, State.UNKNOWN, np.int16),
            heard_s=never(),
            changed_s=never(),
            looked=np.zeros(n, np.bool_),
            uptime_s=np.full(n, np.nan),
            wanted=unknown(),
            sent_s=never(),
            doubt=unknown(),
            failures=np.zeros(n, np.int16),
            retry_s=never(),
            hand_s=never(),
            fault_s=never(),
            asleep_why=unknown(),
            regret_usd=np.zeros(n),
            power_scale=np.ones(n),
            rate_scale=np.ones(n),
            worst_w=np.array(roster.worst_w),
            evidence=Evidence.nothing(n),
            credit=np.ones(n),
        )
