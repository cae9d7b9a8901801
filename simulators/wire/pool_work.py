"""A pretend pool's jobs, and what it says of a share: the judge's reading of Stratum V1.

A job is a template with its coinbase cut in two; a share names a job and gives the extranonce, time, nonce and rolled
version bits that make it a header (slush's Stratum protocol, BIP 310). What is refused carries the code of the
protocol's list, in the order in which ckpool looks: who, which job, shape, time, seen before, hash.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Any, Final

from fleet.work.sha256d import header, meets, sha256d
from fleet.work.target import share_difficulty, target_of_difficulty, target_of_nbits
from simulators.chain import VERSION, Template, coinbase_halves, merkle_root
from simulators.wire.pool_books import Cause

HEX_DIGITS: Final = frozenset("0123456789abcdefABCDEF")
SEEN_MOST: Final = 100_000
"""Shares remembered per session and job."""


class Misread(Exception):
    """A request is not what the protocol says; the message says why."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job as it was broadcast."""

    id: str
    template: Template
    first: bytes
    second: bytes
    time_s: int
    clean: bool

    def notify(self) -> list[Any]:
        """The nine parameters of mining.notify."""
        template = self.template
        return [
            self.id,
            words_swapped(template.previous).hex(),
            self.first.hex(),
            self.second.hex(),
            [branch.hex() for branch in template.branches],
            f"{VERSION:08x}",
            f"{template.nbits:08x}",
            f"{self.time_s:08x}",
            self.clean,
        ]


def job_of(template: Template, number: int, at_s: float, *, extranonce_bytes: int, tag: bytes, clean: bool) -> Job:
    """A job on a template."""
    first, second = coinbase_halves(template, extranonce_bytes, tag)
    return Job(f"{number:x}", template, first, second, max(int(at_s), template.least_time_s), clean)


def words_swapped(raw: bytes) -> bytes:
    """Each four bytes turned round: how mining.notify has the previous hash."""
    return b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))


@dataclass(frozen=True, slots=True)
class Claim:
    """A submit, read: who says to have found what."""

    worker: str
    job: str
    extranonce2: bytes
    time_s: int
    nonce: int
    version_bits: int | None

    @classmethod
    def read(cls, params: Any) -> Claim:
        """The parameters of mining.submit.

        Raises:
            Misread: they are not five or six texts of hexadecimal.
        """
        if not isinstance(params, list) or len(params) not in {5, 6} or not all(isinstance(one, str) for one in params):
            raise Misread("mining.submit takes five or six texts")
        worker, job, extranonce2, time_s, nonce = params[:5]
        bits = word(params[5]) if len(params) == 6 else None
        return cls(worker, job, octets(extranonce2), word(time_s), word(nonce), bits)


def word(text: str) -> int:
    """32 bits as up to eight digits, with or without 0x before.

    Raises:
        Misread: it is not that.
    """
    digits = text[2:] if text[:2] in {"0x", "0X"} else text
    if not 1 <= len(digits) <= 8 or not HEX_DIGITS.issuperset(digits):
        raise Misread(f"{text[:20]!r} is not 32 bits of hexadecimal")
    return int(digits, 16)


def octets(text: str) -> bytes:
    """Bytes as hexadecimal.

    Raises:
        Misread: it is not that.
    """
    if len(text) % 2 or len(text) > 64 or not HEX_DIGITS.issuperset(text):
        raise Misread(f"{text[:20]!r} is not hexadecimal of whole bytes")
    return bytes.fromhex(text)


@dataclass(slots=True)
class Given:
    """A job as one session got it: the difficulty that it was told with, and what has come in for it."""

    job: Job
    difficulty: float
    extranonce1: bytes
    mask: int
    stale_s: float = inf
    """From when on shares for it are stale."""
    seen: set[tuple[bytes, int, int, int]] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Found:
    """A good share: the difficulty that it is credited with and the one it reached; `coinbase` and `head` of its block."""

    asked: float
    reached: float
    coinbase: bytes
    head: bytes
    is_block: bool


@dataclass(frozen=True, slots=True)
class Rules:
    """What a judgment needs beside job and share.

    `mask`: the version bits that the session may roll now. `harder`: by what a pool that lies multiplies the difficulty
    that it told.
    """

    scale: float
    extranonce2_bytes: int
    time_ahead_s: float
    mask: int = 0
    harder: float = 1.0


def judge(claim: Claim, given: Given | None, lowest: float, at_s: float, rules: Rules) -> Found | Cause:
    """A share against its job, at a time. `lowest` is the session's difficulty now, where a job was told with a higher one.

    A share found for a job is good at the lower of what the job was told with and what is asked now.
    """
    if given is None or at_s > given.stale_s:
        return Cause.STALE
    job = given.job
    version = VERSION
    if claim.version_bits is not None:
        mask = given.mask | rules.mask
        if claim.version_bits & ~mask:
            return Cause.OTHER
        version = VERSION & ~mask | claim.version_bits
    if len(claim.extranonce2) != rules.extranonce2_bytes:
        return Cause.OTHER
    if not job.time_s <= claim.time_s <= job.time_s + rules.time_ahead_s:
        return Cause.OTHER
    key = (claim.extranonce2, claim.time_s, claim.nonce, version)
    if key in given.seen:
        return Cause.DUPLICATE
    template = job.template
    coinbase = job.first + given.extranonce1 + claim.extranonce2 + job.second
    root = merkle_root(sha256d(coinbase), template.branches)
    head = header(version, template.previous, root, claim.time_s, template.nbits, claim.nonce)
    digest = sha256d(head)
    is_block = meets(digest, target_of_nbits(template.nbits))
    for asked in sorted({given.difficulty, min(given.difficulty, lowest)}, reverse=True):
        if meets(digest, target_of_difficulty(asked * rules.harder * rules.scale)):
            if len(given.seen) < SEEN_MOST:
                given.seen.add(key)
            return Found(asked, share_difficulty(digest) / rules.scale, coinbase, head, is_block)
    return Cause.LOW
