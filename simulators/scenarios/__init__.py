"""Demo sites: who stands where, what goes wrong, who cheats; each one a function of a seed and an address block.

What may live here: descriptions of sites as data, and nothing that runs.
"""

from __future__ import annotations

from collections.abc import Callable

from simulators.scenarios.demo import demo
from simulators.scenarios.home import home
from simulators.scenarios.mining import mining
from simulators.scenarios.scenario import NET, Scenario
from simulators.scenarios.thousand import thousand

SCENARIOS: dict[str, Callable[[int, int], Scenario]] = {
    "demo": demo,
    "home": home,
    "mining": mining,
    "thousand": thousand,
}
"""By name; each takes the seed and the second number of its addresses (127.NET.x.y)."""


def scenario(name: str, seed: int = 1, net: int = NET) -> Scenario:
    """The scenario of a name.

    Raises:
        LookupError: there is none; the message lists them.
    """
    make = SCENARIOS.get(name)
    if make is None:
        raise LookupError(f"no scenario {name!r}; known: {', '.join(sorted(SCENARIOS))}")
    return make(seed, net)
