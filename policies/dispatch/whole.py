"""From steps in part to whole points: the best choice near the relaxation's optimum, and how near it is proven to be.

The relaxation's whole steps are a choice that meets every cap; what room they leave is filled with the moves up that
earn most. Rounds of `search`, each with wider limits, then look for a better one until the gap to the bound is
small, nothing better exists, or the effort is spent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fleet.columns import UNKNOWN, Bools, Floats, Ints
from policies.dispatch.relaxed import Relaxed
from policies.dispatch.search import MERGE_WORK, Limits, Losses, Search


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard to look for the best whole choice.

    Rounds follow each other until the gap to the bound is at most `gap` of the value, or `work` partial choices have
    been weighed, 0.1 us each. No clock is read: the same input gives the same answer.
    """

    rounds: tuple[Limits, ...]
    gap: float
    work: int


QUICK = Effort((Limits(10, 24, 5),), 1e-5, 10_000)
"""For a year of ticks in a minute: a millisecond at most."""
USUAL = Effort(
    (Limits(12, 48, 8), Limits(48, 256, 24), Limits(1_024, 1_024, 40), Limits(1_024, 8_192, 100)), 5e-6, 1_500_000
)
"""For a tick of a small site: a tenth of a second at most goes into the last hundredth of a percent."""
THOROUGH = Effort(
    (Limits(16, 64, 8), Limits(64, 512, 16), Limits(1_024, 4_096, 40), Limits(4_096, 65_536, 400)), 0.0, 200_000_000
)
"""For a proof: small sites are solved exactly, at the cost of seconds."""

SMALL_SITE = 1_200
"""Machines up to which a tick has time for all of USUAL."""


def usual(machines: int) -> Effort:
    """The effort of a tick: USUAL for a small site, and quickly less for a larger one.

    At 10,000 machines the relaxation itself takes the time that a tick has, and the more machines share a cap the less
    its last watts matter.
    """
    return replace(USUAL, work=int(USUAL.work * min(1.0, SMALL_SITE / max(machines, 1)) ** 2.5))


LEAST_MERGES = 4
"""Machines per node that a round must have the work for; with fewer it finds nothing."""
FILLS = 8
"""Passes that fill what room is left; each moves at most one machine per node."""
NO_GAP = 1e-13
"""A gap of this share of the value is the rounding of its sums."""


@dataclass(frozen=True, eq=False)
class Whole:
    """A whole choice: column[r] per machine, and how far below the bound it is. `proven`: no whole choice is better."""

    column: Ints
    gap_usd_h: float
    proven: bool


def close(relaxed: Relaxed, effort: Effort) -> Whole:
    """The best whole choice found with this effort; never worse than the whole steps of the relaxation."""
    caps, ladders, start = relaxed.caps, relaxed.ladders, relaxed.start
    rows, tops = np.arange(len(start)), caps.tops()
    losses, gains = _beside_start(relaxed)
    column = fill(relaxed, losses, gains)
    gap = _gaps(relaxed, losses, column, tops)
    roots = np.flatnonzero(caps.parent == UNKNOWN)
    scale = abs(relaxed.bound_usd_h) + float(np.abs(ladders.value_usd_h[rows, start]).sum())
    floor = [0.0] * len(tops)
    work = float(effort.work)
    proven = gap[roots] <= NO_GAP * scale
    for limits in effort.rounds:
        if (
            work < LEAST_MERGES * MERGE_WORK * len(tops)
            or proven.all()
            or gap[roots[~proven]].sum() <= effort.gap * scale
        ):
            break
        pending = np.zeros(len(tops))
        pending[roots[~proven]] = gap[roots[~proven]]
        search = Search(relaxed, losses, limits, work)
        search.run(pending[tops], floor)
        work = search.work
        for at in np.flatnonzero(~proven).tolist():
            top = int(roots[at])
            solved = search.solved[top]
            if len(solved.usd_h) and solved.usd_h.min() < gap[top]:
                column = np.where(tops[caps.home] == top, start, column)
                search.adopt(top, column)
            proven[at] = solved.complete
        gap = _gaps(relaxed, losses, column, tops)
        proven |= gap[roots] <= NO_GAP * scale
    return Whole(column, float(gap[roots[~proven]].sum()), bool(proven.all()))


def _beside_start(relaxed: Relaxed) -> tuple[Losses, Floats]:
    """Of every cell beside the start of its machine: power and loss, and what it earns more."""
    ladders, start = relaxed.ladders, relaxed.start[:, None]
    price = relaxed.price_usd_wh[relaxed.caps.home]
    power = ladders.power_w - np.take_along_axis(ladders.power_w, start, 1)
    gain = ladders.value_usd_h - np.take_along_axis(ladders.value_usd_h, start, 1)
    loss = price[:, None] * power
    loss -= gain
    np.maximum(loss, 0.0, out=loss)
    if not ladders.allowed.all():
        loss[~ladders.allowed] = np.inf
        gain[~ladders.allowed] = -np.inf
    return Losses(power, loss), gain


def _gaps(relaxed: Relaxed, losses: Losses, column: Ints, tops: Ints) -> Floats:
    """How far a choice stays below the bound, by root (0 elsewhere), in USD/h."""
    caps, rows = relaxed.caps, np.arange(len(column))
    room = relaxed.room_w - caps.sums(losses.power_w[rows, column])
    lost = np.bincount(tops[caps.home], weights=losses.usd_h[rows, column], minlength=len(tops))
    unused = np.bincount(tops, weights=relaxed.usd_wh * np.maximum(room, 0.0), minlength=len(tops))
    return np.asarray(lost + unused, dtype=np.float64)


def fill(relaxed: Relaxed, losses: Losses, gains_usd_h: Floats) -> Ints:
    """The start with what still fits added: at each node the move up that earns most, a few times over."""
    caps = relaxed.caps
    parent: list[int] = caps.parent.tolist()
    room: list[float] = relaxed.room_w.tolist()
    reach = _reach(parent, room)
    column = relaxed.start.copy()
    fits: Bools = (losses.power_w <= reach[caps.home][:, None]) & (gains_usd_h > 0)
    row, to = np.nonzero(fits)
    home, power, gain = caps.home[row], losses.power_w[row, to], gains_usd_h[row, to]
    for _ in range(FILLS):
        now = column[row]
        draw, earn = power - losses.power_w[row, now], gain - gains_usd_h[row, now]
        good = np.flatnonzero((earn > 0) & (draw <= reach[home]))
        if len(good) == 0:
            break
        rising = good[np.argsort(earn[good], kind="stable")]
        best = np.full(len(parent), UNKNOWN)
        # The last assignment stays: the move of each node that earns most.
        best[home[rising]] = rising
        moves = best[best != UNKNOWN]
        for move in moves[np.argsort(-earn[moves], kind="stable")].tolist():
            watts, path = float(draw[move]), _path(parent, int(home[move]))
            if all(watts <= room[m] for m in path):
                column[row[move]] = to[move]
                for m in path:
                    room[m] -= watts
        reach = _reach(parent, room)
    return column


def _reach(parent: list[int], room: list[float]) -> Floats:
    """The least room on the way from each node to its root."""
    reach = list(room)
    for m, above in enumerate(parent):
        if above != UNKNOWN:
            reach[m] = min(reach[m], reach[above])
    return np.array(reach)


def _path(parent: list[int], node: int) -> list[int]:
    """A node and all above it."""
    path = [node]
    while parent[path[-1]] != UNKNOWN:
        path.append(parent[path[-1]])
    return path
