"""What the daemon costs: 1,000 machines polled every 10 s, and how fast one order puts all of them to sleep.

A real `hashwatt run` over a world that `hashwatt simulate` serves from another process, each pinned to a core of its own.
CPU and memory are the operating system's own account of the daemon's process. Run: `python benchmarks/run.py daemon`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from controllers.control import ask_daemon

MACHINES: Final = 1_000
CPU_SHARE_MOST: Final = 0.20
RSS_MB_MOST: Final = 250.0
SETTLE_S: Final = 12.0
CODE: Final = "import sys; from controllers.cli import main; sys.exit(main(sys.argv[1:]))"


@contextmanager
def process(core: int, *words: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A hashwatt command on a core of its own, ended by SIGTERM."""
    cores = sorted(os.sched_getaffinity(0))
    mine = {cores[core % len(cores)]}
    root = Path(__file__).resolve().parent.parent
    path = os.pathsep.join((str(root), os.environ.get("PYTHONPATH", "")))
    with (
        log.open("wb") as said,
        subprocess.Popen(
            [sys.executable, "-c", CODE, *words],
            stdout=said,
            stderr=said,
            env={**os.environ, "PYTHONPATH": path},
            preexec_fn=lambda: os.sched_setaffinity(0, mine),  # noqa: PLW1509 - no thread is running here yet
        ) as child,
    ):
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(timeout=30)
            except subprocess.TimeoutExpired:
                child.kill()


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    """The most memory that a process has held."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM"))


def wait_for(what: str, found: Callable[[], bool], deadline_s: float, log: Path) -> float:
    """Wait for something; how long it took.

    Raises:
        RuntimeError: it did not come; the message has the end of the log.
    """
    began = time.monotonic()
    while time.monotonic() - began < deadline_s:
        if found():
            return time.monotonic() - began
        time.sleep(0.05)
    raise RuntimeError(f"no {what} within {deadline_s:g} s; {log.read_text()[-500:]}")


def status(socket: Path) -> dict[str, Any] | None:
    """The daemon's sums; None while it does not answer."""
    try:
        answer = asyncio.run(ask_daemon(socket, {"ask": "status"}))
    except (ConnectionError, TimeoutError):
        return None
    return answer.get("sums")


def measure(folder: Path, seconds: float) -> dict[str, Any]:
    """The figures of one run."""
    site, log = folder / "site.toml", folder / "log"
    words = ("simulate", "--scenario", "thousand", "--net", "83", "--live", "--dir", str(folder))
    with process(1, *words, log=folder / "world"):
        wait_for(
            "site file", lambda: site.exists() and b"serving" in (folder / "world").read_bytes(), 60, folder / "world"
        )
        # Every machine is asked every 10 s (the site file's default at real speed).
        with process(0, "run", "--site", str(site), log=log) as daemon:
            socket = folder / "state" / "hashwatt.sock"

            def by_state() -> dict[str, int]:
                sums = status(socket)
                return {} if sums is None else sums["machines_by_state"]

            first_look_s = wait_for("first look", lambda: by_state().get("hashing", 0) >= 0.99 * MACHINES, 60, log)
            time.sleep(SETTLE_S)
            began, used = time.monotonic(), cpu_s(daemon.pid)
            time.sleep(seconds)
            share = (cpu_s(daemon.pid) - used) / (time.monotonic() - began)
            order = {"kind": "curtail", "for_s": 3_600, "who": "benchmark", "rank": "emergency"}
            asyncio.run(ask_daemon(socket, {"ask": "order", "order": order}))
            asleep_s = wait_for("sleep of 99 %", lambda: by_state().get("sleeping", 0) >= 0.99 * MACHINES, 120, log)
            return {
                "machines": MACHINES,
                "cpu_share_of_a_core": round(share, 4),
                "rss_mb": round(rss_mb(daemon.pid), 1),
                "first_look_s": round(first_look_s, 2),
                "order_to_99_percent_asleep_s": round(asleep_s, 2),
            }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 when a figure is not reached."""
    parser = argparse.ArgumentParser(prog="benchmarks/daemon.py", description=main.__doc__)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), options.seconds)
    print(
        f"daemon, {MACHINES} machines, every 10 s: {figures['cpu_share_of_a_core']:.1%} of a core (wanted: under 20 %)"
    )
    print(f"memory at most: {figures['rss_mb']:.0f} MB (wanted: under 250 MB)")
    print(f"first look at all: {figures['first_look_s']:.1f} s")
    print(
        f"one order to 99 % asleep by read-back: {figures['order_to_99_percent_asleep_s']:.1f} s (with the machines' own time)"
    )
    if options.json is not None:
        options.json.write_text(json.dumps(figures))
    reached = figures["cpu_share_of_a_core"] < CPU_SHARE_MOST and figures["rss_mb"] < RSS_MB_MOST
    return 0 if reached else 1


if __name__ == "__main__":
    raise SystemExit(main())
