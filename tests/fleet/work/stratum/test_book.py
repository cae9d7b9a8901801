"""The job book: each law of a session on its own, and who a share belongs to around every change."""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import replace
from itertools import count

import pytest

from fleet.work.counted import Flaw
from fleet.work.sha256d import sha256d
from fleet.work.stratum import (
    Candidate,
    Error,
    JobBook,
    Judged,
    Limits,
    Memory,
    Notify,
    Ping,
    Quarrel,
    Response,
    SetDifficulty,
    SetExtranonce,
    SetVersionMask,
    Submit,
    judge,
    quarrel,
)

ANY = 2.0**-40
"""A difficulty that every hash meets."""
EASY, HARD = 2.0**-31, 2.0**-29
"""Every second and every eighth hash is a share."""
JOB = Notify(
    job_id="1",
    previous=b"\1" * 32,
    coinbase1=b"first",
    coinbase2=b"last",
    branches=(b"\2" * 32, b"\3" * 32),
    version=0x2000_0000,
    nbits=0x1D00_FFFF,
    time_s=1_700_000_000,
    clean=False,
)
SHARE = Submit(1, "worker", "1", b"\0\0\0\1", JOB.time_s, 7)


def opened(*, limits: Limits | None = None, difficulty: float = ANY, memory: Memory | None = None) -> JobBook:
    """A session with an extranonce, a difficulty, and one job at second 0."""
    book = JobBook(limits, memory=memory)
    book.subscribed(b"\xaa\xbb", 4)
    book.take(SetDifficulty(difficulty), 0.0)
    book.take(JOB, 0.0)
    return book


def judged(book: JobBook, submit: Submit = SHARE, at_s: float = 1.0) -> Judged:
    """The verdict on a share that can be hashed."""
    candidate = book.prepare(submit, at_s)
    assert isinstance(candidate, Candidate), candidate
    return judge(candidate, sha256d(candidate.header))


def flaw(book: JobBook, submit: Submit = SHARE, at_s: float = 1.0) -> Flaw | None:
    """What is wrong with a share, whether it can be hashed or not."""
    candidate = book.prepare(submit, at_s)
    return candidate if isinstance(candidate, Flaw) else judge(candidate, sha256d(candidate.header)).flaw


def mined(book: JobBook, least: float, most: float = float("inf"), submit: Submit = SHARE) -> Submit:
    """A share that reaches a difficulty from `least` to `most`, not sent before."""
    for nonce in count():
        tried = submit._replace(nonce=nonce)
        candidate = book.prepare(tried, 0.0)
        assert isinstance(candidate, Candidate)
        value = int.from_bytes(sha256d(candidate.header), "little")
        if least <= (0xFFFF << 208) / value < most:
            return tried
    raise AssertionError


# ------------------------------------------------------------------------------------------------ which job it is for


def test_a_job_that_nobody_gave() -> None:
    """A made-up job, or one of another session, would be paid for."""
    assert flaw(opened(), SHARE._replace(job_id="2")) is Flaw.UNKNOWN_JOB
    assert flaw(JobBook()) is Flaw.UNKNOWN_JOB


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("the pool says so", replace(JOB, job_id="2", clean=True)),
        ("a new block", replace(JOB, job_id="2", previous=b"\x09" * 32)),
    ],
)
@pytest.mark.parametrize(("at_s", "verdict"), [(100.0, None), (105.0, None), (105.1, Flaw.STALE), (9e9, Flaw.STALE)])
def test_a_job_ends_after_a_grace(name: str, message: Notify, at_s: float, verdict: Flaw | None) -> None:
    """Shares that were on their way would be lost, or work on an old block be paid for."""
    book = opened(limits=Limits(grace_s=5.0))
    book.take(message, 100.0)
    assert flaw(book, at_s=at_s) is verdict, name
    assert flaw(book, SHARE._replace(job_id="2", nonce=8), at_s=at_s) is None


def test_an_ended_job_does_not_end_again() -> None:
    """Every further clean job would give the old ones another grace."""
    book = opened(limits=Limits(grace_s=5.0))
    for number in range(2, 6):
        book.take(replace(JOB, job_id=str(number), clean=True), number * 4.0)
    assert flaw(book, at_s=20.0) is Flaw.STALE


def test_a_job_beside_it_ends_nothing() -> None:
    """Work on a job that the pool still pays for would be called stale."""
    book = opened()
    book.take(replace(JOB, job_id="2", time_s=JOB.time_s + 30), 30.0)
    assert flaw(book, at_s=60.0) is None


def test_jobs_that_never_end_make_room() -> None:
    """A pool that ends no job would fill the memory; and a job that had to go would be called made up."""
    book = opened(limits=Limits(jobs=3, retired=5))
    for number in range(2, 12):
        book.take(replace(JOB, job_id=str(number)), 0.0)
    assert len(book) == 3
    found = {str(number): flaw(book, SHARE._replace(job_id=str(number), nonce=number)) for number in range(1, 12)}
    assert [job for job, verdict in found.items() if verdict is None] == ["9", "10", "11"]
    assert [job for job, verdict in found.items() if verdict is Flaw.STALE] == ["4", "5", "6", "7", "8"]
    assert [job for job, verdict in found.items() if verdict is Flaw.UNKNOWN_JOB] == ["1", "2", "3"]


def test_a_job_that_came_again_is_remembered_as_the_last_to_end() -> None:
    """A job that the pool sent twice would be called made up, because it had ended once before."""
    book = opened(limits=Limits(jobs=1, retired=2))
    for job_id in ("a", "b", "a", "c", "d"):
        book.take(replace(JOB, job_id=job_id), 0.0)
    found = {job_id: flaw(book, SHARE._replace(job_id=job_id)) for job_id in "1abcd"}
    assert found == {"1": Flaw.UNKNOWN_JOB, "a": Flaw.STALE, "b": Flaw.UNKNOWN_JOB, "c": Flaw.STALE, "d": None}


@pytest.mark.parametrize("field", ["jobs", "retired", "shares", "grace_s", "time_ahead_s"])
def test_limits_that_are_none(field: str) -> None:
    """A book would keep no job at all, or refuse every share for its time."""
    with pytest.raises(ValueError, match="expected room for a job"):
        replace(Limits(), **{field: -1})
    assert getattr(replace(Limits(), **{field: 1}), field) == 1


def test_ten_thousand_jobs_take_the_memory_of_a_few() -> None:
    """What a book keeps of jobs and blocks would grow as long as the session lives."""
    book = opened()
    numbers = range(10_000)
    tracemalloc.start()
    for number in numbers:
        book.take(replace(JOB, job_id=f"{number:x}", previous=number.to_bytes(32, "big")), 0.0)
        judged(book, SHARE._replace(job_id=f"{number:x}"))
    # what Python itself keeps of tuples for reuse is not ours
    gc.collect()
    kept_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept_bytes < 100_000


def test_an_id_that_is_used_again_is_the_newer_job() -> None:
    """A share would be held against a job that was replaced under its id (NiceHash does so with another extranonce)."""
    book = opened()
    before = judged(book).header
    book.take(SetExtranonce(b"\xcc\xdd", 4), 0.0)
    book.take(JOB, 0.0)
    assert judged(book).header != before
    assert len(book) == 1


def test_a_few_merkle_roots_are_kept() -> None:
    """A machine that rolls its version would cost 25 hashes a share, or one that rolls its extranonce fill the memory."""
    job = opened().newest
    assert job is not None
    extranonces = [number.to_bytes(4, "big") for number in range(100)]
    roots = [job.merkle_root(extranonce2) for extranonce2 in extranonces]
    assert len(set(roots)) == 100
    assert job.merkle_root(extranonces[-1]) is roots[-1]
    assert len(job._roots or {}) <= 8
    assert [job.merkle_root(extranonce2) for extranonce2 in extranonces] == roots


# ------------------------------------------------------------------------------------------------------- duplicates


def test_a_share_counts_once() -> None:
    """A share sent twice would be paid for twice, also as one that was given another spelling or another job's name."""
    book = opened()
    assert flaw(book) is None
    assert flaw(book) is Flaw.DUPLICATE
    assert flaw(book, SHARE._replace(id=2, worker="other")) is Flaw.DUPLICATE
    assert flaw(book, SHARE._replace(version_bits=0)) is Flaw.DUPLICATE
    assert flaw(book, SHARE._replace(version_bits=JOB.version)) is Flaw.DUPLICATE
    book.take(replace(JOB, job_id="2"), 0.0)
    assert flaw(book, SHARE._replace(job_id="2")) is Flaw.DUPLICATE
    book.take(replace(JOB, time_s=JOB.time_s - 9), 0.0)
    assert flaw(book) is Flaw.DUPLICATE


def test_what_is_too_easy_is_not_remembered() -> None:
    """A flood of worthless shares would take the room of good ones."""
    book = opened(limits=Limits(shares=2), difficulty=EASY)
    for nonce in range(50):
        candidate = book.prepare(SHARE._replace(nonce=nonce), 0.0)
        assert isinstance(candidate, Candidate)
        assert judge(candidate, b"\xff" * 32).flaw is Flaw.LOW
    assert flaw(book, mined(book, EASY)) is None


def test_more_shares_than_are_remembered() -> None:
    """A share that could be a duplicate would be paid for, once there were too many to tell."""
    book = opened(limits=Limits(shares=2))
    verdicts = [flaw(book, SHARE._replace(nonce=nonce)) for nonce in (1, 2, 3, 2, 3)]
    assert verdicts == [None, None, Flaw.CROWDED, Flaw.DUPLICATE, Flaw.CROWDED]


def test_a_resumed_session_does_not_pay_twice() -> None:
    """A machine that reconnects, and gets its old extranonce back, would be paid again for all that it sent before."""
    memory = Memory()
    assert flaw(opened(memory=memory)) is None
    assert flaw(opened(memory=memory)) is Flaw.DUPLICATE
    assert flaw(opened(memory=Memory())) is None


# ------------------------------------------------------------------------------------------------------- extranonce


def test_an_extranonce_changes_from_the_next_job_on() -> None:
    """After mining.set_extranonce the shares of the job before it would be lost, or the next job's be wrong."""
    book = opened()
    before = judged(book).header
    book.take(SetExtranonce(b"\xcc", 6), 1.0)
    assert judged(book).header == before
    book.take(replace(JOB, job_id="2"), 2.0)
    assert flaw(book, SHARE._replace(nonce=8)) is None
    changed = judged(book, SHARE._replace(job_id="2", extranonce2=b"\0" * 5 + b"\1"))
    leaf = sha256d(JOB.coinbase1 + b"\xcc" + b"\0" * 5 + b"\1" + JOB.coinbase2)
    assert changed.header[36:68] == sha256d(sha256d(leaf + JOB.branches[0]) + JOB.branches[1])


def test_a_share_from_another_session() -> None:
    """A share that was found on another connection would be paid for on this one."""
    ours, theirs = opened(difficulty=HARD), JobBook()
    theirs.subscribed(b"\xcc\xdd", 4)
    theirs.take(SetDifficulty(HARD), 0.0)
    theirs.take(JOB, 0.0)
    replayed = [mined(ours, HARD, submit=SHARE._replace(extranonce2=number.to_bytes(4, "big"))) for number in range(8)]
    assert [flaw(ours, share) for share in replayed] == [None] * 8
    assert [flaw(theirs, share) for share in replayed].count(Flaw.LOW) >= 4


def test_a_new_session_knows_no_jobs() -> None:
    """With a new extranonce the old jobs' shares would be held against the wrong header."""
    book = opened()
    book.subscribed(b"\xaa\xbb", 4)
    assert flaw(book) is None
    book.subscribed(b"\xcc\xdd", 4)
    assert flaw(book) is Flaw.UNKNOWN_JOB
    assert book.newest is None


@pytest.mark.parametrize("extranonce2", [b"", b"\1", b"\0\0\0\1\0", b"\0" * 32])
def test_an_extranonce2_of_another_size(extranonce2: bytes) -> None:
    """A share whose extranonce2 has not the size that the pool asked for would pass as one that is merely too easy."""
    book = opened(difficulty=2.0)
    assert flaw(book, SHARE._replace(extranonce2=extranonce2)) is Flaw.EXTRANONCE


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        (b"\1", b"\1\0\0\0"),  # ckpool fills up behind it
        (b"\1", b"\0\0\0\1"),  # btcpool reads a number
        (b"\1\2\3\4\5", b"\1\2\3\4"),  # ckpool takes the first
        (b"\1\2\3\4\5", b"\2\3\4\5"),  # btcpool the last
    ],
)
def test_an_extranonce2_that_a_pool_makes_fit(sent: bytes, meant: bytes) -> None:
    """A firmware's share that its pool takes, after making its extranonce2 fit, would be called a flaw."""
    book = opened(difficulty=HARD)
    share = mined(book, HARD, submit=SHARE._replace(extranonce2=meant))
    found = judged(book, share._replace(extranonce2=sent))
    assert found.flaw is None
    assert found.reached >= HARD
    job = book.newest
    assert job is not None
    assert (len(found.extranonce2), job.merkle_root(found.extranonce2)) == (4, found.header[36:68])
    # it is the share that the machine meant, unless the other reading happened to be harder still
    assert flaw(book, share) in {Flaw.DUPLICATE, None}
    assert flaw(book, share._replace(extranonce2=sent)) is Flaw.DUPLICATE


# ------------------------------------------------------------------------------------------------------------- time


@pytest.mark.parametrize(
    ("time_s", "verdict"),
    [(-1, Flaw.TIME), (0, None), (7_000, None), (7_001, Flaw.TIME), (1 << 31, Flaw.TIME)],
)
def test_time_may_run_ahead_a_little(time_s: int, verdict: Flaw | None) -> None:
    """A share whose time no block could have, or that gives itself two hours of extra work, would be paid for."""
    assert flaw(opened(), SHARE._replace(time_s=JOB.time_s + time_s)) is verdict


# ---------------------------------------------------------------------------------------------------------- version


@pytest.mark.parametrize(
    ("mask", "bits", "version", "verdict"),
    [
        (0, None, 0x2000_0000, None),
        (0x1FFF_E000, None, 0x2000_0000, None),
        (0x1FFF_E000, 0, 0x2000_0000, None),
        (0x1FFF_E000, 0x1FFF_E000, 0x3FFF_E000, None),
        (0x1FFF_E000, 0x2000, 0x2000_2000, None),
        # bits beyond the mask, without a mask, and the sign bits that old Antminers rolled (btcpool, issue 425)
        (0x1FFF_E000, 0x1000, 0x2000_0000, Flaw.VERSION),
        (0x1FFF_E000, 0x4000_0000, 0x2000_0000, Flaw.VERSION),
        (0, 0x2000, 0x2000_0000, Flaw.VERSION),
        (0, 0, 0x2000_0000, None),
        # a whole version, as Antminers send it after mining.multi_version
        (0x1FFF_E000, 0x2000_2000, 0x2000_2000, None),
        (0, 0x2000_0000, 0x2000_0000, None),
        (0x1FFF_E000, 0x6000_2000, 0x2000_2000, Flaw.VERSION),
    ],
)
def test_version_bits(mask: int, bits: int | None, version: int, verdict: Flaw | None) -> None:
    """Version bits would be put into the header otherwise than BIP 310 says, or bits be rolled that nobody gave."""
    book = opened()
    book.granted(mask)
    found = judged(book, SHARE._replace(version_bits=bits))
    assert int.from_bytes(found.header[:4], "little") == version
    assert found.flaw is verdict


@pytest.mark.parametrize(
    ("name", "bits", "version"),
    [
        # of a job with version 2000a000, in the mask 1fffe000
        ("BIP 310 puts them in place", 0x6000, 0x2000_6000),
        ("ckpool adds them", 0x6000, 0x2000_E000),
        ("ESP-Miner, public-pool and btcpool flip them", 0x6000, 0x2000_C000),
    ],
)
def test_versions_that_are_read_in_three_ways(name: str, bits: int, version: int) -> None:
    """Where a job's own version has bits in the mask, an honest machine's shares would seem too easy (c2pool, 1392)."""
    book, rolled = opened(difficulty=HARD), opened(difficulty=HARD)
    book.granted(0x1FFF_E000)
    book.take(replace(JOB, version=0x2000_A000), 0.0)
    rolled.take(replace(JOB, version=version), 0.0)
    share = mined(rolled, HARD)
    found = judged(book, share._replace(version_bits=bits))
    assert found.flaw is None, name
    assert found.reached >= HARD
    assert flaw(book, share._replace(version_bits=bits)) is Flaw.DUPLICATE


def test_a_new_mask_is_in_force_at_once_and_the_old_one_for_a_grace() -> None:
    """Shares on their way would be flawed when a pool takes bits back, or bits be rolled long after (BIP 310)."""
    book = opened(limits=Limits(grace_s=5.0))
    book.granted(0x1FFF_E000)
    book.take(SetVersionMask(0x0000_E000), 10.0)
    assert book.version_mask == 0xE000
    new, old = SHARE._replace(version_bits=0x2000), SHARE._replace(version_bits=0x0010_0000)
    assert flaw(book, new, 11.0) is None
    assert flaw(book, old, 15.0) is None
    assert flaw(book, old._replace(nonce=8), 15.1) is Flaw.VERSION
    assert flaw(book, old._replace(version_bits=0x4000_0000), 11.0) is Flaw.VERSION


# ------------------------------------------------------------------------------------------------------- difficulty


@pytest.mark.parametrize(("before", "after"), [(EASY, HARD), (HARD, EASY)])
def test_a_difficulty_is_in_force_from_the_next_job_on(before: float, after: float) -> None:
    """Around a change an honest machine's shares would be flawed, or one paid more for changing than for working."""
    book = opened(difficulty=before)
    book.take(SetDifficulty(after), 1.0)
    # the job before it: what meets the lower one is no flaw, what meets the harder one is worth that
    assert book.difficulty == HARD
    assert judged(book, mined(book, HARD))[:2] == (None, HARD)
    assert judged(book, mined(book, EASY, HARD))[:2] == (None, 0.0)
    assert judged(book, mined(book, 0.0, EASY))[:2] == (Flaw.LOW, 0.0)
    # the job after it
    book.take(replace(JOB, job_id="2"), 2.0)
    assert book.difficulty == after
    later = SHARE._replace(job_id="2", extranonce2=b"\0\0\0\2")
    assert judged(book, mined(book, EASY, HARD, later))[:2] == ((None, EASY) if after == EASY else (Flaw.LOW, 0.0))
    assert judged(book, mined(book, HARD, submit=later))[:2] == (None, after)


def test_two_difficulties_at_once() -> None:
    """cgminer takes one per job (parse_diff), so an honest one's shares for the first job would be flawed."""
    book = opened(difficulty=1.0)
    book.take(SetDifficulty(EASY), 1.0)
    book.take(SetDifficulty(2.0**-30), 1.0)
    book.take(SetDifficulty(HARD), 1.0)
    book.take(replace(JOB, job_id="2"), 1.0)
    share = SHARE._replace(job_id="2")
    assert judged(book, mined(book, EASY, HARD, share))[:2] == (None, 0.0)
    assert judged(book, mined(book, HARD, submit=share))[:2] == (None, HARD)
    book.take(replace(JOB, job_id="3"), 1.0)
    assert flaw(book, mined(book, EASY, HARD, SHARE._replace(job_id="3", extranonce2=b"\0\0\0\2"))) is Flaw.LOW


def test_the_same_difficulty_again_changes_nothing() -> None:
    """A pool that repeats its difficulty with every job would keep an old one in force."""
    book = opened(difficulty=HARD)
    for number in range(2, 5):
        book.take(SetDifficulty(HARD), 1.0)
        book.take(replace(JOB, job_id=str(number)), 1.0)
        assert flaw(book, mined(book, EASY, HARD, SHARE._replace(job_id=str(number)))) is Flaw.LOW


def test_before_the_first_difficulty() -> None:
    """A pool that says none means 1, and shares for its first job would be worth nothing, or everything."""
    book = JobBook()
    assert book.difficulty == 1.0
    book.take(JOB, 0.0)
    assert book.difficulty == 1.0
    book = JobBook()
    book.take(SetDifficulty(8192.0), 0.0)
    book.take(JOB, 0.0)
    assert book.difficulty == 8192.0
    assert flaw(book, SHARE._replace(extranonce2=b"\0\0\0\1")) is Flaw.LOW


def test_a_difficulty_of_our_own() -> None:
    """During an audit the pool would be sent shares that are too easy for it, or its own not be recognised."""
    book = opened(difficulty=HARD)
    book.ask(EASY)
    book.take(replace(JOB, job_id="2"), 1.0)
    assert (book.difficulty, book.pool_difficulty) == (EASY, HARD)
    easy = judged(book, mined(book, EASY, HARD, SHARE._replace(job_id="2")))
    hard = judged(book, mined(book, HARD, submit=SHARE._replace(job_id="2")))
    assert (easy.flaw, easy.credit, easy.for_pool) == (None, EASY, False)
    assert (hard.flaw, hard.credit, hard.for_pool) == (None, EASY, True)
    # what the pool says meanwhile is its own affair
    book.take(SetDifficulty(2 * HARD), 2.0)
    book.take(replace(JOB, job_id="3"), 2.0)
    assert book.difficulty == EASY
    third = SHARE._replace(job_id="3", extranonce2=b"\0\0\0\3")
    assert not judged(book, mined(book, HARD, 2 * HARD, third)).for_pool
    book.ask(None)
    book.take(replace(JOB, job_id="4"), 3.0)
    assert book.difficulty == 2 * HARD


def test_a_scale_multiplies_difficulties_alone() -> None:
    """In a simulated site shares would take other work than the numbers on the wire say, or blocks be made up."""
    book = JobBook(scale=2.0**-41)
    book.subscribed(b"", 4)
    book.take(SetDifficulty(2.0**10), 0.0)
    book.take(replace(JOB, nbits=0x207F_FFFF), 0.0)
    good = judged(book, mined(book, 2.0**-31))
    assert (good.flaw, good.credit) == (None, 2.0**10)
    assert good.reached >= 2.0**10
    assert flaw(book, mined(book, 0.0, 2.0**-31)) is Flaw.LOW
    assert good.is_block


@pytest.mark.parametrize(("difficulty", "scale"), [(5e-324, 1e-300), (5e-324, 1.0), (2e67, 1e300), (2e67, 1e-300)])
def test_absurd_difficulties(difficulty: float, scale: float) -> None:
    """A number that a pool or a site file may have would raise where it becomes a target."""
    book = JobBook(scale=scale)
    book.take(SetDifficulty(difficulty), 0.0)
    book.take(JOB, 0.0)
    assert flaw(book) in {None, Flaw.LOW}


# ----------------------------------------------------------------------------------------------------------- blocks


@pytest.mark.parametrize(
    ("share", "at_s", "verdict"),
    [
        (SHARE, 1.0, None),
        (SHARE, 99.0, Flaw.STALE),
        (SHARE._replace(time_s=JOB.time_s - 1), 1.0, Flaw.TIME),
        (SHARE._replace(version_bits=1), 1.0, Flaw.VERSION),
    ],
)
def test_a_block_is_a_block_whatever_its_flaw(share: Submit, at_s: float, verdict: Flaw | None) -> None:
    """A block would be lost because its share came late, or had something else that its pool may not like."""
    book = JobBook()
    book.subscribed(b"", 4)
    book.take(SetDifficulty(ANY), 0.0)
    book.take(replace(JOB, nbits=0x207F_FFFF), 0.0)
    book.take(replace(JOB, job_id="2", clean=True), 2.0)
    found = [judged(book, share._replace(nonce=nonce), at_s) for nonce in range(40)]
    assert {(each.flaw, each.is_block) for each in found} == {(verdict, False), (verdict, True)}


@pytest.mark.parametrize("nbits", [0, 0x0492_3456, 0xFFFF_FFFF, 0x0100_3456])
def test_nbits_that_no_header_may_have(nbits: int) -> None:
    """A pool's nonsense would raise, or make every share a block."""
    book = JobBook()
    book.take(SetDifficulty(ANY), 0.0)
    book.take(replace(JOB, nbits=nbits), 0.0)
    assert judged(book).is_block is False


# ------------------------------------------------------------------------------------------------- what the pool says


@pytest.mark.parametrize(
    ("flaw_", "for_pool", "response", "verdict"),
    [
        (None, True, Response(1, result=True), None),
        (None, True, Response(1, None, Error(23, "Low difficulty share")), Quarrel.REFUSED_HARD),
        (None, True, Response(1, None, Error(21, "Job not found")), Quarrel.REFUSED_GOOD),
        (None, True, Response(1, result=False), Quarrel.REFUSED_GOOD),
        (None, False, Response(1, result=True), Quarrel.TAKEN_LOW),
        (None, False, Response(1, None, Error(23, "Low difficulty share")), None),
        (Flaw.LOW, False, Response(1, result=True), Quarrel.TAKEN_LOW),
        (Flaw.STALE, True, Response(1, result=True), Quarrel.TAKEN_FLAWED),
        (Flaw.DUPLICATE, True, Response(1, None, Error(22, "Duplicate share")), None),
        (Flaw.LOW, False, Response(1, result=False), None),
    ],
)
def test_where_pool_and_tap_do_not_agree(
    flaw_: Flaw | None, for_pool: bool, response: Response, verdict: Quarrel | None
) -> None:
    """A pool that counts with another difficulty than it says would not be found out, or an honest one be accused."""
    judged_ = Judged(flaw_, 0.0, 0.0, is_block=False, for_pool=for_pool, header=b"", extranonce2=b"")
    assert quarrel(judged_, response) is verdict


def test_messages_that_are_not_about_jobs() -> None:
    """A ping would end the session."""
    book = opened()
    book.take(Ping(1), 1.0)
    book.take(Response(1, result=True), 1.0)
    assert flaw(book) is None


def test_a_digest_of_another_size_is_our_own_bug() -> None:
    """A batch that was cut wrongly would judge shares by other shares' hashes."""
    candidate = opened().prepare(SHARE, 0.0)
    assert isinstance(candidate, Candidate)
    with pytest.raises(ValueError, match="31 bytes"):
        judge(candidate, bytes(31))
