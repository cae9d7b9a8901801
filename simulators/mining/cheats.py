"""Cheats and troubles of machines that mine for real, as data; each with the share of the machine's hashes that it costs.

A cheat is what one machine does between two times. An inflated claim is none of these (`World.claims`): it does nothing
to the shares. Two hide a fee in the two ways that are seen in the field, three fill up with shares that are not new
what the machine did not hash, one loses to heat, one is work under another name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import Final

HOT_C: Final = 75.0
"""The chip temperature that a share of errors is given for."""
DOUBLES_C: Final = 7.0
MOST_LOST: Final = 0.9


class Trick(StrEnum):
    """What a machine may do."""

    FOREIGN = "foreign worker"
    """A hidden fee: of its shares, some are submitted for `worker`, who logs in on the same connection."""
    AWAY = "away"
    """A hidden fee: for a slice of every `period_s` it mines for `worker` at the pool `url`, on a connection of its own."""
    DUPLICATES = "duplicates"
    """It hashes less, and submits shares twice so that their number is what it claims."""
    REPLAYS = "replays"
    """It hashes less, and fills up with shares of sessions before; it hangs up once every `period_s` to have some."""
    LATE = "late"
    """Some of its shares are held back until their job is stale."""
    HOT = "hot errors"
    """Of its shares, `share` at 75 degrees on the chip do not meet: they double with every 7 degrees. The firmware
    finds most of them out and counts hardware errors; a tenth is submitted."""
    RENAMED = "renamed"
    """It logs in as `worker`, and as nobody else."""


LEAKED: Final = 0.1
"""The part of the shares that do not meet which a firmware submits all the same."""


@dataclass(frozen=True, slots=True)
class Cheat:
    """One trick with a share of the machine's work, from `from_s` until `until_s` (UTC seconds of the world)."""

    trick: Trick
    share: float = 1.0
    worker: str = ""
    url: str = ""
    period_s: float = 3_600.0
    from_s: float = -inf
    until_s: float = inf

    def __post_init__(self) -> None:
        """A share of less than everything, but for a name; and what the trick cannot do without."""
        most = 1.0 if self.trick is Trick.RENAMED else MOST_LOST
        if not 0.0 < self.share <= most:
            raise ValueError(f"{self.trick}: share is {self.share}, expected above 0 and {most} at most")
        if self.trick in {Trick.FOREIGN, Trick.AWAY, Trick.RENAMED} and not self.worker:
            raise ValueError(f"{self.trick}: no worker, expected the name that it works for")
        if self.trick is Trick.AWAY and not self.url:
            raise ValueError(f"{self.trick}: no url, expected the pool that it goes to")

    def holds(self, at_s: float) -> bool:
        """Is it in force?"""
        return self.from_s <= at_s < self.until_s


class Cheats:
    """What one machine does wrong. Shares are of the hashes that it would make if it were honest."""

    def __init__(self, plan: Sequence[Cheat] = ()) -> None:
        self._plan = tuple(plan)

    def __bool__(self) -> bool:
        """Is there anything at all?"""
        return bool(self._plan)

    def now(self, trick: Trick, at_s: float) -> Cheat | None:
        """The trick as it is done at a time."""
        for cheat in self._plan:
            if cheat.trick is trick and cheat.holds(at_s):
                return cheat
        return None

    def share(self, trick: Trick, at_s: float) -> float:
        """The share that a trick takes at a time; 0 where it is not done."""
        found = self.now(trick, at_s)
        return 0.0 if found is None else found.share

    def away(self) -> Cheat | None:
        """The trick of going to another pool, whenever it is done."""
        return next((cheat for cheat in self._plan if cheat.trick is Trick.AWAY), None)

    def away_share(self, from_s: float, until_s: float) -> float:
        """The part of an interval in which the machine works elsewhere: the last part of every period."""
        cheat = self.away()
        if cheat is None or until_s <= from_s:
            return 0.0
        begin_s, end_s = max(from_s, cheat.from_s), min(until_s, cheat.until_s)
        if end_s <= begin_s:
            return 0.0
        away_s = _gone_s(end_s, cheat) - _gone_s(begin_s, cheat)
        return away_s / (until_s - from_s)

    def hashing(self, at_s: float) -> float:
        """The part of its hashes that the machine makes at all: those who fill up with old shares make fewer."""
        return 1.0 - self.share(Trick.DUPLICATES, at_s) - self.share(Trick.REPLAYS, at_s)

    def error_share(self, at_s: float, chip_c: float) -> float:
        """The part of its shares that do not meet."""
        share = self.share(Trick.HOT, at_s)
        return min(share * 2.0 ** ((chip_c - HOT_C) / DOUBLES_C), MOST_LOST) if share else 0.0

    def useful(self, at_s: float, chip_c: float, account: str) -> float:
        """The ground truth: the part of its hashes that become good shares of the owner's, while it is not away."""
        renamed = self.now(Trick.RENAMED, at_s)
        if renamed is not None and renamed.worker.split(".", 1)[0] != account:
            return 0.0
        kept = (1.0 - self.share(Trick.FOREIGN, at_s)) * (1.0 - self.share(Trick.LATE, at_s))
        return self.hashing(at_s) * kept * (1.0 - self.error_share(at_s, chip_c))


def _gone_s(at_s: float, cheat: Cheat) -> float:
    """Seconds spent elsewhere since time began, when the last `share` of each period is."""
    periods, into_s = divmod(at_s, cheat.period_s)
    away_s = cheat.share * cheat.period_s
    return periods * away_s + max(0.0, into_s - (cheat.period_s - away_s))
