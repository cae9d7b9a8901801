"""Record: one tick, whole: what was known, believed, chosen and commanded.

What is shown is what was decided: metrics, MQTT, the page, `explain` and the journal render a Record and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from fleet.columns import Codes
from fleet.command import Commands
from fleet.snapshot import Snapshot
from fleet.view import View
from policies.choices import Choices
from policies.economics import Prices


@dataclass(frozen=True, eq=False, slots=True)
class Decision:
    """What a tick returns beside the next view: choices with their prices, commands, and how many rows wait for what."""

    choices: Choices
    prices: Prices
    commands: Commands
    held_back: tuple[tuple[str, int], ...] = ()
    faults: tuple[str, ...] = ()
    """Our own bugs that the tick survived: the constraint skipped, and the error."""
    waits: Codes | None = None
    """waits[n]: what each row that was held back waits for (an index into `policies.plan.WAITS`; -1 or None: nothing)."""


@dataclass(frozen=True, eq=False, slots=True)
class Record:
    """Tick `number`: its snapshot, the view after it, its decision, and the real time it took."""

    number: int
    snapshot: Snapshot
    view: View
    decision: Decision
    tick_s: float = 0.0
