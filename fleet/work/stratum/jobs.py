"""A job on one session: what the pool gave, and what was in force when it did.

It answers what a share's header is made of (the merkle root for an extranonce2, the version for version bits) and what
its hash is held against. A few merkle roots are remembered, because an extranonce2 comes again where a machine rolls
time or version. The job itself is the pool's message, which all sessions share.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Final, TypeAlias

from fleet.work.counted import Flaw
from fleet.work.header import folded
from fleet.work.stratum.coinbase import Coinbase, read_coinbase
from fleet.work.stratum.messages import Notify
from fleet.work.stratum.seen import Seen
from fleet.work.target import target_of_difficulty, target_of_nbits

_ROOTS_KEPT: Final = 8
_sha256: Final = hashlib.sha256
Fold: TypeAlias = Callable[[bytes, Sequence[bytes]], bytes]
"""A merkle root from its leaf and its branches: `fleet.work.header.folded`, or an engine's."""


class Terms:
    """The difficulties that may be in force for a job, and their targets.

    `difficulty` is the strictest and what a share is worth; below `least` nothing is a share; `pool` is the least of the
    pool's own. They differ only around a change, and where a difficulty of our own is asked.
    """

    __slots__ = ("difficulty", "least", "least_target", "pool", "pool_target", "scale", "target")

    def __init__(self, asked: tuple[float, ...], said: tuple[float, ...], scale: float) -> None:
        self.scale = scale
        self.difficulty, self.least, self.pool = max(asked), min(asked), min(said)
        self.target = scaled_target(self.difficulty, scale)
        self.least_target = scaled_target(self.least, scale)
        self.pool_target = scaled_target(self.pool, scale)


class Job:
    """A job on one session. `retired_s` is when the pool ended it, None while it has not."""

    __slots__ = (
        "_fold",
        "_prefix",
        "_roots",
        "_seen",
        "difficulty",
        "extranonce1",
        "extranonce2_bytes",
        "issued_s",
        "least_target",
        "network_target",
        "notify",
        "pool_target",
        "retired_s",
        "scale",
        "target",
        "terms",
    )

    def __init__(
        self,
        notify: Notify,
        extranonce1: bytes,
        extranonce2_bytes: int,
        terms: Terms,
        seen: Seen,
        issued_s: float,
        fold: Fold = folded,
    ) -> None:
        self.notify = notify
        self._fold = fold
        self.extranonce1 = extranonce1
        self.extranonce2_bytes = extranonce2_bytes
        self.issued_s = issued_s
        self.retired_s: float | None = None
        self.network_target = network_target(notify.nbits)
        self._seen = seen
        # made with the first share: most jobs of most machines see a few shares, and there may be many jobs
        self._prefix: hashlib._Hash | None = None
        self._roots: dict[bytes, bytes] | None = None
        self.agree(terms)

    def agree(self, terms: Terms) -> None:
        """Hold shares against these terms from now on."""
        self.terms = terms
        # once more, one step nearer to where every share looks for them
        self.scale = terms.scale
        self.difficulty = terms.difficulty
        self.target, self.least_target, self.pool_target = terms.target, terms.least_target, terms.pool_target

    def remember(self, key: int) -> Flaw | None:
        """Note a share by the low 64 bits of its hash; a flaw when it was there before, or there is no room to tell."""
        return self._seen.add(key)

    def merkle_root(self, extranonce2: bytes) -> bytes:
        """The root (32 bytes, as in a header) of the tree whose first leaf is the coinbase with this extranonce2."""
        roots = self._roots
        if roots is None:
            roots = self._roots = {}
            self._prefix = _sha256(self.notify.coinbase1 + self.extranonce1)
        root = roots.get(extranonce2)
        if root is None:
            assert self._prefix is not None
            if len(roots) >= _ROOTS_KEPT:
                del roots[next(iter(roots))]
            notify = self.notify
            coinbase = self._prefix.copy()
            coinbase.update(extranonce2 + notify.coinbase2)
            root = roots[extranonce2] = self._fold(_sha256(coinbase.digest()).digest(), notify.branches)
        return root

    def coinbase(self, extranonce2: bytes | None = None) -> Coinbase | None:
        """The coinbase transaction taken apart (zeros where no extranonce2 is given), None where it is none."""
        notify = self.notify
        middle = bytes(self.extranonce2_bytes) if extranonce2 is None else extranonce2
        return read_coinbase(notify.coinbase1 + self.extranonce1 + middle + notify.coinbase2)


@lru_cache(maxsize=4_096)
def scaled_target(difficulty: float, scale: float) -> int:
    """The target of a difficulty; `scale` is for a simulated site alone (see `JobBook`)."""
    return target_of_difficulty(Fraction(difficulty) * Fraction(scale))


@lru_cache(maxsize=64)
def network_target(nbits: int) -> int:
    """The target of a block; 0, which no hash meets, where nBits are none that a header may carry."""
    try:
        return target_of_nbits(nbits)
    except ValueError:
        return 0
