"""`hashwatt backtest`: its table, its JSON, and what bad files and arguments get."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from controllers.cli import main

KIND = ("power", "coin", "difficulty")
GOOD = {
    "power": "interval_start_utc,price_usd_mwh\n"
    + "".join(f"2022-01-02T{h:02}:{m:02}Z,{40 + 300 * (h % 3) + m}\n" for h in range(12) for m in (0, 15, 30, 45)),
    "coin": "date,hashrate_ths,price_usd,fees_btc\n2022-01-01,1.7e8,47000,12\n2022-01-02,1.7e8,47300,11\n",
    "difficulty": "epoch,first_height,start_utc,nbits,difficulty\n358,721728,2021-12-31T00:00Z,170b8c8b,24371874614345.62\n",
}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """The three files of half a day."""
    paths = {kind: tmp_path / f"{kind}.csv" for kind in KIND}
    for kind, path in paths.items():
        path.write_text(GOOD[kind], encoding="utf-8")
    return paths


def run(files: dict[str, Path], *words: str) -> int:
    """The command with these files, in this process."""
    given = [word for kind in KIND for word in (f"--{kind}", str(files[kind]))]
    return main(["backtest", *given, "--machines", "3", "--jobs", "1", *words])


def results(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The first year's figures by policy."""
    return {one["policy"]: one for one in report["years"][0]["results"]}


NUMBER, TEXT = (int, float), (str,)
SCHEMA: dict[str, Any] = {
    "schema": TEXT,
    "files": {"power": TEXT, "coin": TEXT, "difficulty": TEXT, "site": (str, type(None))},
    "machines": NUMBER,
    "models": (dict,),
    "start_s": {"least": NUMBER, "most": NUMBER},
    "wear_usd_per_start": {"least": NUMBER, "most": NUMBER},
    "information": TEXT,
    "seed": NUMBER,
    "spread_power": NUMBER,
    "spread_hashrate": NUMBER,
    "policies": (dict,),
    "step_s": NUMBER,
    "from": TEXT,
    "until": TEXT,
    "skipped": [{"from": TEXT, "until": TEXT, "intervals": NUMBER, "why": TEXT}],
    "notes": (list,),
}
RESULT = {
    "policy": TEXT,
    "profit_usd": NUMBER,
    "share_of_clairvoyant": (float, type(None)),
    "flex_capture": (float, type(None)),
    "starts": (int,),
    "starts_per_machine": NUMBER,
    "uptime": NUMBER,
    "revenue_usd": NUMBER,
    "energy_usd": NUMBER,
    "wear_usd": NUMBER,
    "energy_mwh": NUMBER,
    "hashes_eh": NUMBER,
}
SCHEMA["years"] = [{"year": (int,), "intervals": (int,), "results": [RESULT]}]
SCHEMA["together"] = {"intervals": (int,), "results": [RESULT]}


def matches(value: Any, schema: Any, where: str = "$") -> None:
    """Exactly the keys of the schema, each of its type."""
    if isinstance(schema, dict):
        assert set(value) == set(schema), where
        for key, inner in schema.items():
            matches(value[key], inner, f"{where}.{key}")
    elif isinstance(schema, list):
        for number, item in enumerate(value):
            matches(item, schema[0], f"{where}[{number}]")
    else:
        assert isinstance(value, schema), where


def test_json_is_as_documented(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """A program that reads the report stops working."""
    lines = files["power"].read_text(encoding="utf-8").splitlines(keepends=True)
    files["power"].write_text("".join(lines[:20] + lines[22:]), encoding="utf-8")
    assert run(files, "--json", "--start-cost-usd-mw", "50", "--information", "current") == 0
    told = capsys.readouterr()
    report = json.loads(told.out)
    matches(report, SCHEMA)
    assert list(results(report)) == ["always-on", "threshold", "hysteresis", "regret", "clairvoyant"]
    assert [gap["intervals"] for gap in report["skipped"]] == [2]
    assert "2 intervals skipped" in told.err
    assert report["years"][0]["intervals"] == 46
    assert report["start_s"] == {"least": 600.0, "most": 600.0}
    assert report["wear_usd_per_start"]["most"] == pytest.approx(50 * 3068e-6)
    assert results(report)["clairvoyant"]["flex_capture"] == 1.0
    documented = (Path(__file__).parents[2] / "docs" / "backtest.md").read_text(encoding="utf-8")
    assert [key for key in (*SCHEMA, *RESULT) if f"`{key}`" not in documented] == []


def test_the_table_has_a_row_for_each_policy_and_year(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """A policy that is run and not shown."""
    assert run(files, "--policy", "threshold", "--model", "S21", "--model", "M60S") == 0
    told = capsys.readouterr()
    rows = [line.split()[:2] for line in told.out.splitlines() if line.strip().startswith("2022")]
    assert rows == [["2022", "always-on"], ["2022", "threshold"], ["2022", "clairvoyant"]]
    assert "Antminer S21, WhatsMiner M60S" in told.out
    assert told.err == ""


def test_processes_change_nothing(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Figures that depend on how many cores there are."""
    told = []
    for jobs in ("1", "2"):
        assert run(files, "--json", "--policy", "hysteresis", "--jobs", jobs) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0] == told[1]


def test_a_seed_makes_the_machines(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Machines that are alike where they should differ, or that cannot be had again."""
    energy = []
    for words in (("--seed", "1"), ("--seed", "1"), ("--seed", "2"), ("--alike",)):
        assert run(files, "--json", "--policy", "always-on", *words) == 0
        energy.append(results(json.loads(capsys.readouterr().out))["always-on"]["energy_mwh"])
    assert energy[0] == energy[1] != energy[2]
    assert energy[3] == pytest.approx(3 * 3068e-6 * 12)


def test_another_market_runs_unchanged(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Hourly prices in local time, in a named column, refused."""
    rows = [f"2022-01-02 {hour:02}:00:00,{hour},{50 + hour}\n" for hour in range(10)]
    files["power"].write_text("time,forecast,price\n" + "".join(rows), encoding="utf-8")
    words = ("--power-column", "price", "--time-zone", "Europe/Berlin", "--policy", "threshold")
    assert run(files, "--json", *words) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["step_s"], report["from"]) == (3600.0, "2022-01-01T23:00Z")
    assert report["years"][0]["intervals"] == 9
    assert report["skipped"][0]["why"].startswith("no earlier day in ")


def test_days_are_whole_and_inclusive(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """The last day left out."""
    assert run(files, "--json", "--policy", "always-on", "--from", "2022-01-02", "--to", "2022-01-02") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["from"], report["until"]) == ("2022-01-02T00:00Z", "2022-01-03T00:00Z")
    assert [(gap["intervals"], gap["why"].split(" in ")[0]) for gap in report["skipped"]] == [(48, "no price")]


@pytest.mark.parametrize(
    ("kind", "old", "new", "told"),
    [
        ("power", "Z,40\n", "Z,1e9\n", "power.csv, line 2: 1e9, expected price_usd_mwh from -10000 to 20000"),
        ("power", "Z,40\n", "Z,nan\n", "power.csv, line 2: nan, expected a number for price_usd_mwh"),
        (
            "power",
            "2022-01-02T00:15Z",
            "2022-01-02T00:00Z",
            "power.csv, line 3: 2022-01-02T00:00Z, expected a time after",
        ),
        ("power", "interval_start_utc", "when", "power.csv, line 1: when,price_usd_mwh, expected a header of a time"),
        ("coin", "47000", "-1", "coin.csv, line 2: -1, expected"),
        ("coin", "price_usd", "price", "coin.csv, line 1: date,hashrate_ths,price,fees_btc, expected the columns"),
        (
            "difficulty",
            "170b8c8b",
            "170b8c8c",
            "difficulty.csv, line 2: 24371874614345.62, expected the difficulty of nBits",
        ),
        ("difficulty", "2021-12-31", "2019-12-31", "expected at least one usable interval: no difficulty in"),
    ],
)
def test_a_bad_file_is_one_clear_message(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str], kind: str, old: str, new: str, told: str
) -> None:
    """A traceback, a silent default, or a figure computed from rubbish."""
    files[kind].write_text(GOOD[kind].replace(old, new, 1), encoding="utf-8")
    assert run(files, "--json") == 2
    said = capsys.readouterr()
    assert told in said.err.replace("'", "")
    assert said.out == ""
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--model", "S99"), "--model 'S99': no such nameplate, expected one of Antminer S19k Pro,"),
        (("--policy", "site"), "--policy site: there is no --site"),
        (("--power-column", "cost"), "expected a column named 'cost'"),
        (("--time-zone", "Mars/Olympus"), "time zone"),
        (("--from", "2030-01-01"), "expected at least one usable interval"),
        (("--from", "2022-01-03", "--to", "2022-01-01"), "--to 2022-01-01: before --from 2022-01-03"),
    ],
)
def test_what_cannot_be_done_is_said(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    """An argument that is not understood, and not refused."""
    assert run(files, *words) == 2
    said = capsys.readouterr()
    assert told in said.err
    assert said.out == ""


@pytest.mark.parametrize(
    "words",
    [("--from", "tomorrow"), ("--machines", "0"), ("--start-cost-usd-mw", "nan"), ("--start-s", "-1"), ("--jobs", "0")],
)
def test_arguments_have_their_ranges(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    """A number that no site has, taken as it is."""
    with pytest.raises(SystemExit) as ended:
        run(files, *words)
    assert ended.value.code == 2
    assert f"{words[1]!r}, expected" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_said(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """A traceback for a misspelt name."""
    files["coin"].unlink()
    assert run(files) == 2
    assert "coin.csv: No such file or directory, expected a file that can be read" in capsys.readouterr().err


SITE = """
name = "one"
[tariff]
kind = "index"
adder_usd_mwh = 10
[switching]
kind = "hysteresis"
band = 0.3
[[machines]]
id = "a"
model = "Antminer S19j Pro"
dialect = "antminer"
host = "192.0.2.1"
"""


def test_a_site_file_brings_its_own_rule(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The site's tariff or rule left out of its own backtest."""
    site = tmp_path / "site.toml"
    site.write_text(SITE, encoding="utf-8")
    assert run(files, "--json", "--site", str(site)) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["policies"]["site"] == {"kind": "hysteresis", "band": 0.3}
    assert (report["machines"], report["models"]) == (1, {"Antminer S19j Pro": 1})
    always = results(report)["always-on"]
    mean_price = sum(40 + 300 * (h % 3) + m for h in range(12) for m in (0, 15, 30, 45)) / 48 + 10
    assert always["energy_usd"] == pytest.approx(always["energy_mwh"] * mean_price)


def test_a_bad_site_file_is_said(files: dict[str, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A site file that is half understood."""
    site = tmp_path / "site.toml"
    site.write_text(SITE.replace("band = 0.3", "band = 3"), encoding="utf-8")
    assert run(files, "--site", str(site)) == 2
    assert "site.toml: switching" in capsys.readouterr().err
