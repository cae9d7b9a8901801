"""What a pretend pool has counted of each worker: credited work, refusals by cause, and rates as ckpool keeps them.

Work is the difficulty that a share was asked for, never the one that it reached. The decaying averages follow ckpool's
`decay_time`: within a window they rise as fast as the worker works, and fall as slowly as it is missed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from math import exp
from typing import Final

WINDOWS_S: Final = (60.0, 300.0, 3_600.0, 86_400.0, 604_800.0)
"""1 minute, 5 minutes, 1 hour, 1 day, 7 days: what ckpool tells of a worker."""
DAY_MINUTES: Final = 1_441


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
    minutes: deque[tuple[int, int, float]] = field(default_factory=lambda: deque(maxlen=DAY_MINUTES))
    """(minute since 1970, shares, work) of each minute that had any, for a day."""

    def credit(self, at_s: float, work: float, reached: float) -> None:
        """One good share."""
        self.decay(at_s, work)
        minute, shares, before = self.minutes[-1] if self.minutes else (-1, 0, 0.0)
        if minute == int(at_s // 60):
            self.minutes[-1] = (minute, shares + 1, before + work)
        else:
            self.minutes.append((int(at_s // 60), 1, work))
        self.shares += 1
        self.work += work
        self.last_s = at_s
        self.best = max(self.best, reached)

    def refuse(self, cause: Cause, work: float) -> None:
        """One that is not credited."""
        self.refused[cause] = self.refused.get(cause, 0) + 1
        self.refused_work += work

    def lately(self, at_s: float, window_s: float) -> tuple[int, float]:
        """Shares and work of the last `window_s`, to the minute."""
        first = (at_s - window_s) // 60
        lately = [(shares, work) for minute, shares, work in self.minutes if minute >= first]
        return sum(shares for shares, _ in lately), sum(work for _, work in lately)

    def decay(self, at_s: float, work: float = 0.0) -> None:
        """Carry the averages to a time, with the work that came in since."""
        passed_s = max(at_s - (self.decayed_s or self.since_s), 1e-3)
        for column, window_s in enumerate(WINDOWS_S):
            # ckpool's decay_time: new = (old + work/passed * p) / (1 + p), with p = 1 - exp(-passed/window)
            part = 1.0 - exp(-min(passed_s / window_s, 36.0))
            self.rates[column] = (self.rates[column] + work / passed_s * part) / (1.0 + part)
        self.decayed_s = at_s
