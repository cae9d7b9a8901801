"""The steps of each machine's upper concave hull: what the next watts of a ladder earn, best first.

Drawn as value over power, the corners of a ladder's upper hull are the points that some price of power makes best, and
the steps between them fall in USD per watt: that is the order in which power is best given out. All machines are done
at once, as one flat list by row, because ladders differ in length.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from fleet.columns import Bools, Floats, Ints

BLOCK = 2_048
"""Machines worked on at once, so that what is between input and result stays in the processor's cache."""


@dataclass(frozen=True, eq=False)
class Steps:
    """The steps of n hulls, by row and within a row by rising power: flat arrays of one length.

    Each leads machine `row` from column `below` to column `above`, draws `power_w` (> 0) more and earns `value_usd_h`
    (> 0) more; `usd_wh` is its slope in USD per watt-hour, which falls along a row. `least[n]` is the column from which
    each machine's steps begin, its point of least power.
    """

    least: Ints
    row: Ints
    below: Ints
    above: Ints
    power_w: Floats
    value_usd_h: Floats
    usd_wh: Floats


def hull_steps(value_usd_h: Floats, power_w: Floats, allowed: Bools) -> Steps:
    """The steps of n hulls that are worth taking, those that earn more than the point below them.

    value_usd_h[n, k] is what each point earns, power_w[n, k] what it draws, allowed[n, k] whether it may be chosen (one
    per row at least). Of points alike in power the one of greatest value counts, of those the lowest column. For
    whoever explains a choice: the next step from a machine's column j is the one whose `below` is j.
    """
    blocks = [
        _steps(value_usd_h[at : at + BLOCK], power_w[at : at + BLOCK], allowed[at : at + BLOCK], at)
        for at in range(0, max(len(allowed), 1), BLOCK)
    ]
    if len(blocks) == 1:
        return blocks[0]
    return Steps(*(np.concatenate([getattr(block, field.name) for block in blocks]) for field in fields(Steps)))


def _steps(value_usd_h: Floats, power_w: Floats, allowed: Bools, first_row: int) -> Steps:
    """The steps of one block of rows, which begins with row `first_row` of all."""
    n, k = value_usd_h.shape
    cell = np.flatnonzero(allowed)
    row = np.repeat(np.arange(n), np.count_nonzero(allowed, axis=1))
    power, value = power_w.ravel()[cell], value_usd_h.ravel()[cell]
    same = row[1:] == row[:-1]
    if (same & (power[1:] <= power[:-1])).any():
        order = np.lexsort((cell, -value, power, row))
        cell, power, value = cell[order], power[order], value[order]
        # Of points alike in power only the first, the one of greatest value; the rows are where they were.
        first = np.append(True, ~same | (power[1:] > power[:-1]))
        cell, row, power, value = cell[first], row[first], power[first], value[first]
    cell, row, power, value = _corners(cell, row, power, value)
    upper = np.flatnonzero((row[1:] == row[:-1]) & (value[1:] > value[:-1])) + 1
    column = cell - row * k
    least = column[np.append(True, row[1:] != row[:-1])[: len(row)]]
    more, earned = power[upper] - power[upper - 1], value[upper] - value[upper - 1]
    return Steps(least, row[upper] + first_row, column[upper - 1], column[upper], more, earned, earned / more)


def _corners(cell: Ints, row: Ints, power: Floats, value: Floats) -> tuple[Ints, Ints, Floats, Floats]:
    """The points of a list, by row and rising power, that are corners of their row's upper hull.

    A point on or below the line between its neighbours is no corner; taking all such away at once and looking again
    ends after at most as many rounds as a row has points. Comparing the slopes that the steps will have makes them fall
    along a row, whatever the rounding.
    """
    while len(cell) > 1:
        same = row[1:] == row[:-1]
        slope = (value[1:] - value[:-1]) / np.where(same, power[1:] - power[:-1], 1.0)
        corner = np.ones(len(cell), dtype=np.bool_)
        corner[1:-1] = (slope[:-1] > slope[1:]) | ~(same[:-1] & same[1:])
        if corner.all():
            break
        cell, row, power, value = cell[corner], row[corner], power[corner], value[corner]
    return cell, row, power, value
