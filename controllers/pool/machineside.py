"""A machine's side of the tap, whatever is behind it: let in, known, looked after, and let go.

What a machine says is handed to `heard`; what happens when it has come and when it has gone is `joined` and `left`. Those
three are what pass mode and aggregation differ in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from controllers.pool.booking import Booking, answer_to
from controllers.pool.shared import Shared
from controllers.pool.verifier import Share
from controllers.pool.wire import Cut, Wire
from fleet.work.counted import Flaw
from fleet.work.stratum import Id, write_response

_GOOD: Final = b'{"id":%d,"result":true,"error":null}\n'


class MachineSide(ABC):
    """One connection of a machine."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        limits = shared.settings.limits
        self.machine = Wire(
            shared.loop,
            line_bytes=limits.line_bytes,
            messages_per_s=limits.messages_per_s,
            made=self._came,
            said=self.heard,
            lost=self._lost,
        )
        self._booking: Booking | None = None
        self._began_s = 0.0
        self._garbage = 0
        self._answers: list[bytes] = []

    @property
    def booking(self) -> Booking:
        """Its place in the books; it has one from when it is let in."""
        assert self._booking is not None
        return self._booking

    @property
    @abstractmethod
    def number(self) -> int | None:
        """The pool that it works for; None: for none now."""

    @property
    @abstractmethod
    def waits(self) -> bool:
        """Does it wait for us, so that its silence is not its fault?"""

    @abstractmethod
    def joined(self) -> None:
        """It was let in."""

    @abstractmethod
    def left(self, cut: Cut | None) -> None:
        """It has gone, or was ended; its shares are judged."""

    @abstractmethod
    def heard(self, raw: bytes, lines: list[bytes]) -> None:
        """What it says: bytes of whole lines, and the lines in them."""

    @abstractmethod
    def wished(self) -> None:
        """What `Shared.wishes` has for this machine has changed."""

    @abstractmethod
    def move(self) -> None:
        """Leave the pool for the one that is in use."""

    @abstractmethod
    def block(self, share: Share) -> None:
        """This share meets the network's target; called before `verdict`, and before any other share's."""

    @abstractmethod
    def verdict(self, share: Share) -> None:
        """This share is judged."""

    def settled(self) -> None:
        """Every share of a batch that was this machine's is judged: the answers go, in one piece."""
        if self._answers:
            answers, self._answers = self._answers, []
            self.machine.write(b"".join(answers))

    def answer(self, request_id: Id, flaw: Flaw | None) -> None:
        """Answer a share in the pool's place, when its batch is settled."""
        good = flaw is None and type(request_id) is int
        self._answers.append(_GOOD % request_id if good else write_response(answer_to(request_id, flaw)))

    def sweep(self, now_s: float) -> None:
        """End it where it says nothing, leaves half a line, or authorizes no worker (real seconds)."""
        limits = self.shared.settings.limits
        if not self.machine.open or self.waits:
            return
        if now_s - self.machine.heard_s > limits.idle_s or self.machine.half_s(now_s) > limits.unauthorized_s:
            self.machine.end(Cut.IDLE)
        elif now_s - self._began_s > limits.unauthorized_s and not self.booking.workers:
            self.machine.end(Cut.UNAUTHORIZED)

    def end(self, cause: Cut) -> None:
        """End its connection at once."""
        self.machine.end(cause)

    def note_garbage(self) -> None:
        """A line was no message; after too many of them it is cut off."""
        self.shared.counts["garbage from machines"] += 1
        self._garbage += 1
        if self._garbage > self.shared.settings.limits.garbage:
            self.machine.end(Cut.GARBAGE)

    def refuses(self, user: str) -> bool:
        """Is this worker's work refused?"""
        return self.shared.settings.foreign == "refuse" and not self.shared.identity.ours(user)

    def _came(self) -> None:
        shared, transport = self.shared, self.machine.transport
        assert transport is not None
        peer = transport.get_extra_info("peername")
        address = peer[0] if peer else ""
        self._began_s = shared.loop.time()
        if not shared.door.admits(address, self._began_s):
            self.machine.end()
            return
        self._booking = Booking(shared, self, address)
        shared.sessions[self] = None
        self.joined()

    def _lost(self, cut: Cut | None) -> None:
        shared, booking = self.shared, self._booking
        if booking is None:
            return
        shared.verifier.flush()
        shared.sessions.pop(self, None)
        shared.door.left(booking.address)
        booking.close()
        if cut is not None:
            shared.ended[cut.value] += 1
        self.left(cut)
