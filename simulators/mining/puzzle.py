"""Puzzle: a pool's job as a miner reads it, and the stretches of nonces that are cut from it.

The reading is that of slush's Stratum protocol: the coinbase is first part, extranonces, second part; its hash folded
with the branches is the merkle root; the previous hash comes with each of its words turned round. The second extranonce
counts on from job to job within a session, as cgminer's does, so that no header is tried twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from fleet.work.sha256d import MOST_NONCES, header, sha256d
from fleet.work.target import target_of_difficulty

VERSIONS: Final = 2
"""How many rolled versions are hashed side by side."""


class Unreadable(Exception):
    """A job that no header can be made of."""


class Stretch(NamedTuple):
    """Hashes to make: `nonces` of a head, once for every version (empty: the head's own)."""

    puzzle: Puzzle
    extranonce2: bytes
    head: bytes
    nonces: range
    versions: tuple[int, ...]
    mask: int

    @property
    def hashes(self) -> int:
        """How many."""
        return len(self.nonces) * max(1, len(self.versions))


@dataclass(slots=True)
class Counter:
    """A session's second extranonce: the next that was not used."""

    size: int
    value: int = 0

    def next(self) -> bytes:
        """One that no job of the session had; it begins anew when all were used."""
        text = (self.value % (1 << 8 * self.size)).to_bytes(self.size, "big")
        self.value += 1
        return text


class Puzzle:
    """One job in one session. `target` is what a share of it has to meet; `difficulty` what it was asked with."""

    def __init__(
        self, params: Any, *, difficulty: float, scale: float, extranonce1: bytes, counter: Counter, mask: int
    ) -> None:
        """Read the parameters of mining.notify.

        Raises:
            Unreadable: they are not nine of the right kinds.
        """
        try:
            job, previous, first, second, branches, version, nbits, time_s, clean = params
            self.job = str(job)
            self.first, self.second = bytes.fromhex(first), bytes.fromhex(second)
            self.branches = tuple(bytes.fromhex(branch) for branch in branches)
            turned = bytes.fromhex(previous)
            self.previous = b"".join(turned[at : at + 4][::-1] for at in range(0, 32, 4))
            self.version, self.nbits, self.time_s = int(version, 16), int(nbits, 16), int(time_s, 16)
            if len(turned) != 32 or any(len(branch) != 32 for branch in self.branches):
                raise Unreadable("hashes that are not 32 bytes")
            self.clean = bool(clean)
            self.target = target_of_difficulty(difficulty * scale)
        except (TypeError, ValueError, AttributeError) as error:
            raise Unreadable(f"mining.notify: {error}") from error
        self.difficulty, self.extranonce1, self.mask = difficulty, extranonce1, mask
        self._counter = counter
        self._extranonce2 = b""
        self._head = b""
        self._versions: tuple[int, ...] = ()
        self._nonce = MOST_NONCES

    def stretches(self, hashes: int) -> Iterator[Stretch]:
        """So many hashes (rounded down to whole nonces) that were not tried before."""
        width = VERSIONS if self.mask else 1
        left = hashes // width
        while left > 0:
            if self._nonce >= MOST_NONCES:
                self._turn()
            count = min(left, MOST_NONCES - self._nonce)
            nonces = range(self._nonce, self._nonce + count)
            yield Stretch(self, self._extranonce2, self._head, nonces, self._versions, self.mask)
            self._nonce += count
            left -= count

    def masked(self, mask: int) -> None:
        """Other bits may be rolled from now on."""
        self.mask, self._nonce = mask, MOST_NONCES

    def _turn(self) -> None:
        """The next second extranonce, and with it another merkle root and other rolled bits."""
        turn = self._counter.value
        self._extranonce2 = self._counter.next()
        root = sha256d(self.first + self.extranonce1 + self._extranonce2 + self.second)
        for branch in self.branches:
            root = sha256d(root + branch)
        self._head = header(self.version, self.previous, root, self.time_s, self.nbits, 0)[:-4]
        self._versions = ()
        if self.mask:
            bits = (rolled(self.mask, turn * VERSIONS + place) for place in range(VERSIONS))
            self._versions = tuple(self.version & ~self.mask | bit for bit in bits)
        self._nonce = 0


def rolled(mask: int, number: int) -> int:
    """The number's bits, put where the mask has ones, from the lowest up; bits that find no place are left out."""
    bits, place = 0, 0
    while mask >> place and number:
        if mask >> place & 1:
            bits |= (number & 1) << place
            number >>= 1
        place += 1
    return bits
