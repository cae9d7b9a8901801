"""The loop: observe -> tick -> act -> record, on its period and at once when something new comes in.

Each turn freezes what is known, calls the pure tick, journals the record (durably, where it commands), hands the commands
to act, and shows the record to whoever subscribed. It waits for no machine. A turn that cannot be kept is told and counted;
the next one starts from the last beliefs.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np

from controllers.act import Actor
from controllers.books import MarketBook, OrderBook
from controllers.clock import Clock
from controllers.observe import Observer
from controllers.proofs import Proofs
from fleet.command import Commands, Outcomes, Urgency
from fleet.estimate import estimate
from fleet.snapshot import Snapshot
from fleet.view import View
from policies.record import Record
from policies.tick import Judgment

_BREATH_REAL_S = 0.05


class Journal(Protocol):
    """What the loop asks of the journal."""

    async def append(self, record: Record, *, durable: bool) -> None:
        """Keep a record; returns when it is on disk where `durable`, soon after otherwise."""
        ...


class Loop:
    """Turns, one after another, until cancelled.

    `proofs` are asked at each turn for what the tap counted and what pools told (None: there are none). `owed` are outcomes
    that the last process heard and no tick has seen.
    """

    def __init__(
        self,
        judgment: Judgment,
        view: View,
        *,
        clock: Clock,
        observer: Observer,
        actor: Actor,
        market: MarketBook,
        orders: OrderBook,
        journal: Journal,
        tick_s: float,
        proofs: Proofs | None = None,
        number: int = 0,
        owed: Outcomes | None = None,
        say: Callable[[str, str], None] = lambda _kind, _text: None,
    ) -> None:
        self.judgment, self.view, self.number = judgment, view, number
        self.last: Record | None = None
        self.failures = 0
        self.outcomes: Counter[str] = Counter()
        """Outcomes of live commands since the start, by kind."""
        self._clock, self._observer, self._actor = clock, observer, actor
        self._market, self._orders, self._journal = market, orders, journal
        self._tick_s, self._say = tick_s, say
        self._proofs = Proofs() if proofs is None else proofs
        self._owed = Outcomes() if owed is None else owed
        self._losing = False
        self._woken = asyncio.Event()
        self._subscribers: list[Callable[[Record], None]] = []

    def wake(self) -> None:
        """Turn at once: a new price, an order, an alarm."""
        self._woken.set()

    def subscribe(self, show: Callable[[Record], None]) -> None:
        """Call `show` with each record; it must return at once and not raise."""
        self._subscribers.append(show)

    async def run(self) -> None:
        """Turn for ever."""
        while True:
            # Cleared before the turn: what comes in while it is under way is the next one's, at once.
            self._woken.clear()
            await self.turn()
            try:
                async with asyncio.timeout(self._tick_s / self._clock.speed):
                    await self._woken.wait()
                # A burst of news is one turn, not many.
                await asyncio.sleep(_BREATH_REAL_S)
            except TimeoutError:
                pass

    async def turn(self) -> Record | None:
        """One turn; None when it failed, which is told and counted."""
        drained = self._actor.drain()
        self.outcomes.update(outcome.kind.name.lower() for outcome in drained)
        stepped_s = self._clock.check()
        if stepped_s:
            self._say("clock stepped", f"the wall clock stepped by {stepped_s:+.1f} s; beliefs follow it")
            self.view = self.view.shifted(stepped_s)
            self._observer.shift(stepped_s)
            self._market.shift(stepped_s)
            self._proofs.shift(stepped_s)
        at_s = self._clock.now()
        snapshot = Snapshot(
            at_s=at_s,
            heard=self._observer.latest.freeze(),
            market=self._market.freeze(),
            meters=self._market.meters(),
            orders=self._orders.freeze(at_s),
            outcomes=self._owed.followed_by(Outcomes.of(drained)),
            counted=self._proofs.counted(),
            pool_told=self._proofs.pool_told(at_s),
        )
        began = time.perf_counter()
        view, decision = self.judgment.tick(self.view, snapshot)
        took_s = time.perf_counter() - began
        record = Record(self.number + 1, snapshot, view, decision, took_s)
        sends = bool(decision.commands.live.any())
        try:
            await self._journal.append(record, durable=sends)
            self._kept(None, record.number)
        except OSError as error:
            self.failures += 1
            self._kept(error, record.number)
            if sends:
                self._only_urgent(snapshot, decision.commands)
                return None
        self.view, self.number, self.last, self._owed = view, record.number, record, Outcomes()
        self._actor.submit(decision.commands)
        for fault in decision.faults:
            self._say("policy failed", fault)
        for show in self._subscribers:
            show(record)
        return record

    def _kept(self, error: OSError | None, number: int) -> None:
        """Say once that records cannot be kept, and once that they are kept again."""
        if error is not None and not self._losing:
            self._say("journal", f"record {number} could not be kept, nothing but safety is commanded: {error}")
        if error is None and self._losing:
            self._say("journal", f"record {number} was kept again")
        self._losing = error is not None

    def _only_urgent(self, snapshot: Snapshot, commands: Commands) -> None:
        """What cannot be remembered is not done, but for safety and emergencies: those go; the next tick tries the rest."""
        view = estimate(self.view, snapshot, self.judgment.roster, self.judgment.beliefs)
        self._owed = Outcomes()
        wanted, sent_s = np.array(view.wanted), np.array(view.sent_s)
        urgent = commands.live & commands.urgent
        wanted[commands.machine[urgent]] = commands.mode[urgent]
        sent_s[commands.machine[urgent]] = snapshot.at_s
        self.view = replace(view, wanted=wanted, sent_s=sent_s)
        self._actor.submit(command for command in commands if command.urgency is Urgency.URGENT)
