"""Audits: a machine is asked for many shares for some minutes, so that its hash rate is known in minutes, not in hours.

The tap gives it a lower difficulty than its pool does; what that may be is bounded by its firmware (a table), by the site
file for one machine, and by the site file for all audits together. An audit outlives its machine's connection: when the
machine is back in time, the audit goes on. At its end the pool's own difficulty is in force again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, log2
from typing import Any, Final

from controllers.pool.settings import AuditBounds
from fleet.machine import Machine, Roster
from fleet.units import HASHES_PER_DIFFICULTY, HASHES_PER_TERAHASH


@dataclass(frozen=True, slots=True)
class Bearable:
    """What a firmware can be asked.

    Difficulties no lower than `least`, powers of two or whole numbers alone, so many shares a minute; `source` says how
    that is known.
    """

    least: float
    powers_of_two: bool
    most_shares_per_min: float
    source: str


BEARABLE: Final[dict[str, Bearable]] = {
    "antminer": Bearable(
        512, True, 1_200, "assumed: chips report nonces by a mask of powers of two, and cgminer's heirs queue submits"
    ),
    "luxos": Bearable(512, True, 1_200, "assumed: the same hardware as antminer"),
    "whatsminer-v3": Bearable(1_024, True, 600, "assumed: half of what an Antminer is trusted with"),
}
"""By dialect. Nothing here is a vendor's word: raise a bound when a machine has been seen to bear it."""
UNKNOWN: Final = Bearable(1_024, True, 600, "assumed: nothing is known of this firmware")


@dataclass(frozen=True, slots=True)
class Audit:
    """One audit: what is asked of the machine (shares a minute by its nominal hash rate), until when (elapsed seconds)."""

    machine: str
    difficulty: float
    shares_per_min: float
    until_s: float
    why: str
    """What bounded it, for people."""


def planned(machine: Machine, bounds: AuditBounds, shares_per_min: float | None) -> tuple[float, float, str]:
    """The difficulty to ask of a machine, the shares a minute that its nominal hash rate brings then, and what bounded it.

    Raises:
        LookupError: nothing is known of its hash rate.
    """
    bearable = BEARABLE.get(machine.dialect, UNKNOWN)
    nominal_ths = machine.modes[machine.mode_named(machine.usual)].hashrate_ths
    if not nominal_ths > 0:
        raise LookupError(f"{machine.id} has no nominal hash rate, expected one in its model's operating points")
    per_min = nominal_ths * HASHES_PER_TERAHASH * 60 / HASHES_PER_DIFFICULTY
    wanted = bounds.shares_per_min if shares_per_min is None else shares_per_min
    limits = (
        (wanted, "as asked"),
        (bounds.most_shares_per_min, "tap.audit.most_shares_per_min"),
        (bearable.most_shares_per_min, f"{machine.dialect}: {bearable.source}"),
    )
    rate, why = min(limits, key=lambda limit: limit[0])
    difficulty = per_min / rate
    if difficulty < bearable.least:
        difficulty, why = bearable.least, f"{machine.dialect}: {bearable.source}"
    # upwards: a machine brings no more shares than was said
    difficulty = 2.0 ** ceil(log2(difficulty)) if bearable.powers_of_two else float(ceil(difficulty))
    return difficulty, per_min / difficulty, why


class Audits:
    """The audits of a site.

    `wishes` is the difficulty that is wished for, by the machine's row; `changed(row)` is called whenever one begins or
    ends.
    """

    def __init__(
        self,
        roster: Roster,
        bounds: AuditBounds,
        wishes: dict[int, float],
        elapsed: Callable[[], float],
        changed: Callable[[int], None],
    ) -> None:
        self._roster, self._bounds, self._wishes = roster, bounds, wishes
        self._elapsed, self._changed = elapsed, changed
        self.running: dict[int, Audit] = {}
        self.done = 0

    def begin(self, row: int, shares_per_min: float | None, for_s: float | None) -> Audit:
        """Begin one, or replace the machine's.

        Raises:
            LookupError: it would be too much for the site; the message says by which bound.
        """
        bounds, machine = self._bounds, self._roster.machines[row]
        difficulty, rate, why = planned(machine, bounds, shares_per_min)
        others = [audit for other, audit in self.running.items() if other != row]
        if len(others) >= bounds.at_once:
            raise LookupError(f"{len(others)} machines are under audit, expected fewer than tap.audit.at_once")
        together = (sum(audit.shares_per_min for audit in others) + rate) / 60
        if together > bounds.site_shares_per_s:
            raise LookupError(
                f"audits would bring {together:.0f} shares a second, expected at most tap.audit.site_shares_per_s "
                f"({bounds.site_shares_per_s:g})"
            )
        for_s = min(bounds.for_s if for_s is None else for_s, bounds.most_for_s)
        audit = self.running[row] = Audit(machine.id, difficulty, rate, self._elapsed() + for_s, why)
        self._wishes[row] = difficulty
        self._changed(row)
        return audit

    def end(self, row: int) -> bool:
        """Let go of a machine; False where it was under no audit."""
        if self.running.pop(row, None) is None:
            return False
        self.done += 1
        del self._wishes[row]
        self._changed(row)
        return True

    def sweep(self) -> None:
        """End those whose time is over."""
        now_s = self._elapsed()
        for row in [row for row, audit in self.running.items() if audit.until_s <= now_s]:
            self.end(row)

    def status(self) -> list[dict[str, Any]]:
        """The running ones."""
        now_s = self._elapsed()
        return [
            {
                "machine": audit.machine,
                "difficulty": audit.difficulty,
                "shares_per_min": audit.shares_per_min,
                "left_s": max(audit.until_s - now_s, 0.0),
                "why": audit.why,
            }
            for audit in self.running.values()
        ]
