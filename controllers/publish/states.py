"""What MQTT shows: the site and each machine as JSON, from the last Record; which machines' shown state has changed.

A machine's numbers are rounded to what a person reads, and only a change of a rounded number is one; the time of its last
reading is shown but changes nothing. All of it is columns until a machine's state is written out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np

from fleet.columns import OFF_LADDER, UNKNOWN, Floats, Ints
from fleet.machine import Machine
from fleet.order import Order
from fleet.snapshot import Heard
from policies.plan import WAITS
from policies.proof import SOURCES, VERDICTS
from policies.record import Record
from policies.shown import Shown
from policies.site_sums import STATES, SiteSums, machine_columns, site_sums
from policies.tick import Judgment

_DIGITS: Mapping[str, int] = {
    "power_w": 0,
    "hashrate_ths": 2,
    "efficiency_j_th": 2,
    "chip_c": 0,
    "earns_usd_h": 4,
    "break_even_usd_mwh": 1,
    "curtailed_w": 0,
    "credit": 3,
    "delivered": 3,
    "delivered_low": 3,
    "delivered_high": 3,
    "proven_j_th": 2,
    "proven_j_th_low": 2,
    "proven_j_th_high": 2,
}
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_AT_ONCE = ("state", "operating_point", "decided", "waits_for", "verdict")
"""A change of these is sent without waiting for the period."""


class OrderState(Shown):
    """An order in force."""

    id: str
    kind: str
    scope: str
    who: str
    why: str
    rank: str
    cap_kw: float | None
    given_s: float
    until_s: float

    @classmethod
    def of(cls, order: Order) -> OrderState:
        """An order as it is shown."""
        return cls(
            id=order.id,
            kind=order.kind.value,
            scope=order.scope,
            who=order.who,
            why=order.why,
            rank=order.rank.value,
            cap_kw=None if order.cap_w is None else order.cap_w / 1e3,
            given_s=order.given_s,
            until_s=order.until_s,
        )


class SiteState(Shown):
    """The site at one tick: its sums, and the orders in force."""

    site: str
    sums: SiteSums
    orders: tuple[OrderState, ...]


class MachineState(Shown):
    """One machine at one tick; null: not known."""

    machine: str
    place: str
    model: str
    at_s: float
    """The tick's time, UTC seconds."""
    last_reading_s: float | None
    state: str
    """hashing, starting, sleeping, faulted, unknown (it says so), silent (no answer)."""
    operating_point: str | None
    """As its own readings show; "off ladder" is one that the site file does not name."""
    decided: str | None
    """The operating point that was decided."""
    why: str
    """The reason of the decision."""
    waits_for: str | None
    """What the change waits for."""
    power_w: float | None
    power_measured: bool
    hashrate_ths: float | None
    efficiency_j_th: float | None
    chip_c: float | None
    earns_usd_h: float | None
    break_even_usd_mwh: float | None
    curtailed_w: float
    credit: float
    """The part of its claimed hash rate that it is valued at."""
    verdict: str
    """untested, honest, short: what its shares say of the hash rate that it claims."""
    verdict_since_s: float | None
    proof_source: str | None
    """The strongest source that counts its shares: counters, pool, tap."""
    delivered: float | None
    """Hash rate that its shares prove, over the one claimed."""
    delivered_low: float | None
    """Its 95 % interval, which holds at all times."""
    delivered_high: float | None
    proven_j_th: float | None
    """J/TH of proven hashes, where it measures its power."""
    proven_j_th_low: float | None
    """Its 95 % interval, with the meter's error."""
    proven_j_th_high: float | None


def site_state(name: str, judgment: Judgment, record: Record) -> SiteState:
    """The site at a record's tick."""
    orders = tuple(OrderState.of(order) for order in judgment.in_force(record.snapshot))
    return SiteState(site=name, sums=site_sums(judgment, record), orders=orders)


class MachineStates:
    """Every machine at one record's tick: `columns` by name, rounded as shown; `written(rows)` writes some out."""

    def __init__(self, judgment: Judgment, record: Record) -> None:
        view, heard, choices = record.view, record.snapshot.heard, record.decision.choices
        now = machine_columns(judgment, record)
        self._judgment, self.record = judgment, record
        self._heard_s = view.heard_s
        nobody = np.full(len(view), UNKNOWN, np.int16)
        self._why = nobody if choices.why is None else choices.why
        self._reasons = choices.reasons
        self.columns: dict[str, Floats] = {
            "state": now.state.astype(np.float64),
            "operating_point": view.mode.astype(np.float64),
            "decided": (view.standing if choices.target is None else choices.target).astype(np.float64),
            "waits_for": (nobody if record.decision.waits is None else record.decision.waits).astype(np.float64),
            "power_measured": now.measured.astype(np.float64),
            "why": self._why.astype(np.float64),
            "verdict": now.proven.verdict.astype(np.float64),
            "proof_source": now.proven.source.astype(np.float64),
            "verdict_since_s": np.round(now.proven.verdict_since_s),
        }
        proven, others = now.proven, {"chip_c": _known(heard, now.state), "credit": view.credit}
        others |= {"delivered": proven.ratio, "delivered_low": proven.low, "delivered_high": proven.high}
        numbers = {name: getattr(now, name) for name in _DIGITS if name not in others}
        for name, column in {**numbers, **others}.items():
            self.columns[name] = np.round(column, _DIGITS[name])

    def written(self, rows: Ints) -> list[bytes]:
        """Some machines' states as JSON (see `MachineState`)."""
        cells = {name: column[rows].tolist() for name, column in self.columns.items()}
        heard_s, at_s = self._heard_s[rows].tolist(), self.record.snapshot.at_s
        written = []
        for i, row in enumerate(rows.tolist()):
            machine, why, waits = self._judgment.roster.machines[row], int(cells["why"][i]), int(cells["waits_for"][i])
            shown: dict[str, Any] = {
                "machine": machine.id,
                "place": "/".join(machine.place),
                "model": machine.model,
                "at_s": at_s,
                "last_reading_s": round(heard_s[i], 1) if isfinite(heard_s[i]) else None,
                "state": STATES[int(cells["state"][i])],
                "operating_point": _point(machine, int(cells["operating_point"][i])),
                "decided": _point(machine, int(cells["decided"][i])),
                "why": self._reasons[why] if why >= 0 else "",
                "waits_for": WAITS[waits] if waits >= 0 else None,
                "power_measured": bool(cells["power_measured"][i]),
            }
            source, since_s = int(cells["proof_source"][i]), cells["verdict_since_s"][i]
            shown["verdict"] = VERDICTS[int(cells["verdict"][i])]
            shown["verdict_since_s"] = since_s if isfinite(since_s) else None
            shown["proof_source"] = SOURCES[source] if source >= 0 else None
            for name in _DIGITS:
                shown[name] = cells[name][i] if isfinite(cells[name][i]) else None
            written.append(_ENCODER.encode(shown).encode())
        return written


def _known(heard: Heard, state: Any) -> Floats:
    """Chip temperatures of the machines that are not silent."""
    return np.where(state == STATES.index("silent"), np.nan, heard.chip_c)


def _point(machine: Machine, column: int) -> str | None:
    """An operating point's name."""
    return "off ladder" if column == OFF_LADDER else machine.modes[column].name if column >= 0 else None


class Told:
    """What a broker was told of each machine, and when; so that only what changed is told, and not too often."""

    def __init__(self, n: int) -> None:
        self._told_s = np.full(n, -np.inf)
        self._columns: dict[str, Floats] = {}

    def due(self, states: MachineStates, now_s: float, period_s: float, again_s: float) -> Ints:
        """Rows to tell now, those that wait for nothing first, then by how long ago they were told.

        Changed ones are due `period_s` after they were told last, and at once where their state, operating point or
        decision changed; the others after `again_s`.
        """
        since_s = now_s - self._told_s
        at_once, changed = np.isinf(self._told_s), np.isinf(self._told_s)
        for name, told in self._columns.items():
            column = states.columns[name]
            differs = (column != told) & ~(np.isnan(column) & np.isnan(told))
            changed |= differs
            if name in _AT_ONCE:
                at_once |= differs
        due = np.flatnonzero(at_once | (changed & (since_s >= period_s)) | (since_s >= again_s))
        return due[np.lexsort((self._told_s[due], ~at_once[due]))]

    def note(self, states: MachineStates, rows: Ints, now_s: float) -> None:
        """These rows were told."""
        if not self._columns:
            self._columns = {name: np.full(len(self._told_s), np.nan) for name in states.columns}
        for name, told in self._columns.items():
            told[rows] = states.columns[name][rows]
        self._told_s[rows] = now_s
