"""What a pretend pool has counted of each worker: credited work, refusals by cause, and rates as ckpool keeps them.

Work is the difficulty that a share was asked for, never the one that it reached. The decaying averages follow ckpool's
`decay_time`: within a window they rise as fast as the worker works, and fall as slowly as it is missed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from math import exp
from typing import Final

WINDOWS_S: Final = (60.0, 300.0, 3_600.0, 86_400.0, 604_800.0)
"""1 minute, 5 minutes, 1 hour, 1 day, 7 days: what ckpool tells of a worker."""


class Cause(Enum):
    """Why a share was refused: the code and the words on the wire (slush's list, which pools keep to)."""

    OTHER = (20, "Other/Unknown")
    STALE = (21, "Job not found")
    DUPLICATE = (22, "Duplicate share")
    LOW = (23, "Low difficulty share")
    UNAUTHORIZED = (24, "Unauthorized worker")
    NOT_SUBSCRIBED = (25, "Not subscribed")

    @property
    def code(self) -> int:
        """The number."""
        return self.value[0]

    @property
    def words(self) -> str:
        """The message."""
        return self.value[1]


@dataclass(slots=True)
class WorkerBook:
    """One worker's counts. `lost_work` is what was answered with yes and not credited."""

    name: str
    since_s: float
    shares: int = 0
    work: float = 0.0
    lost_shares: int = 0
    lost_work: float = 0.0
    refused: dict[Cause, int] = field(default_factory=dict)
    refused_work: float = 0.0
    last_s: float = 0.0
    best: float = 0.0
    blocks: int = 0
    rates: list[float] = field(default_factory=lambda: [0.0] * len(WINDOWS_S))
    """Credited difficulty per second, decaying, by `WINDOWS_S`."""
    decayed_s: float = 0.0
    difficulty: float = 0.0

    def credit(self, at_s: float, work: float, reached: float) -> None:
        """One good share."""
        self.decay(at_s, work)
        self.shares += 1
        self.work += work
        self.last_s = at_s
        self.best = max(self.best, reached)

    def refuse(self, cause: Cause, work: float) -> None:
        """One that is not credited."""
        self.refused[cause] = self.refused.get(cause, 0) + 1
        self.refused_work += work

    def decay(self, at_s: float, work: float = 0.0) -> None:
        """Carry the averages to a time, with the work that came in since."""
        passed_s = max(at_s - (self.decayed_s or self.since_s), 1e-3)
        for column, window_s in enumerate(WINDOWS_S):
            # ckpool's decay_time: new = (old + work/passed * p) / (1 + p), with p = 1 - exp(-passed/window)
            part = 1.0 - exp(-min(passed_s / window_s, 36.0))
            self.rates[column] = (self.rates[column] + work / passed_s * part) / (1.0 + part)
        self.decayed_s = at_s
