"""The site's metric families: its sums, its signals, and the daemon's own work; small enough for the library to write.

Everything of the site comes from one record. What the daemon counts beside its records (looks, outcomes, events) comes as
`Internals`, a frozen copy made on the loop, because this is rendered in a thread beside it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from controllers.observe import LOOK_BUCKETS_S
from controllers.publish.tap_families import tap_families
from fleet.command import OutcomeKind
from fleet.order import OrderKind, Rank
from policies.plan import WAITS
from policies.record import Record
from policies.site_sums import SiteSums
from policies.tick import Judgment

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

TICK_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_GAUGES = (
    ("power_watts", "power_w", "What the machines that are known draw now."),
    ("power_measured_watts", "power_measured_w", "The part of it that machines measured."),
    ("worst_case_watts", "worst_w", "What the site may draw at most, as the caps count it."),
    ("power_decided_watts", "decided_power_w", "What the site draws at the operating points that were decided."),
    ("curtailed_watts", "curtailed_w", "What usual operating points would draw beyond the present ones."),
    ("hashrate_terahashes_per_second", "hashrate_ths", "Hash rate of the machines that are known, as they claim it."),
    (
        "hashrate_credited_terahashes_per_second",
        "hashrate_credited_ths",
        "The part of it that shares leave the machines: what they are valued at.",
    ),
    (
        "delivered_ratio",
        "delivered",
        "Hash rate that shares prove, over the one claimed, of the machines that are counted.",
    ),
    (
        "hashrate_decided_terahashes_per_second",
        "decided_hashrate_ths",
        "Hash rate at the operating points that were decided.",
    ),
    ("hashprice_usd_per_petahash_day", "hashprice_usd_phs_day", "What a PH/s earns in a day, after the pool's fee."),
    ("power_price_usd_per_megawatt_hour", "power_usd_mwh", "Price of power at the site's meter, adders included."),
    ("revenue_usd_per_hour", "revenue_usd_h", "Revenue at the present hash rate and hashprice."),
    ("power_cost_usd_per_hour", "cost_usd_h", "What power costs at present, with the site's overhead."),
    ("margin_usd_per_hour", "margin_usd_h", "Revenue less energy."),
    ("efficiency_joules_per_terahash", "efficiency_j_th", "Power over hash rate of the machines that are known."),
    (
        "break_even_usd_per_megawatt_hour",
        "break_even_usd_mwh",
        "Power price at the meter at which the site earns nothing.",
    ),
    ("earned_usd", "earned_usd", "Margin as the machines ran, since the tally began; may fall."),
    (
        "decided_earned_usd",
        "decided_usd",
        "Margin as was decided, since the tally began: what a dry run would have earned.",
    ),
    ("machines", "machines", "Machines in the roster."),
    ("machines_live", "machines_live", "Machines under live control."),
    ("machines_pending", "machines_pending", "Machines with a command that no reading has confirmed yet."),
    ("machines_held", "machines_held", "Machines changed by somebody else, and left so."),
    ("machines_quarantined", "machines_quarantined", "Machines left alone after repeated failure."),
    ("dry_run", "dry_run", "1 while no machine is under live control."),
    ("tick_timestamp_seconds", "at_s", "When the last tick was, on the site's clock."),
)
_PLACE_GAUGES = (
    ("power_watts", "power_w", "What is known to be drawn below the place."),
    ("worst_case_watts", "worst_w", "What may be drawn there at most."),
    ("cap_watts", "cap_w", "The cap in force."),
    ("cap_shadow_price_usd_per_megawatt_hour", "shadow_usd_mwh", "What one more MWh of cap would earn there."),
    ("overloaded", "overloaded", "1 where the cap cannot be met even with all at their least."),
    ("machines", "machines", "Machines in the roster."),
    (
        "verified_efficiency_joules_per_terahash",
        "verified_j_th",
        "Measured power over proven hashes: by the place's meter, or by the machines that measure theirs.",
    ),
    ("verified_efficiency_low_joules_per_terahash", "verified_j_th_low", "Its 95 % interval's lower end."),
    ("verified_efficiency_high_joules_per_terahash", "verified_j_th_high", "Its 95 % interval's upper end."),
)


@dataclass(frozen=True, slots=True)
class Internals:
    """What the daemon counts beside its records, copied at one moment."""

    looks: Mapping[tuple[str, str], int]
    look_buckets: tuple[int, ...]
    look_s: float
    looks_missed: int
    look_latest_s: float
    outcomes: Mapping[str, int]
    events: Mapping[str, int]
    feeds: Mapping[str, bool]
    writing: int
    accepted: int
    journal_failures: int
    lease_held: bool
    has_tap: bool
    tap: Mapping[str, Any] | None
    """Its status; None while it does not answer."""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Internals:
        """A copy of what `Daemon.internals` tells."""
        polls = told["polls"]
        return cls(
            looks=dict(polls.looks),
            look_buckets=tuple(polls.within),
            look_s=polls.seconds,
            looks_missed=polls.missed,
            look_latest_s=polls.late_most_s,
            outcomes=dict(told["outcomes"]),
            events=dict(told["events"]),
            feeds={state.source: state.ok for state in told["feeds"]},
            writing=told["writing"],
            accepted=told["accepted"],
            journal_failures=told["journal_failures"],
            lease_held=told["lease_held"],
            has_tap=told["has_tap"],
            tap=told["tap"],
        )


@dataclass(slots=True)
class Ticks:
    """How long the ticks since the start took."""

    within: list[int] = field(default_factory=lambda: [0] * (len(TICK_BUCKETS_S) + 1))
    seconds: float = 0.0

    def add(self, took_s: float) -> None:
        """One more."""
        self.within[bisect_left(TICK_BUCKETS_S, took_s)] += 1
        self.seconds += took_s


@dataclass(frozen=True, slots=True)
class Rendering:
    """What one rendering shows."""

    judgment: Judgment
    record: Record
    sums: SiteSums
    internals: Internals
    ticks: Ticks


class SiteFamilies:
    """A collector for the library's registry; `shown` is what it renders next."""

    def __init__(self) -> None:
        self.shown: Rendering | None = None

    def collect(self) -> Iterator[Metric]:
        """Every family, for the registry."""
        if self.shown is not None:
            yield from _sums(self.shown.sums)
            yield from _reasons(self.shown)
            yield from _places(self.shown.sums)
            yield from _signals(self.shown)
            yield from _people(self.shown)
            yield from _work(self.shown)
            yield from tap_families(self.shown.internals.tap, there=self.shown.internals.has_tap)


def _sums(sums: SiteSums) -> Iterator[Metric]:
    """The site's sums."""
    from prometheus_client.core import GaugeMetricFamily

    for name, field_name, meaning in _GAUGES:
        value = getattr(sums, field_name)
        if value is not None:
            yield GaugeMetricFamily(f"hashwatt_site_{name}", meaning, value=float(value))
    yield GaugeMetricFamily(
        "hashwatt_site_policy_faults", "Our own bugs that the last tick survived.", len(sums.faults)
    )
    yield _labelled("hashwatt_site_machines_by_state", "Machines in each state.", "state", sums.machines_by_state)


def _reasons(shown: Rendering) -> Iterator[Metric]:
    """What reasons took, every reason named, so that a course over time has no holes."""
    sums = shown.sums
    asleep = {"": 0.0, **dict.fromkeys(shown.record.decision.choices.reasons, 0.0), **sums.curtailed_w_by_reason}
    yield _labelled(
        "hashwatt_site_curtailed_by_reason_watts",
        "The part of it that is machines asleep, by the reason of the command that put them there.",
        "reason",
        asleep,
    )
    yield _labelled(
        "hashwatt_site_held_back",
        "Machines whose change waits, by what it waits for.",
        "reason",
        {**dict.fromkeys(WAITS, 0.0), **sums.held_back},
    )


def _places(sums: SiteSums) -> Iterator[Metric]:
    """Every place of the site's tree."""
    from prometheus_client.core import GaugeMetricFamily

    for name, field_name, meaning in _PLACE_GAUGES:
        family = GaugeMetricFamily(f"hashwatt_place_{name}", meaning, labels=["place"])
        for place in sums.places:
            value = getattr(place, field_name)
            if value is not None:
                family.add_metric([place.place or "site"], float(value))
        yield family


def _signals(shown: Rendering) -> Iterator[Metric]:
    """Ages of what decisions stand on: market, feeds, meters."""
    from prometheus_client.core import GaugeMetricFamily

    sums, snapshot = shown.sums, shown.record.snapshot
    yield _labelled("hashwatt_signal_age_seconds", "Age of each signal's freshest source.", "signal", sums.signal_age_s)
    known = {**dict.fromkeys(sums.signal_age_s, 0.0), **dict.fromkeys(sums.missing, 1.0)}
    yield _labelled("hashwatt_signal_missing", "1 where a decision lacks the signal.", "signal", known)
    yield _labelled(
        "hashwatt_feed_up",
        "1 where a feed's last look gave all that it should.",
        "feed",
        shown.internals.feeds,
    )
    ages = GaugeMetricFamily("hashwatt_meter_age_seconds", "Since a meter was heard.", labels=["place", "meter"])
    powers = GaugeMetricFamily("hashwatt_meter_power_watts", "What a meter says of a place.", labels=["place", "meter"])
    for meter in snapshot.meters:
        ages.add_metric([meter.place or "site", meter.source], snapshot.at_s - meter.heard_s)
        powers.add_metric([meter.place or "site", meter.source], meter.power_w)
    yield from (ages, powers)


def _people(shown: Rendering) -> Iterator[Metric]:
    """Orders in force, and what the share checks found."""
    from prometheus_client.core import GaugeMetricFamily

    orders = GaugeMetricFamily("hashwatt_site_orders", "Orders in force.", labels=["kind", "rank"])
    counts = Counter((order.kind, order.rank) for order in shown.judgment.in_force(shown.record.snapshot))
    for kind in OrderKind:
        for rank in Rank:
            orders.add_metric([kind.value, rank.value], counts[kind, rank])
    yield orders
    yield _labelled(
        "hashwatt_site_machines_by_verdict",
        "Machines by what the running test of their shares says.",
        "verdict",
        shown.sums.machines_by_verdict,
    )
    yield _labelled(
        "hashwatt_site_machines_by_source",
        "Machines by the strongest source that counts their shares.",
        "source",
        shown.sums.machines_by_source,
    )


def _work(shown: Rendering) -> Iterator[Metric]:
    """The daemon's own work: ticks, looks, outcomes, events."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    internals = shown.internals
    yield CounterMetricFamily("hashwatt_ticks", "Ticks since the journal began.", value=shown.sums.number)
    yield _histogram(
        "hashwatt_tick_duration_seconds",
        "What a tick took, since the start.",
        TICK_BUCKETS_S,
        shown.ticks.within,
        shown.ticks.seconds,
    )
    yield _histogram(
        "hashwatt_look_duration_seconds",
        "What a look at a machine took, real time.",
        LOOK_BUCKETS_S,
        internals.look_buckets,
        internals.look_s,
    )
    looks = CounterMetricFamily("hashwatt_looks", "Looks at machines.", labels=["depth", "outcome"])
    for (depth, outcome), count in internals.looks.items():
        looks.add_metric([depth, outcome], count)
    yield looks
    for name, meaning, value in (
        ("looks_missed", "Looks that began a period late, or not at all.", internals.looks_missed),
        ("commands_accepted", "Writes that machines accepted.", internals.accepted),
        ("journal_failures", "Records that could not be kept.", internals.journal_failures),
    ):
        yield CounterMetricFamily(f"hashwatt_{name}", meaning, value=value)
    for name, meaning, number in (
        ("look_lateness_seconds", "The latest that a look began, since the start.", internals.look_latest_s),
        ("commands_writing", "Commands on their way.", internals.writing),
        (
            "lease_held",
            "1 while this daemon holds the site's lease, without which it commands nothing.",
            internals.lease_held,
        ),
    ):
        yield GaugeMetricFamily(f"hashwatt_{name}", meaning, value=float(number))
    every = {kind.name.lower(): 0 for kind in OutcomeKind}
    yield _counted("hashwatt_outcomes", "Commands by what became of them.", "kind", {**every, **internals.outcomes})
    yield _counted("hashwatt_events", "Events by kind.", "kind", internals.events)


def _histogram(name: str, meaning: str, edges: Sequence[float], within: Sequence[int], total: float) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    sums = [int(count) for count in np.cumsum(within)]
    buckets = [(str(edge), count) for edge, count in zip((*edges, "+Inf"), sums, strict=True)]
    return HistogramMetricFamily(name, meaning, buckets=buckets, sum_value=total)


def _labelled(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([key or "not by hashwatt"], float(value))
    return family


def _counted(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(name, meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([key], float(value))
    return family
