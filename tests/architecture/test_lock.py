"""The lock file: what it pins is what pyproject.toml asks for, and it sends nobody anywhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PINNED = re.compile(r"^([a-z0-9][a-z0-9.-]*)==(\S+)")


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def lock(root: Path) -> list[str]:
    """The lock's lines."""
    return (root / "requirements.lock").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def asked(project: dict[str, Any]) -> list[Requirement]:
    """Every requirement of the product, its extras and its groups."""
    tables = [project["project"]["dependencies"], *project["project"].get("optional-dependencies", {}).values()]
    tables += list(project["dependency-groups"].values())
    return [Requirement(text) for table in tables for text in table if isinstance(text, str)]


def test_lock_answers_what_the_project_asks(asked: list[Requirement], lock: list[str]) -> None:
    """A dependency added without `make lock` is missing, or older than asked, on the next fresh machine."""
    pinned = {match[1]: match[2] for line in lock if (match := PINNED.match(line))}
    unmet = [
        str(requirement)
        for requirement in asked
        if not requirement.specifier.contains(pinned.get(canonicalize_name(requirement.name), "0"), prereleases=True)
    ]
    assert unmet == []


def test_lock_is_hashes_and_versions_only(lock: list[str]) -> None:
    """An address in the lock sends every user to the registry of whoever made it."""
    shape = re.compile(r"^(?:[a-z0-9][a-z0-9.-]*==\S+(?: ; [^\\]+)? \\|    --hash=sha256:[0-9a-f]{64}(?: \\)?)$")
    assert [line for line in lock if not shape.match(line)] == []
    heads = [number for number, line in enumerate(lock) if PINNED.match(line)]
    assert [lock[n] for n in heads if not lock[n + 1].startswith("    --hash=sha256:")] == []
