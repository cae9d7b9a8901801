"""The clairvoyant: the most that each machine could have earned with every price known, exactly.

Forward dynamic programme over the intervals, per machine: asleep, j intervals into a restart, or at work. Sleep is free
at once; a wake costs its wear, and `start_s` at power without a hash (a restart may be broken off, and costs again). An
awake machine runs the operating point that earns most in the interval, at the least power that its restart allows. Caps, pace
and safety are left out: with them no policy earns more, so it stays a bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fleet.columns import Bools, Codes, Floats, freeze_columns
from fleet.machine import SLEEP
from fleet.units import HOURS_PER_DAY, SECONDS_PER_HOUR, THS_PER_PHS, WATTS_PER_MW
from simulators.backtesting.ledger import Ledger, revenue_usd

_CELLS_MOST = 4_000_000
"""Cells of one array at once: a machine's ladder times intervals, or machines times intervals."""


@dataclass(frozen=True, eq=False)
class Prospect:
    """What was to be had: prices by interval of `step_s` (t), and what each machine (n) really is at each point (k).

    power_usd_mwh[t] at the machine, hashprice_usd_phs_day[t] after the pool's fee, usable[t]; power_w[n, k],
    hashrate_ths[n, k], exists[n, k] with sleep as column 0; start_s[n] and wear_usd[n] of one start.
    """

    step_s: float
    power_usd_mwh: Floats
    hashprice_usd_phs_day: Floats
    usable: Bools
    power_w: Floats
    hashrate_ths: Floats
    exists: Bools
    start_s: Floats
    wear_usd: Floats

    def __post_init__(self) -> None:
        """Read-only."""
        freeze_columns(self)

    @property
    def hours(self) -> float:
        """Length of an interval."""
        return self.step_s / SECONDS_PER_HOUR

    def machines(self, rows: slice) -> Prospect:
        """The same for some of the machines."""
        return Prospect(
            self.step_s,
            self.power_usd_mwh,
            self.hashprice_usd_phs_day,
            self.usable,
            self.power_w[rows],
            self.hashrate_ths[rows],
            self.exists[rows],
            self.start_s[rows],
            self.wear_usd[rows],
        )

    def hashing(self) -> Floats:
        """share[j, n] of interval j after a wake in which the machine hashes; the last row is 1, for all that follow."""
        most = max(int(np.ceil(self.start_s.max(initial=0.0) / self.step_s)), 1)
        ends = np.arange(1, most + 1)[:, None] * self.step_s
        share = np.clip((ends - self.start_s) / self.step_s, 0.0, 1.0)
        return np.vstack([share, np.ones_like(self.start_s)])


def clairvoyant(prospect: Prospect) -> Ledger:
    """The best plan's ledger, per machine; every machine begins awake."""
    intervals, points = len(prospect.usable), prospect.power_w.shape[1]
    block = max(1, _CELLS_MOST // max(intervals, points))
    ledgers = [
        _best(prospect.machines(slice(first, first + block))) for first in range(0, len(prospect.start_s), block)
    ]
    columns = ("energy_mwh", "hashes_th", "revenue_usd", "energy_usd", "wear_usd", "starts", "awake_s")
    joined = {name: np.concatenate([getattr(ledger, name) for ledger in ledgers]) for name in columns}
    return Ledger(elapsed_s=float(prospect.usable.sum()) * prospect.step_s, **joined)


def _best(prospect: Prospect) -> Ledger:
    """Forwards for the values, backwards for the path, and the path's ledger."""
    return _ledger(prospect, _path(prospect))


def _chunks(prospect: Prospect) -> list[slice]:
    """Stretches of time that fit into memory with every machine's ladder."""
    length = max(1, _CELLS_MOST // prospect.power_w.size)
    return [slice(first, first + length) for first in range(0, len(prospect.usable), length)]


def _awake_usd(prospect: Prospect, rows: slice, share: Floats) -> tuple[Floats, Floats]:
    """(value[t, n] of the best waking point, its index[t, n]) where a share[n] of the interval hashes."""
    per_th_usd = prospect.hashprice_usd_phs_day[rows] * (prospect.hours / (THS_PER_PHS * HOURS_PER_DAY))
    per_w_usd = prospect.power_usd_mwh[rows] * (prospect.hours / WATTS_PER_MW)
    rate = prospect.hashrate_ths[:, SLEEP + 1 :] * share[:, None]
    value = per_th_usd[:, None, None] * rate - per_w_usd[:, None, None] * prospect.power_w[:, SLEEP + 1 :]
    value = np.where(prospect.exists[:, SLEEP + 1 :], value, -np.inf)
    best = value.argmax(axis=2)
    return np.take_along_axis(value, best[:, :, None], axis=2)[:, :, 0], best


def _path(prospect: Prospect) -> Codes:
    """age[t, n]: -1 asleep, j in the j-th interval after a wake, the last row of `hashing` when at work."""
    share = prospect.hashing()
    work, (intervals, n) = len(share) - 1, (len(prospect.usable), share.shape[1])
    # Before an interval: 0 asleep, j awake with j intervals of a restart behind it, `work` past all of them.
    value = np.full((work + 1, n), -np.inf)
    value[work] = 0.0
    arrived = np.zeros((intervals, n), np.bool_)
    slept_from = np.zeros((intervals, n), np.int16)
    for rows in _chunks(prospect):
        gains = np.stack([_awake_usd(prospect, rows, part)[0] for part in share], axis=1)
        asleep = -prospect.power_usd_mwh[rows, None] * (prospect.hours / WATTS_PER_MW) * prospect.power_w[:, SLEEP]
        for t, usable in enumerate(prospect.usable[rows].tolist(), rows.start):
            after = value.copy()
            after[1:] = value[:-1]
            if usable:
                slept_from[t] = value.argmax(axis=0)
                after[0] = value.max(axis=0) + asleep[t - rows.start]
                after[1] -= prospect.wear_usd
                after[1:] += gains[t - rows.start, :-1]
                stayed = value[work] + gains[t - rows.start, work]
            else:
                # Nothing begins in an interval that does not count; a restart under way goes on.
                after[1] = -np.inf
                stayed = value[work]
            arrived[t] = after[work] > stayed
            after[work] = np.maximum(after[work], stayed)
            value = after
    return _walk_back(value, arrived, slept_from, prospect.usable)


def _walk_back(value: Floats, arrived: Bools, slept_from: Codes, usable: Bools) -> Codes:
    """The path that leads to the best state at the end."""
    work, rows = len(value) - 1, np.arange(value.shape[1])
    state = value.argmax(axis=0)
    age = np.empty(arrived.shape, np.int16)
    for t in range(len(usable) - 1, -1, -1):
        worked = (state == work) & ~arrived[t]
        age[t] = np.where(worked, work, state - 1)
        slept = slept_from[t] if usable[t] else np.zeros_like(rows)
        state = np.where(worked, work, np.where(state == 0, slept, state - 1))
    return age


def _ledger(prospect: Prospect, age: Codes) -> Ledger:
    """What a path draws, makes, earns and costs."""
    share, n = prospect.hashing(), len(prospect.start_s)
    machine = np.arange(n)
    energy, hashes, revenue, cost = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    awake = np.zeros((len(share), n))
    for rows in _chunks(prospect):
        counts, path = prospect.usable[rows], age[rows]
        point = np.zeros(path.shape, np.int64)
        part = np.zeros(path.shape)
        for j, hashing in enumerate(share):
            here = (path == j) & counts[:, None]
            awake[j] += here.sum(axis=0)
            if here.any():
                point = np.where(here, _awake_usd(prospect, rows, hashing)[1] + 1, point)
                part = np.where(here, hashing, part)
        mwh = prospect.power_w[machine, point] * counts[:, None] * (prospect.hours / WATTS_PER_MW)
        made = prospect.hashrate_ths[machine, point] * part * prospect.step_s
        hashprice = np.where(counts, prospect.hashprice_usd_phs_day[rows], 0.0)
        price = np.where(counts, prospect.power_usd_mwh[rows], 0.0)
        energy += mwh.sum(axis=0)
        hashes += made.sum(axis=0)
        revenue += revenue_usd(made, hashprice[:, None]).sum(axis=0)
        cost += (mwh * price[:, None]).sum(axis=0)
    return Ledger(
        elapsed_s=float(prospect.usable.sum()) * prospect.step_s,
        energy_mwh=energy,
        hashes_th=hashes,
        revenue_usd=revenue,
        energy_usd=cost,
        wear_usd=awake[0] * prospect.wear_usd,
        starts=awake[0],
        awake_s=awake.sum(axis=0) * prospect.step_s,
    )
