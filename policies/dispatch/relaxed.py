"""The relaxation: the best dispatch if a step of a ladder could be taken in part, exact under nested caps.

The caps of a tree make a polymatroid, and over one the greedy is optimal: take the steps of all hulls by falling USD
per watt, each as far as every cap above it leaves room. It is done from the deepest caps up, where each node cuts the
list of the steps below it at its cap; what reaches the top is the optimum, and the slope at which a node cuts is its
price. The optimum bounds every real choice, and its whole steps are a feasible one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fleet.columns import UNKNOWN, Bools, Floats, Ints
from policies.dispatch.hull import Steps, hull_steps

ROUNDING = 1e-9
"""A cap is met when its sum exceeds it by no more than this share of it: rounding, a milliwatt in a megawatt."""

BUCKETS = 2**16
"""Buckets of slope, over all nodes of one depth; more than this many nodes are sorted outright."""


@dataclass(frozen=True, eq=False)
class Ladders:
    """What the machines that are free to choose may run at: value, power and permission, [n, k] each."""

    value_usd_h: Floats
    power_w: Floats
    allowed: Bools

    def power_at(self, column: Ints) -> Floats:
        """The power of one column per machine."""
        return self.power_w[np.arange(len(column)), column]


@dataclass(frozen=True, eq=False)
class Caps:
    """The caps that can bind, as a forest of their own: parents stand before their children.

    `parent[m]` is the nearest such node above (-1 at a root), `cap_w[m]` what is left for the machines that are free to
    choose, `home[r]` the nearest such node at or above machine r's own; every machine here has one.
    """

    parent: Ints
    cap_w: Floats
    home: Ints

    def depths(self) -> Ints:
        """How many nodes stand above each."""
        depth = [0] * len(self.parent)
        for m, above in enumerate(self.parent.tolist()):
            if above != UNKNOWN:
                depth[m] = depth[above] + 1
        return np.array(depth)

    def tops(self) -> Ints:
        """The root above each node."""
        top = list(range(len(self.parent)))
        for m, above in enumerate(self.parent.tolist()):
            if above != UNKNOWN:
                top[m] = top[above]
        return np.array(top)

    def sums(self, per_machine: Floats) -> Floats:
        """The sum of a per-machine quantity under each node."""
        parent = self.parent.tolist()
        total: list[float] = np.bincount(self.home, weights=per_machine, minlength=len(parent)).tolist()
        for m in range(len(parent) - 1, -1, -1):
            if parent[m] != UNKNOWN:
                total[parent[m]] += total[m]
        return np.array(total)


@dataclass(frozen=True, eq=False)
class Relaxed:
    """The relaxation's optimum over a forest of caps.

    `start[r]` is the column that the whole steps of machine r reach. `room_w[m]` is what these columns leave under each
    cap, `part_w[m]` what the optimum fills of that with steps in part. `usd_wh[m]` is what one more watt-hour at the
    node would earn with all other caps unchanged, `price_usd_wh[m]` the sum of that over the node and all above: what a
    watt costs a machine there. `bound_usd_h` is the optimum's value.
    """

    ladders: Ladders
    caps: Caps
    start: Ints
    room_w: Floats
    part_w: Floats
    usd_wh: Floats
    price_usd_wh: Floats
    bound_usd_h: float


def relax(ladders: Ladders, caps: Caps) -> Relaxed:
    """Solve the relaxation; the least power of all machines under each cap has to fit under it."""
    steps = hull_steps(ladders.value_usd_h, ladders.power_w, ladders.allowed)
    least_w = ladders.power_at(steps.least)
    taken_w, cut_usd_wh = _cut(steps, caps, caps.cap_w - caps.sums(least_w))
    whole = taken_w == steps.power_w
    start, part_w = steps.least.copy(), np.zeros(len(steps.least))
    # Steps rise along a row and the last assignment stays: the end of the row's last whole step.
    start[steps.row[whole]] = steps.above[whole]
    partly = np.flatnonzero(~whole & (taken_w > 0))
    part_w[steps.row[partly]] = taken_w[partly]
    price, usd = cut_usd_wh.tolist(), cut_usd_wh.tolist()
    for m, above in enumerate(caps.parent.tolist()):
        if above != UNKNOWN:
            price[m] = max(price[m], price[above])
            usd[m] = price[m] - price[above]
    value = ladders.value_usd_h[np.arange(len(start)), steps.least]
    return Relaxed(
        ladders,
        caps,
        start,
        room_w=caps.cap_w - caps.sums(ladders.power_at(start)),
        part_w=caps.sums(part_w),
        usd_wh=np.array(usd),
        price_usd_wh=np.array(price),
        bound_usd_h=float(value.sum() + (steps.usd_wh * taken_w).sum()),
    )


def _cut(steps: Steps, caps: Caps, spare_w: Floats) -> tuple[Floats, Floats]:
    """How much of each step is taken (W), and the slope at which each node refuses more (0 where it never does)."""
    cut = np.zeros(len(caps.parent))
    depth = caps.depths()
    taken = steps.power_w.copy()
    listed = np.arange(len(taken))
    node = caps.home[steps.row]
    for level in range(int(depth.max(initial=0)), -1, -1):
        at = np.flatnonzero(depth[node] == level)
        group, index = (node, listed) if len(at) == len(node) else (node[at], listed[at])
        taken[index] = _fill(group, steps.usd_wh[index], taken[index], spare_w, cut)
        if level:
            node[at] = caps.parent[group]
            stays = taken[listed] > 0
            listed, node = listed[stays], node[stays]
    return taken, cut


def _fill(group: Ints, slope: Floats, power: Floats, spare_w: Floats, cut: Floats) -> Floats:
    """Give each group's spare power to its steps by falling slope: how much of each is taken; notes where each is cut.

    The slopes are first sorted into buckets: which bucket a group's spare power ends in takes no sorting, and only the
    steps of that bucket have to be put in order.
    """
    size = len(spare_w)
    buckets = max(1, min(2_048, BUCKETS // size))
    low, high = float(slope.min(initial=np.inf)), float(slope.max(initial=-np.inf))
    scale = (buckets - 1) / (high - low) if low < high else 0.0
    if not 0.0 < scale < np.inf:
        bucket, ends = np.zeros(len(slope), dtype=np.int64), np.zeros(size, dtype=np.int64)
        room = spare_w
    else:
        bucket = ((high - slope) * scale).astype(np.int64)
        used = np.bincount(group * buckets + bucket, power, size * buckets).reshape(size, buckets).cumsum(axis=1)
        ends = (used <= spare_w[:, None]).sum(axis=1)
        room = spare_w - np.where(ends > 0, used[np.arange(size), np.maximum(ends, 1) - 1], 0.0)
    taken = np.where(bucket < ends[group], power, 0.0)
    unsure = np.flatnonzero(bucket == ends[group])
    order = unsure[_by_falling_slope(slope[unsure])]
    if size > 1:
        order = order[np.argsort(group[order].astype(np.uint16 if size < 2**16 else np.int64), kind="stable")]
    full, taken[order] = _give(group[order], power[order], room)
    refused = order[~full][::-1]
    # The first refusal of each group stands last, and the last assignment stays.
    cut[group[refused]] = slope[refused]
    return taken


def _by_falling_slope(slope: Floats) -> Ints:
    """The order of falling slope, alike slopes by their place in the list.

    The fast sort leaves the order of equals to the processor it runs on; ranking equals alike, and sorting rank and
    place as one integer, makes the answer the same everywhere in a fifth of the time of a stable sort.
    """
    if len(slope) == 0:
        return np.empty(0, dtype=np.int64)
    order = np.argsort(-slope)
    ranked = slope[order]
    rank = np.zeros(len(slope), dtype=np.int64)
    np.cumsum(ranked[1:] < ranked[:-1], out=rank[1:])
    if rank[-1] == len(slope) - 1:
        return order
    return np.sort(rank * len(slope) + order) % len(slope)


def _give(group: Ints, power: Floats, room_w: Floats) -> tuple[Bools, Floats]:
    """Fill each group's room in the order of the list, by group: which steps fit whole, and what each gets (W)."""
    reach = np.cumsum(power)
    start = np.flatnonzero(np.append(True, group[1:] != group[:-1])[: len(group)])
    length = np.diff(np.append(start, len(group)))
    before = np.where(start > 0, reach[start - 1], 0.0) if len(start) else np.zeros(0)
    room = np.repeat(room_w[group[start]] + before, length)
    full = reach <= room
    return full, np.where(full, power, np.clip(room - (reach - power), 0.0, None))
