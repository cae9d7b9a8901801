"""The site's metric families: its sums, its signals, and the daemon's own work; small enough for the library to write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from policies.site_sums import SiteSums

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_GAUGES = (
    ("power_watts", "power_w", "What the machines that are known draw now."),
    ("power_measured_watts", "power_measured_w", "The part of it that machines measured."),
    ("worst_case_watts", "worst_w", "What the site may draw at most, as the caps count it."),
    ("power_decided_watts", "decided_power_w", "What the site draws at the operating points that were decided."),
    ("curtailed_watts", "curtailed_w", "What usual operating points would draw beyond the present ones."),
    ("hashrate_terahashes_per_second", "hashrate_ths", "Of the machines that are known."),
    ("hashrate_decided_terahashes_per_second", "decided_hashrate_ths", "At the operating points that were decided."),
    ("hashprice_usd_per_petahash_day", "hashprice_usd_phs_day", "After the pool's fee."),
    ("power_price_usd_per_megawatt_hour", "power_usd_mwh", "At the site's meter, adders included."),
    ("revenue_usd_per_hour", "revenue_usd_h", "At the present hash rate and hashprice."),
    ("power_cost_usd_per_hour", "cost_usd_h", "With the site's overhead."),
    ("margin_usd_per_hour", "margin_usd_h", "Revenue less energy."),
    ("efficiency_joules_per_terahash", "efficiency_j_th", "Of the machines that are known."),
    (
        "break_even_usd_per_megawatt_hour",
        "break_even_usd_mwh",
        "Power price at the meter at which the site earns nothing.",
    ),
    ("earned_usd", "earned_usd", "As the machines ran, since the tally began; may fall."),
    ("decided_earned_usd", "decided_usd", "As was decided, since the tally began: what a dry run would have earned."),
    ("machines", "machines", "In the roster."),
    ("machines_live", "machines_live", "Under live control."),
    ("machines_pending", "machines_pending", "With a command that no reading has confirmed yet."),
    ("machines_held", "machines_held", "Changed by somebody else, and left so."),
    ("machines_quarantined", "machines_quarantined", "Left alone after repeated failure."),
    ("dry_run", "dry_run", "1 while no machine is under live control."),
    ("tick_seconds", "tick_s", "What the last tick took."),
    ("tick_timestamp_seconds", "at_s", "When the last tick was, on the site's clock."),
)


class SiteFamilies:
    """A collector for the library's registry; `sums` and `internals` are what it renders next."""

    def __init__(self) -> None:
        self.sums: SiteSums | None = None
        self.internals: Mapping[str, Any] = {}

    def collect(self) -> Iterator[Metric]:
        """Every family, for the registry."""
        from prometheus_client.core import GaugeMetricFamily

        if self.sums is None:
            return
        for name, field, meaning in _GAUGES:
            value = getattr(self.sums, field)
            if value is not None:
                yield GaugeMetricFamily(f"hashwatt_site_{name}", meaning, value=float(value))
        yield _labelled(
            "hashwatt_site_machines_by_state", "Machines in each state.", "state", self.sums.machines_by_state
        )
        yield _labelled(
            "hashwatt_site_curtailed_by_reason_watts",
            "Machines asleep by our command, by its reason.",
            "reason",
            self.sums.curtailed_w_by_reason,
        )
        yield _labelled(
            "hashwatt_site_held_back",
            "Machines whose change waits, by what it waits for.",
            "reason",
            self.sums.held_back,
        )
        yield _labelled(
            "hashwatt_signal_age_seconds", "Age of each signal's freshest source.", "signal", self.sums.signal_age_s
        )
        yield _labelled(
            "hashwatt_signal_missing",
            "1 for each signal that a decision lacks.",
            "signal",
            dict.fromkeys(self.sums.missing, 1.0),
        )
        yield from self._places()
        yield from self._work()

    def _places(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        assert self.sums is not None
        told = (
            ("power_watts", "power_w", "What is known to be drawn below the place."),
            ("worst_case_watts", "worst_w", "What may be drawn there at most."),
            ("cap_watts", "cap_w", "The cap in force."),
            ("cap_shadow_price_usd_per_megawatt_hour", "shadow_usd_mwh", "What one more MWh of cap would earn there."),
            ("overloaded", "overloaded", "1 where the cap cannot be met even with all at their least."),
        )
        for name, field, meaning in told:
            family = GaugeMetricFamily(f"hashwatt_place_{name}", meaning, labels=["place"])
            for place in self.sums.places:
                value = getattr(place, field)
                if value is not None:
                    family.add_metric([place.place or "site"], float(value))
            yield family

    def _work(self) -> Iterator[Metric]:
        """The daemon's own work: looks, outcomes, feeds, events."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        polls = self.internals.get("polls")
        if polls is not None:
            looks = CounterMetricFamily("hashwatt_looks", "Looks at machines.", labels=["depth", "outcome"])
            for (depth, outcome), count in polls.looks.items():
                looks.add_metric([depth, outcome], count)
            yield looks
            yield CounterMetricFamily("hashwatt_look_seconds", "Time spent in looks, real time.", value=polls.seconds)
            yield CounterMetricFamily(
                "hashwatt_looks_missed", "Looks that began a period late, or not at all.", value=polls.missed
            )
        yield _counted(
            "hashwatt_outcomes", "Commands by what became of them.", "kind", self.internals.get("outcomes", {})
        )
        yield _counted("hashwatt_events", "Events by kind.", "kind", self.internals.get("events", {}))
        yield GaugeMetricFamily(
            "hashwatt_commands_writing", "Commands on their way.", value=self.internals.get("writing", 0)
        )
        yield CounterMetricFamily(
            "hashwatt_commands_accepted", "Writes that machines accepted.", value=self.internals.get("accepted", 0)
        )
        yield CounterMetricFamily(
            "hashwatt_journal_failures",
            "Records that could not be kept.",
            value=self.internals.get("journal_failures", 0),
        )
        yield CounterMetricFamily(
            "hashwatt_ticks", "Ticks since the journal began.", value=self.sums.number if self.sums else 0
        )
        feeds = GaugeMetricFamily(
            "hashwatt_feed_up", "1 where a feed's last look gave all that it should.", labels=["feed"]
        )
        for state in self.internals.get("feeds", ()):
            feeds.add_metric([state.source], float(state.ok))
        yield feeds


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
