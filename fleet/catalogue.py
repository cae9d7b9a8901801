"""Nameplates: the operating points of current models in each dialect, as their makers and their firmware state them.

A table, and nothing but: one row a model and dialect, its modes by rising power with sleep first, how long a start
takes, and where the figures come from. A figure derived and not stated is marked `estimated`; a site's own meter and
the machine's own ladder (a full reading has it on LuxOS) are better than any row here.
"""

from __future__ import annotations

from dataclasses import dataclass

from fleet.machine import SLEEP_NAME, Mode

LUXOS = "luxos"
ANTMINER = "antminer"
WHATSMINER = "whatsminer-v3"


@dataclass(frozen=True, slots=True)
class Nameplate:
    """One model in one dialect: `modes[0]` is sleep, `usual` the factory's own operating point.

    `start_s` is how long it draws power without hashing after a wake, `confirm_s` how long until a reading shows a
    command. `estimated` names the modes whose figures are derived here and stated nowhere.
    """

    model: str
    dialect: str
    modes: tuple[Mode, ...]
    usual: str
    start_s: float
    confirm_s: float
    source: str
    estimated: frozenset[str] = frozenset()


# The ladder of a real Antminer S19k Pro: name, W, TH/s (capture luxminer/v1/profiles.json of 256foundation/asic-rs,
# Apache-2.0). LuxOS makes 16 steps of 25 MHz below the factory's point and 8 above (docs.luxor.tech/firmware/features).
_S19K_PRO_LUXOS = (
    Mode("190MHz", 784, 39.2),
    Mode("215MHz", 879, 44.4),
    Mode("240MHz", 978, 49.5),
    Mode("265MHz", 1080, 54.7),
    Mode("290MHz", 1188, 59.8),
    Mode("315MHz", 1299, 65.0),
    Mode("340MHz", 1414, 70.2),
    Mode("365MHz", 1533, 75.3),
    Mode("390MHz", 1657, 80.5),
    Mode("415MHz", 1785, 85.7),
    Mode("440MHz", 1916, 90.8),
    Mode("465MHz", 2052, 96.0),
    Mode("490MHz", 2192, 101.1),
    Mode("515MHz", 2336, 106.3),
    Mode("540MHz", 2485, 111.5),
    Mode("565MHz", 2637, 116.6),
    Mode("default", 2794, 121.8),
    Mode("615MHz", 2954, 127.0),
    Mode("640MHz", 3119, 132.1),
    Mode("665MHz", 3288, 137.3),
    Mode("690MHz", 3461, 142.4),
    Mode("715MHz", 3638, 147.6),
    Mode("740MHz", 3820, 152.8),
    Mode("765MHz", 4005, 157.9),
    Mode("790MHz", 4195, 163.1),
)
_LUXOS_DEFAULT = "default"


def power_share(rate_share: float) -> float:
    """Power as a share of the nameplate's at a share of its hash rate, by the captured S19k Pro ladder.

    Linear between its steps and, beyond them, along the outermost step; 1.0 gives 1.0. An estimate for other models.
    """
    (nameplate,) = (mode for mode in _S19K_PRO_LUXOS if mode.name == _LUXOS_DEFAULT)
    points = [
        (mode.hashrate_ths / nameplate.hashrate_ths, mode.power_w / nameplate.power_w) for mode in _S19K_PRO_LUXOS
    ]
    upper = next((i for i in range(1, len(points) - 1) if rate_share <= points[i][0]), len(points) - 1)
    (low_rate, low_power), (high_rate, high_power) = points[upper - 1], points[upper]
    return low_power + (high_power - low_power) * (rate_share - low_rate) / (high_rate - low_rate)


def _luxos(model: str, ths: float, watts: float, mhz: int, source: str) -> Nameplate:
    """A LuxOS ladder in steps of 25 MHz round the factory's: hash rate follows frequency, power the captured shape."""
    shares = [(step, (mhz + 25 * step) / mhz) for step in range(-10, 5)]
    ladder = tuple(
        Mode(
            f"{mhz + 25 * step}MHz" if step else _LUXOS_DEFAULT,
            round(watts * power_share(share)),
            round(ths * share, 1),
        )
        for step, share in shares
    )
    names = frozenset(mode.name for mode in ladder if mode.name != _LUXOS_DEFAULT)
    return Nameplate(model, LUXOS, (_sleep(25), *ladder), _LUXOS_DEFAULT, 10, 30, source, names)


def _antminer(model: str, ths: float, watts: float, source: str, high: Mode | None = None) -> Nameplate:
    """A stock Antminer: sleep, low (estimated: no figures are published), normal and, where it is sold, high."""
    low = Mode("low", round(watts * power_share(0.8)), round(ths * 0.8, 1))
    modes = (_sleep(35), low, Mode("normal", watts, ths), *((high,) if high else ()))
    return Nameplate(model, ANTMINER, modes, "normal", 180, 90, source, frozenset({"low"}))


def _whatsminer(model: str, ths: float, watts: float, source: str) -> Nameplate:
    """A WhatsMiner: normal is published; low and high (estimated) at 80 and 110 % of its hash rate."""
    low = Mode("low", round(watts * power_share(0.8)), round(ths * 0.8, 1))
    high = Mode("high", round(watts * power_share(1.1)), round(ths * 1.1, 1))
    modes = (_sleep(40), low, Mode("normal", watts, ths), high)
    return Nameplate(model, WHATSMINER, modes, "normal", 60, 60, source, frozenset({"low", "high"}))


def _sleep(watts: float) -> Mode:
    """The sleeping mode at its standby power."""
    return Mode(SLEEP_NAME, watts, 0.0)


_BITMAIN = "Bitmain's product page"
_MICROBT = "MicroBT's product page"

NAMEPLATES: tuple[Nameplate, ...] = (
    Nameplate(
        "Antminer S19k Pro",
        LUXOS,
        (_sleep(25), *_S19K_PRO_LUXOS),
        _LUXOS_DEFAULT,
        10,
        30,
        "captured ladder; sleep and wake: hashrateindex.com on LuxOS curtailment",
    ),
    _luxos("Antminer S19j Pro", 104, 3068, 545, "545 MHz: docs.luxor.tech/firmware/features; " + _BITMAIN),
    _luxos("Antminer S21", 200, 3500, 490, "490 MHz as reviewed; " + _BITMAIN),
    _antminer("Antminer S19 Pro", 110, 3250, _BITMAIN),
    _antminer("Antminer S19j Pro", 104, 3068, _BITMAIN),
    _antminer("Antminer S19k Pro", 120, 2760, _BITMAIN),
    _antminer("Antminer S19 XP", 140, 3010, _BITMAIN),
    _antminer("Antminer T21", 190, 3610, _BITMAIN + ", normal and high-energy mode", Mode("high", 5126, 233)),
    _antminer("Antminer S21", 200, 3500, _BITMAIN),
    _antminer("Antminer S21 Pro", 234, 3510, _BITMAIN),
    _antminer("Antminer S21 XP", 270, 3645, _BITMAIN),
    _whatsminer("WhatsMiner M50", 114, 3306, _MICROBT),
    _whatsminer("WhatsMiner M50S", 126, 3276, _MICROBT),
    _whatsminer("WhatsMiner M60", 172, 3422, _MICROBT),
    _whatsminer("WhatsMiner M60S", 186, 3441, _MICROBT),
)
_BY_MODEL = {(row.model.casefold(), row.dialect): row for row in NAMEPLATES}


def nameplate(model: str, dialect: str) -> Nameplate:
    """The row of a model in a dialect; letter case does not matter.

    Raises:
        LookupError: there is none; the message lists the models that the dialect has.
    """
    row = _BY_MODEL.get((model.casefold(), dialect))
    if row is None:
        known = sorted(row.model for row in NAMEPLATES if row.dialect == dialect)
        have = ", ".join(known) if known else f"none (dialects with rows: {LUXOS}, {ANTMINER}, {WHATSMINER})"
        raise LookupError(f"no nameplate for model {model!r} in dialect {dialect!r}; known: {have}")
    return row


def modes_of(model: str, dialect: str) -> tuple[Mode, ...]:
    """The operating points of a model in a dialect, sleep first, by rising power.

    Raises:
        LookupError: as `nameplate`.
    """
    return nameplate(model, dialect).modes
