"""Home: three machines, one of each dialect, on one household feeder."""

from __future__ import annotations

from fleet.catalogue import ANTMINER, LUXOS, WHATSMINER
from simulators.scenarios.scenario import Block, Scenario, site
from simulators.world import Weather


def home(seed: int, net: int) -> Scenario:
    """A garage with 10 kW, hot in the afternoon."""
    blocks = (
        Block("lux", "Antminer S19k Pro", LUXOS, 1, ("garage",)),
        Block("ant", "Antminer S19j Pro", ANTMINER, 1, ("garage",)),
        Block("wm", "WhatsMiner M60S", WHATSMINER, 1, ("garage",)),
    )
    return Scenario("home", site(blocks, net, {"garage": 10_000.0}), seed, weather=Weather(26.0, 6.0))
