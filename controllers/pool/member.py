"""A member: a machine that shares its session with a pool with others, and to which the tap is the pool.

Its extranonce1 is the session's and a prefix of its own, and its difficulty is its own, as high as the pool's at most. A
share is verified first: one that is hard enough for the pool goes on and gets the pool's answer, any other good one is
credited and answered here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import Any, Final, cast

from controllers.pool.booking import answer_to
from controllers.pool.finding import block_of
from controllers.pool.ledger import STRANGER
from controllers.pool.machineside import MachineSide
from controllers.pool.shared import Shared
from controllers.pool.trunk import Trunk
from controllers.pool.vardiff import Varied
from controllers.pool.verifier import Share
from controllers.pool.wire import Cut
from fleet.work.counted import Flaw
from fleet.work.stratum import (
    Authorize,
    Configure,
    ExtranonceSubscribe,
    Job,
    Malformed,
    MultiVersion,
    Notify,
    Other,
    Ping,
    Pong,
    Request,
    Response,
    SetDifficulty,
    SetExtranonce,
    SetVersionMask,
    Submit,
    Subscribe,
    Subscription,
    SuggestDifficulty,
    SuggestTarget,
    asked_mask,
    grant,
    read_request,
    write_pool,
    write_response,
    write_subscription,
)
from fleet.work.target import difficulty_of_target

_GIVEN_MOST: Final = 32
"""More than a book keeps jobs."""


class Member(MachineSide):
    """One machine on the trunk."""

    def __init__(self, shared: Shared, trunk: Trunk, nominal_ths: Callable[[int], float]) -> None:
        super().__init__(shared)
        self._trunk, self._nominal_ths = trunk, nominal_ths
        self._prefix: bytes | None = None
        self._given: dict[bytes, bytes] = {}
        """The prefixes that it had in this session of the pool, by the first extranonces that its jobs have."""
        self._subscribed = self._takes_extranonce = False
        self._asked_mask: int | None = None
        self._told: float | None = None
        self._unkept: dict[Any, bytes | None] = {}

    @property
    def number(self) -> int | None:
        """The pool that it works for."""
        return self._trunk.number

    @property
    def waits(self) -> bool:
        """Does it wait for a session?"""
        return self._prefix is None

    # ------------------------------------------------------------------------------------------------ coming and going

    def joined(self) -> None:
        """It becomes one of many."""
        shared = self.shared
        self._book = self.booking.book()
        row = self.booking.row
        nominal_ths = None if row == STRANGER else self._nominal_ths(row)
        self._varied = Varied(shared.settings.vardiff, nominal_ths, shared.elapsed())
        self._trunk.join(self)

    def left(self, cut: Cut | None) -> None:  # noqa: ARG002 - one is like the other here
        """Its prefix may rest."""
        self._trunk.leave(self, self._prefix)

    def admitted(self, prefix: bytes, *, renewed: bool = False) -> None:
        """It has its part of a session; one that works already is told, or cut off where it cannot be.

        `renewed`: the session is the same, and what it was given before holds for the jobs that it has.
        """
        trunk = self._trunk
        subscription = trunk.subscription
        assert subscription is not None
        self._prefix = prefix
        extranonce1 = subscription.extranonce1 + prefix
        if renewed:
            self._book.take(SetExtranonce(extranonce1, trunk.division.left_bytes), self.shared.now())
        else:
            self._book.subscribed(extranonce1, trunk.division.left_bytes)
            self._given.clear()
        self._given[extranonce1] = prefix
        while len(self._given) > _GIVEN_MOST:
            del self._given[next(iter(self._given))]
        if self._subscribed:
            if not self._takes_extranonce:
                self.machine.end(Cut.MOVED)
                return
            self.machine.write(write_pool(SetExtranonce(extranonce1, trunk.division.left_bytes)))
            self.shared.counts["machines subscribed to another pool"] += 1
            for user in self.booking.workers:
                trunk.authorize(self, Authorize(None, user, self.booking.passwords.get(user)))
        self.masked()
        self.machine.resume()

    def orphaned(self) -> None:
        """The session is over; who cannot have another one is cut off, and comes again."""
        self._prefix = None
        if self._subscribed and not self._takes_extranonce:
            self.machine.end(Cut.POOL_LOST)

    def move(self) -> None:
        """All of them go, or none."""
        self._trunk.move()

    def sweep(self, now_s: float) -> None:
        """Look at its difficulty; end it where it says nothing."""
        if self._varied.look(self.shared.elapsed()):
            self.wished()
        super().sweep(now_s)

    # -------------------------------------------------------------------------------------------- what the machine says

    def heard(self, raw: bytes, lines: list[bytes]) -> None:  # noqa: ARG002 - nothing goes on as it came
        """Shares to be verified, and words that are answered here."""
        began_s = perf_counter()
        for line in lines:
            request = read_request(line)
            if type(request) is Submit:
                self._take(request, line, began_s)
            else:
                self._answer(request)
            if not self.machine.open:
                return

    def _take(self, submit: Submit, line: bytes, began_s: float) -> None:
        """Have a share verified."""
        if self.refuses(submit.worker):
            self.machine.write(write_response(answer_to(submit.id, self.booking.flawed(Flaw.FOREIGN))))
            return
        share = self.booking.share(submit, line, self._book)
        if isinstance(share, Flaw):
            self.machine.write(write_response(answer_to(submit.id, share)))
            return
        share.held, share.began_s = True, began_s
        self.shared.verifier.put(share)

    def _answer(self, request: Request | Malformed) -> None:  # noqa: C901, PLR0912 - one case per method
        """Answer what is not a share."""
        write, trunk = self.machine.write, self._trunk
        match request:
            case Subscribe(request_id):
                subscription = trunk.subscription
                if subscription is None or self._prefix is None:
                    return
                own = Subscription(subscription.extranonce1 + self._prefix, trunk.division.left_bytes)
                self._subscribed = True
                write(write_subscription(request_id, own))
            case Authorize(request_id, user):
                if not self.booking.asked(user) and self.refuses(user):
                    write(write_response(answer_to(request_id, Flaw.FOREIGN)))
                else:
                    trunk.authorize(self, request)
            case Configure(request_id):
                self._configured(request)
                write(write_response(Response(request_id, grant(request, trunk.mask))))
            case ExtranonceSubscribe(request_id):
                self._takes_extranonce = True
                write(write_response(Response(request_id, True)))
            case SuggestDifficulty(request_id, difficulty):
                self._suggested(difficulty)
                write(write_response(Response(request_id, True)))
            case SuggestTarget(request_id, target):
                if target > 0:
                    self._suggested(difficulty_of_target(target))
                write(write_response(Response(request_id, True)))
            case MultiVersion(request_id):
                write(write_response(Response(request_id, False)))
            case Ping(request_id):
                write(write_pool(Pong(request_id)))
            case Other():
                trunk.hand_on(self, request)
            case Malformed(_, method, request_id):
                if method == "mining.submit":
                    write(write_response(answer_to(request_id, self.booking.flawed(Flaw.MALFORMED))))
                else:
                    self.note_garbage()
            case _:
                pass

    def _configured(self, request: Configure) -> None:
        """Which bits it rolls, and what else it can."""
        self._asked_mask = asked_mask(request)
        self._book.granted((self._asked_mask or 0) & self._trunk.mask)
        if "subscribe-extranonce" in request.extensions:
            self._takes_extranonce = True

    def _suggested(self, difficulty: float) -> None:
        self._varied.suggested(difficulty, self.shared.elapsed())
        self.wished()

    # ---------------------------------------------------------------------------------------------------- from the pool

    def word_answered(self, request: Authorize, response: Response) -> None:
        """The pool's answer to a worker; with the first one that it knows the work begins."""
        begins = not self.booking.workers
        if response.accepted:
            self.booking.authorized(request.user, request.password)
        if request.id is not None:
            self.machine.write(write_response(response))
        newest = self._trunk.newest
        if response.accepted and begins and newest is not None and self._trunk.difficulty is not None:
            self.pool_difficulty(SetDifficulty(self._trunk.difficulty))
            begun = replace(newest, clean=True)
            self.job(begun, write_pool(begun))

    def job(self, notify: Notify, line: bytes) -> None:
        """A job, for a machine that works; the line is the same for all."""
        if not self.booking.workers or self._prefix is None:
            return
        self._book.take(notify, self.shared.now())
        if self._book.newest is not None:
            self.booking.job(self._book.newest)
        self.booking.asks(self._book)
        self.machine.write(line)

    def pool_difficulty(self, message: SetDifficulty) -> None:
        """The pool's difficulty: no more is asked of the machine."""
        self._tell(message)

    def masked(self) -> None:
        """The version bits that may be rolled."""
        if self._asked_mask is not None:
            mask = self._asked_mask & self._trunk.mask
            if mask != self._book.version_mask:
                self._book.granted(mask, self.shared.now())
                self.machine.write(write_pool(SetVersionMask(mask)))

    def tell_line(self, line: bytes) -> None:
        """What is for people, or for who knows it."""
        self.machine.write(line)

    def wished(self) -> None:
        """Ask what is to be asked of it: its own difficulty, an audit's where that is lower, the pool's at most."""
        if self._trunk.difficulty is not None:
            self._tell(None)

    def _tell(self, message: SetDifficulty | None) -> None:
        """The same, with what the pool has just said; a machine that does not work yet is told when it does."""
        wish = min(self._varied.difficulty, self.shared.wishes.get(self.booking.row, float("inf")))
        difficulty = self.booking.difficulty(self._book, message, wish)
        if difficulty != self._told and self.booking.workers:
            self._told = difficulty
            self.machine.write(write_pool(SetDifficulty(difficulty)))

    # ----------------------------------------------------------------------------------------------------- the verdict

    def block(self, share: Share) -> None:
        """Send it on before anything else, and keep it; its answer waits for the disk."""
        trunk, key = self._trunk, _key(share)
        self._unkept[key] = None
        self._forward(share)
        machine, subscription = self.booking.machine, trunk.subscription
        self.shared.blocks.new(
            block_of(
                share, machine=machine, pool=trunk.url, subscription=subscription, prefix=self._prefix_of(share) or b""
            ),
            lambda: self._kept(key),
        )
        if trunk.subscription is None:
            self.shared.rescue(share, self.booking.passwords.get(share.submit.worker))

    def verdict(self, share: Share) -> None:
        """Book it; what the pool wants goes on to it, the rest is answered."""
        assert share.judged is not None
        flaw = self.booking.verdict(share)
        if flaw is None:
            self._varied.share()
        if share.held:
            if share.judged.for_pool and flaw is not Flaw.DUPLICATE and self._trunk.subscription is not None:
                self._forward(share)
            else:
                self.answer(share.submit.id, flaw)
        self.shared.forwarding.note(perf_counter() - share.began_s)

    def _forward(self, share: Share) -> None:
        share.held = False
        prefix = self._prefix_of(share)
        if prefix is not None and self._prefix is not None:
            self._trunk.submit(self, share, prefix)

    def _prefix_of(self, share: Share) -> bytes | None:
        """The prefix that its job was given with; None: in another session of the pool."""
        return self._given.get(cast("Job", share.candidate.job).extranonce1)

    def share_answered(self, share: Share, response: Response) -> None:
        """The pool's answer to a share that went on."""
        self.booking.answered(share, response, self._trunk.url)
        line, key = write_response(response), _key(share)
        if key in self._unkept:
            self._unkept[key] = line
        else:
            self.machine.write(line)

    def _kept(self, key: int) -> None:
        """A block is on disk: its answer may go."""
        line = self._unkept.pop(key, None)
        if line is not None:
            self.machine.write(line)


def _key(share: Share) -> int:
    """A share as a key, as long as it is under way."""
    return id(share)
