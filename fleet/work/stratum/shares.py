"""Shares: what a submitted share becomes on its way to a verdict.

`JobBook.prepare` makes a Candidate: the header that the machine says it hashed. Whoever has many of them hashes them in
one go, and `judge` holds each digest against its job: is it hard enough, was it there before, is it a block? Both are
tuples, because tens of thousands a second are made.
"""

from __future__ import annotations

from enum import Enum
from math import inf
from typing import Final, NamedTuple, Protocol

from fleet.work.counted import Flaw
from fleet.work.sha256d import sha256d
from fleet.work.stratum.messages import Response
from fleet.work.stratum.replies import cause
from fleet.work.target import DIFFICULTY_1_TARGET

_DIFFICULTY_1: Final = float(DIFFICULTY_1_TARGET)
_KEY: Final = (1 << 64) - 1
"""Of a hash, what is remembered of a share: its low bits, which no difficulty touches. Two different shares of a quarter
of a million have the same with a chance of 2e-9, and then one is wrongly refused; a duplicate is never let through."""


class Task(Protocol):
    """What a digest is held against: the part of a job that judging needs."""

    @property
    def difficulty(self) -> float:
        """What a share is worth: the strictest difficulty that may have been in force for it."""
        ...

    @property
    def target(self) -> int:
        """The target of `difficulty`."""
        ...

    @property
    def least_target(self) -> int:
        """The target of the lowest difficulty that may have been in force: what misses it is no share."""
        ...

    @property
    def pool_target(self) -> int:
        """The same for the pool's own difficulty."""
        ...

    @property
    def network_target(self) -> int:
        """The target of a block."""
        ...

    @property
    def scale(self) -> float:
        """See `JobBook`."""
        ...

    def remember(self, key: int) -> Flaw | None:
        """Note a share; a flaw when it was there before, or when there is no room to tell."""
        ...


class Candidate(NamedTuple):
    """A share as the header (80 bytes) that has to be hashed.

    `flaw` is what is wrong with it already (STALE, TIME, VERSION): it is hashed all the same, because a block is a block
    whatever its pool thinks of it. `blame` is what it is called if its hash misses. `extranonce2` is the one in the
    header's coinbase, in the size that the job asks for. `others` are the headers that the same share stands for where
    firmware and pools read it differently, each with its extranonce2; there are none but in the rarest cases.
    """

    header: bytes
    job: Task
    extranonce2: bytes
    flaw: Flaw | None = None
    blame: Flaw = Flaw.LOW
    others: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def difficulty(self) -> float:
        """What the share is worth if it is good."""
        return self.job.difficulty

    @property
    def target(self) -> int:
        """The target of that difficulty."""
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
    `header`: the one that was judged, the candidate's own or one of its `others`; `extranonce2`: the one in its coinbase,
    which is not the submitted one where that had a wrong size.
    """

    flaw: Flaw | None
    credit: float
    reached: float
    is_block: bool
    for_pool: bool
    header: bytes
    extranonce2: bytes


def judge(candidate: Candidate, digest: bytes) -> Judged:
    """Hold a candidate's hash (32 bytes, as they come out of SHA-256d) against its job, and remember it there.

    Raises:
        ValueError: not 32 bytes.
    """
    if len(digest) != 32:
        raise ValueError(f"a digest of {len(digest)} bytes, expected 32")
    header, job, extranonce2, flaw, blame, others = candidate
    value = int.from_bytes(digest, "little")
    if others:
        value, header, extranonce2 = min(
            (value, header, extranonce2),
            *((int.from_bytes(sha256d(other), "little"), other, its_own) for other, its_own in others),
        )
    if flaw is None:
        flaw = blame if value > job.least_target else job.remember(value & _KEY)
    return Judged(
        flaw,
        job.difficulty if flaw is None and value <= job.target else 0.0,
        _DIFFICULTY_1 / value / job.scale if value else inf,
        value <= job.network_target,
        value <= job.pool_target,
        header,
        extranonce2,
    )


class Quarrel(Enum):
    """Where a pool's answer and our verdict do not go together."""

    TAKEN_LOW = "the pool took a share that misses the difficulty it had said"
    TAKEN_FLAWED = "the pool took a share in which we found another flaw"
    REFUSED_HARD = "the pool refused a share as too easy that meets the difficulty it had said"
    REFUSED_GOOD = "the pool refused a share in which we found nothing wrong"


def quarrel(judged: Judged, response: Response) -> Quarrel | None:
    """How a pool's answer to a share differs from our verdict, None where they agree on it being good for the pool or not.

    TAKEN_LOW and REFUSED_HARD, again and again, are a pool that lies about difficulty, or one that counts with another
    one than it says.
    """
    if response.accepted:
        if not judged.for_pool:
            return Quarrel.TAKEN_LOW
        return Quarrel.TAKEN_FLAWED if judged.flaw is not None else None
    if judged.flaw is not None or not judged.for_pool:
        return None
    too_easy = response.error is not None and cause(response.error) is Flaw.LOW
    return Quarrel.REFUSED_HARD if too_easy else Quarrel.REFUSED_GOOD
