"""A coinbase tells the height and whom it pays, and garbage pays nobody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.work.stratum import Coinbase, Network, Output, address_of, read_coinbase
from fleet.work.stratum.coinbase import height_in

BITAXE = bytes.fromhex(
    "02000000010000000000000000000000000000000000000000000000000000000000000000ffffffff1903c943255c7075626c69632d706f6f6c5c"
    "57a6f098c7080000ffffffff037a90000000000000160014e6f22ca44dc800e9d049621a3b9a42c509f1c4bc3b0f250000000000160014e6f22c"
    "a44dc800e9d049621a3b9a42c509f1c4bc0000000000000000266a24aa21a9edbd3d1d916aa0b57326a2d88ebe1b68a1d7c48585f26d8335fe6a"
    "94b62755f64c00000000"
)
"""public-pool's own recording of a Bitaxe on testnet (src/models/StratumV1Client.spec.ts): 1.5 % to the pool."""


def test_a_pools_coinbase() -> None:
    """Whom a job pays would be read wrongly, and work for somebody else not be told from our own."""
    found = read_coinbase(BITAXE)
    assert found is not None
    assert found.height == 2_442_185
    assert [output.satoshis for output in found.outputs] == [36_986, 2_428_731, 0]
    assert found.satoshis == 2_465_717
    ours = "tb1qumezefzdeqqwn5zfvgdrhxjzc5ylr39uhuxcz4"
    assert [address_of(output.script, Network.TEST) for output in found.outputs] == [ours, ours, None]
    assert found.paid(frozenset({found.outputs[0].script})) == 2_465_717
    assert found.paid(frozenset()) == 0


def test_a_witness_does_not_matter() -> None:
    """A pool that sends its coinbase with the witness would seem to pay nobody."""
    witness = b"\1\x20" + bytes(32)
    with_witness = BITAXE[:4] + b"\0\1" + BITAXE[4:-4] + witness + BITAXE[-4:]
    assert read_coinbase(with_witness) == read_coinbase(BITAXE)


@pytest.mark.parametrize("size", range(0, len(BITAXE) - 4, 3))
def test_a_coinbase_that_ends_early_is_none(size: int) -> None:
    """Half a transaction would pay half of those whom it pays."""
    assert read_coinbase(BITAXE[:size]) is None


@pytest.mark.parametrize(
    ("name", "transaction"),
    [
        ("two inputs", BITAXE[:4] + b"\2" + BITAXE[5:]),
        ("it spends something", BITAXE[:5] + b"\1" + BITAXE[6:]),
        ("a script of 2**63 bytes", BITAXE[:41] + b"\xff" + b"\xff" * 8 + BITAXE[42:]),
        ("2**63 outputs", BITAXE[: 42 + 25 + 4] + b"\xff" + b"\x7f" * 8 + BITAXE[42 + 25 + 5 :]),
    ],
)
def test_what_is_no_coinbase(name: str, transaction: bytes) -> None:
    """A transaction of another kind would be taken for a coinbase, or make us count to 2**63."""
    assert read_coinbase(transaction) is None, name


@given(st.binary(max_size=300))
def test_no_bytes_raise(transaction: bytes) -> None:
    """A pool's garbage would end its connection's task."""
    found = read_coinbase(transaction)
    assert found is None or isinstance(found, Coinbase)


@pytest.mark.parametrize(
    ("script", "height"),
    [
        ("0389130c", 791_433),  # Braiins Pool
        ("03c943255c", 2_442_185),
        ("020862", 25_096),  # slush's example
        ("0111", 17),
        ("5b", 11),
        ("51", 1),
        ("60", 16),
        ("028000", 128),  # the zero keeps the sign away
        ("03ffff7f", 8_388_607),
        # no heights: the genesis block's nBits, a negative number, no shortest push, text, too short, nothing
        ("04ffff001d0104", None),
        ("03ffffff", None),
        ("03010000", None),
        ("0110", None),
        ("0100", None),
        ("00", None),
        ("4f", None),
        ("61", None),
        ("2f736c7573682f", None),
        ("0389", None),
        ("03", None),
        ("", None),
    ],
)
def test_heights(script: str, height: int | None) -> None:
    """A block's height would be made up from what stands where others have it."""
    assert height_in(bytes.fromhex(script)) == height


def push(height: int) -> bytes:
    """A height as Bitcoin Core pushes it (script.h, push_int64)."""
    if height <= 16:
        return bytes([0x50 + height])
    data = height.to_bytes(height.bit_length() // 8 + 1, "little")
    return bytes([len(data)]) + data


@given(st.integers(1, 8_388_607), st.binary(max_size=5))
def test_every_height_is_read(height: int, rest: bytes) -> None:
    """Some heights would be read wrongly, or not at all."""
    assert height_in(push(height) + rest) == height


@given(
    st.integers(17, 8_000_000),
    st.lists(st.builds(Output, st.integers(0, (1 << 64) - 1), st.binary(max_size=300)), max_size=300),
)
def test_every_coinbase_is_read(height: int, outputs: list[Output]) -> None:
    """Many outputs or long scripts would be read wrongly: their counts take more bytes than one."""

    def count(number: int) -> bytes:
        return bytes([number]) if number < 0xFD else b"\xfd" + number.to_bytes(2, "little")

    script = push(height) + b"extranonces"
    paid = b"".join(
        output.satoshis.to_bytes(8, "little") + count(len(output.script)) + output.script for output in outputs
    )
    transaction = b"".join(
        (
            b"\2\0\0\0\1",
            bytes(32),
            b"\xff" * 4,
            count(len(script)),
            script,
            b"\xff" * 4,
            count(len(outputs)),
            paid,
            bytes(4),
        )
    )
    assert read_coinbase(transaction) == Coinbase(height, tuple(outputs))
