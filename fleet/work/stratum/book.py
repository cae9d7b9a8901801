"""The job book: what a pool gave on one session, and what a submitted share has to be held against.

Every job keeps the extranonce1 and the difficulties that were in force for it. Jobs end when the pool says so
(`clean_jobs`) or a new block has been found, are good for a grace after that, and the oldest make room when a pool never
ends any. One book belongs to one miner's session; books of one pool share the pool's messages.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from fleet.work.counted import Flaw
from fleet.work.header import folded
from fleet.work.stratum.jobs import Fold, Job, Terms
from fleet.work.stratum.messages import Notify, PoolMessage, SetDifficulty, SetExtranonce, SetVersionMask, Submit
from fleet.work.stratum.readings import fitted_extranonces, full_version, version_readings
from fleet.work.stratum.seen import SHARES_MOST, Memory
from fleet.work.stratum.shares import Candidate

_HEADER: Final = struct.Struct("<I32s32sIII")
_FIRST_DIFFICULTY: Final = 1.0
"""Before the pool has said any (slush0/stratum-mining, mining/service.py; cgminer, util.c, initiate_stratum)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a book allows and keeps.

    `jobs`: jobs whose shares can be verified, the oldest make room first. `retired`: ids of older ones, to tell stale
    from made up. `shares`: remembered per previous block; beyond that a share is CROWDED. `grace_s`: how long a share
    for an ended job is good, and version bits of an old mask. `time_ahead_s`: how far a share's time may be after its
    job's (ckpool, stratifier.c, parse_submit: 7,000 s; two hours are consensus).
    """

    jobs: int = 24
    retired: int = 64
    shares: int = SHARES_MOST
    grace_s: float = 5.0
    time_ahead_s: int = 7_000

    def __post_init__(self) -> None:
        """A book without room for a job is none."""
        if self.jobs < 1 or min(self.retired, self.shares, self.grace_s, self.time_ahead_s) < 0:
            raise ValueError(f"{self}, expected room for a job, and nothing below zero")


class JobBook:
    """The jobs of one session, and its difficulty, extranonce and version mask.

    `scale` is for a simulated site alone: a share of difficulty d takes d * 2**32 * scale hashes, so that every number
    on the wire stays realistic while a CPU mines; nBits are not scaled. `memory` is what the machine's earlier sessions
    left, where it may resume them. `fold` makes merkle roots (an engine's is faster).

    A difficulty is in force from the next job on. Firmware differs around a change: some apply it at once, cgminer one
    per job (util.c, parse_diff). So a share that meets the lowest of what may be in force is good, and one that meets
    the strictest is worth that; in between it is worth nothing, and neither reading is favoured.
    """

    __slots__ = (
        "_ended",
        "_extranonce1",
        "_extranonce2_bytes",
        "_first_asked",
        "_first_said",
        "_fold",
        "_jobs",
        "_local_difficulty",
        "_mask",
        "_mask_before",
        "_mask_until_s",
        "_memory",
        "_pool_difficulty",
        "limits",
        "newest",
        "scale",
    )

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        scale: float = 1.0,
        memory: Memory | None = None,
        fold: Fold = folded,
    ) -> None:
        self.limits = limits or Limits()
        self._fold = fold
        self.scale = scale
        self.newest: Job | None = None
        self._memory = memory or Memory()
        self._jobs: dict[str, Job] = {}
        self._ended: dict[str, None] = {}
        self._extranonce1 = b""
        self._extranonce2_bytes = 4
        self._mask = self._mask_before = 0
        self._mask_until_s = float("-inf")
        self._pool_difficulty = _FIRST_DIFFICULTY
        self._local_difficulty: float | None = None
        # the first difficulties that were announced since the newest job
        self._first_asked: float | None = None
        self._first_said: float | None = None

    @property
    def difficulty(self) -> float:
        """What a share is worth now: the strictest that may be in force for the newest job, or for the first."""
        return self.newest.difficulty if self.newest is not None else self._asked

    @property
    def pool_difficulty(self) -> float:
        """What the pool said last."""
        return self._pool_difficulty

    @property
    def version_mask(self) -> int:
        """The version bits that may be rolled."""
        return self._mask

    def __len__(self) -> int:
        """How many jobs are kept."""
        return len(self._jobs)

    def subscribed(self, extranonce1: bytes, extranonce2_bytes: int) -> None:
        """The session's extranonce, from the answer to mining.subscribe; with another one, older jobs are unknown."""
        if (extranonce1, extranonce2_bytes) != (self._extranonce1, self._extranonce2_bytes):
            self._jobs.clear()
            self._ended.clear()
            self.newest = None
        self._extranonce1, self._extranonce2_bytes = extranonce1, extranonce2_bytes

    def granted(self, mask: int, at_s: float = float("-inf")) -> None:
        """The version mask (0: none) from the answer to mining.configure: at once, for all jobs (BIP 310).

        Bits of the mask before it are good for the grace after `at_s`, because shares are on their way.
        """
        self._mask_before, self._mask, self._mask_until_s = self._mask, mask, at_s + self.limits.grace_s

    def ask(self, difficulty: float | None) -> None:
        """Ask a difficulty of our own of the machine (None: the pool's again)."""
        before, self._local_difficulty = self._asked, difficulty
        self._announce(before, self._pool_difficulty)

    def take(self, message: PoolMessage, at_s: float) -> None:
        """What the pool said, at a time in seconds; messages that are not about jobs change nothing."""
        match message:
            case Notify():
                self._add(message, at_s)
            case SetDifficulty():
                before, said_before = self._asked, self._pool_difficulty
                self._pool_difficulty = message.difficulty
                self._announce(before, said_before)
            case SetExtranonce():
                self._extranonce1, self._extranonce2_bytes = message.extranonce1, message.extranonce2_bytes
            case SetVersionMask():
                self.granted(message.mask, at_s)
            case _:
                pass

    def job(self, job_id: str) -> Job | None:
        """A job by its id, while its shares can be verified."""
        return self._jobs.get(job_id)

    def prepare(self, submit: Submit, at_s: float) -> Candidate | Flaw:
        """The header that a share claims to have hashed, or why there is none (UNKNOWN_JOB, STALE).

        `at_s` is when it came, in seconds as `take` has them.
        """
        _, _, job_id, extranonce2, time_s, nonce, bits = submit
        job = self._jobs.get(job_id)
        if job is None:
            return Flaw.STALE if job_id in self._ended else Flaw.UNKNOWN_JOB
        notify, limits = job.notify, self.limits
        flaw: Flaw | None = None
        if job.retired_s is not None and at_s - job.retired_s > limits.grace_s:
            flaw = Flaw.STALE
        elif not 0 <= time_s - notify.time_s <= limits.time_ahead_s:
            flaw = Flaw.TIME
        version = notify.version
        if bits is not None:
            mask = self._mask
            if bits & ~mask:
                mask, allowed = self._wider_mask(bits, version, at_s)
                if not allowed and flaw is None:
                    flaw = Flaw.VERSION
            if version & mask or len(extranonce2) != job.extranonce2_bytes:
                return _ambiguous(job, submit, version_readings(version, bits, mask), flaw)
            version |= bits & mask
        elif len(extranonce2) != job.extranonce2_bytes:
            return _ambiguous(job, submit, (version,), flaw)
        root = job.merkle_root(extranonce2)
        return Candidate(
            _HEADER.pack(version, notify.previous, root, time_s, notify.nbits, nonce), job, extranonce2, flaw
        )

    @property
    def _asked(self) -> float:
        """The difficulty that is asked last."""
        return self._pool_difficulty if self._local_difficulty is None else self._local_difficulty

    def _add(self, notify: Notify, at_s: float) -> None:
        """A new job; those that it ends are retired, and the oldest make room."""
        newest, jobs, ended = self.newest, self._jobs, self._ended
        if notify.clean or (newest is not None and newest.notify.previous != notify.previous):
            for job in jobs.values():
                if job.retired_s is None:
                    job.retired_s = at_s
        asked = self._asked if self._first_asked is None else self._first_asked
        said = self._pool_difficulty if self._first_said is None else self._first_said
        self._first_asked = self._first_said = None
        terms = Terms((asked, self._asked), (said, self._pool_difficulty), self.scale)
        seen = self._memory.of(notify.previous, self.limits.shares)
        self.newest = Job(notify, self._extranonce1, self._extranonce2_bytes, terms, seen, at_s, self._fold)
        # a job whose id is used again makes way for the new one, and its place is the newest
        jobs.pop(notify.job_id, None)
        ended.pop(notify.job_id, None)
        jobs[notify.job_id] = self.newest
        while len(jobs) > self.limits.jobs:
            oldest = next(iter(jobs))
            del jobs[oldest]
            ended[oldest] = None
        while len(ended) > self.limits.retired:
            del ended[next(iter(ended))]

    def _announce(self, asked_before: float, said_before: float) -> None:
        """A difficulty was announced: in force from the next job on, and for some firmware from now on."""
        asked, said = self._asked, self._pool_difficulty
        if self._first_asked is None and asked != asked_before:
            self._first_asked = asked
        if self._first_said is None and said != said_before:
            self._first_said = said
        if self.newest is not None:
            terms = self.newest.terms
            self.newest.agree(Terms((terms.difficulty, terms.least, asked), (terms.pool, said), self.scale))

    def _wider_mask(self, bits: int, version: int, at_s: float) -> tuple[int, bool]:
        """The mask for version bits beyond the one in force, and whether they are allowed all the same."""
        if at_s <= self._mask_until_s and not bits & ~self._mask_before:
            return self._mask_before, True
        return self._mask, full_version(bits, version, self._mask)


def _ambiguous(job: Job, submit: Submit, versions: tuple[int, ...], flaw: Flaw | None) -> Candidate:
    """A share that can be read in several ways: the first is the rule, the others are what somebody does."""
    notify = job.notify
    extranonces = fitted_extranonces(submit.extranonce2, job.extranonce2_bytes)
    (header, extranonce2), *others = (
        (
            _HEADER.pack(version, notify.previous, job.merkle_root(fitted), submit.time_s, notify.nbits, submit.nonce),
            fitted,
        )
        for fitted in extranonces
        for version in versions
    )
    blame = Flaw.LOW if len(submit.extranonce2) == job.extranonce2_bytes else Flaw.EXTRANONCE
    return Candidate(header, job, extranonce2, flaw, blame, tuple(others))
