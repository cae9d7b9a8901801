"""What /metrics costs: rendering a site of 1,000 and of 16,500 machines, against the library's writer on the same samples.

Both write in this process, one after the other, from one record in which every machine is fully known. What is compared is
seconds per rendering; the library's text and ours must hold the same number of samples. The last columns are what MQTT
adds to each record and to each message. Run: `python benchmarks/run.py metrics`.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from controllers.observe import PollCounts
from controllers.publish.prometheus import MetricsServer
from controllers.publish.settings import MetricsSettings
from controllers.publish.states import MachineStates, Told
from fleet.machine import Machine, Mode, Roster
from fleet.market import Market, Quantity, Signal
from fleet.reading import Board, Reading, State
from fleet.snapshot import Heard, Snapshot
from fleet.view import View
from policies.record import Record
from policies.tick import Judgment

SIZES: Final = (1_000, 16_500)
AT_LEAST: Final = 3.0
"""How many times faster than the library's writer ours has to be, on the machines' families."""
AT_S: Final = 1.7e9
LADDER: Final = (Mode("sleep", 25, 0), Mode("low", 1_500, 75), Mode("high", 3_200, 130))


def site(n: int) -> tuple[Judgment, Record, dict[int, Reading]]:
    """A live site of n machines in racks of 40 on 8 feeders, one tick of it, and their last full readings."""
    machines = [
        Machine(
            f"rack-{i // 40:03d}-{i % 40:02d}",
            "Antminer S19j Pro",
            "luxos",
            f"127.0.{i // 250}.{i % 250 + 1}",
            LADDER,
            "high",
            (f"feeder-{i % 8}", f"rack-{i // 40:03d}"),
        )
        for i in range(n)
    ]
    judgment = Judgment(Roster.of(machines), live=np.ones(n, np.bool_))
    rng = np.random.default_rng(1)
    columns = {name: np.array(getattr(Heard.nothing(n), name)) for name in Heard.__dataclass_fields__}
    columns["at_s"][:], columns["asked_s"][:] = AT_S - rng.uniform(0, 10, n), AT_S
    columns["state"][:], columns["mode"][:], columns["measured"][:] = State.HASHING, 2, True
    columns["hashrate_ths"][:], columns["power_w"][:] = rng.normal(130, 2, n), rng.normal(3_200, 30, n)
    columns["chip_c"][:], columns["uptime_s"][:] = rng.normal(70, 3, n), rng.uniform(0, 1e7, n)
    for name in ("accepted", "rejected", "hardware_errors"):
        columns[name][:] = rng.integers(0, 100_000, n)
    signal = (Signal(40.0, AT_S, AT_S, "benchmark"),)
    snapshot = Snapshot(AT_S, Heard(**columns), Market({Quantity.HASHPRICE_USD_PHS_DAY: signal}))
    view, decision = judgment.tick(View.fresh(judgment.roster), snapshot)
    full = Reading(State.HASHING, "high", 130.0, 3_200.0, boards=(Board(43.3, 60.1, 70.2),) * 3, fans_rpm=(5_000,) * 4)
    return judgment, Record(1, snapshot, view, decision), dict.fromkeys(range(n), full)


def server(judgment: Judgment, full: dict[int, Reading]) -> MetricsServer:
    """The metrics server, fed with a daemon's internals."""
    internals: dict[str, Any] = {
        "polls": PollCounts(),
        "feeds": [],
        "events": Counter[str](),
        "outcomes": Counter[str](),
        "writing": 0,
        "accepted": 0,
        "journal_failures": 0,
        "lease_held": True,
        "full": full,
    }
    return MetricsServer(MetricsSettings(port=0), judgment, lambda: internals)


class Again:
    """The same families as a collector for the library's own writer."""

    def __init__(self, text: str) -> None:
        self._families = list(text_string_to_metric_families(text))

    def collect(self) -> list[GaugeMetricFamily | CounterMetricFamily]:
        """Every family made anew, as an exporter does at each scrape."""
        made = []
        for family in self._families:
            keys = list(family.samples[0].labels)
            kind = CounterMetricFamily if family.type == "counter" else GaugeMetricFamily
            fresh = kind(family.name, family.documentation, labels=keys)
            for sample in family.samples:
                fresh.add_metric([sample.labels.get(key, "") for key in keys], sample.value)
            made.append(fresh)
        return made


def best_s(work: Callable[[], object], times: int) -> float:
    """The least of some runs."""
    taken = []
    for _ in range(times):
        gc.collect()
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(taken)


def measured(n: int) -> dict[str, float]:
    """One size."""
    judgment, record, full = site(n)
    shown = server(judgment, full)
    assert shown._machines is not None  # noqa: SLF001 - the part that is compared
    machines = shown._machines  # noqa: SLF001
    text = machines.text(record, full)
    registry = CollectorRegistry()
    registry.register(Again(text))
    samples = sum(1 for line in text.split("\n") if line and not line.startswith("#"))
    again = sum(1 for line in generate_latest(registry).split(b"\n") if line and not line.startswith(b"#"))
    if samples != again:
        raise SystemExit(f"{n} machines: {samples} samples of ours and {again} of the library's")
    ours_s = best_s(lambda: machines.text(record, full), 3)
    library_s = best_s(lambda: generate_latest(registry), 2)
    states = MachineStates(judgment, record)
    told = Told(n)
    return {
        "machines": n,
        "samples": samples,
        "megabytes": len(text) / 1e6,
        "ours_s": ours_s,
        "library_s": library_s,
        "times_faster": library_s / ours_s,
        "mqtt_columns_ms": 1e3 * best_s(lambda: MachineStates(judgment, record), 3),
        "mqtt_due_ms": 1e3 * best_s(lambda: told.due(states, 0.0, 10.0, 3_600.0), 3),
        "mqtt_message_us": 1e6 * best_s(lambda: states.written(np.arange(1_000)), 3) / 1_000,
    }


def main(argv: Sequence[str]) -> int:
    """Measure, print, and hold to the promise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, default=None)
    args = parser.parse_args(argv)
    found = [measured(n) for n in SIZES]
    print("machines  samples     MB   ours s  library s  times   MQTT: columns ms  due ms  us a message")
    form = "{machines:8.0f} {samples:8.0f} {megabytes:6.1f} {ours_s:8.3f} {library_s:10.3f} {times_faster:6.1f}"
    form += " {mqtt_columns_ms:18.2f} {mqtt_due_ms:7.2f} {mqtt_message_us:13.1f}"
    for row in found:
        print(form.format(**row))
    if args.json is not None:
        args.json.write_text(json.dumps({f"{row['machines']:.0f}": row for row in found}))
    short = [row for row in found if row["times_faster"] < AT_LEAST]
    for row in short:
        print(f"{row['machines']:.0f} machines: {row['times_faster']:.1f} times the library, expected {AT_LEAST:g}")
    return 1 if short else 0


if __name__ == "__main__":
    import sys

    sys.exit(main(sys.argv[1:]))
