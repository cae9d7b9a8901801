"""Demo: a hundred machines of three dialects on four feeders, one of them caps tightly, and two machines cheat.

One of them claims more than it hashes. The other stands in the rack whose machines mine for real, and hides a fee.
"""

from __future__ import annotations

from fleet.catalogue import ANTMINER, LUXOS, WHATSMINER
from simulators.faults import Affliction, Chances, FaultPlan
from simulators.mining.cheats import Cheat, Trick
from simulators.scenarios.scenario import FEE_WORKER, Block, Mining, Scenario, site
from simulators.world import Weather

CHEAT = "lux-a1-007"
CLAIM = 1.08
RACK = tuple(f"lux-a3-{number:03d}" for number in range(1, 5))
"""Who mines for real."""
FEE_CHEAT = RACK[1]
FEE = 0.05


def demo(seed: int, net: int) -> Scenario:
    """About 320 kW; feeder-d's cap is below what its machines draw at their usual modes."""
    blocks = (
        Block("lux-a1", "Antminer S19k Pro", LUXOS, 13, ("feeder-a", "rack-1")),
        Block("lux-a2", "Antminer S19j Pro", LUXOS, 8, ("feeder-a", "rack-2")),
        Block("lux-a3", "Antminer S19j Pro", LUXOS, 4, ("feeder-a", "rack-9")),
        Block("ant-b1", "Antminer S19j Pro", ANTMINER, 13, ("feeder-b", "rack-3")),
        Block("ant-b2", "Antminer S21", ANTMINER, 12, ("feeder-b", "rack-4")),
        Block("wm-c1", "WhatsMiner M50S", WHATSMINER, 13, ("feeder-c", "rack-5")),
        Block("wm-c2", "WhatsMiner M60S", WHATSMINER, 12, ("feeder-c", "rack-6")),
        Block("lux-d1", "Antminer S21", LUXOS, 9, ("feeder-d", "rack-7")),
        Block("ant-d2", "Antminer S19 XP", ANTMINER, 8, ("feeder-d", "rack-8")),
        Block("wm-d3", "WhatsMiner M60", WHATSMINER, 8, ("feeder-d", "rack-8")),
    )
    caps = {"": 330_000.0, "feeder-a": 90_000.0, "feeder-b": 95_000.0, "feeder-c": 95_000.0, "feeder-d": 78_000.0}
    faults = FaultPlan(
        everyone=Chances(delay=0.005, split=0.01, drop=0.002, delay_s=2.0),
        afflictions=(Affliction(0.03, Chances(drop=0.03, garble=0.01, delay=0.05, lie=0.05, delay_s=4.0)),),
    )
    fee = Cheat(Trick.FOREIGN, FEE, worker=FEE_WORKER)
    # one difficulty throughout: vardiff in a world of 900x takes what delays a busy host for the machines' doing
    mining = Mining(machines=frozenset(RACK), shares_per_min=5.0, vardiff=False, cheats={FEE_CHEAT: (fee,)})
    return Scenario("demo", site(blocks, net, caps), seed, faults, {CHEAT: CLAIM}, Weather(27.0, 7.0), mining)
