"""Extranonces divided: many machines on one session of a pool, each with a part of its second extranonce.

A machine's extranonce1 is the pool's and a prefix of its own; what is left of the pool's second extranonce is the
machine's. A prefix that was given back rests until no job lives that its machine may have worked on: whoever got it
earlier would find the same shares again, and be refused.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

LEAST_LEFT_BYTES: Final = 2
"""What a machine needs: with version rolling 2**16 extranonces last a 200 TH/s machine more than a day, without a second."""
_SPARE: Final = 2
_MORE: Final = 64


class TooSmall(ValueError):
    """A pool's second extranonce cannot be divided among so many; the message has the sizes."""


@dataclass(frozen=True, slots=True)
class Division:
    """How many bytes tell machines apart, and how many are left for each."""

    prefix_bytes: int
    left_bytes: int


def divided(extranonce2_bytes: int, machines: int, prefix_bytes: int | None = None) -> Division:
    """The sizes for so many machines, with as many prefixes again at rest; or with a prefix of a given size.

    Raises:
        TooSmall: too little would be left for a machine.
    """
    wanted = prefix_bytes
    if wanted is None:
        wanted = max(((_SPARE * machines + _MORE - 1).bit_length() + 7) // 8, 1)
    left = extranonce2_bytes - wanted
    if left < LEAST_LEFT_BYTES:
        raise TooSmall(
            f"a second extranonce of {extranonce2_bytes} bytes: {wanted} to tell {machines} machines apart leave {left}, "
            f"expected at least {LEAST_LEFT_BYTES}; pass instead of aggregate, or a pool that gives more"
        )
    return Division(wanted, left)


class Prefixes:
    """The prefixes of one session with a pool, as numbers; jobs are numbered as they come."""

    def __init__(self, prefix_bytes: int) -> None:
        self._bytes = prefix_bytes
        self._next = 0
        self._resting: deque[tuple[int, int]] = deque()
        self.taken = 0

    def take(self, oldest_job: int) -> bytes | None:
        """A prefix that nobody has, and nobody had in a job from `oldest_job` on; None where there is none."""
        if self._next < 1 << 8 * self._bytes:
            number, self._next = self._next, self._next + 1
        elif self._resting and self._resting[0][1] < oldest_job:
            number = self._resting.popleft()[0]
        else:
            return None
        self.taken += 1
        return number.to_bytes(self._bytes, "big")

    def free(self, prefix: bytes, newest_job: int) -> None:
        """Give one back; its machine may have worked on jobs up to `newest_job`."""
        self.taken -= 1
        self._resting.append((int.from_bytes(prefix, "big"), newest_job))
