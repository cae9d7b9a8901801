"""What a user gets: the wheel's contents, and that the tests ran against it."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, root: Path) -> zipfile.ZipFile:
    """A wheel built from the checkout as it is now."""
    target = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(target)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (path,) = target.glob("*.whl")
    return zipfile.ZipFile(path)


def test_wheel_holds_exactly_the_four_packages(wheel: zipfile.ZipFile, packages: tuple[str, ...]) -> None:
    """Tests, docs or a stray folder in the wheel would land in every user's site-packages."""
    tops = {name.split("/", 1)[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(packages)


def test_wheel_holds_every_file_of_the_packages(
    wheel: zipfile.ZipFile, packages: tuple[str, ...], root: Path, files: list[Path]
) -> None:
    """A capture, a price series or a page that is left out would be missed only on a user's machine."""
    expected = {str(path.relative_to(root)) for path in files if path.relative_to(root).parts[0] in packages}
    assert expected - set(wheel.namelist()) == set()


def test_every_folder_with_code_is_a_package(modules: dict[str, Path], packages: tuple[str, ...], root: Path) -> None:
    """A folder without __init__.py can be reached into by another distribution, and says nothing of itself."""
    folders = {path.parent for path in modules.values()}
    assert sorted(str(folder.relative_to(root)) for folder in folders if not (folder / "__init__.py").exists()) == []


def test_wheel_names_its_licence_and_command(wheel: zipfile.ZipFile) -> None:
    """Without the entry point there is no `hashwatt`; without LICENSE and NOTICE the data may not be passed on."""
    names = wheel.namelist()
    (entry,) = [name for name in names if name.endswith("entry_points.txt")]
    assert "hashwatt = controllers.cli:main" in wheel.read(entry).decode()
    assert {Path(name).name for name in names if "/licenses/" in name} == {"LICENSE", "NOTICE"}


def test_tests_run_against_the_installed_wheel(packages: tuple[str, ...], root: Path) -> None:
    """A file forgotten in the wheel is found only when the checkout does not shadow it."""
    installed = importlib.metadata.distribution("hashwatt") if _is_installed() else None
    direct = json.loads((installed.read_text("direct_url.json") if installed else None) or "{}")
    if os.environ.get("CI") != "true" and (installed is None or direct.get("dir_info", {}).get("editable")):
        pytest.skip("hashwatt is not installed from a wheel here; `make test` does that")
    for package in packages:
        origin = Path(str(importlib.import_module(package).__file__))
        assert origin.is_relative_to(sys.prefix), f"{package} comes from {origin}"
        assert not origin.is_relative_to(root / package), f"{package} comes from the checkout"


def _is_installed() -> bool:
    """Whether the distribution is there under its name."""
    return any(distribution.name == "hashwatt" for distribution in importlib.metadata.distributions())
