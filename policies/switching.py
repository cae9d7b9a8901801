"""Switching: what a start costs, and when a change is worth it.

Only the step between sleep and work costs (power without hashes while it restarts, and wear); steps of the ladder are
free. Each rule turns the values of a tick into worths that the dispatch takes the best of, by a bonus on all waking
points alike, so caps still bind and the choice among waking points stays the margin's. `regret` is the default: stay
until staying has cost a share of what a start costs (Borodin, Linial, Saks 1992: with share 1 it is competitive).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal, Protocol

import numpy as np
from pydantic import Field

from fleet.columns import Bools, Floats, Ints
from fleet.machine import SLEEP
from fleet.settings import Fraction, Settings
from fleet.units import SECONDS_PER_HOUR

_STAY_USD_H = 1e-9


@dataclass(frozen=True, eq=False, slots=True)
class Stakes:
    """What a switching rule weighs, per machine: revenue_usd_h[n, k] and value_usd_h[n, k] of each point (value is revenue
    less energy), `allowed[n, k]`, whether it is `awake[n]`, its `usual[n]` column, `start_usd[n]` (energy and wear of one start), `regret_usd[n]` so far, and `dt_h`
    since the last tick."""

    revenue_usd_h: Floats
    value_usd_h: Floats
    allowed: Bools
    awake: Bools
    usual: Ints
    start_usd: Floats
    regret_usd: Floats
    dt_h: float

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
    share: Annotated[float, Field(gt=0, le=10)] = 0.25
    """Share of the start's cost that staying may cost."""
    floor_h: Annotated[float, Field(ge=0, le=24)] = 0.05
    """The least that staying may cost, in hours of the best point's revenue: a start that costs nothing still is not free."""

    def weigh(self, stakes: Stakes) -> tuple[Floats, Floats]:
        """A bonus for staying as large as today's loss by staying, until the regret is spent."""
        gain, revenue = stakes.gain_usd_h()
        loss = np.where(stakes.awake, -gain, gain)
        regret = np.maximum(stakes.regret_usd + loss * stakes.dt_h, 0.0)
        threshold = self._threshold_usd(stakes, revenue)
        stay = (np.maximum(loss, 0.0) + threshold + _STAY_USD_H) * (regret < threshold)
        return _with_bonus(stakes.value_usd_h, np.where(stakes.awake, stay, -stay)), regret

    def threshold_usd(self, stakes: Stakes) -> Floats:
        """threshold_usd[n]: what staying may cost each machine."""
        return self._threshold_usd(stakes, stakes.gain_usd_h()[1])

    def _threshold_usd(self, stakes: Stakes, revenue_usd_h: Floats) -> Floats:
        return self.share * stakes.start_usd + self.floor_h * revenue_usd_h


Switching = Annotated[AlwaysOn | Threshold | Hysteresis | Regret, Field(discriminator="kind")]


def start_usd(
    start_s: Floats, wear_usd: Floats, power_w: Floats, power_usd_mwh: float, share_lost: float = 1.0
) -> Floats:
    """What one start costs: energy drawn without a hash for `start_s` (never negative: power that pays is no cost), and wear."""
    energy = power_w * (start_s / SECONDS_PER_HOUR) * (max(power_usd_mwh, 0.0) / 1e6) * share_lost
    return energy + wear_usd
