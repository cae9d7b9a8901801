"""The tap's metric families: is it there, what goes through it, what it refuses, and the blocks that were found.

Everything comes from the tap's own status (docs/tap.md). Pools are told by their number in the site file, never by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from fleet.work.counted import Flaw

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_BLOCK_STATES: Final = ("found", "accepted", "refused", "open")


def tap_families(status: Mapping[str, Any] | None, *, there: bool) -> Iterator[Metric]:
    """The families of a tap's status (None: it does not answer); nothing where the site has none (not `there`)."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    if not there:
        return
    up = status is not None and bool(status["listening"])
    yield GaugeMetricFamily("hashwatt_tap_up", "1 while the tap answers and listens for machines.", float(up))
    if status is None:
        return
    pool = next((number for number, each in enumerate(status["pools"], 1) if each["in_use"]), 0)
    for name, meaning, value in (
        ("connections", "Machines' connections.", status["connections"]),
        ("pool_in_use", "Which pool of the site file is in use, from 1; 0 is none.", pool),
        ("verified_per_second", "Shares verified a second, of the last ten.", status["verified_per_s"]),
        ("audits", "Machines under audit.", len(status["audits"])),
        ("blocks_not_on_disk", "Entries of blocks that the disk has not taken yet.", status["blocks"]["not_on_disk"]),
    ):
        yield GaugeMetricFamily(f"hashwatt_tap_{name}", meaning, float(value))
    for name, meaning, value in (
        ("shares", "Shares credited, of all machines.", status["shares"]),
        ("work", "Their difficulty.", status["work"]),
        (
            "shares_of_strangers",
            "Shares of connections that are no machine of the roster.",
            status["shares_of_strangers"],
        ),
    ):
        yield CounterMetricFamily(f"hashwatt_tap_{name}", meaning, float(value))
    blocks = GaugeMetricFamily("hashwatt_tap_blocks", "Blocks by what became of them.", labels=["state"])
    for state in _BLOCK_STATES:
        value = status["blocks"][state]
        blocks.add_metric([state], float(len(value) if isinstance(value, list) else value))
    flaws = CounterMetricFamily(
        "hashwatt_tap_flawed", "Shares not credited, of all machines, by cause.", labels=["cause"]
    )
    for flaw in Flaw:
        flaws.add_metric([flaw.name.lower()], float(status["flaws"].get(flaw.name.lower(), 0.0)))
    turned = CounterMetricFamily(
        "hashwatt_tap_turned_away", "Connections that were not let in, by cause.", labels=["cause"]
    )
    for cause, count in status["turned_away"].items():
        turned.add_metric([cause], float(count))
    kept = status["forwarding"]
    buckets = [*((edge, float(count)) for edge, count in kept["buckets"].items()), ("+Inf", float(kept["count"]))]
    yield from (blocks, flaws, turned)
    yield HistogramMetricFamily(
        "hashwatt_tap_forwarding_duration_seconds", "How long the tap kept what it passed on.", buckets, kept["sum_s"]
    )
