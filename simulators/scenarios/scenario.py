"""Scenario: one pretend site as data, from which a World is made.

Machines are given as blocks (so many of one model in one dialect at one place) and get their nameplates from the
catalogue and their addresses in order: 127.NET.x.y, one each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import log2

from fleet.catalogue import nameplate
from fleet.machine import Machine, Roster
from fleet.units import HASHES_PER_DIFFICULTY, HASHES_PER_TERAHASH
from fleet.work.sha256d import Engine
from simulators.clock import Clock
from simulators.faults import FaultPlan
from simulators.mining.cheats import Cheat, Trick
from simulators.mining.work import HASHES_PER_S, Work, scale_for
from simulators.wire.pool_settings import PoolPlace, PoolSettings, PoolTrouble
from simulators.world import Weather, World

NET = 50
HOSTS_PER_BLOCK = 250
ACCOUNT = "hashwatt"
"""Whose the machines are at their pool: workers are called ACCOUNT.MACHINE."""
USUAL_THS = 100.0
"""A machine of so much begins at a difficulty that fits it."""
FEE_WORKER = "shade.fee"
"""Whom hidden fees are paid to."""
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
class Mining:
    """Who of a site mines for real, at which pool, and what goes wrong there.

    `machines`: ids (None: all). Machines have the tap first, where there is one, and the pool second. `fee_port` is that
    of another pool, to which hidden fees go. `hashes_per_s`: what the host is asked for, all machines together; the
    scale follows from it and from the clock's speed. Without `vardiff` a share has the difficulty that brings a machine
    of 100 TH/s so many a minute.
    """

    machines: frozenset[str] | None = None
    account: str = ACCOUNT
    pool_port: int = 3334
    fee_port: int = 3335
    api_port: int = 3336
    shares_per_min: float = 12.0
    vardiff: bool = True
    hashes_per_s: float = HASHES_PER_S
    cheats: Mapping[str, tuple[Cheat, ...]] = field(default_factory=dict)
    troubles: tuple[PoolTrouble, ...] = ()

    def fees(self) -> dict[str, float]:
        """By machine id, the share of its work that goes into a hidden fee."""
        hidden = (Trick.FOREIGN, Trick.AWAY)
        shares = {
            machine: sum(one.share for one in plan if one.trick in hidden) for machine, plan in self.cheats.items()
        }
        return {machine: share for machine, share in shares.items() if share}

    def foreign(self) -> tuple[str, ...]:
        """Ids of machines whose shares for somebody else come by on the way to their own pool."""

        def shows(one: Cheat) -> bool:
            renamed = one.trick is Trick.RENAMED and one.worker.split(".", 1)[0] != self.account
            return renamed or one.trick is Trick.FOREIGN

        return tuple(machine for machine, plan in self.cheats.items() if any(shows(one) for one in plan))

    def on_ports(self, first: int) -> Mining:
        """The same with the pool, the pool of the fees and the pages on a port and the next two; fees go there too."""
        url = f"stratum+tcp://127.0.0.1:{first + 1}"
        cheats = {
            machine: tuple(replace(one, url=url) if one.url else one for one in plan)
            for machine, plan in self.cheats.items()
        }
        return replace(self, pool_port=first, fee_port=first + 1, api_port=first + 2, cheats=cheats)

    def scale(self, roster: Roster, speed: float) -> float:
        """The scale at which all of them together, at the most that they can do, take the host so many hashes."""
        most_ths = sum(
            max(mode.hashrate_ths for mode in machine.modes)
            for machine in roster.machines
            if self.machines is None or machine.id in self.machines
        )
        return scale_for(most_ths, speed, self.hashes_per_s)

    def rules(self, scale: float, speed: float) -> PoolSettings:
        """The pools' rules: what a host's moment can delay is stretched with the speed, for it is minutes there."""
        fitting = USUAL_THS * HASHES_PER_TERAHASH * 60.0 / self.shares_per_min / HASHES_PER_DIFFICULTY
        return PoolSettings(
            scale=scale,
            start_difficulty=2.0 ** round(log2(fitting)),
            shares_per_min=self.shares_per_min if self.vardiff else 0.0,
            retarget_s=max(60.0, speed),
            job_s=max(30.0, 0.5 * speed),
            grace_s=max(2.0, 0.5 * speed),
            mean_block_s=max(600.0, 30.0 * speed),
        )

    def places(self, scale: float, speed: float) -> tuple[PoolPlace, ...]:
        """The pool, and the one of the fees."""
        rules = self.rules(scale, speed)
        ours = replace(rules, accounts=frozenset({self.account, FEE_WORKER.split(".", 1)[0]}))
        return (
            PoolPlace("pool", self.pool_port, ours, api_port=self.api_port, troubles=self.troubles),
            PoolPlace("fees", self.fee_port, rules),
        )

    def work(self, scale: float, tap: str | None) -> Work:
        """How the machines mine: through a tap at an address, or at the pool alone."""
        pool = f"stratum+tcp://127.0.0.1:{self.pool_port}"
        pools = (pool,) if tap is None else (f"stratum+tcp://{tap}", pool)
        return Work(scale, pools, self.account, self.machines, self.cheats)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A site, its seed, its faults, and by machine id who multiplies its stated hash rate by what."""

    name: str
    roster: Roster
    seed: int
    faults: FaultPlan = field(default_factory=FaultPlan)
    claims: Mapping[str, float] = field(default_factory=dict)
    weather: Weather = field(default_factory=Weather)
    mining: Mining | None = None

    def scale(self, speed: float) -> float:
        """How many hashes stand for one when machines mine for real; 1 when they do not."""
        return 1.0 if self.mining is None else self.mining.scale(self.roster, speed)

    def world(
        self,
        clock: Clock,
        *,
        roster: Roster | None = None,
        one_listener: bool = False,
        tap: str | None = None,
        engine: Engine | None = None,
        mine_at_once: bool = True,
    ) -> World:
        """The world of this scenario on a clock; `roster` replaces its own (ports mapped elsewhere, say).

        `tap`: the address ("127.0.0.1:3333") at which machines that mine for real call first. `engine`: what hashes for
        them; the fastest that is here, unless given. `mine_at_once`: see `World`.
        """
        scale = self.scale(clock.speed)
        return World(
            roster or self.roster,
            self.seed,
            clock,
            faults=self.faults,
            claims=self.claims,
            weather=self.weather,
            one_listener=one_listener,
            work=None if self.mining is None else self.mining.work(scale, tap),
            pools=() if self.mining is None else self.mining.places(scale, clock.speed),
            engine=engine,
            mine_at_once=mine_at_once,
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
