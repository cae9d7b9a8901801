"""The demo's books: what the pretend machines truly drew and hashed, priced as a bill and a pool would.

Energy and hashes are the world's own counters, read at every price interval's end and valued at that interval's price, so
the result is what the machines did, not what anybody says of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from controllers.pretend.site import Day
from fleet.columns import Floats
from fleet.units import SECONDS_PER_DAY

_J_PER_MWH = 3.6e9
_TH_PER_PHS_DAY = 1e3 * SECONDS_PER_DAY


@dataclass(slots=True)
class Books:
    """Running totals over a day of real prices."""

    day: Day
    energy_mwh: float = 0.0
    hashes_eh: float = 0.0
    revenue_usd: float = 0.0
    cost_usd: float = 0.0
    intervals: list[tuple[float, float, float, float]] = field(default_factory=list)
    """(start, price, mean MW, seconds) of each interval closed."""
    _energy_j: Floats | None = None
    _hashes_th: Floats | None = None
    _since_s: float = 0.0

    def close(self, at_s: float, energy_j: Floats, hashes_th: Floats) -> None:
        """Price what was drawn and hashed since the last closing, at the price of the interval it lay in."""
        if self._energy_j is not None and self._hashes_th is not None and at_s > self._since_s:
            price = self.day.power_usd_mwh((self._since_s + at_s) / 2)
            mwh = float((energy_j - self._energy_j).sum()) / _J_PER_MWH
            terahashes = float((hashes_th - self._hashes_th).sum())
            self.energy_mwh += mwh
            self.hashes_eh += terahashes / 1e6
            self.cost_usd += mwh * price
            self.revenue_usd += terahashes / _TH_PER_PHS_DAY * self.day.hashprice_usd_phs_day
            lasted_s = at_s - self._since_s
            self.intervals.append((self._since_s, price, mwh * 3_600.0 / lasted_s, lasted_s))
        self._energy_j, self._hashes_th, self._since_s = np.array(energy_j), np.array(hashes_th), at_s

    @property
    def hours(self) -> float:
        """How long the books were kept."""
        return sum(lasted_s for *_, lasted_s in self.intervals) / 3_600.0

    @property
    def profit_usd(self) -> float:
        """Revenue less the power bill."""
        return self.revenue_usd - self.cost_usd
