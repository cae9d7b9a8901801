"""In every reachable state: a pretend site lives through faults, prices and orders, and the laws hold at every tick.

The site is values and a seeded random number, no wire: machines that obey late, refuse, get lost and obey all the same,
are changed by others, go silent, reboot and get hot; prices that jump and vanish; orders that come and go. The laws about
power are checked on what the pretend machines really draw. A failing example prints its world and seed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.columns import UNKNOWN
from fleet.command import Outcome, OutcomeKind, Outcomes
from fleet.estimate import Beliefs
from fleet.machine import SLEEP, Mode, Roster
from fleet.market import Market, Quantity, Signal
from fleet.order import Order, OrderKind, Rank
from fleet.reading import State
from fleet.snapshot import Heard, Snapshot
from fleet.view import View
from policies.economics import Economics
from policies.plan import Pace
from policies.record import Decision
from policies.switching import Regret, Threshold
from policies.tariff import IndexTariff
from policies.tick import Judgment
from tests.policies.conftest import T0, machine

CONFIRM_S, SLACK_S, SILENT_S, TICK_S = 40.0, 20.0, 60.0, 10.0
BRAKE_MW, RAMP_UP_KW, RAMP_DOWN_KW = 0.004, 5.0, 6.0
BELIEFS = Beliefs(
    silent_after_s=SILENT_S, confirm_slack_s=SLACK_S, back_off_s=20, quarantine_after=3, quarantine_s=300, hand_s=400
)
PACE = Pace(
    min_up_s=120,
    min_down_s=60,
    min_step_s=50,
    ramp_up_kw_min=RAMP_UP_KW,
    ramp_down_kw_min=RAMP_DOWN_KW,
    starts_per_feeder=2,
    starts_window_s=25,
    brake_mw=BRAKE_MW,
    brake_s=90,
)


@dataclass(frozen=True)
class World:
    """What may happen in one walk."""

    seed: int
    hands: bool
    lost: bool
    orders: bool
    capped: bool
    heat: bool
    silence: bool
    gaps: bool
    patient: bool


@dataclass
class Unit:
    """One pretend machine as it really is."""

    mode: int
    draws: float
    """Its power over its nameplate: never more, so that a nameplate is a true worst case."""
    state: State = State.HASHING
    told: int = 0
    boot_s: float = T0 - 9_000.0
    chip_c: float = 60.0
    deaf_until_s: float = 0.0
    later: list[tuple[float, str, int]] = field(default_factory=list)
    """What will happen to it: (when, what, mode)."""
    sent_s: dict[int, float] = field(default_factory=dict)


class Walk:
    """One walk through the pretend site; every step checks the laws."""

    def __init__(self, world: World) -> None:
        self.world, self.dice = world, random.Random(world.seed)
        ladders = [self._ladder() for _ in range(7)]
        places = ["fa/r1", "fa/r1", "fa/r2", "fb", "fb", "fb", ""]
        machines = [
            machine(f"m{i}", place, ladder, ladder[-1].name, start_s=20.0, wear_usd=0.01, confirm_s=CONFIRM_S)
            for i, (place, ladder) in enumerate(zip(places, ladders, strict=True))
        ]
        caps = {"": 14_500.0, "fa": 6_500.0, "fb": 7_000.0} if world.capped else {}
        self.roster = Roster.of(machines, caps)
        self.judgment = Judgment(
            self.roster,
            IndexTariff(),
            Economics(power_max_age_s=100),
            Regret() if world.patient else Threshold(),
            PACE,
            BELIEFS,
            live=np.ones(len(machines), np.bool_),
        )
        self.view, self.at_s = View.fresh(self.roster), T0
        self.units = [Unit(mode=0, draws=self.dice.uniform(0.9, 1.0)) for _ in machines]
        for unit in self.units:
            unit.mode = unit.told = self.dice.choice((0, 1, 2)) if not world.capped else 0
            unit.state = State.SLEEPING if unit.mode == SLEEP else State.HASHING
        self.heard = Heard.nothing(len(machines))
        self.price, self.price_s, self.two_sources, self.calm = 50.0, T0, True, False
        self.orders: list[Order] = []
        self.outcomes: list[Outcome] = []
        self.disturbed_s = -np.inf
        self.shown = np.full(len(machines), UNKNOWN)
        self.shown_s = np.full(len(machines), -np.inf)
        self.ups: list[tuple[float, float]] = []
        self.downs: list[tuple[float, float]] = []
        self.money: list[tuple[float, float]] = []
        self.starts: list[tuple[float, int]] = []

    def _ladder(self) -> tuple[Mode, ...]:
        low, j_th = self.dice.uniform(1_200, 1_800), self.dice.uniform(18, 28)
        powers = [low, low * 1.4, low * 1.8]
        rates = [low / j_th, low / j_th * 1.33, low / j_th * 1.6]
        return (
            Mode("sleep", 25, 0),
            *(Mode(f"p{i}", p, r) for i, (p, r) in enumerate(zip(powers, rates, strict=True))),
        )

    # ------------------------------------------------------------------------------------------------------- the world

    def power_w(self, row: int) -> float:
        """What a machine really draws."""
        unit, modes = self.units[row], self.roster.machines[row].modes
        return modes[unit.mode].power_w * unit.draws

    def totals(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """What every place really draws."""
        return self.roster.tree.totals(self.roster.leaf, np.array([self.power_w(i) for i in range(len(self.units))]))

    def happen(self, until_s: float) -> None:
        """Everything that machines do by themselves until a time."""
        due = sorted(
            ((when, i, what, mode) for i, u in enumerate(self.units) for when, what, mode in u.later if when <= until_s)
        )
        for when, i, what, mode in due:
            unit = self.units[i]
            unit.later.remove((when, what, mode))
            before_w = self.power_w(i)
            if what == "take":
                # It is told first, and draws what it drew until it is there: a stop takes a while, a rise does not.
                unit.told = mode
                if mode == SLEEP:
                    unit.later.append((when + self.dice.uniform(0, 15), "stop", SLEEP))
                else:
                    unit.state = State.STARTING if unit.mode == SLEEP else State.HASHING
                    unit.mode = mode
                    unit.later.append((when + 20.0, "warm", mode))
            elif what == "stop" and unit.told == SLEEP:
                unit.mode, unit.state = SLEEP, State.SLEEPING
            elif what == "warm" and unit.told == mode and unit.mode == mode:
                unit.state = State.HASHING
            if what == "take" and self.power_w(i) > before_w + 1.0:
                self._check_caps(i, when, unit.sent_s.get(mode, when))
        self._weather()

    def _weather(self) -> None:
        """Temperatures, silence, hands, reboots, prices, orders."""
        dice, world = self.dice, self.world
        for i, unit in enumerate(self.units):
            if world.heat and dice.random() < 0.03:
                unit.chip_c = dice.choice((60.0, 75.0, 90.0, 97.0, 60.0))
            if world.silence and dice.random() < 0.02:
                unit.deaf_until_s = self.at_s + dice.choice((30.0, 100.0, 1_200.0))
            if world.hands and dice.random() < 0.02:
                self._hand(i, dice.randrange(4))
            if world.hands and dice.random() < 0.01:
                unit.boot_s = self.at_s
                if unit.mode == SLEEP:
                    self._hand(i, 3)
        if not self.calm and dice.random() < 0.15:
            self.price = dice.choice((-20.0, 20.0, 45.0, 60.0, 75.0, 90.0, 400.0))
        if not (world.gaps and dice.random() < 0.3):
            self.price_s = self.at_s
        self.two_sources = dice.random() < 0.7
        self.orders = [order for order in self.orders if order.until_s > self.at_s]
        if world.orders and dice.random() < 0.08:
            self._order()

    def _hand(self, row: int, mode: int) -> None:
        """Somebody else sets a mode at the machine."""
        unit = self.units[row]
        unit.mode = unit.told = mode
        unit.state = State.SLEEPING if mode == SLEEP else State.HASHING
        unit.later.clear()
        self.disturbed_s = self.at_s

    def _order(self) -> None:
        """Somebody orders something, somewhere."""
        dice = self.dice
        kind = dice.choice(tuple(OrderKind))
        rank = dice.choice(tuple(Rank))
        scope = dice.choice(("site", "fa", "fa/r1", "fb", "m0", "m4"))
        cap_w = dice.choice((0.0, 2_000.0, 6_000.0, 9_000.0)) if kind is OrderKind.CAP else None
        until_s = self.at_s + dice.choice((60.0, 300.0, 900.0))
        self.orders.append(Order(f"o{self.at_s}", kind, scope, "somebody", "why not", self.at_s, until_s, rank, cap_w))
        self.disturbed_s = self.at_s

    def _check_caps(self, row: int, when: float, sent_s: float) -> None:
        """A rise that we commanded leaves every cap above it kept, by what machines really draw."""
        if self.disturbed_s > sent_s - SILENT_S - TICK_S:
            return
        caps = self.roster.tree.cap_w
        above = self.roster.tree.member[self.roster.leaf[row]]
        over = above & (self.totals() > caps + 0.1)
        assert not over.any(), (
            f"at {when - T0:.0f} s m{row} rose over the cap of {np.flatnonzero(over)}: {self.totals()}"
        )

    # ------------------------------------------------------------------------------------------------------ one tick

    def look(self) -> None:
        """Every machine that is not deaf, and not missed by chance, answers."""
        columns = {name: np.array(getattr(self.heard, name)) for name in self.heard.__dataclass_fields__}
        for i, unit in enumerate(self.units):
            if self.dice.random() < 0.2 and self.at_s > T0:
                continue
            columns["asked_s"][i] = self.at_s
            columns["silent"][i] = self.at_s < unit.deaf_until_s
            if self.at_s < unit.deaf_until_s:
                continue
            columns["at_s"][i], columns["uptime_s"][i] = self.at_s, self.at_s - unit.boot_s
            columns["mode"][i], columns["state"][i], columns["chip_c"][i] = unit.told, unit.state, unit.chip_c
            if self.shown[i] != unit.told and (unit.told != SLEEP or unit.state is State.SLEEPING):
                self.shown[i], self.shown_s[i] = unit.told, self.at_s
        self.heard = Heard(**columns)

    def snapshot(self) -> Snapshot:
        """What is known now."""
        sources = ("a", "b") if self.two_sources else ("a",)
        power = tuple(Signal(self.price, self.price_s, self.price_s, source) for source in sources)
        coin = tuple(Signal(40.0, self.at_s, self.at_s, source) for source in ("c", "d"))
        market = Market({Quantity.POWER_USD_MWH: power, Quantity.HASHPRICE_USD_PHS_DAY: coin})
        return Snapshot(self.at_s, self.heard, market, (), tuple(self.orders), Outcomes.of(self.outcomes))

    def step(self) -> None:
        """Time passes, machines answer, the tick decides, the laws are checked, the commands go out."""
        self.happen(self.at_s)
        self.look()
        snapshot, before = self.snapshot(), self.view
        self.view, decision = self.judgment.tick(before, snapshot)
        self.check(before, snapshot, decision)
        again, repeated = self.judgment.tick(self.view, snapshot)
        assert len(repeated.commands) == 0, f"twice: {list(repeated.commands)}"
        assert (again.wanted == self.view.wanted).all()
        self.outcomes = []
        for command in decision.commands:
            self._carry_out(command.machine, command.mode)
        self.at_s += TICK_S

    def _carry_out(self, row: int, mode: int) -> None:
        """What becomes of a command: done late, refused, ignored, lost, or lost and done all the same."""
        unit, at_s = self.units[row], self.at_s
        delay_s = self.dice.uniform(0.1, CONFIRM_S - 16)
        fate = (
            self.dice.choice(("done", "done", "done", "refused", "ignored", "lost", "lost but done"))
            if self.world.lost
            else "done"
        )
        unit.sent_s[mode] = at_s
        if fate in ("done", "lost but done"):
            unit.later = [entry for entry in unit.later if entry[1] != "take" or entry[0] < at_s]
            unit.later.append((at_s + delay_s, "take", mode))
        if fate == "refused":
            self.outcomes.append(Outcome(row, mode, OutcomeKind.REFUSED, at_s + 1))
        if fate in ("lost", "lost but done"):
            self.outcomes.append(Outcome(row, mode, OutcomeKind.LOST, at_s + 3))

    # -------------------------------------------------------------------------------------------------------- the laws

    def check(self, before: View, snapshot: Snapshot, decision: Decision) -> None:
        """Every law that one tick has to keep."""
        view, commands, at_s = self.view, decision.commands, self.at_s
        choices = decision.choices
        rows = np.arange(len(self.units))
        assert choices.target is not None
        assert choices.allowed.any(axis=1).all(), "a row was emptied"
        assert (choices.allowed <= self.roster.modes.exists).all(), "a point came from nowhere"
        assert choices.allowed[rows, choices.target].all(), "a target is not allowed"
        assert len(set(commands.machine.tolist())) == len(commands), "two commands to one machine"
        plate = self.roster.modes.power_w
        for c in range(len(commands)):
            row, mode, why = int(commands.machine[c]), int(commands.mode[c]), commands.whys[commands.why[c]]
            assert mode != view.mode[row], "a machine was told to be where it is"
            delta_w = plate[row, mode] * max(view.power_scale[row], 1.0) - before_worst(view, before, row)
            if commands.urgent[c]:
                assert delta_w < 0 or mode == SLEEP, "an urgent command added power"
                continue
            self._check_routine(before, snapshot, row, mode, why)
            over = self._was_over(row, view)
            if not (over and delta_w < 0) and (delta_w > 0 or mode < view.mode[row]):
                (self.ups if delta_w > 0 else self.downs).append((at_s, abs(delta_w)))
                if why == "money":
                    self.money.append((at_s, abs(delta_w) if not self._corroborated(snapshot) else 0.0))
            if view.mode[row] == SLEEP and mode != SLEEP:
                self.starts.append((at_s, int(self.judgment.feeder[row])))
        self._check_pace()
        self._check_urgent(snapshot, decision)

    def _corroborated(self, snapshot: Snapshot) -> bool:
        return len(snapshot.market.signals[Quantity.POWER_USD_MWH]) > 1

    def _was_over(self, row: int, view: View) -> bool:
        """Is some place above this machine over its cap, as the caps count?"""
        caps = np.array(self.roster.tree.cap_w)
        for order in self.judgment.in_force(self.snapshot()):
            if order.kind is OrderKind.CAP and order.cap_w is not None and order.scope not in self.roster.index:
                node = self.roster.tree.row["" if order.scope == "site" else order.scope]
                caps[node] = min(caps[node], order.cap_w)
        over = self.roster.tree.totals(self.roster.leaf, view.worst_w) > caps
        return bool((over & self.roster.tree.member[self.roster.leaf[row]]).any())

    def _check_routine(self, before: View, snapshot: Snapshot, row: int, mode: int, why: str) -> None:
        """What a command without urgency has to wait for."""
        view, at_s = self.view, self.at_s
        heard = snapshot.heard
        assert not np.isnan(heard.asked_s).any(), "commanded before the first full look"
        assert before.wanted[row] == UNKNOWN or self._resolved(before, snapshot, row), "two commands under way"
        assert at_s - view.heard_s[row] <= SILENT_S, "a silent machine was commanded"
        assert at_s >= view.retry_s[row], "a machine in back-off was commanded"
        if why == "money":
            stood_s = at_s - self.shown_s[row]
            least = PACE.min_down_s if self.shown[row] == SLEEP else PACE.min_up_s if mode == SLEEP else PACE.min_step_s
            assert stood_s >= least, f"m{row} stood {stood_s} s, expected {least}"
            assert at_s - self.price_s <= 100, "money moved a machine while the price was not known"

    def _resolved(self, before: View, snapshot: Snapshot, row: int) -> bool:
        """The command that was under way is done, was answered badly, or has had its time."""
        told = snapshot.outcomes
        answered = bool(((told.machine == row) & (told.mode == before.wanted[row])).any())
        late = self.at_s > before.sent_s[row] + CONFIRM_S + SLACK_S
        return bool(self.view.mode[row] == before.wanted[row]) or answered or late

    def _check_pace(self) -> None:
        """Ramps, brake and stagger over every window."""
        at_s = self.at_s
        up_w = sum(w for when, w in self.ups if at_s - when < 60)
        down_w = sum(w for when, w in self.downs if at_s - when < 60)
        assert up_w <= RAMP_UP_KW * 1e3 + 1, f"{up_w} W up in a minute"
        assert down_w <= RAMP_DOWN_KW * 1e3 + 1, f"{down_w} W down in a minute"
        money_w = sum(w for when, w in self.money if at_s - when < PACE.brake_s)
        assert money_w <= BRAKE_MW * 1e6 + 1, f"{money_w} W moved on one signal"
        for feeder in set(self.judgment.feeder.tolist()):
            started = sum(1 for when, f in self.starts if f == feeder and at_s - when < PACE.starts_window_s)
            assert started <= PACE.starts_per_feeder, f"{started} starts on feeder {feeder}"

    def _check_urgent(self, snapshot: Snapshot, decision: Decision) -> None:
        """A hot machine, and one under an emergency's curtailment, is told to sleep at once, whatever else goes on."""
        hot = snapshot.heard.chip_c >= 95
        for order in self.judgment.in_force(snapshot):
            if order.kind is OrderKind.CURTAIL and order.rank is Rank.EMERGENCY:
                hot = hot | self.roster.within(order.scope)
        told = self.view.wanted == SLEEP
        late = hot & (self.view.mode != SLEEP) & ~told
        assert not late.any(), f"not told to sleep: {np.flatnonzero(late)}"


def before_worst(view: View, before: View, row: int) -> float:
    """What the tick counted a machine at: as estimated at this tick, before its own commands."""
    return float(view.worst_w[row])


worlds = st.builds(
    World,
    seed=st.integers(0, 2**32 - 1),
    **{name: st.booleans() for name in ("hands", "lost", "orders", "capped", "heat", "silence", "gaps", "patient")},
)


@settings(max_examples=50)
@given(worlds)
def test_laws_hold_in_every_reachable_state(world: World) -> None:
    """Caps, ramps, stagger, dwell, brake, back-off, first look, urgency and idempotence, through any course of events."""
    walk = Walk(world)
    for _ in range(50):
        walk.step()


@settings(max_examples=20)
@given(worlds)
def test_a_quiet_site_comes_to_rest(world: World) -> None:
    """Once prices stand still and machines obey, each finds its place within three commands and stays: no flapping."""
    walk = Walk(replace(world, hands=False, silence=False, heat=False, orders=False))
    for _ in range(25):
        walk.step()
    walk.world, walk.calm = replace(walk.world, gaps=False, lost=False), True
    commands = np.zeros(len(walk.units), np.int64)
    for _ in range(90):
        walk.step()
        commands += walk.view.sent_s == walk.at_s - TICK_S
    assert (commands <= 3).all(), commands
    assert (walk.totals() <= walk.roster.tree.cap_w + 0.1).all()
