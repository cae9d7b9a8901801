"""Where the rows, operating points, places and reasons of a journal are now.

All of them may have moved with the site file since the journal was written, so they are matched by their names: what is new
starts fresh, what is gone is dropped, and both are said. Where nothing moved, everything is what it was.
"""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from controllers.journal.entries import Began, Stored, Title
from controllers.journal.pending import each
from controllers.journal.values import Unreadable, unpack
from fleet.columns import OFF_LADDER, UNKNOWN, Ints
from fleet.command import Command, Commands, Outcome, Outcomes
from fleet.machine import Roster
from fleet.snapshot import Heard, Snapshot
from fleet.view import Move, Tally, View
from fleet.work.counted import Counted
from fleet.work.pool_told import PoolTold
from fleet.work.proof.evidence import Evidence
from fleet.work.proof.faulty import Faulty
from fleet.work.proof.running import Running
from fleet.work.proof.spoilt import Spoilt

_MODES = ("mode", "standing", "wanted", "doubt")
_NAMED_MOST = 10
if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")
RunningT = TypeVar("RunningT", bound=Running)


class Moved:
    """Where the rows and operating points of a journal's title are now."""

    def __init__(self, title: Title, roster: Roster) -> None:
        self.title, self.roster = title, roster
        index = title.index
        self.was = np.array([index.get(machine.id, UNKNOWN) for machine in roster.machines], np.int64)
        """was[n]: the row of each of today's machines in the journal (-1: it is new)."""
        gone = [machine for machine in title.machines if machine not in roster.index]
        new = [machine.id for machine in roster.machines if machine.id not in index]
        self.same = title.machines == tuple(roster.index) and all(
            title.ladders[ladder] == tuple(mode.name for mode in machine.modes)
            for ladder, machine in zip(title.ladder, roster.machines, strict=True)
        )
        """Every machine is in its row, and every operating point in its column."""
        self.said = [f"{_named(gone)} in the journal, not in the site file: dropped"] if gone else []
        self.said += [f"{_named(new)} not in the journal: nothing is known of them yet"] if new else []

    def place(self, row: int, mode: int) -> tuple[int, int] | None:
        """Today's row and column of a journal's row and column; None where either is gone."""
        machines = self.title.machines
        now = self.roster.index.get(machines[row], UNKNOWN) if 0 <= row < len(machines) else UNKNOWN
        if now == UNKNOWN:
            return None
        columns = self.columns(now)
        column = int(columns[mode]) if 0 <= mode < len(columns) else OFF_LADDER
        return None if column < 0 else (now, column)

    def columns(self, row: int) -> Ints:
        """Today's column of each of the journal's operating points of one of today's rows."""
        names = self.title.ladders[int(self.title.ladder[self.was[row]])]
        return _translated(names, tuple(mode.name for mode in self.roster.machines[row].modes))

    def modes(self, stored: NDArray[Any]) -> NDArray[Any]:
        """A mode column of the journal in today's rows and columns."""
        if self.same:
            return np.array(stored)
        result = np.full(len(self.was), UNKNOWN, np.int16)
        for row in np.flatnonzero(self.was >= 0):
            old = int(stored[self.was[row]])
            columns = self.columns(int(row)) if old >= 0 else None
            result[row] = old if columns is None else (columns[old] if old < len(columns) else OFF_LADDER)
        return result


@cache
def _translated(old: tuple[str, ...], new: tuple[str, ...]) -> Ints:
    """new_column[k] of each old column, by name."""
    return np.array([new.index(name) if name in new else OFF_LADDER for name in old], np.int64)


def view_of(state: Stored | Began, moved: Moved, reasons: tuple[str, ...], said: list[str]) -> View:
    """The stored beliefs in the rows, operating points, places and reasons of now; what had to be given up goes into `said`."""
    roster = moved.roster
    fresh = View.fresh(roster)
    stored = {f.name: state.columns[f"view.{f.name}"] for f in fields(View) if f"view.{f.name}" in state.columns}
    kept = moved.was >= 0
    changes: dict[str, Any] = {}
    for name, column in stored.items():
        mine = np.array(getattr(fresh, name))
        if column.shape != (len(moved.title.machines),) or column.dtype != mine.dtype:
            said.append(f"view.{name}: {column.dtype} {column.shape}, expected one {mine.dtype} a machine: left out")
            continue
        mine[kept] = moved.modes(column)[kept] if name in _MODES else column[moved.was[kept]]
        changes[name] = mine
    for name in ("wanted", "doubt"):
        if name in changes:  # a command for an operating point that is gone cannot be waited for
            changes[name][changes[name] == OFF_LADDER] = UNKNOWN
    if "worst_w" in changes:
        changes["worst_w"] = np.where(
            _same_ladder(moved), changes["worst_w"], np.fmax(changes["worst_w"], roster.worst_w)
        )
    if "asleep_why" in changes:
        changes["asleep_why"] = _reasons(changes["asleep_why"], _reasons_of(state), reasons, said)
    changes["evidence"] = _running(state, moved, "evidence", Evidence.nothing(len(kept)))
    for name, nothing in (
        ("pool_evidence", Evidence.nothing(len(kept))),
        ("tap_evidence", Evidence.nothing(len(kept))),
        ("rejects", Spoilt.nothing(len(kept))),
        ("errors", Faulty.nothing(len(kept))),
    ):
        if any(column.startswith(f"view.{name}.") for column in state.columns):
            changes[name] = _running(state, moved, name, nothing)
    head = state.head["value"]["view"]
    changes["tap_marks"] = _marks(head.get("tap_marks", []), state, moved, said)
    try:
        changes["moves"] = tuple(
            _move(move, moved) for move in unpack(tuple[Move, ...], head["moves"], state.columns, "view.moves")
        )
        changes["tally"] = unpack(Tally, head["tally"], {}, "view.tally")
        changes["at_s"] = float(head["at_s"])
    except (KeyError, TypeError, ValueError) as error:
        said.append(f"view: {error}; its moves are left out")
    return replace(fresh, **changes)


def _running(state: Stored | Began, moved: Moved, name: str, fresh: RunningT) -> RunningT:
    """What was known of the machines' shares; those that are new to the journal begin with nothing."""
    kept, changes = moved.was >= 0, {}
    for field in fields(fresh):
        column, mine = state.columns.get(f"view.{name}.{field.name}"), np.array(getattr(fresh, field.name))
        if column is None or column.shape != (len(moved.title.machines),) or column.dtype != mine.dtype:
            return fresh  # another version's: half of it would be worse than none
        mine[kept] = column[moved.was[kept]]
        changes[field.name] = mine
    return replace(fresh, **changes)


def _marks(stored: Any, state: Stored | Began, moved: Moved, said: list[str]) -> tuple[Counted, ...]:
    """Earlier counts of the tap in the rows of now; none where they are another version's."""
    try:
        marks = unpack(tuple[Counted, ...], stored, state.columns, "view.tap_marks")
    except Unreadable as error:
        said.append(f"{error}; what the tap counted before is left out")
        return ()
    return tuple(_rows(mark, Counted.nothing(len(moved.was)), moved) for mark in marks)


def _same_ladder(moved: Moved) -> NDArray[Any]:
    """same[n]: a machine's operating points are what they were."""
    old, new = moved.title.modes, moved.roster.modes
    same = moved.was >= 0
    wide = min(old.power_w.shape[1], new.power_w.shape[1])
    was = np.maximum(moved.was, 0)
    if len(old.power_w):
        same &= (old.power_w[was, :wide] == new.power_w[:, :wide]).all(axis=1)
        same &= (old.exists[was].sum(axis=1)) == new.exists.sum(axis=1)
    return same


def _reasons_of(state: Stored | Began) -> tuple[str, ...]:
    """The names that the state's reason codes stand for."""
    if isinstance(state, Began):
        return state.reasons
    return tuple(state.head["value"]["decision"]["choices"]["reasons"])


def _reasons(codes: NDArray[Any], names: tuple[str, ...], reasons: tuple[str, ...], said: list[str]) -> NDArray[Any]:
    """Reason codes of now for those of then. A name that is gone is told, and still says that it was us: the last reason."""
    result = np.full(len(codes), UNKNOWN, np.int16)
    for code in np.unique(codes[codes >= 0]):
        name = names[code] if code < len(names) else f"reason {code}"
        if name in reasons:
            now = reasons.index(name)
        else:
            now = len(reasons) - 1
            said.append(
                f"{np.count_nonzero(codes == code)} machines asleep for {name!r}, which is no reason any more: {reasons[now]!r}"
            )
        result[codes == code] = now
    return result


def _move(move: Move, moved: Moved) -> Move:
    """A past move with its starts at the places of now."""
    tree = moved.roster.tree
    starts = np.zeros(len(tree.names), np.int64)
    for place, count in zip(moved.title.places, move.starts, strict=False):
        if place in tree.row:
            starts[tree.row[place]] += count
    return replace(move, starts=starts)


def snapshot_of(snapshot: Snapshot, moved: Moved) -> Snapshot:
    """A recorded snapshot in the rows and operating points of now."""
    if moved.same:
        return snapshot
    n = len(moved.was)
    heard = _rows(snapshot.heard, Heard.nothing(n), moved)
    told, counted = snapshot.pool_told, snapshot.counted
    return replace(
        snapshot,
        heard=replace(heard, mode=moved.modes(snapshot.heard.mode)),
        outcomes=outcomes_of(snapshot.outcomes, moved),
        counted=None if counted is None else _rows(counted, Counted.nothing(n), moved),
        pool_told=None if told is None else _rows(told, PoolTold.nothing(n), moved),
    )


def _rows(then: T, nothing: T, moved: Moved) -> T:
    """A noun of columns in the rows of now; machines that it does not know are as in `nothing`."""
    kept, columns = moved.was >= 0, {}
    for field in fields(then):
        stored = getattr(then, field.name)
        if isinstance(stored, np.ndarray):
            mine = np.array(getattr(nothing, field.name))
            mine[kept] = stored[moved.was[kept]]
            columns[field.name] = mine
    return replace(then, **columns)


def outcomes_of(outcomes: Outcomes, moved: Moved) -> Outcomes:
    """Outcomes in the rows and columns of now; those of what is gone are left out."""
    result = []
    for outcome in each(outcomes):
        place = moved.place(outcome.machine, outcome.mode)
        if place is not None:
            result.append(Outcome(*place, outcome.kind, outcome.at_s, outcome.detail))
    return Outcomes.of(result)


def commands_of(commands: Commands, moved: Moved) -> list[Command]:
    """Commands in the rows and columns of now; those of what is gone are left out."""
    result = []
    for command in commands:
        place = moved.place(command.machine, command.mode)
        if place is not None:
            result.append(replace(command, machine=place[0], mode=place[1]))
    return result


def _named(machines: list[str]) -> str:
    """Some machines by name, the rest by number."""
    more = f" and {len(machines) - _NAMED_MOST} more" if len(machines) > _NAMED_MOST else ""
    return f"{len(machines)} machines ({', '.join(machines[:_NAMED_MOST])}{more})"
