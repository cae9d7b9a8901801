"""What all connections of a tap share: settings, books, clocks, and where their shares and blocks go."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from controllers.pool.blocks import Blocks
from controllers.pool.dial import Dial
from controllers.pool.door import Door
from controllers.pool.identity import Identity
from controllers.pool.latency import Latencies
from controllers.pool.ledger import Ledger
from controllers.pool.payout import Payouts
from controllers.pool.settings import TapSettings
from controllers.pool.share_log import ShareLogs
from controllers.pool.verifier import Share, Verifier
from controllers.pool.wire import Cut
from fleet.work.stratum import Error, Memory

if TYPE_CHECKING:
    from controllers.pool.booking import Booking

_TOLD_MOST: Final = 10_000
_CAUSES_MOST: Final = 200


class Session(Protocol):
    """One machine's connection, as the tap sees it."""

    @property
    def booking(self) -> Booking:
        """Its place in the books."""
        ...

    @property
    def number(self) -> int | None:
        """The pool that it works for."""
        ...

    def sweep(self, now_s: float) -> None:
        """Look after what has been waiting for too long (real seconds)."""
        ...

    def wished(self) -> None:
        """What `Shared.wishes` has for this machine has changed."""
        ...

    def move(self) -> None:
        """Leave the pool for the one that is in use."""
        ...

    def end(self, cause: Cut) -> None:
        """End the machine's connection at once."""
        ...


@dataclass(slots=True, eq=False)
class Shared:
    """Handed to every session.

    `now`: the site's clock, UTC seconds. `elapsed`: seconds of the same pace that never step. Real time is the loop's.
    `counts`: what happened that is no share's flaw, by cause, for the status.
    """

    loop: asyncio.AbstractEventLoop
    settings: TapSettings
    identity: Identity
    ledger: Ledger
    verifier: Verifier
    dial: Dial
    door: Door
    payouts: Payouts
    blocks: Blocks
    logs: ShareLogs
    now: Callable[[], float]
    elapsed: Callable[[], float]
    say: Callable[[str, str], None]
    forwarding: Latencies = field(default_factory=Latencies)
    """From a line's arrival to its way on."""
    counts: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    """Connections of machines that we ended, by cause."""
    memories: dict[int, Memory] = field(default_factory=dict)
    """The shares that a machine has brought, in whatever session, by its row."""
    wishes: dict[int, float] = field(default_factory=dict)
    """A lower difficulty than its pool's that is asked of a machine, by its row."""
    sessions: dict[Session, None] = field(default_factory=dict)
    """Every machine's, oldest first."""
    rescue: Callable[[Share, str | None], None] = lambda _share, _password: None
    """A block whose pool was gone before it answered, and its worker's password."""
    _told: set[object] = field(default_factory=set)

    def note_refusal(self, error: Error | None) -> None:
        """A pool refused a share in which we found nothing wrong; the words are a pool's, so only so many are kept."""
        key = f"refused by the pool, good to us: {'' if error is None else error.message[:80]}"
        self.counts[
            key if key in self.counts or len(self.counts) < _CAUSES_MOST else "refused by the pool, good to us"
        ] += 1

    def say_once(self, key: object, kind: str, text: str) -> None:
        """Tell something that one peer could bring about again and again; of all such things a bounded number."""
        if key not in self._told and len(self._told) < _TOLD_MOST:
            self._told.add(key)
            self.say(kind, text)
