"""Replay: a journal's snapshots judged again, each from the recorded beliefs before it, and compared with what was decided.

With the judgment that ran, every tick must come out the same: a difference is a bug, a changed version, or a broken record.
With another judgment (a changed site file) the differences are what that one would have done at each of those moments.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from controllers.journal.entries import Began, Happened, Stored, Title, read
from controllers.journal.frames import Damage
from controllers.journal.moved import Moved, snapshot_of, view_of
from controllers.journal.values import Unreadable
from fleet.command import Command
from fleet.view import View
from policies.record import Decision
from policies.tick import Judgment

_SHOWN_PER_TICK_MOST = 20
_DIFFERENCES_MOST = 10_000
_SAID_MOST = 1_000
_BREAKS = {"clock stepped", "journal"}
"""Events after which the beliefs are not those of the last record: they moved with the clock, or a record could not be kept."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One machine in one tick: what was recorded and what the replay says; a mode's name, or a command as "mode (why)"."""

    number: int
    at_s: float
    machine: str
    what: str
    recorded: str
    replayed: str

    def in_words(self) -> str:
        """One line for people."""
        at = datetime.fromtimestamp(self.at_s, UTC).isoformat(timespec="seconds")
        return f"tick {self.number}, {at}, {self.machine}: {self.what} was {self.recorded}, replayed {self.replayed}"


@dataclass(frozen=True, eq=False, slots=True)
class Tick:
    """One tick judged twice."""

    number: int
    at_s: float
    recorded: Decision
    replayed: Decision


@dataclass(slots=True)
class Replay:
    """What came of it: ticks replayed, ticks that differ, the differences (bounded), and what could not be replayed and why."""

    path: str
    ticks: int = 0
    differing: int = 0
    differences: list[Difference] = field(default_factory=list)
    unshown: int = 0
    left_out: int = 0
    said: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Did every tick come out as recorded?"""
        return self.differing == 0

    def say(self, lines: list[str]) -> None:
        """Add lines that are not there yet, within a bound."""
        for line in lines:
            if line not in self.said and len(self.said) < _SAID_MOST:
                self.said.append(line)

    def in_words(self) -> str:
        """The report for people."""
        lines = [*self.said, *(difference.in_words() for difference in self.differences)]
        if self.unshown:
            lines.append(f"and {self.unshown} more differences")
        if self.left_out:
            lines.append(f"{self.left_out} ticks left out: the beliefs before them are not in the journal")
        if not self.ticks:
            lines.append("no tick could be replayed")
        elif self.same:
            lines.append(f"{self.ticks} ticks replayed, all the same")
        else:
            lines.append(f"{self.ticks} ticks replayed, {self.differing} differ")
        return "\n".join(lines)

    def in_json(self) -> str:
        """The report for programs."""
        return json.dumps(
            {
                "journal": self.path,
                "ticks": self.ticks,
                "differing": self.differing,
                "left_out": self.left_out,
                "differences": [
                    {name: getattr(difference, name) for name in Difference.__slots__}
                    for difference in self.differences
                ],
                "differences_not_shown": self.unshown,
                "said": self.said,
            },
            indent=2,
        )


def settings_of(path: Path) -> dict[str, Any] | None:
    """The site file's settings (its tables) that the last readable title of a journal carries; None where there are none.

    Raises:
        OSError: the journal cannot be read.
    """
    text = None
    for entry in read(path):
        if isinstance(entry, Title):
            text = entry.settings_json
    try:
        tables = json.loads(text or "null")
    except ValueError:
        return None
    return tables if isinstance(tables, dict) and tables else None


def replay(path: Path, judgment: Judgment) -> Replay:
    """Judge a journal (its directory, or one file of it) again and compare commands and targets.

    Machines and operating points are matched by name, so a judgment of another roster says what it would have done.

    Raises:
        OSError: the journal cannot be read.
    """
    report = Replay(str(path))
    before: View | None = None
    number, moved = 0, None
    for entry in read(path):
        match entry:
            case Title():
                moved = Moved(entry, judgment.roster)
                report.say(moved.said)
            case Damage():
                report.say([entry.in_words()])
            case Began() if moved is not None:
                before, number = view_of(entry, moved, judgment.reasons, report.said), entry.number
            case Happened() if entry.kind in _BREAKS:
                before = None
            case Stored() if moved is not None:
                if before is not None and entry.number == number + 1:
                    _again(entry, before, judgment, moved, report)
                else:
                    report.left_out += 1
                before, number = view_of(entry, moved, judgment.reasons, []), entry.number
            case _:
                pass
    return report


def _again(entry: Stored, before: View, judgment: Judgment, moved: Moved, report: Replay) -> None:
    """Judge one tick again and add its differences."""
    try:
        snapshot, recorded = entry.snapshot(), entry.decision()
    except (Unreadable, KeyError, TypeError) as error:
        report.say([f"record {entry.number}: {error}"])
        report.left_out += 1
        return
    _, decision = judgment.tick(before, snapshot_of(snapshot, moved))
    report.ticks += 1
    tick = Tick(entry.number, snapshot.at_s, recorded, decision)
    found = [*_targets(tick, moved), *_commands(tick, moved)]
    if not found:
        return
    report.differing += 1
    room = max(min(_SHOWN_PER_TICK_MOST, _DIFFERENCES_MOST - len(report.differences)), 0)
    report.differences += found[:room]
    report.unshown += len(found) - len(found[:room])


def _targets(tick: Tick, moved: Moved) -> Iterator[Difference]:
    """Machines whose chosen operating point differs."""
    recorded, now = tick.recorded.choices.target, tick.replayed.choices.target
    if recorded is None or now is None:
        return
    was = moved.modes(recorded)
    for row in np.flatnonzero((moved.was >= 0) & (was != now)):
        machine = moved.roster.machines[row]
        names = (
            moved.title.name_of(int(moved.was[row]), int(recorded[moved.was[row]])),
            machine.modes[int(now[row])].name,
        )
        yield Difference(tick.number, tick.at_s, machine.id, "target", *names)


def _commands(tick: Tick, moved: Moved) -> Iterator[Difference]:
    """Machines that got another command, or one that they did not get."""
    was = {
        moved.title.machines[c.machine]: _said(c, moved.title.name_of(c.machine, c.mode))
        for c in tick.recorded.commands
    }
    machines = moved.roster.machines
    now = {machines[c.machine].id: _said(c, machines[c.machine].modes[c.mode].name) for c in tick.replayed.commands}
    for machine in sorted(was.keys() | now.keys()):
        if was.get(machine) != now.get(machine):
            said = was.get(machine, "none"), now.get(machine, "none")
            yield Difference(tick.number, tick.at_s, machine, "command", *said)


def _said(command: Command, mode: str) -> str:
    return f"{mode} ({command.why}{'' if command.live else ', not live'})"
