"""Safety: a hot or a faulted machine sleeps, a warm one takes no further step up.

Level, not edge: each rule looks at what the machine shows now (and at when it last said that it was faulted), so a missed
reading costs nothing and nothing has to be remembered but a fault's rest. It needs no market, no tariff and no full look.
"""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from pydantic import model_validator

from fleet.columns import Bools
from fleet.machine import SLEEP
from fleet.reading import Reading
from fleet.settings import Celsius, Seconds, Settings
from policies.scene import Kind, Scene


class TooHot(Settings):
    """Sleep at `hot_c`, come back below `cool_c`, no step up in power above `warm_c`; by the hottest chip that is reported.

    A machine that reports its boards alone (LuxOS) counts as that much hotter at its chips.
    """

    kind: Literal["too-hot"] = "too-hot"
    hot_c: Celsius = 95
    warm_c: Celsius = 88
    cool_c: Celsius = 70
    chip_over_board_c: Celsius = 15
    """What chips are hotter than their board, where a firmware reports boards alone (docs.luxor.tech/firmware/features)."""

    @property
    def label(self) -> str:
        """The reason's name."""
        return "too hot"

    @property
    def rank(self) -> Kind:
        """Safety."""
        return Kind.SAFETY

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.cool_c < self.warm_c < self.hot_c:
            raise ValueError(
                f"temperatures are cool {self.cool_c}, warm {self.warm_c}, hot {self.hot_c}: expected them rising"
            )
        return self

    def is_hot(self, reading: Reading) -> bool:
        """Would this one reading put a machine to sleep? For an alarm that waits for no tick."""
        if reading.chip_c is not None:
            return reading.chip_c >= self.hot_c
        return reading.board_c is not None and reading.board_c + self.chip_over_board_c >= self.hot_c

    def keep(self, scene: Scene) -> Bools | None:
        """Sleep for the hot; what does not draw more than now for the warm; sleep for a sleeper that has not cooled."""
        heard, mode = scene.snapshot.heard, scene.view.mode
        chip_c = np.where(np.isnan(heard.chip_c), heard.board_c + self.chip_over_board_c, heard.chip_c)
        warm = chip_c >= self.cool_c
        if not warm.any():
            return None
        hot = (chip_c >= self.hot_c) | (warm & (mode == SLEEP))
        warm = (chip_c >= self.warm_c) & ~hot
        columns = np.arange(scene.roster.modes.exists.shape[1])
        sleep_only = columns == SLEEP
        not_above = columns <= np.where(mode < 0, columns[-1], mode)[:, None]
        keep: Bools = np.where(hot[:, None], sleep_only, not_above | ~warm[:, None])
        return keep


class Faulted(Settings):
    """A machine that says it is faulted sleeps, and rests before it is tried again."""

    kind: Literal["faulted"] = "faulted"
    rest_s: Seconds = 1_800

    @property
    def label(self) -> str:
        """The reason's name."""
        return "faulted"

    @property
    def rank(self) -> Kind:
        """Safety."""
        return Kind.SAFETY

    def keep(self, scene: Scene) -> Bools | None:
        """Sleep for those whose last fault is younger than the rest."""
        resting = scene.view.fault_s > scene.view.at_s - self.rest_s
        if not resting.any():
            return None
        keep: Bools = ~resting[:, None] | (np.arange(scene.roster.modes.exists.shape[1]) == SLEEP)
        return keep


class LongSilent(Settings):
    """A machine that has not answered for long is left where it was last seen.

    It cannot be commanded, so nothing is gained by deciding otherwise for money; the caps count it at its worst case. An
    order or a safety rule still tries: a machine that does not report may yet obey.
    """

    kind: Literal["long-silent"] = "long-silent"
    after_s: Seconds = 900

    @property
    def label(self) -> str:
        """The reason's name."""
        return "long silent"

    @property
    def rank(self) -> Kind:
        """Money: it stands in the way of nothing else."""
        return Kind.MONEY

    def keep(self, scene: Scene) -> Bools | None:
        """Where it is, for those not heard for `after_s`."""
        view = scene.view
        gone = (view.heard_s < view.at_s - self.after_s) & (view.standing >= 0)
        if not gone.any():
            return None
        columns = np.arange(scene.roster.modes.exists.shape[1])
        keep: Bools = ~gone[:, None] | (columns == view.standing[:, None])
        return keep
