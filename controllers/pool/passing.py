"""Pass mode: a machine and its own connection to the pool; every byte goes through, and every share is looked at.

Lines are parsed, sent on as they came, and then verified: nothing waits for a hash. The tap answers in the pool's place
only while it asks more shares of the machine than the pool does (an audit), or refuses a foreign worker where the site
file says so. When the pool is gone, a machine that takes a new extranonce is subscribed to the next pool with its own
words; any other is cut off, and reconnects by itself.
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import perf_counter
from typing import Final

from controllers.pool.booking import answer_to
from controllers.pool.finding import block_of
from controllers.pool.greeting import WORDS, Greeting
from controllers.pool.machineside import MachineSide
from controllers.pool.poolside import PoolSide
from controllers.pool.shared import Shared
from controllers.pool.verifier import Share
from controllers.pool.wire import Cut, Wire
from fleet.work.counted import Flaw
from fleet.work.stratum import Authorize, Malformed, Request, Submit, read_request, write_response

_STEADY_REAL_S: Final = 30.0
"""A session that its pool ends sooner is not taken up again for the machine: it may be the worker that it dislikes."""
_FAREWELL_REAL_S: Final = 10.0
"""So long a pool is listened to after its machine has gone, where it owes the answer to a block."""


class PassSession(MachineSide):
    """One machine and its pool."""

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._pool: PoolSide | None = None
        self._opening: asyncio.Task[None] | None = None
        self._greeting = Greeting()

    @property
    def number(self) -> int | None:
        """The pool that it works for."""
        return None if self._pool is None else self._pool.number

    @property
    def waits(self) -> bool:
        """Does it wait for a pool?"""
        return self._opening is not None

    # ------------------------------------------------------------------------------------------------ coming and going

    def joined(self) -> None:
        """It gets a connection to a pool."""
        self._open(takes_extranonce=False)

    def _open(self, *, takes_extranonce: bool) -> None:
        """Open a connection to a pool; the machine waits meanwhile, in the kernel."""
        self.machine.pause()
        self._opening = self.shared.loop.create_task(self._opened(takes_extranonce))

    async def _opened(self, takes_extranonce: bool) -> None:
        sides: list[PoolSide] = []

        def wire_to(number: int) -> Wire:
            side = PoolSide(
                self.shared,
                self.booking,
                self.machine,
                number,
                takes_extranonce=takes_extranonce,
                ready=self.machine.resume,
                ended=self._pool_ended,
            )
            sides.append(side)
            return side.wire

        try:
            opened = await self.shared.dial.open(wire_to)
        except asyncio.CancelledError:
            for side in sides:
                side.wire.end(Cut.DONE)
            raise
        self._opening = None
        if opened is None or not sides[-1].wire.open:
            self.machine.end(Cut.NO_POOL)
            return
        self._pool = pool = sides[-1]
        if self._greeting:
            pool.greet(self._greeting)
        else:
            self.machine.resume()

    def _pool_ended(self, side: PoolSide, cut: Cut | None) -> None:
        """The pool's end has gone, or was ended: the machine gets another, or is cut off."""
        if side is not self._pool:
            return
        self._pool = None
        if not self.machine.open:
            return
        now_s = self.shared.loop.time()
        steady = side.served_s is not None and now_s - side.served_s >= _STEADY_REAL_S
        if side.takes_extranonce and (steady or cut is Cut.MOVED):
            self.shared.counts["machines subscribed to another pool"] += 1
            self._open(takes_extranonce=True)
        else:
            self.machine.end(Cut.MOVED if cut is Cut.MOVED else Cut.POOL_LOST)

    def left(self, cut: Cut | None) -> None:
        """Its pool is let go of too; where that owes the answer to a block, a little later."""
        if self._opening is not None:
            self._opening.cancel()
        pool = self._pool
        if pool is None:
            return
        if pool.owes_a_block and cut is not Cut.STOPPED:
            self.shared.loop.call_later(_FAREWELL_REAL_S, partial(pool.wire.end, Cut.DONE))
        else:
            # a share that has just come in still goes out
            pool.wire.end(Cut.DONE, flush=True)

    def sweep(self, now_s: float) -> None:
        """End what has been waiting for too long (real seconds)."""
        if self._pool is not None:
            self._pool.sweep(now_s)
        super().sweep(now_s)

    def wished(self) -> None:
        """What is wished of this machine has changed."""
        if self._pool is not None:
            self._pool.wished()

    def move(self) -> None:
        """Leave the pool for the one that is in use."""
        if self._pool is not None and self._opening is None:
            self._pool.wire.end(Cut.MOVED)

    # -------------------------------------------------------------------------------------------- what the machine says

    def heard(self, raw: bytes, lines: list[bytes]) -> None:
        """Read, send on, and only then look at the shares."""
        began_s = perf_counter()
        pool = self._pool
        if pool is None:
            return
        passed, shares = [], []
        for line in lines:
            request = read_request(line)
            if type(request) is Submit:
                held = self._holds(request, pool)
                shares.append((request, line, held))
                passes = not held and not self.refuses(request.worker)
            else:
                passes = self._request(request, line, pool)
            if passes:
                passed.append(line)
            if not self.machine.open:
                return
        if len(passed) == len(lines):
            pool.wire.write(raw)
        elif passed:
            pool.wire.write(b"\n".join(passed) + b"\n")
        if passed:
            self.shared.forwarding.note(perf_counter() - began_s, len(passed))
        for submit, line, held in shares:
            self._take(submit, line, pool, held=held)

    def _holds(self, submit: Submit, pool: PoolSide) -> bool:
        """Does a share wait for its verdict, because more was asked of the machine than its pool wants?"""
        job = pool.book.job(submit.job_id)
        return job is not None and job.least_target > job.pool_target

    def _take(self, submit: Submit, line: bytes, pool: PoolSide, *, held: bool) -> None:
        """Have a share verified."""
        booking = self.booking
        if self.refuses(submit.worker):
            booking.flawed(Flaw.FOREIGN)
            self.machine.write(write_response(answer_to(submit.id, Flaw.FOREIGN)))
            return
        share = booking.share(submit, line, pool.book)
        if isinstance(share, Flaw):
            if held:
                # our reading of a job may be wrong: the pool has the last word
                pool.wire.write(line + b"\n")
            pool.wait_for(submit.id, share)
            return
        share.held = held
        if not held:
            pool.wait_for(submit.id, share)
        self.shared.verifier.put(share)

    def _request(self, request: Request | Malformed, line: bytes, pool: PoolSide) -> bool:
        """Note what else it says; does it go on to the pool?"""
        booking = self.booking
        if isinstance(request, Malformed):
            return self._malformed(request, pool)
        if isinstance(request, Authorize) and not booking.asked(request.user) and self.refuses(request.user):
            self.machine.write(write_response(answer_to(request.id, Flaw.FOREIGN)))
            return False
        if isinstance(request, WORDS):
            self._greeting.note(request, line)
            pool.wait_for(request.id, request)
        return True

    def _malformed(self, request: Malformed, pool: PoolSide) -> bool:
        """Not a message that we can read: a bad share goes on, for the pool to refuse; garbage does not."""
        if request.method == "mining.submit":
            self.booking.flawed(Flaw.MALFORMED)
            pool.wait_for(request.id, Flaw.MALFORMED)
            return True
        self.note_garbage()
        return request.method is not None

    # ----------------------------------------------------------------------------------------------------- the verdict

    def block(self, share: Share) -> None:
        """Send it on, if it has not gone, and keep it; its answer waits for the disk."""
        booking, shared, pool = self.booking, self.shared, self._pool
        if pool is None:
            shared.blocks.new(block_of(share, machine=booking.machine, pool="", subscription=None), lambda: None)
            return
        if share.held:
            share.held = False
            pool.forward(share)
        block = block_of(share, machine=booking.machine, pool=pool.url, subscription=pool.subscription)
        shared.blocks.new(block, pool.hold_answer(share))

    def verdict(self, share: Share) -> None:
        """Book it; where the pool wants fewer than were asked for, answer for it."""
        assert share.judged is not None
        flaw = self.booking.verdict(share)
        if not share.held:
            return
        if share.judged.for_pool and flaw is not Flaw.DUPLICATE and self._pool is not None:
            self._pool.forward(share)
        else:
            self.answer(share.submit.id, flaw)
