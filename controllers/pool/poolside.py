"""The pool's side of a machine in pass mode: one session with one pool, as it is heard, until it ends.

What the pool says goes on to the machine as it came, and into the session's job book on the way. Answers are matched with
what was asked by their ids, after the verdicts on the shares that they are about. What is not passed on: a difficulty
while a lower one is asked of the machine, a wish to lead the machine elsewhere, answers to words that the tap said in the
machine's place, and, until it is on disk, the answer to a block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from controllers.pool.booking import Booking
from controllers.pool.greeting import Greeting, Word
from controllers.pool.shared import Shared
from controllers.pool.verifier import Share
from controllers.pool.wire import Cut, Wire
from fleet.work.counted import Flaw
from fleet.work.stratum import (
    Authorize,
    Configure,
    Error,
    ExtranonceSubscribe,
    Malformed,
    Notify,
    PoolMessage,
    Reconnect,
    Response,
    SetDifficulty,
    SetExtranonce,
    SetVersionMask,
    Subscribe,
    Subscription,
    read_configured,
    read_pool,
    read_subscription,
    write_pool,
    write_response,
)
from fleet.work.stratum.messages import Id

_PENDING_MOST: Final = 1_024
_ANSWER_REAL_S: Final = 60.0
_GONE: Final = Error(21, "Pool connection lost")


@dataclass(frozen=True, slots=True)
class Again:
    """A word of the machine's greeting, said once more to another pool; its answer is not the machine's."""

    word: Word


Asked: TypeAlias = Share | Flaw | Word | Again
"""What an answer is waited for."""


class PoolSide:
    """One session with a pool, for one machine.

    `ended(cut)` is called once when it is over, `ready()` when words that were said again have all been answered.
    `takes_extranonce`: the machine can be given another extranonce while it works.
    """

    def __init__(
        self,
        shared: Shared,
        booking: Booking,
        machine: Wire,
        number: int,
        *,
        takes_extranonce: bool,
        ready: Callable[[], None],
        ended: Callable[[PoolSide, Cut | None], None],
    ) -> None:
        self._shared, self._booking, self._machine, self.number = shared, booking, machine, number
        self._ready, self._ended = ready, ended
        limits = shared.settings.limits
        self.wire = Wire(
            shared.loop,
            line_bytes=limits.pool_line_bytes,
            messages_per_s=limits.pool_messages_per_s,
            made=self._made,
            said=self._said,
            lost=self._lost,
        )
        self.book = booking.book()
        self.subscription: Subscription | None = None
        self.takes_extranonce = takes_extranonce
        self.served_s: float | None = None
        """Since when it has been a session (real seconds); None: it never was."""
        self._greeted_s: float | None = None
        """Since when it owes the answer to a subscription; None: it was not asked for one."""
        self._counted = False
        self._pending: dict[Any, tuple[Id, float, Asked]] = {}
        self._again = 0
        self._told: float | None = None
        self._garbage = 0
        self._unkept: dict[Any, bytes | None] = {}

    @property
    def url(self) -> str:
        """The pool's address."""
        return self._shared.dial.pools.states[self.number].table.url

    @property
    def owes_a_block(self) -> bool:
        """Is the answer to a block still due?"""
        return any(isinstance(asked, Share) and asked.is_block for _, _, asked in self._pending.values())

    # ----------------------------------------------------------------------------------------------- from the machine

    def wait_for(self, request_id: Id, asked: Asked) -> None:
        """An answer is due to what went to the pool."""
        pending, now_s = self._pending, self._shared.loop.time()
        pending[_key(request_id)] = (request_id, now_s, asked)
        if self._greeted_s is None and isinstance(asked, Subscribe | Again):
            self._greeted_s = now_s
        if len(pending) > _PENDING_MOST:
            del pending[next(iter(pending))]
            self._shared.counts["answers no longer waited for"] += 1

    def greet(self, greeting: Greeting) -> None:
        """Say a machine's words again."""
        for word, line in greeting:
            self.wait_for(word.id, Again(word))
            self._again += 1
            self.wire.write(line + b"\n")

    def forward(self, share: Share) -> None:
        """Send a share on that was held until its verdict."""
        self.wait_for(share.submit.id, share)
        self.wire.write(share.line + b"\n")

    def hold_answer(self, share: Share) -> Callable[[], None]:
        """The answer to this share waits; what is returned lets it go."""
        key = _key(share.submit.id)
        self._unkept[key] = None

        def kept() -> None:
            line = self._unkept.pop(key, None)
            if line is not None:
                self._machine.write(line)

        return kept

    def wished(self) -> None:
        """Tell the machine the difficulty that is in force: what is wished of it, or the pool's where that is lower."""
        self._tell(None)

    def _tell(self, message: SetDifficulty | None) -> None:
        """The same, with what the pool has just said."""
        wish = self._shared.wishes.get(self._booking.row)
        difficulty = self._booking.difficulty(self.book, message, wish)
        if difficulty != self._told:
            self._told = difficulty
            self._machine.write(write_pool(SetDifficulty(difficulty)))

    def sweep(self, now_s: float) -> None:
        """End it where the pool says nothing, or does not answer."""
        failover = self._shared.settings.failover
        if now_s - self.wire.heard_s > failover.silent_s:
            self.wire.end(Cut.SILENT)
            return
        if self._greeted_s is not None and now_s - self._greeted_s > failover.connect_s:
            # it takes connections, and nothing else
            self.wire.end(Cut.UNANSWERED)
            return
        while self._pending:
            key = next(iter(self._pending))
            _, asked_s, asked = self._pending[key]
            if now_s - asked_s < _ANSWER_REAL_S:
                return
            if isinstance(asked, Share):
                self.wire.end(Cut.UNANSWERED)
                return
            # some pools leave what they do not know without an answer
            del self._pending[key]

    # -------------------------------------------------------------------------------------------------- from the pool

    def _made(self) -> None:
        self._counted = True
        self._shared.dial.pools.states[self.number].sessions += 1

    def _lost(self, cut: Cut | None) -> None:
        """Gone, or ended: nothing that was asked will be answered; what was a block is submitted again."""
        shared = self._shared
        if not self._counted:
            return
        shared.verifier.flush()
        shared.dial.pools.states[self.number].sessions -= 1
        if cut is None and self.served_s is None:
            shared.dial.failed(self.number, "it ended a session before it began")
        elif cut is Cut.SILENT or cut is Cut.UNANSWERED:
            shared.dial.failed(self.number, f"it {cut.value}")
        if cut is not None:
            shared.counts[f"pool connections ended: {cut.value}"] += 1
        pending, self._pending = self._pending, {}
        for request_id, _, asked in pending.values():
            if isinstance(asked, Share):
                shared.counts["shares without an answer"] += 1
                if asked.is_block:
                    shared.rescue(asked, self._booking.passwords.get(asked.submit.worker))
            if isinstance(asked, Share | Flaw):
                self._machine.write(write_response(Response(request_id, False, _GONE)))
        self._ended(self, cut)

    def _said(self, raw: bytes, lines: list[bytes]) -> None:
        """Hear what the pool says; what is the machine's goes on."""
        # an answer is about a share that is judged
        self._shared.verifier.flush()
        passed = [line for line in lines if self._hear(read_pool(line), line)]
        if len(passed) == len(lines):
            self._machine.write(raw)
        elif passed:
            self._machine.write(b"\n".join(passed) + b"\n")

    def _hear(self, message: PoolMessage | Malformed, line: bytes) -> bool:
        """One message; does it go on?"""
        if type(message) is Response:
            return self._answer(message, line)
        match message:
            case Notify():
                self.book.take(message, self._shared.now())
                if self.book.newest is not None:
                    self._booking.job(self.book.newest)
                self._booking.asks(self.book)
            case SetDifficulty():
                if self._booking.row in self._shared.wishes:
                    self._tell(message)
                    return False
                self.book.take(message, self._shared.now())
                self._told = message.difficulty
                self._booking.asks(self.book)
            case SetExtranonce() | SetVersionMask():
                self.book.take(message, self._shared.now())
            case Reconnect():
                # It would lead the machine past the tap, or to a thief. The tap connects anew where the site file says.
                self._shared.counts["reconnects asked by pools"] += 1
                self._shared.loop.call_soon(self.wire.end, Cut.LED_AWAY)
                return False
            case Malformed():
                return self._malformed(message)
            case _:
                pass
        return True

    def _malformed(self, message: Malformed) -> bool:
        """What we cannot read goes on where it is a message at all: the machine may know better."""
        self._shared.counts["unread from pools"] += 1
        if message.method is not None:
            text = f"{self.url}: {message.method} cannot be read: {message.reason}"
            self._shared.say_once((self.number, message.method, message.reason), "pool unread", text)
            return True
        self._garbage += 1
        if self._garbage > self._shared.settings.limits.garbage:
            self.wire.end(Cut.GARBAGE)
        return False

    def _answer(self, response: Response, line: bytes) -> bool:
        """The answer to something; does it go on?"""
        found = self._pending.pop(_key(response.id), None)
        if found is None:
            return True
        asked = found[2]
        if isinstance(asked, Share):
            return self._share_answered(asked, response, line)
        match asked:
            case Flaw():
                if response.accepted:
                    self._shared.counts[f"accepted by the pool, {asked.name.lower()} to us"] += 1
                return True
            case Again(word):
                self._again -= 1
                self._word_answered(word, response, again=True)
                if not self._again:
                    self._ready()
                return False
            case _:
                self._word_answered(asked, response, again=False)
                return True

    def _share_answered(self, share: Share, response: Response, line: bytes) -> bool:
        """Hold the pool's answer against our verdict."""
        self._booking.answered(share, response, self.url)
        key = _key(response.id)
        if key in self._unkept:
            self._unkept[key] = line + b"\n"
            return False
        return True

    def _word_answered(self, word: Word, response: Response, *, again: bool) -> None:
        """The answer to a word of the greeting; said `again`, the machine is told only what is new."""
        match word:
            case Subscribe():
                self._greeted_s = None
                self._subscribed(response, again=again)
            case Authorize(_, user, password):
                if response.accepted:
                    self._booking.authorized(user, password)
                elif again:
                    self.wire.end(Cut.UNAUTHORIZED)
            case Configure():
                configured = read_configured(response.result)
                if isinstance(configured, Malformed):
                    return
                mask = configured.version_mask or 0
                self.book.granted(mask)
                if configured.granted.get("subscribe-extranonce") is True:
                    self.takes_extranonce = True
                if again:
                    self._machine.write(write_pool(SetVersionMask(mask)))
            case ExtranonceSubscribe():
                self.takes_extranonce = self.takes_extranonce or response.accepted

    def _subscribed(self, response: Response, *, again: bool) -> None:
        """The session has begun."""
        subscription = read_subscription(response.result)
        if isinstance(subscription, Malformed):
            return
        self.subscription = subscription
        self.book.subscribed(subscription.extranonce1, subscription.extranonce2_bytes)
        if self.served_s is None:
            self.served_s = self._shared.loop.time()
            self._shared.dial.served(self.number)
        if again:
            self._machine.write(write_pool(SetExtranonce(subscription.extranonce1, subscription.extranonce2_bytes)))


def _key(request_id: Id) -> Any:
    """An id as a key: nearly always a number or a text, and whatever else JSON has."""
    return repr(request_id) if isinstance(request_id, list | dict) else request_id
