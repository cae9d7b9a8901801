"""Command, Outcome and their columns.

A command asks one machine for one operating point; it says why. Its outcome is Done only when the machine's own later
reading shows the mode; everything less has a name of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from fleet.columns import Bools, Codes, Floats, Ints, freeze_columns


class Urgency(IntEnum):
    """What a command may wait for: a routine one for pace, an urgent one for nothing."""

    ROUTINE = 0
    URGENT = 1


class OutcomeKind(IntEnum):
    """What became of a command."""

    DONE = 0
    """A reading after the command shows the mode."""
    REFUSED = 1
    """The machine, or our own care for its pools, said no."""
    LOST = 2
    """It could not be delivered: unreachable or garbled."""
    UNCONFIRMED = 3
    """Accepted, and no reading within the machine's time shows the mode."""
    WITHHELD = 4
    """Dry run, or not our lease: it was not sent."""


@dataclass(frozen=True, slots=True)
class Command:
    """One machine, one operating point (its row and column in the roster), why, and how urgent."""

    machine: int
    mode: int
    why: str
    urgency: Urgency = Urgency.ROUTINE
    live: bool = True
    """False: decided and recorded, not to be sent (dry run, or outside the live scope)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the command to `machine` for `mode`; `at_s` when that was known, `detail` for people."""

    machine: int
    mode: int
    kind: OutcomeKind
    at_s: float
    detail: str = ""


@dataclass(frozen=True, eq=False)
class Commands:
    """The commands of one tick as columns: machine[c], mode[c], why[c] (an index into `whys`), urgent[c], live[c]."""

    machine: Ints
    mode: Ints
    why: Codes
    urgent: Bools
    live: Bools
    whys: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Read-only."""
        freeze_columns(self)

    def __len__(self) -> int:
        """How many."""
        return len(self.machine)

    def __iter__(self) -> Iterator[Command]:
        """One by one, as objects: for the edge."""
        for c in range(len(self.machine)):
            yield Command(
                int(self.machine[c]),
                int(self.mode[c]),
                self.whys[self.why[c]],
                Urgency.URGENT if self.urgent[c] else Urgency.ROUTINE,
                bool(self.live[c]),
            )

    @classmethod
    def of(cls, commands: Sequence[Command]) -> Commands:
        """Columns of some commands, in their order."""
        whys = tuple(dict.fromkeys(command.why for command in commands))
        return cls(
            np.array([command.machine for command in commands], np.int64),
            np.array([command.mode for command in commands], np.int64),
            np.array([whys.index(command.why) for command in commands], np.int16),
            np.array([command.urgency is Urgency.URGENT for command in commands], np.bool_),
            np.array([command.live for command in commands], np.bool_),
            whys,
        )

    @classmethod
    def none(cls) -> Commands:
        """No commands."""
        return _NONE


_NONE = Commands(
    np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int16), np.empty(0, np.bool_), np.empty(0, np.bool_)
)


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Outcomes since the last tick as columns: machine[c], mode[c], kind[c], at_s[c]; `details` for people."""

    machine: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    mode: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    kind: Codes = field(default_factory=lambda: np.empty(0, np.int16))
    at_s: Floats = field(default_factory=lambda: np.empty(0, np.float64))
    details: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Read-only."""
        freeze_columns(self)

    def __len__(self) -> int:
        """How many."""
        return len(self.machine)

    def followed_by(self, later: Outcomes) -> Outcomes:
        """These outcomes, then the later ones."""
        if not len(self):
            return later
        return Outcomes(
            np.concatenate([self.machine, later.machine]),
            np.concatenate([self.mode, later.mode]),
            np.concatenate([self.kind, later.kind]),
            np.concatenate([self.at_s, later.at_s]),
            (*self.details, *later.details),
        )

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Outcomes:
        """Columns of some outcomes, in their order."""
        return cls(
            np.array([o.machine for o in outcomes], np.int64),
            np.array([o.mode for o in outcomes], np.int64),
            np.array([o.kind for o in outcomes], np.int16),
            np.array([o.at_s for o in outcomes], np.float64),
            tuple(o.detail for o in outcomes),
        )
