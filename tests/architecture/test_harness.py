"""The tests' own ground rules: nothing leaves loopback, nothing is left out in silence, long ones run when asked."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import socket
import pytest

def test_reaches_out():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
        except OSError:
            pass

def test_looks_up():
    try:
        socket.getaddrinfo("example.com", 80)
    except OSError:
        pass

def test_stays():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass

@pytest.mark.requires("no-such-program")
def test_beside_a_program():
    pass

@pytest.mark.long
def test_for_minutes():
    pass
"""


def outcome(folder: Path, root: Path, *arguments: str, **environment: str) -> dict[str, int]:
    """Counts of a pytest run over TESTS under the project's conftest, in a process of its own."""
    shutil.copy(root / "tests/conftest.py", folder)
    (folder / "test_rules.py").write_text(TESTS, encoding="utf-8")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "CI", "HYPOTHESIS"))}
    marks = ["-o", "markers=requires: programs\nlong: minutes"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers", *marks, *arguments],
        cwd=folder,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    last = ran.stdout.strip().splitlines()[-1]
    return {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|skipped|errors|deselected)", last)}


@pytest.mark.parametrize(
    ("arguments", "ci", "expected"),
    [
        ([], "", {"passed": 3, "skipped": 1, "deselected": 1, "errors": 2}),
        ([], "true", {"passed": 3, "deselected": 1, "errors": 3}),
        (["--long"], "", {"passed": 4, "skipped": 1, "errors": 2}),
    ],
)
def test_rules_of_the_harness(
    tmp_path: Path, root: Path, arguments: list[str], ci: str, expected: dict[str, int]
) -> None:
    """A test that scans the office network, or one that is skipped on every machine for a year."""
    assert outcome(tmp_path, root, *arguments, CI=ci) == expected
