"""Booking: what a connection's shares become in the ledger, the same whether they are passed on or aggregated.

It knows which machine the connection is, which workers it has authorized and whose they are, and turns a submit into a
share to be verified, and a verdict into a credit or a flaw.
"""

from __future__ import annotations

from typing import Final

from controllers.pool.blocks import Answer
from controllers.pool.ledger import STRANGER
from controllers.pool.shared import Shared
from controllers.pool.verifier import Judge, Share
from fleet.work.counted import Flaw
from fleet.work.stratum import Id, Job, JobBook, Limits, Memory, Response, SetDifficulty, Submit, quarrel, refusal

_WORKERS_MOST: Final = 32
"""Of one connection: firmware has one, or two where it takes a fee."""
JOBS_KEPT: Final = 8
"""Per session. Pools send a job every half minute, and a machine works at the last two or three."""
SHARES_KEPT: Final = 1 << 17
"""Per machine and previous block: at an audit's 600 a minute more than three hours; beyond that a share is CROWDED."""


class Booking:
    """One connection's place in the books."""

    __slots__ = ("_foreign_jobs", "_shared", "address", "foreign_seen", "passwords", "row", "session", "workers")

    def __init__(self, shared: Shared, session: Judge, address: str) -> None:
        self._shared, self.session, self.address = shared, session, address
        self.row = shared.identity.of_address(address)
        self.workers: dict[str, bool] = {}
        """Authorized workers, and whether each is ours."""
        self.passwords: dict[str, str | None] = {}
        self.foreign_seen: set[str] = set()
        self._foreign_jobs: dict[str, None] = {}
        shared.ledger.opened(self.row, session)

    @property
    def machine(self) -> str:
        """The machine's id, or the address of a stranger."""
        return self.address if self.row == STRANGER else self._shared.identity.name(self.row)

    def book(self) -> JobBook:
        """A job book for a session with a pool; a machine's remember together which shares there were."""
        settings = self._shared.settings
        limits = Limits(jobs=JOBS_KEPT, shares=SHARES_KEPT, grace_s=settings.stale_grace_s)
        memory = Memory() if self.row == STRANGER else self._shared.memories.setdefault(self.row, Memory())
        return JobBook(limits, scale=settings.simulated_scale, memory=memory, fold=self._shared.verifier.fold)

    def asked(self, user: str) -> bool:
        """A worker asks to be authorized; is it ours? The first one names a machine that its address did not."""
        if self.row == STRANGER:
            row = self._shared.identity.of_worker(user)
            if row != STRANGER:
                self.row = row
                self._shared.ledger.opened(row, self.session)
        ours = self._shared.identity.ours(user)
        if not ours:
            self._found_foreign(user)
        return ours

    def authorized(self, user: str, password: str | None) -> None:
        """The pool has authorized it."""
        if len(self.workers) < _WORKERS_MOST:
            self.workers[user] = self._shared.identity.ours(user)
            self.passwords[user] = password

    def asks(self, book: JobBook) -> None:
        """A job or a difficulty has gone out."""
        if book.newest is not None:
            self._shared.ledger.asks(self.row, self.session, book.difficulty)

    def difficulty(self, book: JobBook, message: SetDifficulty | None, wish: float | None) -> float:
        """Take the pool's difficulty in, where it says one, and ask `wish` where that is lower; what the machine is told.

        The book hears of one change alone: firmware takes the first of several with its next job.
        """
        pool = book.pool_difficulty if message is None else message.difficulty
        local = wish if wish is not None and wish < pool else None
        if local is not None:
            book.ask(local)
        if message is not None:
            book.take(message, self._shared.now())
        if local is None:
            book.ask(None)
        self.asks(book)
        return pool if local is None else local

    def job(self, job: Job) -> None:
        """Look at a new job's coinbase, where the site file says whom it has to pay."""
        if self._shared.payouts.foreign(job):
            self._foreign_jobs[job.notify.job_id] = None
            self._shared.counts["jobs that pay none of our addresses"] += 1
            while len(self._foreign_jobs) > JOBS_KEPT:
                del self._foreign_jobs[next(iter(self._foreign_jobs))]
        elif self._foreign_jobs:
            self._foreign_jobs.pop(job.notify.job_id, None)

    def share(self, submit: Submit, line: bytes, book: JobBook) -> Share | Flaw:
        """The share to verify, or why it is none; the flaw is booked already."""
        at_s = self._shared.now()
        ours = self.workers.get(submit.worker)
        if ours is None and not self.workers:
            return self.flawed(Flaw.UNAUTHORIZED)
        if ours is None:
            ours = self._shared.identity.ours(submit.worker)
            if ours:
                return self.flawed(Flaw.UNAUTHORIZED)
            self._found_foreign(submit.worker)
        candidate = book.prepare(submit, at_s)
        if isinstance(candidate, Flaw):
            return self.flawed(candidate)
        foreign = not ours or submit.job_id in self._foreign_jobs
        return Share(self.session, submit, candidate, line, at_s, foreign)

    def flawed(self, flaw: Flaw) -> Flaw:
        """Book a flaw."""
        self._shared.ledger.flaw(self.row, flaw)
        return flaw

    def verdict(self, share: Share) -> Flaw | None:
        """Book what a verified share is worth, and keep it where its machine is under check."""
        judged, row = share.judged, self.row
        assert judged is not None
        if judged.flaw is not None:
            return self.flawed(judged.flaw)
        if share.foreign:
            self._shared.ledger.foreign(row, judged.credit)
        elif judged.credit:
            self._shared.ledger.credit(row, judged.credit, judged.reached, share.at_s)
            if row in self._shared.logs.watched:
                self._shared.logs.keep(row, share)
        return None

    def answered(self, share: Share, response: Response, pool: str) -> None:
        """Hold a pool's answer to a verified share against our verdict."""
        judged = share.judged
        assert judged is not None
        if judged.is_block:
            error = response.error
            said = "" if error is None else f"{error.message} ({error.code})"
            name = share.digest[::-1].hex()
            self._shared.blocks.answered(Answer(name, self._shared.now(), pool, response.accepted, said))
        differs = quarrel(judged, response)
        if differs is None:
            return
        self._shared.counts[differs.value] += 1
        if judged.flaw is None and not response.accepted and not share.foreign:
            self._shared.ledger.flaw(self.row, Flaw.REFUSED)
            self._shared.note_refusal(response.error)

    def close(self) -> None:
        """The connection has ended."""
        self._shared.ledger.closed(self.row, self.session)

    def _found_foreign(self, user: str) -> None:
        """Say once per connection and worker that work is done for somebody else."""
        if user not in self.foreign_seen and len(self.foreign_seen) < _WORKERS_MOST:
            self.foreign_seen.add(user)
            self._shared.counts["foreign workers"] += 1
            text = f"{self.machine} works for {user!r}, which is none of our accounts"
            self._shared.say_once((self.machine, user.partition(".")[0]), "foreign work", text)


def answer_to(request_id: Id, flaw: Flaw | None) -> Response:
    """What a machine is told of a share where the tap answers in the pool's place."""
    if flaw is None:
        return Response(request_id, True)
    # a worker that is not ours is told what a pool tells a worker that it does not know
    return Response(request_id, False, refusal(Flaw.UNAUTHORIZED if flaw is Flaw.FOREIGN else flaw))
