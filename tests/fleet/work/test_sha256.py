"""SHA-256 over an abstract word, against FIPS 180-4's own examples and against hashlib."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.work.engines.columns import Column, words_in
from fleet.work.sha256 import (
    H0,
    MASK,
    K,
    Word,
    add,
    bytes_of,
    ch,
    compress,
    digest,
    maj,
    padding,
    rotr,
    twice,
    words_of,
)

WORDS = st.integers(0, MASK)


def primes(count: int) -> list[int]:
    """The first prime numbers."""
    found: list[int] = []
    number = 2
    while len(found) < count:
        if all(number % prime for prime in found):
            found.append(number)
        number += 1
    return found


def cube_root(number: int) -> int:
    """The largest integer whose cube does not exceed a number."""
    low, high = 0, 1 << (number.bit_length() // 3 + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**3 <= number else (low, middle)
    return low


def known(words: Sequence[Word]) -> list[int]:
    """Words that are integers all."""
    return [word for word in words if isinstance(word, int)]


def test_constants_are_what_the_standard_says_they_are() -> None:
    """A digit of a constant would be wrong (sections 4.2.2 and 5.3.3)."""
    assert list(H0) == [math.isqrt(prime << 64) & MASK for prime in primes(8)]
    assert list(K) == [cube_root(prime << 96) & MASK for prime in primes(64)]


@pytest.mark.parametrize(
    ("message", "printed"),
    [
        # the examples of FIPS 180-2, appendix B, which NIST publishes for FIPS 180-4 (csrc.nist.gov, "SHA256.pdf")
        (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
        # NIST's SHA test vectors (CAVP, SHA256ShortMsg.rsp)
        (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (bytes.fromhex("d3"), "28969cdfa74a12c82f3bad960b0b000aca2ac329deea5c2328ebc6f2ba9802c1"),
        (bytes.fromhex("11af"), "5ca7133fa735326081558ac312c620eeca9970d1e70a4b95533d956f072d1f98"),
        (bytes.fromhex("b4190e"), "dff2e73091f6c05e528896c4c831b9448653dc2ff043528f6769437bc7b975c2"),
        (bytes.fromhex("74ba2521"), "b16aa56be3880d18cd41e68384cf1ec8c17680c45a02b1575dc1518923ae8b0e"),
    ],
)
def test_the_examples_of_nist(message: bytes, printed: str) -> None:
    """The function would not be SHA-256."""
    assert digest(message).hex() == printed


@given(st.binary(max_size=200))
def test_any_message(message: bytes) -> None:
    """A message of some length would be padded, or cut into blocks, in another way (section 5)."""
    assert digest(message) == hashlib.sha256(message).digest()


@pytest.mark.parametrize("words", [0, 8, 13, 14, 15, 16, 20, 29])
def test_padding_of_whole_words(words: int) -> None:
    """A message of whole words would be padded otherwise than one of bytes."""
    message = bytes(range(4 * words))
    padded = (*words_of(message), *padding(words))
    assert len(padded) % 16 == 0
    state: Sequence[Word] = H0
    for at in range(0, len(padded), 16):
        state = compress(state, padded[at : at + 16])
    assert bytes_of(known(state)) == hashlib.sha256(message).digest()


@given(st.binary(min_size=80, max_size=80))
def test_a_header_from_its_midstate(raw: bytes) -> None:
    """The midstate would stand for other bytes than the first 64, or the second hash be of something else."""
    words = words_of(raw)
    hashed = twice(compress(H0, words[:16]), words[16:])
    assert bytes_of(known(hashed)) == hashlib.sha256(hashlib.sha256(raw).digest()).digest()


@given(WORDS, WORDS, WORDS, st.integers(1, 31))
def test_functions_bit_by_bit(x: int, y: int, z: int, n: int) -> None:
    """A shorter form of a function would not be the one of section 4.1.2."""
    assert ch(x, y, z) == (x & y) ^ (~x & z)
    assert maj(x, y, z) == (x & y) ^ (x & z) ^ (y & z)
    assert f"{rotr(x, n):032b}" == f"{x:032b}"[-n:] + f"{x:032b}"[:-n]
    assert add(x, y, z) == (x + y + z) % 2**32


def test_words_are_whole() -> None:
    """A cut message would be read as if it were whole."""
    assert words_of(bytes.fromhex("0000000180000000")) == (1, 0x8000_0000)
    with pytest.raises(ValueError, match="7 bytes, expected whole words"):
        words_of(bytes(7))


def test_what_is_known_is_summed_first() -> None:
    """What is the same for every nonce would be added again for each."""
    added: list[Word] = []

    class Late(Column):
        """A word that tells what is added to it."""

        def __radd__(self, other: Word, /) -> Column:
            added.append(other)
            return super().__add__(other)

    total = add(MASK, Late(np.array([5, MASK], dtype=np.uint32)), 3)
    assert words_in(total).tolist() == [7, 1]
    assert added == [2]
