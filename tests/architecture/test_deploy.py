"""The systemd units: accepted by systemd, hardened, and each started as the command line is."""

from __future__ import annotations

import argparse
import configparser
import importlib
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from controllers.cli import COMMANDS
from controllers.pool.settings import Limits
from controllers.pool.tap import _FILES_KEPT

UNITS = ("hashwatt.service", "hashwatt-guard.service", "hashwatt-tap.service")
BEATS = {"hashwatt.service", "hashwatt-tap.service"}
"""Units whose commands tell systemd that they turn."""
TIES = ("BindsTo", "Requires", "Requisite", "PartOf", "Upholds", "Conflicts", "StopPropagatedFrom", "PropagatesStopTo")


def verified(folder: Path, units: dict[str, str]) -> str:
    """What `systemd-analyze verify` says of these units, their programs replaced by one that is on every host."""
    for name, text in units.items():
        (folder / name).write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=" + str(shutil.which("true")), text))
    command = [
        "systemd-analyze",
        "verify",
        "--man=no",
        "--recursive-errors=no",
        *(str(folder / name) for name in units),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return "\n".join(line for line in ran.stderr.splitlines() if str(folder) in line)


def parsed(text: str) -> configparser.ConfigParser:
    """A unit's sections and keys; of a key that stands several times the last."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser


@pytest.fixture(scope="module")
def units(root: Path) -> dict[str, str]:
    """The units' texts."""
    return {name: (root / "deploy" / name).read_text(encoding="utf-8") for name in UNITS}


@pytest.mark.requires("systemd-analyze")
def test_systemd_accepts_the_units(units: dict[str, str], tmp_path: Path) -> None:
    """A key that systemd does not know is ignored in silence on the site's controller."""
    assert verified(tmp_path, units) == ""


@pytest.mark.requires("systemd-analyze")
def test_a_wrong_unit_is_noticed(units: dict[str, str], tmp_path: Path) -> None:
    """A check that accepts everything would keep the one above green for ever."""
    wrong = {"hashwatt.service": units["hashwatt.service"].replace("Restart=always", "Restart=sometimes")}
    assert "sometimes" in verified(tmp_path, wrong)


@pytest.mark.parametrize("name", UNITS)
def test_units_come_back_and_hold_little(units: dict[str, str], name: str) -> None:
    """A daemon that stays dead leaves a site without a controller; one with the run of the host is a door into it."""
    parser = parsed(units[name])
    assert parser["Unit"]["StartLimitIntervalSec"] == "0"
    service = parser["Service"]
    expected = {
        "Type": "notify" if name == "hashwatt-tap.service" else "exec",
        "Restart": "always",
        "User": "hashwatt",
        "StateDirectory": "hashwatt",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "NoNewPrivileges": "yes",
        "CapabilityBoundingSet": "",
    }
    assert {key: service[key] for key in expected} == expected


def test_the_tap_outlives_the_daemon(units: dict[str, str]) -> None:
    """A unit that is stopped with the daemon cuts every machine off at each of its restarts."""
    for name, other in (("hashwatt-tap.service", "hashwatt."), ("hashwatt.service", "hashwatt-tap.")):
        unit = parsed(units[name])["Unit"]
        assert not [tie for tie in TIES if other in unit.get(tie, "")]


def test_the_tap_may_hold_ten_thousand_machines(units: dict[str, str]) -> None:
    """Open files that are too few turn machines away, in pass mode at half of what is expected."""
    service = parsed(units["hashwatt-tap.service"])["Service"]
    assert int(service["LimitNOFILE"]) >= 2 * Limits().connections + _FILES_KEPT
    assert Limits().connections >= 10_000


@pytest.mark.parametrize("name", UNITS)
def test_who_hangs_is_killed(units: dict[str, str], name: str) -> None:
    """A watchdog of a unit that never beats kills it time and again; a stopped process outlasts every other signal."""
    service = parsed(units[name])["Service"]
    assert ("WatchdogSec" in service) is (name in BEATS)
    if name in BEATS:
        assert service["WatchdogSignal"] == "SIGKILL"


@pytest.mark.parametrize("name", UNITS)
def test_units_speak_the_command_line(units: dict[str, str], name: str) -> None:
    """A command or an option that was renamed: the unit restarts every few seconds, for ever, with a usage message."""
    (line,) = re.findall(r"(?m)^ExecStart=(.+)$", units[name])
    _, command, *words = shlex.split(line)
    parser = argparse.ArgumentParser(exit_on_error=False)
    importlib.import_module(COMMANDS[command][0]).add_arguments(parser)
    parser.parse_args(words)
