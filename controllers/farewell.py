"""The daemon's own farewell: rounds of looking and commanding at an orderly stop, until every machine shows what was declared.

What is due when is `controllers.guard_duty`'s, the same as for the guard: caps, ramp, stagger and a bounded number of tries.
What is sent is journaled before; where the journal cannot keep it, the farewell goes on without, and that is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np

from controllers.act import Actor
from controllers.clock import Clock
from controllers.guard_duty import Duty
from controllers.journal import Journal, JournalError
from controllers.observe import Observer
from fleet.columns import Bools
from fleet.command import Commands
from fleet.reading import Depth

_ROUND_REAL_S = 0.2
_LOOKS_AT_ONCE = 100


class Farewell:
    """One farewell under way, with the daemon's own hands."""

    def __init__(
        self,
        duty: Duty,
        observer: Observer,
        actor: Actor,
        journal: Journal,
        clock: Clock,
        say: Callable[[str, str], None],
    ) -> None:
        self._duty, self._observer, self._actor = duty, observer, actor
        self._journal, self._clock, self._say = journal, clock, say
        self._names = [machine.id for machine in duty.judgment.roster.machines]

    async def carry_out(self) -> None:
        """Return when nothing is left that time alone would bring."""
        duty, busy = self._duty, np.zeros(len(self._names), np.bool_)
        if not duty.charge.any():
            return
        self._say("farewell", f"{duty.farewell!r} for {int(duty.charge.sum())} machines")
        while True:
            await self._look(busy)
            for outcome in self._actor.drain():
                busy[outcome.machine] = False
                duty.became(outcome)
                text = f"{self._names[outcome.machine]}: {outcome.kind.name.lower()} {outcome.detail}"
                self._say("farewell", text.rstrip())
            commands = duty.wave(busy, self._clock.now())
            if commands:
                try:
                    await self._journal.note_sent(Commands.of(commands), self._clock.now(), "farewell")
                except JournalError as error:
                    self._say("journal", f"commands sent without being kept: {error}")
                self._actor.submit(commands)
                busy[[command.machine for command in commands]] = True
            elif duty.over(busy, self._clock.now()):
                break
            await asyncio.sleep(_ROUND_REAL_S)
        left = duty.left()
        if len(left):
            names = ", ".join(self._names[row] for row in left[:10])
            self._say("farewell", f"{len(left)} machines did not come to what was wanted: {names}")

    async def _look(self, busy: Bools) -> None:
        """See how the machines are that no command is on its way to."""
        places = asyncio.Semaphore(_LOOKS_AT_ONCE)

        async def one(row: int) -> None:
            async with places, self._observer.locks[row]:
                answer = await self._observer.look(row, Depth.LEAN)
            self._duty.shown(row, answer, self._clock.now())

        async with asyncio.TaskGroup() as group:
            for row in self._duty.unsettled(self._clock.now()):
                if not busy[row]:
                    group.create_task(one(int(row)))
