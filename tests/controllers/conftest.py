"""A small site behind fake drivers, on a virtual clock: hours of the shell's work in milliseconds.

The fakes come in through the doors that the design has: the Driver protocol, the lease and the journal. Everything between
is the product's own code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import async_solipsism
import numpy as np
import pytest

from controllers.act import Actor
from controllers.books import MarketBook, OrderBook
from controllers.clock import Clock
from controllers.loop import Loop
from controllers.observe import Observer
from fleet.driver import DriverError
from fleet.machine import SLEEP_NAME, Machine, Mode, Roster
from fleet.market import Quantity, Signal
from fleet.reading import Depth, Pool, Reading, State
from fleet.view import View
from policies.record import Record
from policies.safety import TooHot
from policies.switching import Threshold
from policies.tariff import IndexTariff
from policies.tick import Judgment

T = TypeVar("T")
START_S = 1_700_000_000.0
MODES = (Mode(SLEEP_NAME, 20.0, 0.0), Mode("low", 2_000.0, 80.0), Mode("normal", 3_000.0, 100.0))
POOLS = (
    Pool("stratum+tcp://pool.example:3333", "acct.worker", 0),
    Pool("stratum+tcp://two.example:3333", "acct.worker", 1),
)


@dataclass
class FakeDriver:
    """One pretend machine behind the Driver protocol; tests turn its knobs."""

    mode: str = "normal"
    takes_s: float = 1.0
    """Until a write shows in its readings."""
    read_s: float = 0.01
    fails: Exception | None = None
    """Raised by every read."""
    refuses: DriverError | None = None
    """Raised by every write."""
    lies: bool = False
    """Accepts and does nothing."""
    half_lies: bool = False
    """Shows the mode that it was told, and goes on as before."""
    wipes_pools: bool = False
    pools: tuple[Pool, ...] | None = POOLS
    chip_c: float = 60.0
    writes: list[str] = field(default_factory=list)
    reads: list[Depth] = field(default_factory=list)
    read_at_s: list[float] = field(default_factory=list)
    """When each began, on the loop's own time."""
    busy: int = 0
    most_busy: int = 0

    async def read(self, depth: Depth) -> Reading:
        """What it shows."""
        self.reads.append(depth)
        self.read_at_s.append(asyncio.get_running_loop().time())
        async with _Turn(self):
            await asyncio.sleep(self.read_s)
        if self.fails is not None:
            raise self.fails
        mode = next(mode for mode in MODES if mode.name == self.mode)
        return Reading(
            state=State.SLEEPING if self.mode == SLEEP_NAME and not self.half_lies else State.HASHING,
            mode=self.mode,
            hashrate_ths=mode.hashrate_ths,
            power_w=mode.power_w,
            power_measured=True,
            chip_c=self.chip_c,
            pools=self.pools if depth is not Depth.LEAN else None,
            depth=depth,
        )

    async def set_mode(self, mode: Mode) -> None:
        """Take a mode, in its own time."""
        async with _Turn(self):
            await asyncio.sleep(self.read_s)
        if self.wipes_pools:
            self.pools = ()
        if self.refuses is not None:
            raise self.refuses
        self.writes.append(mode.name)
        if not self.lies:
            asyncio.get_running_loop().call_later(self.takes_s, self._take, mode.name)

    async def close(self) -> None:
        """Nothing to let go of."""

    def _take(self, name: str) -> None:
        self.mode = name


@dataclass
class _Turn:
    """Counts how many exchanges a driver has at once: more than one is a fault of the caller."""

    driver: FakeDriver

    async def __aenter__(self) -> None:
        self.driver.busy += 1
        self.driver.most_busy = max(self.driver.most_busy, self.driver.busy)

    async def __aexit__(self, *_: object) -> None:
        self.driver.busy -= 1


@dataclass
class FakeLease:
    """Held until a test takes it away."""

    ours: bool = True

    def held(self) -> bool:
        """As the test says."""
        return self.ours


@dataclass
class FakeJournal:
    """Keeps records in a list, or is as full as a test makes it."""

    records: list[tuple[Record, bool]] = field(default_factory=list)
    full: bool = False
    takes_s: float = 0.0
    """How slow the disk is."""

    async def append(self, record: Record, *, durable: bool) -> None:
        """Keep one."""
        await asyncio.sleep(self.takes_s)
        if self.full:
            raise OSError(28, "No space left on device")
        self.records.append((record, durable))


@dataclass
class Shell:
    """The parts of a daemon around fakes."""

    roster: Roster
    drivers: list[FakeDriver]
    clock: Clock
    observer: Observer
    actor: Actor
    market: MarketBook
    orders: OrderBook
    journal: FakeJournal
    lease: FakeLease
    loop: Loop
    events: list[tuple[str, str]]
    wall_ahead_s: list[float]
    """One number: how far the host's clock was stepped."""

    def price(self, usd_mwh: float) -> None:
        """A new power price; hashprice is $40/PH/day, so a 30 J/TH machine breaks even at $55.6/MWh."""
        now_s = self.clock.now()
        self.market.put(Quantity.HASHPRICE_USD_PHS_DAY, Signal(40.0, now_s, now_s, "hash"))
        self.market.put(Quantity.POWER_USD_MWH, Signal(usd_mwh, now_s, now_s, "power"))

    async def run(self, seconds: float) -> None:
        """Poll and turn for so long."""
        try:
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                group.create_task(self.observer.run())
                group.create_task(self.loop.run())
        except TimeoutError:
            pass

    @property
    def modes(self) -> list[str]:
        """What the machines really run."""
        return [driver.mode for driver in self.drivers]


def build(
    count: int = 4, *, live: bool = True, tick_s: float = 10.0, judge: Callable[[Judgment], Judgment] = lambda j: j
) -> Shell:
    """A shell with so many machines on two feeders; must be called on the loop that runs it."""
    roster = Roster.of(
        [
            Machine(f"m{i}", "fake", "fake", f"127.0.0.{i + 1}", MODES, "normal", (f"f{i % 2}",), confirm_s=30.0)
            for i in range(count)
        ]
    )
    judgment = judge(
        Judgment(roster, tariff=IndexTariff(), switching=Threshold(), live=np.full(count, live, dtype=np.bool_))
    )
    loop_time, ahead_s = asyncio.get_running_loop().time, [0.0]
    began_s = loop_time()
    clock = Clock(wall=lambda: START_S + loop_time() - began_s + ahead_s[0])
    events: list[tuple[str, str]] = []
    drivers = [FakeDriver() for _ in range(count)]
    lease, journal = FakeLease(), FakeJournal()
    holder: list[Loop] = []

    def wake() -> None:
        for loop in holder:
            loop.wake()

    def say(kind: str, text: str) -> None:
        events.append((kind, text))

    observer = Observer(roster, drivers, clock, lean_s=10, full_s=300, at_once=50, alarm=wake, hot=TooHot().is_hot)
    actor = Actor(roster, drivers, observer, lease, clock, at_once=50, say=say)
    market, orders = MarketBook(["hash", "power"], wake), OrderBook(wake)
    loop = Loop(
        judgment,
        View.fresh(roster),
        clock=clock,
        observer=observer,
        actor=actor,
        market=market,
        orders=orders,
        journal=journal,
        tick_s=tick_s,
        say=say,
    )
    holder.append(loop)
    return Shell(roster, drivers, clock, observer, actor, market, orders, journal, lease, loop, events, ahead_s)


def on_virtual_time(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on a loop whose clock jumps."""
    with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
        return runner.run(work())


@pytest.fixture
def virtual() -> Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]:
    """`virtual(work)`: run it on virtual time."""
    return on_virtual_time


@pytest.fixture
def shell() -> Callable[..., Shell]:
    """`shell(...)`: build one, on the running loop."""
    return build
