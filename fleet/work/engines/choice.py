"""Which engine hashes here: those that work on this host, why others do not, and a short trial that picks the fastest.

The trial takes the engines in order of promise. Each scans the neighbourhood of the genesis block's nonce, which proves it
and has its code compiled, and then is timed on some scans of a few milliseconds. An engine that finds anything but that
nonce is not chosen; one whose turn comes when the time for the trial is over is not tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from fleet.work.engines.arrays import NumpyEngine
from fleet.work.engines.native.engine import natives
from fleet.work.engines.reference import HashlibEngine
from fleet.work.header import Engine
from fleet.work.target import DIFFICULTY_1_TARGET

GENESIS_HEAD: Final = bytes.fromhex(
    "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc8"
    "1bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d"
)
"""The first 76 bytes of the genesis block's header."""
GENESIS_NONCE: Final = 2_083_236_893
BUDGET_S: Final = 0.1
"""For a trial at start: what is compiled when its time is over is still tried, and nothing after it."""
_PROOF: Final = range(GENESIS_NONCE - 300, GENESIS_NONCE + 300)
_PIECE_S: Final = 0.002
_PIECES: Final = 4
"""So many short pieces are timed and the fastest counts, for others use the processor too."""
_LEAST: Final = 1 << 12
_LONGEST: Final = 1 << 24


@dataclass(frozen=True, slots=True)
class Trial:
    """What a trial measured of one engine: its rate on one thread, or why there is none."""

    engine: str
    hashes_s: float | None
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine that hashes here, what each did in the trial that chose it, and which engines there are not, and why."""

    engine: Engine
    trials: tuple[Trial, ...]
    missing: tuple[Missing, ...] = ()

    def __str__(self) -> str:
        """One line for a log: who won, and against what."""
        said = [f"{trial.engine} {trial.why_not or _shown(trial.hashes_s)}" for trial in self.trials]
        said += [f"{missing.engine} missing: {missing.why}" for missing in self.missing]
        return f"SHA-256d by {self.engine.name} ({', '.join(said)})"


@dataclass(frozen=True, slots=True)
class Missing:
    """An engine that does not work here, and why."""

    engine: str
    why: str


@dataclass(frozen=True, slots=True)
class Found:
    """The engines that work here, the reference first and the most promising last, and those that do not."""

    engines: tuple[Engine, ...]
    missing: tuple[Missing, ...]


def found() -> Found:
    """Every engine there is for this host; llvmlite takes a tenth of a second to import."""
    engines: list[Engine] = [HashlibEngine(), NumpyEngine()]
    missing: list[Missing] = []
    try:
        made = natives()
    except ImportError as error:
        missing.append(Missing("native", f"{error}; `pip install hashwatt[native]` brings llvmlite"))
    except (OSError, RuntimeError) as error:
        missing.append(Missing("native", f"llvmlite does not work here: {error}"))
    else:
        engines += reversed(made)
        if not made:
            missing.append(Missing("native", "no kernel is written for this processor"))
    return Found(tuple(engines), tuple(missing))


def engines() -> tuple[Engine, ...]:
    """Every engine that works here, the reference first."""
    return found().engines


def proven(engine: Engine) -> bool:
    """Does it find the genesis block among its neighbours, and nothing else?

    Raises:
        RuntimeError: LLVM cannot make its code.
    """
    return [hit.nonce for hit in engine.scan(GENESIS_HEAD, _PROOF, DIFFICULTY_1_TARGET)] == [GENESIS_NONCE]


def chosen(timer: Callable[[], float], among: Sequence[Engine] = (), budget_s: float = BUDGET_S) -> Choice:
    """The engine that is fastest on one thread here.

    `timer` counts seconds; `among` are the engines to choose from, the most promising last, every one unless given. The
    first is the reference, which is always tried.
    """
    began = timer()
    there = Found(tuple(among), ()) if among else found()
    trials: list[Trial] = []
    for engine in (there.engines[0], *reversed(there.engines[1:])):
        late = len(trials) > 1 and timer() - began > budget_s
        trials.append(Trial(engine.name, None, "not tried, for want of time") if late else _tried(engine, timer))
    best = max(trials, key=lambda trial: trial.hashes_s or 0.0)
    return Choice(next(engine for engine in there.engines if engine.name == best.engine), tuple(trials), there.missing)


def _tried(engine: Engine, timer: Callable[[], float]) -> Trial:
    """One engine, proven and timed."""
    try:
        if not proven(engine):
            return Trial(engine.name, None, "does not find the genesis block")
    except RuntimeError as error:
        return Trial(engine.name, None, f"cannot be compiled: {error}")
    count = _LEAST
    while (took_s := _timed(engine, count, timer)) < _PIECE_S and count < _LONGEST:
        count *= 4
    took_s = min(took_s, *(_timed(engine, count, timer) for _ in range(_PIECES)))
    return Trial(engine.name, count / max(took_s, 1e-9))


def _timed(engine: Engine, count: int, timer: Callable[[], float]) -> float:
    """The seconds that a scan of so many nonces takes."""
    began = timer()
    engine.scan(GENESIS_HEAD, range(count), 0)
    return timer() - began


def _shown(hashes_s: float | None) -> str:
    """A rate for people."""
    return "unknown" if hashes_s is None else f"{hashes_s / 1e6:.3g} MH/s"
