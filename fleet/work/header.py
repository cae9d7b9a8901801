"""A block header: its 80 bytes, its SHA-256d, and what an engine that hashes headers promises.

A header is version, previous hash, merkle root, time, nBits and nonce, integers little-endian. Its first 64 bytes are
the same for every nonce, so an engine hashes them once (the midstate) and finishes from there. Every engine has one
signature, so that a faster one (numpy, native code) takes the place of the reference and agrees with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

HEADER_BYTES: Final = 80
HEAD_BYTES: Final = 76
"""A header without its nonce."""
DIGEST_BYTES: Final = 32
MOST_NONCES: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class Hit:
    """One header that meets the target: its version, its nonce and its hash (32 bytes as they come out)."""

    version: int
    nonce: int
    digest: bytes


class Engine(Protocol):
    """Something that hashes headers. Not safe for use by two threads at once unless it says so."""

    @property
    def name(self) -> str:
        """What it is called in tables."""
        ...

    @property
    def threads_gain(self) -> bool:
        """Do several threads hash faster than one? If not, it takes several processes."""
        ...

    def scan(self, head: bytes, nonces: range, target: int, versions: Sequence[int] = ()) -> tuple[Hit, ...]:
        """Every header of these nonces and versions whose hash is at or below the target, by version, then by nonce.

        Both in the order in which they are given. `head` is 76 bytes; `versions` take the place of its own (empty: its
        own alone).

        Raises:
            ValueError: a head of another length, or nonces or versions beyond 32 bits.
        """
        ...

    def digests(self, headers: bytes) -> bytes:
        """The hashes of headers that stand one after another: 32 bytes for every 80.

        Raises:
            ValueError: not whole headers.
        """
        ...

    def folded(self, leaf: bytes, branches: Sequence[bytes]) -> bytes:
        """The merkle root above a leaf; see the function of this name."""
        ...


def folded(leaf: bytes, branches: Sequence[bytes]) -> bytes:
    """The merkle root above a leaf: hashed with each branch (32 bytes, as they come out of SHA-256d) on its right in turn."""
    once = hashlib.sha256
    for branch in branches:
        leaf = once(once(leaf + branch).digest()).digest()
    return leaf


def sha256d(message: bytes) -> bytes:
    """SHA-256 of SHA-256 of a message (FIPS 180-4, twice)."""
    return hashlib.sha256(hashlib.sha256(message).digest()).digest()


def header(version: int, previous: bytes, merkle_root: bytes, time_s: int, nbits: int, nonce: int) -> bytes:
    """The 80 bytes of a header; both hashes as they come out of SHA-256d (the reverse of how they are printed).

    Raises:
        ValueError: a hash that is not 32 bytes, or an integer that is not 32 bits.
    """
    if len(previous) != DIGEST_BYTES or len(merkle_root) != DIGEST_BYTES:
        raise ValueError(f"hashes of {len(previous)} and {len(merkle_root)} bytes, expected {DIGEST_BYTES}")
    return b"".join(
        (little_word(version), previous, merkle_root, little_word(time_s), little_word(nbits), little_word(nonce))
    )


def little_word(value: int) -> bytes:
    """Four bytes, little-endian.

    Raises:
        ValueError: not 32 bits.
    """
    if not 0 <= value < 1 << 32:
        raise ValueError(f"{value}, expected 32 bits")
    return value.to_bytes(4, "little")


def meets(digest: bytes, target: int) -> bool:
    """Is a header's hash, read as a little-endian integer, at or below the target?"""
    return int.from_bytes(digest, "little") <= target


def checked_scan(head: bytes, nonces: range, versions: Sequence[int]) -> tuple[int, ...]:
    """The versions that a scan goes through, once its arguments are what `Engine.scan` asks for.

    Raises:
        ValueError: they are not.
    """
    if len(head) != HEAD_BYTES:
        raise ValueError(f"a head of {len(head)} bytes, expected {HEAD_BYTES}")
    if len(nonces) and not 0 <= min(nonces[0], nonces[-1]) <= max(nonces[0], nonces[-1]) < MOST_NONCES:
        raise ValueError(f"nonces {nonces}, expected 32 bits")
    if any(not 0 <= version < 1 << 32 for version in versions):
        raise ValueError(f"versions {tuple(versions)}, expected 32 bits")
    return tuple(versions) or (int.from_bytes(head[:4], "little"),)


def checked_headers(headers: bytes) -> int:
    """How many headers stand one after another.

    Raises:
        ValueError: not whole headers.
    """
    count, rest = divmod(len(headers), HEADER_BYTES)
    if rest:
        raise ValueError(f"{len(headers)} bytes of headers, expected a multiple of {HEADER_BYTES}")
    return count
