"""A lost market: what machines do while hashprice or the price of power is not known.

The site file declares it (`[economics] when_lost`): stay as they are (the default), sleep, or run their usual mode. It is
a constraint of the kind money, so safety, orders and the grid stand before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fleet.columns import Bools
from fleet.machine import SLEEP
from policies.scene import Kind, Scene


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

    def keep(self, scene: Scene) -> Bools | None:
        """The one operating point that the answer leaves each machine."""
        columns = np.arange(scene.roster.modes.exists.shape[1])
        mode = scene.view.standing[:, None]
        match self.answer:
            case "hold":
                keep: Bools = (columns == mode) | (mode < 0)
            case "sleep":
                keep = np.broadcast_to(columns == SLEEP, scene.roster.modes.exists.shape)
            case "run":
                keep = columns == scene.roster.usual[:, None]
        return keep
