"""The project's own files, for the tests that read them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("fleet", "policies", "controllers", "simulators")


def _files() -> list[Path]:
    """What git knows or would add; without git, what lies here but for what the tools make."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        found = [ROOT / name.decode() for name in listed.stdout.split(b"\0") if name]
    else:
        made = {".venv", ".cache", ".git", "build", "dist", "__pycache__"}
        found = [path for path in ROOT.rglob("*") if not made & set(path.relative_to(ROOT).parts)]
    return sorted(path for path in found if path.is_file())


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def packages() -> tuple[str, ...]:
    """The four import packages."""
    return PACKAGES


@pytest.fixture(scope="session")
def files() -> list[Path]:
    """Every file of the project, absolute, sorted."""
    return _files()


@pytest.fixture(scope="session")
def modules(files: list[Path]) -> dict[str, Path]:
    """Every module of the four packages by its dotted name."""
    named = {}
    for path in files:
        parts = path.relative_to(ROOT).with_suffix("").parts
        if path.suffix == ".py" and parts[0] in PACKAGES:
            named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named
