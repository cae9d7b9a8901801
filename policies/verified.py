"""Verified: J/TH of places, from measured power and proven hashes, with an interval that holds at all times.

Where a place has a meter of its own that is fresh, and every machine there either sleeps or has shares that somebody counts,
it is the meter's power now over what the machines claim now and prove of it. Else it is what those machines used that
measure their power, over what they proved in the same time. A nameplate is no measurement: where there is nothing else,
there is nothing.

The shares of all machines of a place are one count: a share of less work than the hardest there is a part of one, which
makes the interval wider and never wrong (docs/statistics.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fleet.columns import Bools, Floats
from fleet.machine import SLEEP, Tree
from fleet.meter import Meter
from fleet.reading import State
from fleet.work.proof.evidence import WORK_PER_THS_S, Delivered, over
from fleet.work.proof.proven import Proven
from policies.record import Record
from policies.shown import Shown
from policies.tick import Judgment


class Verified(Shown):
    """J/TH of one place by measured power and proven hashes."""

    j_th: float
    low: float
    """Its 95 % interval, with the meter's error."""
    high: float | None
    """None: so little is proven that there is no bound."""
    by: Literal["meter", "machines"]
    """Who measured the power: a meter of the place, or its machines."""
    machines: int
    """Whose hashes these are."""


@dataclass(frozen=True, eq=False)
class _Counts:
    """By the source that speaks of each machine, over its window: `work` claimed, in difficulty-1 shares, and joules used."""

    shares: Floats
    expected: Floats
    work: Floats
    used_j: Floats

    @classmethod
    def of(cls, record: Record, proven: Proven) -> _Counts:
        """NaN where nobody has counted anything."""
        work, used_j = np.full((2, len(proven)), np.nan)
        for source, evidence in record.view.evidences.items():
            speaks = proven.source == source
            work = np.where(speaks, evidence.work + evidence.before_work, work)
            used_j = np.where(speaks, evidence.used_j + evidence.before_used_j, used_j)
        counted = (proven.expected > 0) & (work > 0)
        return cls(proven.shares, proven.expected, np.where(counted, work, np.nan), used_j)


def verified(
    judgment: Judgment, record: Record, proven: Proven, hashrate_ths: Floats, asleep: Bools
) -> tuple[Verified | None, ...]:
    """Of each place of the tree; `hashrate_ths[n]` is what machines claim now (NaN: not known)."""
    tree, leaf, counts = judgment.roster.tree, judgment.roster.leaf, _Counts.of(record, proven)
    beliefs = judgment.beliefs
    by_machines = np.isfinite(counts.work) & (counts.used_j > 0)
    own = _ratios(tree, leaf, counts, by_machines)
    joules = tree.totals(leaf, np.where(by_machines, counts.used_j, 0.0))
    claimed_th = tree.totals(leaf, np.where(by_machines, counts.work, 0.0)) / WORK_PER_THS_S
    number = tree.totals(leaf, by_machines.astype(np.float64))

    hashing = np.isfinite(counts.work) & (hashrate_ths > 0)
    unknown = tree.totals(leaf, (~hashing & ~asleep).astype(np.float64))
    metered = _ratios(tree, leaf, counts, hashing)
    claimed_ths = tree.totals(leaf, np.where(hashing, hashrate_ths, 0.0))
    hashes = tree.totals(leaf, hashing.astype(np.float64))
    meters = _fresh(record, beliefs.silent_after_s)
    told: list[Verified | None] = []
    for m, name in enumerate(tree.names):
        meter = meters.get(name)
        if meter is not None and not unknown[m] and claimed_ths[m] > 0:
            error, claim = beliefs.place_meter_error, meter.power_w / claimed_ths[m]
            told.append(_verified(claim, metered, m, error, by="meter", machines=int(hashes[m])))
        elif claimed_th[m] > 0:
            error, claim = beliefs.meter_error, joules[m] / claimed_th[m]
            told.append(_verified(claim, own, m, error, by="machines", machines=int(number[m])))
        else:
            told.append(None)
    return tuple(told)


def asleep(record: Record, known: Bools) -> Bools:
    """asleep[n]: its own readings show that it hashes nothing, and was told so."""
    view = record.view
    sleeps: Bools = known & (view.mode == SLEEP) & (view.state == State.SLEEPING)
    return sleeps


def _ratios(tree: Tree, leaf: Any, counts: _Counts, rows: Bools) -> Delivered:
    """Delivered over claimed of each place's machines among `rows`, in shares of the hardest difficulty there."""
    per_share = np.divide(counts.work, counts.expected, out=np.zeros(len(rows)), where=rows)
    hardest = np.zeros(len(tree.names))
    np.maximum.at(hardest, leaf, per_share)
    for m in range(len(hardest) - 1, 0, -1):
        hardest[tree.parent[m]] = max(hardest[tree.parent[m]], hardest[m])
    work = tree.totals(leaf, np.where(rows, counts.work, 0.0))
    delivered = tree.totals(leaf, np.where(rows, counts.shares, 0.0) * per_share)
    unit = np.where(hardest > 0, hardest, 1.0)
    return over(delivered / unit, work / unit, np.full(len(work), np.nan))


def _fresh(record: Record, most_s: float) -> dict[str, Meter]:
    """The last word of each place's meter, where it is no older than that."""
    at_s = record.snapshot.at_s
    fresh = [meter for meter in record.snapshot.meters if at_s - meter.heard_s <= most_s and meter.power_w > 0]
    return {meter.place: meter for meter in sorted(fresh, key=lambda meter: meter.heard_s)}


def _verified(
    claimed_j_th: float, found: Delivered, m: int, error: float, *, by: Literal["meter", "machines"], machines: int
) -> Verified | None:
    """J per claimed TH, over the part of it that was delivered."""
    if not found.ratio[m] > 0:
        return None
    return Verified(
        j_th=float(claimed_j_th / found.ratio[m]),
        low=float(claimed_j_th * (1 - error) / found.high[m]),
        high=float(claimed_j_th * (1 + error) / found.low[m]) if found.low[m] > 0 else None,
        by=by,
        machines=machines,
    )
