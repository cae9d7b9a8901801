"""What a pretend pool is like: its rules as a frozen value, and what it does wrong by plan.

Everything here is data; `pool.py` lives by it. What goes wrong is drawn from the seed, the session's number and the
number of the occasion, never from the order of things, so that a run on the virtual clock can be played again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from math import inf
from typing import Final

ROLLED_BITS: Final = 0x1FFF_E000
"""BIP 320's sixteen bits of the version."""
FLOOD: Final = b'{"id":null,"method":"mining.notify","params":["' + b"0" * 1_000_000
GARBAGE: Final = (b"\xff\xfe\x00garbage\n", b"{}\n", b"[1,2\n", b'{"id":7,"method":42,"params":null}\n', b"\n")
"""What a flood and garbage look like."""


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """A pool's rules. Times are the world's seconds, unless they say real.

    `scale`: a share of difficulty d is one of d * 2**32 * scale hashes (1 in the real world). `shares_per_min`: what
    vardiff aims at for each session; 0 leaves the difficulty as it is. `grace_s`: a share for the block before is good for
    so long after a new one. `mean_block_s`: how often the network finds a block. `accounts`: whose workers it knows (the
    part of a user before its first dot); empty knows everybody.
    """

    scale: float = 1.0
    start_difficulty: float = 8_192.0
    least_difficulty: float = 1e-6
    most_difficulty: float = 1e15
    shares_per_min: float = 12.0
    retarget_s: float = 60.0
    job_s: float = 30.0
    grace_s: float = 2.0
    time_ahead_s: float = 7_200.0
    mean_block_s: float = 600.0
    accounts: frozenset[str] = frozenset()
    extranonce1_bytes: int = 4
    extranonce2_bytes: int = 8
    version_mask: int = ROLLED_BITS
    jobs_kept: int = 32
    silence_real_s: float = 900.0
    line_bytes: int = 16_384
    tag: bytes = b"/pretend/"
    most_sessions: int = 20_000


class PoolFault(StrEnum):
    """What a pool may do wrong."""

    DARK = "dark"
    """It is not there: every connection is cut, and new ones are cut at once."""
    DROP = "drop"
    """A connection is cut at a submit."""
    LOSE = "lose"
    """A good share is answered with yes and never credited."""
    MUTE = "mute"
    """A submit is never answered (nor credited)."""
    REFUSE = "refuse"
    """A good share is refused as one of low difficulty."""
    HARDER = "harder"
    """Shares are judged by `factor` times the difficulty that was told."""
    SKIM = "skim"
    """A good share is credited `1 / factor` of what it is worth."""
    JOBS = "jobs"
    """`factor` new jobs a second, none of them clean: jobs that never end."""
    FLOOD = "flood"
    """With every job, a line of a megabyte."""
    GARBAGE = "garbage"
    """With every job, lines that are no messages."""


@dataclass(frozen=True, slots=True)
class PoolTrouble:
    """One fault from `from_s` until `until_s` (UTC seconds of the world), on each occasion with probability `share`."""

    fault: PoolFault
    from_s: float = -inf
    until_s: float = inf
    share: float = 1.0
    factor: float = 2.0


@dataclass(frozen=True, slots=True)
class PoolPlace:
    """One pool of a pretend world, and where it listens: an address of 127.0.0.0/8.

    `api_port`: of its HTTP pages, if it has any. `token`: what Braiins' page asks for. `regtest`: its chain is Bitcoin
    Core's regression test network from its genesis on, where every second hash is a block.
    """

    name: str
    port: int
    settings: PoolSettings
    host: str = "127.0.0.1"
    api_port: int | None = None
    token: str = ""
    troubles: tuple[PoolTrouble, ...] = ()
    regtest: bool = False

    @property
    def url(self) -> str:
        """As it is written into a machine's configuration."""
        return f"stratum+tcp://{self.host}:{self.port}"


class PoolTroubles:
    """The plan at work."""

    def __init__(self, plan: Sequence[PoolTrouble], seed: int) -> None:
        self._plan = tuple(plan)
        self._seed = seed

    def now(self, fault: PoolFault, at_s: float) -> PoolTrouble | None:
        """The fault's entry that is in force at a time, whatever its share."""
        for trouble in self._plan:
            if trouble.fault is fault and trouble.from_s <= at_s < trouble.until_s:
                return trouble
        return None

    def strikes(self, fault: PoolFault, at_s: float, session: int, occasion: int) -> PoolTrouble | None:
        """The entry in force, where it strikes this session on this occasion."""
        trouble = self.now(fault, at_s)
        if trouble is None:
            return None
        text = f"{self._seed}/{fault}/{session}/{occasion}"
        place = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") / 2**64
        return trouble if place < trouble.share else None

    def changes_s(self) -> list[float]:
        """The times at which something begins."""
        return sorted(trouble.from_s for trouble in self._plan)
