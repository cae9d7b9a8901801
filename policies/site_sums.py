"""What a record adds up to: per machine, per place, and for the site.

Status, metrics and MQTT all show these sums and nothing of their own, so they cannot drift apart. What a machine draws and
hashes now is its own last reading while that is no older than `[beliefs] silent_after_s`; beyond that it is not known, and
counted as a machine that is not known, never as zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fleet.columns import UNKNOWN, Bools, Codes, Floats, freeze_columns
from fleet.command import OutcomeKind
from fleet.estimate import silent
from fleet.machine import SLEEP
from fleet.reading import State
from fleet.work.proof.proven import Efficiency, Proven, best, efficiency
from policies.economics import at_the_meter, break_even_usd_mwh, cost_usd_h, revenue_usd_h
from policies.orders import held_by_hand, node_caps_w
from policies.proof import SOURCES, VERDICTS
from policies.record import Record
from policies.shown import Shown
from policies.tick import Judgment
from policies.verified import Verified, asleep, verified

SILENT = "silent"
"""The state shown for a machine that gave no reading for `silent_after_s`, or never one."""
STATES = (*(state.name.lower() for state in State), SILENT)


@dataclass(frozen=True, eq=False)
class MachineColumns:
    """What each machine does now, one row per machine; NaN is "not known".

    `state[n]` indexes STATES. `power_w` is measured where `measured`, else the operating point's nameplate as calibrated.
    `earns_usd_h` is revenue less energy at the present power and hash rate, `break_even_usd_mwh` the power price at the
    site's meter at which it earns nothing, `curtailed_w` what its usual operating point would draw beyond the present one.
    `proven` is what the shares say of each machine's claim, `proven_j_th` its J/TH of proven hashes, with its interval;
    `credited_ths` is the part of its hash rate that they leave it, and what it earns and breaks even at is of that.
    """

    state: Codes
    power_w: Floats
    measured: Bools
    hashrate_ths: Floats
    credited_ths: Floats
    efficiency_j_th: Floats
    earns_usd_h: Floats
    break_even_usd_mwh: Floats
    curtailed_w: Floats
    proven: Proven
    proven_j_th: Floats
    proven_j_th_low: Floats
    proven_j_th_high: Floats

    def __post_init__(self) -> None:
        """Read-only."""
        freeze_columns(self)


class PlaceSums(Shown):
    """One place of the site and everything below it."""

    place: str
    """Its path; "" is the site."""
    machines: int
    power_w: float
    """What the machines that are known draw now."""
    worst_w: float
    """What they may draw at most, as the caps count it."""
    cap_w: float | None
    """The cap in force (the site file's, lowered by orders); None: none."""
    shadow_usd_mwh: float
    """What one more MWh of cap here would earn."""
    overloaded: bool
    """The cap cannot be met even with every machine here at the least it may draw."""
    verified: Verified | None
    """Its J/TH by measured power and proven hashes; None: no power is measured, or no shares are counted."""

    @property
    def verified_j_th(self) -> float | None:
        """The J/TH alone, for metrics."""
        return None if self.verified is None else self.verified.j_th

    @property
    def verified_j_th_low(self) -> float | None:
        """Its interval's lower end."""
        return None if self.verified is None else self.verified.low

    @property
    def verified_j_th_high(self) -> float | None:
        """Its interval's upper end."""
        return None if self.verified is None else self.verified.high


class SiteSums(Shown):
    """The site's sums at one tick. Rates and powers are those of the machines that are known."""

    at_s: float
    """The tick's time, UTC seconds."""
    number: int
    """The tick's number."""
    dry_run: bool
    """No machine is under live control."""
    machines: int
    machines_live: int
    machines_by_state: Mapping[str, int]
    """hashing, starting, sleeping, faulted, unknown (it says so), silent (no answer)."""
    machines_pending: int
    """With a command that no reading has confirmed yet."""
    machines_held: int
    """Changed by somebody else, and left so."""
    machines_by_verdict: Mapping[str, int]
    """untested, honest, short: what their shares say of the hash rate that they claim."""
    machines_by_source: Mapping[str, int]
    """Machines whose shares are counted, by the strongest source that says something: counters, pool, tap."""
    machines_quarantined: int
    """Left alone after repeated failure."""
    hashrate_ths: float
    """As the machines claim it."""
    hashrate_credited_ths: float
    """The part of it that their shares leave them: what they are valued at."""
    delivered: float | None
    """Delivered over claimed, of the machines that hash now and whose shares are counted, each weighed with its claim."""
    power_w: float
    power_measured_w: float
    """The part of `power_w` that machines measured; the rest is nameplate as calibrated."""
    worst_w: float
    """What the site may draw at most, as the caps count it."""
    decided_power_w: float
    """What the site draws at the operating points that were decided."""
    decided_hashrate_ths: float
    curtailed_w: float
    """What machines would draw at their usual operating points beyond what they draw at their present ones."""
    curtailed_w_by_reason: Mapping[str, float]
    """The part of `curtailed_w` that is machines asleep, by the reason of the command that put them there; "" is not us."""
    hashprice_usd_phs_day: float | None
    """After the pool's fee."""
    power_usd_mwh: float | None
    """At the site's meter."""
    revenue_usd_h: float | None
    """Of the credited hash rate."""
    cost_usd_h: float | None
    """With the site's overhead."""
    margin_usd_h: float | None
    """Revenue less energy."""
    efficiency_j_th: float | None
    break_even_usd_mwh: float | None
    """The power price at the meter at which the site as it runs earns nothing."""
    missing: tuple[str, ...]
    """Signals that are not known, or too old."""
    signal_age_s: Mapping[str, float]
    """Age of each signal's freshest source."""
    commands: int
    """Sent or (dry) decided in this tick."""
    commands_live: int
    commands_urgent: int
    outcomes: Mapping[str, int]
    """Outcomes heard in this tick, by kind."""
    held_back: Mapping[str, int]
    """Machines whose change waits, by what it waits for."""
    faults: tuple[str, ...]
    """Our own bugs that the tick survived."""
    earned_usd: float
    """As the machines ran, since `tally_since_s`."""
    decided_usd: float
    """As was decided: what a dry run would have earned."""
    tally_since_s: float
    tick_s: float
    """How long the tick took, real time."""
    places: tuple[PlaceSums, ...]


def machine_columns(judgment: Judgment, record: Record) -> MachineColumns:
    """What each machine does now."""
    roster, view, heard = judgment.roster, record.view, record.snapshot.heard
    rows, known = np.arange(len(roster)), ~silent(view, judgment.beliefs)
    mode = np.maximum(view.mode, SLEEP)
    plate = np.where(view.mode >= 0, roster.modes.power_w[rows, mode], np.nan)
    measured = known & heard.measured & ~np.isnan(heard.power_w)
    power_w = np.where(measured, heard.power_w, np.where(known, plate * view.power_scale, np.nan))
    hashrate = np.where(known, heard.hashrate_ths, np.nan)
    credited = hashrate * view.credit
    hashprice, price = record.decision.prices.hashprice_usd_phs_day, record.decision.prices.power_usd_mwh
    with np.errstate(divide="ignore", invalid="ignore"):
        efficiency = np.where(hashrate > 0, power_w / hashrate, np.nan)
    earns = break_even = np.full(len(roster), np.nan)
    if hashprice is not None:
        zero_if_asleep = np.where(np.isnan(credited) & (view.mode == SLEEP) & known, 0.0, credited)
        break_even = at_the_meter(break_even_usd_mwh(power_w, credited, hashprice), judgment.economics.overhead)
        break_even = np.where(hashrate > 0, break_even, np.nan)
        if price is not None:
            earns = revenue_usd_h(zero_if_asleep, hashprice) - cost_usd_h(power_w, price)
    proven = best(view.evidences)
    verified_j_th = _verified_j_th(judgment, record, proven)
    usual_w = roster.modes.power_w[rows, roster.usual]
    curtailed = np.where((view.mode >= 0) & (view.mode < roster.usual), usual_w - plate, 0.0)
    state = np.where(known, view.state - int(State.UNKNOWN), len(STATES) - 1).astype(np.int16)
    return MachineColumns(
        state=state,
        power_w=power_w,
        measured=measured,
        hashrate_ths=hashrate,
        credited_ths=credited,
        efficiency_j_th=efficiency,
        earns_usd_h=earns,
        break_even_usd_mwh=break_even,
        curtailed_w=curtailed,
        proven=proven,
        proven_j_th=verified_j_th.j_th,
        proven_j_th_low=verified_j_th.low,
        proven_j_th_high=verified_j_th.high,
    )


def _verified_j_th(judgment: Judgment, record: Record, proven: Proven) -> Efficiency:
    """J/TH of proven hashes, by the source that speaks of each machine."""
    columns = {name: np.full(len(proven), np.nan) for name in ("j_th", "low", "high")}
    for source, evidence in record.view.evidences.items():
        speaks = proven.source == source
        if speaks.any():
            found = efficiency(evidence, judgment.beliefs.meter_error)
            columns = {name: np.where(speaks, getattr(found, name), column) for name, column in columns.items()}
    return Efficiency(**columns)


def site_sums(judgment: Judgment, record: Record, columns: MachineColumns | None = None) -> SiteSums:
    """The site's sums; `columns` are the record's machine columns where the caller has them already."""
    roster, view, decision = judgment.roster, record.view, record.decision
    now = machine_columns(judgment, record) if columns is None else columns
    power_w, rate = float(np.nansum(now.power_w)), float(np.nansum(now.hashrate_ths))
    credited = float(np.nansum(now.credited_ths))
    hashprice, price = decision.prices.hashprice_usd_phs_day, decision.prices.power_usd_mwh
    revenue = None if hashprice is None else revenue_usd_h(credited, hashprice)
    cost = None if price is None else cost_usd_h(power_w, price)
    both = None if revenue is None or cost is None else revenue - cost
    overhead = judgment.economics.overhead
    even = None if revenue is None or power_w <= 0 or credited <= 0 else at_the_meter(revenue / power_w * 1e6, overhead)
    target = decision.choices.target
    chosen = view.standing if target is None else target
    rows, chosen = np.flatnonzero(chosen >= 0), chosen[chosen >= 0]
    tally = view.tally
    return SiteSums(
        at_s=record.snapshot.at_s,
        number=record.number,
        dry_run=not judgment.is_live.any(),
        machines=len(roster),
        machines_live=int(judgment.is_live.sum()),
        machines_by_state=_by_state(now),
        machines_pending=int((view.wanted != UNKNOWN).sum()),
        machines_held=int(held_by_hand(view, judgment.beliefs.hand_s).sum()),
        machines_by_verdict=_by_verdict(now),
        machines_by_source=_by_source(now),
        machines_quarantined=int(quarantined(judgment, record).sum()),
        hashrate_ths=rate,
        hashrate_credited_ths=credited,
        delivered=_delivered(now),
        power_w=power_w,
        power_measured_w=float(now.power_w[now.measured].sum()),
        worst_w=float(view.worst_w.sum()),
        decided_power_w=float((roster.modes.power_w[rows, chosen] * view.power_scale[rows]).sum()),
        decided_hashrate_ths=float((roster.modes.hashrate_ths[rows, chosen] * view.valued_scale[rows]).sum()),
        curtailed_w=float(now.curtailed_w.sum()),
        curtailed_w_by_reason=_curtailed_by_reason(record, now),
        hashprice_usd_phs_day=hashprice,
        power_usd_mwh=None if price is None else at_the_meter(price, overhead),
        revenue_usd_h=revenue,
        cost_usd_h=cost,
        margin_usd_h=both,
        efficiency_j_th=power_w / rate if rate > 0 else None,
        break_even_usd_mwh=even,
        missing=decision.prices.missing,
        signal_age_s=_signal_ages(record),
        commands=len(decision.commands),
        commands_live=int(decision.commands.live.sum()),
        commands_urgent=int(decision.commands.urgent.sum()),
        outcomes=_outcomes(record),
        held_back=dict(decision.held_back),
        faults=decision.faults,
        earned_usd=tally.actual_usd,
        decided_usd=tally.decided_usd,
        tally_since_s=tally.since_s,
        tick_s=record.tick_s,
        places=_places(judgment, record, now),
    )


def quarantined(judgment: Judgment, record: Record) -> Bools:
    """quarantined[n]: failed so often in a row that it is left alone for now."""
    view = record.view
    return (view.failures >= judgment.beliefs.quarantine_after) & (view.at_s < view.retry_s)


def _by_verdict(now: MachineColumns) -> dict[str, int]:
    """Machines by verdict, those that none has included."""
    counts = np.bincount(now.proven.verdict, minlength=len(VERDICTS))
    return {name: int(count) for name, count in zip(VERDICTS, counts, strict=True)}


def _by_source(now: MachineColumns) -> dict[str, int]:
    """Machines by the source that speaks of them; those that none speaks of are left out."""
    counts = np.bincount(now.proven.source[now.proven.source != UNKNOWN], minlength=len(SOURCES))
    return {name: int(count) for name, count in zip(SOURCES, counts, strict=True)}


def _delivered(now: MachineColumns) -> float | None:
    """Delivered over claimed of the whole site."""
    counts = (now.hashrate_ths > 0) & np.isfinite(now.proven.ratio)
    claimed = float(now.hashrate_ths[counts].sum())
    return float((now.hashrate_ths * now.proven.ratio)[counts].sum()) / claimed if claimed > 0 else None


def _by_state(now: MachineColumns) -> dict[str, int]:
    """Machines in each of STATES, those without any included."""
    counts = np.bincount(now.state, minlength=len(STATES))
    return {name: int(count) for name, count in zip(STATES, counts, strict=True)}


def _curtailed_by_reason(record: Record, now: MachineColumns) -> dict[str, float]:
    """W of the machines asleep, by the reason of our command."""
    reasons, view = record.decision.choices.reasons, record.view
    asleep = np.flatnonzero(view.mode == SLEEP)
    watts = np.bincount(view.asleep_why[asleep] + 1, weights=now.curtailed_w[asleep], minlength=len(reasons) + 1)
    return {name: float(w) for name, w in zip(("", *reasons), watts, strict=True) if w > 0}


def _signal_ages(record: Record) -> dict[str, float]:
    """Age of each quantity's freshest source."""
    at_s, signals = record.snapshot.at_s, record.snapshot.market.signals
    return {quantity.value: min(s.age_s(at_s) for s in those) for quantity, those in signals.items() if those}


def _outcomes(record: Record) -> dict[str, int]:
    """Outcomes by kind, every kind named."""
    counts = np.bincount(record.snapshot.outcomes.kind, minlength=len(OutcomeKind))
    return {kind.name.lower(): int(counts[kind]) for kind in OutcomeKind}


def _places(judgment: Judgment, record: Record, now: MachineColumns) -> tuple[PlaceSums, ...]:
    """Every place of the tree, parents first."""
    tree, leaf, choices = judgment.roster.tree, judgment.roster.leaf, record.decision.choices
    orders = judgment.in_force(record.snapshot)
    caps = node_caps_w(orders, judgment.roster)
    machines = tree.totals(leaf, np.ones(len(leaf)))
    power, worst = tree.totals(leaf, np.nan_to_num(now.power_w)), tree.totals(leaf, record.view.worst_w)
    nothing = np.zeros(len(tree.names))
    shadow = nothing if choices.shadow_usd_mwh is None else choices.shadow_usd_mwh
    overloaded = nothing if choices.overloaded is None else choices.overloaded
    sleeping = asleep(record, now.state != STATES.index(SILENT))
    efficiencies = verified(judgment, record, now.proven, now.hashrate_ths, sleeping)
    return tuple(
        PlaceSums(
            place=name,
            machines=int(machines[m]),
            power_w=float(power[m]),
            worst_w=float(worst[m]),
            cap_w=float(caps[m]) if np.isfinite(caps[m]) else None,
            shadow_usd_mwh=float(shadow[m]),
            overloaded=bool(overloaded[m]),
            verified=efficiencies[m],
        )
        for m, name in enumerate(tree.names)
    )
