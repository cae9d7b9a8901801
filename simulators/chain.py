"""Chain: the blocks that a pretend pool works on, as bytes: coinbase, merkle tree, template, and the tip.

Two chains: `Regtest` makes whole blocks that Bitcoin's consensus code accepts (BIP 34 height, BIP 141 commitment,
transactions that spend matured coinbases), and moves when one of them is found; `PretendNetwork` moves by itself, a
block every ten minutes or so from its seed, over transactions of which it knows the hashes alone, as a miner does.
Written from the developer reference on bitcoin.org and BIPs 34, 141 and 144; hashes are as they come out of SHA-256d.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import numpy as np
from typing_extensions import override

from fleet.network import subsidy_sat
from fleet.work.sha256d import sha256d

MAINNET_NBITS: Final = 0x17025FF5
REGTEST_NBITS: Final = 0x207FFFFF
REGTEST_GENESIS: Final = bytes.fromhex("0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206")[::-1]
REGTEST_HALVING: Final = 150
MATURITY: Final = 100
"""Blocks until a coinbase may be spent."""
VERSION: Final = 0x2000_0000
ANYONE: Final = b"\x51"
"""OP_TRUE: a script that everybody satisfies."""
PAYOUT: Final = b"\x00\x20" + sha256(ANYONE).digest()
"""Pay to the witness script hash of OP_TRUE: spending it needs a witness, and a witness needs the commitment."""
COMMITMENT_HEAD: Final = bytes.fromhex("6a24aa21a9ed")
RESERVED: Final = bytes(32)
FEE_SAT: Final = 1_000
SPENDS: Final = 3
"""How many coinbases a block spends, whenever so many are ripe."""
MEAN_BLOCK_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Template:
    """What the next block is made of: `transactions` in full where they are known, and the merkle branches in any case.

    `value_sat` is subsidy and fees, `commitment` the script of BIP 141's output (empty: none), `least_time_s` the
    earliest time that a block may carry.
    """

    height: int
    previous: bytes
    nbits: int
    least_time_s: int
    value_sat: int
    branches: tuple[bytes, ...]
    commitment: bytes = b""
    transactions: tuple[bytes, ...] | None = None


class Chain(ABC):
    """What a pool asks of the chain."""

    @property
    @abstractmethod
    def tip(self) -> bytes:
        """The hash of the last block."""

    @abstractmethod
    def advance(self, at_s: float) -> None:
        """Blocks that others found until then (UTC seconds)."""

    @abstractmethod
    def template(self) -> Template:
        """The next block on the present tip."""

    @abstractmethod
    def extend(self, template: Template, head: bytes, coinbase: bytes) -> None:
        """A block on the present tip was found: its 80-byte header and its coinbase (without witness)."""


class PretendNetwork(Chain):
    """A network that finds its own blocks, exponential gaps of a mean of `mean_block_s`, from a seed."""

    def __init__(
        self,
        seed: int,
        at_s: float,
        *,
        height: int = 860_000,
        nbits: int = MAINNET_NBITS,
        mean_block_s: float = MEAN_BLOCK_S,
        depth: int = 12,
    ) -> None:
        self._draws = np.random.default_rng([seed, 11])
        self._nbits, self._mean_block_s, self._depth = nbits, mean_block_s, depth
        self._height, self._at_s = height, at_s
        self._due_s = at_s + self._draws.exponential(mean_block_s)
        self._tip = self._draws.bytes(28) + bytes(4)

    @property
    @override
    def tip(self) -> bytes:
        """The hash of the last block."""
        return self._tip

    @override
    def advance(self, at_s: float) -> None:
        """Blocks that others found until then; their hashes are invented."""
        while self._due_s <= at_s:
            self._next(self._due_s, self._draws.bytes(28) + bytes(4))
            self._due_s += self._draws.exponential(self._mean_block_s)

    @property
    def due_s(self) -> float:
        """When the network finds its next block."""
        return float(self._due_s)

    @override
    def template(self) -> Template:
        """The next block; its transactions are hashes without a text, anew at each asking."""
        return Template(
            height=self._height + 1,
            previous=self._tip,
            nbits=self._nbits,
            least_time_s=int(self._at_s) - 3_600,
            value_sat=subsidy_sat(self._height + 1) + 5_000_000,
            branches=tuple(self._draws.bytes(32) for _ in range(self._depth)),
            commitment=COMMITMENT_HEAD + self._draws.bytes(32),
        )

    @override
    def extend(self, template: Template, head: bytes, coinbase: bytes) -> None:
        """One of ours was found."""
        self._next(self._at_s, sha256d(head))

    def _next(self, at_s: float, tip: bytes) -> None:
        self._height, self._tip, self._at_s = self._height + 1, tip, at_s


@dataclass(slots=True)
class _Coin:
    """An output that may be spent from a height on."""

    txid: bytes
    value_sat: int
    from_height: int


class Regtest(Chain):
    """Bitcoin Core's regression test network from its genesis: nBits 207fffff, and no blocks but those that are found.

    From height 103 on, every third block spends three matured coinbases, which pay to anyone; so templates have merkle
    branches and witnesses, and the commitment is not there for show.
    """

    def __init__(self) -> None:
        self._tip, self._height = REGTEST_GENESIS, 0
        self._times_s: list[int] = [1_296_688_602]
        self._coins: list[_Coin] = []

    @property
    @override
    def tip(self) -> bytes:
        """The hash of the last block."""
        return self._tip

    @property
    def height(self) -> int:
        """Of the tip."""
        return self._height

    @override
    def advance(self, at_s: float) -> None:
        """Nobody else mines here."""

    @override
    def template(self) -> Template:
        """The next block, whole."""
        height = self._height + 1
        ripe = [coin for coin in self._coins if coin.from_height <= height]
        spends = ripe[:SPENDS] if len(ripe) >= SPENDS else []
        transactions = tuple(_spend(coin) for coin in spends)
        txids = [sha256d(_stripped(raw)) for raw in transactions]
        witness_root = merkle_root(bytes(32), branches_of([sha256d(raw) for raw in transactions]))
        return Template(
            height=height,
            previous=self._tip,
            nbits=REGTEST_NBITS,
            least_time_s=sorted(self._times_s[-11:])[len(self._times_s[-11:]) // 2] + 1,
            value_sat=(5_000_000_000 >> height // REGTEST_HALVING) + FEE_SAT * len(transactions),
            branches=tuple(branches_of(txids)),
            commitment=COMMITMENT_HEAD + sha256d(witness_root + RESERVED),
            transactions=transactions,
        )

    @override
    def extend(self, template: Template, head: bytes, coinbase: bytes) -> None:
        """A block was found; its coinbase can be spent a hundred blocks later."""
        self._tip, self._height = sha256d(head), template.height
        self._times_s = [*self._times_s[-10:], int.from_bytes(head[68:72], "little")]
        # a template spends the first that are ripe, and coinbases ripen in the order of their blocks
        self._coins = self._coins[len(template.transactions or ()) :]
        self._coins.append(_Coin(sha256d(coinbase), template.value_sat, template.height + MATURITY))


# -------------------------------------------------------------------------------------------------------------- bytes


def branches_of(others: Sequence[bytes]) -> list[bytes]:
    """The merkle branches of a first leaf whose neighbours are `others`, from the leaves up."""
    level: list[bytes] = list(others)
    branches: list[bytes] = []
    while level:
        branches.append(level[0])
        # the first place belongs to the leaf that is not there yet; an odd last one is paired with itself
        rest = level[1:]
        if len(rest) % 2:
            rest.append(rest[-1])
        level = [sha256d(rest[at] + rest[at + 1]) for at in range(0, len(rest), 2)]
    return branches


def merkle_root(leaf: bytes, branches: Sequence[bytes]) -> bytes:
    """The root above a first leaf."""
    for branch in branches:
        leaf = sha256d(leaf + branch)
    return leaf


def coinbase_halves(
    template: Template, extranonce_bytes: int, tag: bytes, payout: bytes = PAYOUT
) -> tuple[bytes, bytes]:
    """A coinbase transaction without witness, in two parts: so many bytes of extranonce come between them.

    Raises:
        ValueError: an input script of more than 100 bytes, which consensus refuses.
    """
    before = pushed_height(template.height) + bytes([extranonce_bytes])
    after = pushed(tag)
    size = len(before) + extranonce_bytes + len(after)
    if size > 100:
        raise ValueError(f"a coinbase script of {size} bytes, expected at most 100: a shorter tag or extranonce")
    outputs = [_output(template.value_sat, payout)]
    if template.commitment:
        outputs.append(_output(0, template.commitment))
    first = (2).to_bytes(4, "little") + b"\x01" + bytes(32) + b"\xff" * 4 + bytes([size]) + before
    second = after + b"\xff" * 4 + bytes([len(outputs)]) + b"".join(outputs) + bytes(4)
    return first, second


def whole_block(head: bytes, coinbase: bytes, transactions: Sequence[bytes]) -> bytes:
    """A block as the network sends it: header, count, the coinbase with its witness (BIP 144), and the rest."""
    witness = b"\x01\x20" + RESERVED
    whole = coinbase[:4] + b"\x00\x01" + coinbase[4:-4] + witness + coinbase[-4:]
    return head + varint(1 + len(transactions)) + whole + b"".join(transactions)


def varint(value: int) -> bytes:
    """A count as CompactSize."""
    if value < 0xFD:
        return bytes([value])
    return b"\xfd" + value.to_bytes(2, "little") if value < 1 << 16 else b"\xfe" + value.to_bytes(4, "little")


def pushed(data: bytes) -> bytes:
    """A script that pushes at most 75 bytes."""
    return bytes([len(data)]) + data if data else b""


def pushed_height(height: int) -> bytes:
    """BIP 34: the height as Bitcoin's scripts push a number; 1 to 16 have operations of their own."""
    if 1 <= height <= 16:
        return bytes([0x50 + height])
    return pushed(height.to_bytes((height.bit_length() + 8) // 8, "little"))


def _output(value_sat: int, script: bytes) -> bytes:
    return value_sat.to_bytes(8, "little") + varint(len(script)) + script


def _spend(coin: _Coin) -> bytes:
    """A transaction that spends a coin that pays to anyone by its witness, and pays the same on less the fee."""
    inputs = b"\x01" + coin.txid + bytes(4) + b"\x00" + b"\xff" * 4
    outputs = b"\x01" + _output(coin.value_sat - FEE_SAT, PAYOUT)
    witness = b"\x01" + varint(len(ANYONE)) + ANYONE
    return (2).to_bytes(4, "little") + b"\x00\x01" + inputs + outputs + witness + bytes(4)


def _stripped(raw: bytes) -> bytes:
    """A transaction of ours without marker, flag and witness: what its id is the hash of."""
    witness = 1 + 1 + len(ANYONE)
    return raw[:4] + raw[6 : -4 - witness] + raw[-4:]
