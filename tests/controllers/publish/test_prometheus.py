"""/metrics: what it shows is the last record, in a form that Prometheus and its tools take, within bounds."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from controllers.publish.exposition import column, labels
from controllers.publish.machine_families import BOARDS_MOST, FANS_MOST
from controllers.publish.prometheus import MetricsServer
from controllers.publish.settings import MetricsSettings
from controllers.publish.site_families import Internals
from controllers.publish.tap_families import tap_families
from fleet.columns import Floats
from fleet.work.proof.evidence import Source
from policies.site_sums import machine_columns, site_sums
from tests.conftest import ROOT, program
from tests.controllers.publish.conftest import eventually
from tests.controllers.publish.yard import HOSTILE, IDS, POOL, WORKER, internals, last_record, server, yard


def text_of(shown: MetricsServer) -> str:
    """The exposition, once."""
    return asyncio.run(shown.text()).decode()


def rendered(**settings: Any) -> str:
    """The yard's exposition."""
    judgment = yard()
    shown = server(judgment, **settings)
    shown.show(last_record(judgment))
    return text_of(shown)


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample by name and labels, as the library reads them."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of_machine(text: str, machine: str) -> dict[str, float]:
    """One machine's samples without further labels, by name."""
    return {
        name.removeprefix("hashwatt_machine_"): value
        for (name, labelled), value in samples(text).items()
        if dict(labelled).get("machine") == machine and {key for key, _ in labelled} <= {"machine", "place"}
    }


@pytest.mark.requires("promtool")
def test_promtool_has_nothing_to_say() -> None:
    """A name, unit, type or label that breaks the conventions, hostile names included, is refused by Prometheus' own tool."""
    promtool = program("promtool")
    assert promtool is not None
    said = subprocess.run(
        [promtool, "check", "metrics"], input=rendered().encode(), capture_output=True, check=False, timeout=20
    )
    assert (said.returncode, said.stdout, said.stderr) == (0, b"", b"")


def test_every_label_comes_back_as_it_was() -> None:
    """A quote, backslash or brace in a machine's id would end the scrape, or pass one machine off as another."""
    found = {dict(labelled).get("machine") for _, labelled in samples(rendered())}
    assert found - {None} == set(IDS)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40), st.floats())
def test_any_label_and_number_survive(value: str, number: float) -> None:
    """The writer is ours, so the library's parser must read back whatever it is given."""
    text = column("a_b", "gauge", "Meaning.", [labels(x=value)], np.array([number]))
    found = samples(text)
    if not np.isfinite(number):
        assert not found
    else:
        [(key, read)] = found.items()
        assert key == ("a_b", frozenset({("x", value)}))
        assert read == pytest.approx(number, rel=1e-8)


def test_no_series_twice() -> None:
    """Two samples of one series make Prometheus refuse the whole scrape."""
    lines = [line.rpartition(" ")[0] for line in rendered().split("\n") if not line.startswith("#")]
    assert [line for line, count in Counter(lines).items() if count > 1] == []


def test_what_is_not_known_has_no_sample() -> None:
    """A zero for a machine that did not answer is the most expensive lie in this field."""
    text = rendered()
    quiet = of_machine(text, "quiet")
    assert set(quiet) <= {"info", "operating_point_decided", "worst_case_watts", "curtailed_watts", "command_failures"}
    assert quiet["worst_case_watts"] == 3_200
    assert "NaN" not in text
    assert "power_watts" in of_machine(text, HOSTILE)
    assert "hardware_errors_total" not in of_machine(text, HOSTILE)


def test_a_machine_shows_its_row_of_the_record() -> None:
    """The figures of issue 2, item 7, and no drift from what the tick decided with."""
    judgment = yard()
    record = last_record(judgment)
    shown = server(judgment)
    shown.show(record)
    text, now = text_of(shown), machine_columns(judgment, record)

    def near(column: Floats) -> Any:
        return pytest.approx(float(column[0]), rel=1e-8)

    assert of_machine(text, "m0") == {
        "hashrate_terahashes_per_second": 130.5,
        "power_watts": 3_300.0,
        "power_measured": 1.0,
        "efficiency_joules_per_terahash": near(now.efficiency_j_th),
        "chip_temperature_celsius": 70.0,
        "operating_point": 3.0,
        "operating_point_decided": 3.0,
        "earning_usd_per_hour": near(now.earns_usd_h),
        "break_even_usd_per_megawatt_hour": near(now.break_even_usd_mwh),
        "curtailed_watts": 0.0,
        "worst_case_watts": near(record.view.worst_w),
        "last_reading_age_seconds": 0.0,
        "command_failures": 0.0,
        "uptime_seconds": 5e5,
        "shares_accepted_total": 123_456_789_012.0,
        "shares_rejected_total": 1.0,
        "hardware_errors_total": 7.0,
        "delivered_ratio": 1.0,
        "delivered_ratio_low": pytest.approx(0.906, abs=0.001),
        "delivered_ratio_high": pytest.approx(1.100, abs=0.001),
        "credit_ratio": 1.0,
        "shortfall_found": 0.0,
        "verdict_age_seconds": near(record.view.at_s - record.view.evidences[Source.TAP].since_s),
        "proof_shares": 1_000.0,
        "proven_efficiency_joules_per_terahash": pytest.approx(25.0, rel=1e-8),
        "rejected_ratio": 0.01,
        "rejected_ratio_low": 0.0,
        "rejected_ratio_high": pytest.approx(0.0314, abs=0.0001),
        "rejects_found": 0.0,
        "proven_efficiency_low_joules_per_terahash": pytest.approx(25.0 * 0.98 / 1.100, rel=1e-3),
        "proven_efficiency_high_joules_per_terahash": pytest.approx(25.0 * 1.02 / 0.906, rel=1e-3),
        "share_jumps_total": 0.0,
        "hardware_error_ratio": 0.002,
        "hardware_error_ratio_low": 0.0,
        "hardware_error_ratio_high": pytest.approx(0.0218, abs=0.0001),
        "hardware_errors_found": 0.0,
        "tap_connected": 1.0,
        "tap_difficulty": 65_536.0,
        "tap_shares_total": 1_000.0,
        "tap_work_total": 65_536_000.0,
        "tap_away_seconds_total": 0.0,
        "tap_foreign_work_total": 0.0,
        "tap_best_share": 1e9,
    }
    assert of_machine(text, HOSTILE)["shortfall_found"] == 1.0
    assert of_machine(text, HOSTILE)["delivered_ratio"] == 0.8
    assert of_machine(text, HOSTILE)["credit_ratio"] == 0.874
    assert of_machine(text, HOSTILE)["proven_efficiency_joules_per_terahash"] == pytest.approx(25.0 / 0.8)
    assert of_machine(text, HOSTILE)["tap_connected"] == 0.0
    assert of_machine(text, HOSTILE)["share_jumps_total"] == 3.0
    assert of_machine(text, HOSTILE)["hardware_errors_found"] == 1.0
    told = {
        (labelled["machine"], labelled.get("cause"), labelled.get("source")): value
        for name, labelled, value in ((name, dict(key), value) for (name, key), value in samples(text).items())
        if name.endswith(("tap_flawed_total", "proof_source")) and "machine" in labelled
    }
    assert told == {
        ("m0", "stale", None): 3.0,
        (HOSTILE, "foreign", None): 50.0,
        ("m0", None, "tap"): 1.0,
        (HOSTILE, None, "tap"): 1.0,
    }
    states = {dict(key)["machine"]: dict(key)["state"] for name, key in samples(text) if name.endswith("machine_state")}
    assert states == {"m0": "hashing", HOSTILE: "hashing", "quiet": "silent", "asleep": "sleeping"}


def test_the_site_shows_the_sums_of_the_record() -> None:
    """What stands on the dashboard is what status and MQTT say."""
    judgment = yard()
    record = last_record(judgment)
    shown = server(judgment)
    shown.show(record)
    found, sums = samples(text_of(shown)), site_sums(judgment, record)

    def one(name: str, **labelled: str) -> float:
        return found[f"hashwatt_{name}", frozenset(labelled.items())]

    assert one("site_power_watts") == sums.power_w
    assert one("site_margin_usd_per_hour") == sums.margin_usd_h
    assert one("site_dry_run") == 0
    assert one("place_cap_watts", place="feeder-a") == 7_000
    assert one("site_orders", kind="hold", rank="operator") == 1
    assert one("site_machines_by_state", state="silent") == 1
    assert one("site_machines_by_verdict", verdict="short") == 1
    assert one("signal_age_seconds", signal="power_usd_mwh") == 0
    assert one("meter_power_watts", place="site", meter="main") == 9_876
    assert one("outcomes_total", kind="done") == 3
    assert one("outcomes_total", kind="refused") == 0
    assert one("look_duration_seconds_count") == 8
    assert one("look_duration_seconds_sum") == 0.4
    assert one("tick_duration_seconds_count") == 1
    assert one("lease_held") == 1


def test_boards_and_fans_are_bounded() -> None:
    """A machine that lies about a thousand fans may not fill the operator's Prometheus."""
    found = Counter(
        (name, dict(labelled)["machine"])
        for name, labelled in samples(rendered())
        if name.startswith(("hashwatt_board", "hashwatt_fan"))
    )
    assert found["hashwatt_fan_speed_rpm", HOSTILE] == FANS_MOST
    assert found["hashwatt_board_temperature_celsius", HOSTILE] == BOARDS_MOST
    assert found["hashwatt_board_chip_temperature_celsius", "m0"] == 1


@pytest.mark.parametrize(("detail", "machines", "parts"), [("site", 0, 0), ("machines", 4, 0), ("parts", 4, 2)])
def test_detail_bounds_what_is_shown(detail: str, machines: int, parts: int) -> None:
    """A large site needs a way to keep its Prometheus small."""
    found = samples(rendered(detail=detail))
    named = [(name, dict(labelled)["machine"]) for name, labelled in found if "machine" in dict(labelled)]
    assert len({machine for name, machine in named if "machine_" in name}) == machines
    assert len({machine for name, machine in named if "fan" in name}) == parts


def test_no_pool_worker_or_secret_is_shown() -> None:
    """Whoever may read metrics learns nothing of where the hashes go, or how machines are reached."""
    text = rendered()
    assert WORKER not in text
    assert POOL not in text
    assert "127.9." not in text


def test_a_record_is_rendered_once_and_off_the_loop() -> None:
    """Ten scrapes between two ticks must not cost ten renderings, nor any tick's time."""
    judgment = yard()
    asked: list[int] = []

    def told() -> Mapping[str, Any]:
        asked.append(1)
        return internals()

    async def story() -> None:
        shown = MetricsServer(MetricsSettings(port=0), judgment, told)
        record = last_record(judgment)
        shown.show(record)
        texts = await asyncio.gather(*(shown.text() for _ in range(10)))
        assert len(set(map(id, texts))) == 1
        shown.show(replace(record, number=record.number + 1))
        await shown.text()
        assert len(asked) == 2

    asyncio.run(story())


def test_what_is_written_in_a_thread_is_a_copy() -> None:
    """The pollers go on counting while a thread writes; a count that changes under it would fail the scrape."""
    moving = internals()
    taken = Internals.of(moving)
    before = repr(taken)
    moving["polls"].looks["lean", "new"] += 1
    moving["polls"].within[0] += 1
    moving["events"]["new"] += 1
    moving["outcomes"]["new"] += 1
    moving["feeds"].clear()
    assert repr(taken) == before


def test_it_answers_over_http_and_says_when_there_is_nothing_yet() -> None:
    """Before the first tick there is nothing to show, which is an error to Prometheus and not an empty site."""
    judgment = yard()

    async def story() -> None:
        shown = server(judgment)
        task = asyncio.create_task(shown.run())
        port = await eventually(lambda: shown.port, "it listens")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            assert (await client.get("/metrics")).status_code == 503
            shown.show(last_record(judgment))
            answer = await client.get("/metrics")
            assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "text/plain")
            assert samples(answer.text)
            assert (await client.get("/else")).status_code == 404
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(story())


def test_a_port_in_use_is_told_and_tried_again() -> None:
    """Somebody else's program on the metrics' port must not stop the control of a site."""

    async def story() -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port, said = other.getsockname()[1], list[str]()
            settings = MetricsSettings(port=port)
            shown = MetricsServer(settings, yard(), internals, lambda kind, _text: said.append(kind), retry_s=0.05)
            task = asyncio.create_task(shown.run())
            await eventually(lambda: said, "told")
        await eventually(lambda: shown.port == port, "it listens once the port is free")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert said == ["metrics not served"]

    asyncio.run(story())


def test_the_page_names_every_family_with_its_type_and_labels() -> None:
    """docs/metrics.md is what people build dashboards on; a family that it lacks or invents misleads them."""
    page = (ROOT / "docs/metrics.md").read_text()
    said = [line for line in page.split("\n") if line.startswith("| `hashwatt_")]
    assert said == [row(family) for family in text_string_to_metric_families(rendered()) if "hashwatt" in family.name]


def row(family: Metric) -> str:
    """A family's row of the page."""
    keys = sorted({key for sample in family.samples for key in sample.labels} - {"le"})
    name = f"{family.name}_total" if family.type == "counter" else family.name
    return f"| `{name}` | {family.type} | {', '.join(keys) or '–'} | {family.documentation} |"


def test_the_tap_shows_its_status() -> None:
    """A tap that is down and looks well, a pool of another number, or a block that was lost in the sums."""
    found = {(name, *dict(key).values()): value for (name, key), value in samples(rendered()).items()}
    assert found["hashwatt_tap_up",] == 1.0
    assert found["hashwatt_tap_pool_in_use",] == 2.0
    assert found["hashwatt_tap_connections",] == 3.0
    assert (found["hashwatt_tap_blocks", "found"], found["hashwatt_tap_blocks", "open"]) == (1.0, 1.0)
    assert found["hashwatt_tap_flawed_total", "foreign"] == 50.0
    assert found["hashwatt_tap_flawed_total", "low"] == 0.0
    assert found["hashwatt_tap_turned_away_total", "too many connections"] == 2.0
    names = [family.name for family in tap_families(None, there=True)]
    assert names == ["hashwatt_tap_up"]
    assert [sample.value for family in tap_families(None, there=True) for sample in family.samples] == [0.0]
    assert list(tap_families(None, there=False)) == []


def test_families_stand_together() -> None:
    """The format wants all samples of a family in one block under one heading; a second block is refused or lost."""
    names = [line.split()[2] for line in rendered().split("\n") if line.startswith("# TYPE ")]
    assert len(names) == len(set(names))
    assert all(a != b for a, b in pairwise(names))


def test_the_page_tells_the_cardinality_as_it_is() -> None:
    """Whoever sizes a Prometheus by the page must not be surprised: series of a machine, a place, the site."""
    page, found = (ROOT / "docs/metrics.md").read_text(), [dict(labelled) for _, labelled in samples(rendered())]
    machine = [key for key in found if key.get("machine") == "m0" and not {"board", "fan"} & set(key)]
    assert f"| at most {len(machine)} |" in page
    assert sum(1 for key in found if key == {"place": "feeder-a"}) == 5 + 1 + 3
    assert sum(1 for key in found if not {"machine", "place", "signal", "feed", "reason"} & set(key)) <= 150
