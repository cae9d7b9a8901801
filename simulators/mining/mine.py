"""Mine: all machines that mine for real, hashed in one worker thread, beat by beat.

Every beat the physics says how many terahashes each machine made since the last; the nonces that stand for them are
hashed by the fastest engine that is here while the event loop goes on, and what was found is submitted. When the host
cannot keep up nothing is lost: a beat takes longer, and the next one has more to do (`behind_s` says how much).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Final, Protocol

import numpy as np

from fleet.columns import Floats, Ints
from fleet.machine import SLEEP
from fleet.work.engines.choice import chosen
from fleet.work.sha256d import Engine, Hit
from simulators.behaviour import family
from simulators.clock import Clock
from simulators.mining.firmware import firmware_of
from simulators.mining.machine import Errand, Miner
from simulators.mining.mined import Mined, Pending
from simulators.mining.work import Work
from simulators.physics import Physics
from simulators.unit import Unit

BEAT_REAL_S: Final = 0.05


class Site(Protocol):
    """What a mine needs of the world."""

    clock: Clock
    physics: Physics
    units: tuple[Unit, ...]
    seed: int

    @property
    def claims(self) -> Floats:
        """What each machine multiplies its stated hash rates by."""
        ...

    def advance(self, least_s: float = 0.0) -> None:
        """Step the physics to the clock's time."""
        ...


class Mine:
    """The miners of a site, as long as it is `start`ed. `engine`: what hashes (the fastest that is here)."""

    def __init__(self, site: Site, work: Work, engine: Engine | None = None) -> None:
        self.site, self.work = site, work
        self.engine = engine or chosen(perf_counter).engine
        self.behind_s = 0.0
        units = [unit for unit in site.units if work.includes(unit.machine.id)]
        self.miners: list[Miner] = []
        for unit in units:
            cheats = work.cheats.get(unit.machine.id, ())
            firmware = firmware_of(family(unit.machine.dialect))
            unit.mining = Miner(unit, site.clock, firmware, work, cheats, site.seed)
            unit.mining.begin_with(site.physics.counts, unit.row)
            self.miners.append(unit.mining)
        self._rows: Ints = np.array([unit.row for unit in units], np.int64)
        self._tasks: list[asyncio.Task[None]] = []
        self._thread = ThreadPoolExecutor(1, "pretend hashing")
        site.physics.tell_shares(self._rows)
        self._seen_th: Floats = site.physics.hashes_th[self._rows].copy()
        self._process_s: Floats = site.physics.process_s[self._rows].copy()
        self._seen_s = site.physics.at_s

    async def start(self) -> None:
        """Every machine calls its pools, and hashing begins."""
        loop = asyncio.get_running_loop()
        self._lifecycle()
        for miner in self.miners:
            self._tasks += [loop.create_task(line.run(), name="pretend miner") for line in miner.lines]
        self._tasks.append(loop.create_task(self._run(), name="pretend hashing"))

    async def stop(self) -> None:
        """No task, no connection, no thread."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._thread.shutdown(wait=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await self._beat(loop)
            self.behind_s = max(0.0, loop.time() - began - BEAT_REAL_S)
            await asyncio.sleep(max(0.0, BEAT_REAL_S - (loop.time() - began)))

    async def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        """One round: what the physics made is hashed, and what was found submitted."""
        self.site.advance()
        self._lifecycle()
        physics, before_s = self.site.physics, self._seen_s
        made_th = physics.hashes_th[self._rows]
        chips_c = physics.chip_c[self._rows].tolist()
        errands: list[Errand] = []
        for miner, new_th, chip_c in zip(self.miners, (made_th - self._seen_th).tolist(), chips_c, strict=True):
            errands += miner.begin(before_s, physics.at_s, new_th, chip_c)
        self._seen_th, self._seen_s = made_th, physics.at_s
        hits = await loop.run_in_executor(self._thread, hashed, self.engine, errands)
        now_s = self.site.clock.now()
        for errand, found in zip(errands, hits, strict=True):
            if found:
                errand.miner.found(errand, found, now_s, float(physics.chip_c[errand.miner.unit.row]))
        self._tell()

    def _lifecycle(self) -> None:
        """Processes that ended, began or began anew since the last look."""
        physics, rows = self.site.physics, self._rows
        process_s = physics.process_s[rows]
        dark = physics.at_s < physics.dark_until_s[rows]
        asleep = physics.mode[rows] == SLEEP
        for place, miner in enumerate(self.miners):
            if process_s[place] != self._process_s[place]:
                miner.restart()
            miner.set_up(not dark[place] and (miner.firmware.stays or not asleep[place]))
        self._process_s = process_s.copy()

    def _tell(self) -> None:
        """What the machines counted goes into their physics' columns, where the wire looks for it."""
        counted = [miner.pending for miner in self.miners]
        for miner in self.miners:
            miner.pending = Pending()
        if self.miners:
            self.site.physics.take_shares(self._rows, counted, [miner.difficulty for miner in self.miners])

    # ------------------------------------------------------------------------------------------------- what is true

    def mined(self) -> Mined:
        """The truth of every machine; one that does not mine for real has zeros."""
        ledgers = [miner.ledger for miner in self.miners]
        lines = [miner.line for miner in self.miners]
        return Mined(
            at_s=self.site.physics.at_s,
            behind_s=self.behind_s,
            claims=self.site.claims.copy(),
            made_th=self._column(ledger.made_th for ledger in ledgers),
            idle_th=self._column(ledger.idle_th for ledger in ledgers),
            owner_th=self._column(ledger.owner_th for ledger in ledgers),
            fee_th=self._column(ledger.fee_th for ledger in ledgers),
            not_hashed_th=self._column(ledger.not_hashed_th for ledger in ledgers),
            hashed=self._column(ledger.hashed for ledger in ledgers),
            found=self._column(ledger.found for ledger in ledgers),
            submitted=self._column(ledger.submitted for ledger in ledgers),
            sessions=self._column(line.sessions for line in lines),
            returns=self._column(line.returns for line in lines),
        )

    def _column(self, values: Iterable[float]) -> Floats:
        """A value for each that mines, zero for the others."""
        column = np.zeros(len(self.site.units))
        column[self._rows] = list(values)
        return column


def hashed(engine: Engine, errands: Sequence[Errand]) -> list[tuple[Hit, ...]]:
    """What is found on each errand; runs in the worker thread."""
    scan = engine.scan
    found = []
    for errand in errands:
        stretch = errand.stretch
        found.append(scan(stretch.head, stretch.nonces, stretch.puzzle.target, stretch.versions))
    return found
