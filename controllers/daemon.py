"""The daemon: everything put together, under one supervised task group.

`Daemon` is the composition root: it opens the site's state, takes the lease, resumes from the journal, and starts feeds,
pollers, loop, publishers and the socket side by side. It stops in order: no more turns, the declared farewell, the last
event, the lease. A part that fails for good ends the whole, so that the supervisor (and the guard) can answer.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Mapping
from typing import Any

from controllers.act import Actor
from controllers.answers import Answers
from controllers.books import MarketBook, OrderBook
from controllers.claims import Claims
from controllers.clock import Clock
from controllers.config import Site
from controllers.control import ControlSocket, order_of
from controllers.events import Events
from controllers.farewell import Farewell
from controllers.feeds import Feed, FeedState, open_feed
from controllers.guard_duty import Duty
from controllers.journal import Journal
from controllers.lease import Lease, LeaseUnusable
from controllers.loop import Loop
from controllers.observe import Observer
from controllers.opening import clock_of, open_drivers
from controllers.pool.source import TapSource, tap_of, through
from controllers.pool_apis import PoolApi, PoolBook, open_pool_api
from controllers.proofs import Proofs, TapStatus
from controllers.systemd import beat
from controllers.verify.checks import Checks
from fleet.order import Order, Rank
from fleet.reading import Answer, Silence
from fleet.view import View
from policies.safety import TooHot

_FAREWELL_REAL_S = 100.0
"""Below the time that the service manager gives to a stop (deploy/hashwatt.service)."""
_RENEWALS_PER_LEASE = 4
_HAND_OVER_REAL_S = 60.0
_LOG = logging.getLogger("hashwatt")


class Daemon:
    """One site, under control (or in a dry run) until `stop` is called.

    Args:
        site: the resolved site file.
        clock: the site's clock; its own where it is None.

    Raises:
        SiteError: a secret is not there, or the state's path is too long for a socket.
    """

    def __init__(self, site: Site, clock: Clock | None = None) -> None:
        self.site = site
        self.clock = clock_of(site) if clock is None else clock
        self.events = Events(self.clock.now)
        self.stopping = asyncio.Event()
        self.feeds = [open_feed(settings, site.path.parent) for settings in site.file.feeds]
        self.market = MarketBook([feed.source for feed in self.feeds], self._wake)
        polling, file = site.file.polling, site.file
        self.pool_apis = [open_pool_api(settings, site.path.parent) for settings in file.pool_apis]
        max_age_s = {settings.source: settings.max_age_s for settings in file.pool_apis}
        self.pool_book = PoolBook(site.roster, max_age_s, self.events.say)
        self.tap: TapSource | None = None
        self.tap_status = TapStatus()
        self._drivers = open_drivers(site)
        self.observer = Observer(
            site.roster,
            self._drivers,
            self.clock,
            lean_s=polling.lean_s,
            full_s=polling.full_s,
            at_once=polling.at_once,
            alarm=self._wake,
            changed=self._machine_changed,
            hot=lambda reading: any(rule.is_hot(reading) for rule in file.constraints if isinstance(rule, TooHot)),
        )
        self.sources: tuple[Feed | PoolApi, ...] = (*self.feeds, *self.pool_apis)
        answers = Answers(
            site,
            lambda: None if self.loop is None else self.loop.last,
            self.events,
            self.sources,
            lambda: self.tap_status.latest,
            self.take_order,
        )
        self.checks = Checks(
            site,
            self.clock.now,
            self.events.say,
            lambda: self.observer.latest.full,
            lambda: self.tap,
            lambda: self.tap_status.latest,
        )
        asked = {**answers.table(), **through(lambda: self.tap), **self.checks.table()}
        self.socket = ControlSocket(site.socket, asked)
        self.loop: Loop | None = None
        self.actor: Actor | None = None
        self.claims = Claims(site.judgment, self.events.say)

    async def run(self) -> None:
        """Run until `stop`; then the farewell.

        Raises:
            LeaseHeld: another process commands this site.
            LeaseLost: this process was away for longer than its lease, or another has taken over.
            JournalError, OSError: the state directory cannot be used.
        """
        site, file = self.site, self.site.file
        self.lease = Lease(site.state, ttl_s=file.control.lease_s)
        if not await self._lease_or_stop():
            return
        farewell: str | None = None
        try:
            self.journal = await Journal.open(file.journal, site.state, file.name, site.roster, site.settings_json())
            try:
                if await self._run_with_state():
                    farewell = file.control.farewell
            finally:
                await self.journal.close()
        finally:
            self.lease.release(farewell)

    def stop(self) -> None:
        """Ask for an orderly stop."""
        self.stopping.set()

    async def _lease_or_stop(self) -> bool:
        """Take the lease; False when `stop` was called before it was had.

        Raises:
            LeaseHeld: another process commands this site.
        """
        # A guard hands over between two commands; a dead daemon's lease is free at once.
        taking = asyncio.create_task(
            self.lease.acquire(wait_s=2 * self.site.file.control.lease_s + _HAND_OVER_REAL_S), name="lease"
        )
        stopping = asyncio.create_task(self.stopping.wait(), name="stopping")
        await asyncio.wait((taking, stopping), return_when=asyncio.FIRST_COMPLETED)
        had = taking.done()
        for task in (taking, stopping):
            task.cancel()
        await asyncio.gather(taking, stopping, return_exceptions=True)
        if had:
            taking.result()
        return had

    async def _run_with_state(self) -> bool:
        """The whole, once lease and journal are ours; was the farewell carried out?"""
        site, file = self.site, self.site.file
        self.events.keep_in(lambda event: self.journal.note_event(event.kind, event.text, event.at_s))
        reasons = site.judgment.reasons
        known = await self.journal.last(reasons)
        for said in (*self.journal.said, *known.said):
            self.events.say("journal", said)
        view = View.fresh(site.roster) if known.view is None else known.view
        await self.journal.begin(known, view, reasons)
        self.orders = OrderBook(self._wake, known.orders)
        self.actor = Actor(
            site.roster,
            self._drivers,
            self.observer,
            self.lease,
            self.clock,
            at_once=file.control.commands_at_once,
            say=self.events.say,
        )
        self.tap = tap_of(site, self.clock, self.events.say)
        self.loop = Loop(
            site.judgment,
            view,
            clock=self.clock,
            observer=self.observer,
            actor=self.actor,
            market=self.market,
            orders=self.orders,
            journal=self.journal,
            tick_s=file.tick_s,
            proofs=Proofs(len(site.roster), self.tap, self.pool_book),
            number=known.number,
            owed=known.outcomes,
            say=self.events.say,
        )
        self.loop.subscribe(self.claims.watch)
        self.loop.subscribe(self.checks.watch)
        self.checks.load()
        self.events.say("started", self._in_words())
        try:
            async with asyncio.TaskGroup() as group:
                parts = [
                    group.create_task(self.observer.run(), name="observe"),
                    group.create_task(self.loop.run(), name="loop"),
                    group.create_task(self._keep_lease(), name="lease"),
                    group.create_task(self.socket.run(), name="socket"),
                    group.create_task(self.checks.run(), name="checks"),
                    *(group.create_task(part) for part in self._tap_parts()),
                    *(
                        group.create_task(feed.run(self.market.put, self._feed_changed, self.clock))
                        for feed in self.feeds
                    ),
                    *(
                        group.create_task(api.run(self.pool_book.put, self._feed_changed, self.clock))
                        for api in self.pool_apis
                    ),
                    *(group.create_task(part) for part in self._publishers()),
                ]
                await self.stopping.wait()
                for part in parts:
                    part.cancel()
            done = await self._farewell()
            self.events.say("stopped", f"farewell: {file.control.farewell}{'' if done else ', not finished'}")
            return done
        finally:
            await self.checks.close()
            await self.actor.close()
            await self.observer.close()

    def _tap_parts(self) -> list[Any]:
        """The tap, and whoever asks how it is, as coroutines; none where the site file has no tap."""
        return [] if self.tap is None else [self.tap.run(), self.tap_status.run(self.tap)]

    def _publishers(self) -> list[Any]:
        """The publishers that the site file asks for, as coroutines."""
        file, loop = self.site.file, self.loop
        assert loop is not None
        parts = []
        if file.metrics is not None:
            from controllers.publish.prometheus import MetricsServer

            metrics = MetricsServer(file.metrics, self.site.judgment, self.internals, self.events.say)
            loop.subscribe(metrics.show)
            parts.append(metrics.run())
        if file.mqtt is not None:
            from controllers.publish.mqtt import MqttPublisher

            mqtt = MqttPublisher(
                file.mqtt,
                file.name,
                self.site.judgment,
                directory=self.site.path.parent,
                take_order=self.take_order,
                say=self.events.say,
            )
            loop.subscribe(mqtt.show)
            parts.append(mqtt.run())
        return parts

    def internals(self) -> dict[str, Any]:
        """The daemon's own state beside the last record: polls, feeds, events, lease; for metrics."""
        assert self.actor is not None
        assert self.loop is not None
        return {
            "polls": self.observer.counts,
            "feeds": [source.state for source in self.sources],
            "events": self.events.counts,
            "outcomes": dict(self.loop.outcomes),
            "writing": self.actor.busy,
            "accepted": self.actor.accepted,
            "journal_failures": self.loop.failures,
            "lease_held": self.lease.held(),
            "full": self.observer.latest.full,
            "has_tap": self.tap is not None,
            "tap": self.tap_status.latest,
        }

    async def take_order(self, request: Mapping[str, Any]) -> Order:
        """An order from outside: kept durably, then in force. An emergency's is in force even where it cannot be kept.

        Raises:
            OrderError, TooManyOrders: it cannot be taken.
            OSError: it could not be kept.
        """
        order = order_of(request, self.site.roster, self.clock.now())
        self.orders.reserve(order)
        try:
            await self.journal.note_order(order)
        except OSError as error:
            if order.rank is not Rank.EMERGENCY:
                raise
            self.events.say("journal", f"emergency order {order.id} is in force and could not be kept: {error}")
        self.orders.put(order)
        text = f"{order.kind.value} {order.scope} by {order.who} ({order.rank.value})"
        self.events.say("order", f"{text}: {order.why}" if order.why else text)
        return order

    async def _farewell(self) -> bool:
        """Carry out the declared farewell, within a bound on real time; False when it was not finished."""
        assert self.loop is not None
        assert self.actor is not None
        farewell = Farewell(
            Duty(
                self.site.file.control.farewell,
                self.site.judgment,
                self.loop.view,
                self.orders.freeze(self.clock.now()),
            ),
            self.observer,
            self.actor,
            self.journal,
            self.clock,
            self.events.say,
        )
        renewing = asyncio.create_task(self._keep_lease(), name="lease")
        carrying = asyncio.create_task(farewell.carry_out(), name="farewell")
        try:
            async with asyncio.timeout(_FAREWELL_REAL_S):
                await asyncio.wait((renewing, carrying), return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            self.events.say("farewell", f"not finished after {_FAREWELL_REAL_S:g} s")
        finally:
            for task in (renewing, carrying):
                task.cancel()
            ended = await asyncio.gather(renewing, carrying, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error
        return carrying.done() and not carrying.cancelled()

    async def _keep_lease(self) -> None:
        """Renew the lease; losing it is the end, another writer has taken over."""
        while True:
            try:
                self.lease.renew()
            except LeaseUnusable as error:
                # The present term stands until it ends; commands stop with it by themselves.
                self.events.say("lease", str(error))
            await asyncio.sleep(self.site.file.control.lease_s / _RENEWALS_PER_LEASE)

    def _wake(self) -> None:
        if self.loop is not None:
            self.loop.wake()

    def _machine_changed(self, row: int, answer: Answer) -> None:
        machine = self.site.roster.machines[row].id
        if isinstance(answer, Silence):
            self.events.say("machine lost", f"{machine}: {answer.cause.value}: {answer.detail}")
        else:
            self.events.say("machine back", f"{machine}: {answer.state.name.lower()}")

    def _feed_changed(self, state: FeedState) -> None:
        if state.ok:
            self.events.say("feed well", state.source)
        else:
            self.events.say("feed lost", f"{state.source}: {state.error}")
        self._wake()

    def _in_words(self) -> str:
        live = int(self.site.live.sum())
        how = f"live control of {live} machines" if live else "dry run"
        return f"site {self.site.file.name}, {len(self.site.roster)} machines, {how}"


async def run_daemon(site: Site) -> None:
    """The daemon as a process: SIGTERM and SIGINT ask for an orderly stop; systemd hears that its loop turns."""
    daemon = Daemon(site)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.stop)
    beating = asyncio.create_task(beat(), name="beat")
    try:
        await daemon.run()
    finally:
        beating.cancel()
