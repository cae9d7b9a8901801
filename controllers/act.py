"""Act: the only writer. Sends commands, reads back, and says what became of each.

Before a write the lease is checked and the machine's pools are read; what cannot be read is not written to. After it the
machine is asked until its own reading shows the mode, or its time is over; then its pools are compared. Each command is
one task with a bound on how many run; a newer command for the same machine takes the place of the one still waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from controllers.clock import Clock
from controllers.observe import Observer
from fleet.command import Command, Outcome, OutcomeKind, Urgency
from fleet.driver import Driver, Garbled, Refused, Unreachable, Unsupported
from fleet.machine import SLEEP_NAME, Roster
from fleet.reading import Depth, Pool, Reading, State

_READ_BACK_S = 2.0
_READ_BACK_REAL_LEAST_S = 0.05


class Lease(Protocol):
    """What act asks of the lease."""

    def held(self) -> bool:
        """Is it ours at this moment? Cheap: asked before every single write."""
        ...


@dataclass(frozen=True, slots=True)
class Writing:
    """A command on its way, and whether it was accepted yet."""

    command: Command
    task: asyncio.Task[None]


class Actor:
    """Carries out commands for one roster."""

    def __init__(
        self,
        roster: Roster,
        drivers: Sequence[Driver],
        observer: Observer,
        lease: Lease,
        clock: Clock,
        *,
        at_once: int,
        say: Callable[[str, str], None] = lambda _kind, _text: None,
    ) -> None:
        """`say(kind, text)` takes events for people: a pool that changed under a write."""
        self._roster, self._drivers, self._observer = roster, drivers, observer
        self._lease, self._clock, self._say = lease, clock, say
        self._places = asyncio.Semaphore(at_once)
        self._urgent_places = asyncio.Semaphore(at_once)
        self._writing: dict[int, Writing] = {}
        self._outcomes: list[Outcome] = []
        self.accepted = 0

    @property
    def busy(self) -> int:
        """Commands on their way."""
        return len(self._writing)

    def submit(self, commands: Iterable[Command]) -> None:
        """Start carrying out the live commands; the others are recorded as withheld by who decided them."""
        for command in commands:
            if not command.live:
                continue
            older = self._writing.pop(command.machine, None)
            if older is not None:
                older.task.cancel()
            task = asyncio.get_running_loop().create_task(self._carry_out(command))
            self._writing[command.machine] = Writing(command, task)

    def drain(self) -> tuple[Outcome, ...]:
        """The outcomes since the last drain."""
        outcomes, self._outcomes = tuple(self._outcomes), []
        return outcomes

    async def carry_out(self, commands: Iterable[Command]) -> tuple[Outcome, ...]:
        """Submit, wait until all are resolved, and return their outcomes: for a farewell and for the guard."""
        self.submit(commands)
        while self._writing:
            await asyncio.gather(*(writing.task for writing in self._writing.values()), return_exceptions=True)
        return self.drain()

    async def close(self) -> None:
        """Give up what is on its way; what a machine accepted stays accepted."""
        tasks = [writing.task for writing in self._writing.values()]
        self._writing.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry_out(self, command: Command) -> None:
        places = self._urgent_places if command.urgency is Urgency.URGENT else self._places
        try:
            kind, detail = await self._tried(command, places)
        except Exception as error:  # noqa: BLE001 - a bug in one driver is one machine's outcome
            kind, detail = OutcomeKind.LOST, f"the driver failed: {type(error).__name__}: {error}"
            self._say("driver failed", f"machine {self._roster.machines[command.machine].id}: {detail}")
        finally:
            writing = self._writing.get(command.machine)
            if writing is not None and writing.command is command:
                del self._writing[command.machine]
        self._outcomes.append(Outcome(command.machine, command.mode, kind, self._clock.now(), detail))

    async def _tried(self, command: Command, places: asyncio.Semaphore) -> tuple[OutcomeKind, str]:
        """Write, read back, and compare the pools: also after a write that failed on its way, which may have lost them."""
        try:
            async with places:
                before = await self._write(command)
        except _Ended as ended:
            after = "" if ended.before is None else await self._pools_after(command.machine, ended.before)
            return ended.kind, "; ".join(filter(None, (ended.detail, after)))
        # Waiting for a slow machine's confirmation takes nobody's place.
        return await self._read_back(command, before)

    async def _write(self, command: Command) -> tuple[Pool, ...]:
        """Read the pools, check the lease, write. Returns the pools as they were."""
        row = command.machine
        driver = self._drivers[row]
        mode = self._roster.machines[row].modes[command.mode]
        async with self._observer.locks[row]:
            try:
                before = (await driver.read(Depth.POOLS)).pools
            except (Unreachable, Refused, Garbled) as error:
                kind = OutcomeKind.LOST if isinstance(error, Unreachable) else OutcomeKind.REFUSED
                raise _Ended(kind, f"pools cannot be read, nothing was written: {error}") from error
            if before is None:
                raise _Ended(OutcomeKind.REFUSED, "the machine does not tell its pools, nothing was written")
            if not self._lease.held():
                raise _Ended(OutcomeKind.WITHHELD, "the site's lease is not ours")
            try:
                await driver.set_mode(mode)
            except Unsupported as error:
                raise _Ended(OutcomeKind.REFUSED, str(error)) from error
            except Refused as error:
                raise _Ended(OutcomeKind.REFUSED, str(error), before) from error
            except (Unreachable, Garbled) as error:
                raise _Ended(OutcomeKind.LOST, str(error), before) from error
        self.accepted += 1
        return before

    async def _read_back(self, command: Command, before: tuple[Pool, ...]) -> tuple[OutcomeKind, str]:
        """Ask until the machine shows the mode, or its time is over; then compare its pools."""
        row, latest = command.machine, self._observer.latest
        until_s = self._clock.now() + self._roster.machines[row].confirm_s
        shown = "nothing"
        while True:
            async with self._observer.locks[row]:
                answer = await self._observer.look(row, Depth.LEAN)
            if isinstance(answer, Reading):
                if latest.column_of(row, answer.mode) == command.mode and not contradicts(answer):
                    return OutcomeKind.DONE, await self._pools_after(row, before)
                shown = f"mode {answer.mode!r}, {answer.state.name.lower()}"
            if self._clock.now() >= until_s:
                await self._pools_after(row, before)
                return OutcomeKind.UNCONFIRMED, f"accepted, and still shows {shown}"
            await asyncio.sleep(max(_READ_BACK_S / self._clock.speed, _READ_BACK_REAL_LEAST_S))

    async def _pools_after(self, row: int, before: tuple[Pool, ...]) -> str:
        """Compare the pools with those before the write; a change is an event, whoever made it."""
        try:
            async with self._observer.locks[row]:
                after = (await self._drivers[row].read(Depth.POOLS)).pools
        except (Unreachable, Refused, Garbled) as error:
            return f"pools not read after the write: {error}"
        if after is None or {p.identity for p in after} == {p.identity for p in before}:
            return ""
        machine = self._roster.machines[row]
        text = f"machine {machine.id}: its pools changed under a write: {_listed(before)} became {_listed(after)}"
        self._say("pools changed", text)
        return text


def contradicts(reading: Reading) -> bool:
    """Told to sleep and still at work, or told to work and asleep: what is set is not what is."""
    if reading.mode == SLEEP_NAME:
        return reading.state in {State.HASHING, State.STARTING}
    return reading.state is State.SLEEPING


class _Ended(Exception):
    """A command that ended before it was accepted; `before`: the pools as they were, if anything was sent."""

    def __init__(self, kind: OutcomeKind, detail: str, before: tuple[Pool, ...] | None = None) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.before = kind, detail, before


def _listed(pools: tuple[Pool, ...]) -> str:
    """Pools without their workers: a worker's name may hold an address or a secret."""
    return ", ".join(f"{pool.priority}:{pool.url.split('@')[-1]}" for pool in pools) or "none"
