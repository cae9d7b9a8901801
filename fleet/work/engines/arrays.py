"""The numpy engine: SHA-256 on arrays, each word an array with that word of many headers.

What is the same for a version's nonces (the midstate, the first rounds, much of the message schedule) is integers, and is
computed once for each batch. numpy itself is imported with the first of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fleet.work.header import HEAD_BYTES, Hit, checked_headers, checked_scan, folded, little_word, meets, sha256d
from fleet.work.sha256 import H0, MASK, compress, words_of

_BATCH: Final = 4_096
"""Headers at a time: some arrays of this many words stay in the second-level cache."""


class NumpyEngine:
    """SHA-256d by numpy. Safe for any number of threads."""

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return "numpy"

    @property
    def threads_gain(self) -> bool:
        """No: numpy lets go of the interpreter's lock for microseconds, and waits longer to have it back."""
        return False

    def scan(self, head: bytes, nonces: range, target: int, versions: Sequence[int] = ()) -> tuple[Hit, ...]:
        """Every header of these nonces and versions at or below the target; see `Engine`."""
        from fleet.work.engines.columns import last_words

        hits: list[Hit] = []
        for version in checked_scan(head, nonces, versions):
            versioned = little_word(version) + head[4:HEAD_BYTES]
            midstate, tail = compress(H0, words_of(versioned[:64])), words_of(versioned[64:])
            for begin in range(0, len(nonces), _BATCH):
                part = nonces[begin : begin + _BATCH]
                marked = last_words(midstate, tail, part) <= min(target >> 224, MASK)
                for at in marked.nonzero()[0].tolist():
                    digest = sha256d(versioned + little_word(part[at]))
                    if meets(digest, target):
                        hits.append(Hit(version, part[at], digest))
        return tuple(hits)

    def digests(self, headers: bytes) -> bytes:
        """The hashes of headers that stand one after another; see `Engine`."""
        from fleet.work.engines.columns import hashes

        return hashes(headers) if checked_headers(headers) else b""

    def folded(self, leaf: bytes, branches: Sequence[bytes]) -> bytes:
        """The merkle root above a leaf, one hash after another, which arrays cannot help; see `Engine`."""
        return folded(leaf, branches)
