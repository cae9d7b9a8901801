"""The job book against a plain model that keeps everything and looks everything up anew.

The model is written from the protocol's documents and shares no code with the book: headers are put together from
hexadecimal as the documents describe it, difficulties are exact fractions, and nothing is ever forgotten but what the
limits say.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fleet.work.counted import Flaw
from fleet.work.sha256d import sha256d
from fleet.work.stratum import (
    Candidate,
    JobBook,
    Limits,
    SetDifficulty,
    SetExtranonce,
    SetVersionMask,
    Submit,
    judge,
    read_pool,
    read_request,
)

JOBS_MOST, ENDED_MOST, GRACE_S, AHEAD_S = 3, 4, 10, 7_000
TIME_S = 0x6553_F100
DIFFICULTIES = [2.0**-40, 2.0**-32, 2.0**-31, 2.0**-30, 2.0**-28]
MASKS = [0, 0xE000, 0x1FFF_E000, 0x2000_0000]


def double_hash(data: bytes) -> bytes:
    """SHA-256, twice."""
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def header_of(job: ModelJob, extranonce2: str, version: int, time: str, nonce: str) -> bytes:
    """A share's header as Stratum's first documentation puts it together, from hexadecimal."""
    coinbase = bytes.fromhex(job.coinbase1 + job.extranonce1 + extranonce2 + job.coinbase2)
    root = double_hash(coinbase)
    for branch in job.branches:
        root = double_hash(root + bytes.fromhex(branch))
    # every field but the root comes as words, most significant byte first, and stands in the header the other way round
    previous = "".join(bytes.fromhex(job.previous[at : at + 8])[::-1].hex() for at in range(0, 64, 8))
    turned = [bytes.fromhex(word)[::-1].hex() for word in (f"{version:08x}", time, job.nbits, nonce)]
    return bytes.fromhex(turned[0] + previous + root.hex() + turned[1] + turned[2] + turned[3])


def difficulty_of(header: bytes) -> Fraction:
    """The difficulty that a header reaches, exactly."""
    return Fraction(0xFFFF << 208, int(double_hash(header)[::-1].hex(), 16))


@dataclass
class ModelJob:
    """A job as it came over the wire, and what was said while it was the newest."""

    id: str
    previous: str
    coinbase1: str
    coinbase2: str
    branches: list[str]
    version: int
    nbits: str
    time_s: int
    extranonce1: str
    extranonce2_bytes: int
    asked: list[float]
    said: list[float]
    ended_s: float | None = None


@dataclass
class Model:
    """A session, naively."""

    extranonce1: str = ""
    extranonce2_bytes: int = 4
    said: list[float] = field(default_factory=lambda: [1.0])
    own: float | None = None
    since_asked: list[float] = field(default_factory=list)
    since_said: list[float] = field(default_factory=list)
    masks: list[tuple[float, int]] = field(default_factory=lambda: [(-1e9, 0)])
    jobs: list[ModelJob] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    seen: set[bytes] = field(default_factory=set)

    @property
    def asked(self) -> float:
        """What is asked last."""
        return self.said[-1] if self.own is None else self.own

    def announced(self, before: float, said_before: float) -> None:
        """Something may have changed."""
        if self.asked != before:
            self.since_asked.append(self.asked)
        if self.said[-1] != said_before:
            self.since_said.append(self.said[-1])
        if self.jobs:
            self.jobs[-1].asked.append(self.asked)
            self.jobs[-1].said.append(self.said[-1])

    def verdict(
        self, job_id: str, extranonce2: str, time: str, nonce: str, bits: str | None, at_s: float
    ) -> tuple[Flaw | None, float]:
        """What a share is: its flaw and its credit."""
        found = [job for job in self.jobs if job.id == job_id]
        if not found:
            return (Flaw.STALE if job_id in self.gone else Flaw.UNKNOWN_JOB), 0.0
        job = found[0]
        size = 2 * job.extranonce2_bytes
        spellings = {extranonce2}
        if len(extranonce2) != size:
            first, last = (
                extranonce2[:size],
                extranonce2[len(extranonce2) - size :] if len(extranonce2) > size else extranonce2,
            )
            spellings = {first + "0" * (size - len(first)), "0" * (size - len(last)) + last}
        versions, allowed = self.versions(job.version, bits, at_s)
        headers = [header_of(job, spelling, version, time, nonce) for spelling in spellings for version in versions]
        best = max(headers, key=difficulty_of)
        ahead_s = int(time, 16) - job.time_s
        if job.ended_s is not None and at_s > job.ended_s + GRACE_S:
            return Flaw.STALE, 0.0
        if ahead_s < 0 or ahead_s > AHEAD_S:
            return Flaw.TIME, 0.0
        if not allowed:
            return Flaw.VERSION, 0.0
        reached = difficulty_of(best)
        if reached < Fraction(min(job.asked)):
            return (Flaw.LOW if len(extranonce2) == size else Flaw.EXTRANONCE), 0.0
        if best in self.seen:
            return Flaw.DUPLICATE, 0.0
        self.seen.add(best)
        return None, max(job.asked) if reached >= Fraction(max(job.asked)) else 0.0

    def versions(self, version: int, bits: str | None, at_s: float) -> tuple[set[int], bool]:
        """The versions that version bits may stand for, and whether they may be rolled."""
        if bits is None:
            return {version}, True
        rolled = int(bits, 16)
        since_s, mask = self.masks[-1]
        outside = [bit for bit in range(32) if rolled >> bit & 1 and not mask >> bit & 1]
        allowed = True
        if outside:
            before = self.masks[-2][1] if len(self.masks) > 1 else 0
            if at_s <= since_s + GRACE_S and all(before >> bit & 1 for bit in range(32) if rolled >> bit & 1):
                mask = before
            else:
                allowed = all(rolled >> bit & 1 == version >> bit & 1 for bit in range(32) if not mask >> bit & 1)
        replaced = added = flipped = version
        for bit in range(32):
            if mask >> bit & 1:
                replaced = replaced & ~(1 << bit) | (rolled & 1 << bit)
                added |= rolled & 1 << bit
                flipped ^= rolled & 1 << bit
        return {replaced, added, flipped}, allowed


previouses = st.sampled_from(["0a" * 32, "0b" * 32, "4d16b6f85af6e2198f44ae2a6de67f78487ae5611b77c6c0440b921e00000000"])
job_ids = st.sampled_from([f"{number:x}" for number in range(9)])


class Sent(NamedTuple):
    """A share before it is a line; `job` is a place among the jobs, the newest first."""

    job: int
    extranonce2: str
    later_s: int
    nonce: int
    bits: str | None


shares = st.builds(
    Sent,
    job=st.integers(0, 15),
    extranonce2=st.sampled_from(["00000001", "00000001", "00000001", "0001", "01", "0000000100", ""]),
    later_s=st.sampled_from([2, 2, 2, 2, 2, 3, 0, -1, 7_000, 7_001, 7_003]),
    nonce=st.integers(0, 4),
    bits=st.sampled_from([None, None, "00000000", "00002000", "00008000", "20002000", "1fffe000", "40000000"]),
)


class Session(RuleBasedStateMachine):
    """One session: the pool says things, time goes by, shares come."""

    def __init__(self) -> None:
        super().__init__()
        self.book = JobBook(Limits(jobs=JOBS_MOST, retired=ENDED_MOST, grace_s=GRACE_S, time_ahead_s=AHEAD_S))
        self.model = Model()
        self.at_s = 0.0

    @initialize(extranonce1=st.sampled_from(["", "08000002"]), difficulty=st.sampled_from(DIFFICULTIES))
    def begin(self, extranonce1: str, difficulty: float) -> None:
        """A session begins."""
        self.book.subscribed(bytes.fromhex(extranonce1), 4)
        self.model.extranonce1 = extranonce1
        self.difficulty(difficulty)
        self.job("1", "0a" * 32, [], 0x2000_0000, 0, clean=True)

    @rule(
        job_id=job_ids,
        previous=previouses,
        branches=st.lists(st.sampled_from(["11" * 32, "22" * 32]), max_size=2),
        version=st.sampled_from([0x2000_0000, 0x2000_A000]),
        later_s=st.integers(0, 2),
        clean=st.sampled_from([False, False, True]),
    )
    def job(self, job_id: str, previous: str, branches: list[str], version: int, later_s: int, clean: bool) -> None:
        """The pool gives a job."""
        model = self.model
        time_s = TIME_S + later_s
        params = [job_id, previous, "c0ffee", "feed", branches, f"{version:08x}", "1d00ffff", f"{time_s:08x}", clean]
        message = read_pool(json.dumps({"id": None, "method": "mining.notify", "params": params}).encode())
        self.book.take(message, self.at_s)  # type: ignore[arg-type]
        for other in model.jobs:
            if other.ended_s is None and (clean or model.jobs[-1].previous != previous):
                other.ended_s = self.at_s
        new = ModelJob(
            job_id,
            previous,
            "c0ffee",
            "feed",
            branches,
            version,
            "1d00ffff",
            time_s,
            model.extranonce1,
            model.extranonce2_bytes,
            asked=[*model.since_asked[:1], model.asked],
            said=[*model.since_said[:1], model.said[-1]],
        )
        model.since_asked, model.since_said = [], []
        model.jobs = [other for other in model.jobs if other.id != job_id] + [new]
        model.gone = [gone for gone in model.gone if gone != job_id]
        while len(model.jobs) > JOBS_MOST:
            model.gone.append(model.jobs.pop(0).id)
        model.gone = model.gone[-ENDED_MOST:]

    @rule(difficulty=st.sampled_from(DIFFICULTIES))
    def difficulty(self, difficulty: float) -> None:
        """The pool says a difficulty."""
        before, said_before = self.model.asked, self.model.said[-1]
        self.model.said.append(difficulty)
        self.model.announced(before, said_before)
        self.book.take(SetDifficulty(difficulty), self.at_s)

    @rule(difficulty=st.none() | st.sampled_from(DIFFICULTIES))
    def own_difficulty(self, difficulty: float | None) -> None:
        """We ask another one."""
        before = self.model.asked
        self.model.own = difficulty
        self.model.announced(before, self.model.said[-1])
        self.book.ask(difficulty)

    @rule(extranonce1=st.sampled_from(["08000002", "08000003", "aa"]), size=st.sampled_from([2, 4]))
    def extranonce(self, extranonce1: str, size: int) -> None:
        """The pool gives another extranonce."""
        self.model.extranonce1, self.model.extranonce2_bytes = extranonce1, size
        self.book.take(SetExtranonce(bytes.fromhex(extranonce1), size), self.at_s)

    @rule(mask=st.sampled_from(MASKS))
    def mask(self, mask: int) -> None:
        """The pool gives another mask."""
        self.model.masks.append((self.at_s, mask))
        self.book.take(SetVersionMask(mask), self.at_s)

    @rule(passed_s=st.sampled_from([1, 5, 6, 11]))
    def wait(self, passed_s: int) -> None:
        """Time goes by."""
        self.at_s += passed_s

    @rule(sent=st.lists(shares, min_size=1, max_size=10))
    def share(self, sent: list[Sent]) -> None:
        """A machine sends some shares; mostly for one of the newest jobs, now and then one again."""
        model = self.model
        for one in sent:
            known = [job.id for job in reversed(model.jobs)] * 3 + model.gone + ["f"]
            self.one(known[one.job % len(known)], one)

    def one(self, job_id: str, sent: Sent) -> None:
        """One share."""
        time, nonce = f"{TIME_S + sent.later_s:08x}", f"{sent.nonce:08x}"
        params = ["w", job_id, sent.extranonce2, time, nonce, *([] if sent.bits is None else [sent.bits])]
        submit = read_request(json.dumps({"id": 1, "method": "mining.submit", "params": params}).encode())
        assert isinstance(submit, Submit)
        candidate = self.book.prepare(submit, self.at_s)
        flaw, credit = self.model.verdict(job_id, sent.extranonce2, time, nonce, sent.bits, self.at_s)
        if isinstance(candidate, Candidate):
            judged = judge(candidate, sha256d(candidate.header))
            assert (judged.flaw, judged.credit) == (flaw, credit)
            job = next(job for job in self.model.jobs if job.id == job_id)
            assert judged.for_pool == (difficulty_of(judged.header) >= Fraction(min(job.said)))
            assert judged.is_block == (difficulty_of(judged.header) >= 1)
        else:
            assert (candidate, 0.0) == (flaw, credit)

    @invariant()
    def what_is_asked(self) -> None:
        """What a share is worth now is what the model says."""
        asked = self.model.jobs[-1].asked if self.model.jobs else [self.model.asked]
        assert self.book.difficulty == max(asked)
        assert len(self.book) == len(self.model.jobs)


TestSession = Session.TestCase
TestSession.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
