"""tick(): estimate -> decide -> plan. The whole brain, and all of it pure.

`Judgment` is a site's judgment with its settings; `Judgment.tick(view, snapshot)` is what the daemon, the dry run, the
backtest, `replay` and the tests all call. Constraints narrow in the fixed order of their kinds, dispatch takes the best
that is left under the caps, and the plan says what is sent now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from fleet.columns import UNKNOWN, Bools, Codes, Floats, Ints, frozen
from fleet.command import Commands
from fleet.estimate import Beliefs, estimate, silent
from fleet.machine import SLEEP, Roster
from fleet.market import Quantity
from fleet.order import Order, Rank
from fleet.settings import Fraction
from fleet.snapshot import Snapshot
from fleet.units import SECONDS_PER_HOUR
from fleet.view import Tally, View
from policies.choices import Choices
from policies.dispatch import QUICK, USUAL, Effort, dispatch
from policies.economics import Economics, Prices, cost_usd_h, market_hashprice, revenue_usd_h
from policies.lost import MarketLost
from policies.narrowing import Narrowed, give_way, narrow, only_where_needed
from policies.orders import Ordered, SomebodysHand, emergency_nodes, in_force, node_caps, released_s
from policies.plan import Footing, Pace, Planned, plan
from policies.record import Decision
from policies.safety import Faulted, LongSilent, TooHot
from policies.scene import Constraint, Kind, Scene
from policies.switching import Regret, Stakes, Switching, start_usd, with_steps
from policies.tariff import FixedTariff, Tariff

CAP_REASON, MONEY_REASON = "power cap", "money"
"""The reasons that are no constraint's: a cap of the site's tree, and what earns most."""
_MANY_TICKS_H = 1.0
"""A longer time between two ticks counts as so much."""
_SMALL_SITE = 1_000
"""Up to so many machines the dispatch may look longer; in larger sites one machine's step weighs less."""
_SWAP = 0.01
"""Below a cap that binds, two machines change places when that earns so much of their revenue."""


@dataclass(frozen=True, eq=False)
class Judgment:
    """How one site decides. `live[n]`: rows under live control (none: a dry run). `constraints`: the site file's own."""

    roster: Roster
    tariff: Tariff = field(default_factory=lambda: FixedTariff(usd_mwh=0.0))
    economics: Economics = Economics()
    switching: Switching = Regret()
    pace: Pace = Pace()
    beliefs: Beliefs = Beliefs()
    constraints: tuple[Constraint, ...] = (TooHot(), Faulted(), LongSilent())
    live: Bools | None = None
    corroboration: Fraction = 0.25
    """How far two sources of a price may differ and still corroborate each other."""
    effort: Effort | None = None
    """How hard the dispatch looks for the last thousandth of a percent under caps (None: by the number of machines)."""

    @cached_property
    def ordered(self) -> tuple[Constraint, ...]:
        """Every constraint in its place: by kind, then in the site file's order."""
        always: Sequence[Constraint] = (
            Ordered(Rank.EMERGENCY),
            Ordered(Rank.OPERATOR),
            SomebodysHand(),
            Ordered(Rank.GRID),
            MarketLost(self.economics.when_lost),
        )
        return tuple(sorted((*self.constraints, *always), key=lambda constraint: constraint.rank))

    @cached_property
    def reasons(self) -> tuple[str, ...]:
        """Names of the reasons; codes index them, and stay the same while the site file does."""
        return (*(constraint.label for constraint in self.ordered), CAP_REASON, MONEY_REASON)

    @cached_property
    def is_live(self) -> Bools:
        """live[n], read-only."""
        return frozen(np.zeros(len(self.roster), np.bool_) if self.live is None else np.array(self.live))

    @cached_property
    def feeder(self) -> Ints:
        """feeder[n]: the place right below the site on which each machine hangs (the site itself where there is none)."""
        tree = self.roster.tree
        below_site = np.arange(len(tree.names))
        for m in range(1, len(tree.names)):
            if tree.parent[m] > 0:
                below_site[m] = below_site[tree.parent[m]]
        return frozen(below_site[self.roster.leaf])

    @cached_property
    def _for_money(self) -> Bools:
        """for_money[r]: a reason of the kind money (one more row at the end, for "none": True)."""
        money = [constraint.rank is Kind.MONEY for constraint in self.ordered]
        return frozen(np.array([*money, True, True, True]))

    @cached_property
    def _usual_w(self) -> Floats:
        """Nameplate power of each machine's usual mode."""
        return frozen(self.roster.modes.power_w[np.arange(len(self.roster)), self.roster.usual])

    def prices(self, snapshot: Snapshot) -> Prices:
        """What this tick values with; what is not known, is said."""
        at_s, market, economics = snapshot.at_s, snapshot.market, self.economics
        hashprice, missing = market_hashprice(market, at_s, economics)
        power = self.tariff.price_usd_mwh(at_s, market, economics.power_max_age_s)
        if power is None:
            missing = (*missing, Quantity.POWER_USD_MWH.value)
        return Prices(
            None if hashprice is None else hashprice * (1.0 - economics.pool_fee),
            None if power is None else power * (1.0 + economics.overhead),
            missing,
        )

    def in_force(self, snapshot: Snapshot) -> tuple[Order, ...]:
        """The orders that bind in this snapshot."""
        return in_force(snapshot.orders, snapshot.at_s, self.roster)

    def tick(self, view: View, snapshot: Snapshot) -> tuple[View, Decision]:
        """The next view, and the decision with its choices and commands. Reads nothing but its arguments.

        The same view and snapshot give the same answer; the view it returns, with the same snapshot, commands nothing new.
        """
        last_s = view.at_s
        view = estimate(view, snapshot, self.roster, self.beliefs)
        view = self._stand(self._release(view, snapshot))
        scene = Scene(self.roster, view, snapshot, self.beliefs, in_force(snapshot.orders, snapshot.at_s, self.roster))
        prices = self.prices(snapshot)
        narrowed = narrow(scene, self.ordered, self.reasons, known=prices.known)
        choices, regret, footing = self._dispatch(scene, narrowed, prices, last_s)
        planned = Planned(Commands.none(), None) if narrowed.unsafe else plan(scene, choices, footing, self.pace)
        view = self._after(scene, choices, planned, regret, last_s)
        return view, Decision(choices, prices, planned.commands, planned.held_back, narrowed.faults, planned.waits)

    def _release(self, view: View, snapshot: Snapshot) -> View:
        """A release ends holds by somebody's hand, back-offs and quarantines that began before it."""
        released = released_s(snapshot.orders, snapshot.at_s, self.roster)
        if released is None:
            return view
        freed = (released >= view.sent_s) & (view.failures > 0)
        return replace(
            view,
            hand_s=np.where(released >= view.hand_s, -np.inf, view.hand_s),
            failures=np.where(freed, 0, view.failures).astype(np.int16),
            retry_s=np.where(freed, -np.inf, view.retry_s),
        )

    def _stand(self, view: View) -> View:
        """Live rows stand where the machine is; the others where we would have put them, once they were seen at all."""
        standing = np.where(self.is_live | (view.standing == UNKNOWN), view.mode, view.standing)
        switched = (standing == SLEEP) != (view.standing == SLEEP)
        regret = np.where(switched, 0.0, view.regret_usd) if switched.any() else view.regret_usd
        return replace(view, standing=standing, regret_usd=regret)

    def _dispatch(
        self, scene: Scene, narrowed: Narrowed, prices: Prices, last_s: float
    ) -> tuple[Choices, Floats, Footing]:
        """The best that is left under the caps; also the regret carried on, and what the plan stands on."""
        view, modes, choices = scene.view, self.roster.modes, narrowed.choices
        power_w = modes.power_w * view.power_scale[:, None]
        cap_w, cap_kind = node_caps(scene.orders, self.roster)
        stuck = self._stuck(scene, choices)
        expected_w = self._expected_w(view)
        counted = modes.power_w * np.maximum(view.power_scale, 1.0)[:, None]
        if stuck.any():
            counted = np.where(stuck[:, None], expected_w[:, None], counted)
        value, regret = None, view.regret_usd
        if prices.hashprice_usd_phs_day is not None and prices.power_usd_mwh is not None:
            revenue = revenue_usd_h(modes.hashrate_ths * view.valued_scale[:, None], prices.hashprice_usd_phs_day)
            value = revenue - cost_usd_h(power_w, prices.power_usd_mwh)
            worth, regret = self._weigh(scene, choices, prices.power_usd_mwh, revenue, value, last_s)
            worth = self._with_steps(view, choices, worth, revenue, counted, cap_w)
        else:
            worth = MarketLost(self.economics.when_lost).worth(scene)
        leaf, tree = self.roster.leaf, self.roster.tree
        effort = self.effort or (USUAL if len(self.roster) <= _SMALL_SITE else QUICK)
        sent = dispatch(worth, counted, choices.allowed, leaf, tree, cap_w=cap_w, effort=effort)
        if sent.overloaded.any():
            choices, worth = give_way(narrowed, self.roster, sent.overloaded, cap_kind, worth, counted)
            sent = dispatch(worth, counted, choices.allowed, leaf, tree, cap_w=cap_w, effort=effort)
            choices = only_where_needed(narrowed.choices, choices, sent.mode)
        choices = replace(
            choices,
            target=sent.mode.astype(np.int16),
            why=self._whys(scene, choices, worth, sent.mode, capped=bool(np.isfinite(cap_w).any())),
            value_usd_h=value,
            power_w=power_w,
            shadow_usd_mwh=sent.shadow_usd_mwh if value is not None else np.zeros(len(cap_w)),
            overloaded=sent.overloaded,
        )
        return choices, regret, self._footing(scene, choices, expected_w, cap_w)

    def _whys(self, scene: Scene, choices: Choices, worth: Floats, target: Ints, *, capped: bool) -> Codes:
        """The reason of each target: who took the present point away, else the cap, else who took the best, else money."""
        rows, standing = np.arange(len(self.roster)), scene.view.standing
        money, cap = len(self.reasons) - 1, len(self.reasons) - 2
        whys = np.full(len(rows), money, np.int16)
        if capped:
            whys[target != np.where(choices.allowed, worth, -np.inf).argmax(axis=1)] = cap
        if choices.allowed is self.roster.modes.exists:
            return whys
        wished = np.where(self.roster.modes.exists, worth, -np.inf).argmax(axis=1)
        for removed, where in (
            (choices.removed_by[rows, wished], whys == money),
            (choices.removed_by[rows, np.maximum(standing, 0)], standing >= 0),
        ):
            whys = np.where((removed != UNKNOWN) & where, removed, whys)
        return whys

    def _weigh(
        self, scene: Scene, choices: Choices, power_usd_mwh: float, revenue: Floats, value: Floats, last_s: float
    ) -> tuple[Floats, Floats]:
        """What each point is worth to the dispatch, with what a start costs."""
        view = scene.view
        dt_h = (view.at_s - last_s) / SECONDS_PER_HOUR if np.isfinite(last_s) else 0.0
        market, at_s = scene.snapshot.market, view.at_s
        known_s = self.tariff.known_until_s(at_s, market, self.economics.power_max_age_s) - at_s
        stakes = Stakes(
            revenue_usd_h=revenue,
            value_usd_h=value,
            allowed=choices.allowed,
            awake=view.standing != SLEEP,
            usual=self.roster.usual,
            start_usd=start_usd(self.roster.start_s, self.roster.wear_usd, self._usual_w, power_usd_mwh),
            regret_usd=view.regret_usd,
            dt_h=min(max(dt_h, 0.0), _MANY_TICKS_H),
            known_h=min(max(known_s, 0.0) / SECONDS_PER_HOUR, _MANY_TICKS_H),
        )
        return self.switching.weigh(stakes)

    def _with_steps(
        self, view: View, choices: Choices, worth: Floats, revenue: Floats, counted_w: Floats, cap_w: Floats
    ) -> Floats:
        """A step to another waking point restarts most firmware: it has to earn back the hashes it loses within a time.

        Below a cap that binds somebody has to step down, and what counts is who: there only a swap of equals is not worth it.
        """
        if self.pace.step_earns_back_s <= 0 or not self.roster.start_s.any():
            return worth
        rows, standing = np.arange(len(view)), view.standing
        present = revenue[rows, np.maximum(standing, 0)]
        share = self.roster.start_s / self.pace.step_earns_back_s
        sticky = with_steps(worth, standing, present * share)
        if not np.isfinite(cap_w).any():
            return sticky
        tree, leaf = self.roster.tree, self.roster.leaf
        wished = np.where(choices.allowed, sticky, -np.inf).argmax(axis=1)
        binds = tree.totals(leaf, counted_w[rows, wished]) > cap_w
        if not binds.any():
            return sticky
        below: Bools = np.logical_or.reduce(tree.member & binds, axis=1)[leaf]
        return with_steps(worth, standing, present * np.where(below, np.minimum(share, _SWAP), share))

    def _stuck(self, scene: Scene, choices: Choices) -> Bools:
        """Rows that no command can move now: each counts at what it is expected to draw, whatever is chosen for it."""
        view = scene.view
        stuck = (view.wanted != UNKNOWN) | (view.at_s < view.retry_s)
        stuck |= silent(view, self.beliefs) | (view.mode == UNKNOWN)
        if choices.pinned is not None:
            stuck |= choices.pinned
        live = self.is_live
        # In a dry run the whole site is imagined; beside live rows, those outside the live scope are what they are.
        return np.where(live, stuck & ~choices.urgent, live.any())

    def _expected_w(self, view: View) -> Floats:
        """What each machine draws once the commands under way are carried out; in a dry run, what it would draw.

        A command that fails ends that: then the machine counts at its worst again.
        """
        live = self.is_live
        column = np.where(live, view.wanted, view.standing if not live.any() else UNKNOWN)
        plate = self.roster.modes.power_w[np.arange(len(view)), np.maximum(column, 0)]
        return np.where(column >= 0, plate * np.maximum(view.power_scale, 1.0), view.worst_w)

    def _footing(self, scene: Scene, choices: Choices, expected_w: Floats, cap_w: Floats) -> Footing:
        """What the plan stands on."""
        assert choices.why is not None
        live, standing = self.is_live, scene.view.standing
        emergency = np.zeros(len(self.roster.tree.names), np.bool_)
        for node in emergency_nodes(scene.orders, self.roster):
            emergency[node] = True
        removed = choices.removed_by[np.arange(len(standing)), np.maximum(standing, 0)]
        return Footing(
            live=live,
            counts=live if live.any() else ~live,
            expected_w=expected_w,
            forced=(standing < 0) | ((removed != UNKNOWN) & ~self._for_money[removed]),
            feeder=self.feeder,
            cap_w=cap_w,
            emergency=emergency,
            corroborated=self.pace.brake_mw is None or self._corroborated(scene.snapshot),
            whys=choices.why,
            cap_reason=len(self.reasons) - 2,
            money_reason=len(self.reasons) - 1,
        )

    def _corroborated(self, snapshot: Snapshot) -> bool:
        """Do two sources agree on every price that moves money here: power, where the tariff uses a feed, and the coin's?"""
        market, at_s, economics = snapshot.market, snapshot.at_s, self.economics
        published = market.fresh(Quantity.HASHPRICE_USD_PHS_DAY, at_s, economics.coin_max_age_s) is not None
        coin = Quantity.HASHPRICE_USD_PHS_DAY if published else Quantity.COIN_USD
        ages = [(quantity, economics.power_max_age_s) for quantity in self.tariff.uses()]
        ages.append((coin, economics.coin_max_age_s))
        return all(market.corroborated(quantity, at_s, age_s, self.corroboration) for quantity, age_s in ages)

    def _after(self, scene: Scene, choices: Choices, planned: Planned, regret: Floats, last_s: float) -> View:
        """The view with what was asked, the moves still remembered, and the tally."""
        view, commands, at_s = scene.view, planned.commands, scene.view.at_s
        moves = tuple(m for m in view.moves if at_s - m.at_s < self.pace.memory_s)
        if planned.move is not None:
            moves = (*moves, planned.move)
        view = replace(view, regret_usd=regret, moves=moves, tally=self._tally(view, choices, last_s))
        if not len(commands):
            return view
        wanted, sent_s, why = np.array(view.wanted), np.array(view.sent_s), np.array(view.asleep_why)
        standing, changed_s, regret = np.array(view.standing), np.array(view.changed_s), np.array(regret)
        sent = commands.machine[commands.live]
        wanted[sent], sent_s[sent] = commands.mode[commands.live], at_s
        shadow = commands.machine[~commands.live]
        standing[shadow], changed_s[shadow], regret[shadow] = commands.mode[~commands.live], at_s, 0.0
        asleep = commands.live & (commands.mode == SLEEP)
        why[commands.machine[asleep]] = commands.why[asleep]
        return replace(
            view,
            wanted=wanted,
            sent_s=sent_s,
            asleep_why=why,
            standing=standing,
            changed_s=changed_s,
            regret_usd=regret,
        )

    def _tally(self, view: View, choices: Choices, last_s: float) -> Tally:
        """The running totals: as the machines ran, and as they stand in the decisions."""
        if choices.value_usd_h is None or not np.isfinite(last_s):
            return replace(view.tally, since_s=view.tally.since_s or view.at_s)
        hours = min(max((view.at_s - last_s) / SECONDS_PER_HOUR, 0.0), _MANY_TICKS_H)
        rows, value = np.arange(len(view)), choices.value_usd_h
        actual = value[rows, np.maximum(view.mode, 0)][view.mode >= 0].sum()
        decided = value[rows, np.maximum(view.standing, 0)][view.standing >= 0].sum()
        return replace(
            view.tally,
            actual_usd=view.tally.actual_usd + float(actual) * hours,
            decided_usd=view.tally.decided_usd + float(decided) * hours,
        )
