"""Scene: everything that a constraint may look at; and the Constraint protocol.

A constraint is a frozen class whose fields are its settings in the site file. It says which operating points it would
keep; the tick applies the wish, so that narrowing, overruling and naming the reason are the same for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from fleet.columns import Bools
from fleet.estimate import Beliefs
from fleet.machine import Roster
from fleet.order import Order
from fleet.snapshot import Snapshot
from fleet.view import View


class Kind(IntEnum):
    """Who goes before whom; the site file's order decides only within a kind."""

    SAFETY = 0
    EMERGENCY = 1
    OPERATOR = 2
    GRID = 3
    MONEY = 4


URGENT_KINDS = (Kind.SAFETY, Kind.EMERGENCY)
"""Reductions for these wait for nothing."""


@dataclass(frozen=True, eq=False, slots=True)
class Scene:
    """The site, its present beliefs, the snapshot they come from, and the orders in force."""

    roster: Roster
    view: View
    snapshot: Snapshot
    beliefs: Beliefs
    orders: tuple[Order, ...]


class Constraint(Protocol):
    """One reason to turn operating points off.

    It may have a second method, `stay(scene) -> stay[n] | None`: machines that it wants left exactly as they are. On the
    ladder that is what `keep` says; for a setpoint off the ladder there is no operating point to keep.
    """

    @property
    def label(self) -> str:
        """The name under which it is recorded as the reason."""
        ...

    @property
    def rank(self) -> Kind:
        """Its place in the fixed priority."""
        ...

    def keep(self, scene: Scene) -> Bools | None:
        """keep[n, k] (or a shape that broadcasts to it): the operating points that it would leave; None: no wish at all."""
        ...
