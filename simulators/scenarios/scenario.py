"""Scenario: one pretend site as data, from which a World is made.

Machines are given as blocks (so many of one model in one dialect at one place) and get their nameplates from the
catalogue and their addresses in order: 127.NET.x.y, one each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fleet.catalogue import nameplate
from fleet.machine import Machine, Roster
from simulators.clock import Clock
from simulators.faults import FaultPlan
from simulators.world import Weather, World

NET = 50
HOSTS_PER_BLOCK = 250
WEAR_USD = 0.15
"""Wear of one start: $50 per MW and start on a machine of 3 kW."""


@dataclass(frozen=True, slots=True)
class Block:
    """`count` machines of one model in one dialect at one place, named PREFIX-001 onwards."""

    prefix: str
    model: str
    dialect: str
    count: int
    place: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A site, its seed, its faults, and by machine id who multiplies its stated hash rate by what."""

    name: str
    roster: Roster
    seed: int
    faults: FaultPlan = field(default_factory=FaultPlan)
    claims: Mapping[str, float] = field(default_factory=dict)
    weather: Weather = field(default_factory=Weather)

    def world(self, clock: Clock, *, roster: Roster | None = None, one_listener: bool = False) -> World:
        """The world of this scenario on a clock; `roster` replaces its own (ports mapped elsewhere, say)."""
        return World(
            roster or self.roster,
            self.seed,
            clock,
            faults=self.faults,
            claims=self.claims,
            weather=self.weather,
            one_listener=one_listener,
        )


def address(net: int, index: int) -> str:
    """The index-th machine's own address."""
    return f"127.{net}.{index // HOSTS_PER_BLOCK}.{index % HOSTS_PER_BLOCK + 1}"


def site(blocks: Iterable[Block], net: int, cap_w: Mapping[str, float] | None = None) -> Roster:
    """The roster of some blocks, with caps by place (W).

    Raises:
        LookupError: a model that the catalogue does not have in that dialect.
    """
    machines: list[Machine] = []
    for block in blocks:
        plate = nameplate(block.model, block.dialect)
        for number in range(1, block.count + 1):
            machine = Machine(
                id=f"{block.prefix}-{number:03d}",
                model=plate.model,
                dialect=plate.dialect,
                host=address(net, len(machines)),
                modes=plate.modes,
                usual=plate.usual,
                place=block.place,
                start_s=plate.start_s,
                wear_usd=WEAR_USD,
                confirm_s=plate.confirm_s,
            )
            machines.append(machine)
    return Roster.of(machines, cap_w)
