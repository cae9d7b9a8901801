"""SHA-256 as FIPS 180-4 states it, written once over an abstract 32-bit word.

A word is a Python integer, or a `Symbol`: anything that adds, rotates and combines like one (a numpy array with a word of
each header; a value that a native kernel will compute). On integers this file is the reference; on symbols the same lines
are the engines. Sums put first what is known first, so that what is the same for many headers (the midstate, the first
rounds, much of the message schedule) is left behind by whatever evaluates the symbols, once for all of them.

Names, order and section numbers are those of FIPS 180-4; `tests/fleet/work/test_sha256.py` derives the constants again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, TypeAlias, overload

MASK: Final = 0xFFFF_FFFF
BLOCK_WORDS: Final = 16
STATE_WORDS: Final = 8


class Symbol(Protocol):
    """A 32-bit word that is not known yet; sums wrap, shifts and rotations are to the right."""

    @property
    def stage(self) -> int:
        """How late it becomes known, from 1; an integer is known at 0."""
        ...

    def rotated(self, bits: int, /) -> Symbol:
        """ROTR, section 3.2."""
        ...

    def __add__(self, other: Word, /) -> Symbol: ...
    def __radd__(self, other: int, /) -> Symbol: ...
    def __and__(self, other: Word, /) -> Symbol: ...
    def __rand__(self, other: int, /) -> Symbol: ...
    def __or__(self, other: Word, /) -> Symbol: ...
    def __ror__(self, other: int, /) -> Symbol: ...
    def __xor__(self, other: Word, /) -> Symbol: ...
    def __rxor__(self, other: int, /) -> Symbol: ...
    def __rshift__(self, bits: int, /) -> Symbol: ...


Word: TypeAlias = int | Symbol

# section 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes
# fmt: off
K: Final = (
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
)
# section 5.3.3: the first 32 bits of the fractional parts of the square roots of the first 8 primes
H0: Final = (
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
)
# fmt: on


# ------------------------------------------------------------------------------------ sections 2.2.2, 3.2 and 4.1.2


def stage(word: Word) -> int:
    """How late a word becomes known: 0 for an integer."""
    return 0 if isinstance(word, int) else word.stage


def add(*words: Word) -> Word:
    """The sum modulo 2**32 (section 3.2), of what is known first first."""
    first, *rest = sorted(words, key=stage)
    total: Word = first
    for word in rest:
        if isinstance(total, int) and isinstance(word, int):
            total = (total + word) & MASK
        elif total == 0:
            total = word
        else:
            total = total + word
    return total


@overload
def rotr(x: int, n: int) -> int: ...
@overload
def rotr(x: Word, n: int) -> Word: ...
def rotr(x: Word, n: int) -> Word:
    """ROTR^n(x), section 3.2."""
    return (x >> n | x << (32 - n)) & MASK if isinstance(x, int) else x.rotated(n)


def ch(x: Word, y: Word, z: Word) -> Word:
    """Ch (4.2): y where x has a one, z where it has none."""
    return z ^ (x & (y ^ z))


def maj(x: Word, y: Word, z: Word) -> Word:
    """Maj (4.3): y, but z where x and y differ; y ^ z is the x ^ y of the round before, and need not be computed again."""
    return y ^ ((x ^ y) & (y ^ z))


def big_sigma_0(x: Word) -> Word:
    """Sigma 0 (4.4)."""
    return rotr(x, 2) ^ rotr(x, 13) ^ rotr(x, 22)


def big_sigma_1(x: Word) -> Word:
    """Sigma 1 (4.5)."""
    return rotr(x, 6) ^ rotr(x, 11) ^ rotr(x, 25)


def small_sigma_0(x: Word) -> Word:
    """Sigma 0 of the message schedule (4.6)."""
    return rotr(x, 7) ^ rotr(x, 18) ^ (x >> 3)


def small_sigma_1(x: Word) -> Word:
    """Sigma 1 of the message schedule (4.7)."""
    return rotr(x, 17) ^ rotr(x, 19) ^ (x >> 10)


# ---------------------------------------------------------------------------------------------------- section 6.2.2


class Steps(Protocol):
    """How four steps of section 6.2.2 are taken: by its formulas, or by a processor's instructions for them."""

    def schedule(self, w: Sequence[Word], /) -> Sequence[Word]:
        """The next four words of the message schedule, from the last sixteen."""
        ...

    def rounds(self, state: Sequence[Word], k: Sequence[int], w: Sequence[Word], /) -> Sequence[Word]:
        """The working variables a to h after four rounds, with four constants and four words."""
        ...

    def sums(self, x: Sequence[Word], y: Sequence[Word], /) -> Sequence[Word]:
        """Sums word by word."""
        ...


class Formulas:
    """The steps by the formulas of FIPS 180-4 themselves."""

    def schedule(self, w: Sequence[Word], /) -> Sequence[Word]:
        """Step 1: W(t) from W(t-2), W(t-7), W(t-15) and W(t-16)."""
        w = list(w)
        for _ in range(4):
            w.append(add(small_sigma_1(w[-2]), w[-7], small_sigma_0(w[-15]), w[-16]))
        return w[-4:]

    def rounds(self, state: Sequence[Word], k: Sequence[int], w: Sequence[Word], /) -> Sequence[Word]:
        """Step 3."""
        a, b, c, d, e, f, g, h = state
        for k_t, w_t in zip(k, w, strict=True):
            t1 = add(h, big_sigma_1(e), ch(e, f, g), k_t, w_t)
            t2 = add(big_sigma_0(a), maj(a, b, c))
            a, b, c, d, e, f, g, h = add(t1, t2), a, b, c, add(d, t1), e, f, g
        return (a, b, c, d, e, f, g, h)

    def sums(self, x: Sequence[Word], y: Sequence[Word], /) -> Sequence[Word]:
        """Step 4."""
        return tuple(add(a, b) for a, b in zip(x, y, strict=True))


FORMULAS: Final = Formulas()


def compress(state: Sequence[Word], block: Sequence[Word], steps: Steps = FORMULAS) -> Sequence[Word]:
    """The hash value after one more block (section 6.2.2): 8 words from 8 words and 16."""
    w = list(block)
    working = state
    for t in range(0, 64, 4):
        if t >= BLOCK_WORDS:
            w += steps.schedule(w[t - 16 : t])
        working = steps.rounds(working, K[t : t + 4], w[t : t + 4])
    return steps.sums(state, working)


def padding(message_words: int) -> tuple[int, ...]:
    """What makes a message of so many words whole blocks (section 5.1.1)."""
    zeros = -(message_words + 3) % BLOCK_WORDS
    return (0x8000_0000, *(0,) * zeros, 0, 32 * message_words)


def digest(message: bytes) -> bytes:
    """SHA-256 of a message of whole bytes, on integers: what every engine has to agree with."""
    zeros = bytes(-(len(message) + 9) % 64)
    words = words_of(b"".join((message, b"\x80", zeros, (8 * len(message)).to_bytes(8, "big"))))
    state: Sequence[Word] = H0
    for at in range(0, len(words), BLOCK_WORDS):
        state = compress(state, words[at : at + BLOCK_WORDS])
    return bytes_of([word for word in state if isinstance(word, int)])


# ---------------------------------------------------------------------------------------- the double hash of a header


def twice(midstate: Sequence[Word], rest: Sequence[Word], steps: Steps = FORMULAS) -> Sequence[Word]:
    """SHA-256d of a header, from the hash value after its first 16 words (the midstate) and its last 4."""
    first = compress(midstate, (*rest, *padding(20)), steps)
    return compress(H0, (*first, *padding(8)), steps)


def words_of(octets: bytes) -> tuple[int, ...]:
    """Big-endian words (section 3.1), as SHA-256 reads a message.

    Raises:
        ValueError: not whole words.
    """
    if len(octets) % 4:
        raise ValueError(f"{len(octets)} bytes, expected whole words")
    return tuple(int.from_bytes(octets[at : at + 4], "big") for at in range(0, len(octets), 4))


def bytes_of(words: Sequence[int]) -> bytes:
    """The octets of big-endian words."""
    return b"".join(word.to_bytes(4, "big") for word in words)
