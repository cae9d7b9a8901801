"""Running: a test of every machine that never ends, and what was counted lately; as columns.

What the tests of shares against claims and of spoilt shares against all have in common: counts come where so many were
expected, and `verdicts` says what follows. Whoever feeds it adds columns of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any, ClassVar, Final, Self

import numpy as np

from fleet.columns import Bools, Codes, Floats, freeze_columns


class Verdict(IntEnum):
    """What the tests of a machine said last."""

    UNTESTED = 0
    """Nothing yet."""
    HONEST = 1
    """It is as it should be."""
    SHORT = 2
    """It delivers less than it claims (of spoilt shares: spoils more than it may)."""


_NEVER: Final = ("heard_s", "verdict_s")


@dataclass(frozen=True, eq=False)
class Running:
    """One row a machine. `heard_s`: the last reading (-inf: none).

    The running test: `score`, held at zero from below, against honesty (of a machine found short: for it), and its
    `limit`. It was last zero at `changed_s`; since then `run_shares` came of `run_expected`. `first`: an untested
    machine's score for honesty since the beginning. `verdict`, reached at `verdict_s` (-inf: never), true since about
    `since_s` (of an untested machine: tested since then).

    What was delivered: `shares` of `expected` in the block that began at `block_s`, `before_*` in the block before it,
    and `total_*` ever.
    """

    heard_s: Floats
    score: Floats
    limit: Floats
    changed_s: Floats
    run_shares: Floats
    run_expected: Floats
    first: Floats
    verdict: Codes
    verdict_s: Floats
    since_s: Floats
    shares: Floats
    expected: Floats
    block_s: Floats
    before_shares: Floats
    before_expected: Floats
    before_s: Floats
    total_shares: Floats
    total_expected: Floats

    TIMES: ClassVar[tuple[str, ...]] = ("heard_s", "changed_s", "verdict_s", "since_s", "block_s", "before_s")
    UNKNOWN: ClassVar[tuple[str, ...]] = ("changed_s", "since_s", "block_s", "before_s")
    """Columns that are NaN until something is known."""
    SUMS: ClassVar[tuple[str, ...]] = ("shares", "expected")
    """Columns that are summed by block; each has its `before_`, and its namesake in a span."""

    def __post_init__(self) -> None:
        """Read-only, one length."""
        freeze_columns(self)
        if len({len(getattr(self, field.name)) for field in fields(self)}) != 1:
            raise ValueError(f"the columns of {type(self).__name__.lower()} are of different lengths")

    def __len__(self) -> int:
        """How many machines."""
        return len(self.heard_s)

    def shifted(self, by_s: float) -> Self:
        """The same on a clock that has stepped."""
        return replace(self, **{name: getattr(self, name) + by_s for name in self.TIMES})

    @classmethod
    def nothing(cls, n: int) -> Self:
        """Columns for n machines of which nothing was heard."""
        columns: dict[str, Any] = {field.name: np.zeros(n) for field in fields(cls)}
        columns |= {name: np.full(n, np.nan) for name in cls.UNKNOWN} | {name: np.full(n, -np.inf) for name in _NEVER}
        return cls(**{**columns, "verdict": np.full(n, Verdict.UNTESTED, np.int16)})


@dataclass(frozen=True, eq=False)
class Span:
    """What one booking adds, one row a machine; rows that are not `booked` hold anything.

    `shares` came where `expected` were due from `from_s` to `to_s` (UTC seconds).
    """

    booked: Bools
    from_s: Floats
    to_s: Floats
    shares: Floats
    expected: Floats

    def __post_init__(self) -> None:
        """Read-only."""
        freeze_columns(self)
