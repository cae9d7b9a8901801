"""One policy through a stretch of history: the site's own tick, the pretend machines' own physics, and a ledger.

At the start of each interval the judgment hears what could be known then, and its commands take effect at once; physics
runs to the interval's end; what was drawn and made is settled at the interval's own prices. In an interval that is not usable
time passes, nothing is decided and nothing counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from fleet.columns import Bools, Codes, Floats
from fleet.machine import SLEEP, Roster
from fleet.market import Market, Quantity, Signal
from fleet.snapshot import Heard, Snapshot
from fleet.view import View
from policies.switching import Switching
from policies.tick import Judgment
from simulators.backtesting.clairvoyant import Prospect
from simulators.backtesting.history import History, Information
from simulators.backtesting.ledger import JOULES_PER_MWH, Ledger, revenue_usd
from simulators.behaviour import Behaviour
from simulators.physics import Physics, Spread

TICKS_PER_STEP = 256
"""Progress is told every so many intervals."""


@dataclass(frozen=True, slots=True)
class World:
    """The pretend machines: how much they differ, and the seed that says how."""

    seed: int = 1
    spread_power: float = 0.02
    spread_hashrate: float = 0.015

    def physics(self, roster: Roster, at_s: float) -> Physics:
        """Machines at work in their usual modes; they differ, do not age, obey at once, and restart as the roster says."""
        spread = replace(Spread.none(), power=self.spread_power, hashrate=self.spread_hashrate)
        behaviour = Behaviour.ideal(roster)
        return Physics(roster, self.seed, at_s=at_s, behaviour=behaviour, spread=spread, counting=False)


def drive(
    judgment: Judgment,
    history: History,
    information: Information,
    world: World,
    passed: Callable[[int], None] = lambda _: None,
) -> Ledger:
    """What the judgment earns; all machines begin at work. `passed` is told how many intervals are done."""
    roster = judgment.roster
    physics = world.physics(roster, float(history.at_s[0]))
    price, hashprice = settled_prices(judgment, history)
    power_usd, revenue = np.zeros(len(roster)), np.zeros(len(roster))
    joules, terahashes, awake_s = np.zeros(len(roster)), np.zeros(len(roster)), np.zeros(len(roster))
    view, unsaid = View.fresh(roster), Heard.nothing(len(roster))
    for t, usable in enumerate(history.usable.tolist()):
        if t % TICKS_PER_STEP == 0:
            passed(t)
        at_s = float(history.at_s[t])
        if not usable:
            physics.step(at_s + history.step_s)
            continue
        snapshot = Snapshot(at_s, _heard(physics, unsaid), history.market(t, information))
        view, decision = judgment.tick(view, snapshot)
        commands = decision.commands
        if len(commands):
            physics.command(commands.machine, commands.mode, at_s)
        drawn, made = physics.energy_j.copy(), physics.hashes_th.copy()
        physics.step(at_s + history.step_s)
        drawn, made = physics.energy_j - drawn, physics.hashes_th - made
        joules += drawn
        terahashes += made
        power_usd += drawn * (price[t] / JOULES_PER_MWH)
        revenue += revenue_usd(made, float(hashprice[t]))
        awake_s += np.where(physics.mode != SLEEP, history.step_s, 0.0)
    passed(len(history))
    return Ledger(
        elapsed_s=float(history.usable.sum()) * history.step_s,
        energy_mwh=joules / JOULES_PER_MWH,
        hashes_th=terahashes,
        revenue_usd=revenue,
        energy_usd=power_usd,
        wear_usd=physics.starts * roster.wear_usd,
        starts=physics.starts.astype(np.float64),
        awake_s=awake_s,
    )


def _heard(physics: Physics, unsaid: Heard) -> Heard:
    """What every machine says of itself now: its true power and hash rate, measured, and nothing else."""
    n = len(physics)
    now = np.full(n, physics.at_s)
    mode: Codes = physics.mode.astype(np.int16)
    return replace(
        unsaid,
        at_s=now,
        asked_s=now,
        state=physics.state,
        mode=mode,
        hashrate_ths=physics.hashrate_ths.copy(),
        power_w=physics.power_w.copy(),
        measured=np.ones(n, np.bool_),
    )


def settled_prices(judgment: Judgment, history: History) -> tuple[Floats, Floats]:
    """(USD/MWh at the machine, USD per PH/s and day) by interval, as they came true; NaN where the files have nothing."""
    economics = judgment.economics

    def price(at_s: float, index: float) -> float:
        signal = Signal(index, at_s, at_s, "history")
        market = Market({} if np.isnan(index) else {Quantity.POWER_USD_MWH: (signal,)})
        paid = judgment.tariff.price_usd_mwh(at_s, market, economics.power_max_age_s)
        return np.nan if paid is None else paid * (1.0 + economics.overhead)

    rows = zip(history.at_s.tolist(), history.power_usd_mwh.tolist(), strict=True)
    return np.array([price(at_s, index) for at_s, index in rows]), history.hashprice_usd_phs_day(economics)


def prospect_of(judgment: Judgment, history: History, world: World) -> Prospect:
    """What the clairvoyant knows: the prices as they came true, and what each machine really is."""
    roster = judgment.roster
    physics = world.physics(roster, float(history.at_s[0]))
    price, hashprice = settled_prices(judgment, history)
    return Prospect(
        step_s=history.step_s,
        power_usd_mwh=price,
        hashprice_usd_phs_day=hashprice,
        usable=history.usable,
        power_w=physics.true_power_w,
        hashrate_ths=physics.true_hashrate_ths,
        exists=roster.modes.exists,
        start_s=roster.start_s,
        wear_usd=roster.wear_usd,
    )


def with_switching(judgment: Judgment, switching: Switching) -> Judgment:
    """The same site under another switching rule."""
    return replace(judgment, switching=switching)


def everything_live(roster: Roster) -> Bools:
    """live[n]: in a backtest the whole site is commanded."""
    return np.ones(len(roster), np.bool_)
