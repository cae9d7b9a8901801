"""Real blocks through every engine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.work.sha256d import Engine, engines, header, meets, sha256d
from fleet.work.target import DIFFICULTY_1_TARGET, difficulty_of_nbits, share_difficulty, target_of_nbits

# year, header, hash as it is printed; each is its own proof, for nobody can make up a hash below its target
BLOCKS = {
    # the genesis block, nonce 2083236893 (Bitcoin Core, chainparams.cpp)
    2009: (
        (
            "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f61"
            "7fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c"
        ),
        "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
    ),
    # height 100,000: the example of Bitcoin Core's and bitcoinj's tests
    2010: (
        (
            "0100000050120119172a610421a6c3011dd330d9df07b63616c2cc1f1cd00200000000006657a9252aacd5c0b2940996ecff9522"
            "28c3067cc38d4885efb5a4ac4247e9f337221b4d4c86041b0f2b5710"
        ),
        "000000000003ba27aa200b1cecaad478d2b00432346c3f1f3986da1afd33e506",
    ),
    # height 125,552: the worked example of the Bitcoin wiki, "Block hashing algorithm"
    2011: (
        (
            "0100000081cd02ab7e569e8bcd9317e2fe99f2de44d49ab2b8851ba4a308000000000000e320b6c2fffc8d750423db8b1eb942ae"
            "710e951ed797f7affc8892b0f1fc122bc7f5d74df2b9441a42a14695"
        ),
        "00000000000000001e8d6829a8a21adc5d38d0a473b144b6765798e61f98bd1d",
    ),
    # the example header of the Bitcoin developer reference, "Block headers" (version 2)
    2014: (
        (
            "02000000b6ff0b1b1680a2862a30ca44d346d9e8910d334beb48ca0c00000000000000009d10aa52ee949386ca9385695f04ede2"
            "70dda20810decd12bc9b048aaab3147124d95a5430c31b18fe9f0864"
        ),
        "000000000000000009a11b3972c8e532fe964de937c9e0096b43814e67af3728",
    ),
    # height 491,133
    2017: (
        (
            "00000020790dfd29a6eab5667c8bb42511b3c370d19b03fe9070c1000000000000000000ed32efbfafeb50a29fa29f7838cb3019"
            "af23d5623d6e310bce43d50b8b9623776e86ec5930eb001884adf6b3"
        ),
        "000000000000000000185aaf82c613176413c407c061ba254f7ef5713d82078d",
    ),
    # height 794,143, with a rolled version (BIP 310)
    2023: (
        (
            "000080200e102b98a160f4416c8ff0198db9b177523525c9de8a000000000000000000003b9b941003024e1afa90199732fdb136"
            "6a122ab0a5cacd3f7bcb8cb8815a811b560e8864697e051767c0c9fd"
        ),
        "0000000000000000000293bf6e86820d867cc4ca13cd98326af85bb3bebab9ac",
    ),
    # height 839,900, with a rolled version (BIP 310)
    2024: (
        (
            "0060962aa39b4310863947efd282b30ff755d3ab247c76ee7e5d010000000000000000004c4577aff36cdfdb0613ee3dc73c46e3"
            "49da802849ec4f4995f9de8df5838008df1b226619420317178560d2"
        ),
        "000000000000000000023dfafae2b6e6b5ecf9d1365fafa075dec49625721f37",
    ),
    # height 881,423: found by the 256 Foundation's home miners
    2025: (
        (
            "0060592ee3c96a8a70ca15fe215e99f84ab64c43e1b5d2c43b540100000000000000000076f63a35f1b8b5016d3eb0cce2eebbdf"
            "58bf8fbea4e870c8f770346bdfcf622d69c19a678a9a021702fb05ff"
        ),
        "0000000000000000000269d52c24ea451225613aab095d90d771d4e29aa96cdd",
    ),
}
ENGINES = engines()


@pytest.mark.parametrize("year", BLOCKS)
@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_real_blocks(engine: Engine, year: int) -> None:
    """A block of the chain would not be found, or found with another nonce, version or hash."""
    raw, printed = bytes.fromhex(BLOCKS[year][0]), BLOCKS[year][1]
    digest = bytes.fromhex(printed)[::-1]
    nbits, nonce = int.from_bytes(raw[72:76], "little"), int.from_bytes(raw[76:], "little")
    version = int.from_bytes(raw[:4], "little")
    assert engine.digests(raw) == digest
    nonces = range(max(0, nonce - 40), min(nonce + 40, 2**32))
    (hit,) = engine.scan(raw[:76], nonces, target_of_nbits(nbits))
    assert (hit.version, hit.nonce, hit.digest) == (version, nonce, digest)
    assert share_difficulty(digest) >= difficulty_of_nbits(nbits)
    zeroed = b"\0\0\0\0" + raw[4:76]
    (rolled,) = engine.scan(zeroed, nonces, target_of_nbits(nbits), versions=(version ^ 0x2000, version))
    assert rolled == hit


def test_genesis_from_its_parts() -> None:
    """A header would be put together in another order or byte order than the chain's."""
    root = bytes.fromhex("4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b")[::-1]
    raw = header(1, bytes(32), root, 1_231_006_505, 0x1D00FFFF, 2_083_236_893)
    assert raw.hex() == BLOCKS[2009][0]
    assert share_difficulty(sha256d(raw)) == pytest.approx(2_536.426, abs=0.001)  # far beyond the 1 that it needed


@given(
    head=st.binary(min_size=76, max_size=76),
    first=st.integers(0, 2**32 - 1),
    step=st.sampled_from((1, 3, -1)),
    count=st.integers(0, 40),
    versions=st.lists(st.integers(0, 2**32 - 1), max_size=3),
    target=st.one_of(st.integers(247, 257).map(lambda bits: 2**bits - 1), st.integers(-1, 2**256)),
)
def test_every_engine_agrees_with_hashing_the_whole_header(
    head: bytes, first: int, step: int, count: int, versions: list[int], target: int
) -> None:
    """An engine's midstate or its comparison with the target would go wrong for some header."""
    nonces = range(first, max(-1, min(first + step * count, 2**32)), step)
    heads = [version.to_bytes(4, "little") + head[4:] for version in versions] or [head]
    whole = [some + nonce.to_bytes(4, "little") for some in heads for nonce in nonces]
    expected = [(raw, sha256d(raw)) for raw in whole if meets(sha256d(raw), target)]
    for engine in ENGINES:
        hits = engine.scan(head, nonces, target, versions)
        found = [hit.version.to_bytes(4, "little") + head[4:] + hit.nonce.to_bytes(4, "little") for hit in hits]
        assert list(zip(found, [hit.digest for hit in hits], strict=True)) == expected
        assert engine.digests(b"".join(whole)) == b"".join(sha256d(raw) for raw in whole)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_a_hash_at_the_target_meets_it(engine: Engine) -> None:
    """A share that is exactly as hard as asked would be thrown away, or one just too easy be sent."""
    head = bytes(76)
    reached = int.from_bytes(sha256d(bytes(80)), "little")
    assert len(engine.scan(head, range(1), reached)) == 1
    assert engine.scan(head, range(1), reached - 1) == ()


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_what_is_no_header(engine: Engine) -> None:
    """A cut header would be hashed as if it were one."""
    with pytest.raises(ValueError, match="a head of 80 bytes, expected 76"):
        engine.scan(bytes(80), range(1), DIFFICULTY_1_TARGET)
    with pytest.raises(ValueError, match="expected 32 bits"):
        engine.scan(bytes(76), range(2**32 - 1, 2**32 + 1), DIFFICULTY_1_TARGET)
    with pytest.raises(ValueError, match="expected 32 bits"):
        engine.scan(bytes(76), range(1), DIFFICULTY_1_TARGET, versions=(2**32,))
    with pytest.raises(ValueError, match="expected a multiple of 80"):
        engine.digests(bytes(81))
    with pytest.raises(ValueError, match="expected 32"):
        header(1, bytes(31), bytes(32), 0, 0, 0)
