"""The guard: a small second process that carries out the declared farewell when the daemon is gone without one.

It watches the lease. When that has been dead or lapsed for the site's grace, it takes the lease itself, learns from the journal
which machines are hashwatt's affair, and commands through the same hands as the daemon; what it does goes into the journal
before it is sent. It hands the lease back between two waves as soon as a daemon asks for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

import numpy as np

from controllers.act import Actor
from controllers.clock import Clock
from controllers.config import Site
from controllers.events import Event, Events
from controllers.guard_duty import Duty
from controllers.journal import Journal, JournalError, Last, journal_directory, last
from controllers.lease import Holding, Lease, LeaseHeld, LeaseLost, LeaseUnusable, Standing
from controllers.observe import Observer
from controllers.opening import clock_of, open_drivers
from fleet.columns import Bools
from fleet.command import Command, Commands, Outcome, Outcomes
from fleet.reading import Answer, Depth
from fleet.view import View

_ROUND_REAL_S: Final = 0.2
_LOOKS_PER_TERM: Final = 5
_LOOK_LEAST_REAL_S: Final = 0.1
_FINISH_REAL_S: Final = 10.0
_LOOKS_AT_ONCE: Final = 100


class Hands(Protocol):
    """How the guard reaches machines."""

    @property
    def busy(self) -> int:
        """Commands on their way."""
        ...

    async def look(self, row: int) -> Answer:
        """One lean look at one machine."""
        ...

    def submit(self, commands: Iterable[Command]) -> None:
        """Start carrying out commands, each with its read-back."""
        ...

    def drain(self) -> Sequence[Outcome]:
        """The outcomes since the last drain."""
        ...

    async def close(self) -> None:
        """Give up what is on its way."""
        ...


class SiteHands:
    """The daemon's own hands, without its pollers."""

    def __init__(self, site: Site, lease: Lease, clock: Clock, events: Events) -> None:
        """Opens a driver for every machine; nothing is sent.

        Raises:
            SiteError: a secret is not there.
        """
        polling, drivers = site.file.polling, open_drivers(site)
        self._observer = Observer(
            site.roster, drivers, clock, lean_s=polling.lean_s, full_s=polling.full_s, at_once=polling.at_once
        )
        at_once = site.file.control.commands_at_once
        self._actor = Actor(site.roster, drivers, self._observer, lease, clock, at_once=at_once, say=events.say)

    @property
    def busy(self) -> int:
        """Commands on their way."""
        return self._actor.busy

    async def look(self, row: int) -> Answer:
        """One lean look at one machine."""
        async with self._observer.locks[row]:
            return await self._observer.look(row, Depth.LEAN)

    def submit(self, commands: Iterable[Command]) -> None:
        """Start carrying out commands, each with its read-back."""
        self._actor.submit(commands)

    def drain(self) -> Sequence[Outcome]:
        """The outcomes since the last drain."""
        return self._actor.drain()

    async def close(self) -> None:
        """Give up what is on its way, and let go of every driver."""
        await self._actor.close()
        await self._observer.close()


class Ending(Enum):
    """How a duty ended."""

    DONE = "done"
    HANDED_OVER = "handed over to a daemon"
    LOST = "ended, the lease was lost"
    STOPPED = "stopped before its end"


@dataclass(frozen=True, slots=True)
class Gone:
    """A daemon that is gone: how its lease stands, and since when (seconds since boot) this guard knows."""

    standing: Standing
    epoch: int
    since_s: float


class Guard:
    """Watches one site until it is cancelled."""

    def __init__(self, site: Site, lease: Lease, clock: Clock, reach: Callable[[Events], Hands]) -> None:
        """`reach(events)` opens the hands when there is something to do."""
        self.events = Events(clock.now)
        self._site, self._lease, self._clock, self._reach = site, lease, clock, reach
        self._gone: Gone | None = None
        self._told: set[tuple[Standing, int]] = set()
        self._loop_time = asyncio.get_running_loop().time
        self._lost: LeaseLost | None = None

    async def run(self) -> None:
        """Watch, and act when the time has come, until cancelled."""
        every_s = max(self._lease.ttl_s / _LOOKS_PER_TERM, _LOOK_LEAST_REAL_S)
        while True:
            if self.watch():
                await self.act()
            await asyncio.sleep(min(every_s, max(self._site.file.control.guard_grace_s / 4, _LOOK_LEAST_REAL_S)))

    def watch(self) -> bool:
        """One look at the lease: has the daemon been gone without a farewell for the whole grace?"""
        try:
            standing, holding = self._lease.look()
        except OSError as error:
            self.events.say("guard", f"the lease cannot be read: {error}")
            return False
        if holding is None or not _abandoned(standing, holding):
            if self._gone is not None:
                self.events.say("guard", "the daemon is back")
                self._told.clear()
            self._gone = None
            return False
        now_s = self._loop_time()
        if self._gone is None or self._gone.epoch != holding.epoch:
            self._gone = Gone(standing, holding.epoch, now_s)
            grace_s = self._site.file.control.guard_grace_s
            self._say_once(standing, holding, f"lease {holding.epoch} is {standing.value}: acting in {grace_s:g} s")
        return now_s - self._gone.since_s >= self._site.file.control.guard_grace_s

    async def act(self) -> None:
        """Take the lease and carry out the farewell, until it is done, a daemon asks, or the lease is lost."""
        farewell, live = self._site.file.control.farewell, int(self._site.live.sum())
        if farewell == "leave" or not live:
            why = "it is to leave all as it is" if farewell == "leave" else "nothing is under live control"
            self._say_once(Standing.NONE, None, f"the daemon is gone; the farewell is {farewell!r}: {why}")
            return
        try:
            await asyncio.to_thread(self._lease.take)
        except (LeaseHeld, LeaseUnusable) as error:
            self.events.say("guard", f"the lease cannot be taken: {error}")
            return
        self._gone, self._lost = None, None
        self._told.clear()
        renewing = asyncio.create_task(self._keep_lease(), name="lease")
        ending = Ending.STOPPED
        try:
            ending = await self._farewell()
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            self.events.say("guard", f"farewell {farewell!r}: {ending.value}")
            self._lease.release(farewell if ending is Ending.DONE else None)

    async def _farewell(self) -> Ending:
        """The farewell, from what the journal knows."""
        site, reasons = self._site, self._site.judgment.reasons
        known = await self._known()
        for said in known.said:
            self.events.say("journal", said)
        view = View.fresh(site.roster) if known.view is None else known.view
        if known.view is None:
            self.events.say("guard", "the journal knows nothing of this site's machines")
        duty = Duty(site.file.control.farewell, site.judgment, view, known.orders)
        self.events.say("guard", f"farewell {duty.farewell!r} for {int(duty.charge.sum())} machines")
        journal = await self._journal(known, view, reasons)
        hands = self._reach(self.events)
        try:
            return await self._carry_out(duty, hands, journal)
        finally:
            await hands.close()
            if journal is not None:
                await journal.close()
                self.events.keep_in(lambda _event: None)

    async def _known(self) -> Last:
        """What the journal tells; nothing where it cannot be read."""
        directory = journal_directory(self._site.file.journal, self._site.state)
        try:
            return await asyncio.to_thread(last, directory, self._site.roster, self._site.judgment.reasons)
        except OSError as error:
            self.events.say("journal", f"cannot be read: {error}")
            return Last()

    async def _journal(self, known: Last, view: View, reasons: tuple[str, ...]) -> Journal | None:
        """The journal, or None where nothing can be kept: the farewell is carried out all the same, and that is said."""
        site = self._site
        try:
            journal = await Journal.open(
                site.file.journal, site.state, site.file.name, site.roster, site.settings_json()
            )
        except OSError as error:
            self.events.say("journal", f"cannot be written, the farewell goes on without: {error}")
            return None
        try:
            await journal.begin(known, view, reasons, by="guard")
        except JournalError as error:
            self.events.say("journal", f"cannot be written: {error}")
        self.events.keep_in(lambda event: _keep(journal, event))
        return journal

    async def _carry_out(self, duty: Duty, hands: Hands, journal: Journal | None) -> Ending:
        """Rounds of looking and commanding, until it is over."""
        busy = np.zeros(len(self._site.roster), np.bool_)
        while True:
            # In this order: a machine whose command is resolved is looked at before it may be commanded again.
            self._take_in(duty, hands, journal, busy)
            await self._look(duty, hands, busy)
            if self._lost is not None or not self._lease.held():
                self.events.say("lease", str(self._lost or "its term is over"))
                return Ending.LOST
            if self._lease.is_wanted():
                await self._finish(duty, hands, journal, busy)
                return Ending.HANDED_OVER
            commands = duty.wave(busy, self._clock.now())
            if commands:
                await self._send(commands, hands, journal)
                busy[[command.machine for command in commands]] = True
            elif duty.over(busy, self._clock.now()):
                self._say_left(duty)
                return Ending.DONE
            await asyncio.sleep(_ROUND_REAL_S)

    async def _look(self, duty: Duty, hands: Hands, busy: Bools) -> None:
        """See how the machines of the charge are that no command is on its way to."""
        places = asyncio.Semaphore(_LOOKS_AT_ONCE)

        async def one(row: int) -> None:
            async with places:
                if not self._lease.is_wanted():
                    duty.shown(row, await hands.look(row), self._clock.now())

        async with asyncio.TaskGroup() as group:
            for row in duty.unsettled(self._clock.now()):
                if not busy[row]:
                    group.create_task(one(int(row)))

    async def _send(self, commands: list[Command], hands: Hands, journal: Journal | None) -> None:
        """Journal commands, then send them."""
        if journal is not None:
            try:
                await journal.note_sent(Commands.of(commands), self._clock.now(), "guard")
            except JournalError as error:
                self.events.say("journal", f"commands sent without being kept: {error}")
        hands.submit(commands)

    def _take_in(self, duty: Duty, hands: Hands, journal: Journal | None, busy: Bools) -> None:
        """What became of the commands since."""
        outcomes = hands.drain()
        for outcome in outcomes:
            busy[outcome.machine] = False
            duty.became(outcome)
            machine = self._site.roster.machines[outcome.machine].id
            self.events.say("farewell", f"{machine}: {outcome.kind.name.lower()} {outcome.detail}".rstrip())
        if journal is not None:
            journal.note_outcomes(Outcomes.of(outcomes))

    async def _finish(self, duty: Duty, hands: Hands, journal: Journal | None, busy: Bools) -> None:
        """Let what is being written be written, within a bound; what is only waited for is the daemon's to see."""
        for _ in range(int(_FINISH_REAL_S / _ROUND_REAL_S)):
            if not hands.busy:
                break
            await asyncio.sleep(_ROUND_REAL_S)
        self._take_in(duty, hands, journal, busy)

    async def _keep_lease(self) -> None:
        """Renew the lease until it is lost."""
        while True:
            try:
                self._lease.renew()
            except LeaseLost as lost:
                self._lost = lost
                return
            except LeaseUnusable as error:
                self.events.say("lease", str(error))
            await asyncio.sleep(self._lease.ttl_s / _LOOKS_PER_TERM)

    def _say_left(self, duty: Duty) -> None:
        rows = duty.left()
        if len(rows):
            names = ", ".join(self._site.roster.machines[row].id for row in rows[:10])
            self.events.say("guard", f"{len(rows)} machines did not come to what was wanted: {names}")

    def _say_once(self, standing: Standing, holding: Holding | None, text: str) -> None:
        key = (standing, 0 if holding is None else holding.epoch)
        if key not in self._told:
            self._told.add(key)
            self.events.say("guard", text)


def _abandoned(standing: Standing, holding: Holding) -> bool:
    """Is the site without a writer, and without the farewell?"""
    return standing in {Standing.DEAD, Standing.LAPSED} or (standing is Standing.ENDED and holding.farewell is None)


def _keep(journal: Journal, event: Event) -> None:
    journal.note_event(event.kind, event.text, event.at_s)


async def run_guard(site: Site) -> None:
    """The guard as a process, until SIGTERM or SIGINT.

    Raises:
        SiteError: a secret is not there.
    """
    lease, clock = Lease(site.state, role="guard", ttl_s=site.file.control.lease_s), clock_of(site)
    for row in range(len(site.roster)):
        site.credentials(row)  # a missing secret is told now, not when the daemon is gone
    guard = Guard(site, lease, clock, lambda events: SiteHands(site, lease, clock, events))
    guarding = asyncio.ensure_future(guard.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, guarding.cancel)
    guard.events.say("guard", f"watches site {site.file.name}; farewell {site.file.control.farewell!r}")
    with contextlib.suppress(asyncio.CancelledError):
        await guarding
