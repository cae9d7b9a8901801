"""Ledger: what each machine drew, made, earned and cost over some time; the sums are the site's.

Profit is revenue less energy less wear. Every figure of a backtest, of its yardsticks and of the demo's report is one of
these columns or a ratio of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from fleet.columns import Floats, freeze_columns
from fleet.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, THS_PER_PHS, WATTS_PER_MW

JOULES_PER_MWH = WATTS_PER_MW * SECONDS_PER_HOUR


@dataclass(frozen=True, eq=False)
class Ledger:
    """Per machine over `elapsed_s` of usable time: energy, hashes, revenue, cost of the energy, wear, starts, time awake."""

    elapsed_s: float
    energy_mwh: Floats
    hashes_th: Floats
    revenue_usd: Floats
    energy_usd: Floats
    wear_usd: Floats
    starts: Floats
    awake_s: Floats

    def __post_init__(self) -> None:
        """Read-only."""
        freeze_columns(self)

    @property
    def machine_profit_usd(self) -> Floats:
        """profit_usd[n]."""
        return self.revenue_usd - self.energy_usd - self.wear_usd

    @property
    def profit_usd(self) -> float:
        """The site's profit."""
        return float(self.machine_profit_usd.sum())

    @property
    def uptime(self) -> float:
        """Share of the machines' time in which they were awake (a restart included)."""
        whole = self.elapsed_s * len(self.awake_s)
        return float(self.awake_s.sum()) / whole if whole else 0.0

    @classmethod
    def total(cls, ledgers: Sequence[Ledger]) -> Ledger:
        """The same machines over several times."""
        columns = {f.name: np.sum([getattr(ledger, f.name) for ledger in ledgers], axis=0) for f in fields(cls)}
        return cls(**columns)


def revenue_usd(hashes_th: Floats, hashprice_usd_phs_day: Floats | float) -> Floats:
    """What hashes earn at a hashprice."""
    return hashes_th * (hashprice_usd_phs_day / (THS_PER_PHS * SECONDS_PER_DAY))


def share_of(policy: Ledger, clairvoyant: Ledger) -> float | None:
    """Profit over the clairvoyant's; None where the clairvoyant earns nothing."""
    return policy.profit_usd / clairvoyant.profit_usd if clairvoyant.profit_usd > 0 else None


def flex_capture(policy: Ledger, always_on: Ledger, clairvoyant: Ledger) -> float | None:
    """(policy - always on) / (clairvoyant - always on); None where there was nothing to capture."""
    most = clairvoyant.profit_usd - always_on.profit_usd
    return (policy.profit_usd - always_on.profit_usd) / most if most > 1e-9 * abs(always_on.profit_usd) else None
