"""Subsidy, retarget and expectation, against Bitcoin Core's vectors and the whole chain so far."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.coin import Epochs, parse_epochs
from fleet.network import (
    EPOCH_S,
    blocks_expected,
    hashes_per_block,
    network_hashrate_ths,
    next_halving,
    next_retarget,
    retarget,
    retarget_span_s,
    shares_expected,
    subsidy_btc,
    subsidy_sat,
)
from fleet.rows import decoded
from fleet.work.target import difficulty_of_nbits, nbits_of_target, target_of_nbits

CHAIN = Path(__file__).parents[2] / "simulators/scenarios/data/btc_difficulty_epochs.csv"


@pytest.fixture(scope="module")
def chain() -> Epochs:
    """Every retarget to height 953,568."""
    return parse_epochs(decoded(CHAIN.read_bytes(), CHAIN.name), CHAIN.name)


@pytest.mark.parametrize(
    ("first_s", "last_s", "nbits", "expected"),
    [
        # Bitcoin Core, src/test/pow_tests.cpp: get_next_work, _pow_limit, _lower_limit_actual, _upper_limit_actual
        (1_261_130_161, 1_262_152_739, 0x1D00FFFF, 0x1D00D86A),
        (1_231_006_505, 1_233_061_996, 0x1D00FFFF, 0x1D00FFFF),
        (1_279_008_237, 1_279_297_671, 0x1C05A3F4, 0x1C0168FD),
        (1_263_163_443, 1_269_211_443, 0x1C387F6F, 0x1D00E1FD),
    ],
)
def test_core_vectors(first_s: int, last_s: int, nbits: int, expected: int) -> None:
    """The next difficulty would differ from Bitcoin Core's."""
    assert retarget(nbits, first_s, last_s) == expected


def test_off_by_one() -> None:
    """Blocks at exactly 600 s would leave the difficulty as it is, where Core's 2,015 intervals raise it by 0.05 %."""
    nbits = 0x170240C3
    change = difficulty_of_nbits(retarget(nbits, 0, 2_015 * 600)) / difficulty_of_nbits(nbits)
    assert change == pytest.approx(2_016 / 2_015, abs=7e-6)  # the step of nBits here


def test_every_retarget_of_the_chain(chain: Epochs) -> None:
    """Some change of difficulty in history could not come about by the rule as it is written here."""
    nbits = [int(value) for value in chain.nbits]
    assert [int(height) for height in chain.first_height] == list(range(0, 953_569, 2_016))
    for height, (before, after) in zip(chain.first_height[1:], pairwise(nbits), strict=True):
        span_s = retarget_span_s(before, after)
        assert span_s is not None, f"no timespan turns {before:#x} into {after:#x} at height {height}"
        assert retarget(before, 0, span_s[0]) == retarget(before, 0, span_s[1]) == after
        if span_s[1] < 4 * EPOCH_S:
            assert retarget(before, 0, span_s[1] + 1) != after
        if span_s[0] > EPOCH_S // 4:
            assert retarget(before, 0, span_s[0] - 1) != after


def test_every_nbits_of_the_chain(chain: Epochs) -> None:
    """The nBits of some epoch would not survive the way to the target and back, or give another difficulty."""
    for nbits, difficulty in zip(chain.nbits.tolist(), chain.difficulty.tolist(), strict=True):
        assert nbits_of_target(target_of_nbits(nbits)) == nbits
        assert difficulty_of_nbits(nbits) == pytest.approx(difficulty, rel=1e-15)


def test_unreachable_change() -> None:
    """A change beyond the clamp, or between two steps of rounding, would be taken as possible."""
    assert retarget_span_s(0x170240C3, nbits_of_target(target_of_nbits(0x170240C3) // 5)) is None
    assert retarget_span_s(0x1D00FFFF, 0x1D00FFFF) == (EPOCH_S, 4 * EPOCH_S)


@given(
    st.integers(0x1000_8000, 0x1C7F_FFFF).filter(lambda nbits: 0x8000 <= nbits & 0xFFFFFF < 0x800000),
    st.integers(-(10**9), 10**9),
)
def test_clamp(nbits: int, span_s: int) -> None:
    """Some timespan, even a negative one, would move the difficulty by more than four."""
    ratio = difficulty_of_nbits(retarget(nbits, 0, span_s)) / difficulty_of_nbits(nbits)
    assert 0.25 * (1 - 1e-9) <= ratio <= 4 * (1 + 2**-14)


@pytest.mark.parametrize(
    ("height", "satoshi"),
    [
        (0, 5_000_000_000),
        (209_999, 5_000_000_000),
        (210_000, 2_500_000_000),
        (420_000, 1_250_000_000),
        (630_000, 625_000_000),
        (839_999, 625_000_000),
        (840_000, 312_500_000),
        (1_050_000, 156_250_000),
        (210_000 * 10, 4_882_812),
        (210_000 * 32, 1),
        (210_000 * 33, 0),
        (210_000 * 64, 0),
    ],
)
def test_subsidy(height: int, satoshi: int) -> None:
    """A halving would come a block early or late, or a satoshi would be rounded."""
    assert subsidy_sat(height) == satoshi
    assert subsidy_btc(height) == satoshi / 1e8


def test_all_coins() -> None:
    """The subsidies would not add up to the 2,099,999,997,690,000 satoshi of Core's subsidy_limit_test."""
    assert sum(210_000 * subsidy_sat(210_000 * era) for era in range(70)) == 2_099_999_997_690_000
    with pytest.raises(ValueError, match="0 or more"):
        subsidy_sat(-1)


def test_next_events() -> None:
    """The next halving or retarget would be the one that is just past."""
    assert [next_halving(height) for height in (839_999, 840_000)] == [840_000, 1_050_000]
    assert [next_retarget(height) for height in (953_567, 953_568)] == [953_568, 955_584]


def test_expectation() -> None:
    """Expected blocks and shares would not be one per difficulty * 2**32 hashes."""
    difficulty = 124_932_866_006_548.16
    assert hashes_per_block(1.0) == 2**32
    assert network_hashrate_ths(difficulty) == pytest.approx(894_296_000, rel=1e-4)
    assert blocks_expected(network_hashrate_ths(difficulty), 86_400, difficulty) == pytest.approx(144)
    # 100 TH/s at difficulty 65,536: 21.3 shares a minute
    assert shares_expected(100, 60, 65_536) == pytest.approx(21.32, abs=0.01)
