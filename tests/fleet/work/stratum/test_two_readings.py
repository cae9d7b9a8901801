"""The pretend world reads Stratum for itself: what it hashes for a job is what the job book holds its shares against."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from fleet.work.sha256d import sha256d
from fleet.work.stratum import Candidate, JobBook, Notify, Submit, read_coinbase, script_of, write_pool
from simulators.chain import Template, coinbase_halves, merkle_root
from simulators.mining.puzzle import Counter, Puzzle

words = st.integers(0, (1 << 32) - 1)
hashes = st.binary(min_size=32, max_size=32)
notifies = st.builds(
    Notify,
    st.text(max_size=8),
    hashes,
    st.binary(max_size=120),
    st.binary(max_size=120),
    st.lists(hashes, max_size=13).map(tuple),
    version=st.sampled_from([1, 0x2000_0000, 0x2000_0004, 0x3FFF_E000]),
    nbits=words,
    time_s=words,
    clean=st.booleans(),
)


@given(notifies, st.binary(max_size=12), st.integers(1, 8), st.sampled_from([0, 0xE000, 0x1FFF_E000]))
def test_a_miner_hashes_what_its_share_is_held_against(
    notify: Notify, extranonce1: bytes, size: int, mask: int
) -> None:
    """A job would be read in two ways: one of the two readings of the wire is wrong, and honest shares are worthless."""
    params = orjson.loads(write_pool(notify))["params"]
    counter = Counter(size)
    puzzle = Puzzle(params, difficulty=1.0, scale=1.0, extranonce1=extranonce1, counter=counter, mask=mask)
    book = JobBook()
    book.subscribed(extranonce1, size)
    book.granted(mask)
    book.take(notify, 0.0)
    # some nonces of one extranonce2
    for stretch in puzzle.stretches(4):
        for version in stretch.versions or (notify.version,):
            nonce = stretch.nonces[-1]
            bits = version & mask if stretch.versions else None
            share = Submit(1, "w", notify.job_id, stretch.extranonce2, notify.time_s, nonce, bits)
            candidate = book.prepare(share, 0.0)
            assert isinstance(candidate, Candidate)
            assert candidate.header == version.to_bytes(4, "little") + stretch.head[4:] + nonce.to_bytes(4, "little")


@given(hashes, st.lists(hashes, max_size=13))
def test_trees_are_folded_alike(leaf: bytes, branches: list[bytes]) -> None:
    """A merkle root would be made of the same branches in two ways."""
    book = JobBook()
    book.subscribed(b"", 0)
    book.take(Notify("1", bytes(32), leaf, b"", tuple(branches), 1, 1, 1, clean=True), 0.0)
    assert book.newest is not None
    assert book.newest.merkle_root(b"") == merkle_root(sha256d(leaf), branches)


@given(st.integers(1, 8_388_607), st.integers(0, 1 << 50), st.integers(0, 20), st.binary(max_size=40), st.booleans())
def test_coinbases_are_read_as_they_were_made(
    height: int, value_sat: int, extranonce_bytes: int, tag: bytes, committed: bool
) -> None:
    """The pretend pool's height or payees would be read as others."""
    commitment = b"\x6a\x24\xaa\x21\xa9\xed" + bytes(32) if committed else b""
    template = Template(height, bytes(32), 0x207F_FFFF, 1_700_000_000, value_sat, (), commitment)
    payee = script_of("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4")
    first, second = coinbase_halves(template, extranonce_bytes, tag, payee)
    found = read_coinbase(first + bytes(extranonce_bytes) + second)
    assert found is not None
    assert found.height == height
    assert found.paid(frozenset({payee})) == found.satoshis == value_sat
    assert len(found.outputs) == 1 + committed
