"""Mining: twelve machines of three dialects that mine for real, four of them honest and each of the others with a cheat."""

from __future__ import annotations

from fleet.catalogue import ANTMINER, LUXOS, WHATSMINER
from simulators.mining.cheats import Cheat, Trick
from simulators.scenarios.scenario import FEE_WORKER, Block, Mining, Scenario, site
from simulators.world import Weather

CLAIMS = {"lux-002": 1.08}
CHEATS = {
    "lux-003": (Cheat(Trick.FOREIGN, 0.05, worker=FEE_WORKER),),
    "lux-004": (Cheat(Trick.AWAY, 0.05, worker=FEE_WORKER, url="stratum+tcp://127.0.0.1:3335"),),
    "ant-002": (Cheat(Trick.DUPLICATES, 0.08),),
    "ant-003": (Cheat(Trick.HOT, 0.05),),
    "ant-004": (Cheat(Trick.LATE, 0.06),),
    "wm-003": (Cheat(Trick.REPLAYS, 0.08),),
    "wm-004": (Cheat(Trick.RENAMED, worker=FEE_WORKER),),
}


def mining(seed: int, net: int) -> Scenario:
    """A shed with 50 kW; machines mine at the pool on port 3334, through a tap on 3333 where there is one."""
    blocks = (
        Block("lux", "Antminer S19k Pro", LUXOS, 4, ("shed", "rack-1")),
        Block("ant", "Antminer S21", ANTMINER, 4, ("shed", "rack-2")),
        Block("wm", "WhatsMiner M60S", WHATSMINER, 4, ("shed", "rack-3")),
    )
    roster = site(blocks, net, {"shed": 50_000.0})
    return Scenario("mining", roster, seed, claims=CLAIMS, weather=Weather(25.0, 5.0), mining=Mining(cheats=CHEATS))
