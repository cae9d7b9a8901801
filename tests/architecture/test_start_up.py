"""What an import costs: the command line and the pure part stay light, and no import has an effect."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from controllers.cli import COMMANDS

HEAVY = (
    "aiohttp",
    "aiomqtt",
    "asyncssh",
    "httpx",
    "llvmlite",
    "numba",
    "paho",
    "prometheus_client",
    "pyasic",
    "pyasic_rs",
    "rich",
    "scipy",
    "uvloop",
)
"""What costs tens of milliseconds or megabytes to import, and most commands do not need."""

LOADED = """
import importlib, json, sys
brought = {}
for name in json.loads(sys.argv[1]):
    before = set(sys.modules)
    importlib.import_module(name)
    brought[name] = sorted({new.partition(".")[0] for new in set(sys.modules) - before})
print(json.dumps(brought))
"""


def brought_by(names: list[str]) -> dict[str, list[str]]:
    """Which top-level packages came with each module, imported in this order in a process of its own."""
    ran = subprocess.run(
        [sys.executable, "-P", "-c", LOADED, json.dumps(names)], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    brought: dict[str, list[str]] = json.loads(ran.stdout)
    return brought


def test_command_line_starts_light() -> None:
    """`hashwatt --help` would take a second and a hundred megabytes."""
    (brought,) = brought_by(["controllers.cli"]).values()
    assert sorted(set(brought) & {*HEAVY, "simulators"}) == []


def test_every_command_is_there_and_light() -> None:
    """A command in the list that has no module, or one whose `--help` loads what it has not been asked to use."""
    heavy = {
        name: sorted(set(new) & {*HEAVY, "simulators"})
        for name, new in brought_by([module for module, _ in COMMANDS.values()]).items()
    }
    assert {name: new for name, new in heavy.items() if new} == {}


def test_fleet_and_policies_import_light(modules: dict[str, Path]) -> None:
    """A noun that drags in a client library would cost every process that thinks about machines."""
    names = sorted(name for name in modules if name.partition(".")[0] in {"fleet", "policies"})
    heavy = {name: sorted(set(new) & set(HEAVY)) for name, new in brought_by(names).items()}
    assert {name: new for name, new in heavy.items() if new} == {}
