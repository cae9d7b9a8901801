"""Miner: one pretend machine's mining process: its work, its shares, its counts, and what it does wrong.

For each stretch of time it is told how many terahashes the physics made, hands out the stretches of nonces that stand
for them, and gets back what was found. Everything random (which share is held back, repeated or spoilt) comes from the
world's seed and the machine's row; how it gets to its pools is in `line.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Final

import numpy as np
from typing_extensions import override

from fleet.work.sha256d import Hit
from simulators.clock import Clock
from simulators.mining.cheats import LEAKED, Cheat, Cheats, Trick
from simulators.mining.firmware import Firmware
from simulators.mining.line import Caller, Line
from simulators.mining.mined import Ledger, Pending, SlotCount
from simulators.mining.puzzle import Puzzle, Stretch
from simulators.mining.session import STALE_CODE, Listener, MinerSession, Share
from simulators.mining.work import Work
from simulators.share_counts import ShareCounts
from simulators.unit import PoolSlot, Unit

REMEMBERED: Final = 256
LATE_S: Final = 30.0
"""A share that is held back comes so long after its job was made stale."""


@dataclass(frozen=True, slots=True, eq=False)
class Errand:
    """A stretch to hash, for whom, and for which connection."""

    miner: Miner
    session: MinerSession
    stretch: Stretch


class Miner(Listener):
    """One machine's. `lines` are to be run as tasks; `begin` and `found` are called for every stretch of time."""

    def __init__(
        self, unit: Unit, clock: Clock, firmware: Firmware, work: Work, cheats: Sequence[Cheat], seed: int
    ) -> None:
        self.unit, self.work, self.firmware = unit, work, firmware
        self.cheats = Cheats(cheats)
        self.ledger, self.pending = Ledger(), Pending()
        self.slots: list[SlotCount] = []
        self._clock = clock
        self._owed: dict[Line, float] = {}
        self._draws = np.random.default_rng([seed, 7, unit.row])
        self._held: deque[tuple[float, Share]] = deque(maxlen=REMEMBERED)
        self._fresh: deque[Share] = deque(maxlen=REMEMBERED)
        self._former: deque[Share] = deque(maxlen=REMEMBERED)
        self._hung_s = clock.now()
        agent = firmware.agent.format(model=unit.machine.model)
        foreign = tuple(cheat.worker for cheat in cheats if cheat.trick is Trick.FOREIGN)
        caller = Caller(unit.machine.host, firmware, agent, work.scale, foreign, self._renamed)
        self.line = Line(caller, clock, self, lambda: unit.pools, lambda: unit.preferred)
        self.side: Line | None = None
        """The way to the pool that a hidden fee goes to."""
        away = self.cheats.away()
        if away is not None:
            slots = [PoolSlot(away.url, away.worker)]
            self.side = Line(Caller(unit.machine.host, firmware, agent, work.scale), clock, self, lambda: slots)

    @property
    def lines(self) -> tuple[Line, ...]:
        """What has to run."""
        return (self.line,) if self.side is None else (self.line, self.side)

    def _renamed(self) -> str | None:
        """The name that it logs in with instead of what is configured."""
        found = self.cheats.now(Trick.RENAMED, self._clock.now())
        return None if found is None else found.worker

    # ------------------------------------------------------------------------------------------------- the process

    def set_up(self, up: bool) -> None:
        """Is the mining process there?"""
        for line in self.lines:
            line.set_up(up)

    def restart(self) -> None:
        """The process begins anew: connections and counts with it."""
        self.slots = []
        self.pending = Pending()
        for line in self.lines:
            line.hang_up()

    def begin_with(self, counts: ShareCounts, row: int) -> None:
        """The run so far was at the first pool."""
        slot = self.slot(0)
        slot.accepted, slot.rejected, slot.stale = (
            int(column[row]) for column in (counts.accepted, counts.rejected, counts.stale)
        )
        slot.accepted_work = float(counts.accepted_work[row])
        slot.rejected_work = float(counts.rejected_work[row])
        slot.stale_work = float(counts.stale_work[row])

    @property
    def difficulty(self) -> float:
        """What its pool asks now; 0 when it has none."""
        session = self.line.session
        return session.puzzle.difficulty if session is not None and session.alive and session.puzzle else 0.0

    def slot(self, index: int) -> SlotCount:
        """The counts of a configured pool."""
        while len(self.slots) <= index:
            self.slots.append(SlotCount())
        found, session = self.slots[index], self.line.session
        found.active = index == self.line.index and session is not None and session.alive
        found.dead = index in self.line.dead
        return found

    # ---------------------------------------------------------------------------------------------------------- work

    def begin(self, from_s: float, until_s: float, made_th: float, chip_c: float) -> Iterator[Errand]:
        """What to hash for an interval in which the physics made so many terahashes."""
        self._keep_house(until_s)
        cheats, ledger = self.cheats, self.ledger
        ledger.made_th += made_th
        away_th = 0.0 if self.side is None else made_th * cheats.away_share(from_s, until_s)
        if self.side is not None and away_th > 0.0:
            ledger.fee_th += away_th
            yield from self._errands(self.side, away_th)
        here_th = made_th - away_th
        if self.line.session is None or not self.line.session.alive:
            ledger.idle_th += here_th
            return
        hashing = cheats.hashing(until_s)
        ledger.owner_th += here_th * cheats.useful(until_s, chip_c, self.work.account)
        ledger.not_hashed_th += here_th * (1.0 - hashing)
        ledger.fee_th += here_th * hashing * cheats.share(Trick.FOREIGN, until_s)
        yield from self._errands(self.line, here_th * hashing)

    def _errands(self, line: Line, terahashes: float) -> Iterator[Errand]:
        """The nonces that stand for so many terahashes; parts of a hash are owed."""
        session = line.session
        if session is None or not session.alive or session.puzzle is None:
            return
        owed = self._owed.get(line, 0.0) + self.work.hashes(terahashes)
        for stretch in session.puzzle.stretches(int(owed)):
            owed -= stretch.hashes
            self.ledger.hashed += stretch.hashes
            yield Errand(self, session, stretch)
        self._owed[line] = owed

    def found(self, errand: Errand, hits: Sequence[Hit], now_s: float, chip_c: float) -> None:
        """What came of an errand; a session that was lost meanwhile has no use for it."""
        session, stretch = errand.session, errand.stretch
        if session.lost.is_set():
            return
        for hit in hits:
            self.ledger.found += 1
            bits = hit.version & stretch.mask if stretch.mask else None
            share = Share(session.user, stretch.puzzle, stretch.extranonce2, hit.nonce, bits)
            if session is self.line.session:
                self._bring(session, share, now_s, chip_c)
            else:
                self._submit(session, share)

    def _bring(self, session: MinerSession, share: Share, now_s: float, chip_c: float) -> None:
        """One good share of the owner's, and what the machine makes of it."""
        cheats = self.cheats
        if not cheats:
            self._submit(session, share)
            return
        if self._draws.random() < cheats.error_share(now_s, chip_c):
            if self._draws.random() < LEAKED:
                self._submit(session, replace(share, nonce=share.nonce ^ 1 << int(self._draws.integers(32))))
            else:
                self.pending.errors += 1
            return
        if self._draws.random() < cheats.share(Trick.LATE, now_s):
            self._held.append((inf, share))
            return
        foreign = cheats.now(Trick.FOREIGN, now_s)
        if foreign is not None and self._draws.random() < foreign.share:
            share = replace(share, worker=foreign.worker)
        self._submit(session, share)
        self._fresh.append(share)
        # one who hashes 1 - x fills up with x / (1 - x) for every share
        honest = cheats.hashing(now_s)
        if self._draws.random() < cheats.share(Trick.DUPLICATES, now_s) / honest:
            self._submit(session, share)
        if self._former and self._draws.random() < cheats.share(Trick.REPLAYS, now_s) / honest:
            self._submit(session, self._former[int(self._draws.integers(len(self._former)))])

    def _submit(self, session: MinerSession, share: Share) -> None:
        self.ledger.submitted += 1
        session.submit(share)

    def _keep_house(self, now_s: float) -> None:
        """What is due whether anything is found or not."""
        for line in self.lines:
            line.look()
        session = self.line.session
        while self._held and self._held[0][0] <= now_s:
            _, share = self._held.popleft()
            if session is not None and session.alive:
                self._submit(session, share)
        replays = self.cheats.now(Trick.REPLAYS, now_s)
        if replays is not None and now_s - self._hung_s >= replays.period_s:
            self._hung_s = now_s
            self._former, self._fresh = self._fresh, deque(maxlen=REMEMBERED)
            self.line.hang_up()

    # ------------------------------------------------------------------------------------------- what sessions tell us

    @override
    def jobs(self, session: MinerSession, puzzle: Puzzle) -> None:
        """A new job: the pool's difficulty is known; what was held back for stale jobs comes due."""
        if session is not self.line.session:
            return
        slot = self.slot(self.line.index)
        slot.difficulty, slot.used = puzzle.difficulty, True
        if puzzle.clean and self._held:
            due_s = self._clock.now() + LATE_S
            self._held = deque(((min(at_s, due_s), share) for at_s, share in self._held), maxlen=REMEMBERED)

    @override
    def answered(self, session: MinerSession, share: Share, code: int | None) -> None:
        """The machine counts what its pool says: taken, stale (code 21), or refused."""
        if session is not self.line.session or share.worker != session.user:
            return
        slot, pending, work = self.slot(self.line.index), self.pending, share.puzzle.difficulty
        if code is None:
            slot.accepted += 1
            slot.accepted_work += work
            slot.last_s = self._clock.now()
            pending.accepted += 1
            pending.accepted_work += work
        elif code == STALE_CODE:
            slot.stale += 1
            slot.stale_work += work
            pending.stale += 1
            pending.stale_work += work
        else:
            slot.rejected += 1
            slot.rejected_work += work
            pending.rejected += 1
            pending.rejected_work += work

    @override
    def moved(self, session: MinerSession, host: str, port: int) -> None:
        """client.reconnect: the pool wants us elsewhere."""
        for line in self.lines:
            if line.session is session:
                line.send_to(host, port)
