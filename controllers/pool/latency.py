"""How long the tap keeps things: a histogram of fixed bounds, cheap enough for every line.

Bounds double from 50 us to 1.6 s; a time is booked with one bisection. What is read from it is an upper bound of the
quantile: the edge of the bucket in which it falls.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

BOUNDS_S: Final = tuple(50e-6 * 2.0**step for step in range(16))


class Latencies:
    """Counts of times by bucket; the last bucket has everything beyond the last bound."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def note(self, took_s: float, times: int = 1) -> None:
        """So many lines took this long."""
        self.counts[bisect_left(BOUNDS_S, took_s)] += times
        self.sum_s += took_s * times

    def quantile_s(self, share: float) -> float | None:
        """The upper edge of the bucket that this quantile lies in; None while nothing was noted."""
        total = sum(self.counts)
        if not total:
            return None
        seen = 0
        for bound, count in zip(BOUNDS_S, self.counts, strict=False):
            seen += count
            if seen >= share * total:
                return bound
        return float("inf")

    def status(self) -> dict[str, object]:
        """For the tap's status: cumulative counts by upper bound in seconds, as Prometheus has them."""
        cumulative, seen = {}, 0
        for bound, count in zip(BOUNDS_S, self.counts, strict=False):
            seen += count
            cumulative[f"{bound:g}"] = seen
        return {"buckets": cumulative, "count": sum(self.counts), "sum_s": self.sum_s}
