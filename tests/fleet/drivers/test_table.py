"""The table of dialects: every name opens its driver, and what is heavy stays out until it is needed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fleet.drivers import DIALECTS, open_driver
from fleet.links import Credentials
from fleet.machine import Machine


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_opens(machine_of: Callable[..., Machine], dialect: str) -> None:
    """A row that names no module would show at the first poll of a site."""
    machine = replace(machine_of("Antminer S21", "antminer"), dialect=dialect)
    driver: Any = open_driver(machine, Credentials("u", "p"), read_deadline_s=1, write_deadline_s=2)
    assert all(callable(getattr(driver, verb)) for verb in ("read", "set_mode", "close"))
    assert type(driver).__module__ == DIALECTS[dialect][0]


def test_an_unknown_dialect_is_named_with_those_there_are(machine_of: Callable[..., Machine]) -> None:
    """An operator who mistypes a dialect has to see the right ones."""
    machine = replace(machine_of("Antminer S21", "antminer"), dialect="luxor")
    with pytest.raises(LookupError, match=r"'m1'.*'luxor'.*luxos, antminer, whatsminer-v3, asic-rs, pyasic"):
        open_driver(machine, Credentials())


def test_the_libraries_are_imported_only_when_used() -> None:
    """pyasic alone takes 0.8 s and 62 MB; a site without such machines must not pay for it."""
    code = (
        "import sys, fleet.drivers, fleet.drivers.luxos, fleet.drivers.antminer, fleet.drivers.whatsminer_v3,"
        " fleet.drivers.library_asicrs, fleet.drivers.library_pyasic;"
        "print([name for name in ('pyasic', 'pyasic_rs', 'httpx', 'aiohttp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "[]"
