"""Physics: power, heat, hashes and wear of n machines as columns, advanced by any dt.

Between two commands everything that is integrated has a closed form (power rises linearly over the ramp, the hash rate
over the warm-up), so one step of 15 minutes gives the energy and the hashes that nine hundred steps of a second give;
only temperatures, which follow first-order towards what power and air make of them, see the length of a step. All that
is random (how a machine differs from its nameplate, when a board fails, how many shares are found) comes from one seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeAlias

import numpy as np

from fleet.columns import Bools, Codes, Floats, Ints, freeze_columns
from fleet.machine import SLEEP, Roster
from fleet.reading import State
from fleet.units import HASHES_PER_DIFFICULTY, HASHES_PER_TERAHASH, SECONDS_PER_HOUR
from simulators.behaviour import Behaviour
from simulators.share_counts import Counted, ShareCounts

BOARDS = 3
FANS = 4
NEVER_S = np.inf
WARM_SINCE_S = 1e6
"""A machine that is awake when the world begins has been so for this long."""
BEFORE_S = 86_400.0
"""At most so long have the mining processes been running when the world begins."""
SECONDS_PER_SHARE = 6.0
BOARD_TAU_S, CHIP_TAU_S = 180.0, 60.0
BOARD_RISE_C, CHIP_RISE_C = 32.0, 15.0
"""Rise over the air at the highest operating point with all fans at full speed, and from board to chip."""
TRIP_C = 105.0
"""A firmware switches its boards off at this chip temperature."""

Rows: TypeAlias = "slice | Ints"


@dataclass(frozen=True, slots=True)
class Spread:
    """How much machines of one model differ, and how they age. Relative spreads are standard deviations."""

    power: float = 0.02
    hashrate: float = 0.015
    board: float = 0.02
    thermal: float = 0.08
    sensor_c: float = 0.8
    drift_c_per_day: float = 0.05
    board_life_h: float = 60_000.0
    fan_life_h: float = 90_000.0
    wear_h_per_start: float = 2.0
    """Hours of a board's life that one start costs."""

    @classmethod
    def none(cls) -> Spread:
        """Every machine is its nameplate and nothing ages."""
        return cls(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, np.inf, np.inf, 0.0)


@dataclass(frozen=True, eq=False)
class Truth:
    """What is true of every machine at `at_s`; copies, one row per machine. Counters run since the world began."""

    at_s: float
    mode: Ints
    target: Ints
    state: Codes
    power_w: Floats
    hashrate_ths: Floats
    chip_c: Floats
    board_c: Floats
    energy_j: Floats
    hashes_th: Floats
    shares: Ints
    hardware_errors: Ints
    starts: Ints
    boards_alive: Ints
    fans_alive: Ints

    def __post_init__(self) -> None:
        """Read-only."""
        freeze_columns(self)


def risen_s(since_s: Floats, over_s: Floats) -> Floats:
    """Full-equivalent seconds, `since_s` into a linear rise from 0 to 1 that takes `over_s`; 0 before it begins."""
    since = np.maximum(since_s, 0.0)
    over = np.maximum(over_s, 1e-9)
    return np.where(since < over, since * since / (2.0 * over), since - 0.5 * over)


class Physics:
    """n machines. Columns are public and are the present state at `at_s`; only the methods here change them.

    `fans[n]` is how many each has (at most 4). `counting=False` leaves out shares, errors and temperatures: what a
    backtest over years does not look at.
    """

    def __init__(
        self,
        roster: Roster,
        seed: int,
        *,
        at_s: float,
        behaviour: Behaviour | None = None,
        spread: Spread | None = None,
        fans: Ints | None = None,
        ambient_c: float = 25.0,
        counting: bool = True,
    ) -> None:
        rng = np.random.default_rng([seed, 1])
        spread = spread or Spread()
        n = len(roster)
        self.roster, self.spread, self.at_s, self.counting = roster, spread, at_s, counting
        self.ambient_c = ambient_c
        self.version = 0
        """Grows with everything that changes a column other than `target` and `takes_s`."""
        self.behaviour = behaviour or Behaviour.live(roster, rng)
        self._rows = np.arange(n)
        self.fans: Ints = np.full(n, FANS, np.int64) if fans is None else fans
        self._draws = np.random.default_rng([seed, 2])
        self._be_different(rng)
        self.mode: Ints = roster.usual.copy()
        self.target: Ints = self.mode.copy()
        self.takes_s: Floats = np.full(n, NEVER_S)
        self.woke_s: Floats = np.full(n, at_s - WARM_SINCE_S)
        self.process_s: Floats = np.full(n, at_s)
        self.dark_until_s: Floats = np.full(n, -np.inf)
        self.began_s = at_s
        self.tripped: Bools = np.zeros(n, np.bool_)
        self.starts: Ints = np.zeros(n, np.int64)
        self.energy_j: Floats = np.zeros(n)
        self.hashes_th: Floats = np.zeros(n)
        self.used_h: Floats = np.zeros(n)
        self.process_th: Floats = np.zeros(n)
        self.power_w: Floats = np.zeros(n)
        self.hashrate_ths: Floats = np.zeros(n)
        self.fan_speed: Floats = np.full(n, 0.2)
        self.board_c: Floats = np.full(n, ambient_c)
        self.chip_c: Floats = np.full(n, ambient_c)
        self._segment(slice(None), np.full(n, at_s), np.full(n, at_s), ambient_c)
        if counting:
            self._settle(ambient_c)

    def __len__(self) -> int:
        """How many machines."""
        return len(self._rows)

    def _be_different(self, rng: np.random.Generator) -> None:
        """Draw what each machine is: its true operating points, boards, air, sensors, and the lives of its parts."""
        n, spread = len(self), self.spread
        modes = self.roster.modes
        self.true_power_w: Floats = modes.power_w * np.exp(rng.normal(0.0, spread.power, n))[:, None]
        self.true_hashrate_ths: Floats = modes.hashrate_ths * np.exp(rng.normal(0.0, spread.hashrate, n))[:, None]
        self.true_hashrate_ths[:, SLEEP] = 0.0
        share = np.exp(rng.normal(0.0, spread.board, (n, BOARDS)))
        self.board_share: Floats = share / share.sum(axis=1, keepdims=True)
        self.board_alive: Bools = np.ones((n, BOARDS), np.bool_)
        self.fan_alive: Bools = np.arange(FANS)[None, :] < self.fans[:, None]
        self.peak_w: Floats = np.maximum(self.true_power_w.max(axis=1), 1.0)
        self.air: Floats = np.exp(rng.normal(0.0, spread.thermal, n))
        self.sensor_c: Floats = rng.normal(0.0, spread.sensor_c, n)
        self.drift_c_per_day: Floats = rng.normal(0.0, spread.drift_c_per_day, n)
        self.board_life_h: Floats = rng.exponential(1.0, (n, BOARDS)) * spread.board_life_h
        self.fan_life_h: Floats = rng.exponential(1.0, (n, FANS)) * spread.fan_life_h
        usual_ths = self.true_hashrate_ths[self._rows, self.roster.usual]
        per_share = np.maximum(usual_ths * HASHES_PER_TERAHASH * SECONDS_PER_SHARE / HASHES_PER_DIFFICULTY, 1.0)
        self.counts = ShareCounts.of(np.exp2(np.round(np.log2(per_share))))
        self._count_parts()

    def _count_parts(self) -> None:
        """After a part failed: what is left, and when the next one is due."""
        self.alive: Floats = (self.board_share * self.board_alive).sum(axis=1)
        self.airflow: Floats = self.fan_alive.sum(axis=1) / self.fans
        boards = np.where(self.board_alive, self.board_life_h, np.inf).min(axis=1)
        fans = np.where(self.fan_alive, self.fan_life_h, np.inf).min(axis=1)
        self._due_h: Floats = np.minimum(boards, fans)

    # ------------------------------------------------------------------------------------------- what is done to it

    def command(self, rows: Ints, modes: Ints, at_s: float) -> None:
        """Ask machines `rows` for operating points `modes` (columns) at `at_s`; each takes its own time to obey.

        A later command replaces one that was not obeyed yet. Asking for the mode that it is in changes nothing.

        Raises:
            ValueError: a mode that a machine does not have, or a time before the present.
        """
        rows, modes = np.asarray(rows, np.int64), np.asarray(modes, np.int64)
        if at_s < self.at_s:
            raise ValueError(f"commanded at {at_s}, expected {self.at_s} or later")
        exists = self.roster.modes.exists
        if modes.size and (modes.min() < 0 or modes.max() >= exists.shape[1] or not exists[rows, modes].all()):
            raise ValueError(f"modes {modes.tolist()}: not every machine of rows {rows.tolist()} has its one")
        if (self.takes_s[rows] <= at_s).any():
            self.step(at_s)
        mode, pace = self.mode[rows], self.behaviour
        delay = np.where(
            modes == SLEEP, pace.sleep_s[rows], np.where(mode == SLEEP, pace.wake_s[rows], pace.change_s[rows])
        )
        self.target[rows] = modes
        booting = self.dark_until_s[rows]
        self.takes_s[rows] = np.where(modes == mode, NEVER_S, np.maximum(at_s + delay, booting))
        rebooting = (booting > at_s) & (modes != SLEEP)
        self.takes_s[rows] = np.where(rebooting, booting, self.takes_s[rows])

    def restart(self, rows: Ints, at_s: float) -> None:
        """The mining process of `rows` starts anew (a firmware does that on a write of its configuration)."""
        rows = np.asarray(rows, np.int64)
        self.step(at_s)
        self.version += 1
        rows = rows[(self.mode[rows] != SLEEP) & (self.takes_s[rows] == NEVER_S)]
        self._begin(rows, np.full(len(rows), at_s))

    def reboot(self, rows: Ints, at_s: float) -> None:
        """`rows` go dark, come back after their boot time, and take up the mode that was asked of them last."""
        rows = np.asarray(rows, np.int64)
        self.step(at_s)
        self.version += 1
        self.dark_until_s[rows] = at_s + self.behaviour.boot_s[rows]
        self.mode[rows] = SLEEP
        self.takes_s[rows] = np.where(self.target[rows] == SLEEP, NEVER_S, self.dark_until_s[rows])
        self._new_process(rows, self.dark_until_s[rows])

    def begin_asleep(self, rows: Ints) -> None:
        """Before time begins: `rows` are asleep, and have been."""
        self.version += 1
        self.mode[rows] = self.target[rows] = SLEEP
        self.power_w[rows] = self.true_power_w[rows, SLEEP]
        self.hashrate_ths[rows] = 0.0
        self._settle(float(self.ambient_c))

    def fail_board(self, row: int, board: int) -> None:
        """One board dies now."""
        self.version += 1
        self.board_alive[row, board] = False
        self._count_parts()

    def fail_fan(self, row: int, fan: int) -> None:
        """One fan dies now."""
        self.version += 1
        self.fan_alive[row, fan] = False
        self._count_parts()

    # ------------------------------------------------------------------------------------------------------ time passes

    def step(self, until_s: float, ambient_c: float | None = None) -> None:
        """Advance every machine to `until_s`, in air of `ambient_c` (as before when not given).

        Nothing happens when that is not later than the present.
        """
        if until_s <= self.at_s:
            return
        self.version += 1
        ambient_c = self.ambient_c = self.ambient_c if ambient_c is None else ambient_c
        turning = np.flatnonzero(self.takes_s <= until_s)
        if turning.size:
            begin = np.full(len(self), self.at_s)
            turn = np.clip(self.takes_s, self.at_s, until_s)
            self._segment(slice(None), begin, turn, ambient_c)
            when = turn[turning]
            self._turn(turning, when)
            self._segment(turning, when, np.full(turning.size, until_s), ambient_c)
        else:
            self._segment(slice(None), np.array([self.at_s]), np.array([until_s]), ambient_c)
        self.at_s = until_s
        if (self.used_h > self._due_h).any():
            self.board_alive &= self.board_life_h > self.used_h[:, None]
            self.fan_alive &= self.fan_life_h > self.used_h[:, None]
            self._count_parts()

    def _turn(self, rows: Ints, when_s: Floats) -> None:
        """`rows` take the mode that was asked of them, at `when_s`."""
        before, after = self.mode[rows], self.target[rows]
        self.mode[rows] = after
        self.takes_s[rows] = NEVER_S
        begins = (after != SLEEP) & ((before == SLEEP) | self.behaviour.restarts[rows])
        self._begin(rows[begins], when_s[begins])

    def _begin(self, rows: Ints, when_s: Floats) -> None:
        """A start: wear, and a new run of the mining process."""
        self.woke_s[rows] = when_s
        self.starts[rows] += 1
        self.used_h[rows] += self.spread.wear_h_per_start
        self.tripped[rows] = False
        if self.counting:
            fresh = rows[self.behaviour.restarts[rows]]
            self._new_process(fresh, self.woke_s[fresh])

    def _new_process(self, rows: Ints, when_s: Floats) -> None:
        """The machine's own counters begin at zero."""
        self.process_s[rows] = when_s
        self.counts.restart(rows)
        self.process_th[rows] = 0.0

    def _segment(self, rows: Rows, begin_s: Floats, end_s: Floats, ambient_c: float) -> None:
        """Advance `rows` from `begin_s` to `end_s`, in which they keep their mode."""
        pace = self.behaviour
        index, mode = self._rows[rows], self.mode[rows]
        working = self.alive[rows] * ~self.tripped[rows]
        idle_w = self.true_power_w[rows, SLEEP]
        swing_w = (self.true_power_w[index, mode] - idle_w) * working
        rate_ths = self.true_hashrate_ths[index, mode] * working
        ramp, start, warm = pace.ramp_s[rows], pace.start_s[rows], pace.warm_s[rows]
        from_s, to_s = begin_s - self.woke_s[rows], end_s - self.woke_s[rows]
        dt = to_s - from_s
        powered_s = risen_s(to_s, ramp) - risen_s(from_s, ramp)
        joules = idle_w * dt + swing_w * powered_s
        terahashes = rate_ths * (risen_s(to_s - start, warm) - risen_s(from_s - start, warm))
        self.energy_j[rows] += joules
        self.hashes_th[rows] += terahashes
        self.power_w[rows] = idle_w + swing_w * np.clip(to_s / np.maximum(ramp, 1e-9), 0.0, 1.0)
        self.hashrate_ths[rows] = rate_ths * np.clip((to_s - start) / np.maximum(warm, 1e-9), 0.0, 1.0)
        self.used_h[rows] += np.where(mode == SLEEP, 0.0, dt) / SECONDS_PER_HOUR
        if self.counting:
            mean_w = np.where(dt > 0, joules / np.maximum(dt, 1e-9), self.power_w[rows])
            self._heat(rows, mean_w, dt, ambient_c)
            self._count(rows, terahashes)

    def _resting_c(self, rows: Rows, power_w: Floats, ambient_c: float) -> tuple[Floats, Floats]:
        """Board and chip temperature that this power would settle at; sets the fans' speed on the way."""
        load = power_w / self.peak_w[rows]
        speed = np.clip(0.2 + 0.6 * load + 0.02 * (ambient_c - 25.0), 0.2, 1.0)
        self.fan_speed[rows] = speed
        air = 0.25 + 0.75 * speed * self.airflow[rows]
        board = ambient_c + load * BOARD_RISE_C * self.air[rows] / air
        return board, board + load * CHIP_RISE_C

    def _heat(self, rows: Rows, mean_w: Floats, dt: Floats, ambient_c: float) -> None:
        """First-order towards the resting temperatures; a chip that is too hot makes the firmware switch off."""
        board, chip = self._resting_c(rows, mean_w, ambient_c)
        self.board_c[rows] = board + (self.board_c[rows] - board) * np.exp(-dt / BOARD_TAU_S)
        self.chip_c[rows] = chip + (self.chip_c[rows] - chip) * np.exp(-dt / CHIP_TAU_S)
        self.tripped[rows] |= (self.chip_c[rows] > TRIP_C) & (self.mode[rows] != SLEEP)

    def _settle(self, ambient_c: float) -> None:
        """Begin at the temperatures that the machines' modes have settled at, and with the counters of a run so far."""
        board, chip = self._resting_c(slice(None), self.power_w, ambient_c)
        self.board_c[:], self.chip_c[:] = board, chip
        age_s = self._draws.uniform(0.5, 1.0, len(self)) * BEFORE_S
        self._new_process(self._rows, self.at_s - age_s)
        self._count(slice(None), self.hashrate_ths * age_s)
        self.counts.settle()

    def _count(self, rows: Rows, terahashes: Floats) -> None:
        """What the hashes that were made come to."""
        self.process_th[rows] += terahashes
        self.counts.draw(rows, terahashes, self.chip_c[rows], self._draws)

    def tell_shares(self, rows: Ints) -> None:
        """From here on, what `rows` count comes from real mining (`take_shares`), and from no draw."""
        self.version += 1
        self.counts.tell(rows)

    def take_shares(self, rows: Ints, counted: Sequence[Counted], difficulty: Sequence[float]) -> None:
        """What `rows` counted since the last time; see `ShareCounts.take`."""
        self.version += 1
        self.counts.take(rows, counted, difficulty)

    # ------------------------------------------------------------------------------------------------ what is true

    @property
    def state(self) -> Codes:
        """What each machine is doing (`fleet.reading.State`)."""
        pace = self.behaviour
        full_s = self.woke_s + pace.start_s + np.maximum(pace.warm_s, pace.ramp_s)
        state = np.where(self.at_s < full_s, int(State.STARTING), int(State.HASHING))
        state = np.where(self.tripped | (self.alive <= 0.0), int(State.FAULTED), state)
        state = np.where(self.mode == SLEEP, int(State.SLEEPING), state)
        return np.where(self.at_s < self.dark_until_s, int(State.UNKNOWN), state).astype(np.int16)

    def truth(self) -> Truth:
        """Copies of what is true now."""
        own = {field.name for field in fields(Truth)} & set(vars(self))
        copies = {name: getattr(self, name).copy() for name in own - {"at_s"}}
        return Truth(
            at_s=self.at_s,
            state=self.state,
            shares=self.counts.ever.copy(),
            hardware_errors=self.counts.errors_ever.copy(),
            boards_alive=self.board_alive.sum(axis=1),
            fans_alive=self.fan_alive.sum(axis=1),
            **copies,
        )
