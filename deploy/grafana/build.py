"""Writes hashwatt.json, the dashboard of the operator on shift: `python deploy/grafana/build.py` (`--check` only compares).

Every panel is a title and its queries; the queries use the families of docs/metrics.md and are run on a real Prometheus in
the tests. `$instance` is one daemon, as the scrape configuration names it, `$place` a part of its site. What is shown of
now is asked for now, so that a value that is not known any more is not shown.
"""
# ruff: noqa: INP001 - a script beside what it writes

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueColorMode,
    BigValueGraphMode,
    DataSourceRef,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataTransformerConfig,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PATH = Path(__file__).parent / "hashwatt.json"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
ONE = '{instance="$instance"}'
BELOW = '{instance="$instance", place=~"($place)(/.*)?"}'
Queries: TypeAlias = Mapping[str, str]
"""Query by its legend."""


def site(name: str, **labels: str) -> str:
    """One of the site's families, of the daemon that is looked at."""
    more = "".join(f', {key}="{value}"' for key, value in labels.items())
    return f'hashwatt_site_{name}{{instance="$instance"{more}}}'


def queries(panel: Any, said: Queries, *, now: bool = False) -> Any:
    """Add a panel's queries: over time, or of now alone."""
    for index, (legend, expr) in enumerate(said.items()):
        query = prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(chr(ord("A") + index)).datasource(SOURCE)
        panel.with_target(query.instant() if now else query.range())
    return panel.datasource(SOURCE)


def steps(*said: tuple[float | None, str]) -> Any:
    """Thresholds: colour from a value on."""
    return (
        dashboard.ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=color) for value, color in said])
    )


ALERTING = steps((None, "text"), (0.5, "orange"))


def number(title: str, expr: str, unit: str, *, decimals: int = 1, colors: Any = None, width: int = 3) -> Any:
    """One number of now."""
    panel = stat.Panel().title(title).unit(unit).decimals(decimals).height(4).span(width)
    panel.graph_mode(BigValueGraphMode.NONE).color_mode(BigValueColorMode.VALUE).no_value("not known")
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    return queries(panel.thresholds(colors or steps((None, "text"))), {title: expr}, now=True)


def count(title: str, expr: str) -> Any:
    """A number that should be none."""
    return number(title, expr, "none", decimals=0, colors=ALERTING)


def lines(title: str, said: Queries, unit: str, *, stacked: bool = False, width: int = 12, about: str = "") -> Any:
    """Courses over time; a gap where nothing was known."""
    panel = timeseries.Panel().title(title).description(about).unit(unit).height(8).span(width)
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.TABLE).placement(LegendPlacement.BOTTOM)
    panel.legend(legend.show_legend(show_legend=True).calcs(["min", "mean", "max"]))
    panel.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    panel.fill_opacity(25 if stacked else 5).line_width(1)
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    return queries(panel, said)


def bars(title: str, said: Queries, unit: str, colors: Any, *, most: float, width: int = 12) -> Any:
    """One bar for each series, of now."""
    panel = bargauge.Panel().title(title).unit(unit).min(0).max(most).height(8).span(width).thresholds(colors)
    panel.display_mode(BarGaugeDisplayMode.BASIC).orientation(VizOrientation.HORIZONTAL)
    return queries(panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"])), said, now=True)


def machines(title: str) -> Any:
    """Every machine of the place as one row: one query a column, joined by the machine's id."""
    columns = [
        ("model", "", f"hashwatt_machine_info{BELOW}"),
        ("state", "", f"hashwatt_machine_state{BELOW}"),
        ("point", "", f"hashwatt_machine_operating_point_info{BELOW}"),
        ("power", "watt", f"hashwatt_machine_power_watts{BELOW}"),
        ("hash rate, TH/s", "none", f"hashwatt_machine_hashrate_terahashes_per_second{BELOW}"),
        ("J/TH", "none", f"hashwatt_machine_efficiency_joules_per_terahash{BELOW}"),
        ("hottest chip", "celsius", f"hashwatt_machine_chip_temperature_celsius{BELOW}"),
        ("earns per hour", "currencyUSD", f"hashwatt_machine_earning_usd_per_hour{BELOW}"),
        ("breaks even at, $/MWh", "none", f"hashwatt_machine_break_even_usd_per_megawatt_hour{BELOW}"),
        ("proven of its claim", "percentunit", f"hashwatt_machine_delivered_ratio{BELOW}"),
        ("at least", "percentunit", f"hashwatt_machine_delivered_ratio_low{BELOW}"),
        ("at most", "percentunit", f"hashwatt_machine_delivered_ratio_high{BELOW}"),
        ("last reading", "s", f"hashwatt_machine_last_reading_age_seconds{BELOW}"),
    ]
    panel = table.Panel().title(title).datasource(SOURCE).height(12).span(24).filterable(filterable=True)
    names, hidden = {}, {"Time": True}
    kept = {0: ("model", "place"), 1: ("state",), 2: ("point",)}
    for row, (name, unit, expr) in enumerate(columns):
        ref = chr(ord("A") + row)
        keys = ", ".join(("machine", *kept.get(row, ())))
        query = prometheus.Dataquery().expr(f"max by ({keys}) ({expr})").ref_id(ref).datasource(SOURCE)
        panel.with_target(query.instant().format(PromQueryFormat.TABLE))
        value = f"Value #{ref}"
        if row in kept:
            hidden[value] = True
        else:
            names[value] = name
            panel.override_by_name(
                name, [DynamicConfigValue("unit", unit), DynamicConfigValue("decimals", 0 if unit == "watt" else 1)]
            )
    panel.with_transformation(DataTransformerConfig("joinByField", options={"byField": "machine", "mode": "outer"}))
    hidden |= {f"Time {number}": True for number in range(1, len(columns) + 1)}
    options = {"excludeByName": hidden, "renameByName": names, "indexByName": {}}
    return panel.with_transformation(DataTransformerConfig("organize", options=options))


def variables() -> Sequence[Any]:
    """Which Prometheus, which daemon, which part of its site."""
    return [
        dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"),
        dashboard.QueryVariable("instance")
        .label("site")
        .datasource(SOURCE)
        .query({"query": "label_values(hashwatt_site_machines, instance)", "refId": "instance"})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC),
        dashboard.QueryVariable("place")
        .label("place")
        .datasource(SOURCE)
        .query({"query": f"label_values(hashwatt_place_machines{ONE}, place)", "refId": "place"})
        .regex("/^(?!site$).*/")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*"),
    ]


def now() -> Sequence[Any]:
    """The first row: is it well, and does it earn?"""
    return [
        number(
            "Margin", site("margin_usd_per_hour"), "suffix: $/h", decimals=2, colors=steps((None, "red"), (0, "green"))
        ),
        number("Power price", site("power_price_usd_per_megawatt_hour"), "suffix: $/MWh", decimals=2),
        number("Breaks even at", site("break_even_usd_per_megawatt_hour"), "suffix: $/MWh", decimals=2),
        number("Hashprice", site("hashprice_usd_per_petahash_day"), "suffix: $/PH/day", decimals=2),
        number("Power", site("power_watts"), "watt", decimals=2),
        number("Curtailed", site("curtailed_watts"), "watt", decimals=2, colors=ALERTING),
        number("Hash rate", site("hashrate_terahashes_per_second") + " / 1000", "suffix: PH/s", decimals=2),
        number("Efficiency", site("efficiency_joules_per_terahash"), "suffix: J/TH"),
        count("Not answering", site("machines_by_state", state="silent")),
        count("Faulted", site("machines_by_state", state="faulted")),
        count("Left alone after failures", site("machines_quarantined")),
        count("Held by somebody's hand", site("machines_held")),
        count("Claim more than they prove", site("machines_by_verdict", verdict="short")),
        count("Orders in force", f"sum({site('orders')})"),
        count("Signals missing", f"sum(hashwatt_signal_missing{ONE})"),
        number("Under live control", f"{site('machines_live')} / {site('machines')}", "percentunit", decimals=0),
    ]


def money() -> Sequence[Any]:
    """Price against break-even, and what comes of it."""
    return [
        lines(
            "Price of power and what machines break even at",
            {
                "power price": site("power_price_usd_per_megawatt_hour"),
                "site breaks even": site("break_even_usd_per_megawatt_hour"),
                "best machine": f"max(hashwatt_machine_break_even_usd_per_megawatt_hour{ONE})",
                "worst machine": f"min(hashwatt_machine_break_even_usd_per_megawatt_hour{ONE})",
            },
            "suffix: $/MWh",
        ),
        lines(
            "Revenue, power and margin",
            {
                "revenue": site("revenue_usd_per_hour"),
                "power": site("power_cost_usd_per_hour"),
                "margin": site("margin_usd_per_hour"),
            },
            "suffix: $/h",
        ),
        lines("Hashprice", {"hashprice": site("hashprice_usd_per_petahash_day")}, "suffix: $/PH/day"),
        lines(
            "Earned since the tally began",
            {
                "as the machines ran": site("earned_usd"),
                "as decided": site("decided_earned_usd"),
            },
            "currencyUSD",
            about="In a dry run, the second is what live control would have earned.",
        ),
    ]


def power() -> Sequence[Any]:
    """Power against caps, for the site and its places."""
    whole = '{instance="$instance", place="site"}'
    capped = f"hashwatt_place_cap_watts{ONE}"
    return [
        lines(
            "Power of the site",
            {
                "now": site("power_watts"),
                "measured": site("power_measured_watts"),
                "decided": site("power_decided_watts"),
                "worst case": site("worst_case_watts"),
                "cap": f"hashwatt_place_cap_watts{whole}",
            },
            "watt",
            about="No line for the cap where the site has none. The worst case is what the caps count.",
        ),
        lines(
            "Curtailed, by reason",
            {"{{reason}}": site("curtailed_by_reason_watts")},
            "watt",
            stacked=True,
        ),
        bars(
            "Power over cap, by place",
            {"{{place}}": f"hashwatt_place_power_watts{ONE} / {capped}"},
            "percentunit",
            steps((None, "green"), (0.95, "orange"), (1.0, "red")),
            most=1.2,
        ),
        lines(
            "What one more MWh of cap would earn",
            {"{{place}}": f"hashwatt_place_cap_shadow_price_usd_per_megawatt_hour{ONE} and {capped}"},
            "suffix: $/MWh",
        ),
    ]


def fleet() -> Sequence[Any]:
    """The machines: states, what waits, and each as a row."""
    return [
        lines(
            "Machines by state",
            {"{{state}}": f"sum by (state) (hashwatt_machine_state{BELOW})"},
            "none",
            stacked=True,
        ),
        lines("Changes that wait, by what they wait for", {"{{reason}}": site("held_back")}, "none"),
        lines("Power by place", {"{{place}}": f"hashwatt_place_power_watts{BELOW}"}, "watt", width=24),
        machines("Machines"),
    ]


def proof() -> Sequence[Any]:
    """Are the hashes real: what shares prove of claims, and what goes through the tap (empty where there is none)."""
    per_line = f"rate(hashwatt_tap_forwarding_duration_seconds_bucket{ONE}[$__rate_interval])"
    return [
        lines(
            "Hash rate that shares prove, over the one claimed",
            {
                "the site, proven": site("delivered_ratio"),
                "the site, as it is valued": f"{site('hashrate_credited_terahashes_per_second')}"
                f" / {site('hashrate_terahashes_per_second')}",
            },
            "percentunit",
            about="Machines are valued at their claim as long as their shares allow it.",
        ),
        lines(
            "The ten machines that deliver least of their claim",
            {"{{machine}}": f"bottomk(10, hashwatt_machine_delivered_ratio{BELOW})"},
            "percentunit",
            about="Machines that the running test finds short are counted above; chance alone moves young ones.",
        ),
        lines("Machines by verdict", {"{{verdict}}": site("machines_by_verdict")}, "none", stacked=True),
        lines("Machines by who counts their shares", {"{{source}}": site("machines_by_source")}, "none", stacked=True),
        number(
            "Tap", f"hashwatt_tap_up{ONE}", "none", decimals=0, width=6, colors=steps((None, "red"), (0.5, "green"))
        ),
        number("Connections to the tap", f"hashwatt_tap_connections{ONE}", "none", decimals=0, width=6),
        number("Pool in use", f"hashwatt_tap_pool_in_use{ONE}", "none", decimals=0, width=6),
        number("Blocks found", 'hashwatt_tap_blocks{instance="$instance", state="found"}', "none", decimals=0, width=6),
        lines(
            "Shares verified at the tap, per second",
            {
                "credited": f"rate(hashwatt_tap_shares_total{ONE}[$__rate_interval])",
                "of no machine of the site": f"rate(hashwatt_tap_shares_of_strangers_total{ONE}[$__rate_interval])",
            },
            "none",
        ),
        lines(
            "Shares not credited at the tap, per hour, by cause",
            {"{{cause}}": f"rate(hashwatt_tap_flawed_total{ONE}[$__rate_interval]) * 3600"},
            "none",
            stacked=True,
            about="foreign: for a worker or an address that is not ours.",
        ),
        lines(
            "How long the tap keeps a line",
            {
                "median": f"histogram_quantile(0.5, sum by (le) ({per_line}))",
                "99 %": f"histogram_quantile(0.99, sum by (le) ({per_line}))",
            },
            "s",
            width=24,
        ),
    ]


def work() -> Sequence[Any]:
    """hashwatt itself: signals, commands, looks, ticks."""
    per_look = f"rate(hashwatt_look_duration_seconds_bucket{ONE}[$__rate_interval])"
    per_tick = f"rate(hashwatt_tick_duration_seconds_bucket{ONE}[$__rate_interval])"
    return [
        lines("Age of the signals", {"{{signal}}": f"hashwatt_signal_age_seconds{ONE}"}, "s"),
        lines("Feeds that are well", {"{{feed}}": f"hashwatt_feed_up{ONE}"}, "none"),
        lines(
            "Commands by what became of them",
            {"{{kind}}": f"increase(hashwatt_outcomes_total{ONE}[$__rate_interval])"},
            "none",
            stacked=True,
        ),
        lines(
            "Looks at machines, per second",
            {"{{depth}} {{outcome}}": f"rate(hashwatt_looks_total{ONE}[$__rate_interval])"},
            "none",
            stacked=True,
        ),
        lines(
            "Time of a look",
            {
                "median": f"histogram_quantile(0.5, sum by (le) ({per_look}))",
                "95 %": f"histogram_quantile(0.95, sum by (le) ({per_look}))",
                "latest begin": f"hashwatt_look_lateness_seconds{ONE}",
            },
            "s",
        ),
        lines(
            "Time of a tick",
            {
                "median": f"histogram_quantile(0.5, sum by (le) ({per_tick}))",
                "99 %": f"histogram_quantile(0.99, sum by (le) ({per_tick}))",
            },
            "s",
        ),
        lines(
            "The daemon",
            {"cores": f"rate(process_cpu_seconds_total{ONE}[$__rate_interval])"},
            "none",
        ),
        lines(
            "Events, per hour",
            {"{{kind}}": f"rate(hashwatt_events_total{ONE}[$__rate_interval]) * 3600"},
            "none",
        ),
    ]


def written() -> str:
    """The dashboard as JSON."""
    board = (
        dashboard.Dashboard("hashwatt: a site")
        .uid("hashwatt-site")
        .description("One mining site under hashwatt: what it earns, what it draws, what is decided and why.")
        .tags(["hashwatt"])
        .time("now-6h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
    )
    ids = itertools.count(1)
    for variable in variables():
        board.with_variable(variable)
    for title, panels in (
        ("Now", now()),
        ("Money", money()),
        ("Power", power()),
        ("Machines", fleet()),
        ("Proof", proof()),
        ("hashwatt", work()),
    ):
        board.with_row(dashboard.Row(title).id(next(ids)))
        for panel in panels:
            board.with_panel(panel.id(next(ids)))
    return JSONEncoder(sort_keys=True, indent=1).encode(board.build()) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(0 if PATH.read_text() == written() else f"{PATH} is not what build.py writes: run it")
    PATH.write_text(written())
