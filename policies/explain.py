"""Why one machine is where it is, what else it could do, and what would change that.

Everything is read from one Record with the settings it was decided with: nothing is decided anew but for one question,
at which price of power this machine's decision would flip if that price lasted, which asks the switching rule itself. The
answer is a frozen value; the command line renders it as a table or as JSON.
"""

from __future__ import annotations

import numpy as np

from fleet.columns import OFF_LADDER, UNKNOWN, Floats
from fleet.machine import SLEEP, Machine
from fleet.order import OrderKind
from fleet.units import HOURS_PER_DAY, THS_PER_PHS, efficiency_j_th
from policies.detection import detection_of
from policies.economics import at_the_meter, cost_usd_h, revenue_usd_h, revenue_usd_mwh
from policies.explanation import Change, Explanation, Hold, Point, Shadow
from policies.orders import held_by_hand, knows
from policies.plan import WAITS
from policies.proof import known, proof
from policies.record import Record
from policies.safety import Faulted
from policies.site_sums import STATES, machine_columns, quarantined
from policies.switching import Hysteresis, Regret, Stakes, start_usd, with_steps
from policies.tick import Judgment

_PRICE_LEAST, _PRICE_MOST = -10_000.0, 20_000.0
_HALVINGS = 44
_LASTING_H = 1e6


def explain(judgment: Judgment, record: Record, machine: str, audit_shares_per_min: float | None = None) -> Explanation:
    """Everything about one machine at one tick; `audit_shares_per_min` is what the site's tap asks for in one.

    Raises:
        KeyError: no machine of that id.
    """
    row = judgment.roster.index[machine]
    return _Telling(judgment, record, row).explanation(audit_shares_per_min)


class _Telling:
    """One machine's row of a record, and what is told of it."""

    def __init__(self, judgment: Judgment, record: Record, row: int) -> None:
        self.judgment, self.record, self.row = judgment, record, row
        self.machine: Machine = judgment.roster.machines[row]
        self.view, self.decision = record.view, record.decision
        self.choices, self.prices = record.decision.choices, record.decision.prices
        self.at_s = record.snapshot.at_s
        self.mode = int(self.view.mode[row])
        target = self.view.standing if self.choices.target is None else self.choices.target
        self.target = int(target[row])
        scale = slice(0, len(self.machine.modes))
        self.power_w: Floats = judgment.roster.modes.power_w[row, scale] * self.view.power_scale[row]
        self.rate_ths: Floats = judgment.roster.modes.hashrate_ths[row, scale] * self.view.valued_scale[row]

    def explanation(self, audit_shares_per_min: float | None) -> Explanation:
        """The whole answer."""
        row, view, prices = self.row, self.view, self.prices
        now = machine_columns(self.judgment, self.record)
        overhead = self.judgment.economics.overhead
        why = UNKNOWN if self.choices.why is None else int(self.choices.why[row])
        asleep_why = int(view.asleep_why[row])
        commands = self.decision.commands
        mine = np.flatnonzero(commands.machine == row)
        shadows = self._shadows()
        holds = self._holds()
        state = STATES[now.state[row]]
        return Explanation(
            machine=self.machine.id,
            model=self.machine.model,
            place="/".join(self.machine.place),
            at_s=self.at_s,
            live=bool(self.judgment.is_live[row]),
            doing=self._doing(state, holds),
            state=state,
            heard_s=known(view.heard_s[row]),
            mode=self._name(self.mode),
            power_w=known(now.power_w[row]),
            power_measured=bool(now.measured[row]),
            hashrate_ths=known(now.hashrate_ths[row]),
            efficiency_j_th=known(now.efficiency_j_th[row]),
            earns_usd_h=known(now.earns_usd_h[row]),
            chip_c=known(self.record.snapshot.heard.chip_c[row]),
            decided=self._name(self.target) or "as it is",
            why=self.choices.reasons[why] if why >= 0 else "",
            commanded=self._name(int(commands.mode[mine[0]])) if len(mine) else None,
            asked=self._name(int(view.wanted[row])),
            asleep_why=self.choices.reasons[asleep_why] if asleep_why >= 0 else None,
            failures=int(view.failures[row]),
            worst_w=float(view.worst_w[row]),
            hashprice_usd_phs_day=prices.hashprice_usd_phs_day,
            power_usd_mwh=None if prices.power_usd_mwh is None else at_the_meter(prices.power_usd_mwh, overhead),
            missing=prices.missing,
            limit_j_th=self._limit_j_th(),
            start_usd=None if prices.power_usd_mwh is None else self._start_usd(prices.power_usd_mwh),
            points=tuple(self._point(column) for column in range(len(self.machine.modes))),
            shadows=shadows,
            shadow_usd_mwh=sum(shadow.usd_mwh for shadow in shadows),
            proof=proof(self.judgment, self.record, row),
            detection=detection_of(
                self.judgment.beliefs.share_check, self.record.snapshot, row, len(view.evidences), audit_shares_per_min
            ),
            holds=holds,
            changes=self._changes(holds),
        )

    def _name(self, column: int) -> str | None:
        """A mode's name."""
        return self.machine.modes[column].name if column >= 0 else None

    def _doing(self, state: str, holds: tuple[Hold, ...]) -> str:
        """One sentence: what it does, what was decided, what holds it."""
        if self.mode >= 0:
            does = f"{state} at {self._name(self.mode)}"
        else:
            does = f"{state} off its ladder" if self.mode == OFF_LADDER else f"{state}, operating point not known"
        if state == "sleeping" or self.mode == SLEEP:
            does = "asleep" if state in {"sleeping", "unknown"} else f"{state}, told to sleep"
        if self.target == self.mode:
            decided = "stays"
        elif self.judgment.is_live[self.row]:
            decided = f"is to go to {self._name(self.target)}"
        else:
            decided = f"would go to {self._name(self.target)} (dry run)"
        told = "; ".join(hold.what for hold in holds)
        return f"{does}, {decided}" + (f": {told}" if told else "")

    def _point(self, column: int) -> Point:
        """One operating point, valued as it would be now."""
        power, rate = float(self.power_w[column]), float(self.rate_ths[column])
        hashprice, price = self.prices.hashprice_usd_phs_day, self.prices.power_usd_mwh
        overhead = self.judgment.economics.overhead
        step: float | None = None
        if column > SLEEP:
            more_ths = rate - float(self.rate_ths[column - 1])
            step = efficiency_j_th(power - float(self.power_w[column - 1]), more_ths)
        average = efficiency_j_th(power, rate)
        revenue = None if hashprice is None else revenue_usd_h(rate, hashprice)
        cost = None if price is None else cost_usd_h(power, price)
        removed = int(self.choices.removed_by[self.row, column])

        def even(j_th: float | None) -> float | None:
            if j_th is None or hashprice is None or j_th <= 0:
                return None
            return at_the_meter(revenue_usd_mwh(j_th, hashprice), overhead)

        return Point(
            mode=self.machine.modes[column].name,
            power_w=power,
            hashrate_ths=rate,
            efficiency_j_th=average,
            marginal_j_th=step,
            revenue_usd_h=revenue,
            cost_usd_h=cost,
            earns_usd_h=None if revenue is None or cost is None else revenue - cost,
            break_even_usd_mwh=even(average),
            step_break_even_usd_mwh=even(step),
            allowed=bool(self.choices.allowed[self.row, column]),
            removed_by=self.choices.reasons[removed] if removed >= 0 else None,
            overruled=self._overruled(),
            present=column == self.mode,
            chosen=column == self.target,
        )

    def _overruled(self) -> tuple[str, ...]:
        """Constraints whose wish would have left this machine nothing."""
        return tuple(self.choices.reasons[reason] for reason, rows in self.choices.overruled if self.row in rows)

    def _limit_j_th(self) -> float | None:
        """Marginal J/TH up to which a step pays, with the caps above as they bind now."""
        hashprice, price = self.prices.hashprice_usd_phs_day, self.prices.power_usd_mwh
        if hashprice is None or price is None:
            return None
        worth = price + sum(shadow.usd_mwh for shadow in self._shadows())
        return hashprice * THS_PER_PHS / (HOURS_PER_DAY * worth) if worth > 0 else None

    def _start_usd(self, power_usd_mwh: float) -> float:
        """One start of this machine."""
        usual_w = self.machine.modes[self.machine.mode_named(self.machine.usual)].power_w
        start_s, wear = np.array([self.machine.start_s]), np.array([self.machine.wear_usd])
        return float(start_usd(start_s, wear, np.array([usual_w]), power_usd_mwh)[0])

    def _shadows(self) -> tuple[Shadow, ...]:
        """The places above whose caps bind, the site first."""
        if self.choices.shadow_usd_mwh is None:
            return ()
        tree, leaf = self.judgment.roster.tree, int(self.judgment.roster.leaf[self.row])
        above = np.flatnonzero(tree.member[leaf] & (self.choices.shadow_usd_mwh > 0))
        return tuple(Shadow(place=tree.names[m], usd_mwh=float(self.choices.shadow_usd_mwh[m])) for m in above)

    def _holds(self) -> tuple[Hold, ...]:
        """What holds it or keeps its change waiting, the strongest first."""
        row, view, beliefs = self.row, self.view, self.judgment.beliefs
        holds = [*self._fault(), *self._orders()]
        if held_by_hand(view, beliefs.hand_s)[row]:
            until = float(view.hand_s[row]) + beliefs.hand_s
            holds.append(Hold(kind="hand", what="changed by somebody else, and left so", until_s=until))
        if quarantined(self.judgment, self.record)[row]:
            what = f"quarantined after {view.failures[row]} failures in a row"
            holds.append(Hold(kind="quarantine", what=what, until_s=float(view.retry_s[row])))
        elif view.at_s < view.retry_s[row]:
            what = f"backs off after {view.failures[row]} failures in a row"
            holds.append(Hold(kind="back-off", what=what, until_s=float(view.retry_s[row])))
        if view.wanted[row] != UNKNOWN:
            until = float(view.sent_s[row]) + self.machine.confirm_s + beliefs.confirm_slack_s
            what = f"asked for {self._name(int(view.wanted[row]))}, not confirmed yet"
            holds.append(Hold(kind="pending", what=what, until_s=until))
        if view.doubt[row] != UNKNOWN:
            what = f"may still carry out the lost command for {self._name(int(view.doubt[row]))}"
            holds.append(Hold(kind="doubt", what=what, until_s=None))
        if self.prices.missing:
            answer = self.judgment.economics.when_lost
            what = f"not known: {', '.join(self.prices.missing)}; declared answer: {answer}"
            holds.append(Hold(kind="market", what=what, until_s=None))
        holds.extend([*self._waits(), *self._regret()])
        if not self.judgment.is_live[row]:
            holds.append(Hold(kind="not live", what="not under live control: nothing is sent", until_s=None))
        return tuple(holds)

    def _fault(self) -> list[Hold]:
        """A fault's rest."""
        said = float(self.view.fault_s[self.row])
        rests = [c.rest_s for c in self.judgment.constraints if isinstance(c, Faulted)]
        return [
            Hold(kind="fault", what="rests after a fault", until_s=said + rest)
            for rest in rests
            if self.at_s - said < rest
        ]

    def _orders(self) -> list[Hold]:
        """Orders in force on it or on a place above it."""
        roster = self.judgment.roster
        holds = []
        for order in self.judgment.in_force(self.record.snapshot):
            if not knows(roster, order.scope) or not roster.within(order.scope)[self.row]:
                continue
            cap = f" at {order.cap_w / 1e3:,.1f} kW" if order.cap_w is not None and order.kind is OrderKind.CAP else ""
            what = f"{order.rank.value} order {order.id}: {order.kind.value} {order.scope}{cap}, by {order.who}: {order.why}"
            holds.append(Hold(kind="order", what=what, until_s=order.until_s))
        return holds

    def _waits(self) -> list[Hold]:
        """What the plan held this machine's change back for."""
        waits = self.decision.waits
        if waits is None or waits[self.row] < 0:
            return []
        why = WAITS[waits[self.row]]
        until: float | None = None
        if why == "dwell":
            until = float(self.view.changed_s[self.row]) + self.judgment.pace.dwell_s(
                asleep=int(self.view.standing[self.row]) == SLEEP, to_sleep=self.target == SLEEP
            )
        elif why == "back-off":
            until = float(self.view.retry_s[self.row])
        return [Hold(kind="wait", what=f"waits for: {why}", until_s=until)]

    def _regret(self) -> list[Hold]:
        """Staying although the other side earns more, and when the regret of it is spent."""
        rule, stakes = self.judgment.switching, self._stakes(None)
        if stakes is None or not isinstance(rule, Hysteresis | Regret):
            return []
        gain = float(stakes.gain_usd_h()[0][0])
        loss = -gain if stakes.awake[0] else gain
        if loss <= 0 or (self.target == SLEEP) == bool(stakes.awake[0]) or not stakes.allowed[0, 1:].any():
            return []
        stays = "awake" if stakes.awake[0] else "asleep"
        what = f"stays {stays} though that loses {loss:.4f} USD/h: a start costs more than has been lost so far"
        until: float | None = None
        if isinstance(rule, Regret):
            left = float(rule.threshold_usd(stakes)[0]) - float(self.view.regret_usd[self.row])
            until = self.at_s + max(left, 0.0) / loss * 3_600.0
        else:
            what = f"stays {stays}: within the band of {rule.band:.0%} around break-even"
        return [Hold(kind="regret", what=what, until_s=until)]

    def _stakes(self, power_usd_mwh: float | None) -> Stakes | None:
        """This machine's stakes at a power price at the machine (None: at the present one)."""
        hashprice = self.prices.hashprice_usd_phs_day
        price = self.prices.power_usd_mwh if power_usd_mwh is None else power_usd_mwh
        if hashprice is None or price is None:
            return None
        revenue = revenue_usd_h(self.rate_ths, hashprice)[None, :]
        return Stakes(
            revenue_usd_h=revenue,
            value_usd_h=revenue - cost_usd_h(self.power_w, price)[None, :],
            allowed=self.choices.allowed[self.row : self.row + 1, : len(self.power_w)],
            awake=np.array([self.view.standing[self.row] != SLEEP]),
            usual=self.judgment.roster.usual[self.row : self.row + 1],
            start_usd=np.array([self._start_usd(price)]),
            regret_usd=self.view.regret_usd[self.row : self.row + 1],
            dt_h=0.0,
        )

    def _decides(self, power_usd_mwh: float) -> int:
        """The operating point that this machine would come to, if that price at the machine lasted."""
        stakes = self._stakes(power_usd_mwh)
        assert stakes is not None
        worth, _ = self.judgment.switching.weigh(stakes.lasting(_LASTING_H))
        worth = with_steps(worth, self.view.standing[self.row : self.row + 1], self._step_usd_h(stakes))
        return int(np.where(stakes.allowed, worth, -np.inf)[0].argmax())

    def _step_usd_h(self, stakes: Stakes) -> Floats:
        """What a step to another waking point has to earn more per hour, while no cap binds."""
        earns_back_s = self.judgment.pace.step_earns_back_s
        present = stakes.revenue_usd_h[:, max(int(self.view.standing[self.row]), SLEEP)]
        return present * (self.machine.start_s / earns_back_s if earns_back_s > 0 else 0.0)

    def _flip(self, price: float, end: float) -> tuple[float, int] | None:
        """The price nearest to `price`, towards `end`, at which the decision leaves the present target; and where it goes."""
        if (self._decides(end) > self.target) != (end < price) or self._decides(end) == self.target:
            return None
        stays, goes = price, end
        for _ in range(_HALVINGS):
            middle = (stays + goes) / 2.0
            left = self._decides(middle) > self.target if end < price else self._decides(middle) < self.target
            stays, goes = (stays, middle) if left else (middle, goes)
        return goes, self._decides(goes)

    def _flips(self) -> list[Change]:
        """The prices at which the decision would flip, if they lasted. A cap that binds lets no lower price raise it."""
        price = self.prices.power_usd_mwh
        if price is None or self.prices.hashprice_usd_phs_day is None or self.target < 0:
            return []
        overhead = self.judgment.economics.overhead
        flips = []
        for end, word in ((_PRICE_MOST, "rises to"), (_PRICE_LEAST, "falls to")):
            if end < price and self._shadows():
                continue
            flip = self._flip(price, end)
            if flip is not None:
                usd_mwh = at_the_meter(flip[0], overhead)
                what = f"power price at the meter {word} {usd_mwh:.2f} USD/MWh and stays"
                flips.append(Change(what=what, power_usd_mwh=usd_mwh, to=self._name(flip[1])))
        return flips

    def _changes(self, holds: tuple[Hold, ...]) -> tuple[Change, ...]:
        """What comes next, by time; then the prices that would flip the decision."""
        timed = [Change(what=f"ends: {h.what}", at_s=h.until_s) for h in holds if h.until_s is not None]
        edge_s = self.judgment.tariff.next_change_s(self.at_s)
        if edge_s is not None:
            timed.append(Change(what="the tariff changes", at_s=edge_s))
        timed.sort(key=lambda change: change.at_s or 0.0)
        return (*timed, *self._flips())
