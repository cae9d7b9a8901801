"""The tap itself: it listens, keeps its sessions in order, and says what it has counted.

`run` serves until it is cancelled; then every connection is closed at once, so that machines go to their second pool.
Beside the sessions it tries pools that are preferred to the one in use, moves machines back a few at a time, and looks
after what has been waiting for too long, in slices, so that ten thousand connections never wait for one sweep.
"""

from __future__ import annotations

import asyncio
import resource
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from controllers.clock import Clock
from controllers.pool.audit import Audits
from controllers.pool.blocks import Blocks
from controllers.pool.dial import Dial
from controllers.pool.door import Door
from controllers.pool.identity import Identity
from controllers.pool.ledger import Ledger
from controllers.pool.member import Member
from controllers.pool.passing import PassSession
from controllers.pool.payout import Payouts
from controllers.pool.pools import Pools
from controllers.pool.rescue import Rescue
from controllers.pool.settings import TapSettings
from controllers.pool.share_log import ShareLogs
from controllers.pool.shared import Shared
from controllers.pool.trunk import Trunk
from controllers.pool.verifier import Share, Verifier
from controllers.pool.visit import Visit
from controllers.pool.wire import Cut
from fleet.machine import Roster
from fleet.work.counted import Counted
from fleet.work.sha256d import Engine

_BACKLOG: Final = 4_096
_HOUSE_REAL_S: Final = 2.0
_SWEEP_MOST_REAL_S: Final = 10.0
_SLICE: Final = 200
_STEP_REAL_S: Final = 0.2
_LISTEN_AGAIN_REAL_S: Final = 2.0
_RATE_REAL_S: Final = 10.0
_FILES_KEPT: Final = 128
"""For everything but machines and their pools."""


class Tap:
    """The tap of one site; made inside the event loop that it will run in.

    `directory` is the state directory, `beside` where the site file stands (for certificates). `say(kind, text)` tells
    an event.
    """

    def __init__(
        self,
        settings: TapSettings,
        roster: Roster,
        clock: Clock,
        say: Callable[[str, str], None],
        directory: Path,
        engine: Engine,
        *,
        beside: Path | None = None,
    ) -> None:
        loop = self._loop = asyncio.get_running_loop()
        self._settings, self._roster, self._clock, self._say = settings, roster, clock, say

        def elapsed() -> float:
            return loop.time() * clock.speed

        self._pools = Pools(settings.pools, settings.failover)
        dial = Dial(loop, self._pools, settings.failover, beside or directory, say=say, changed=self._pools_changed)
        # two lives of a tap never have the same number: it is the time at which it began, in milliseconds
        ledger = Ledger(
            len(roster), int(clock.now() * 1e3), now=clock.now, elapsed=elapsed, away_most_s=settings.away_most_s
        )
        self._shared = Shared(
            loop=loop,
            settings=settings,
            identity=Identity(roster, settings.accounts),
            ledger=ledger,
            verifier=Verifier(loop, engine),
            dial=dial,
            door=Door(settings.limits),
            payouts=Payouts(settings.payout_addresses),
            blocks=Blocks(directory / settings.blocks, loop, say),
            logs=ShareLogs(directory / "shares", settings.share_log_mb),
            now=clock.now,
            elapsed=elapsed,
            say=say,
        )
        ledger.serve(able=False)
        self._audits = Audits(roster, settings.audit, self._shared.wishes, elapsed, self._wished)
        self._trunk = Trunk(self._shared, len(roster)) if settings.how == "aggregate" else None
        self._rescue = Rescue(self._shared.blocks, self._pools, self._visit, now=clock.now, say=say)
        self._shared.rescue = self._bring_again
        self._engine = engine
        self._rates: deque[tuple[float, int]] = deque(maxlen=32)
        self.port: int | None = None
        """The port that it listens on; None while it does not."""
        self.listens = asyncio.Event()
        """Set when it has begun to listen."""

    # -------------------------------------------------------------------------------------------------------- running

    async def run(self) -> None:
        """Serve until cancelled; then every connection is closed at once.

        Raises:
            OSError: the block file is there and cannot be read.
        """
        self._make_room()
        for fault in self._shared.blocks.load():
            self._say("block", fault)
        self._shared.verifier.warm()
        for name in list(self._shared.blocks.open):
            self._rescue.begin(name)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen())
                group.create_task(self._probe())
                group.create_task(self._keep_house())
        finally:
            for session in list(self._shared.sessions):
                session.end(Cut.STOPPED)
            if self._trunk is not None:
                self._trunk.close()
            await self._rescue.close()
            await self._shared.blocks.close()
            self._shared.logs.close()

    def _make_room(self) -> None:
        """As many open files as this process may have; no more machines than they are enough for."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < hard:
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            except (OSError, ValueError):
                # a filter of system calls may forbid it: then what there is has to do
                hard = soft
        each = 2 if self._trunk is None else 1
        enough_for = max((hard - _FILES_KEPT) // each, 1)
        if hard != resource.RLIM_INFINITY and enough_for < self._shared.door.most:
            self._shared.door.most = enough_for
            self._say("tap", f"{enough_for} connections at most: this process may have {hard} files open")

    async def _listen(self) -> None:
        """Listen; a port in use is told once, and tried again."""
        settings, told = self._settings, False
        server: asyncio.Server | None = None
        while server is None:
            try:
                server = await self._loop.create_server(self._session, settings.host, settings.port, backlog=_BACKLOG)
            except OSError as error:
                if not told:
                    self._say("tap", f"tap.listen {settings.listen}: cannot be had, it is tried again: {error}")
                told = True
                await asyncio.sleep(_LISTEN_AGAIN_REAL_S)
        self.port = server.sockets[0].getsockname()[1]
        self.listens.set()
        self._say("tap", f"listens on {settings.host} port {self.port}, {settings.how}, {self._engine.name}")
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.port = None
            server.close()

    def _session(self) -> asyncio.Protocol:
        if self._trunk is None:
            return PassSession(self._shared).machine
        return Member(self._shared, self._trunk, self._nominal_ths).machine

    def _nominal_ths(self, row: int) -> float:
        machine = self._roster.machines[row]
        return machine.modes[machine.mode_named(machine.usual)].hashrate_ths

    def _visit(self, number: int) -> Visit:
        settings = self._settings
        return Visit(self._shared.dial, self._loop, number, settings.limits, settings.failover.connect_s)

    async def _probe(self) -> None:
        """Try pools that are preferred to the one in use, and return to one that has been well."""
        failover = self._settings.failover
        while True:
            for number in self._pools.to_probe(self._loop.time()):
                try:
                    async with self._visit(number) as visit:
                        await visit.subscribe()
                except ConnectionError as error:
                    self._shared.dial.failed(number, str(error))
                    continue
                if self._pools.in_use is None:
                    self._shared.dial.served(number)
                self._pools.well(number, self._loop.time())
            if self._pools.returned(self._loop.time()):
                self._pools_changed()
                number = self._pools.in_use or 0
                self._say("pool", f"back to {self._pools.states[number].table.url}")
            delay_s = failover.probe_s if self._pools.able else min(failover.probe_s, failover.back_off_s)
            await asyncio.sleep(delay_s)

    async def _keep_house(self) -> None:
        """Sweep in slices; move machines back to a preferred pool; write what the disk did not take."""
        shared, limits = self._shared, self._settings.limits
        every_s = min(_SWEEP_MOST_REAL_S, limits.unauthorized_s / 2, limits.idle_s / 2)
        due_s = 0.0
        while True:
            now_s = self._loop.time()
            self._rates.append((now_s, shared.verifier.verified))
            shared.logs.sweep(shared.elapsed())
            self._audits.sweep()
            shared.blocks.try_again()
            if self._trunk is not None:
                self._trunk.sweep(now_s)
            if now_s >= due_s:
                due_s = now_s + every_s
                await self._sweep(now_s)
            until_s = now_s + min(_HOUSE_REAL_S, every_s)
            while self._loop.time() < until_s:
                self._move_some()
                await asyncio.sleep(_STEP_REAL_S)

    async def _sweep(self, now_s: float) -> None:
        """Look after every session, some at a time."""
        sessions = list(self._shared.sessions)
        for at in range(0, len(sessions), _SLICE):
            for session in sessions[at : at + _SLICE]:
                session.sweep(now_s)
            await asyncio.sleep(0)

    def _move_some(self) -> None:
        """Machines at a pool that is preferred less than the one in use come back, so many a second."""
        in_use = self._pools.in_use
        if in_use is None or not any(state.sessions for state in self._pools.states[in_use + 1 :]):
            return
        most = max(round(self._settings.failover.moves_per_s * _STEP_REAL_S), 1)
        moving = [s for s in self._shared.sessions if s.number is not None and s.number > in_use][:most]
        for session in moving:
            session.move()

    def _pools_changed(self) -> None:
        self._shared.ledger.serve(able=self._pools.able)

    def _wished(self, row: int) -> None:
        for session in list(self._shared.sessions):
            if session.booking.row == row:
                session.wished()

    def _bring_again(self, share: Share, password: str | None) -> None:
        self._rescue.begin(share.digest[::-1].hex(), password)

    # -------------------------------------------------------------------------------------------------------- reading

    @property
    def connections(self) -> int:
        """Machines' connections now."""
        return self._shared.door.connections

    @property
    def aggregates(self) -> bool:
        """Do all machines share one session with the pool?"""
        return self._settings.how == "aggregate"

    def counted(self) -> Counted:
        """What it has counted by now."""
        return self._shared.ledger.counted()

    def share_log(self, machine: str) -> tuple[Path, ...]:
        """The files of a machine's share log, the older first; none where it was never under check."""
        return self._shared.logs.paths(machine)

    def watch(self, machine: str, for_s: float) -> None:
        """Log every verified share of a machine for so long (the site's seconds).

        Raises:
            LookupError: no machine has this id.
        """
        row = self._row(machine)
        self._shared.logs.watch(row, machine, self._shared.elapsed() + for_s)

    def audit(self, machine: str, shares_per_min: float | None = None, for_s: float | None = None) -> dict[str, Any]:
        """Ask a machine for so many shares a minute for so long (the site's seconds); None: the site file's numbers.

        Its share log is kept meanwhile. Returns what is asked of it: difficulty, shares_per_min, for_s, why.

        Raises:
            LookupError: no machine has this id, it is not connected, or it would be too much; the message says why.
        """
        row = self._row(machine)
        if not self._shared.ledger.connected(row):
            raise LookupError(f"{machine} has no connection to the tap now")
        audit = self._audits.begin(row, shares_per_min, for_s)
        lasts_s = audit.until_s - self._shared.elapsed()
        self.watch(machine, lasts_s)
        self._say("audit", f"{machine}: {audit.shares_per_min:.0f} shares a minute for {lasts_s:.0f} s")
        return {
            "difficulty": audit.difficulty,
            "shares_per_min": audit.shares_per_min,
            "for_s": lasts_s,
            "why": audit.why,
        }

    def end_audit(self, machine: str) -> bool:
        """Let go of a machine; False where it was under no audit.

        Raises:
            LookupError: no machine has this id.
        """
        return self._audits.end(self._row(machine))

    def status(self) -> dict[str, Any]:
        """What it is doing, as JSON values: for people and for metrics."""
        shared, now_s = self._shared, self._loop.time()
        shares, work = shared.ledger.total()
        return {
            "listening": self.port is not None,
            "how": self._settings.how,
            "engine": self._engine.name,
            "connections": shared.door.connections,
            "turned_away": dict(shared.door.turned_away),
            "ended": dict(shared.ended),
            "pools": [
                {
                    "url": state.table.url,
                    "in_use": number == self._pools.in_use,
                    "well": state.well_since_s is not None,
                    "well_s": None if state.well_since_s is None else now_s - state.well_since_s,
                    "left_alone_s": max(state.until_s - now_s, 0.0),
                    "sessions": state.sessions,
                    "why": state.why,
                }
                for number, state in enumerate(self._pools.states)
            ],
            "shares": shares,
            "work": work,
            "shares_of_strangers": shared.ledger.stranger_shares(),
            "verified": shared.verifier.verified,
            "verified_per_s": self._per_s(),
            "flaws": shared.ledger.flaws(),
            "counts": dict(shared.counts),
            "blocks": shared.blocks.status(),
            "audits": self._audits.status(),
            "watched": sorted(self._roster.machines[row].id for row in shared.logs.watched),
            "share_log_failure": shared.logs.failed,
            "forwarding": shared.forwarding.status(),
        }

    def _per_s(self) -> float:
        """Shares verified a second, of the last ten."""
        if len(self._rates) < 2:
            return 0.0
        last_s, last = self._rates[-1]
        first_s, first = next(pair for pair in self._rates if last_s - pair[0] <= _RATE_REAL_S)
        return (last - first) / (last_s - first_s) if last_s > first_s else 0.0

    def _row(self, machine: str) -> int:
        row = self._roster.index.get(machine)
        if row is None:
            raise LookupError(f"machine is {machine!r}, expected an id of this site's machines")
        return row
