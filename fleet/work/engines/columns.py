"""The abstract word on numpy: an array with the same word of many headers, all of them known at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fleet.work.header import HEADER_BYTES
from fleet.work.sha256 import BLOCK_WORDS, H0, STATE_WORDS, Word, compress, twice


class Column:
    """One word of many headers; see `Symbol` for what it does."""

    __slots__ = ("words",)
    stage = 1

    def __init__(self, words: NDArray[np.uint32]) -> None:
        self.words = words

    def rotated(self, bits: int, /) -> Column:
        """ROTR."""
        return Column(self.words >> np.uint32(bits) | self.words << np.uint32(32 - bits))

    def __add__(self, other: Word, /) -> Column:
        return Column(self.words + words_in(other))

    def __and__(self, other: Word, /) -> Column:
        return Column(self.words & words_in(other))

    def __or__(self, other: Word, /) -> Column:
        return Column(self.words | words_in(other))

    def __xor__(self, other: Word, /) -> Column:
        return Column(self.words ^ words_in(other))

    def __rshift__(self, bits: int, /) -> Column:
        return Column(self.words >> np.uint32(bits))

    __radd__, __rand__, __ror__, __rxor__ = __add__, __and__, __or__, __xor__


def words_in(word: Word) -> NDArray[np.uint32]:
    """A word of many headers, or the same of all."""
    if isinstance(word, Column):
        return word.words
    assert isinstance(word, int), f"a word of another kind, {type(word).__name__}"
    return np.asarray(word, dtype=np.uint32)


def last_words(midstate: Sequence[Word], tail: Sequence[Word], nonces: range) -> NDArray[np.uint32]:
    """The last word of each nonce's hash, read little-endian: what is compared with the target's first."""
    little = np.arange(nonces.start, nonces.stop, nonces.step, dtype=np.int64).astype(np.uint32)
    return words_in(twice(midstate, (*tail, Column(little.byteswap())))[STATE_WORDS - 1]).byteswap()


def hashes(headers: bytes) -> bytes:
    """SHA-256d of whole headers that stand one after another."""
    words = np.frombuffer(headers, dtype=">u4").reshape(-1, HEADER_BYTES // 4).T.astype(np.uint32)
    columns = [Column(column) for column in words]
    digests = twice(compress(H0, columns[:BLOCK_WORDS]), columns[BLOCK_WORDS:])
    return np.stack([words_in(word) for word in digests], axis=1).astype(">u4").tobytes()
