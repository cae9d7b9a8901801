"""The set-up on machines other than ours: no Python that will do, no broker, no root, a benchmark that fails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def run(command: list[str], cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command with nothing of the caller's environment."""
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=60)


def script(path: Path, *lines: str) -> None:
    """An executable of these lines."""
    path.write_text("\n".join(["#!/bin/bash", *lines, ""]), encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH of its own with the few programs that the scripts use, and none of those they look for."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "env", "sort", "tail", "mkdir", "sed", "dirname", "rm", "id", "timeout"):
        (folder / name).symlink_to(str(shutil.which(name)))
    return folder


def test_old_python_is_named(tools: Path, root: Path) -> None:
    """Make stops with "Error 1" on a machine with Python 3.9, and nobody knows what to install."""
    script(tools / "python3", f"exec {sys.executable} -c \"import sys; sys.exit('is 3.9.2')\"")
    ran = run([str(root / ".ci/python")], root, PATH=str(tools), PYTHON="python3")
    assert ran.returncode == 1
    assert "needs Python 3.11 or newer" in ran.stderr
    assert "is 3.9.2" in ran.stderr


def test_first_python_that_will_do_is_taken(tools: Path, root: Path) -> None:
    """A distribution's old python3 would hide the newer one beside it."""
    script(tools / "python3", "exit 1")
    (tools / "python3.12").symlink_to(sys.executable)
    ran = run([str(root / ".ci/python")], root, PATH=str(tools))
    assert (ran.returncode, ran.stdout.strip()) == (0, str(tools / "python3.12"))


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
def test_missing_programs_are_said(tools: Path, root: Path, tmp_path: Path, ci: str, code: int) -> None:
    """Tests left out in silence on a laptop; or, worse, in CI."""
    text = (root / ".ci/system-packages").read_text(encoding="utf-8").replace("PATH=$PATH:/usr/sbin:/sbin\n", "")
    script(tmp_path / "system-packages", text)
    ran = run([str(tmp_path / "system-packages")], tmp_path, PATH=str(tools), CI=ci, SYSTEM_PACKAGES="no")
    assert ran.returncode == code
    assert "mosquitto node npm prometheus promtool" in ran.stderr


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
def test_missing_clients_are_said(tools: Path, root: Path, tmp_path: Path, ci: str, code: int) -> None:
    """A third party's client that could not be had is a test left out in silence."""
    for name in ("cat", "cksum", "cp"):
        (tools / name).symlink_to(str(shutil.which(name)))
    shutil.copytree(root / ".ci", tmp_path / ".ci")
    script(tools / "npm", "echo 'no way to the registry' >&2", "exit 1")
    ran = run([str(tmp_path / ".ci/node-packages")], tmp_path, PATH=str(tools), CI=ci)
    assert ran.returncode == code
    assert "npm failed: no way to the registry" in ran.stderr
    assert "left out" in ran.stderr


def test_missing_programs_are_installed_by_root_without_their_services(tools: Path, root: Path, tmp_path: Path) -> None:
    """`make test` on a fresh machine would leave out the real broker, or leave a service running there."""
    policy = tmp_path / "policy-rc.d"
    text = (root / ".ci/system-packages").read_text(encoding="utf-8").replace("PATH=$PATH:/usr/sbin:/sbin\n", "")
    script(tmp_path / "system-packages", text.replace("/usr/sbin/policy-rc.d", str(policy)))
    (tools / "id").unlink()
    script(tools / "id", "echo 0")
    for name in ("tee", "chmod", "cat"):
        (tools / name).symlink_to(str(shutil.which(name)))
    installs = (
        "for p in mosquitto node npm prometheus promtool; do printf '#!/bin/bash\\n' >"
        + str(tools)
        + "/$p; chmod 755 "
        + str(tools)
        + "/$p; done"
    )
    script(tools / "apt-get", f'echo "$*" >>{tmp_path}/asked', f"cat {policy} >>{tmp_path}/asked", installs)
    ran = run([str(tmp_path / "system-packages")], tmp_path, PATH=str(tools), CI="true")
    assert (ran.returncode, ran.stderr) == (0, "")
    asked = (tmp_path / "asked").read_text(encoding="utf-8")
    assert "install -y --no-install-recommends mosquitto nodejs npm prometheus" in asked
    assert "exit 101" in asked
    assert not policy.exists()


def test_runner_gathers_figures_and_failures(root: Path, tmp_path: Path) -> None:
    """A benchmark that fails in the middle of ten would pass unseen, and its figures would be yesterday's."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    shutil.copy(root / "benchmarks/run.py", folder)
    (folder / "good.py").write_text(
        "def main(argv):\n    open(argv[1], 'w').write('{\"rate\": 7}')\n    return 0\n", encoding="utf-8"
    )
    (folder / "bad.py").write_text("def main(argv):\n    return 3\n", encoding="utf-8")
    ran = run([sys.executable, str(folder / "run.py"), "--json", str(tmp_path / "all.json")], tmp_path, **os.environ)
    assert ran.returncode == 1
    assert "failed: bad" in ran.stderr
    report = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))["benchmarks"]
    assert {name: (one["exit"], one["figures"]) for name, one in report.items()} == {
        "good": (0, {"rate": 7}),
        "bad": (3, None),
    }
