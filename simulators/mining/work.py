"""Work: what it takes for pretend machines to mine for real: the scale, the pools, who mines, and who cheats.

`scale` is how many hashes stand for one: a machine of 100 TH/s at a scale of 1e-9 makes 100,000 hashes in a second of the
world, and a share of difficulty d is one of `d * 2**32 * scale`, on every side of the wire that knows of it. All numbers
on the wire stay those of the real world.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from fleet.units import HASHES_PER_TERAHASH
from simulators.mining.cheats import Cheat

HASHES_PER_S: Final = 400_000.0
"""What a host is asked for, all machines together: even the reference engine does it in half a core."""


@dataclass(frozen=True, slots=True)
class Work:
    """Frozen settings of real mining. `pools`: URLs in the order in which every machine has them.

    `account` is the owner's at the pool: machines log in as ACCOUNT.MACHINE. `machines`: ids of those that mine for
    real (None: all); the others' shares stay the physics' draws. `cheats`: by machine id.
    """

    scale: float
    pools: tuple[str, ...] = ()
    account: str = "hashwatt"
    machines: frozenset[str] | None = None
    cheats: Mapping[str, tuple[Cheat, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """A scale above zero, one at most."""
        if not 0.0 < self.scale <= 1.0:
            raise ValueError(f"scale is {self.scale}, expected above 0 and 1 at most")

    def includes(self, machine: str) -> bool:
        """Does a machine mine for real?"""
        return self.machines is None or machine in self.machines

    def hashes(self, terahashes: float) -> float:
        """How many real hashes stand for so many terahashes."""
        return terahashes * HASHES_PER_TERAHASH * self.scale


def scale_for(hashrate_ths: float, speed: float, hashes_per_s: float = HASHES_PER_S) -> float:
    """The scale, a power of two, at which machines of so many TH/s together take a host at most `hashes_per_s`.

    `speed` is how many of the world's seconds pass in a real one. A power of two multiplies a difficulty exactly.
    """
    scale = 2.0**-100
    while scale < 1.0 and 2.0 * scale * hashrate_ths * HASHES_PER_TERAHASH * speed <= hashes_per_s:
        scale *= 2.0
    return scale
