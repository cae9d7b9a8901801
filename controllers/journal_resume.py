"""From the journal back to beliefs: what a process that starts now has to know of the one that ended.

The newest file with whole beliefs is read from its last key frame on, and what was noted after the last record is added:
orders, outcomes, a farewell's commands. Rows are matched by machine id, operating points, places and reasons by their names,
since all of them may have moved with the site file; what is new starts fresh, what is gone is dropped and said.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cache
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controllers.journal_entries import Began, Sent, Stored, Title, last_state, read_file, segments
from controllers.journal_frames import Damage
from controllers.journal_pending import Pending, each
from controllers.journal_values import unpack
from fleet.columns import OFF_LADDER, UNKNOWN, Ints
from fleet.command import Commands, Outcome, OutcomeKind, Outcomes
from fleet.machine import SLEEP, Roster
from fleet.order import Order
from fleet.view import Move, Tally, View

_MODES = ("mode", "standing", "wanted", "doubt")
_NAMED_MOST = 10


@dataclass(frozen=True, eq=False)
class Last:
    """What the journal knows of the process that ended.

    The beliefs (None: nothing is known), the orders, the outcomes that no tick has seen, the last tick's number and its time
    (UTC seconds; -inf: never), and `said`: one line for each thing that was lost, dropped or translated.
    No machine of the view counts as looked at: a new process commands nothing before its own first full look.
    """

    view: View | None = None
    orders: tuple[Order, ...] = ()
    outcomes: Outcomes = field(default_factory=Outcomes)
    number: int = 0
    at_s: float = -inf
    said: tuple[str, ...] = ()


def last(directory: Path, roster: Roster, reasons: tuple[str, ...]) -> Last:
    """The state that the journal in a directory ends with, for this roster; `reasons` are `Judgment.reasons` of now.

    Raises:
        OSError: a file of it cannot be read.
    """
    files = segments(directory) if directory.is_dir() else []
    tale = _Tale()
    for back in range(len(files) - 1, -1, -1):
        since = last_state(files[back])
        if since is None and back:
            continue
        for path in files[back:]:
            tale.read(path, since or 0)
            since = 0
        break
    return tale.told(roster, reasons)


class _Tale:
    """What was read so far."""

    def __init__(self) -> None:
        self._state: Stored | Began | None = None
        self._shown: tuple[Order, ...] = ()
        self._after: list[Sent | Outcomes] = []
        self._titles: dict[int, Title] = {}
        self._title: Title | None = None
        self._pending = Pending()
        self._said: list[str] = []
        self._number, self._at_s = 0, -inf

    def read(self, path: Path, since: int) -> None:
        """One file, in its turn."""
        for entry in read_file(path, since):
            match entry:
                case Title():
                    self._title = entry
                case Damage():
                    self._said.append(entry.in_words())
                case Stored():
                    self._stored(entry)
                case Began():
                    self._state, self._after, self._shown = entry, [], entry.orders
                    self._number = max(self._number, entry.number)
                    self._at_s = _at_s(entry, self._at_s)
                case Order():
                    self._pending.note_order(entry)
                case Outcomes():
                    self._pending.note_outcomes(entry)
                    self._note(entry)
                case Sent():
                    self._at_s = max(self._at_s, entry.at_s)
                    self._note(entry)
                case _:
                    pass

    def _note(self, entry: Sent | Outcomes) -> None:
        """Something about machines, whose rows are those of the present file's title."""
        if self._title is not None:
            self._titles[id(entry)] = self._title
            self._after.append(entry)

    def _stored(self, entry: Stored) -> None:
        try:
            snapshot = entry.head["value"]["snapshot"]
            orders = tuple(unpack(Order, order, {}, "orders") for order in snapshot["orders"])
            outcomes = unpack(Outcomes, snapshot["outcomes"], entry.columns, "snapshot.outcomes")
            at_s = float(snapshot["at_s"])
        except (KeyError, TypeError, ValueError) as error:
            self._said.append(f"record {entry.number}: {error}; left out")
            return
        self._state, self._shown, self._after = entry, orders, []
        self._number, self._at_s = entry.number, at_s
        self._pending.recorded(at_s, orders, outcomes)

    def told(self, roster: Roster, reasons: tuple[str, ...]) -> Last:
        """All of it, in the rows, operating points and reasons of now."""
        orders = {order.id: order for order in (*self._shown, *self._pending.orders)}
        kept = tuple(order for order in orders.values() if order.until_s > self._at_s)
        if self._state is None:
            return Last(orders=kept, number=self._number, at_s=self._at_s, said=tuple(self._said))
        moved = _Moved(self._state.title, roster)
        self._said += moved.said
        view = _view(self._state, moved, roster, reasons, self._said)
        outcomes = _outcomes(self._pending.outcomes, moved)
        for entry in self._after:
            note_moved = _Moved(self._titles[id(entry)], roster)
            match entry:
                case Sent():
                    view = _asked(view, entry, note_moved, reasons)
                case Outcomes():
                    view = _became(view, _outcomes(entry, note_moved))
        return Last(view, kept, outcomes, self._number, self._at_s, tuple(self._said))


class _Moved:
    """Where the rows and operating points of a journal's title are now."""

    def __init__(self, title: Title, roster: Roster) -> None:
        self.title, self.roster = title, roster
        index = title.index
        self.was = np.array([index.get(machine.id, UNKNOWN) for machine in roster.machines], np.int64)
        """was[n]: the row of each of today's machines in the journal (-1: it is new)."""
        gone = [machine for machine in title.machines if machine not in roster.index]
        new = [machine.id for machine in roster.machines if machine.id not in index]
        self.said = [f"{_named(gone)} in the journal, not in the site file: dropped"] if gone else []
        self.said += [f"{_named(new)} not in the journal: nothing is known of them yet"] if new else []

    def row(self, old: int) -> int:
        """Today's row of a journal's row; -1 where it is gone."""
        if not 0 <= old < len(self.title.machines):
            return UNKNOWN
        return self.roster.index.get(self.title.machines[old], UNKNOWN)

    def columns(self, row: int) -> Ints:
        """Today's column of each of the journal's operating points of one of today's rows."""
        names = self.title.ladders[int(self.title.ladder[self.was[row]])]
        return _translated(names, tuple(mode.name for mode in self.roster.machines[row].modes))

    def modes(self, stored: NDArray[Any]) -> NDArray[Any]:
        """A mode column of the journal in today's rows and columns."""
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


def _view(state: Stored | Began, moved: _Moved, roster: Roster, reasons: tuple[str, ...], said: list[str]) -> View:
    """The stored beliefs in the rows, operating points, places and reasons of now."""
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
    changes["looked"] = np.zeros(len(roster), np.bool_)
    head = state.head["value"]["view"]
    try:
        changes["moves"] = tuple(
            _move(move, moved) for move in unpack(tuple[Move, ...], head["moves"], state.columns, "view.moves")
        )
        changes["tally"] = unpack(Tally, head["tally"], {}, "view.tally")
        changes["at_s"] = float(head["at_s"])
    except (KeyError, TypeError, ValueError) as error:
        said.append(f"view: {error}; its moves are left out")
    return replace(fresh, **changes)


def _same_ladder(moved: _Moved) -> NDArray[Any]:
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


def _move(move: Move, moved: _Moved) -> Move:
    """A past move with its starts at the places of now."""
    tree = moved.roster.tree
    starts = np.zeros(len(tree.names), np.int64)
    for place, count in zip(moved.title.places, move.starts, strict=False):
        if place in tree.row:
            starts[tree.row[place]] += count
    return replace(move, starts=starts)


def _outcomes(outcomes: Outcomes, moved: _Moved) -> Outcomes:
    """Outcomes in the rows and columns of now."""
    result = []
    for outcome in each(outcomes):
        row = moved.row(outcome.machine)
        if row == UNKNOWN:
            continue
        columns = moved.columns(row)
        mode = int(columns[outcome.mode]) if 0 <= outcome.mode < len(columns) else OFF_LADDER
        if mode >= 0:
            result.append(Outcome(row, mode, outcome.kind, outcome.at_s, outcome.detail))
    return Outcomes.of(result)


def _asked(view: View, sent: Sent, moved: _Moved, reasons: tuple[str, ...]) -> View:
    """The beliefs after commands that were no tick's."""
    wanted, sent_s, why = np.array(view.wanted), np.array(view.sent_s), np.array(view.asleep_why)
    commands: Commands = sent.commands
    for command in commands:
        row = moved.row(command.machine)
        if row == UNKNOWN or not command.live:
            continue
        columns = moved.columns(row)
        mode = int(columns[command.mode]) if 0 <= command.mode < len(columns) else OFF_LADDER
        if mode < 0:
            continue
        wanted[row], sent_s[row] = mode, sent.at_s
        if mode == SLEEP and why[row] == UNKNOWN:
            why[row] = reasons.index(command.why) if command.why in reasons else len(reasons) - 1
    return replace(view, wanted=wanted, sent_s=sent_s, asleep_why=why)


def _became(view: View, outcomes: Outcomes) -> View:
    """The beliefs after outcomes that were no tick's: what a reading has shown, is so."""
    done = outcomes.kind == OutcomeKind.DONE
    rows, modes, at_s = outcomes.machine[done], outcomes.mode[done], outcomes.at_s[done]
    fits = (view.wanted[rows] == modes) & (at_s >= view.sent_s[rows])
    rows, modes, at_s = rows[fits], modes[fits], at_s[fits]
    changes: dict[str, Any] = {
        name: np.array(getattr(view, name))
        for name in ("mode", "standing", "wanted", "doubt", "failures", "changed_s", "heard_s", "asleep_why")
    }
    changes["mode"][rows] = changes["standing"][rows] = modes
    changes["wanted"][rows] = changes["doubt"][rows] = UNKNOWN
    changes["failures"][rows] = 0
    changes["changed_s"][rows] = at_s
    changes["heard_s"][rows] = np.fmax(at_s, changes["heard_s"][rows])
    changes["asleep_why"][rows[modes != SLEEP]] = UNKNOWN
    return replace(view, **changes)


def _at_s(began: Began, before: float) -> float:
    """When the beliefs of a beginning were true."""
    at_s = began.head["value"]["view"].get("at_s", -inf)
    return max(before, float(at_s)) if isinstance(at_s, int | float) else before


def _named(machines: list[str]) -> str:
    """Some machines by name, the rest by number."""
    more = f" and {len(machines) - _NAMED_MOST} more" if len(machines) > _NAMED_MOST else ""
    return f"{len(machines)} machines ({', '.join(machines[:_NAMED_MOST])}{more})"
