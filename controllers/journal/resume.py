"""From the journal back to beliefs: what a process that starts now has to know of the one that ended.

The newest file with whole beliefs is read from its last key frame on, and what was noted after the last record is added:
orders, outcomes, a farewell's commands. Rows are matched by machine id, operating points, places and reasons by their names,
since all of them may have moved with the site file; what is new starts fresh, what is gone is dropped and said.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from controllers.journal.entries import Began, Sent, Stored, Title, last_state, read_file, segments
from controllers.journal.frames import Damage
from controllers.journal.moved import Moved, commands_of, outcomes_of, view_of
from controllers.journal.pending import Pending
from controllers.journal.values import unpack
from fleet.columns import UNKNOWN
from fleet.command import Command, OutcomeKind, Outcomes
from fleet.machine import SLEEP, Roster
from fleet.order import Order
from fleet.view import View


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
        moved = Moved(self._state.title, roster)
        self._said += moved.said
        view = replace(view_of(self._state, moved, reasons, self._said), looked=np.zeros(len(roster), np.bool_))
        outcomes = outcomes_of(self._pending.outcomes, moved)
        for entry in self._after:
            note_moved = Moved(self._titles[id(entry)], roster)
            match entry:
                case Sent():
                    view = _asked(view, commands_of(entry.commands, note_moved), entry.at_s, reasons)
                case Outcomes():
                    view = _became(view, outcomes_of(entry, note_moved))
        return Last(view, kept, outcomes, self._number, self._at_s, tuple(self._said))


def _asked(view: View, commands: list[Command], at_s: float, reasons: tuple[str, ...]) -> View:
    """The beliefs after commands that were no tick's."""
    wanted, sent_s, why = np.array(view.wanted), np.array(view.sent_s), np.array(view.asleep_why)
    for command in commands:
        row = command.machine
        if not command.live:
            continue
        wanted[row], sent_s[row] = command.mode, at_s
        if command.mode == SLEEP and why[row] == UNKNOWN:
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
