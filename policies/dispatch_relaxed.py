"""The relaxation: the best dispatch if a step of a ladder could be taken in part, exact under nested caps.

The caps of a tree make a polymatroid, and over one the greedy is optimal: take the steps of all hulls by falling USD per
watt, each as far as every cap above it leaves room. It is done from the deepest caps up, where each node cuts the sorted
list of the steps below it at its cap; what reaches the top is the optimum, and the slope at which a node cuts is its
price. The optimum bounds every real choice, and its whole steps are a feasible one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fleet.columns import UNKNOWN, Bools, Floats, Ints
from policies.dispatch_hull import Points, Steps, steps_of

ROUNDING = 1e-9
"""A cap is met when its sum exceeds it by no more than this share of it: the rounding of a sum, a milliwatt in a megawatt."""


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
        depth = np.zeros(len(self.parent), dtype=np.int64)
        for m, above in enumerate(self.parent.tolist()):
            if above != UNKNOWN:
                depth[m] = depth[above] + 1
        return depth


@dataclass(frozen=True, eq=False)
class Relaxed:
    """The relaxation's optimum over a forest of caps.

    `points` are the choices of its machines; `start[r]` is the point (an index into `points`) that the whole steps of
    machine r reach. `room_w[m]` is what these points leave under each cap, `part_w[m]` how much of that the optimum fills
    with steps in part, `usd_wh[m]` what one more watt-hour at the
    node itself would earn with all other caps unchanged, `price_usd_wh[m]` the sum of that over the node and all above:
    what a watt costs a machine there. `bound_usd_h` is the optimum's value.
    """

    points: Points
    caps: Caps
    start: Ints
    room_w: Floats
    part_w: Floats
    usd_wh: Floats
    price_usd_wh: Floats
    bound_usd_h: float


def relax(points: Points, caps: Caps) -> Relaxed:
    """Solve the relaxation; the least power of all machines under each cap has to fit under it."""
    steps = steps_of(points)
    least = points.first[:-1]
    spare = caps.cap_w - sums(caps, points.power_w[least])
    order = _by_falling_slope(steps.usd_wh)
    taken_w, cut_usd_wh = _cut(steps, order, caps, spare)
    whole = taken_w == steps.power_w
    start = least.copy()
    # Steps rise along a row and the last assignment stays: the end of the row's last whole step.
    start[steps.row[whole]] = steps.corner[whole]
    room = caps.cap_w - sums(caps, points.power_w[start])
    price = cut_usd_wh.copy()
    usd = cut_usd_wh.copy()
    for m, above in enumerate(caps.parent.tolist()):
        if above != UNKNOWN:
            price[m] = max(price[m], price[above])
            usd[m] = price[m] - price[above]
    part = np.zeros(len(least))
    partly = ~whole & (taken_w > 0)
    part[steps.row[partly]] = taken_w[partly]
    bound = float(points.value_usd_h[least].sum() + np.dot(steps.usd_wh, taken_w))
    return Relaxed(points, caps, start, room, sums(caps, part), usd, price, bound)


def sums(caps: Caps, per_machine: Floats) -> Floats:
    """The sum of a per-machine quantity under each node."""
    total = np.bincount(caps.home, weights=per_machine, minlength=len(caps.parent))
    parent = caps.parent.tolist()
    for m in range(len(parent) - 1, -1, -1):
        if parent[m] != UNKNOWN:
            total[parent[m]] += total[m]
    return total


def _by_falling_slope(slope: Floats) -> Ints:
    """The order of falling slope, alike slopes by their place in the list.

    The fast sort leaves the order of equals to the processor it runs on; ranking equals alike and sorting rank and place
    as one integer makes the answer the same everywhere, in a fifth of the time of a stable sort.
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


def _cut(steps: Steps, order: Ints, caps: Caps, spare: Floats) -> tuple[Floats, Floats]:
    """How much of each step is taken (W), and the slope at which each node refuses more (0 where it never does)."""
    size = len(caps.parent)
    cut = np.zeros(size)
    taken = steps.power_w.copy()
    depth = caps.depths()
    node = caps.home[steps.row[order]]
    listed, power = order, taken[order]
    parent = caps.parent
    for level in range(int(depth.max(initial=0)), -1, -1):
        here = depth[node] == level
        at = np.flatnonzero(here)
        if not here.all():
            group = node[at]
        else:
            group = node
        if size > 1:
            by_node = np.argsort(group.astype(np.uint16 if size < 2**16 else np.int64), kind="stable")
            at, group = at[by_node], group[by_node]
        full, fill = _fill(group, power[at], spare)
        refused = np.flatnonzero(~full)
        # The first refusal of each node stands last in the reversed list, and the last assignment stays.
        cut[group[refused[::-1]]] = steps.usd_wh[listed[at[refused[::-1]]]]
        power[at] = fill
        stays = power > 0
        taken[listed[at]] = fill
        node = np.where(here, parent[node], node)
        if not stays.all():
            listed, power, node = listed[stays], power[stays], node[stays]
        inside = node != UNKNOWN
        if not inside.all():
            listed, power, node = listed[inside], power[inside], node[inside]
    return taken, cut


def _fill(group: Ints, power: Floats, spare: Floats) -> tuple[Bools, Floats]:
    """Fill each group's room in order: which steps fit whole, and how much of each is taken (W)."""
    reach = np.cumsum(power)
    first = np.ones(len(group), dtype=np.bool_)
    first[1:] = group[1:] != group[:-1]
    start = np.flatnonzero(first)
    length = np.diff(np.append(start, len(group)))
    before = np.where(start > 0, reach[start - 1], 0.0)
    room = np.repeat(spare[group[start]] + before, length)
    full = reach <= room
    fill = np.where(full, power, np.clip(room - (reach - power), 0.0, None))
    return full, fill
