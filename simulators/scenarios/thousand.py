"""Thousand: a thousand machines of mixed models on ten feeders, without faults: what benchmarks measure against."""

from __future__ import annotations

from fleet.catalogue import ANTMINER, LUXOS, WHATSMINER
from simulators.scenarios.scenario import Block, Scenario, site

MODELS = (
    ("lux", "Antminer S19k Pro", LUXOS, 40),
    ("ant", "Antminer S19j Pro", ANTMINER, 30),
    ("wm", "WhatsMiner M60S", WHATSMINER, 30),
)


def thousand(seed: int, net: int) -> Scenario:
    """Ten feeders of 40 LuxOS, 30 stock Antminers and 30 WhatsMiners each, in racks by dialect."""
    blocks = [
        Block(f"{prefix}-f{feeder}", model, dialect, count, (f"feeder-{feeder}", f"rack-{feeder}-{prefix}"))
        for feeder in range(10)
        for prefix, model, dialect, count in MODELS
    ]
    return Scenario("thousand", site(blocks, net), seed)
