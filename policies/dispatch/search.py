"""One bounded search for a better whole choice, by dynamic programming over the tree of caps.

At the relaxation's prices every point of every machine has a loss, what it falls short of the machine's best, and every
watt left under a cap that binds has one too; the bound less all losses is the value of a choice. So a choice that beats
the best one known loses less than the gap between that and the bound, in all: few machines have a second point so
cheap. From the deepest caps up, each node merges its machines and the lists of the nodes below into the list of partial
choices that no other beats in power and value, within what the gap leaves after the least that is lost elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from fleet.columns import UNKNOWN, Bools, Floats, Ints
from policies.dispatch.relaxed import Relaxed

MERGE_WORK = 300
"""What starting a merge costs, in partial choices weighed in that time (measured with numpy 2.4)."""
START = -1
"""In place of an entry of a list: everything stays where the relaxation's whole steps left it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one search: machines per node, partial choices per list, choices per machine or node below."""

    machines: int
    states: int
    choices: int


@dataclass(frozen=True, eq=False, slots=True)
class Losses:
    """What each cell [n, k] draws beside the start of its machine (W), and what it loses at the relaxation's prices."""

    power_w: Floats
    usd_h: Floats


@dataclass(frozen=True, eq=False, slots=True)
class Item:
    """One machine's or one lower node's choices: power beside the start (W), loss (USD/h), and what each stands for."""

    machine: int
    node: int
    stands_for: Ints
    power_w: Floats
    usd_h: Floats


@dataclass(frozen=True, eq=False, slots=True)
class _Merge:
    """How a list came about: of each entry the entry `before` and the choice `taken` of the item merged in."""

    item: Item
    before: Ints
    taken: Ints


@dataclass(frozen=True, eq=False, slots=True)
class _Solved:
    """A node's list, by rising power, and how it came about. `floor_usd_h`: the least that its subtree loses."""

    power_w: Floats
    usd_h: Floats
    ends: Ints
    merges: Sequence[_Merge]
    left: Sequence[tuple[int, int]]
    """Lower nodes that were not merged in, with the entry that each was given."""
    complete: bool


class Search:
    """One search over the trees whose gap is not closed; `work` is what remains of the partial choices it may weigh."""

    def __init__(self, relaxed: Relaxed, losses: Losses, limits: Limits, work: float) -> None:
        self.relaxed, self.losses, self.limits, self.work = relaxed, losses, limits, work
        self.parent: list[int] = relaxed.caps.parent.tolist()
        self.home = relaxed.caps.home
        self.solved: dict[int, _Solved] = {}
        self.below: dict[int, list[int]] = {}

    def run(self, gap_usd_h: Floats, floor_usd_h: list[float]) -> None:
        """Solve every node of the trees whose gap_usd_h[node] (that of its root) is more than 0, from the deepest up.

        floor_usd_h[m] is what the subtree of each node is known to lose at least, and is raised where this search
        proves more.
        """
        cheap = self.losses.usd_h < gap_usd_h[self.home][:, None]
        cheap[np.arange(len(self.home)), self.relaxed.start] = False
        kept = self._without_loose(cheap)
        todo = [m for m in reversed(kept) if gap_usd_h[m] > 0]
        for m in kept:
            if self.parent[m] != UNKNOWN:
                self.below.setdefault(self.parent[m], []).append(m)
        machines = self._flexible(cheap, min(self.limits.machines, int(self.work / len(todo) / MERGE_WORK)))
        beneath = {m: sum(floor_usd_h[c] for c in self.below.get(m, ())) for m in todo}
        gaps = gap_usd_h.tolist()
        for done, node in enumerate(todo):
            floor_usd_h[node] = max(floor_usd_h[node], beneath[node])
            gap, at = gaps[node], node
            while self.parent[at] != UNKNOWN:
                # Sums of the same figures in another order may differ by their rounding: never cut by it.
                gap -= max(beneath[self.parent[at]] - floor_usd_h[at] - 1e-12 * gaps[node], 0.0)
                at = self.parent[at]
            solved = self._solve(node, machines.get(node, ([], True)), gap, self.work / (len(todo) - done))
            self.solved[node] = solved
            least = float(solved.usd_h.min()) if len(solved.usd_h) else gap
            if solved.complete and least > floor_usd_h[node]:
                floor_usd_h[node] = least
            if self.parent[node] != UNKNOWN:
                above = self.parent[node]
                beneath[above] = sum(floor_usd_h[c] for c in self.below[above])

    def _without_loose(self, cheap: Bools) -> list[int]:
        """The nodes that matter to this search; the others' machines and lower nodes now hang on those above.

        A cap does not matter when it costs nothing and holds whatever cheap points its machines take.
        """
        caps, relaxed = self.relaxed.caps, self.relaxed
        upward = np.where(cheap, self.losses.power_w, 0.0).max(axis=1, initial=0.0)
        loose = ((relaxed.usd_wh == 0) & (caps.sums(upward) <= relaxed.room_w)).tolist()
        nearest = list(range(len(self.parent)))
        kept: list[int] = []
        for m, above in enumerate(self.parent):
            if above == UNKNOWN:
                kept.append(m)
            elif loose[m]:
                nearest[m] = nearest[above]
            else:
                kept.append(m)
                self.parent[m] = nearest[above]
        self.home = np.array(nearest)[caps.home]
        return kept

    def adopt(self, top: int, column: Ints) -> float:
        """Write the best choice found under a root into column[n] (which comes as the relaxation's start): its loss."""
        solved = self.solved[top]
        best = int(np.argmin(solved.usd_h))
        pending = [(top, best)]
        while pending:
            node, end = pending.pop()
            if end == START:
                continue
            at = self.solved[node]
            pending.extend(at.left)
            state = int(at.ends[end])
            for merge in reversed(at.merges):
                choice = int(merge.item.stands_for[merge.taken[state]])
                if merge.item.machine != UNKNOWN:
                    column[merge.item.machine] = choice
                else:
                    pending.append((merge.item.node, choice))
                state = int(merge.before[state])
        return float(solved.usd_h[best])

    def _flexible(self, cheap: Bools, most: int) -> dict[int, tuple[list[Item], bool]]:
        """By node at `most` so many machines with a second point that is cheap, and whether that is all.

        Those whose second point loses least come first.
        """
        home, limits = self.home, self.limits
        power, usd = self.losses.power_w, self.losses.usd_h
        rows = np.flatnonzero(cheap.any(axis=1))
        least = np.where(cheap[rows], usd[rows], np.inf).min(axis=1)
        order = rows[np.lexsort((least, home[rows]))]
        node = home[order]
        opens = np.flatnonzero(np.append(True, node[1:] != node[:-1])[: len(node)]).tolist()
        machines: dict[int, tuple[list[Item], bool]] = {}
        for begin, end in zip(opens, [*opens[1:], len(order)], strict=True):
            whole = end - begin <= most
            items: list[Item] = []
            for machine in order[begin : min(end, begin + most)].tolist():
                columns = np.flatnonzero(cheap[machine])
                if len(columns) >= limits.choices:
                    whole = False
                    columns = columns[np.argsort(usd[machine, columns], kind="stable")[: limits.choices - 1]]
                columns = np.append(self.relaxed.start[machine], columns)
                items.append(Item(machine, UNKNOWN, columns, power[machine, columns], usd[machine, columns]))
            machines[int(node[begin])] = items, whole
        return machines

    def _lower(self, node: int) -> tuple[list[Item], bool]:
        """The lists of the nodes below, and whether they are complete.

        A list that was cut short is given its start back, so that there is always a choice that meets the caps.
        """
        items, complete = [], True
        for c in self.below.get(node, ()):
            solved = self.solved[c]
            complete &= solved.complete
            stands_for, power, usd = np.arange(len(solved.power_w)), solved.power_w, solved.usd_h
            if not solved.complete or len(power) == 0:
                stands_for = np.append(stands_for, START)
                power, usd = np.append(power, 0.0), np.append(usd, self._start_usd_h(c))
            items.append(Item(UNKNOWN, c, stands_for, power, usd))
        return items, complete

    def _start_usd_h(self, node: int) -> float:
        """What the start loses in a subtree: the room that it leaves under the caps that bind."""
        lost = float(self.relaxed.usd_wh[node] * max(self.relaxed.room_w[node], 0.0))
        return lost + sum(self._start_usd_h(c) for c in self.below.get(node, ()))

    def _solve(self, node: int, machines: tuple[list[Item], bool], gap: float, share: float) -> _Solved:
        """The list of one node, for a gap that its subtree may lose and a share of the work that it may use."""
        relaxed, limits = self.relaxed, self.limits
        room, usd_wh, price = (float(x[node]) for x in (relaxed.room_w, relaxed.usd_wh, relaxed.price_usd_wh))
        lower, complete = self._lower(node)
        complete &= machines[1]
        lower, left = self._affordable(lower, share)
        complete &= not left
        power, usd = np.zeros(1), np.zeros(1)
        for item, end in left:
            power, usd = power + item.power_w[end], usd + item.usd_h[end]
        items = lower + machines[0]
        least, most, lost = (
            (
                [*accumulate((float(x) for x in reversed(ends)), initial=0.0)][::-1]
                for ends in zip(*((i.power_w.min(), i.power_w.max(), i.usd_h.min()) for i in items), strict=True)
            )
            if items
            else ([0.0], [0.0], [0.0])
        )
        merges: list[_Merge] = []
        for i, item in enumerate(items):
            weighed = len(power) * len(item.power_w) + MERGE_WORK
            if item.machine != UNKNOWN and share < weighed:
                complete = False
                break
            share -= weighed
            self.work -= weighed
            sums = np.add.outer(power, item.power_w).ravel()
            losses = np.add.outer(usd, item.usd_h).ravel()
            # What the rest can still add decides whether a partial choice can come under the cap, and near enough to it.
            unused = np.maximum(room - most[i + 1] - sums, 0.0)
            good = np.flatnonzero((sums <= room - least[i + 1]) & (losses + (usd_wh * unused + lost[i + 1]) < gap))
            kept = good[_unbeaten(sums[good], price * sums[good] - losses[good])]
            if len(kept) > limits.states:
                complete = False
                kept = kept[_thinned(sums[kept], losses[kept], limits.states)]
            before, taken = np.divmod(kept, len(item.power_w))
            merges.append(_Merge(item, before, taken))
            power, usd = sums[kept], losses[kept]
            if len(kept) == 0:
                break
        final = usd + usd_wh * np.maximum(room - power, 0.0)
        ends = np.flatnonzero((power <= room) & (final < gap))
        if self.parent[node] != UNKNOWN and len(ends) > limits.choices:
            complete = False
            ends = ends[_thinned(power[ends], final[ends], limits.choices)]
        return _Solved(
            power[ends], final[ends], ends, merges, [(i.node, int(i.stands_for[e])) for i, e in left], complete
        )

    def _affordable(self, lower: list[Item], share: float) -> tuple[list[Item], list[tuple[Item, int]]]:
        """Which lower nodes to merge in with this share of the work, and the entries that the others are given.

        Those are the cheapest that draw no more than the relaxation gives the node, so that together they meet the cap.
        The nodes with the most to choose from are merged in.
        """
        count = int(share / 2 / (MERGE_WORK + self.limits.states))
        if len(lower) <= count:
            return lower, []
        order = sorted(range(len(lower)), key=lambda i: (-len(lower[i].power_w), i))
        left: list[tuple[Item, int]] = []
        for i in order[count:]:
            item = lower[i]
            fits = np.flatnonzero(item.power_w <= max(float(self.relaxed.part_w[item.node]), 0.0))
            if len(fits) == 0:
                count += 1
                left.append((_at_start(item, self._start_usd_h(item.node)), 0))
            else:
                left.append((item, int(fits[np.argmin(item.usd_h[fits])])))
        return [lower[i] for i in sorted(order[: len(lower) - len(left)])], left


def _at_start(item: Item, usd_h: float) -> Item:
    """A lower node whose only choice is its start."""
    return Item(UNKNOWN, item.node, np.array([START]), np.zeros(1), np.array([usd_h]))


def _unbeaten(power: Floats, value: Floats) -> Ints:
    """The indices, by rising power, of the choices that no other beats in both."""
    order = np.argsort(power, kind="stable")
    value = value[order]
    keep = np.ones(len(order), dtype=np.bool_)
    keep[1:] = value[1:] > np.maximum.accumulate(value)[:-1]
    return order[keep]


def _thinned(power: Floats, usd_h: Floats, size: int) -> Ints:
    """At most `size` of a list by rising power: the cheapest in each of as many equal spans of power."""
    span = np.minimum(((power - power[0]) * (size / (power[-1] - power[0]))).astype(np.int64), size - 1)
    falling = np.argsort(-usd_h, kind="stable")
    slot: Ints = np.full(size, UNKNOWN)
    slot[span[falling]] = falling
    return np.asarray(slot[slot != UNKNOWN])
