"""Watch: how rarely a test that never ends may err; what the tables of the site file for such tests have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Final

from pydantic import Field

from fleet.columns import Floats
from fleet.settings import Settings
from fleet.units import SECONDS_PER_DAY
from fleet.work.proof.contrast import Contrast

MONTH_S: Final = 365.2425 / 12 * SECONDS_PER_DAY


class Watch(Settings):
    """How rarely a running test errs, and how much of the past is told."""

    false_alarms_per_month: Annotated[float, Field(gt=0, le=1_000)] = 1.0
    """How many false alarms a month all honest machines of the site may raise together, on the mean and at most."""
    missed: Annotated[float, Field(gt=0, le=0.5)] = 0.01
    """Chance that a machine that is short by just the stated amount is ever called honest by its first test, and the
    chance a month that one found short is called well again while it is not."""
    window_s: Annotated[float, Field(ge=600, le=31_622_400)] = SECONDS_PER_DAY
    """What was counted is told over one to two such windows; what is older is forgotten."""

    @property
    @abstractmethod
    def contrast(self) -> Contrast:
        """What is called short against what is well."""

    def short_limit(self, expected_per_s: Floats, tests: int) -> Floats:
        """limit[n] of the running score against alarms: `tests` of them share the fleet's rate of false alarms."""
        return self.contrast.rare_limit(expected_per_s * (MONTH_S * max(1, tests) / self.false_alarms_per_month))

    def well_limit(self, expected_per_s: Floats) -> Floats:
        """limit[n] of the running score of a machine found short, against calling it well."""
        return self.contrast.turned().rare_limit(expected_per_s * (MONTH_S / self.missed))
