"""Whom a job's coinbase pays: Bitcoin addresses as output scripts, and the outputs of a coinbase transaction.

Addresses are base58check (P2PKH, P2SH) or bech32 and bech32m (BIP 173, BIP 350), of any of Bitcoin's networks. A job's
coinbase is a transaction without witnesses whose one input's script holds the extranonces, so it is read with zeros in
their place. What cannot be read pays nobody.
"""

from __future__ import annotations

import hashlib
from typing import Final

from fleet.work.stratum import Job

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32_CHECK, _BECH32M_CHECK = 1, 0x2BC830A3
_PREFIXES: Final = ("bc", "tb", "bcrt")
_KEY_HASH: Final = (0x00, 0x6F)
_SCRIPT_HASH: Final = (0x05, 0xC4)


def script_of(address: str) -> bytes:
    """The output script that pays an address.

    Raises:
        ValueError: it is no address that we know.
    """
    if address.lower().startswith(tuple(f"{prefix}1" for prefix in _PREFIXES)):
        return _witness_script(address)
    version, payload = _base58check(address)
    if version in _KEY_HASH:
        return b"\x76\xa9\x14" + payload + b"\x88\xac"
    if version in _SCRIPT_HASH:
        return b"\xa9\x14" + payload + b"\x87"
    raise ValueError(f"a version byte of {version:#04x}, expected a Bitcoin address")


def outputs(coinbase: bytes) -> tuple[tuple[int, bytes], ...]:
    """The outputs (satoshis, script) of a coinbase transaction without witnesses.

    Raises:
        ValueError: it cannot be read.
    """
    reader = _Reader(coinbase)
    reader.take(4)
    for _ in range(reader.count()):
        reader.take(36)
        reader.take(reader.count())
        reader.take(4)
    return tuple((int.from_bytes(reader.take(8), "little"), reader.take(reader.count())) for _ in range(reader.count()))


class Payouts:
    """The scripts that a job has to pay one of; none given: every job is ours."""

    def __init__(self, addresses: tuple[str, ...]) -> None:
        self._scripts = frozenset(map(script_of, addresses))

    def foreign(self, job: Job) -> bool:
        """Does a job pay none of our addresses?"""
        if not self._scripts:
            return False
        extranonce = job.extranonce1 + bytes(job.extranonce2_bytes)
        try:
            paid = outputs(job.notify.coinbase1 + extranonce + job.notify.coinbase2)
        except ValueError:
            return True
        return not any(amount and script in self._scripts for amount, script in paid)


class _Reader:
    """Takes a transaction apart."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, count: int) -> bytes:
        piece = self._data[self._at : self._at + count]
        if len(piece) < count:
            raise ValueError(f"a transaction that ends at byte {len(self._data)}")
        self._at += count
        return piece

    def count(self) -> int:
        """A compact size, no more than what is left could hold."""
        first = self.take(1)[0]
        value = first if first < 0xFD else int.from_bytes(self.take(1 << (first - 0xFC)), "little")
        if value > len(self._data):
            raise ValueError(f"a count of {value} in a transaction of {len(self._data)} bytes")
        return value


def _base58check(address: str) -> tuple[int, bytes]:
    """Version and payload of 20 bytes."""
    value = 0
    for letter in address:
        digit = _BASE58.find(letter)
        if digit < 0:
            raise ValueError(f"the letter {letter!r}, expected a Bitcoin address")
        value = value * 58 + digit
    try:
        data = value.to_bytes(25, "big")
    except OverflowError as error:
        raise ValueError("more than 25 bytes, expected a Bitcoin address") from error
    check = hashlib.sha256(hashlib.sha256(data[:-4]).digest()).digest()[:4]
    # leading ones are leading zero bytes, so the length is part of what is checked
    leading = len(address) - len(address.lstrip("1"))
    if check != data[-4:] or leading != len(data) - len(data.lstrip(b"\0")):
        raise ValueError("a checksum that does not fit, expected a Bitcoin address")
    return data[0], data[1:-4]


def _witness_script(address: str) -> bytes:
    """Of a bech32 or bech32m address."""
    text = address.lower()
    if address not in {text, address.upper()}:
        raise ValueError("letters of both cases, expected a Bitcoin address")
    prefix, _, data = text.rpartition("1")
    values = [_BECH32.find(letter) for letter in data]
    if prefix not in _PREFIXES or len(values) < 8 or min(values) < 0:
        raise ValueError("letters that are none of bech32, expected a Bitcoin address")
    expanded = [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]
    check, version = _polymod([*expanded, *values]), values[0]
    program = _octets(values[1:-6])
    fits = len(program) in {20, 32} if version == 0 else 2 <= len(program) <= 40
    if check != (_BECH32M_CHECK if version else _BECH32_CHECK) or version > 16 or not fits:
        raise ValueError("a checksum that does not fit, expected a Bitcoin address")
    return bytes([0x50 + version if version else 0, len(program)]) + program


def _polymod(values: list[int]) -> int:
    """Bech32's checksum (BIP 173)."""
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            check ^= generator if top >> bit & 1 else 0
    return check


def _octets(fives: list[int]) -> bytes:
    """Groups of five bits as bytes; what is left over has to be zeros, fewer than five."""
    whole = 0
    for five in fives:
        whole = whole << 5 | five
    bits = 5 * len(fives)
    rest = bits % 8
    if rest > 4 or whole & (1 << rest) - 1:
        raise ValueError("padding that is not zero, expected a Bitcoin address")
    return (whole >> rest).to_bytes(bits // 8, "big")
