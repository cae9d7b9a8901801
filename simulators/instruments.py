"""Instruments: what each machine believes of itself, which is not quite what is true.

Hash-rate averages over the windows that firmwares report, a jittering "now", thermometers with an offset and a drift,
fans read in steps, power with a calibration error. A machine with a `claims` factor above one multiplies every hash
rate that it states; its shares are counted by physics or by real mining, and do not lie.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fleet.columns import Floats
from fleet.units import SECONDS_PER_DAY
from simulators.physics import BOARDS, FANS, Physics

WINDOWS_S = (60.0, 300.0, 900.0, 1800.0)
JITTER_TAU_S, JITTER = 5.0, 0.008


class Telemetry(NamedTuple):
    """One machine's own view at `at_s`.

    Rates in TH/s; `rate_ths` is now, then averages of 1, 5, 15, 30 min and the run.
    """

    at_s: float
    elapsed_s: float
    mode: int
    target: int
    state: int
    rate_ths: float
    rate_1m_ths: float
    rate_5m_ths: float
    rate_15m_ths: float
    rate_30m_ths: float
    rate_av_ths: float
    ideal_ths: float
    power_w: float
    ambient_c: float
    chip_c: tuple[float, ...]
    chip_spread_c: float
    board_c: tuple[float, ...]
    board_rate: tuple[float, ...]
    """Each board's share of the hash rate; 0 for a dead one."""
    fans_rpm: tuple[int, ...]
    fan_speed: float
    accepted: int
    rejected: int
    stale: int
    errors: int
    run_th: float
    share_difficulty: float
    accepted_work: float
    """Difficulty of the shares that were accepted; so for the next two."""
    rejected_work: float
    stale_work: float

    def board_ths(self, board: int, rate_ths: float) -> float:
        """A board's part of a hash rate."""
        return rate_ths * self.board_rate[board]


class Instruments:
    """The gauges of all machines of a Physics; `claims[n]` multiplies stated hash rates."""

    def __init__(self, physics: Physics, seed: int, claims: Floats, top_rpm: Floats) -> None:
        rng = np.random.default_rng([seed, 3])
        n = len(physics)
        self.physics, self.claims, self.ambient_c = physics, claims, 25.0
        self._draws = np.random.default_rng([seed, 4])
        self._averages: Floats = np.repeat(physics.hashrate_ths[:, None], len(WINDOWS_S), axis=1)
        self._jitter: Floats = self._draws.normal(0.0, 1.0, n)
        self._table: Floats = np.empty((n, 0))
        self._version = -1
        self._seen_th: Floats = physics.hashes_th.copy()
        self._seen_s = physics.at_s
        self._power_gain: Floats = np.exp(rng.normal(0.0, 0.01, n))
        self._board_offset_c: Floats = rng.normal(0.0, 1.2, (n, BOARDS))
        self._chip_spread_c: Floats = np.clip(rng.normal(6.0, 1.5, n), 2.0, 12.0)
        self._rpm: Floats = top_rpm[:, None] * np.exp(rng.normal(0.0, 0.015, (n, FANS)))

    def observe(self) -> None:
        """Take in what happened since the last time; call after each step of the physics."""
        physics = self.physics
        dt = physics.at_s - self._seen_s
        if dt <= 0:
            return
        mean_ths = (physics.hashes_th - self._seen_th) / dt
        for column, window_s in enumerate(WINDOWS_S):
            keep = np.exp(-dt / window_s)
            self._averages[:, column] = mean_ths + (self._averages[:, column] - mean_ths) * keep
        keep = np.exp(-dt / JITTER_TAU_S)
        fresh = self._draws.normal(0.0, 1.0, len(mean_ths))
        self._jitter = self._jitter * keep + fresh * np.sqrt(1.0 - keep * keep)
        self._seen_th, self._seen_s = physics.hashes_th.copy(), physics.at_s

    def telemetry(self, row: int) -> Telemetry:
        """What machine `row` would say of itself now."""
        physics = self.physics
        if self._version != physics.version:
            self._table, self._version = self._tabled(), physics.version
        gauges = self._table[row].tolist()
        process_s, mode, state, rate_ths, minute, five, quarter, half, run_th, power_w = gauges[:10]
        error_c, chip_c, board_c, spread_c, one_c, two_c, three_c, one, two, three = gauges[10:20]
        speed, *rpm = gauges[20:25]
        accepted, rejected, stale, errors, difficulty, accepted_work, rejected_work, stale_work = gauges[25:]
        target = int(physics.target[row])
        elapsed_s = max(0.0, physics.at_s - process_s)
        chip_c, board_c = chip_c + error_c, board_c + error_c
        total = one + two + three or 1.0
        return Telemetry(
            at_s=physics.at_s,
            elapsed_s=elapsed_s,
            mode=int(mode),
            target=target,
            state=int(state),
            rate_ths=rate_ths,
            rate_1m_ths=minute,
            rate_5m_ths=five,
            rate_15m_ths=quarter,
            rate_30m_ths=half,
            rate_av_ths=run_th / elapsed_s if elapsed_s > 1.0 else 0.0,
            ideal_ths=float(physics.roster.modes.hashrate_ths[row, target]),
            power_w=power_w,
            ambient_c=self.ambient_c,
            chip_c=(chip_c + one_c, chip_c + two_c, chip_c + three_c),
            chip_spread_c=spread_c,
            board_c=(board_c + one_c, board_c + two_c, board_c + three_c),
            board_rate=(one / total, two / total, three / total),
            fans_rpm=tuple(int(value // 60) * 60 for value in rpm[: int(physics.fans[row])]),
            fan_speed=speed,
            accepted=int(accepted),
            rejected=int(rejected),
            stale=int(stale),
            errors=int(errors),
            run_th=run_th,
            share_difficulty=difficulty,
            accepted_work=accepted_work,
            rejected_work=rejected_work,
            stale_work=stale_work,
        )

    def _tabled(self) -> Floats:
        """table[n, 33]: every gauge of every machine but its target, in the order in which `telemetry` takes them apart."""
        physics, claims, counts = self.physics, self.claims, self.physics.counts
        drift_c = physics.drift_c_per_day * ((physics.at_s - physics.began_s) / SECONDS_PER_DAY)
        return np.column_stack(
            [
                *(physics.process_s, physics.mode, physics.state),
                physics.hashrate_ths * claims * (1.0 + JITTER * self._jitter),
                self._averages * claims[:, None],
                *(physics.process_th * claims, physics.power_w * self._power_gain),
                *(physics.sensor_c + drift_c, physics.chip_c, physics.board_c, self._chip_spread_c),
                *(self._board_offset_c, physics.board_share * physics.board_alive),
                *(physics.fan_speed, self._rpm * (physics.fan_speed[:, None] * physics.fan_alive)),
                *(counts.accepted, counts.rejected, counts.stale, counts.errors, counts.difficulty),
                *(counts.accepted_work, counts.rejected_work, counts.stale_work),
            ]
        )
