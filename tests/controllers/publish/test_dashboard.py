"""The dashboard, the scrape configuration and the rules, against a real Prometheus that watches a real daemon."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import promql_parser
import pytest

from tests.conftest import ROOT, program
from tests.controllers.publish.conftest import Program, free_port, make_site, until

GRAFANA, PROMETHEUS = ROOT / "deploy/grafana", ROOT / "deploy/prometheus"
VARIABLES = {"$instance": "yard", "$place": ".*", "$__rate_interval": "20s"}
BOARD: dict[str, Any] = json.loads((GRAFANA / "hashwatt.json").read_text())


def expressions() -> dict[str, str]:
    """Every query of the dashboard, by its panel and letter, with the variables filled in."""
    found = {}
    for panel in BOARD["panels"]:
        for target in panel.get("targets", ()):
            query = target["expr"]
            for name, value in VARIABLES.items():
                query = query.replace(name, value)
            found[f"{panel['title']} {target['refId']}"] = query
    return found


def families() -> set[str]:
    """What docs/metrics.md names, with the samples of histograms."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) ", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    parts = [f"{name}_{end}" for name, kind in rows if kind == "histogram" for end in ("bucket", "sum", "count")]
    return {name for name, _ in rows} | set(parts)


def test_the_dashboard_is_what_its_script_writes() -> None:
    """A dashboard edited by hand would be lost with the next change of the script."""
    command = [sys.executable, str(GRAFANA / "build.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr


def test_the_dashboard_is_whole() -> None:
    """Panels over each other, without a number or without a source are what Grafana shows as broken."""
    taken: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(ids) == len(set(ids))
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        if panel["type"] == "row":
            continue
        assert panel["title"]
        assert panel["targets"]
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@pytest.mark.parametrize(("panel", "query"), expressions().items())
def test_each_query_parses_and_names_families_that_exist(panel: str, query: str) -> None:
    """A misspelt family is no error to Grafana, only an empty panel on the day it is needed."""
    promql_parser.parse(query)
    assert set(re.findall(r"\bhashwatt_\w+", query)) <= families()


def test_the_rules_name_families_that_exist() -> None:
    """An alert on a family that is not there never fires."""
    text = (PROMETHEUS / "hashwatt.rules.yml").read_text()
    named = set(re.findall(r"(?<![:\w])hashwatt_\w+(?=[{\[ )\n])", text))
    assert len(named) > 10
    assert named <= families()


@pytest.mark.requires("promtool")
@pytest.mark.parametrize(
    "command",
    [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "--lint-fatal", "hashwatt.rules.yml"],
        ["test", "rules", "hashwatt.rules.test.yml"],
    ],
    ids=["config", "rules", "alerts"],
)
def test_promtool_passes(command: list[str]) -> None:
    """A rule file that Prometheus refuses takes all alerts with it; an alert that never fires is worse than none."""
    promtool = program("promtool")
    assert promtool is not None
    done = subprocess.run([promtool, *command], cwd=PROMETHEUS, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test() -> None:
    """promtool passes a file of rules that no test looks at."""
    rules, tests = ((PROMETHEUS / name).read_text() for name in ("hashwatt.rules.yml", "hashwatt.rules.test.yml"))
    said = re.findall(r"- alert: (\w+)", rules)
    assert said
    assert sorted(said) == sorted(re.findall(r"- name: (\w+)", tests))


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, net: int) -> Iterator[httpx.Client]:
    """A Prometheus with the project's configuration (at a quicker pace) that scrapes a real daemon over a pretend world."""
    prometheus, directory = program("prometheus"), tmp_path_factory.mktemp("watched")
    assert prometheus is not None
    metrics, port = free_port(), free_port()
    config = (PROMETHEUS / "prometheus.yml").read_text()
    for was, becomes in (
        ("15s", "500ms"),
        ("10s", "500ms"),
        ("127.0.0.1:9184", f"127.0.0.1:{metrics}"),
        ("my-site", "yard"),
        ("hashwatt.rules.yml", str(PROMETHEUS / "hashwatt.rules.yml")),
    ):
        assert was in config
        config = config.replace(was, becomes)
    (directory / "prometheus.yml").write_text(config)
    command = [prometheus, f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data"]
    watcher = Program([*command, f"--web.listen-address=127.0.0.1:{port}"], directory / "prometheus.log")
    site = make_site(directory, net + 1, speed=120)
    try:
        # a tap whose pool is not there: it listens, and every family of it has its zero
        tap = {"listen": "127.0.0.1:0", "pools": [{"url": f"stratum+tcp://127.0.0.1:{free_port()}"}]}
        site.add(metrics={"port": metrics}, caps_kw={"site": 10.0}, tap=tap)
        site.daemon.start()
        watcher.start()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=10) as client:
            yield client
    finally:
        for process in (watcher, site.daemon, site.world):
            process.end()


def result(client: httpx.Client, query: str) -> Any:
    """A query's answer; nothing while Prometheus starts."""
    try:
        answer = client.get("/query", params={"query": query})
    except httpx.TransportError:
        return []
    if answer.status_code != 200:
        return [] if answer.status_code == 503 else pytest.fail(answer.text)
    return answer.json()["data"]["result"]


@pytest.mark.requires("prometheus", "promtool")
def test_every_query_of_the_dashboard_has_an_answer(watched: httpx.Client) -> None:
    """A panel that stays empty over a healthy site is a panel that nobody will trust."""
    waiting, end_s = expressions(), time.monotonic() + 28
    while waiting and time.monotonic() < end_s:
        waiting = {panel: query for panel, query in waiting.items() if not result(watched, query)}
        time.sleep(0.3)
    assert waiting == {}


@pytest.mark.requires("prometheus", "promtool")
def test_what_prometheus_has_is_the_site(watched: httpx.Client) -> None:
    """The answers are this site's: its machines, its name, under live control, and no alert of a healthy site."""

    def value(query: str) -> float | None:
        found = result(watched, query)
        return float(found[0]["value"][1]) if found else None

    until(lambda: value('count(hashwatt_machine_info{instance="yard"})') == 3, "three machines")
    until(lambda: value("hashwatt_site_dry_run") == 0, "live control")
    until(lambda: (value("sum(hashwatt_machine_power_watts)") or 0) > 100, "power")
    assert value("scrape_samples_scraped") == value("scrape_samples_post_metric_relabeling")
    until(lambda: watched.get("/rules").json()["data"]["groups"], "rules are loaded")
    firing = [
        alert["labels"] for alert in watched.get("/alerts").json()["data"]["alerts"] if alert["state"] == "firing"
    ]
    assert firing == []


@pytest.mark.requires("prometheus", "promtool")
def test_the_variables_have_values(watched: httpx.Client) -> None:
    """Without a value for its variables a dashboard shows nothing at all."""
    for variable in BOARD["templating"]["list"]:
        if variable["type"] != "query":
            continue
        found = re.fullmatch(r"label_values\((\w+)(\{.*\})?, (\w+)\)", variable["query"]["query"])
        assert found is not None
        family, matcher, label = found.groups()
        match = f"{family}{(matcher or '').replace('$instance', 'yard')}"
        until(partial(result, watched, match), f"{variable['name']}: {match}")
        values = watched.get(f"/label/{label}/values", params={"match[]": match}).json()["data"]
        assert values
