"""Seen: which shares there were already, compactly, so that none is counted twice.

A share is known by 64 bits of its hash. All that stand on one previous block are remembered together, whichever job,
session or spelling they came with, because a header that is the same has the same hash. The newest are in a set, the
others in a sorted array of eight bytes each, into which the set is merged whenever it has grown to a quarter of it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import Final

from fleet.work.counted import Flaw

SHARES_MOST: Final = 1 << 18
"""On one previous block: four days of a share a second and more than seven hours of ten; 5 MB at the very most."""
_BLOCKS_KEPT: Final = 4
_RECENT_LEAST: Final = 64
_RECENT_PART: Final = 4
_NONE: Final = array("Q")


class Seen:
    """The shares on one previous block; it forgets none, and tells when it has no room left."""

    __slots__ = ("_most", "_old", "_recent")

    def __init__(self, most: int = SHARES_MOST) -> None:
        self._most = most
        self._old = _NONE
        self._recent: set[int] = set()

    def __len__(self) -> int:
        """How many."""
        return len(self._old) + len(self._recent)

    def add(self, key: int) -> Flaw | None:
        """Note a share by 64 bits of its hash: DUPLICATE when it was there before, CROWDED when there is no room."""
        recent, old = self._recent, self._old
        if key in recent:
            return Flaw.DUPLICATE
        if old:
            place = bisect_left(old, key)
            if place < len(old) and old[place] == key:
                return Flaw.DUPLICATE
        if len(old) + len(recent) >= self._most:
            return Flaw.CROWDED
        recent.add(key)
        if len(recent) >= _RECENT_LEAST and len(recent) * _RECENT_PART >= len(old):
            # two runs that are sorted already: one merge
            self._old = array("Q", sorted([*old, *sorted(recent)]))
            recent.clear()
        return None


class Memory:
    """The shares on the last few previous blocks.

    It may outlive a job book: a machine that reconnects and resumes its session has the same extranonce1 and the same
    jobs, and would otherwise be paid twice for what it sent before.
    """

    __slots__ = ("_blocks",)

    def __init__(self) -> None:
        self._blocks: dict[bytes, Seen] = {}

    def of(self, previous: bytes, most: int = SHARES_MOST) -> Seen:
        """The shares on this previous block (32 bytes); the block used longest ago makes room for a new one."""
        seen = self._blocks.pop(previous, None)
        if seen is None:
            seen = Seen(most)
            while len(self._blocks) >= _BLOCKS_KEPT:
                del self._blocks[next(iter(self._blocks))]
        self._blocks[previous] = seen
        return seen
