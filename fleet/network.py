"""The network's arithmetic: subsidy, retarget and the hashes that a block costs, exact.

The retarget is Bitcoin Core's CalculateNextWorkRequired (pow.cpp): the time from the first to the last of 2,016 blocks,
which is 2,015 intervals, held within a factor of four of two weeks, applied in 256-bit integers, and rounded through
nBits. Money and expectation are floats; whatever consensus computes is integers.
"""

from __future__ import annotations

from typing import Final

from fleet.units import HASHES_PER_DIFFICULTY, HASHES_PER_TERAHASH
from fleet.work.target import DIFFICULTY_1_TARGET, nbits_of_target, target_of_nbits

SATOSHI_PER_BTC: Final = 100_000_000
HALVING_BLOCKS: Final = 210_000
EPOCH_BLOCKS: Final = 2_016
BLOCK_S: Final = 600
EPOCH_S: Final = EPOCH_BLOCKS * BLOCK_S
"""The two weeks that 2,016 blocks should take, though the rule measures 2,015 intervals."""
CLAMP: Final = 4
FEE_BLOCKS: Final = 144
"""Fees per block are means over this many blocks: what FPPS pools pay by."""


def subsidy_sat(height: int) -> int:
    """New coins of the block at a height, in satoshi (Bitcoin Core, GetBlockSubsidy).

    Raises:
        ValueError: a negative height.
    """
    if height < 0:
        raise ValueError(f"height {height}, expected 0 or more")
    halvings = height // HALVING_BLOCKS
    return 0 if halvings >= 64 else 50 * SATOSHI_PER_BTC >> halvings


def subsidy_btc(height: int) -> float:
    """New coins of the block at a height, in BTC."""
    return subsidy_sat(height) / SATOSHI_PER_BTC


def next_halving(height: int) -> int:
    """The first height after this one whose subsidy is half."""
    return (height // HALVING_BLOCKS + 1) * HALVING_BLOCKS


def next_retarget(height: int) -> int:
    """The first height after this one that may carry another difficulty."""
    return (height // EPOCH_BLOCKS + 1) * EPOCH_BLOCKS


def retarget(nbits: int, first_s: int, last_s: int) -> int:
    """The nBits of the next epoch, from those of this one and the times of its first and its last block.

    Raises:
        ValueError: nBits that no header may carry.
    """
    span_s = min(max(last_s - first_s, EPOCH_S // CLAMP), EPOCH_S * CLAMP)
    target = target_of_nbits(nbits)
    # 256-bit arithmetic in Core: the product cannot overflow there because no target is easier than difficulty 1
    return nbits_of_target(min(target * span_s // EPOCH_S, DIFFICULTY_1_TARGET))


def retarget_span_s(nbits: int, later_nbits: int) -> tuple[int, int] | None:
    """The shortest and the longest time that turn one epoch's nBits into the next's; None where no time does.

    Times beyond the clamp count as the clamp's ends.
    """
    shortest, longest = EPOCH_S // CLAMP, EPOCH_S * CLAMP

    def first_at_or_above(target: int) -> int:
        """Least span whose next target, rounded through nBits, is at least this."""
        low, high = shortest, longest + 1
        while low < high:
            middle = (low + high) // 2
            if target_of_nbits(retarget(nbits, 0, middle)) >= target:
                high = middle
            else:
                low = middle + 1
        return low

    wanted = target_of_nbits(later_nbits)
    least, most = first_at_or_above(wanted), first_at_or_above(wanted + 1) - 1
    return (least, most) if least <= min(most, longest) and retarget(nbits, 0, least) == later_nbits else None


def hashes_per_block(difficulty: float) -> float:
    """Expected hashes for one block."""
    return difficulty * HASHES_PER_DIFFICULTY


def blocks_expected(hashrate_ths: float, seconds: float, difficulty: float) -> float:
    """Blocks that a hash rate finds in a time, on average."""
    return hashrate_ths * HASHES_PER_TERAHASH * seconds / hashes_per_block(difficulty)


def shares_expected(hashrate_ths: float, seconds: float, share_difficulty: float) -> float:
    """Shares of a difficulty that a hash rate finds in a time, on average."""
    return blocks_expected(hashrate_ths, seconds, share_difficulty)


def network_hashrate_ths(difficulty: float) -> float:
    """The hash rate at which a difficulty gives one block in 600 s."""
    return hashes_per_block(difficulty) / BLOCK_S / HASHES_PER_TERAHASH
