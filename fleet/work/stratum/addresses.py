"""Addresses: Bitcoin's texts for the scripts that an output pays to, both ways.

Base58check (P2PKH, P2SH) and bech32 or bech32m (BIP 173, BIP 350). An address is a spelling of a script, so whoever asks
whether a job pays us compares scripts.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final

from fleet.work.sha256d import sha256d

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATORS: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32_SUM, _BECH32M_SUM = 1, 0x2BC830A3
_HASH_BYTES: Final = 20
_MOST_CHARACTERS: Final = 90
_CHECK_CHARACTERS: Final = 6


class Network(Enum):
    """A network: the prefix of its bech32 addresses, and the version bytes of key and script hashes."""

    MAIN = ("bc", 0x00, 0x05)
    TEST = ("tb", 0x6F, 0xC4)
    REGTEST = ("bcrt", 0x6F, 0xC4)

    @property
    def prefix(self) -> str:
        """Of bech32 addresses."""
        return self.value[0]

    @property
    def key_hash(self) -> int:
        """The version byte of a P2PKH address."""
        return self.value[1]

    @property
    def script_hash(self) -> int:
        """The version byte of a P2SH address."""
        return self.value[2]


def script_of(address: str, networks: Iterable[Network] = tuple(Network)) -> bytes:
    """The script that an output to this address has.

    Raises:
        ValueError: it is no address of these networks.
    """
    if len(address) <= _MOST_CHARACTERS and address.isascii():
        prefix = address.lower().rpartition("1")[0]
        for network in networks:
            found = _witness_script(address, prefix) if prefix == network.prefix else _hash_script(address, network)
            if found is not None:
                return found
    raise ValueError("no Bitcoin address, expected base58check or bech32")


def address_of(script: bytes, network: Network = Network.MAIN) -> str | None:
    """The address that stands for a script, None where there is none (a bare public key, a script that pays nobody)."""
    if len(script) == 25 and script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac":
        return _base58check(bytes([network.key_hash]) + script[3:23])
    if len(script) == 23 and script[:2] == b"\xa9\x14" and script[22:] == b"\x87":
        return _base58check(bytes([network.script_hash]) + script[2:22])
    if 4 <= len(script) <= 42 and script[1] == len(script) - 2:
        version = script[0] - 0x50 if script[0] else 0
        if script[0] == 0 or 0x51 <= script[0] <= 0x60:
            return _bech32(network.prefix, version, script[2:]) if _is_program(version, script[2:]) else None
    return None


# ----------------------------------------------------------------------------------------------------- base58check


def _hash_script(address: str, network: Network) -> bytes | None:
    """The script of a base58check address."""
    number = 0
    for letter in address:
        digit = _BASE58.find(letter)
        if digit < 0:
            return None
        number = number * 58 + digit
    if number.bit_length() > 8 * (1 + _HASH_BYTES + 4):
        return None
    data = number.to_bytes(1 + _HASH_BYTES + 4, "big")
    # leading ones are leading zero bytes: the text has one spelling alone
    if sha256d(data[:-4])[:4] != data[-4:] or _base58check(data[:-4]) != address:
        return None
    if data[0] == network.key_hash:
        return b"\x76\xa9\x14" + data[1:-4] + b"\x88\xac"
    return b"\xa9\x14" + data[1:-4] + b"\x87" if data[0] == network.script_hash else None


def _base58check(payload: bytes) -> str:
    """A payload with its checksum, in base 58."""
    data = payload + sha256d(payload)[:4]
    number, letters = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        letters = _BASE58[digit] + letters
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + letters


# ----------------------------------------------------------------------------------------------------------- bech32


def _witness_script(address: str, prefix: str) -> bytes | None:
    """The script of a bech32 or bech32m address."""
    if address not in {address.lower(), address.upper()}:
        return None
    fives = [_BECH32.find(letter) for letter in address.lower()[len(prefix) + 1 :]]
    if len(fives) <= _CHECK_CHARACTERS or min(fives) < 0:
        return None
    version = fives[0]
    if _checksum(prefix, fives) != (_BECH32M_SUM if version else _BECH32_SUM):
        return None
    program = _regrouped(fives[1:-_CHECK_CHARACTERS], 5, 8, fill=False)
    if program is None or not _is_program(version, bytes(program)):
        return None
    return bytes([0x50 + version if version else 0, len(program)]) + bytes(program)


def _is_program(version: int, program: bytes) -> bool:
    """May a witness of this version have this program (BIP 141)?"""
    return len(program) in {20, 32} if version == 0 else version <= 16 and 2 <= len(program) <= 40


def _bech32(prefix: str, version: int, program: bytes) -> str:
    """A witness program as text."""
    fives = [version, *(_regrouped(program, 8, 5, fill=True) or [])]
    check = _checksum(prefix, [*fives, *[0] * _CHECK_CHARACTERS]) ^ (_BECH32M_SUM if version else _BECH32_SUM)
    fives += [check >> 5 * (_CHECK_CHARACTERS - 1 - place) & 31 for place in range(_CHECK_CHARACTERS)]
    return f"{prefix}1" + "".join(_BECH32[five] for five in fives)


def _checksum(prefix: str, fives: list[int]) -> int:
    """The checksum of BIP 173 over a prefix and groups of five bits."""
    spread = [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]
    check = 1
    for five in (*spread, *fives):
        top = check >> 25
        check = (check & 0x1FF_FFFF) << 5 ^ five
        for place, generator in enumerate(_GENERATORS):
            check ^= generator if top >> place & 1 else 0
    return check


def _regrouped(groups: Iterable[int], from_bits: int, to_bits: int, *, fill: bool) -> list[int] | None:
    """Groups of bits as groups of another size; the rest is filled up with zeros, or has to be zeros of less than one."""
    bits, kept, result = 0, 0, []
    for group in groups:
        bits, kept = bits + from_bits, (kept << from_bits | group) & 0xFFF
        while bits >= to_bits:
            bits -= to_bits
            result.append(kept >> bits & (1 << to_bits) - 1)
    rest = kept << (to_bits - bits) & (1 << to_bits) - 1
    if fill:
        return [*result, rest] if bits else result
    return None if bits >= from_bits or rest else result
