"""Target, nBits and difficulty: how hard a hash is to find, in exact integers.

A header's hash, read as a little-endian integer, has to be at or below the target. nBits is the target's compact form
in the header (Bitcoin Core, arith_uint256::SetCompact and GetCompact): one byte of length, three of mantissa, the
highest bit of the mantissa a sign. Difficulty is the difficulty-1 target over the target.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

DIFFICULTY_1_NBITS: Final = 0x1D00FFFF
DIFFICULTY_1_TARGET: Final = 0xFFFF << 208
"""The target of difficulty 1, and Bitcoin's easiest."""
MOST_TARGET: Final = (1 << 256) - 1
_SIGN: Final = 0x0080_0000


def target_of_nbits(nbits: int) -> int:
    """The target that nBits stand for.

    Raises:
        ValueError: not 32 bits, negative, zero, or more than 256 bits: nothing that a header may carry.
    """
    if not 0 <= nbits < 1 << 32:
        raise ValueError(f"nBits {nbits:#x}, expected 32 bits")
    size, mantissa = nbits >> 24, nbits & 0x007F_FFFF
    target = mantissa >> 8 * (3 - size) if size <= 3 else mantissa << 8 * (size - 3)
    if target == 0:
        raise ValueError(f"nBits {nbits:#010x}, expected a target above zero")
    if nbits & _SIGN:
        raise ValueError(f"nBits {nbits:#010x}, expected no sign")
    if target > MOST_TARGET:
        raise ValueError(f"nBits {nbits:#010x}, expected a target of at most 256 bits")
    return target


def nbits_of_target(target: int) -> int:
    """The compact form of a target, its lower bits cut off.

    Raises:
        ValueError: the target is not from 1 to 2**256 - 1.
    """
    if not 1 <= target <= MOST_TARGET:
        raise ValueError(f"target {target:#x}, expected 1 to 2**256 - 1")
    size = (target.bit_length() + 7) // 8
    mantissa = target << 8 * (3 - size) if size <= 3 else target >> 8 * (size - 3)
    if mantissa & _SIGN:
        mantissa >>= 8
        size += 1
    return size << 24 | mantissa


def exact_difficulty(target: int) -> Fraction:
    """The difficulty of a target, or of a hash read as an integer, as an exact fraction.

    Raises:
        ValueError: the target is not above zero.
    """
    if target <= 0:
        raise ValueError(f"target {target}, expected above zero")
    return Fraction(DIFFICULTY_1_TARGET, target)


def difficulty_of_target(target: int) -> float:
    """The difficulty of a target, correctly rounded."""
    return DIFFICULTY_1_TARGET / target if target > 0 else float(exact_difficulty(target))


def difficulty_of_nbits(nbits: int) -> float:
    """The difficulty that a header's nBits stand for, correctly rounded."""
    return difficulty_of_target(target_of_nbits(nbits))


def target_of_difficulty(difficulty: float | Fraction) -> int:
    """The largest target of at least this difficulty: what a share of it must not exceed.

    Below 2**-32 or so every hash is such a share, and the target is 2**256 - 1.

    Raises:
        ValueError: not a finite number above zero.
    """
    try:
        exact = Fraction(difficulty)
    except (OverflowError, ValueError) as error:
        raise ValueError(f"difficulty {difficulty}, expected a finite number above zero") from error
    if exact <= 0:
        raise ValueError(f"difficulty {difficulty}, expected a finite number above zero")
    return min(DIFFICULTY_1_TARGET * exact.denominator // exact.numerator, MOST_TARGET)


def share_difficulty(digest: bytes) -> float:
    """The difficulty that a header's double SHA-256 reaches: the hardest share that it is.

    Raises:
        ValueError: not 32 bytes.
    """
    if len(digest) != 32:
        raise ValueError(f"a digest of {len(digest)} bytes, expected 32")
    value = int.from_bytes(digest, "little")
    return difficulty_of_target(value) if value else float("inf")
