"""Orders: which are in force, which operating points they leave, and the caps they set.

An order is in force from when it was given until it expires or a later release of a scope that covers it withdraws it.
Emergency, operator and grid are three constraints of one class, each at its own place in the priority. Somebody else's
hand on a machine is an operator's hold without a name, and a release ends it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fleet.columns import UNKNOWN, Bools, Floats, Ints
from fleet.machine import SLEEP, Roster
from fleet.order import Order, OrderKind, Rank
from fleet.view import View
from policies.scene import Kind, Scene

_KINDS = {Rank.EMERGENCY: Kind.EMERGENCY, Rank.OPERATOR: Kind.OPERATOR, Rank.GRID: Kind.GRID}
_POWER_SLACK_W = 0.5


def in_force(orders: tuple[Order, ...], at_s: float, roster: Roster) -> tuple[Order, ...]:
    """The orders that bind at `at_s`: given, not expired, not withdrawn, and with a scope that the roster knows.

    A release withdraws the earlier orders of its own rank and of weaker ones within its scope, for good: an order does not
    come back when the release that withdrew it expires.
    """
    known = [o for o in orders if o.given_s <= at_s and knows(roster, o.scope)]
    released: dict[str, list[Order]] = {}
    for order in known:
        if order.kind is OrderKind.RELEASE:
            released.setdefault(_scopes_above(roster, order.scope)[0], []).append(order)
    return tuple(
        o
        for o in known
        if at_s < o.until_s
        and o.kind is not OrderKind.RELEASE
        and not any(
            r.given_s >= o.given_s and _KINDS[r.rank] <= _KINDS[o.rank]
            for scope in (_scopes_above(roster, o.scope) if released else ())
            for r in released.get(scope, ())
        )
    )


def knows(roster: Roster, scope: str) -> bool:
    """Does a scope name something here?"""
    return scope == "site" or scope in roster.tree.row or scope in roster.index


def _scopes_above(roster: Roster, scope: str) -> list[str]:
    """A scope, and every place above it up to the site, each by one name."""
    tree = roster.tree
    if scope in roster.index:
        names, node = [f"machine {scope}"], int(roster.leaf[roster.index[scope]])
    else:
        names, node = [], 0 if scope == "site" else tree.row[scope]
    while node != UNKNOWN:
        names.append(f"place {tree.names[node]}")
        node = int(tree.parent[node])
    return names


def released_s(orders: tuple[Order, ...], at_s: float, roster: Roster) -> Floats | None:
    """released_s[n]: when somebody who may last released each machine (-inf: never); None when no release is known."""
    may = [o for o in orders if o.kind is OrderKind.RELEASE and _KINDS[o.rank] <= Kind.OPERATOR]
    releases = [o for o in may if o.given_s <= at_s and knows(roster, o.scope)]
    if not releases:
        return None
    last = np.full(len(roster), -np.inf)
    for order in sorted(releases, key=lambda release: release.given_s):
        if order.scope in roster.index:
            last[roster.index[order.scope]] = order.given_s
        else:
            last[roster.within(order.scope)] = order.given_s
    return last


def node_caps_w(orders: tuple[Order, ...], roster: Roster) -> Floats:
    """cap_w[m]: the site tree's caps, lowered by the cap orders in force on its places."""
    return node_caps(orders, roster)[0]


def node_caps(orders: tuple[Order, ...], roster: Roster) -> tuple[Floats, Ints]:
    """(cap_w[m], kind[m]): the caps in force, and whose the lowest at each place is (the tree's own count as safety)."""
    caps = [o for o in orders if o.kind is OrderKind.CAP and o.scope not in roster.index]
    kind = np.full(len(roster.tree.names), Kind.SAFETY, np.int64)
    if not caps:
        return roster.tree.cap_w, kind
    cap_w = np.array(roster.tree.cap_w)
    for order in caps:
        node = 0 if order.scope == "site" else roster.tree.row[order.scope]
        assert order.cap_w is not None
        if order.cap_w < cap_w[node]:
            cap_w[node], kind[node] = order.cap_w, _KINDS[order.rank]
    return cap_w, kind


def emergency_nodes(orders: tuple[Order, ...], roster: Roster) -> tuple[int, ...]:
    """The places on which an emergency's cap is in force."""
    return tuple(
        0 if o.scope == "site" else roster.tree.row[o.scope]
        for o in orders
        if o.kind is OrderKind.CAP and o.rank is Rank.EMERGENCY and o.scope not in roster.index
    )


@dataclass(frozen=True)
class Ordered:
    """The orders of one rank, as a constraint; a cap on a place is the dispatch's (`node_caps_w`).

    Where orders of one rank contradict each other on a machine, less power wins: a curtailment goes before a cap, a cap
    before a hold.
    """

    of: Rank

    @property
    def label(self) -> str:
        """The reason's name."""
        return f"{self.of.value} order"

    @property
    def rank(self) -> Kind:
        """Emergency, operator or grid."""
        return _KINDS[self.of]

    def keep(self, scene: Scene) -> Bools | None:
        """Sleep under a curtailment, the present mode under a hold, what fits under a machine's own cap."""
        modes, standing = scene.roster.modes, scene.view.standing
        columns = np.arange(modes.exists.shape[1])
        keep: Bools | None = None
        for kind in (OrderKind.CURTAIL, OrderKind.CAP, OrderKind.HOLD):
            those = [o for o in scene.orders if o.rank is self.of and o.kind is kind]
            wish: Bools
            if kind is OrderKind.CAP:
                caps_w = _own_caps_w(those, scene.roster)
                if caps_w is None:
                    continue
                scaled = modes.power_w * np.maximum(scene.view.power_scale, 1.0)[:, None]
                wish = (scaled <= caps_w[:, None] + _POWER_SLACK_W) | (columns == SLEEP)
            else:
                within = _within(those, scene.roster)
                if within is None:
                    continue
                held = (columns == standing[:, None]) | (standing < 0)[:, None]
                wish = (held if kind is OrderKind.HOLD else columns == SLEEP) | ~within[:, None]
            both = wish if keep is None else keep & wish
            keep = both if keep is None else np.where(both.any(axis=1, keepdims=True), both, keep)
        return keep

    def stay(self, scene: Scene) -> Bools | None:
        """The machines under a hold: off their ladder, no operating point says "as you are"."""
        return _within([o for o in scene.orders if o.rank is self.of and o.kind is OrderKind.HOLD], scene.roster)


def _within(orders: list[Order], roster: Roster) -> Bools | None:
    """within[n]: the machines that any of these orders names; None where there is no order."""
    if not orders:
        return None
    within = np.zeros(len(roster), np.bool_)
    for scope in {order.scope for order in orders}:
        if scope in roster.index:
            within[roster.index[scope]] = True
        else:
            within |= roster.within(scope)
    return within


def _own_caps_w(orders: list[Order], roster: Roster) -> Floats | None:
    """caps_w[n] of the orders that cap a machine alone (inf: none); None where no order does."""
    own = [(roster.index[o.scope], o.cap_w) for o in orders if o.scope in roster.index and o.cap_w is not None]
    if not own:
        return None
    caps_w = np.full(len(roster), np.inf)
    for row, cap_w in own:
        caps_w[row] = min(caps_w[row], cap_w)
    return caps_w


@dataclass(frozen=True)
class SomebodysHand:
    """A machine that somebody else changed stays as they left it, until it is released or the hold runs out."""

    @property
    def label(self) -> str:
        """The reason's name."""
        return "changed by somebody else"

    @property
    def rank(self) -> Kind:
        """An operator's."""
        return Kind.OPERATOR

    def keep(self, scene: Scene) -> Bools | None:
        """The present mode, where a hand is on it."""
        held = held_by_hand(scene.view, scene.beliefs.hand_s)
        if not held.any():
            return None
        columns = np.arange(scene.roster.modes.exists.shape[1])
        keep: Bools = ~held[:, None] | (columns == scene.view.mode[:, None]) | (scene.view.mode < 0)[:, None]
        return keep

    def stay(self, scene: Scene) -> Bools | None:
        """Where a hand is on it: a setpoint off its ladder is kept too."""
        return held_by_hand(scene.view, scene.beliefs.hand_s)


def held_by_hand(view: View, hand_s: float) -> Bools:
    """held[n]: somebody else changed it less than `hand_s` ago."""
    return view.hand_s > view.at_s - hand_s
