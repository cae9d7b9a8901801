"""Explanation: what is told of one machine at one tick, as a value with a schema.

What `hashwatt explain MACHINE` prints as a table and, with `--json`, as it is. How it is found is `policies/explain.py`.
"""

from __future__ import annotations

from typing import Literal

from policies.detection import Detection
from policies.proof import Proof
from policies.shown import Shown


class Point(Shown):
    """One operating point of the machine, as it would be now. Powers and rates are its nameplate as calibrated."""

    mode: str
    power_w: float
    hashrate_ths: float
    efficiency_j_th: float | None
    marginal_j_th: float | None
    """Of the step from the next lower operating point; the step pays while this is below `limit_j_th`."""
    revenue_usd_h: float | None
    cost_usd_h: float | None
    earns_usd_h: float | None
    """Revenue less energy."""
    break_even_usd_mwh: float | None
    """Power price at the meter at which it earns nothing."""
    step_break_even_usd_mwh: float | None
    """Power price at the meter above which the step from the next lower point does not pay."""
    allowed: bool
    removed_by: str | None
    """The constraint that took it away."""
    overruled: tuple[str, ...]
    """Constraints that would have taken it away too, had that left anything."""
    present: bool
    """The machine's own readings show it."""
    chosen: bool
    """It is what was decided."""


class Hold(Shown):
    """Something that holds the machine, or keeps a change waiting."""

    kind: Literal[
        "order", "hand", "back-off", "quarantine", "fault", "pending", "doubt", "wait", "regret", "market", "not live"
    ]
    what: str
    until_s: float | None
    """When it ends by itself (UTC seconds); None: when what it waits for happens."""


class Change(Shown):
    """Something that would change, or lets change, what the machine does."""

    what: str
    at_s: float | None = None
    """When it comes by itself (UTC seconds)."""
    power_usd_mwh: float | None = None
    """Or at which power price at the site's meter."""
    to: str | None = None
    """The operating point it would go to."""


class Shadow(Shown):
    """What one more MWh of cap at a place above the machine would earn."""

    place: str
    usd_mwh: float


class Explanation(Shown):
    """What one machine is doing at one tick, why, and what comes next."""

    machine: str
    model: str
    place: str
    at_s: float
    live: bool
    """Under live control; if not, what is decided is not sent."""
    doing: str
    """One sentence for people."""
    state: str
    """hashing, starting, sleeping, faulted, unknown, or silent."""
    heard_s: float | None
    """When it last gave a reading (UTC seconds)."""
    mode: str | None
    """The operating point that its readings show; None: not known or none of its ladder."""
    power_w: float | None
    power_measured: bool
    hashrate_ths: float | None
    efficiency_j_th: float | None
    earns_usd_h: float | None
    chip_c: float | None
    decided: str
    """The operating point decided."""
    why: str
    """The reason: a constraint, "power cap", or "money"."""
    commanded: str | None
    """Asked for in this tick, live or dry."""
    asked: str | None
    """Asked for, and not confirmed by a reading yet."""
    asleep_why: str | None
    """Why our command put it to sleep."""
    failures: int
    """Commands in a row that failed."""
    worst_w: float
    """What it may draw at most, as the caps count it."""
    hashprice_usd_phs_day: float | None
    """After the pool's fee."""
    power_usd_mwh: float | None
    """At the site's meter, adders included."""
    missing: tuple[str, ...]
    """Signals that are not known."""
    limit_j_th: float | None
    """A step of the ladder pays while its marginal J/TH is below this (None: power is free or pays, every step does)."""
    start_usd: float | None
    """What one start costs: power without hashes, and wear."""
    points: tuple[Point, ...]
    shadows: tuple[Shadow, ...]
    """The caps above it that bind."""
    proof: Proof
    """What its shares say of its claim."""
    detection: Detection | None
    """How long a shortfall would take to be found; None: how many shares it brings is not known."""
    shadow_usd_mwh: float
    """Their sum: what one more MWh at this machine would earn."""
    holds: tuple[Hold, ...]
    changes: tuple[Change, ...]
    """By time, then by price."""
