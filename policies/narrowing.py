"""Narrowing: every constraint's wish in its order, and which of them give way to a cap that cannot be met otherwise.

The order of kinds is fixed: safety, emergency, operator, grid, money. A constraint that raises is skipped and named; when
it is one of safety's, nothing is commanded. A cap is not a wish on a machine but a limit on a place: where it cannot be
met with what the wishes left, the holds that are weaker than whoever set the cap give way, as few watts as it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fleet.columns import OFF_LADDER, UNKNOWN, Bools, Floats, Ints
from fleet.machine import Roster
from policies.choices import Choices
from policies.lost import MarketLost
from policies.orders import SomebodysHand
from policies.scene import URGENT_KINDS, Constraint, Kind, Scene

_LAST_RESORT_USD_WH = 1.0
"""What a watt counts by which a hold has to give way to a cap: more than any price of power."""


@dataclass(frozen=True, eq=False, slots=True)
class Narrowed:
    """Choices after every constraint; `left_to[kind]`: what the wishes that a cap of that kind respects have left.

    `faults` are our own bugs; `unsafe`: one of them was in safety.
    """

    choices: Choices
    left_to: dict[Kind, Choices]
    faults: tuple[str, ...]
    unsafe: bool


def narrow(scene: Scene, ordered: Sequence[Constraint], reasons: tuple[str, ...], *, known: bool) -> Narrowed:
    """Every constraint's wish in order. `known`: the market is, and the answer to a lost one is not asked for."""
    choices = Choices.all(scene.roster, reasons)
    before: dict[Kind | None, Choices] = {}
    faults: list[str] = []
    unsafe = False
    off_ladder = scene.view.standing == OFF_LADDER
    for reason, constraint in enumerate(ordered):
        before.setdefault(None if isinstance(constraint, SomebodysHand) else constraint.rank, choices)
        if isinstance(constraint, MarketLost) and known:
            continue
        try:
            keep = constraint.keep(scene)
            if keep is not None:
                urgent = constraint.rank in URGENT_KINDS
                choices = choices.narrow(reason, keep, scene.view.standing, urgent=urgent)
            if off_ladder.any() and (stay := getattr(constraint, "stay", None)) is not None:
                pinned = stay(scene)
                choices = choices if pinned is None else choices.pin(pinned & off_ladder)
        except Exception as error:  # noqa: BLE001 - a bug of ours in one policy must not stop the others
            faults.append(f"{constraint.label}: {type(error).__name__}: {error}")
            unsafe = unsafe or constraint.rank is Kind.SAFETY
    # The tree's own caps and an emergency's go before operators' holds, an operator's before a hand's, the grid's before
    # what only money wants.
    left_to = {
        Kind.SAFETY: before.get(Kind.OPERATOR, choices),
        Kind.EMERGENCY: before.get(Kind.OPERATOR, choices),
        Kind.OPERATOR: before.get(None, choices),
        Kind.GRID: before.get(Kind.MONEY, choices),
    }
    return Narrowed(choices, left_to, tuple(faults), unsafe)


def give_way(
    narrowed: Narrowed, roster: Roster, overloaded: Bools, cap_kind: Ints, worth: Floats, counted_w: Floats
) -> tuple[Choices, Floats]:
    """(choices, worths) in which points lower than a hold's come back below overloaded places, as a last resort.

    What a stronger kind took away never comes back.
    """
    tree, choices = roster.tree, narrowed.choices
    allowed = np.array(choices.allowed)
    lowest = allowed.argmax(axis=1)
    lower = np.arange(allowed.shape[1]) < lowest[:, None]
    for m in np.flatnonzero(overloaded):
        below = tree.member[roster.leaf, m]
        allowed |= narrowed.left_to[Kind(cap_kind[m])].allowed & lower & below[:, None]
    if choices.pinned is not None:
        allowed[choices.pinned] = choices.allowed[choices.pinned]
    rows = np.arange(len(allowed))
    least = worth[rows, lowest][:, None] - _LAST_RESORT_USD_WH * (counted_w[rows, lowest][:, None] - counted_w)
    back = allowed & ~choices.allowed
    return replace(choices, allowed=allowed), np.where(back, least, worth)


def only_where_needed(before: Choices, after: Choices, target: Ints) -> Choices:
    """The choices with only those points back that were taken; whose wish that overruled is noted."""
    rows = np.arange(len(target))
    taken = after.allowed[rows, target] & ~before.allowed[rows, target]
    if not taken.any():
        return before
    who = before.removed_by[rows, target]
    allowed, removed_by = np.array(before.allowed), np.array(before.removed_by)
    allowed[rows[taken], target[taken]] = True
    removed_by[rows[taken], target[taken]] = UNKNOWN
    overruled = tuple((int(r), np.flatnonzero(taken & (who == r))) for r in np.unique(who[taken]))
    return replace(before, allowed=allowed, removed_by=removed_by, overruled=(*before.overruled, *overruled))
