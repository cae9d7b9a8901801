"""The trunk: one session with a pool that all machines share when the tap aggregates.

It subscribes for all, divides the pool's second extranonce among them, authorizes each worker once, and sends their shares
on under ids of its own. What the pool says to all is written to them in slices, so that ten thousand of them never hold
up the loop: one encoding, the same bytes to each. When the pool is gone the next one is dialled at once; machines that
take another extranonce stay, the others are cut off a few at a time and come again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from controllers.pool.booking import JOBS_KEPT
from controllers.pool.extranonce import Division, Prefixes, TooSmall, divided
from controllers.pool.shared import Shared
from controllers.pool.verifier import Share
from controllers.pool.visit import AGENT
from controllers.pool.wire import Cut, Wire
from fleet.work.stratum import (
    Authorize,
    Configure,
    Error,
    ExtranonceSubscribe,
    GetVersion,
    Id,
    Malformed,
    Notify,
    Other,
    Ping,
    Pong,
    PoolMessage,
    Reconnect,
    Request,
    Response,
    SetDifficulty,
    SetExtranonce,
    SetVersionMask,
    Subscribe,
    Subscription,
    read_configured,
    read_pool,
    read_subscription,
    write_request,
    write_response,
)

if TYPE_CHECKING:
    from controllers.pool.member import Member

SLICE: Final = 64
"""Machines that are told something before the loop gets its turn: less than a millisecond's work."""
_PENDING_MOST: Final = 65_536
_ANSWER_REAL_S: Final = 60.0
_GONE: Final = Error(21, "Pool connection lost")


@dataclass(frozen=True, slots=True)
class Due:
    """An answer of the pool's that is waited for: whose, under which id, to what, since when (real seconds).

    `member` is None for what the trunk asked for itself.
    """

    member: Member | None
    request_id: Id
    asked: Share | Request
    at_s: float


class Trunk:
    """The session, and who is on it."""

    def __init__(self, shared: Shared, machines: int) -> None:
        self._shared, self._machines = shared, machines
        self.number: int | None = None
        self.subscription: Subscription | None = None
        """None: there is no session."""
        self.division = Division(1, 0)
        self.mask = 0
        self.difficulty: float | None = None
        self.newest: Notify | None = None
        self._prefixes = Prefixes(1)
        self._wire: Wire | None = None
        self._made_s = 0.0
        self._dialling: asyncio.Task[None] | None = None
        self._members: dict[Member, None] = {}
        self._pending: dict[int, Due] = {}
        self._next_id = 1
        self._workers: dict[str, bool] = {}
        """Authorized (True), or asked for."""
        self._jobs: deque[int] = deque(maxlen=JOBS_KEPT)
        self._job = 0
        self._untold: tuple[Callable[[Member], None], Iterator[Member]] | None = None
        self._telling: deque[tuple[Callable[[Member], None], Iterator[Member]]] = deque()

    # -------------------------------------------------------------------------------------------------------- machines

    def join(self, member: Member) -> None:
        """A machine; it waits until there is a session."""
        self._members[member] = None
        if self.subscription is not None:
            self._admit(member)
            return
        member.machine.pause()
        if self._dialling is None and self._wire is None:
            self._dialling = self._shared.loop.create_task(self._dial())

    def leave(self, member: Member, prefix: bytes | None) -> None:
        """It has gone."""
        self._members.pop(member, None)
        if prefix is not None:
            self._prefixes.free(prefix, self._job)

    def _admit(self, member: Member, *, renewed: bool = False) -> None:
        """Give a machine its part of the (`renewed`) extranonce, or send it away where there is none left."""
        prefix = self._prefixes.take(self._jobs[0] if self._jobs else self._job)
        if prefix is None:
            member.end(Cut.NO_ROOM)
        else:
            member.admitted(prefix, renewed=renewed)

    def authorize(self, member: Member, request: Authorize) -> None:
        """Ask the pool for a worker, once for all of its connections."""
        if self._workers.get(request.user):
            member.word_answered(request, Response(request.id, True))
            return
        self._workers[request.user] = False
        self._ask(member, request.id, replace(request, id=self._next_id), request)

    def submit(self, member: Member, share: Share, prefix: bytes) -> None:
        """Send a verified share on, with the prefix that its job was given with, as it was hashed."""
        submit, judged = share.submit, share.judged
        assert judged is not None
        sent = submit._replace(id=self._next_id, extranonce2=prefix + judged.extranonce2)
        self._ask(member, submit.id, sent, share)

    def hand_on(self, member: Member, request: Other) -> None:
        """Send on what we do not know."""
        self._ask(member, request.id, replace(request, id=self._next_id), request)

    def _ask(self, member: Member | None, request_id: Id, sent: Request, asked: Share | Request) -> None:
        if self._wire is None:
            return
        self._pending[self._next_id] = Due(member, request_id, asked, self._shared.loop.time())
        self._next_id += 1
        if len(self._pending) > _PENDING_MOST:
            del self._pending[next(iter(self._pending))]
            self._shared.counts["answers no longer waited for"] += 1
        self._wire.write(write_request(sent))

    # -------------------------------------------------------------------------------------------------- the connection

    @property
    def url(self) -> str:
        """The pool's address; empty where there is none now."""
        return "" if self.number is None else self._shared.dial.pools.states[self.number].table.url

    def move(self) -> None:
        """Go to the pool that is in use."""
        if self._wire is not None and self._dialling is None:
            self._wire.end(Cut.MOVED)

    def sweep(self, now_s: float) -> None:
        """End the session where the pool says nothing, or does not answer."""
        wire = self._wire
        if wire is None:
            return
        failover = self._shared.settings.failover
        if now_s - wire.heard_s > failover.silent_s:
            wire.end(Cut.SILENT)
            return
        if self.subscription is None and now_s - self._made_s > failover.connect_s:
            # it takes connections, and nothing else
            wire.end(Cut.UNANSWERED)
            return
        while self._pending:
            key = next(iter(self._pending))
            due = self._pending[key]
            if now_s - due.at_s < _ANSWER_REAL_S:
                return
            if isinstance(due.asked, Share):
                wire.end(Cut.UNANSWERED)
                return
            del self._pending[key]

    def close(self) -> None:
        """End it for good."""
        if self._dialling is not None:
            self._dialling.cancel()
        if self._wire is not None:
            self._wire.end(Cut.STOPPED, flush=True)

    async def _dial(self) -> None:
        """Connect to the first pool that takes us; without one all machines are sent away."""
        opened = await self._shared.dial.open(self._wire_to)
        self._dialling = None
        if opened is not None and opened[1].open:
            return
        for member in list(self._members):
            member.end(Cut.NO_POOL)

    def _wire_to(self, number: int) -> Wire:
        limits = self._shared.settings.limits
        wire = Wire(
            self._shared.loop,
            line_bytes=limits.pool_line_bytes,
            messages_per_s=limits.pool_messages_per_s,
            made=lambda: self._made(wire, number),
            said=self._said,
            lost=lambda cut: self._lost(wire, cut),
        )
        return wire

    def _made(self, wire: Wire, number: int) -> None:
        self._wire, self.number, self._made_s = wire, number, self._shared.loop.time()
        self._shared.dial.pools.states[number].sessions += 1
        for request in (
            Configure(
                1, ("version-rolling",), {"version-rolling.mask": "ffffffff", "version-rolling.min-bit-count": 0}
            ),
            Subscribe(1, AGENT),
            ExtranonceSubscribe(1),
        ):
            self._ask(None, None, replace(request, id=self._next_id), request)

    def _lost(self, wire: Wire, cut: Cut | None) -> None:
        """The session is over: another one, for those who can have it."""
        if wire is not self._wire or self.number is None:
            return
        shared, number = self._shared, self.number
        shared.verifier.flush()
        shared.dial.pools.states[number].sessions -= 1
        if cut is None:
            shared.dial.failed(number, "it ended the session")
        elif cut in {Cut.SILENT, Cut.UNANSWERED, Cut.NARROW}:
            shared.dial.failed(number, f"it {cut.value}")
        if cut is not None:
            shared.counts[f"pool connections ended: {cut.value}"] += 1
        self._wire = self.number = self.subscription = self.newest = self.difficulty = None
        self._workers.clear()
        self._jobs.clear()
        self._telling.clear()
        pending, self._pending = self._pending, {}
        for due in pending.values():
            self._unanswered(due)
        if cut is Cut.STOPPED:
            return
        for member in self._members:
            member.machine.pause()
        self._tell_all(lambda member: member.orphaned(), list(self._members))
        if self._members and self._dialling is None:
            self._dialling = shared.loop.create_task(self._dial())

    def _unanswered(self, due: Due) -> None:
        """Tell the machine; a block is submitted again."""
        share, member = due.asked, due.member
        if member is None:
            return
        if isinstance(share, Share):
            self._shared.counts["shares without an answer"] += 1
            if share.is_block:
                self._shared.rescue(share, member.booking.passwords.get(share.submit.worker))
        member.machine.write(write_response(Response(due.request_id, False, _GONE)))

    # -------------------------------------------------------------------------------------------------- from the pool

    def _said(self, _raw: bytes, lines: list[bytes]) -> None:
        self._shared.verifier.flush()
        for line in lines:
            self._hear(read_pool(line), line + b"\n")

    def _hear(self, message: PoolMessage | Malformed, line: bytes) -> None:  # noqa: C901 - one case per method
        """One message of the pool's."""
        match message:
            case Response():
                self._answered(message)
            case Notify():
                self._notified(message, line)
            case SetDifficulty():
                # some pools say it again with every worker that is authorized
                if message.difficulty != self.difficulty:
                    self.difficulty = message.difficulty
                    self._tell_all(lambda member: member.pool_difficulty(message), list(self._members))
            case SetVersionMask(mask):
                self.mask = mask
                self._tell_all(lambda member: member.masked(), list(self._members))
            case SetExtranonce(extranonce1, extranonce2_bytes):
                self._renewed(extranonce1, extranonce2_bytes)
            case Reconnect():
                self._shared.counts["reconnects asked by pools"] += 1
                if self._wire is not None:
                    self._shared.loop.call_soon(self._wire.end, Cut.LED_AWAY)
            case Ping(request_id):
                self._reply(Pong(request_id))
            case GetVersion(request_id):
                self._reply(Response(request_id, AGENT))
            case Malformed():
                self._shared.counts["unread from pools"] += 1
                text = f"{self.url}: {message.method or 'a line'} cannot be read: {message.reason}"
                self._shared.say_once((self.number, message.method, message.reason), "pool unread", text)
            case _:
                self._tell_all(lambda member: member.tell_line(line), list(self._members))

    def _notified(self, message: Notify, line: bytes) -> None:
        """A job for all; one that they have already is for none of them."""
        if self.newest is not None and replace(message, clean=False, id=None) == replace(
            self.newest, clean=False, id=None
        ):
            return
        self.newest = message
        self._job += 1
        if message.clean:
            self._jobs.clear()
        self._jobs.append(self._job)
        # A job that nobody has been told of yet is out of date already: a pool that sends them faster than they can be
        # told costs no more than that.
        if (
            not message.clean
            and self._untold is not None
            and len(self._telling) > 1
            and self._telling[-1] is self._untold
        ):
            self._telling.pop()
        self._tell_all(lambda member: member.job(message, line), list(self._members))
        self._untold = None if message.clean or not self._telling else self._telling[-1]

    def _reply(self, message: Response | Pong) -> None:
        if self._wire is not None:
            self._wire.write(write_request(message))

    def _answered(self, response: Response) -> None:
        """The answer to something: the trunk's own, or a machine's."""
        due = self._pending.pop(response.id, None) if isinstance(response.id, int) else None
        if due is None:
            return
        asked, member = due.asked, due.member
        if isinstance(asked, Share):
            assert member is not None
            member.share_answered(asked, response._replace(id=due.request_id))
        elif isinstance(asked, Authorize):
            self._workers[asked.user] = response.accepted
            if member is not None:
                member.word_answered(asked, response._replace(id=due.request_id))
        elif member is not None:
            member.machine.write(write_response(response._replace(id=due.request_id)))
        elif isinstance(asked, Subscribe):
            self._subscription_answered(response)
        elif isinstance(asked, Configure):
            configured = read_configured(response.result)
            self.mask = 0 if isinstance(configured, Malformed) else configured.version_mask or 0

    def _subscription_answered(self, response: Response) -> None:
        subscription = read_subscription(response.result)
        if isinstance(subscription, Malformed):
            if self._wire is not None:
                self._wire.end(Cut.GARBAGE)
            return
        self._subscribed(subscription)
        if self.number is not None and self.subscription is not None:
            self._shared.dial.served(self.number)

    def _renewed(self, extranonce1: bytes, extranonce2_bytes: int) -> None:
        """Another extranonce in the same session, for the jobs to come; one that the pool says again changes nothing."""
        known = self.subscription or Subscription(b"", 0)
        new = replace(known, extranonce1=extranonce1, extranonce2_bytes=extranonce2_bytes)
        if new != self.subscription:
            self._subscribed(new, renewed=self.subscription is not None)

    def _subscribed(self, subscription: Subscription, *, renewed: bool = False) -> None:
        """A session, or another extranonce in it: everybody gets a new part."""
        settings = self._shared.settings
        try:
            self.division = divided(subscription.extranonce2_bytes, self._machines, settings.prefix_bytes)
        except TooSmall as error:
            self._shared.say("pool narrow", f"{self.url}: {error}")
            if self._wire is not None:
                self._wire.end(Cut.NARROW)
            return
        self.subscription = subscription
        self._prefixes = Prefixes(self.division.prefix_bytes)
        self._tell_all(lambda member: self._admit(member, renewed=renewed), list(self._members))

    # ------------------------------------------------------------------------------------------------------- to all

    def _tell_all(self, tell: Callable[[Member], None], members: list[Member]) -> None:
        """Tell each of them, after what is being told already, a slice at a time."""
        self._telling.append((tell, iter(members)))
        if len(self._telling) == 1:
            self._tell_some()

    def _tell_some(self) -> None:
        """The next slice; the rest after the loop has had its turn."""
        left = SLICE
        while self._telling and left:
            tell, members = self._telling[0]
            for member in members:
                if member.machine.open:
                    tell(member)
                left -= 1
                if not left:
                    break
            else:
                self._telling.popleft()
        if self._telling:
            self._shared.loop.call_soon(self._tell_some)
