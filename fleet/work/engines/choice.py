"""Which engine hashes here: those that work on this host, and a short trial that picks the fastest.

The trial lets each engine scan the neighbourhood of the genesis block's nonce, which proves it and warms it up, and then
times one more scan, sized to take some milliseconds. An engine that finds anything but that nonce is not chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from fleet.work.engines.reference import HashlibEngine
from fleet.work.header import MOST_NONCES, Engine
from fleet.work.target import DIFFICULTY_1_TARGET

GENESIS_HEAD: Final = bytes.fromhex(
    "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc8"
    "1bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d"
)
"""The first 76 bytes of the genesis block's header."""
GENESIS_NONCE: Final = 2_083_236_893
_PROOF: Final = range(GENESIS_NONCE - 300, GENESIS_NONCE + 300)
_TRIAL_S: Final = 0.008
_LONGEST_DOUBLING: Final = 1 << 22


@dataclass(frozen=True, slots=True)
class Trial:
    """What a trial measured of one engine: its rate on one thread, or None when it failed to find the genesis block."""

    engine: str
    hashes_s: float | None


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine that hashes here, and what each did in the trial that chose it."""

    engine: Engine
    trials: tuple[Trial, ...]

    def __str__(self) -> str:
        """One line for a log: who won, and against what."""
        rates = (
            f"{trial.engine} " + ("failed" if trial.hashes_s is None else f"{trial.hashes_s / 1e6:.3g} MH/s")
            for trial in self.trials
        )
        return f"SHA-256d by {self.engine.name} ({', '.join(rates)})"


def engines() -> tuple[Engine, ...]:
    """Every engine that works here, the reference first."""
    return (HashlibEngine(),)


def proven(engine: Engine) -> bool:
    """Does it find the genesis block among its neighbours, and nothing else?"""
    return [hit.nonce for hit in engine.scan(GENESIS_HEAD, _PROOF, DIFFICULTY_1_TARGET)] == [GENESIS_NONCE]


def chosen(timer: Callable[[], float], among: Sequence[Engine] = ()) -> Choice:
    """The engine that is fastest on one thread here; `timer` counts seconds, `among` is every engine unless given."""
    candidates = tuple(among) or engines()
    trials = tuple(Trial(engine.name, _rate(engine, timer) if proven(engine) else None) for engine in candidates)
    best = max(range(len(trials)), key=lambda at: trials[at].hashes_s or 0.0)
    return Choice(candidates[best], trials)


def _rate(engine: Engine, timer: Callable[[], float]) -> float:
    """Hashes a second, from the first scan that takes long enough to be timed."""
    count = len(_PROOF)
    while True:
        began = timer()
        engine.scan(GENESIS_HEAD, range(count), 0)
        took_s = timer() - began
        if took_s >= _TRIAL_S or count >= _LONGEST_DOUBLING:
            return count / max(took_s, 1e-9)
        count = min(count * 4, _LONGEST_DOUBLING, MOST_NONCES)
