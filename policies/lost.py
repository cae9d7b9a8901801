"""A lost market: what machines do while hashprice or the price of power is not known.

The site file declares it (`[economics] when_lost`): stay as they are (the default), sleep, or run their usual mode. It is
a constraint of the kind money, so safety, orders and the grid stand before it, and caps still bind: under a cap the
fewest hashes are given up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

import numpy as np

from fleet.columns import Bools, Codes, Floats
from fleet.machine import SLEEP
from policies.scene import Kind, Scene

_TRIFLE_THS = 1e-6


@dataclass(frozen=True)
class MarketLost:
    """The declared answer, applied by the tick only while a price is missing."""

    answer: Literal["hold", "sleep", "run"]

    @property
    def label(self) -> str:
        """The reason's name."""
        return "market lost"

    @property
    def rank(self) -> Kind:
        """Money."""
        return Kind.MONEY

    def column(self, scene: Scene) -> Codes:
        """column[n]: where the answer wants each machine (-1, -2: it is not known where it stands)."""
        match self.answer:
            case "hold":
                return scene.view.standing
            case "sleep":
                return np.zeros(len(scene.roster), np.int16)
            case "run":
                return scene.roster.usual.astype(np.int16)
            case _:
                assert_never(self.answer)

    def keep(self, scene: Scene) -> Bools | None:
        """Nothing above where the answer wants each machine; a cap may still take it lower (see `worth`)."""
        column = self.column(scene)[:, None]
        keep: Bools = (np.arange(scene.roster.modes.exists.shape[1]) <= column) | (column < 0)
        return keep

    def worth(self, scene: Scene) -> Floats:
        """worth[n, k] to the dispatch while nothing can be valued: hashes up to the answer's column, and less beyond it."""
        rate = scene.roster.modes.hashrate_ths * scene.view.valued_scale[:, None]
        column = np.maximum(self.column(scene), SLEEP)[:, None]
        columns = np.arange(rate.shape[1])
        most = np.take_along_axis(rate, column.astype(np.int64), axis=1)
        # Rates need not rise with every step: the answer's own column is the best there is.
        below = np.minimum(rate, most) - _TRIFLE_THS * np.abs(columns - column)
        return np.where(columns > column, most - _TRIFLE_THS * (1.0 + rate + columns), below)
