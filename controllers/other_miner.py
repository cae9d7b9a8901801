"""Another miner's rate on this host: cpuminer's own benchmark of SHA-256d, where one is installed.

It is run by the name that it has on the PATH, for a bounded time, with as many threads as asked for, and reaches for no
network. Its rate is the best total that it prints after its first, so that what else the host was doing counts against us
and not against it; the first averages in a scan that is too short to be timed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NAMES: Final = ("cpuminer", "cpuminer-opt", "minerd")
"""What cpuminer-opt and its forefather are installed as."""
LEAST_S: Final = 16
"""It prints a total every five seconds or so."""
_GRACE_S: Final = 15.0
_MOST_OUTPUT_CHARACTERS: Final = 1 << 20
_RATE: Final = re.compile(r"Total: +([0-9]+(?:\.[0-9]+)?) +([kMGT]?)(?:H/s|hash/s)")
_SCALE: Final = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_VERSION: Final = re.compile(r"cpuminer(?:-opt|-multi)? +v?[0-9][0-9.]*")


@dataclass(frozen=True, slots=True)
class OtherRate:
    """What it said: its name and version, on how many threads, hashes a second, and the command that was run."""

    miner: str
    threads: int
    hashes_s: float
    command: str


@dataclass(frozen=True, slots=True)
class NoRate:
    """Why there is nothing to compare with."""

    why: str


def installed(path: str | None = None) -> Path | None:
    """The first of the names that is on the PATH (or another)."""
    found = (shutil.which(name, path=path) for name in NAMES)
    return next((Path(name) for name in found if name is not None), None)


def run(program: Path, threads: int, seconds: float, grace_s: float = _GRACE_S) -> OtherRate | NoRate:
    """Its benchmark, on so many threads for about so many seconds, and killed when it goes on for `grace_s` after them."""
    limit_s = max(LEAST_S, round(seconds))
    # it would rather run when nobody else does: 2 is the priority that we have
    options = ["--algo", "sha256d", "--benchmark", "--cpu-priority", "2"]
    options += ["--threads", str(threads), "--time-limit", str(limit_s)]
    try:
        done = subprocess.run(  # noqa: S603 - a program that the operator installed, and no input of others
            [str(program), *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=limit_s + grace_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return NoRate(f"{program.name} did not end {grace_s:g} s after its time limit of {limit_s} s")
    except OSError as error:
        return NoRate(f"{program.name} does not run: {error.strerror}")
    return read(done.stdout.decode(errors="replace"), program.name, threads, " ".join([program.name, *options]))


def read(text: str, name: str, threads: int, command: str) -> OtherRate | NoRate:
    """The rate in what it printed."""
    text = text[-_MOST_OUTPUT_CHARACTERS:]
    rates = [float(value) * _SCALE[scale] for value, scale in _RATE.findall(text)]
    best = max(rates[1:] or rates, default=0.0)
    if best <= 0:
        last = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "nothing")
        return NoRate(f"{name} told no rate; it said last: {last[:200]}")
    version = _VERSION.search(text)
    return OtherRate(version.group() if version else name, threads, best, command)
