"""From steps in part to whole points: the best real choice near the relaxation's optimum, and the proof of how near.

At the relaxation's prices every point of every machine has a loss, what it falls short of the machine's best, and every
watt left under a cap that binds has one too; the relaxation's bound less all losses is the value of a choice. So a choice
that beats the best one known may lose less than the gap between that and the bound, in all: most machines have no second
point so cheap. A dynamic programme over the others keeps, node by node from the deepest caps up, the partial choices
that no other beats in power and value; its lists, the machines it takes in and its work are limited, and raised in rounds
until the gap is closed or the effort is spent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TypeAlias

import numpy as np

from fleet.columns import UNKNOWN, Floats, Ints
from policies.dispatch_relaxed import Relaxed, sums


@dataclass(frozen=True, slots=True)
class Round:
    """Limits of one round: machines per node, partial choices per list, points per machine or node below."""

    machines: int
    states: int
    points: int


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard to look for the best whole choice.

    Rounds follow each other until the gap to the bound is at most `gap` of the value, or `work` partial choices have been
    weighed (each merge of two lists counts as MERGE_WORK more).
    """

    rounds: tuple[Round, ...]
    gap: float
    work: int


MERGE_WORK = 300
"""What starting a merge costs, in partial choices weighed in that time (measured with numpy 2.4)."""
FILLS = 8
"""Passes that fill what room is left; each moves at most one machine per node."""

QUICK = Effort((Round(10, 24, 5),), 1e-5, 10_000)
"""For a year of ticks in a minute."""
USUAL = Effort((Round(10, 24, 5), Round(32, 128, 10), Round(128, 768, 20)), 1e-6, 100_000)
"""For a tick: some ten milliseconds at most go into the last hundredth of a percent."""
THOROUGH = Effort(
    (Round(16, 64, 8), Round(64, 512, 16), Round(1_024, 4_096, 40), Round(1_024, 40_000, 400)), 0.0, 400_000_000
)
"""For a proof: small sites are solved exactly."""


@dataclass(frozen=True, eq=False)
class Whole:
    """A whole choice: point[r] per machine (an index into the relaxation's points), and how far below the bound it is.

    `proven`: no whole choice is better.
    """

    point: Ints
    gap_usd_h: float
    proven: bool


@dataclass(frozen=True, eq=False)
class _Losses:
    """What each point costs at the relaxation's prices, beside the relaxation's own: its power (W) and loss (USD/h)."""

    power_w: Floats
    usd_h: Floats


@dataclass(frozen=True, eq=False, slots=True)
class _List:
    """Choices by rising power that do not beat one another: power beside the relaxation's start (W) and loss (USD/h)."""

    power_w: Floats
    loss_usd_h: Floats


@dataclass(eq=False, slots=True)
class _Merge:
    """How a list came about: the list before, `before[i]`, and the choice `taken[i]` of one machine or node below."""

    machine: int
    node: int
    choice: Ints
    before: Ints
    taken: Ints


@dataclass(eq=False)
class _Search:
    """One round over one forest: what may be spent, the lists found, and whether anything was left out."""

    relaxed: Relaxed
    limits: Round
    work: float
    complete: list[bool]
    found: dict[int, _List] = field(default_factory=dict)
    ends: dict[int, Ints] = field(default_factory=dict)
    merges: dict[int, list[_Merge]] = field(default_factory=dict)


_Items: TypeAlias = list[tuple[int, int, Ints, _List]]
"""Machine (or UNKNOWN), node (or UNKNOWN), the points that the choices stand for, and the choices."""


def close(relaxed: Relaxed, effort: Effort) -> Whole:
    """The best whole choice found with this effort; never worse than the whole steps of the relaxation."""
    caps, points = relaxed.caps, relaxed.points
    tops = _tops(caps.parent)
    price = relaxed.price_usd_wh[caps.home]
    losses = _losses(relaxed, price)
    chosen = fill(relaxed, relaxed.start)
    gap = _gaps(relaxed, losses, chosen, tops)
    open_ = np.zeros(len(tops), dtype=np.bool_)
    open_[tops] = True
    scale = max(abs(relaxed.bound_usd_h), float(np.abs(points.value_usd_h[relaxed.start]).sum()))
    work = float(effort.work)
    for limits in effort.rounds:
        # A gap within rounding of the sums is none.
        open_ &= gap > 1e-13 * scale
        if work <= 0 or not open_.any() or gap[open_].sum() <= effort.gap * scale:
            break
        search = _Search(relaxed, limits, work, [True] * len(tops))
        _search(search, losses, np.where(open_, gap, 0.0)[tops], tops)
        work = search.work
        for top in np.flatnonzero(open_).tolist():
            better = search.found.get(top)
            if better is not None and len(better.loss_usd_h):
                best = int(np.argmin(better.loss_usd_h))
                if better.loss_usd_h[best] < gap[top]:
                    inside = tops[caps.home] == top
                    chosen[inside] = relaxed.start[inside]
                    _adopt(search, top, best, chosen)
            open_[top] = not search.complete[top]
        chosen = fill(relaxed, chosen)
        gap = _gaps(relaxed, losses, chosen, tops)
    return Whole(chosen, float(gap.sum()), not open_.any())


def _tops(parent: Ints) -> Ints:
    """The root above each node."""
    tops = np.arange(len(parent))
    for m, above in enumerate(parent.tolist()):
        if above != UNKNOWN:
            tops[m] = tops[above]
    return tops


def _losses(relaxed: Relaxed, price_usd_wh: Floats) -> _Losses:
    """Power and loss of every point beside the start of its machine."""
    points = relaxed.points
    length = np.diff(points.first)
    power = points.power_w - np.repeat(points.power_w[relaxed.start], length)
    value = points.value_usd_h - np.repeat(points.value_usd_h[relaxed.start], length)
    loss = np.repeat(price_usd_wh, length) * power - value
    return _Losses(power, np.maximum(loss, 0.0, out=loss))


def _gaps(relaxed: Relaxed, losses: _Losses, chosen: Ints, tops: Ints) -> Floats:
    """How far the choice stays below the bound, by root (0 elsewhere), in USD/h."""
    caps = relaxed.caps
    room = relaxed.room_w - sums(caps, losses.power_w[chosen])
    gap = np.bincount(tops[caps.home], weights=losses.usd_h[chosen], minlength=len(tops))
    gap += np.bincount(tops, weights=relaxed.usd_wh * np.maximum(room, 0.0), minlength=len(tops))
    return gap


def fill(relaxed: Relaxed, chosen: Ints) -> Ints:
    """The choice with what still fits added: at each node the move up that earns most, a few times over."""
    caps, points = relaxed.caps, relaxed.points
    parent = caps.parent.tolist()
    chosen = chosen.copy()
    room = (caps.cap_w - sums(caps, points.power_w[chosen])).tolist()
    reach = list(room)
    for m, above in enumerate(parent):
        if above != UNKNOWN:
            reach[m] = min(reach[m], reach[above])
    length = np.diff(points.first)
    ceiling = points.power_w[chosen] + np.asarray(reach)[caps.home]
    fits = np.flatnonzero(
        (points.power_w <= np.repeat(ceiling, length)) & (np.arange(len(points.row)) > np.repeat(chosen, length))
    )
    row = points.row[fits]
    home = caps.home[row]
    for _ in range(FILLS):
        now = chosen[row]
        gain = points.value_usd_h[fits] - points.value_usd_h[now]
        power = points.power_w[fits] - points.power_w[now]
        good = np.flatnonzero((gain > 0) & (power <= np.asarray(reach)[home]))
        if len(good) == 0:
            break
        rising = good[np.argsort(gain[good], kind="stable")]
        best = np.full(len(parent), UNKNOWN)
        best[home[rising]] = rising
        for move in sorted(best[best != UNKNOWN].tolist(), key=lambda move: -float(gain[move])):
            path = _path(parent, int(home[move]))
            draw = float(power[move])
            if all(draw <= room[m] for m in path):
                chosen[row[move]] = fits[move]
                for m in path:
                    room[m] -= draw
        for m, above in enumerate(parent):
            reach[m] = room[m] if above == UNKNOWN else min(room[m], reach[above])
    return chosen


def _path(parent: Sequence[int], node: int) -> list[int]:
    """A node and all above it."""
    path = [node]
    while parent[path[-1]] != UNKNOWN:
        path.append(parent[path[-1]])
    return path


def _search(search: _Search, losses: _Losses, gap: Floats, tops: Ints) -> None:
    """One round: the lists of every node under the roots that have a gap, from the deepest up."""
    caps = search.relaxed.caps
    parent = caps.parent.tolist()
    machines = _flexible(search, losses, gap, tops)
    below: dict[int, list[int]] = {}
    todo = [m for m in range(len(parent) - 1, -1, -1) if gap[m] > 0]
    for done, node in enumerate(todo):
        share = search.work / (len(todo) - done)
        items = [(UNKNOWN, c, np.arange(len(search.found[c].power_w)), search.found[c]) for c in below.get(node, [])]
        _solve(search, node, items + machines.get(node, []), float(gap[node]), share)
        if parent[node] != UNKNOWN:
            below.setdefault(parent[node], []).append(node)


def _flexible(search: _Search, losses: _Losses, gap: Floats, tops: Ints) -> dict[int, _Items]:
    """By node, the machines with a second point that loses less than the gap, cheapest second point first."""
    relaxed, limits = search.relaxed, search.limits
    caps, points = relaxed.caps, relaxed.points
    length = np.diff(points.first)
    cheap = losses.usd_h < np.repeat(gap[caps.home], length)
    cheap[relaxed.start] = False
    option = np.flatnonzero(cheap)
    if len(option) == 0:
        return {}
    row = points.row[option]
    begin = np.flatnonzero(np.append(True, row[1:] != row[:-1]))
    rows = row[begin]
    least = np.minimum.reduceat(losses.usd_h[option], begin)
    order = np.lexsort((least, caps.home[rows]))
    end = np.append(begin[1:], len(option))
    node = caps.home[rows[order]]
    opens = np.flatnonzero(np.append(True, node[1:] != node[:-1]))
    machines: dict[int, _Items] = {}
    for start, stop in zip(opens.tolist(), [*opens[1:].tolist(), len(order)], strict=True):
        home = int(node[start])
        if stop - start > limits.machines:
            search.complete[int(tops[home])] = False
            stop = start + limits.machines
        items: _Items = []
        for at in order[start:stop].tolist():
            chosen = option[begin[at] : end[at]]
            if len(chosen) >= limits.points:
                search.complete[int(tops[home])] = False
                chosen = chosen[np.argsort(losses.usd_h[chosen], kind="stable")[: limits.points - 1]]
            machine = int(rows[at])
            choice = np.append(relaxed.start[machine], chosen)
            items.append((machine, UNKNOWN, choice, _List(losses.power_w[choice], losses.usd_h[choice])))
        machines[home] = items
    return machines


def _solve(search: _Search, node: int, items: _Items, gap: float, share: float) -> None:
    """The list of one node: its machines and the nodes below merged one after the other."""
    relaxed = search.relaxed
    top = node
    path = _path(relaxed.caps.parent.tolist(), node)
    top = path[-1]
    room, usd_wh, price = (float(c[node]) for c in (relaxed.room_w, relaxed.usd_wh, relaxed.price_usd_wh))
    lowest = [float(item[3].power_w.min()) for item in items]
    highest = [float(item[3].power_w.max()) for item in items]
    least = [*accumulate(reversed(lowest), initial=0.0)][::-1]
    most = [*accumulate(reversed(highest), initial=0.0)][::-1]
    states = _List(np.zeros(1), np.zeros(1))
    merges: list[_Merge] = []
    for i, (machine, below, choice, options) in enumerate(items):
        weighed = len(states.power_w) * len(options.power_w) + MERGE_WORK
        if machine != UNKNOWN and share < weighed:
            search.complete[top] = False
            break
        share -= weighed
        search.work -= weighed
        power = np.add.outer(states.power_w, options.power_w).ravel()
        loss = np.add.outer(states.loss_usd_h, options.loss_usd_h).ravel()
        # What the rest can still add decides whether a partial choice can come under the cap, and near enough to it.
        unused = np.maximum(room - most[i + 1] - power, 0.0)
        good = np.flatnonzero((power <= room - least[i + 1]) & (loss + usd_wh * unused < gap))
        if len(good) == 0:
            search.found[node] = _List(np.zeros(0), np.zeros(0))
            search.merges[node] = []
            search.ends[node] = np.zeros(0, dtype=np.int64)
            return
        kept = good[_unbeaten(power[good], price * power[good] - loss[good])]
        if len(kept) > search.limits.states:
            search.complete[top] = False
            kept = kept[_thinned(power[kept], loss[kept], search.limits.states)]
        before, taken = np.divmod(kept, len(options.power_w))
        merges.append(_Merge(machine, below, choice, before, taken))
        states = _List(power[kept], loss[kept])
    final = states.loss_usd_h + usd_wh * np.maximum(room - states.power_w, 0.0)
    ends = np.flatnonzero((states.power_w <= room) & (final < gap))
    if len(ends) > search.limits.points and len(path) > 1:
        search.complete[top] = False
        ends = ends[_thinned(states.power_w[ends], final[ends], search.limits.points)]
    search.found[node] = _List(states.power_w[ends], final[ends])
    search.ends[node] = ends
    search.merges[node] = merges


def _unbeaten(power: Floats, value: Floats) -> Ints:
    """The indices, by rising power, of the choices that no other beats in both."""
    order = np.argsort(power, kind="stable")
    value = value[order]
    ahead = np.maximum.accumulate(value)
    keep = np.ones(len(order), dtype=np.bool_)
    keep[1:] = value[1:] > ahead[:-1]
    return order[keep]


def _thinned(power: Floats, loss: Floats, size: int) -> Ints:
    """At most `size` of a list by rising power: the cheapest in each of as many equal spans of power."""
    span = np.minimum(((power - power[0]) * (size / (power[-1] - power[0]))).astype(np.int64), size - 1)
    falling = np.argsort(-loss, kind="stable")
    slot = np.full(size, UNKNOWN)
    slot[span[falling]] = falling
    return slot[slot != UNKNOWN]


def _adopt(search: _Search, top: int, best: int, chosen: Ints) -> None:
    """Write the machines' points of a root's choice into `chosen`."""
    pending = [(top, best)]
    while pending:
        node, end = pending.pop()
        state = int(search.ends[node][end])
        for merge in reversed(search.merges[node]):
            taken = int(merge.taken[state])
            if merge.machine != UNKNOWN:
                chosen[merge.machine] = merge.choice[taken]
            else:
                pending.append((merge.node, taken))
            state = int(merge.before[state])
