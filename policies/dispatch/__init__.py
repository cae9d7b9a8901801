"""Dispatch: of what each machine may run at, the operating points that earn most under the site's nested power caps.

Choosing one point per machine under nested caps is a multiple-choice knapsack. Where no cap binds each machine takes
its best point, which costs a few array operations. Elsewhere the steps of each machine's concave hull are taken in
order of USD per watt, which is optimal when steps may be taken in part (`relaxed`), and the little that whole
points lose against that is then closed by a bounded search near that optimum (`whole`). The same input gives
the same answer on every processor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fleet.columns import UNKNOWN, Bools, Floats, Ints, freeze_columns
from fleet.machine import Tree
from fleet.units import WATTS_PER_MW
from policies.dispatch.relaxed import ROUNDING, Caps, Ladders, relax
from policies.dispatch.whole import QUICK, THOROUGH, USUAL, Effort, close, usual

__all__ = ["QUICK", "THOROUGH", "USUAL", "Dispatched", "Effort", "dispatch", "usual"]


@dataclass(frozen=True, eq=False)
class Dispatched:
    """One operating point per machine, and what the caps cost.

    `mode[n]` is the column chosen. `total_w[m]` is the power below each node of the tree, within its cap but for the
    rounding of a sum (ROUNDING of the cap) unless `overloaded[m]`: the cap cannot be met even with each machine below
    at its least power, and all of them are there. `shadow_usd_mwh[m]` is what one more MWh of cap at that node alone
    would earn in the relaxation (0 where the cap does not bind, and where it is overloaded); what one more MWh at a
    machine earns is the sum along its path. `value_usd_h` is what the choice earns; no choice earns more than
    `bound_usd_h`, and when `proven` none earns more than this one.
    """

    mode: Ints
    shadow_usd_mwh: Floats
    total_w: Floats
    overloaded: Bools
    value_usd_h: float
    bound_usd_h: float
    proven: bool

    def __post_init__(self) -> None:
        """Read-only."""
        freeze_columns(self)


def dispatch(
    value_usd_h: Floats,
    power_w: Floats,
    allowed: Bools,
    leaf: Ints,
    tree: Tree,
    *,
    cap_w: Floats | None = None,
    effort: Effort | None = None,
) -> Dispatched:
    """Choose one allowed operating point per machine, for the greatest value under every node's cap.

    value_usd_h[n, k] is what each point earns per hour, net of its power (any sign, any shape); power_w[n, k] >= 0 what
    it draws; allowed[n, k] has at least one True per row, and what stands in other cells does not matter (NaN may).
    leaf[n] is each machine's node of the tree; cap_w[nodes] replaces the tree's caps (inf: none). `effort` says how
    hard to look for the last hundredth of a percent (`usual` for as many machines, when not given). Allowed values and
    powers are finite.

    A machine under no cap that could bind takes its point of greatest value, of several the lowest column. Reordering
    the machines reorders the answer in the same way, as long as no two machines or choices are worth exactly the same;
    between such equals the row decides, and the value is the same either way (to the rounding of sums) wherever the
    choice is `proven`. Proven values never fall when a cap rises.
    """
    n, k = value_usd_h.shape
    caps = tree.cap_w if cap_w is None else cap_w
    mode = np.where(allowed, value_usd_h, -np.inf).argmax(axis=1)
    cell = np.arange(0, n * k, k)
    drawn = power_w.ravel()[cell + mode]
    total = tree.totals(leaf, drawn)
    ceiling = caps * (1.0 + ROUNDING)
    shadow = np.zeros(len(caps))
    overloaded = np.zeros(len(caps), dtype=np.bool_)
    gap, proven = 0.0, True
    if (total > ceiling).any():
        mode, gap, proven = _under_caps(
            value_usd_h, power_w, allowed, leaf, tree, ceiling, mode, shadow, overloaded, effort or usual(n)
        )
        total = tree.totals(leaf, power_w.ravel()[cell + mode])
    value = float(value_usd_h.ravel()[cell + mode].sum())
    return Dispatched(mode, shadow, total, overloaded, value, value + gap, proven)


def _under_caps(
    value_usd_h: Floats,
    power_w: Floats,
    allowed: Bools,
    leaf: Ints,
    tree: Tree,
    ceiling_w: Floats,
    mode: Ints,
    shadow_usd_mwh: Floats,
    overloaded: Bools,
    effort: Effort,
) -> tuple[Ints, float, bool]:
    """The choice where some cap binds: (mode, gap to the bound in USD/h, proven); fills in shadow and overloaded.

    `mode` comes as each machine's best point. The power of that is the most that a machine is ever given, because more
    power for less value is never worth it.
    """
    rows = np.arange(len(mode))
    least_w = np.where(allowed, power_w, np.inf).min(axis=1)
    overloaded[:] = tree.totals(leaf, least_w) > ceiling_w
    forced = _inherited(tree, overloaded)[leaf]
    if forced.any():
        least = np.where(allowed & (power_w == least_w[:, None]), value_usd_h, -np.inf).argmax(axis=1)
        mode = np.where(forced, least, mode)
    drawn = power_w[rows, mode]
    wished = np.asarray(np.bincount(leaf, drawn, len(ceiling_w)), dtype=np.float64)
    near = _nearest_binding(tree, ceiling_w, wished, overloaded)
    free = np.flatnonzero((near[leaf] != UNKNOWN) & ~forced)
    if len(free) == 0:
        return mode, 0.0, True
    drawn[free] = 0.0
    binding = np.flatnonzero(near == np.arange(len(near)))
    row = np.full(len(near) + 1, UNKNOWN)
    row[binding] = np.arange(len(binding))
    above = np.where(binding > 0, near[tree.parent[binding]], UNKNOWN)
    caps = Caps(row[above], (ceiling_w - tree.totals(leaf, drawn))[binding], row[near[leaf[free]]])
    if len(free) == len(mode):
        ladders = Ladders(value_usd_h, power_w, allowed)
    else:
        ladders = Ladders(value_usd_h[free], power_w[free], allowed[free])
    relaxed = relax(ladders, caps)
    whole = close(relaxed, effort)
    mode[free] = whole.column
    shadow_usd_mwh[binding] = relaxed.usd_wh * WATTS_PER_MW
    return mode, whole.gap_usd_h, whole.proven


def _inherited(tree: Tree, marked: Bools) -> Bools:
    """A node that is marked, or stands below one that is."""
    inherited = marked.copy()
    if marked.any():
        for m, above in enumerate(tree.parent.tolist()):
            if above != UNKNOWN:
                inherited[m] |= inherited[above]
    return inherited


def _nearest_binding(tree: Tree, ceiling_w: Floats, wished_w: Floats, overloaded: Bools) -> Ints:
    """For each node the nearest one, itself or above, whose cap can bind (UNKNOWN: none).

    A cap can bind when more is wished below it than it lets through; `wished_w` comes as what the machines at each node
    itself wish. Under an overloaded node nothing is left to choose, and all that it draws reaches the nodes above.
    """
    parent, ceiling, wished, over = tree.parent.tolist(), ceiling_w.tolist(), wished_w.tolist(), overloaded.tolist()
    near = [UNKNOWN] * len(parent)
    for m in range(len(parent) - 1, -1, -1):
        through = wished[m]
        if through > ceiling[m] and not over[m]:
            near[m], through = m, ceiling[m]
        if parent[m] != UNKNOWN:
            wished[parent[m]] += through
    for m, above in enumerate(parent):
        if near[m] == UNKNOWN and above != UNKNOWN:
            near[m] = near[above]
    return np.array(near)
