"""The points of a machine worth choosing between, and the steps of their upper concave hull.

Power is the scarce thing, so a point that draws as much as another and earns no more is never chosen; what is left rises
in power and in value. The corners of its upper hull are the points that some price of power makes best, and the steps
between them fall in USD per watt: that order is what the relaxation takes them in. All machines are done at once, as
flat lists by row, because ladders differ in length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fleet.columns import Bools, Floats, Ints
from fleet.units import WATTS_PER_MW


@dataclass(frozen=True, eq=False)
class Points:
    """Undominated points, by row and within a row by rising power and value: flat arrays of one length.

    `first[r]` is where row r begins, with one more entry for the end; `mode` is the column of each point.
    """

    row: Ints
    mode: Ints
    power_w: Floats
    value_usd_h: Floats
    first: Ints


@dataclass(frozen=True, eq=False)
class Steps:
    """The steps of the hulls, by row and within a row by rising power: flat arrays of one length.

    Each step leads from column `below` to column `above` of machine `row`, costs `power_w` (> 0) and earns
    `value_usd_h` (> 0); `usd_wh` is its slope, which falls along a row. `corner` is the index of its upper end in Points.
    """

    row: Ints
    below: Ints
    above: Ints
    power_w: Floats
    value_usd_h: Floats
    usd_wh: Floats
    corner: Ints

    @property
    def usd_mwh(self) -> Floats:
        """What each step earns per MWh of its power."""
        return self.usd_wh * WATTS_PER_MW


def undominated(value_usd_h: Floats, power_w: Floats, allowed: Bools) -> Points:
    """The points of n machines [n, k] for which no other allowed point earns as much at no more power.

    Of two points alike in power and value the lower column stands. Each row needs one allowed point.
    """
    n, k = value_usd_h.shape
    power, value, columns = np.where(allowed, power_w, np.inf).T.copy(), value_usd_h.T.copy(), None
    if _disordered(power):
        columns = np.argsort(power, axis=0, kind="stable")
        power, value = np.take_along_axis(power, columns, 0), np.take_along_axis(value, columns, 0)
    value[power == np.inf] = -np.inf
    best = value[0].copy()
    keep = np.empty((n, k), dtype=np.bool_)
    keep[:, 0] = power[0] < np.inf
    for j in range(1, k):
        np.greater(value[j], best, out=keep[:, j])
        np.maximum(best, value[j], out=best)
    flat = np.flatnonzero(keep)
    row = np.repeat(np.arange(n), keep.sum(axis=1))
    mode = flat - row * k
    at = mode * n + row
    power_at, value_at = power.ravel()[at], value.ravel()[at]
    if columns is not None:
        mode = columns.ravel()[at]
    dearer = np.ones(len(flat), dtype=np.bool_)
    dearer[:-1] = (power_at[1:] > power_at[:-1]) | (row[1:] != row[:-1])
    if not dearer.all():
        row, mode, power_at, value_at = row[dearer], mode[dearer], power_at[dearer], value_at[dearer]
    return Points(row, mode, power_at, value_at, np.searchsorted(row, np.arange(n + 1)))


def _disordered(power: Floats) -> bool:
    """Whether some machine's allowed points (those of finite power, [k, n]) do not already rise with the columns.

    A point that is not allowed may stand anywhere: its power counts as that of the points before it.
    """
    highest = np.where(np.isfinite(power[0]), power[0], -np.inf)
    for j in range(1, len(power)):
        if (power[j] < highest).any():
            return True
        np.maximum(highest, power[j], out=highest, where=np.isfinite(power[j]))
    return False


def corners(points: Points) -> Ints:
    """The indices of the points that are corners of their row's upper hull, in order.

    A point on or below the line between its neighbours is no corner; taking all such away at once, and looking again, ends
    after at most as many rounds as a row has points.
    """
    kept = np.arange(len(points.row))
    row, power, value = points.row, points.power_w, points.value_usd_h
    while len(kept) > 1:
        same = row[1:] == row[:-1]
        slope = (value[1:] - value[:-1]) / np.where(same, power[1:] - power[:-1], 1.0)
        corner = np.ones(len(kept), dtype=np.bool_)
        corner[1:-1] = ~same[:-1] | ~same[1:] | (slope[:-1] > slope[1:])
        if corner.all():
            break
        kept, row, power, value = kept[corner], row[corner], power[corner], value[corner]
    return kept


def steps_of(points: Points) -> Steps:
    """The hull's steps of every row."""
    corner = corners(points)
    row = points.row[corner]
    upper = np.flatnonzero(row[1:] == row[:-1]) + 1
    below, above = corner[upper - 1], corner[upper]
    power = points.power_w[above] - points.power_w[below]
    value = points.value_usd_h[above] - points.value_usd_h[below]
    return Steps(row[upper], points.mode[below], points.mode[above], power, value, value / power, above)


def hull_steps(value_usd_h: Floats, power_w: Floats, allowed: Bools) -> Steps:
    """The steps [n, k] machines' hulls offer, for whoever explains a choice: the next one is worth its `usd_mwh`.

    value_usd_h[n, k] is what each point earns, power_w[n, k] what it draws, allowed[n, k] whether it may be chosen.
    """
    return steps_of(undominated(value_usd_h, power_w, allowed))
