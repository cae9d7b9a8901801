"""Observe: every machine asked at its own pace; the latest answers as columns.

One schedule asks whoever is due, a lean look often and a full one now and then, with bounded concurrency and a deadline on
every exchange, so a slow machine holds up nobody but itself. `Latest` is the only mutable image of the fleet; a tick takes
a frozen copy. One lock per machine keeps a look and a command from talking over each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import isfinite, nan

import numpy as np

from controllers.clock import Clock
from fleet.columns import OFF_LADDER, UNKNOWN
from fleet.driver import Driver, Garbled, Refused, Unreachable
from fleet.machine import SLEEP_NAME, Roster
from fleet.reading import Answer, Cause, Depth, Reading, Silence, State
from fleet.snapshot import Heard

_PLAUSIBLE = {"hashrate_ths": 1e5, "power_w": 1e6, "chip_c": 200.0, "board_c": 200.0, "uptime_s": 1e10}
LOOK_BUCKETS_S = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_PAUSE_S = 0.02
_FULL_TRIES_APART = 3


class Latest:
    """The last answer of every machine, as columns (see `fleet.snapshot.Heard`) and, of the last full look, as objects."""

    def __init__(self, roster: Roster) -> None:
        self.roster = roster
        nothing = Heard.nothing(len(roster))
        self._columns = {f.name: np.array(getattr(nothing, f.name)) for f in fields(Heard)}
        self._mode_of: list[Mapping[str, int]] = _modes_by_name(roster)
        self.full: dict[int, Reading] = {}
        self.silences: dict[int, Silence] = {}

    def freeze(self) -> Heard:
        """A read-only copy of what is known now."""
        return Heard(**{name: column.copy() for name, column in self._columns.items()})

    def put(self, row: int, answer: Answer, at_s: float) -> bool:
        """Take one answer in; True when the machine fell silent with it, or came back."""
        columns = self._columns
        columns["asked_s"][row] = at_s
        was_silent = bool(columns["silent"][row])
        match answer:
            case Silence():
                columns["silent"][row] = True
                self.silences[row] = answer
                return not was_silent
            case Reading():
                columns["silent"][row] = False
                self.silences.pop(row, None)
                self._take(row, answer, at_s)
                return was_silent

    def shift(self, by_s: float) -> None:
        """Move the remembered times with a clock that has stepped."""
        self._columns["at_s"] += by_s
        self._columns["asked_s"] += by_s
        self._columns["counted_s"] += by_s

    def _take(self, row: int, reading: Reading, at_s: float) -> None:
        columns = self._columns
        columns["at_s"][row] = at_s
        columns["state"][row] = reading.state
        columns["mode"][row] = self.column_of(row, reading.mode)
        columns["measured"][row] = reading.power_measured and reading.power_w is not None
        for name in ("hashrate_ths", "power_w", "chip_c", "board_c"):
            columns[name][row] = _plausible(name, getattr(reading, name))
        if reading.uptime_s is not None:
            columns["uptime_s"][row] = _plausible("uptime_s", reading.uptime_s)
        # Counters that this look did not ask for keep their last value: they are counters, not states.
        for name in ("accepted", "rejected", "hardware_errors", "accepted_difficulty", "share_difficulty"):
            value = getattr(reading, name)
            if value is not None and isfinite(value) and value >= 0:
                columns[name][row] = value
                if name == "accepted_difficulty":
                    columns["counted_s"][row] = at_s
        if reading.depth is Depth.FULL:
            self.full[row] = reading

    def column_of(self, row: int, mode: str | None) -> int:
        """The roster's column of an operating point as the firmware names it; -1 it did not say, -2 not on the ladder."""
        return UNKNOWN if mode is None else self._mode_of[row].get(mode, OFF_LADDER)


@dataclass(slots=True)
class PollCounts:
    """How the asking goes: looks by depth and by outcome, seconds spent, and how late the schedule runs."""

    looks: Counter[tuple[str, str]] = field(default_factory=Counter)
    seconds: float = 0.0
    count: int = 0
    late_most_s: float = 0.0
    missed: int = 0
    """Looks that began more than one period late."""
    within: list[int] = field(default_factory=lambda: [0] * (len(LOOK_BUCKETS_S) + 1))
    """Looks that took no longer than each of LOOK_BUCKETS_S and longer than the one before; the last: longer than all."""


class Observer:
    """Asks every machine of a roster, for ever."""

    def __init__(
        self,
        roster: Roster,
        drivers: Sequence[Driver],
        clock: Clock,
        *,
        lean_s: float,
        full_s: float,
        at_once: int,
        alarm: Callable[[], None] = lambda: None,
        changed: Callable[[int, Answer], None] = lambda _row, _answer: None,
        seen: Callable[[int, Answer], None] = lambda _row, _answer: None,
        hot: Callable[[Reading], bool] = lambda _reading: False,
    ) -> None:
        self.latest = Latest(roster)
        self.counts = PollCounts()
        self._drivers, self._clock = drivers, clock
        self._lean_s, self._full_s, self._at_once = lean_s, full_s, at_once
        self._alarm, self._changed, self._seen, self._hot = alarm, changed, seen, hot
        self.locks = [asyncio.Lock() for _ in drivers]
        self._full_due_s = [0.0] * len(drivers)
        self._due: list[tuple[float, int]] = []
        self._asking: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Ask for ever; the first round comes all at once, the later ones are spread over the period."""
        began_s, n = self._clock.now(), len(self._drivers)
        self._due = [(began_s, row) for row in range(n)]
        begun = np.zeros(n, np.bool_)
        try:
            while self._due:
                now_s = self._clock.now()
                while self._due[0][0] <= now_s and len(self._asking) < self._at_once:
                    due_s, row = self._due[0]
                    self._launch(row, due_s, now_s)
                    # After the first round each machine keeps a place of its own in the period.
                    next_s = due_s + self._lean_s * (1.0 if begun[row] else (row + 1) / n)
                    begun[row] = True
                    heapq.heapreplace(self._due, (next_s if next_s > now_s else now_s + self._lean_s, row))
                wait_s = (self._due[0][0] - self._clock.now()) / self._clock.speed
                if len(self._asking) >= self._at_once:
                    await asyncio.wait(self._asking, return_when=asyncio.FIRST_COMPLETED)
                else:
                    await asyncio.sleep(min(max(wait_s, 0.0) + 0.001, _PAUSE_S * 10))
        finally:
            for task in self._asking:
                task.cancel()
            await asyncio.gather(*self._asking, return_exceptions=True)

    def shift(self, by_s: float) -> None:
        """Move what is remembered and what is planned with a clock that has stepped."""
        self.latest.shift(by_s)
        self._due = [(due_s + by_s, row) for due_s, row in self._due]
        self._full_due_s = [due_s + by_s for due_s in self._full_due_s]

    def _launch(self, row: int, due_s: float, now_s: float) -> None:
        late_s = now_s - due_s
        self.counts.late_most_s = max(self.counts.late_most_s, late_s)
        if self.locks[row].locked():
            # Its last look, or a command, still has it: the schedule does not queue behind it.
            self.counts.missed += 1
            return
        self.counts.missed += late_s > self._lean_s
        depth = Depth.FULL if now_s >= self._full_due_s[row] else Depth.LEAN
        task = asyncio.get_running_loop().create_task(self._ask(row, depth))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _ask(self, row: int, depth: Depth) -> None:
        async with self.locks[row]:
            await self.look(row, depth)

    async def look(self, row: int, depth: Depth) -> Answer:
        """One look at one machine, taken in; the caller holds its lock."""
        began, began_s = time.perf_counter(), self._clock.now()
        answer = await ask(self._drivers[row], depth)
        took_s = time.perf_counter() - began
        self.counts.seconds += took_s
        self.counts.within[bisect_left(LOOK_BUCKETS_S, took_s)] += 1
        self.counts.count += 1
        outcome = "reading" if isinstance(answer, Reading) else answer.cause.name.lower()
        self.counts.looks[depth.name.lower(), outcome] += 1
        # The values are of some moment of the exchange: its middle is the best guess, the more so the slower it was.
        at_s = (began_s + self._clock.now()) / 2
        if isinstance(answer, Reading):
            if depth is Depth.FULL:
                self._full_due_s[row] = at_s + self._full_s
        elif depth is Depth.FULL:
            self._full_due_s[row] = at_s + self._lean_s * _FULL_TRIES_APART
        if self.latest.put(row, answer, at_s):
            self._changed(row, answer)
        self._seen(row, answer)
        if isinstance(answer, Reading) and (answer.state is State.FAULTED or self._hot(answer)):
            self._alarm()
        return answer

    async def look_at_all(self, depth: Depth) -> tuple[Answer, ...]:
        """Every machine once, with bounded concurrency; the answers in the roster's order."""
        places = asyncio.Semaphore(self._at_once)

        async def one(row: int) -> Answer:
            async with places, self.locks[row]:
                return await self.look(row, depth)

        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(one(row)) for row in range(len(self._drivers))]
        return tuple(task.result() for task in asked)

    async def close(self) -> None:
        """Let go of every driver."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.gather(*(driver.close() for driver in self._drivers), return_exceptions=True)


async def ask(driver: Driver, depth: Depth) -> Answer:
    """One look as a value: the three errors of a driver become silences, each with its cause."""
    try:
        return await driver.read(depth)
    except Unreachable as error:
        return Silence(Cause.UNREACHABLE, str(error))
    except Refused as error:
        return Silence(Cause.REFUSED, str(error))
    except Garbled as error:
        return Silence(Cause.GARBLED, str(error))
    except Exception as error:  # noqa: BLE001 - a bug in one driver is one machine's silence, and is named
        return Silence(Cause.GARBLED, f"the driver failed: {type(error).__name__}: {error}")


def _modes_by_name(roster: Roster) -> list[Mapping[str, int]]:
    """Column by the mode's name, one table shared by the machines of one ladder."""
    tables: dict[tuple[str, ...], Mapping[str, int]] = {}
    result = []
    for machine in roster.machines:
        names = tuple(mode.name for mode in machine.modes)
        if names not in tables:
            tables[names] = {name: column for column, name in enumerate(names)} | {SLEEP_NAME: 0}
        result.append(tables[names])
    return result


def _plausible(name: str, value: float | None) -> float:
    """The value, or NaN for what was not said or cannot be."""
    if value is None or not isfinite(value) or not 0 <= value <= _PLAUSIBLE[name]:
        return nan
    return value
