"""The job book: what a pool gave on one session, and what a submitted share has to be held against.

Every job keeps the extranonce1, the version mask and the difficulties that were in force for it. Jobs end when the pool
says so (`clean_jobs`) or a new block has been found, are good for a grace after that, and the oldest make room when a
pool never ends any. One book belongs to one miner's session; books of one pool share the pool's messages.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from fleet.work.counted import Flaw
from fleet.work.stratum.messages import Notify, PoolMessage, SetDifficulty, SetExtranonce, SetVersionMask, Submit
from fleet.work.stratum.shares import Candidate
from fleet.work.target import target_of_difficulty, target_of_nbits

_HEADER: Final = struct.Struct("<I32s32sIII")
_ROOTS_KEPT: Final = 8


@dataclass(frozen=True, slots=True)
class Limits:
    """What a book allows and keeps.

    `jobs`: live jobs, the oldest end first. `retired`: ended jobs whose ids are known still, to tell stale from made
    up. `shares`: shares remembered per job. `grace_s`: how long a share for an ended job is good. `time_ahead_s`: how
    far a share's time may be after its job's (ckpool refuses beyond 7,000 s).
    """

    jobs: int = 32
    retired: int = 64
    shares: int = 1 << 17
    grace_s: float = 5.0
    time_ahead_s: int = 7_000


class Job:
    """A job on one session: what the pool gave, and what was in force when it did."""

    __slots__ = (
        "_prefix",
        "_roots",
        "_seen",
        "difficulty",
        "extranonce1",
        "extranonce2_bytes",
        "issued_s",
        "least_target",
        "mask",
        "most_shares",
        "network_target",
        "notify",
        "pool_target",
        "retired_s",
        "scale",
        "target",
    )

    def __init__(self, notify: Notify, extranonce1: bytes, extranonce2_bytes: int, mask: int, issued_s: float) -> None:
        self.notify = notify
        self.extranonce1 = extranonce1
        self.extranonce2_bytes = extranonce2_bytes
        self.mask = mask
        self.issued_s = issued_s
        self.retired_s: float | None = None
        self.network_target = _network_target(notify.nbits)
        self.difficulty = self.scale = 1.0
        self.target = self.least_target = self.pool_target = 0
        self.most_shares = 0
        self._prefix = hashlib.sha256(notify.coinbase1 + extranonce1)
        self._roots: dict[bytes, bytes] = {}
        self._seen: set[bytes] = set()

    def remember(self, key: bytes) -> Flaw | None:
        """Note a share; a flaw when it was there before, or when there is no room to tell."""
        seen = self._seen
        if key in seen:
            return Flaw.DUPLICATE
        if len(seen) >= self.most_shares:
            return Flaw.CROWDED
        seen.add(key)
        return None

    def merkle_root(self, extranonce2: bytes) -> bytes:
        """The root of the tree whose first leaf is the coinbase with this extranonce2."""
        root = self._roots.get(extranonce2)
        if root is None:
            once = hashlib.sha256
            coinbase = self._prefix.copy()
            coinbase.update(extranonce2 + self.notify.coinbase2)
            root = once(coinbase.digest()).digest()
            for branch in self.notify.branches:
                root = once(once(root + branch).digest()).digest()
            if len(self._roots) >= _ROOTS_KEPT:
                del self._roots[next(iter(self._roots))]
            self._roots[extranonce2] = root
        return root


class JobBook:
    """The jobs of one session, and its difficulty, extranonce and version mask.

    `scale` is for a simulated site alone: a share of difficulty d takes d * 2**32 * scale hashes.
    """

    def __init__(self, limits: Limits | None = None, *, scale: float = 1.0) -> None:
        self.limits = limits or Limits()
        self.scale = scale
        self.newest: Job | None = None
        self._jobs: dict[str, Job] = {}
        self._retired: dict[str, None] = {}
        self._extranonce1 = b""
        self._extranonce2_bytes = 4
        self._mask = 0
        self._pool_difficulty = 1.0
        self._local_difficulty: float | None = None

    @property
    def difficulty(self) -> float:
        """What is asked of the next share: the newest job's difficulty, or a harder one that was announced since."""
        return self.newest.difficulty if self.newest is not None else self._asked

    @property
    def pool_difficulty(self) -> float:
        """What the pool said last."""
        return self._pool_difficulty

    def subscribed(self, extranonce1: bytes, extranonce2_bytes: int) -> None:
        """The session's extranonce, from the answer to mining.subscribe; jobs of an older session are unknown."""
        self._extranonce1, self._extranonce2_bytes = extranonce1, extranonce2_bytes
        self._jobs.clear()
        self._retired.clear()
        self.newest = None

    def granted(self, mask: int) -> None:
        """The version mask, from the answer to mining.configure (0: none)."""
        self._mask = mask
        for job in self._jobs.values():
            job.mask = mask

    def ask(self, difficulty: float | None) -> None:
        """Ask a difficulty of our own of the machine, lower than the pool's (None: the pool's again)."""
        self._local_difficulty = difficulty
        self._announce()

    def take(self, message: PoolMessage, at_s: float) -> None:
        """What the pool said, at a time in seconds; messages that are not about jobs change nothing."""
        match message:
            case Notify():
                self._add(message, at_s)
            case SetDifficulty():
                self._pool_difficulty = message.difficulty
                self._announce()
            case SetExtranonce():
                self._extranonce1, self._extranonce2_bytes = message.extranonce1, message.extranonce2_bytes
            case SetVersionMask():
                self.granted(message.mask)
            case _:
                pass

    def job(self, job_id: str) -> Job | None:
        """A job by its id, while its shares can be verified."""
        return self._jobs.get(job_id)

    def prepare(self, submit: Submit, at_s: float) -> Candidate | Flaw:
        """The header that a share claims to have hashed, or why there is none."""
        job = self._jobs.get(submit.job_id)
        if job is None:
            return Flaw.STALE if submit.job_id in self._retired else Flaw.UNKNOWN_JOB
        extranonce2 = submit.extranonce2
        if len(extranonce2) != job.extranonce2_bytes:
            return Flaw.EXTRANONCE
        notify = job.notify
        flaw: Flaw | None = None
        if job.retired_s is not None and at_s - job.retired_s > self.limits.grace_s:
            flaw = Flaw.STALE
        elif not 0 <= submit.time_s - notify.time_s <= self.limits.time_ahead_s:
            flaw = Flaw.TIME
        version = notify.version
        bits = submit.version_bits
        if bits is not None:
            mask = job.mask
            if bits & ~mask:
                flaw = flaw or Flaw.VERSION
            version = (version & ~mask) | (bits & mask)
        root = job.merkle_root(extranonce2)
        header = _HEADER.pack(version, notify.previous, root, submit.time_s, notify.nbits, submit.nonce)
        return Candidate(header, job, flaw)

    @property
    def _asked(self) -> float:
        """The difficulty for the next job."""
        return self._pool_difficulty if self._local_difficulty is None else self._local_difficulty

    def _add(self, notify: Notify, at_s: float) -> None:
        """A new job; jobs that it ends are retired, and the oldest make room."""
        newest = self.newest
        if notify.clean or (newest is not None and newest.notify.previous != notify.previous):
            for job in self._jobs.values():
                if job.retired_s is None:
                    job.retired_s = at_s
        job = Job(notify, self._extranonce1, self._extranonce2_bytes, self._mask, at_s)
        job.scale = self.scale
        job.difficulty = self._asked
        job.target = job.least_target = scaled_target(self._asked, self.scale)
        job.pool_target = scaled_target(self._pool_difficulty, self.scale)
        job.most_shares = self.limits.shares
        self._jobs.pop(notify.job_id, None)
        self._jobs[notify.job_id] = job
        self._retired.pop(notify.job_id, None)
        self.newest = job
        while len(self._jobs) > self.limits.jobs:
            oldest = next(iter(self._jobs))
            del self._jobs[oldest]
            self._retired[oldest] = None
        while len(self._retired) > self.limits.retired:
            del self._retired[next(iter(self._retired))]

    def _announce(self) -> None:
        """A difficulty was announced: it is in force from the next job on; some apply it to the newest at once."""
        job = self.newest
        if job is None:
            return
        job.difficulty = max(job.difficulty, self._asked)
        target = scaled_target(self._asked, self.scale)
        job.target = min(job.target, target)
        job.least_target = max(job.least_target, target)
        job.pool_target = max(job.pool_target, scaled_target(self._pool_difficulty, self.scale))


@lru_cache(maxsize=1_024)
def scaled_target(difficulty: float, scale: float) -> int:
    """The target of a difficulty; see `JobBook` for the scale."""
    return target_of_difficulty(difficulty * scale)


def _network_target(nbits: int) -> int:
    """The target of a block; 0, which nothing meets, where the pool's nBits are none that a header may carry."""
    try:
        return target_of_nbits(nbits)
    except ValueError:
        return 0
