"""Firmware: the manner in which each make of machine speaks Stratum, as data.

What is known of each and from where stands beside it; a row says who it is, what it asks for when it connects and in
which order, how it writes a share, and how it goes from one pool to the next. Fail-over follows cgminer, which bmminer
and most others descend from: a dead pool is left at once, one with a higher priority is tried every 30 s and returned
to when it has been there for the fallback time (120 s by default).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Step(StrEnum):
    """One request when a session begins."""

    CONFIGURE = "mining.configure"
    SUBSCRIBE = "mining.subscribe"
    AUTHORIZE = "mining.authorize"
    EXTRANONCE = "mining.extranonce.subscribe"
    SUGGEST = "mining.suggest_difficulty"
    MULTI_VERSION = "mining.multi_version"


@dataclass(frozen=True, slots=True)
class Firmware:
    """One make. `agent` may hold {model}. Times in the world's seconds.

    `mask`: the version bits that it asks to roll (0: none), `min_bits` how many it needs at least (None: not said).
    `first_id`: of its first request. `submits_bits`: a sixth parameter with each share, where a mask was granted.
    `prefix`: what it writes before hexadecimal. `stays`: does it stay with its pool while it sleeps?
    `suggests`: the difficulty that it would like (0: says nothing).
    """

    name: str
    agent: str
    opening: tuple[Step, ...]
    mask: int = 0x1FFF_E000
    min_bits: int | None = None
    first_id: int = 1
    submits_bits: bool = True
    prefix: str = ""
    stays: bool = True
    suggests: float = 0.0
    retry_s: float = 5.0
    probe_s: float = 30.0
    steady_s: float = 120.0
    silence_s: float = 120.0


ANTMINER: Final = Firmware(
    "antminer",
    "{model}/49.0.1.3",
    (Step.CONFIGURE, Step.SUBSCRIBE, Step.AUTHORIZE),
    min_bits=2,
)
"""Stock bmminer: user agents "Antminer S21/…" as pools list them (DATUM's fingerprints); the rest as cgminer has it."""

LUXOS: Final = Firmware(
    "luxos",
    "LUXminer/2025.4.9",
    (Step.CONFIGURE, Step.SUBSCRIBE, Step.AUTHORIZE, Step.EXTRANONCE),
    mask=0xFFFF_FFFF,
)
"""LUXminer: named by its API; that it asks for extranonce changes is a guess."""

WHATSMINER: Final = Firmware(
    "whatsminer",
    "whatsminer/v1.1",
    (Step.CONFIGURE, Step.SUBSCRIBE, Step.AUTHORIZE),
    stays=False,
)
"""btminer: the user agent as pools list it; power_off stops the process, and with it the connection."""

BITAXE: Final = Firmware(
    "bitaxe",
    "bitaxe/BM1370/v2.9.0",
    (Step.CONFIGURE, Step.SUBSCRIBE, Step.AUTHORIZE, Step.SUGGEST, Step.EXTRANONCE),
    mask=0xFFFF_FFFF,
    suggests=1_000.0,
)
"""ESP-Miner: everything is asked for at once, and version bits go with every share."""

CGMINER_OLD: Final = Firmware(
    "cgminer",
    "cgminer/4.11.1",
    (Step.SUBSCRIBE, Step.AUTHORIZE),
    mask=0,
    first_id=0,
    submits_bits=False,
)
"""A miner from before BIP 310: no version rolling, ids from zero."""

MULTI_VERSION: Final = Firmware(
    "multi-version",
    "bmminer/2.0.0",
    (Step.SUBSCRIBE, Step.AUTHORIZE, Step.MULTI_VERSION),
    prefix="0x",
)
"""Antminers of the S9's time on AntPool: mining.multi_version, and a mask by mining.set_version_mask."""

BY_FAMILY: Final = {"antminer": ANTMINER, "luxos": LUXOS, "whatsminer": WHATSMINER}
"""By `simulators.behaviour.family` of the dialect."""


def firmware_of(family: str) -> Firmware:
    """The firmware of a dialect's family; a stock Antminer's where it has none of its own."""
    return BY_FAMILY.get(family, ANTMINER)
