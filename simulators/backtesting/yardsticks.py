"""Yardsticks: what doing nothing and what knowing everything would have earned over some intervals.

The demo sets what its daemon earned in a day against these two, and a backtest sets every policy against them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fleet.columns import Floats
from fleet.machine import Roster
from fleet.units import WATTS_PER_MW
from simulators.backtesting.clairvoyant import Prospect, clairvoyant
from simulators.backtesting.ledger import Ledger, flex_capture, revenue_usd, share_of


@dataclass(frozen=True, slots=True)
class Yardsticks:
    """The same machines over the same intervals: in their usual modes throughout, and on the best plan there was."""

    always_on: Ledger
    clairvoyant: Ledger

    def flex_capture(self, policy: Ledger) -> float | None:
        """(policy - always on) / (clairvoyant - always on); None where there was nothing to capture."""
        return flex_capture(policy, self.always_on, self.clairvoyant)

    def share(self, policy: Ledger) -> float | None:
        """Profit over the clairvoyant's; None where the clairvoyant earns nothing."""
        return share_of(policy, self.clairvoyant)


def day_yardsticks(
    roster: Roster,
    *,
    step_s: float,
    price_usd_mwh: Floats,
    hashprice_usd_phs_day: Floats,
    power_w: Floats | None = None,
    hashrate_ths: Floats | None = None,
) -> Yardsticks:
    """The yardsticks of a day, or of any intervals of `step_s`, at the prices that came true.

    price_usd_mwh[t] at the machine, hashprice_usd_phs_day[t] after the pool's fee; NaN in either: the interval is skipped.
    power_w[n, k] and hashrate_ths[n, k] are what each machine really draws and makes at each operating point; None: its
    nameplate. All machines begin at work. A start costs the roster's `start_s` and `wear_usd`.
    """
    prospect = Prospect(
        step_s=step_s,
        power_usd_mwh=np.array(price_usd_mwh, np.float64),
        hashprice_usd_phs_day=np.array(hashprice_usd_phs_day, np.float64),
        usable=np.isfinite(price_usd_mwh) & np.isfinite(hashprice_usd_phs_day),
        power_w=np.array(roster.modes.power_w if power_w is None else power_w),
        hashrate_ths=np.array(roster.modes.hashrate_ths if hashrate_ths is None else hashrate_ths),
        exists=roster.modes.exists,
        start_s=roster.start_s,
        wear_usd=roster.wear_usd,
    )
    return Yardsticks(always_on(prospect, roster), clairvoyant(prospect))


def always_on(prospect: Prospect, roster: Roster) -> Ledger:
    """Every machine in its usual mode throughout."""
    rows, n = np.arange(len(roster)), len(roster)
    power_w, rate_ths = prospect.power_w[rows, roster.usual], prospect.hashrate_ths[rows, roster.usual]
    counts = prospect.usable
    elapsed_s = float(counts.sum()) * prospect.step_s
    mwh = power_w * (prospect.hours / WATTS_PER_MW)
    made = rate_ths * prospect.step_s
    return Ledger(
        elapsed_s=elapsed_s,
        energy_mwh=mwh * float(counts.sum()),
        hashes_th=made * float(counts.sum()),
        revenue_usd=revenue_usd(made, float(prospect.hashprice_usd_phs_day[counts].sum())),
        energy_usd=mwh * float(prospect.power_usd_mwh[counts].sum()),
        wear_usd=np.zeros(n),
        starts=np.zeros(n),
        awake_s=np.full(n, elapsed_s),
    )
