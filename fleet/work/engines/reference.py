"""The reference engine: Python's own hashlib, with the midstate copied for each nonce."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from fleet.work.header import HEADER_BYTES, Hit, checked_headers, checked_scan, folded, little_word, sha256d


class HashlibEngine:
    """SHA-256d by hashlib. Safe for any number of threads, which take turns."""

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return "hashlib"

    @property
    def threads_gain(self) -> bool:
        """No: hashlib holds the interpreter's lock for messages as short as these."""
        return False

    def scan(self, head: bytes, nonces: range, target: int, versions: Sequence[int] = ()) -> tuple[Hit, ...]:
        """Every header of these nonces and versions at or below the target; see `Engine`."""
        once = hashlib.sha256
        hits: list[Hit] = []
        for version in checked_scan(head, nonces, versions):
            midstate = once(little_word(version) + head[4:64])
            # a copy of this has all but the nonce in its buffer
            ready = midstate.copy()
            ready.update(head[64:])
            copy = ready.copy
            for nonce in nonces:
                first = copy()
                first.update(nonce.to_bytes(4, "little"))
                digest = once(first.digest()).digest()
                if int.from_bytes(digest, "little") <= target:
                    hits.append(Hit(version, nonce, digest))
        return tuple(hits)

    def digests(self, headers: bytes) -> bytes:
        """The hashes of headers that stand one after another; see `Engine`."""
        count = checked_headers(headers)
        return b"".join(sha256d(headers[at * HEADER_BYTES : (at + 1) * HEADER_BYTES]) for at in range(count))

    def folded(self, leaf: bytes, branches: Sequence[bytes]) -> bytes:
        """The merkle root above a leaf; see `Engine`."""
        return folded(leaf, branches)
