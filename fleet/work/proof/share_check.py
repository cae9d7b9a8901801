"""ShareCheck: how a machine's shares are held against its claim (the site file's [beliefs.share_check]).

Two rates are told apart: `1 - tolerance` of the claim, which is well, and `1 - shortfall`, which is not. How often a fleet
of honest machines may raise an alarm is said once, in alarms a month for the whole fleet; how often a short machine may
pass is said in chances. At so rare an alarm a little that is tolerated matters much: of 10,000 machines that lack half a
percent, seventeen a month would be called short of five by a test that does not tolerate it.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from fleet.settings import Seconds
from fleet.work.proof.contrast import Contrast, wald_limits
from fleet.work.proof.watch import Watch


class ShareCheck(Watch):
    """How a machine's shares are held against its claim (the site file's [beliefs.share_check])."""

    shortfall: Annotated[float, Field(ge=0.005, le=0.9)] = 0.05
    """The share of its claim that a machine must lack to be called short."""
    tolerance: Annotated[float, Field(ge=0, le=0.5)] = 0.005
    """The share of its claim that a machine may lack (stale shares, errors) and count as honest to the running test, so
    that it raises no more false alarms than stated; less than the shortfall. What lies between the two is called either,
    and the later the nearer it is to the middle. A test on request takes claims at their word."""
    false_alarm: Annotated[float, Field(gt=0, le=0.5)] = 0.01
    """Chance that a test on request (`hashwatt verify`) calls an honest machine short."""
    most_gap_s: Seconds = 1_800
    """Two readings further apart than this say nothing of the time between them; a counter that has not moved for this
    long stands still."""
    pool_delay_s: Seconds = 120
    """A pool's figures may lag so far; its tests allow for it."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        """What is tolerated is not called short."""
        if self.tolerance >= self.shortfall:
            raise ValueError(f"tolerance {self.tolerance}: expected less than the shortfall, {self.shortfall}")
        return self

    @property
    def contrast(self) -> Contrast:
        """Short against well, for the running test."""
        return Contrast(1 - self.tolerance, 1 - self.shortfall)

    @property
    def on_request(self) -> Contrast:
        """Short against the whole claim: at a chance of one in a hundred, half a percent of stale shares hardly matters."""
        return Contrast(1.0, 1 - self.shortfall)

    def one_shot(self, tests: int = 1) -> tuple[float, float]:
        """Where the score of a test on request says short (above) and honest (below).

        So many `tests` at once share the chance of a false alarm: machines times the sources of which any may speak.
        """
        return wald_limits(self.false_alarm / max(1, tests), self.missed)
