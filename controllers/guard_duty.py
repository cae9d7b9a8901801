"""What the guard has to do now: pure choices from the last beliefs, what the machines show, and what was tried.

`resume` wakes what hashwatt put to sleep, was putting to sleep or was waking; `sleep` puts all under live control to sleep. A
machine that safety put to sleep, or that an order in force keeps there, is not woken; starts keep the site's stagger and ramp,
and no machine is woken beyond a cap. Each machine is tried a bounded number of times, with growing pauses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from fleet.columns import UNKNOWN, Bools, Floats, Ints
from fleet.command import Command, Outcome, OutcomeKind, Urgency
from fleet.machine import SLEEP
from fleet.order import Order, OrderKind
from fleet.reading import Answer, Reading, State
from fleet.view import View
from policies.farewell import WHY, Farewell, ours_asleep
from policies.orders import in_force, node_caps_w
from policies.scene import Kind
from policies.tick import Judgment

TRIES_MOST: Final = 5
SETTLED_S: Final = 20.0
"""A machine that shows what was wanted for so long is done: a firmware may still be carrying out the command before ours."""
_MINUTE_S: Final = 60.0


@dataclass(eq=False)
class Duty:
    """One farewell under way. Times are the site's (UTC seconds)."""

    farewell: Farewell
    judgment: Judgment
    view: View
    orders: tuple[Order, ...]
    charge: Bools = field(init=False)
    """charge[n]: rows that this farewell is about."""
    tries: Ints = field(init=False)
    retry_s: Floats = field(init=False)
    good_s: Floats = field(init=False)
    """Since when each row shows what is wanted (NaN: it does not)."""
    awake: Bools = field(init=False)
    started: list[tuple[float, int, float]] = field(default_factory=list)
    """Starts: when, under which feeder, W added."""

    def __post_init__(self) -> None:
        """Nothing done yet."""
        n, live = len(self.view), self.judgment.is_live
        match self.farewell:
            case "leave":
                self.charge = np.zeros(n, np.bool_)
            case "resume":
                self.charge = live & ours_asleep(self.view) & ~self._unsafe()
            case "sleep":
                self.charge = np.array(live)
        self.tries = np.zeros(n, np.int64)
        self.retry_s = np.full(n, -np.inf)
        self.good_s = np.full(n, np.nan)
        self.awake = np.array(self.view.mode != SLEEP)

    def shown(self, row: int, answer: Answer, at_s: float) -> None:
        """What a machine showed at a look."""
        if not isinstance(answer, Reading) or (answer.mode is None and answer.state is State.UNKNOWN):
            return
        asleep = answer.mode == self.judgment.roster.machines[row].modes[SLEEP].name or answer.state is State.SLEEPING
        self.awake[row] = not asleep
        if asleep != (self.farewell == "sleep"):
            self.good_s[row] = np.nan
        elif np.isnan(self.good_s[row]):
            self.good_s[row] = at_s

    def became(self, outcome: Outcome) -> None:
        """What became of a command: one that is done was seen to be so, a failed one is tried again after a while."""
        row = outcome.machine
        if outcome.kind is OutcomeKind.DONE:
            self.awake[row] = outcome.mode != SLEEP
            self.good_s[row] = np.fmin(self.good_s[row], outcome.at_s)
        else:
            beliefs = self.judgment.beliefs
            wait_s = min(beliefs.back_off_s * 2.0 ** (self.tries[row] - 1), beliefs.back_off_most_s)
            self.retry_s[row] = outcome.at_s + wait_s

    def unsettled(self, at_s: float) -> Ints:
        """Rows that have to be looked at."""
        settled = at_s - self.good_s >= SETTLED_S
        return np.flatnonzero(self.charge & ~settled)

    def wave(self, busy: Bools, at_s: float) -> list[Command]:
        """The commands to send now; `busy[n]`: rows whose command is still under way."""
        due = self._open() & ~busy & (at_s >= self.retry_s)
        if self.farewell == "sleep":
            commands = [Command(int(row), SLEEP, WHY, Urgency.URGENT) for row in np.flatnonzero(due)]
        else:
            commands = self._wakes(np.flatnonzero(due & ~self.kept(at_s)), at_s)
        for command in commands:
            self.tries[command.machine] += 1
        return commands

    def over(self, busy: Bools, at_s: float) -> bool:
        """Is there nothing left that time alone would bring? What a cap keeps asleep is not waited for."""
        if busy.any():
            return False
        settling = self.charge & (at_s - self.good_s < SETTLED_S)
        waiting = self._open() & ((at_s < self.retry_s) | self.kept(at_s))
        return not (settling.any() or waiting.any() or self._paced(at_s))

    def left(self) -> Ints:
        """Rows of the charge that do not show what is wanted."""
        return np.flatnonzero(self.charge & np.isnan(self.good_s))

    def kept(self, at_s: float) -> Bools:
        """kept[n]: an order in force keeps the row as it is."""
        roster = self.judgment.roster
        kept = np.zeros(len(roster), np.bool_)
        for order in in_force(self.orders, at_s, roster):
            if order.kind in {OrderKind.CURTAIL, OrderKind.HOLD}:
                kept |= roster.within(order.scope)
        return kept

    def _unsafe(self) -> Bools:
        """Rows that safety put to sleep."""
        reasons = self.judgment.reasons
        unsafe = {c.label for c in self.judgment.ordered if c.rank is Kind.SAFETY}
        codes = [code for code, name in enumerate(reasons) if name in unsafe]
        return np.isin(self.view.asleep_why, codes)

    def _open(self) -> Bools:
        """Rows that do not show what is wanted, or were asked for the contrary, and may be tried again."""
        contrary = np.zeros(len(self.view), np.bool_)
        if self.farewell == "resume":
            contrary = ((self.view.wanted == SLEEP) | (self.view.doubt == SLEEP)) & (self.tries == 0)
        untried: Bools = self.tries < TRIES_MOST
        return self.charge & (np.isnan(self.good_s) | contrary) & untried

    def _paced(self, at_s: float) -> bool:
        """Would a wave come by waiting for stagger or ramp?"""
        if self.farewell != "resume":
            return False
        rows = np.flatnonzero(self._open() & ~self.kept(at_s))
        return bool(self._wakes(rows, at_s + 2 * _MINUTE_S + self.judgment.pace.starts_window_s, keep=False))

    def _wakes(self, rows: Ints, at_s: float, *, keep: bool = True) -> list[Command]:
        """Rows to their usual mode, or the highest below it that fits, within stagger, ramp and every cap."""
        roster, pace, feeder = self.judgment.roster, self.judgment.pace, self.judgment.feeder
        now_w = self._load_w()
        load_w = roster.tree.totals(roster.leaf, now_w)
        cap_w = node_caps_w(in_force(self.orders, at_s, roster), roster)
        ramp_w = np.inf if pace.ramp_up_kw_min is None else pace.ramp_up_kw_min * 1e3
        ramp_w -= sum(power_w for when, _, power_w in self.started if at_s - when < _MINUTE_S)
        recent = [place for when, place, _ in self.started if at_s - when < pace.starts_window_s]
        places = np.bincount(np.array(recent, np.int64), minlength=len(roster.tree.names))
        commands = []
        for row in rows:
            above = roster.tree.member[roster.leaf[row]]
            room_w = min(float((cap_w - load_w)[above].min()), ramp_w)
            mode, delta_w = self._fitting(int(row), float(now_w[row]), room_w)
            if mode == UNKNOWN or places[feeder[row]] >= pace.starts_per_feeder:
                continue
            places[feeder[row]] += 1
            ramp_w -= delta_w
            load_w[above] += delta_w
            commands.append(Command(int(row), mode, WHY))
            if keep:
                self.started.append((at_s, int(feeder[row]), delta_w))
        return commands

    def _fitting(self, row: int, now_w: float, room_w: float) -> tuple[int, float]:
        """The highest mode up to the usual one that adds no more than `room_w`, and what it adds; -1 where none does."""
        power_w = self.judgment.roster.modes.power_w[row] * max(float(self.view.power_scale[row]), 1.0)
        for mode in range(int(self.judgment.roster.usual[row]), SLEEP, -1):
            if power_w[mode] - now_w <= room_w:
                return mode, max(float(power_w[mode] - now_w), 0.0)
        return UNKNOWN, 0.0

    def _load_w(self) -> Floats:
        """The most that each row may draw: as it was believed, asleep where it shows that, its usual mode once it was woken."""
        roster, rows = self.judgment.roster, np.arange(len(self.view))
        plate, scale = roster.modes.power_w, np.maximum(self.view.power_scale, 1.0)
        load_w = np.array(self.view.worst_w)
        load_w = np.where(self.charge & ~self.awake, plate[:, SLEEP] * scale, load_w)
        woken = self.charge & (self.awake | (self.tries > 0))
        return np.where(woken, np.fmax(plate[rows, roster.usual] * scale, load_w), load_w)
