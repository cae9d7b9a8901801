"""Hardware: what stands inside each model (boards, chips, fans) and the name that its firmware gives it.

Chips per board and fans are those that pyasic 0.79 and asic-rs (fdcd101) expect of the model; boards are three on all
of them. A WhatsMiner's `variant` is the hash-board suffix of its type ("M60S_VK40", as captured).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hardware:
    """One model: chips per board, number of fans, their top speed, and its hash board's name."""

    chips: int
    fans: int
    top_rpm: int
    board: str
    variant: str = ""


_UNKNOWN = Hardware(100, 4, 6000, "BHB00000")
_TABLE: dict[str, Hardware] = {
    "antminer s19 pro": Hardware(114, 4, 6000, "BHB42801"),
    "antminer s19j pro": Hardware(126, 4, 6000, "BHB42601"),
    "antminer s19k pro": Hardware(77, 4, 6000, "BHB56903"),
    "antminer s19 xp": Hardware(110, 4, 6000, "BHB56801"),
    "antminer t21": Hardware(108, 4, 6000, "BHB68701"),
    "antminer s21": Hardware(108, 4, 6000, "BHB68603"),
    "antminer s21 pro": Hardware(65, 4, 6000, "BHB70601"),
    "antminer s21 xp": Hardware(91, 4, 6000, "BHB75701"),
    "whatsminer m50": Hardware(117, 2, 7200, "H30", "VH30"),
    "whatsminer m50s": Hardware(156, 2, 7200, "H30", "VH30"),
    "whatsminer m60": Hardware(215, 2, 7200, "K30", "VK30"),
    "whatsminer m60s": Hardware(225, 2, 7200, "K40", "VK40"),
}


def hardware(model: str) -> Hardware:
    """The row of a model; letter case does not matter.

    A model without one gets a plain machine of 100 chips a board.
    """
    return _TABLE.get(model.casefold(), _UNKNOWN)
