"""Addresses stand for scripts and back, against the vectors of the standards and of other people's decoders."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.work.stratum import Network, address_of, script_of

KEY = "89abcdef0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("address", "script", "network"),
    [
        # ESP-Miner, components/stratum/test/test_coinbase_decoder.c
        ("1DYwPTnC4NgEmoqbLbcRqoSzVeH3ehmGbV", f"76a914{KEY}88ac", Network.MAIN),
        ("33MGnVL6rnKqt6Jjt3HbRqWJrhwy65dMhS", "a914123456789abcdef0123456789abcdef01234567887", Network.MAIN),
        ("bc1q42aueh0wluqpzg3ng32kvaugnx4thnxa7y625x", "0014aabbccddeeff00112233445566778899aabbccdd", Network.MAIN),
        (
            "bc1pllhdmn9m42vcsamx24zrxgs3qrl7ahwvhw4fnzrhve25gvezzyqqc0cgpt",
            "5120" + "ffeeddccbbaa99887766554433221100" * 2,
            Network.MAIN,
        ),
        # nobody's key: leading zeros are leading ones
        ("1111111111111111111114oLvT2", "76a914" + "00" * 20 + "88ac", Network.MAIN),
        # BIP 173
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "0014751e76e8199196d454941c45d1b3a323f1433bd6", Network.MAIN),
        (
            "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7",
            "00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262",
            Network.TEST,
        ),
        # BIP 350
        (
            "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y",
            "5128751e76e8199196d454941c45d1b3a323f1433bd6751e76e8199196d454941c45d1b3a323f1433bd6",
            Network.MAIN,
        ),
        ("bc1sw50qgdz25j", "6002751e", Network.MAIN),
        ("bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs", "5210751e76e8199196d454941c45d1b3a323", Network.MAIN),
        (
            "tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c",
            "5120000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433",
            Network.TEST,
        ),
    ],
)
def test_known_addresses(address: str, script: str, network: Network) -> None:
    """An address of ours would not be found among those whom a job pays."""
    assert script_of(address).hex() == script
    assert address_of(bytes.fromhex(script), network) == address


def test_capitals_are_the_same_address() -> None:
    """An address as a QR code has it would be refused (BIP 173)."""
    assert script_of("BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4") == script_of(
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
    )


@pytest.mark.parametrize(
    "address",
    [
        "",
        "x",
        "1",
        "bc1",
        "bc1q",
        "1DYwPTnC4NgEmoqbLbcRqoSzVeH3ehmGbW",  # a letter changed
        "11DYwPTnC4NgEmoqbLbcRqoSzVeH3ehmGbV",  # a leading one too many
        "lDYwPTnC4NgEmoqbLbcRqoSzVeH3ehmGbV",  # no letter of base 58
        "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ",  # a private key
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
        "Bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t\uff14",
        "ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9",  # another coin's
        # BIP 350: bech32 where bech32m has to be and the other way round, bad programs and padding
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd",
        "tb1z0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqglt7rf",
        "bc1q0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav",
        "BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R",
        "bc1pw5dgrnzv",
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav",
        "BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P",
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf",
        "tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vpggkg4j",
        "bc1gmk9yu",
    ],
)
def test_what_is_no_address(address: str) -> None:
    """A misspelt address would be somebody's, and our own work look like a fee."""
    with pytest.raises(ValueError, match="no Bitcoin address"):
        script_of(address)


def test_another_networks_address_is_none_where_one_is_asked_for() -> None:
    """A testnet address in the site file would never be paid, and nobody would say so."""
    with pytest.raises(ValueError, match="no Bitcoin address"):
        script_of("tb1qumezefzdeqqwn5zfvgdrhxjzc5ylr39uhuxcz4", [Network.MAIN])


@pytest.mark.parametrize(
    "script", ["", "6a24aa21a9ed", "51", "0014aabb", "00", "76a914" + KEY + "88", "5101ff", "41" + "04" * 65 + "ac"]
)
def test_scripts_without_an_address(script: str) -> None:
    """What pays nobody would be shown as somebody."""
    assert address_of(bytes.fromhex(script)) is None


hashes = st.binary(min_size=20, max_size=20)
scripts = st.one_of(
    hashes.map(lambda key: b"\x76\xa9\x14" + key + b"\x88\xac"),
    hashes.map(lambda script: b"\xa9\x14" + script + b"\x87"),
    (hashes | st.binary(min_size=32, max_size=32)).map(lambda program: bytes([0, len(program)]) + program),
    st.tuples(st.integers(0x51, 0x60), st.binary(min_size=2, max_size=40)).map(
        lambda it: bytes([it[0], len(it[1])]) + it[1]
    ),
)


@given(scripts, st.sampled_from(Network))
def test_a_script_survives_its_address(script: bytes, network: Network) -> None:
    """Some scripts would have another one's address."""
    address = address_of(script, network)
    assert address is not None
    assert script_of(address, [network]) == script


@given(st.text(max_size=100))
def test_no_text_raises_anything_else(address: str) -> None:
    """A site file's typing error would be shown as our bug."""
    with pytest.raises(ValueError, match="no Bitcoin address"):
        script_of(address)
