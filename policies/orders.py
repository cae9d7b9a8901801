"""Orders: which are in force, which operating points they leave, and the caps they set.

An order is in force from when it was given until it expires or a later release of a scope that covers it withdraws it.
Emergency, operator and grid are three constraints of one class, each at its own place in the priority. Somebody else's
hand on a machine is an operator's hold without a name, and a release ends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import numpy as np

from fleet.columns import Bools, Floats, Ints
from fleet.machine import SLEEP, Roster
from fleet.order import Order, OrderKind, Rank
from fleet.view import View
from policies.scene import Kind, Scene

_KINDS = {Rank.EMERGENCY: Kind.EMERGENCY, Rank.OPERATOR: Kind.OPERATOR, Rank.GRID: Kind.GRID}
_POWER_SLACK_W = 0.5


def in_force(orders: tuple[Order, ...], at_s: float, roster: Roster) -> tuple[Order, ...]:
    """The orders that bind at `at_s`: given, not expired, not withdrawn, and with a scope that the roster knows.

    A release withdraws the earlier orders of its own rank and of weaker ones, for good: an order does not come back when
    the release that withdrew it expires.
    """
    known = [o for o in orders if o.given_s <= at_s and knows(roster, o.scope)]
    releases = [o for o in known if o.kind is OrderKind.RELEASE]
    return tuple(
        o
        for o in known
        if at_s < o.until_s and o.kind is not OrderKind.RELEASE and not any(withdraws(r, o, roster) for r in releases)
    )


def withdraws(release: Order, order: Order, roster: Roster) -> bool:
    """Does a release withdraw an order: given no later, of no stronger rank, and within its scope?"""
    if release.given_s < order.given_s or _KINDS[release.rank] > _KINDS[order.rank]:
        return False
    return covers(roster, release.scope, order.scope)


def knows(roster: Roster, scope: str) -> bool:
    """Does a scope name something here?"""
    return scope == "site" or scope in roster.tree.row or scope in roster.index


def covers(roster: Roster, outer: str, inner: str) -> bool:
    """Is all that `inner` names within `outer`?"""
    if outer in {"site", inner}:
        return True
    if outer not in roster.index:
        node = roster.tree.row[outer]
        inside = (
            roster.leaf[roster.index[inner]]
            if inner in roster.index
            else roster.tree.row["" if inner == "site" else inner]
        )
        return bool(roster.tree.member[inside, node])
    return bool(roster.within(outer)[roster.within(inner)].all())


def released_s(orders: tuple[Order, ...], at_s: float, roster: Roster) -> Floats | None:
    """released_s[n]: when somebody who may last released each machine (-inf: never); None when no release is known."""
    may = [o for o in orders if o.kind is OrderKind.RELEASE and _KINDS[o.rank] <= Kind.OPERATOR]
    releases = [o for o in may if o.given_s <= at_s and knows(roster, o.scope)]
    if not releases:
        return None
    last = np.full(len(roster), -np.inf)
    for order in releases:
        within = roster.within(order.scope)
        last[within] = np.maximum(last[within], order.given_s)
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
        keep: Bools | None = None
        for kind in (OrderKind.CURTAIL, OrderKind.CAP, OrderKind.HOLD):
            for order in self._those(scene, kind):
                within = scene.roster.within(order.scope)[:, None]
                narrowed = self._wish(scene, order) | ~within
                if keep is not None:
                    narrowed = keep & narrowed
                    narrowed = np.where(narrowed.any(axis=1, keepdims=True), narrowed, keep)
                keep = narrowed
        return keep

    def stay(self, scene: Scene) -> Bools | None:
        """The machines under a hold: off their ladder, no operating point says "as you are"."""
        holds = self._those(scene, OrderKind.HOLD)
        if not holds:
            return None
        held: Bools = np.logical_or.reduce([scene.roster.within(order.scope) for order in holds])
        return held

    def _those(self, scene: Scene, kind: OrderKind) -> list[Order]:
        """The orders of this rank and kind that are a machine's matter."""
        mine = [o for o in scene.orders if o.rank is self.of and o.kind is kind]
        return [o for o in mine if kind is not OrderKind.CAP or o.scope in scene.roster.index]

    def _wish(self, scene: Scene, order: Order) -> Bools:
        """What one order would leave every machine."""
        modes, standing = scene.roster.modes, scene.view.standing
        columns = np.arange(modes.exists.shape[1])
        wish: Bools
        match order.kind:
            case OrderKind.CURTAIL:
                wish = np.broadcast_to(columns == SLEEP, modes.exists.shape)
            case OrderKind.HOLD:
                wish = (columns == standing[:, None]) | (standing < 0)[:, None]
            case OrderKind.CAP:
                assert order.cap_w is not None
                scaled = modes.power_w * np.maximum(scene.view.power_scale, 1.0)[:, None]
                wish = (scaled <= order.cap_w + _POWER_SLACK_W) | (columns == SLEEP)
            case OrderKind.RELEASE:
                wish = modes.exists
            case _:
                assert_never(order.kind)
        return wish


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
