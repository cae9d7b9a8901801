"""Orders: which are in force, which operating points they leave, and the caps they set.

An order is in force from when it was given until it expires or a later release of a scope that covers it withdraws it.
Emergency, operator and grid are three constraints of one class, each at its own place in the priority. Somebody else's
hand on a machine is an operator's hold without a name, and a release ends it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fleet.columns import Bools, Floats
from fleet.machine import SLEEP, Roster
from fleet.order import Order, OrderKind, Rank
from fleet.view import View
from policies.scene import Kind, Scene

_KINDS = {Rank.EMERGENCY: Kind.EMERGENCY, Rank.OPERATOR: Kind.OPERATOR, Rank.GRID: Kind.GRID}
_POWER_SLACK_W = 0.5


def in_force(orders: tuple[Order, ...], at_s: float, roster: Roster) -> tuple[Order, ...]:
    """The orders that bind at `at_s`: given, not expired, not withdrawn, and with a scope that the roster knows."""
    now = [o for o in orders if o.given_s <= at_s < o.until_s and knows(roster, o.scope)]
    releases = [o for o in now if o.kind is OrderKind.RELEASE]
    return tuple(
        o
        for o in now
        if o.kind is not OrderKind.RELEASE
        and not any(r.given_s >= o.given_s and covers(roster, r.scope, o.scope) for r in releases)
    )


def knows(roster: Roster, scope: str) -> bool:
    """Does a scope name something here?"""
    return scope == "site" or scope in roster.tree.row or scope in roster.index


def covers(roster: Roster, outer: str, inner: str) -> bool:
    """Is all that `inner` names within `outer`?"""
    return bool(roster.within(outer)[roster.within(inner)].all())


def released_s(orders: tuple[Order, ...], at_s: float, roster: Roster) -> Floats | None:
    """released_s[n]: when each machine was last released (-inf: never); None when no release is known."""
    releases = [o for o in orders if o.kind is OrderKind.RELEASE and o.given_s <= at_s < o.until_s and knows(roster, o.scope)]
    if not releases:
        return None
    last = np.full(len(roster), -np.inf)
    for order in releases:
        last[roster.within(order.scope)] = np.maximum(last[roster.within(order.scope)], order.given_s)
    return last


def node_caps_w(orders: tuple[Order, ...], roster: Roster) -> Floats:
    """cap_w[m]: the site tree's caps, lowered by the cap orders in force on its places."""
    caps = [o for o in orders if o.kind is OrderKind.CAP and o.scope not in roster.index]
    if not caps:
        return roster.tree.cap_w
    cap_w = np.array(roster.tree.cap_w)
    for order in caps:
        node = 0 if order.scope == "site" else roster.tree.row[order.scope]
        assert order.cap_w is not None
        cap_w[node] = min(cap_w[node], order.cap_w)
    return cap_w


def emergency_nodes(orders: tuple[Order, ...], roster: Roster) -> tuple[int, ...]:
    """The places on which an emergency's cap is in force."""
    return tuple(
        0 if o.scope == "site" else roster.tree.row[o.scope]
        for o in orders
        if o.kind is OrderKind.CAP and o.rank is Rank.EMERGENCY and o.scope not in roster.index
    )


@dataclass(frozen=True)
class Ordered:
    """The orders of one rank, as a constraint. (A cap on a place is the dispatch's; see `node_caps_w`.)"""

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
        modes, mode = scene.roster.modes, scene.view.mode
        columns = np.arange(modes.exists.shape[1])
        keep: Bools | None = None
        for order in scene.orders:
            if order.rank is not self.of or (order.kind is OrderKind.CAP and order.scope not in scene.roster.index):
                continue
            within = scene.roster.within(order.scope)[:, None]
            match order.kind:
                case OrderKind.CURTAIL:
                    wish = columns == SLEEP
                case OrderKind.HOLD:
                    wish = (columns == mode[:, None]) | (mode < 0)[:, None]
                case OrderKind.CAP:
                    assert order.cap_w is not None
                    scaled = modes.power_w * np.maximum(scene.view.power_scale, 1.0)[:, None]
                    wish = (scaled <= order.cap_w + _POWER_SLACK_W) | (columns == SLEEP)
                case OrderKind.RELEASE:
                    continue
            keep = wish | ~within if keep is None else keep & (wish | ~within)
        return keep


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


def held_by_hand(view: View, hand_s: float) -> Bools:
    """held[n]: somebody else changed it less than `hand_s` ago."""
    return view.at_s - view.hand_s < hand_s
