"""What every test stands on: hypothesis profiles, programs that may be missing, and no way out of loopback.

A test that cannot run here says why, once, in the summary; with CI=true it fails instead. An audit hook watches every
socket that Python opens, and a test that reaches beyond this machine fails by name. The header says which examples run,
and how to run the same ones again.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis.database import DirectoryBasedExampleDatabase

ROOT = Path(__file__).resolve().parent.parent
CI = os.environ.get("CI") == "true"
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "ci" if CI else "dev")
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
"""Debian keeps daemons where a user's PATH may not look."""

_SLOW = [hypothesis.HealthCheck.too_slow]
_DATABASE = DirectoryBasedExampleDatabase(ROOT / ".cache" / "hypothesis")
hypothesis.settings.register_profile(
    "ci", derandomize=True, deadline=None, database=None, print_blob=True, suppress_health_check=_SLOW
)
hypothesis.settings.register_profile(
    "dev", deadline=None, database=_DATABASE, print_blob=True, suppress_health_check=_SLOW
)
hypothesis.settings.register_profile(
    "long", max_examples=3_000, deadline=None, database=_DATABASE, print_blob=True, suppress_health_check=_SLOW
)
hypothesis.settings.load_profile(PROFILE)

_escapes: list[str] = []
"""Addresses beyond loopback that the running test tried to reach."""


def _is_local(host: object) -> bool:
    """Whether an address given to a socket stays on this machine."""
    if isinstance(host, bytes):
        host = host.decode(errors="replace")
    if not isinstance(host, str) or host in {"", "localhost"} or host.endswith((".localhost", ".invalid")):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _watch_sockets(event: str, arguments: tuple[Any, ...]) -> None:
    """The audit hook: refuses what leaves the machine, and remembers it for the test's own verdict."""
    if event in {"socket.connect", "socket.sendto", "socket.bind"}:
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) and address else None
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if not _is_local(host):
        _escapes.append(f"{event} {host!r}")
        raise PermissionError(f"a test may not reach beyond loopback: {event} {host!r}")


sys.addaudithook(_watch_sockets)


@pytest.fixture(autouse=True)
def _stays_on_loopback() -> Iterator[None]:
    """Fails the test that tried to leave the machine, whatever its code made of the error."""
    _escapes.clear()
    yield
    if _escapes:
        pytest.fail(f"reached beyond loopback: {', '.join(_escapes[:5])}", pytrace=False)


def program(name: str) -> str | None:
    """Where a program is, Debian's places for daemons included; None where it is missing."""
    return shutil.which(name, path=SEARCH_PATH)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--long`: run the tests marked `long` too."""
    parser.addoption("--long", action="store_true", default=False, help="run the tests marked `long` too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without `--long`, those marked so are left out (and counted as deselected)."""
    if config.getoption("--long"):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """`@pytest.mark.requires("mosquitto")`: skip where it is missing, fail in CI."""
    names = [str(name) for marker in item.iter_markers("requires") for name in marker.args]
    missing = [name for name in names if program(name) is None]
    if missing:
        reason = f"not on this machine: {', '.join(missing)} (.ci/system-packages installs it)"
        if CI:
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


def pytest_report_header() -> list[str]:
    """What decides the examples of this run."""
    how = (
        "derandomized: the same examples every time" if PROFILE == "ci" else "random; --hypothesis-seed=N repeats a run"
    )
    return [f"hypothesis profile {PROFILE} ({how})"]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What was left out and why, and what the stages before the tests took."""
    reasons = {str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []) if report.longrepr}
    for reason in sorted(reasons):
        terminalreporter.write_line(f"left out: {reason.removeprefix('Skipped: ')}")
    if stages := os.environ.get("HASHWATT_STAGES"):
        terminalreporter.write_line(f"before the tests:{stages}")
