"""Targets, their compact form and difficulty, against Bitcoin Core's own vectors."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.work.target import (
    DIFFICULTY_1_NBITS,
    DIFFICULTY_1_TARGET,
    MOST_TARGET,
    difficulty_of_nbits,
    exact_difficulty,
    nbits_of_target,
    share_difficulty,
    target_of_difficulty,
    target_of_nbits,
)


@pytest.mark.parametrize(
    ("nbits", "target", "back"),
    [
        # Bitcoin Core, src/test/arith_uint256_tests.cpp, bignum_SetCompact
        (0x01123456, 0x12, 0x01120000),
        (0x02123456, 0x1234, 0x02123400),
        (0x03123456, 0x123456, 0x03123456),
        (0x04123456, 0x12345600, 0x04123456),
        (0x05009234, 0x92340000, 0x05009234),
        (0x20123456, 0x123456 << 232, 0x20123456),
        (0x02008000, 0x80, 0x02008000),
        # the chain: difficulty 1, the wiki's example of 0x1b0404cb, and regtest's
        (0x1D00FFFF, DIFFICULTY_1_TARGET, 0x1D00FFFF),
        (0x1B0404CB, 0x0404CB << 192, 0x1B0404CB),
        (0x207FFFFF, 0x7FFFFF << 232, 0x207FFFFF),
    ],
)
def test_compact_form(nbits: int, target: int, back: int) -> None:
    """Some nBits would stand for another target than in Bitcoin Core."""
    assert target_of_nbits(nbits) == target
    assert nbits_of_target(target) == back


@pytest.mark.parametrize(
    ("nbits", "why"),
    [
        (0x00123456, "above zero"),
        (0x01003456, "above zero"),
        (0x04923456, "no sign"),
        (0x01FEDCBA, "no sign"),
        (0xFF123456, "at most 256 bits"),
        (0x22010000, "at most 256 bits"),
        (0x123456789, "32 bits"),
        (-1, "32 bits"),
    ],
)
def test_what_no_header_may_carry(nbits: int, why: str) -> None:
    """A zero, negative or overflowing target would be mined at."""
    with pytest.raises(ValueError, match=why):
        target_of_nbits(nbits)


@pytest.mark.parametrize(
    ("nbits", "difficulty"),
    [
        (0x1D00FFFF, 1.0),
        (0x1B0404CB, 16307.420938523983),
        (0x170240C3, 124932866006548.16),
        (0x207FFFFF, 4.6565423739069247e-10),
    ],
)
def test_difficulty(nbits: int, difficulty: float) -> None:
    """Difficulty would be off by rounding or by the wrong difficulty-1 target."""
    assert difficulty_of_nbits(nbits) == difficulty


@given(st.integers(1, MOST_TARGET))
def test_compact_form_rounds_down(target: int) -> None:
    """A target's compact form would be easier than the target, or lose more than its lower bits."""
    nbits = nbits_of_target(target)
    cut = target_of_nbits(nbits)
    assert cut <= target < cut + (1 << max(0, target.bit_length() - 15))
    assert nbits_of_target(cut) == nbits


@given(st.floats(2**-30, 1e18))
def test_share_target_is_the_edge(difficulty: float) -> None:
    """A share at the target would be refused, or one just above it accepted."""
    target = target_of_difficulty(difficulty)
    assert exact_difficulty(target) >= Fraction(difficulty) > exact_difficulty(target + 1)
    assert share_difficulty(target.to_bytes(32, "little")) >= difficulty * (1 - 2**-52)


def test_edges() -> None:
    """A difficulty of nothing, or a hash of zero, would end in a traceback of arithmetic."""
    assert target_of_difficulty(1) == DIFFICULTY_1_TARGET
    assert nbits_of_target(target_of_difficulty(1)) == DIFFICULTY_1_NBITS
    assert target_of_difficulty(1e-30) == MOST_TARGET
    assert share_difficulty(bytes(32)) == float("inf")
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="a finite number above zero"):
            target_of_difficulty(wrong)
    for wrong_target in (0, MOST_TARGET + 1):
        with pytest.raises(ValueError, match="expected 1 to"):
            nbits_of_target(wrong_target)
    with pytest.raises(ValueError, match="expected 32"):
        share_difficulty(bytes(31))
