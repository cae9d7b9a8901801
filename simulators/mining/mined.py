"""Mined: what came of real mining, per pool slot as the machine counts it, and per machine as it truly is.

A machine's own counts are what its pools answered. The ground truth is in hashes: what became of every terahash that the
physics made, whatever anybody says of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fleet.columns import Floats, freeze_columns


@dataclass(slots=True)
class SlotCount:
    """One configured pool, as the machine counts it.

    Work is difficulty, `last_s` when the last share was taken (0: none). `active`: it works for this one now. `used`:
    it has or had something to do with it. `dead`: it could not be reached.
    """

    accepted: int = 0
    rejected: int = 0
    stale: int = 0
    accepted_work: float = 0.0
    rejected_work: float = 0.0
    stale_work: float = 0.0
    last_s: float = 0.0
    difficulty: float = 0.0
    active: bool = False
    used: bool = False
    dead: bool = False


@dataclass(slots=True)
class Ledger:
    """Where one machine's terahashes went: see `Mined`."""

    made_th: float = 0.0
    idle_th: float = 0.0
    owner_th: float = 0.0
    fee_th: float = 0.0
    not_hashed_th: float = 0.0
    hashed: int = 0
    found: int = 0
    submitted: int = 0


@dataclass(frozen=True, eq=False)
class Mined:
    """The truth of each machine's mining since the world began, one row each in the roster's order.

    `made_th[n]`: what the physics says it could hash; `idle_th[n]` of it had no job to go to; `owner_th[n]` went, in
    expectation, into good shares of the owner's; `fee_th[n]` into somebody else's, knowingly; `not_hashed_th[n]` was
    not hashed at all by one who fills up with old shares. The rest was lost to heat or came too late. `hashed[n]`: real
    hashes; `found[n]`: headers that met; `submitted[n]`: shares sent, whatever they were. `sessions[n]`: connections
    that got a job; `returns[n]`: how often it came back to a better pool. `behind_s`: how far hashing is behind.
    """

    at_s: float
    behind_s: float
    claims: Floats
    made_th: Floats
    idle_th: Floats
    owner_th: Floats
    fee_th: Floats
    not_hashed_th: Floats
    hashed: Floats
    found: Floats
    submitted: Floats
    sessions: Floats
    returns: Floats

    def __post_init__(self) -> None:
        """Read-only."""
        freeze_columns(self)

    @property
    def delivered(self) -> Floats:
        """What each delivered to its owner of what it claimed while it had a job (NaN: it never had one)."""
        claimed_th = (self.made_th - self.idle_th) * self.claims
        return np.where(claimed_th > 0, self.owner_th / np.maximum(claimed_th, 1e-9), np.nan)


@dataclass(slots=True)
class Pending:
    """What a machine counted since the physics was told last."""

    accepted: int = 0
    rejected: int = 0
    stale: int = 0
    errors: int = 0
    accepted_work: float = 0.0
    rejected_work: float = 0.0
    stale_work: float = 0.0
