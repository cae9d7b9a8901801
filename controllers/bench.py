"""The host's own SHA-256d rate: every engine, on one worker and on several, and what it costs in energy.

An engine has to find the genesis block before it is timed. It goes through nonces of one version, or of many versions
(BIP 310), whose headers share work. Workers are threads where the engine gains by them and processes where it does not;
they start together and each counts what it hashed in the time that it took. Energy is the processor's own counter (RAPL),
where the host lets it be read.
"""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from time import perf_counter
from typing import Literal, TypeAlias

from fleet.catalogue import NAMEPLATES
from fleet.machine import Machine
from fleet.units import efficiency_j_th
from fleet.work.sha256d import GENESIS_HEAD, GENESIS_NONCE, MOST_NONCES, Engine, engines, proven

Work: TypeAlias = Literal["nonces", "versions"]
VERSIONS: Mapping[Work, tuple[int, ...]] = {"nonces": (), "versions": tuple(0x2000_0000 | i << 13 for i in range(64))}
"""What a scan goes through beside nonces: the header's own version, or 64 of those that BIP 310 lets a miner roll."""
_START_S = 60.0
_FIRST_BATCH = 2_000
_BATCH_S = 0.05
_POWERCAP = Path("/sys/class/powercap")
_FIRST_HASH = """
from time import perf_counter
from fleet.work.sha256d import GENESIS_HEAD, chosen
chosen(perf_counter).engine.scan(GENESIS_HEAD, range(1), 0)
print("hashed", flush=True)
"""


class BenchFailed(Exception):
    """A measurement that cannot be had, and why."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What one engine did on so many workers. `joules` is the whole processor's, idle part included; None: not known."""

    engine: str
    work: Work
    workers: int
    kind: Literal["threads", "processes"]
    hashes: int
    seconds: float
    joules: float | None

    @property
    def hashes_s(self) -> float:
        """Hashes a second."""
        return self.hashes / self.seconds

    @property
    def joules_th(self) -> float | None:
        """Joules per terahash, the unit of machines' efficiency."""
        return None if self.joules is None else self.joules / self.hashes * 1e12


@dataclass(frozen=True, slots=True)
class Asic:
    """A machine to compare with, at its usual operating point."""

    model: str
    hashrate_ths: float
    efficiency_j_th: float


def measure(engine: Engine, workers: int, seconds: float, work: Work = "nonces", powercap: Path = _POWERCAP) -> Rate:
    """One engine on so many workers for about so many seconds.

    Raises:
        BenchFailed: it does not find the genesis block, cannot be compiled, or a worker does not come back.
    """
    _prove(engine)
    before_j = package_joules(powercap)
    began = perf_counter()
    if workers == 1 or engine.threads_gain:
        kind: Literal["threads", "processes"] = "threads"
        results = _by_threads(engine, workers, seconds, work)
    else:
        kind = "processes"
        results = _by_processes(engine.name, workers, seconds, work)
    wall_s = perf_counter() - began
    after_j = package_joules(powercap)
    hashes, took_s = sum(count for count, _ in results), max(took for _, took in results)
    joules = None
    # starting processes takes a while, and draws power: the counter is taken for what the hashing's share of the time is
    if before_j is not None and after_j is not None and after_j > before_j:
        joules = (after_j - before_j) * min(1.0, took_s / wall_s)
    return Rate(engine.name, work, workers, kind, hashes, took_s, joules)


def first_hash_s(deadline_s: float = _START_S) -> float:
    """Seconds from the start of a new Python process to its first hash, engine chosen and compiled.

    Raises:
        BenchFailed: it does not come to it.
    """
    began = perf_counter()
    command = [sys.executable, "-c", _FIRST_HASH]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own Python
        assert process.stdout is not None
        late = threading.Timer(deadline_s, process.kill)
        late.start()
        said = process.stdout.readline()
        took_s = perf_counter() - began
        late.cancel()
    if said.strip() != "hashed":
        raise BenchFailed(f"a new process did not hash within {deadline_s:g} s")
    return took_s


def best_asic(machines: Sequence[Machine] = ()) -> Asic | None:
    """The most efficient of a site's machines at its usual operating point; of the catalogue's where none are given."""
    points = [(m.model, m.modes[m.mode_named(m.usual)]) for m in machines] or [
        (plate.model, next(mode for mode in plate.modes if mode.name == plate.usual)) for plate in NAMEPLATES
    ]
    found = [
        Asic(model, mode.hashrate_ths, efficiency)
        for model, mode in points
        if (efficiency := efficiency_j_th(mode.power_w, mode.hashrate_ths)) is not None
    ]
    return min(found, key=lambda asic: (asic.efficiency_j_th, -asic.hashrate_ths), default=None)


def package_joules(powercap: Path = _POWERCAP) -> float | None:
    """The processors' energy counters together, J; None where the host has none or does not let them be read."""
    total_uj = 0
    packages = sorted(powercap.glob("intel-rapl:[0-9]*")) if powercap.is_dir() else []
    packages = [package for package in packages if package.name.count(":") == 1]
    for package in packages:
        try:
            total_uj += int((package / "energy_uj").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
    return total_uj / 1e6 if packages else None


def _prove(engine: Engine) -> None:
    """The engine finds the genesis block among its neighbours, and nothing else."""
    try:
        right = proven(engine)
    except RuntimeError as error:
        raise BenchFailed(f"engine {engine.name} cannot be compiled: {error}") from error
    if not right:
        raise BenchFailed(f"engine {engine.name} does not find the genesis block, nonce {GENESIS_NONCE}")


def hash_for(engine: Engine, seconds: float, work: Work = "nonces") -> tuple[int, float]:
    """Scan until the time is over; hashes done, and the seconds that they took. Code is compiled before the time runs."""
    versions = VERSIONS[work]
    engine.scan(GENESIS_HEAD, range(1), 0, versions)
    batch, done = _FIRST_BATCH * max(1, len(versions)), 0
    began = perf_counter()
    while (elapsed := perf_counter() - began) < seconds:
        nonces = max(1, batch // max(1, len(versions)))
        first = done % (MOST_NONCES - nonces)
        engine.scan(GENESIS_HEAD, range(first, first + nonces), 0, versions)
        done += nonces * max(1, len(versions))
        if perf_counter() - began - elapsed < _BATCH_S:
            batch = min(batch * 2, MOST_NONCES // 4)
    return done, perf_counter() - began


def _by_threads(engine: Engine, workers: int, seconds: float, work: Work) -> list[tuple[int, float]]:
    """Workers as threads of this process."""
    together = threading.Barrier(workers)

    def worker() -> tuple[int, float]:
        together.wait(_START_S)
        return hash_for(engine, seconds, work)

    with ThreadPoolExecutor(workers) as pool:
        return [job.result() for job in [pool.submit(worker) for _ in range(workers)]]


def _by_processes(name: str, workers: int, seconds: float, work: Work) -> list[tuple[int, float]]:
    """Workers as fresh processes, so that no lock and no memory of this one is shared."""
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(workers)
    pipes = [context.Pipe(duplex=False) for _ in range(workers)]
    processes = [
        context.Process(target=_work_apart, args=(name, seconds, work, together, sender), daemon=True)
        for _, sender in pipes
    ]
    try:
        for process in processes:
            process.start()
        for _, sender in pipes:
            sender.close()
        return [_received(receiver, _START_S + 2 * seconds) for receiver, _ in pipes]
    finally:
        for process in processes:
            if process.is_alive():
                process.join(1.0)
            if process.is_alive():
                process.kill()
                process.join()
        for receiver, _ in pipes:
            receiver.close()


def _received(receiver: Connection, deadline_s: float) -> tuple[int, float]:
    """What a worker sends."""
    try:
        if receiver.poll(deadline_s):
            hashes, took_s = receiver.recv()
            return int(hashes), float(took_s)
    except EOFError:
        raise BenchFailed("a worker ended without a result") from None
    raise BenchFailed(f"a worker gave no result within {deadline_s:g} s")


def _work_apart(name: str, seconds: float, work: Work, together: Barrier, sender: Connection) -> None:
    """One worker process."""
    engine = next(engine for engine in engines() if engine.name == name)
    together.wait(_START_S)
    sender.send(hash_for(engine, seconds, work))
    sender.close()
