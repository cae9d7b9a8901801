"""Faulty nonces: how many of the nonces that a machine finds are hardware errors, and is that too many?

cgminer and its kin count a wrong nonce as one of difficulty 1 (api.c: "Device Hardware%" is HW errors over HW errors and
difficulty-1 work; Bitmain's firmware adds the difficulty that its chips filter by), so what they are held against is the
accepted difficulty, never the number of shares. Errors are known nearly exactly, the good nonces by their shares alone: so
both are counted in shares, an error as the small part of one. That makes the test slower and never bolder, see
docs/statistics.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from fleet.columns import Floats
from fleet.work.proof.spoilt import SpoilCheck, Spoilt, observe_spoilt


class ErrorCheck(SpoilCheck):
    """How many of its nonces a machine may get wrong, by its own counters (the site file's [beliefs.error_check])."""

    usual: Annotated[float, Field(gt=0, lt=1)] = 0.005
    """The share that is well: up to it there are no more false alarms than stated. As much as the share check tolerates;
    a machine in order has far less."""
    too_many: Annotated[float, Field(gt=0, lt=1)] = 0.02
    """The share that is to be found; above the usual. Well below a shortfall of 5 %, to be found before it is one."""


@dataclass(frozen=True, eq=False)
class Faulty(Spoilt):
    """`shares` are the errors, `expected` all nonces, both in shares of the difficulty that was asked for.

    `bad` and `good` are the counters of errors and of accepted work; `share_difficulty` is the hardest since then.
    """

    share_difficulty: Floats

    UNKNOWN: ClassVar[tuple[str, ...]] = (*Spoilt.UNKNOWN, "share_difficulty")


def observe_faulty(
    record: Faulty,
    check: ErrorCheck,
    *,
    heard_s: Floats,
    errors: Floats,
    accepted_difficulty: Floats,
    share_difficulty: Floats,
    uptime_s: Floats | None = None,
    tests: int | None = None,
) -> Faulty:
    """Take in the counters of hardware errors and of accepted work (difficulty 1), which are of one and the same moment.

    One row a machine, NaN where not known; as for spoilt shares, but that a machine whose `share_difficulty` (what is asked
    of it) is not known is not tested.
    """
    difficulty = np.fmax(np.where(share_difficulty > 0, share_difficulty, np.nan), record.share_difficulty)
    after = observe_spoilt(
        record,
        check,
        heard_s=heard_s,
        bad=errors,
        good=accepted_difficulty,
        # an error weighs one share at most: the argument needs no more
        per_share=np.maximum(difficulty, 1.0),
        uptime_s=uptime_s,
        tests=tests,
    )
    if after is record and np.array_equal(difficulty, record.share_difficulty, equal_nan=True):
        return record
    booked = after.heard_s > record.heard_s
    return replace(after, share_difficulty=np.where(booked, share_difficulty, difficulty))
