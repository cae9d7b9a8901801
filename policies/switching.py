"""Switching: what a start costs, and when a change is worth it.

Only the step between sleep and work costs (power without hashes while it restarts, and wear); steps of the ladder are the
plan's matter. Each rule turns the values of a tick into worths that the dispatch takes the best of, by a bonus on all waking
points alike, so caps still bind and the choice among waking points stays the margin's. `regret` is the default: stay until
staying has cost a share of what a start costs. With two states, both shares 1 and floor 0 that is the work-function rule, and
costs at most 3 times what hindsight would, but for one start (2n - 1 for n states, the best that any rule can promise: Borodin,
Linial and Saks, An optimal on-line algorithm for metrical task system, J. ACM 39(4), 1992); less pays on real prices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal, Protocol

import numpy as np
from pydantic import Field

from fleet.columns import Bools, Codes, Floats, Ints
from fleet.machine import SLEEP
from fleet.settings import Fraction, Settings
from fleet.units import SECONDS_PER_HOUR

_STAY_USD_H = 1e-9


@dataclass(frozen=True, eq=False, slots=True)
class Stakes:
    """What a switching rule weighs, per machine.

    revenue_usd_h[n, k] and value_usd_h[n, k] of each point (value is revenue less energy), `allowed[n, k]`, whether it is
    `awake[n]`, its `usual[n]` column, `start_usd[n]` (energy and wear of one start), `regret_usd[n]` so far, the
    hours `dt_h` since the last tick, which count at the present values, and the hours `known_h` for which the price of
    power is known to hold on.
    """

    revenue_usd_h: Floats
    value_usd_h: Floats
    allowed: Bools
    awake: Bools
    usual: Ints
    start_usd: Floats
    regret_usd: Floats
    dt_h: float
    known_h: float = 0.0

    def lasting(self, hours: float) -> Stakes:
        """The same stakes, having stood for so long."""
        return replace(self, dt_h=hours)

    def gain_usd_h(self) -> tuple[Floats, Floats]:
        """(gain[n], revenue[n]): what the best allowed waking point earns over sleep, and its revenue."""
        waking = np.where(self.allowed[:, 1:], self.value_usd_h[:, 1:], -np.inf)
        best = waking.argmax(axis=1)
        rows = np.arange(len(best))
        gain = waking[rows, best] - self.value_usd_h[:, SLEEP]
        return np.where(np.isfinite(gain), gain, 0.0), self.revenue_usd_h[rows, best + 1]

    def loss_usd_h(self) -> Floats:
        """loss[n]: what staying asleep or awake loses against the other (negative: it earns)."""
        gain, _ = self.gain_usd_h()
        return np.where(self.awake, -gain, gain)


class Rule(Protocol):
    """One rule: what each point is worth to the dispatch, and the regret carried on."""

    def weigh(self, stakes: Stakes) -> tuple[Floats, Floats]:
        """(worth_usd_h[n, k], regret_usd[n]); worths are finite, so that caps can compare machines."""
        ...


def _with_bonus(value_usd_h: Floats, bonus_usd_h: Floats) -> Floats:
    """The values, with a bonus on all waking points of each machine."""
    worth = np.array(value_usd_h)
    worth[:, 1:] += bonus_usd_h[:, None]
    return worth


def with_steps(worth_usd_h: Floats, standing: Codes, loss_usd_h: Floats) -> Floats:
    """The worths, with `loss_usd_h[n]` taken off every other waking point of a machine that is awake at one.

    Sleep against the present point stays as it was: starts are the rule's matter.
    """
    awake = np.flatnonzero((standing > SLEEP) & (loss_usd_h > 0))
    if not len(awake):
        return worth_usd_h
    worth = np.array(worth_usd_h)
    worth[awake, 1:] -= loss_usd_h[awake, None]
    worth[awake, standing[awake]] += loss_usd_h[awake]
    return worth


class AlwaysOn(Settings):
    """Run the usual mode whatever power costs: the yardstick, not a policy."""

    kind: Literal["always-on"] = "always-on"

    def weigh(self, stakes: Stakes) -> tuple[Floats, Floats]:
        """Revenue alone; what lies above the usual mode is worth no more than the usual mode, and a trifle less."""
        revenue = stakes.revenue_usd_h
        columns, usual = np.arange(revenue.shape[1]), stakes.usual[:, None]
        usually = np.take_along_axis(revenue, usual, axis=1)
        return np.where(columns > usual, usually - _STAY_USD_H * (columns - usual), revenue), stakes.regret_usd


class Threshold(Settings):
    """Awake exactly while the best point earns: no memory, no cost of a start."""

    kind: Literal["threshold"] = "threshold"

    def weigh(self, stakes: Stakes) -> tuple[Floats, Floats]:
        """The values as they are."""
        return stakes.value_usd_h, stakes.regret_usd


class Hysteresis(Settings):
    """Awake until power costs `band` more than break-even, asleep until it costs `band` less."""

    kind: Literal["hysteresis"] = "hysteresis"
    band: Fraction = 0.10

    def weigh(self, stakes: Stakes) -> tuple[Floats, Floats]:
        """The band's share of the revenue, for staying."""
        _, revenue = stakes.gain_usd_h()
        return _with_bonus(
            stakes.value_usd_h, np.where(stakes.awake, self.band, -self.band) * revenue
        ), stakes.regret_usd


class Regret(Settings):
    """Stay until what staying has cost, less what it has earned meanwhile, reaches a share of a start's cost."""

    kind: Literal["regret"] = "regret"
    share: Annotated[float, Field(gt=0, le=10)] = 0.5
    """Share of the next start's cost that staying awake may cost."""
    wake_share: Annotated[float, Field(gt=0, le=10)] = 0.25
    """Share of a start's cost that staying asleep may cost: dear power ends sooner than cheap power does."""
    floor_h: Annotated[float, Field(ge=0, le=24)] = 0.01
    """The least that staying may cost, in hours of the best point's revenue: a start that costs nothing still is not free."""

    def weigh(self, stakes: Stakes) -> tuple[Floats, Floats]:
        """A bonus for staying that outweighs the loss by staying, until the regret is spent.

        The regret is what staying has cost since it last was worth it, never more than the threshold: a change that was not
        possible (a cap, an order) leaves no debt. A loss that is known to go on counts as if it had come already.
        """
        gain, revenue = stakes.gain_usd_h()
        loss = np.where(stakes.awake, -gain, gain)
        threshold = self._threshold_usd(stakes, revenue)
        regret = np.clip(stakes.regret_usd + loss * stakes.dt_h, 0.0, threshold)
        stays = regret + np.maximum(loss, 0.0) * stakes.known_h < threshold
        bonus = np.where(stays, np.maximum(loss, 0.0) + threshold + _STAY_USD_H, 0.0)
        return _with_bonus(stakes.value_usd_h, np.where(stakes.awake, bonus, -bonus)), regret

    def threshold_usd(self, stakes: Stakes) -> Floats:
        """threshold_usd[n]: what staying may cost each machine."""
        return self._threshold_usd(stakes, stakes.gain_usd_h()[1])

    def _threshold_usd(self, stakes: Stakes, revenue_usd_h: Floats) -> Floats:
        share = np.where(stakes.awake, self.share, self.wake_share)
        return np.maximum(share * stakes.start_usd + self.floor_h * revenue_usd_h, 0.0)


Switching = Annotated[AlwaysOn | Threshold | Hysteresis | Regret, Field(discriminator="kind")]


def start_usd(
    start_s: Floats, wear_usd: Floats, power_w: Floats, power_usd_mwh: float, share_lost: float = 1.0
) -> Floats:
    """What one start costs: energy drawn without a hash for `start_s` (power that pays is no cost), and wear."""
    energy = power_w * (start_s / SECONDS_PER_HOUR) * (max(power_usd_mwh, 0.0) / 1e6) * share_lost
    return energy + wear_usd
