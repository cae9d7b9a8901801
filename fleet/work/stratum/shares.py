"""Shares: what a submitted share becomes on its way to a verdict.

`JobBook.prepare` makes a Candidate: the header that the machine says it hashed. Whoever has many of them hashes them in
one go, and `judge` holds each digest against its job: is it hard enough, was it there before, is it a block?
Both are tuples, because tens of thousands a second are made.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from fleet.work.counted import Flaw
from fleet.work.target import DIFFICULTY_1_TARGET

KEY_BYTES = 8
"""Of a digest, what is remembered of a share: its low bits, which no difficulty touches. Two different shares of a
million have the same with a chance of 3e-8, and then one is wrongly refused; a duplicate is never let through."""


class Task(Protocol):
    """What a digest is held against: the part of a job that judging needs."""

    difficulty: float
    target: int
    least_target: int
    pool_target: int
    network_target: int
    scale: float

    def remember(self, key: bytes) -> Flaw | None:
        """Note a share; a flaw when it was there before or there is no room to tell."""
        ...


class Candidate(NamedTuple):
    """A share as the header (80 bytes) that has to be hashed.

    `flaw` is what is wrong with it already (STALE, TIME, VERSION): it is hashed all the same, because a block is a
    block whatever its pool thinks of it.
    """

    header: bytes
    job: Task
    flaw: Flaw | None = None

    @property
    def difficulty(self) -> float:
        """The difficulty that was asked for."""
        return self.job.difficulty

    @property
    def target(self) -> int:
        """The target that was asked for."""
        return self.job.target

    @property
    def network_target(self) -> int:
        """The target of a block."""
        return self.job.network_target


class Judged(NamedTuple):
    """The verdict on a share.

    `flaw`: why it is not good, or None. `credit`: the difficulty that it proves, that is the one that was asked for; 0
    with a flaw, and 0 for a good share that meets a lower difficulty alone which was in force around a change (counting
    those would reward changing). `reached`: the hardest difficulty that it would have met. `is_block`: it meets the
    network's target, whatever its flaw. `for_pool`: it meets the pool's difficulty, where a lower one is asked locally.
    """

    flaw: Flaw | None
    credit: float
    reached: float
    is_block: bool
    for_pool: bool


def judge(candidate: Candidate, digest: bytes) -> Judged:
    """Hold a candidate's hash (32 bytes, as they come out of SHA-256d) against its job, and remember it there.

    Raises:
        ValueError: not 32 bytes.
    """
    if len(digest) != 32:
        raise ValueError(f"a digest of {len(digest)} bytes, expected 32")
    value = int.from_bytes(digest, "little")
    job = candidate.job
    flaw = candidate.flaw
    if flaw is None:
        flaw = Flaw.LOW if value > job.least_target else job.remember(digest[:KEY_BYTES])
    return Judged(
        flaw,
        job.difficulty if flaw is None and value <= job.target else 0.0,
        DIFFICULTY_1_TARGET / value / job.scale if value else float("inf"),
        value <= job.network_target,
        value <= job.pool_target,
    )
