"""SHA-256d on this processor: rates against cpuminer-opt in the same run, two threads against one, and the first hash.

In each round everything is measured in turn: cpuminer's own benchmark, if one is on the PATH, then ours on nonces and with
rolled versions, then on two threads. Of each the best piece of the round counts, as what the host does beside is nobody's
rate, and of the rounds' ratios the median. Run: `python benchmarks/run.py sha256d`; `--rounds 1` is a quick look.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final

from controllers.bench import Work, first_hash_s, measure
from controllers.other_miner import LEAST_S, NoRate, OtherRate, installed, run
from fleet.work.sha256d import Engine, chosen, engines, proven

PIECES: Final = 3
PIECE_S: Final = 5.0
"""As many and as long as cpuminer's own."""
STARTS: Final = 7
LEAST_AGAINST_OTHER: Final[dict[Work, float]] = {"nonces": 1.3, "versions": 1.55}
LEAST_TWO_THREADS: Final = 1.9
MOST_FIRST_HASH_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Round:
    """Hashes a second, each the best piece: on nonces, with rolled versions, on two threads; cpuminer's, if there is one."""

    nonces: float
    versions: float
    two_threads: float
    other: OtherRate | NoRate

    def against_other(self, work: Work) -> float | None:
        """How many times cpuminer's rate."""
        ours = self.nonces if work == "nonces" else self.versions
        return ours / self.other.hashes_s if isinstance(self.other, OtherRate) else None


def best(engine: Engine, workers: int, work: Work) -> float:
    """The best of some pieces."""
    return max(measure(engine, workers, PIECE_S, work).hashes_s for _ in range(PIECES))


def one_round(engine: Engine) -> Round:
    """Everything in turn; two threads beside one, in the same half of the round."""
    program = installed()
    other = NoRate("no cpuminer on the PATH") if program is None else run(program, 1, LEAST_S)
    versions, nonces = best(engine, 1, "versions"), best(engine, 1, "nonces")
    return Round(nonces, versions, best(engine, 2, "nonces"), other)


def first_s(engine: Engine) -> float:
    """Seconds to an engine's first hits, where it is new: code made, compiled and run."""
    began = perf_counter()
    assert proven(engine)
    return perf_counter() - began


def middle(ratios: Sequence[float | None]) -> float | None:
    """The median of what is known."""
    known = [ratio for ratio in ratios if ratio is not None]
    return median(known) if known else None


def figures(
    rounds: Sequence[Round], engine: str, compiles: dict[str, float], starts: Sequence[float]
) -> dict[str, Any]:
    """The medians, as they are written and judged."""
    told = next((r.other for r in rounds if isinstance(r.other, OtherRate)), None)
    return {
        "engine": engine,
        "nonces_mhs": median(r.nonces for r in rounds) / 1e6,
        "versions_mhs": median(r.versions for r in rounds) / 1e6,
        "other": None if told is None else told.miner,
        "other_mhs": middle([r.other.hashes_s / 1e6 for r in rounds if isinstance(r.other, OtherRate)]),
        "nonces_against_other": middle([r.against_other("nonces") for r in rounds]),
        "versions_against_other": middle([r.against_other("versions") for r in rounds]),
        "two_threads_against_one": median(r.two_threads / r.nonces for r in rounds),
        "first_scan_s": compiles,
        "first_hash_s": median(starts),
        "rounds": len(rounds),
    }


def missed(found: dict[str, Any]) -> list[str]:
    """The figures that are promised, and not reached."""
    promised = [(f"{work}_against_other", least) for work, least in LEAST_AGAINST_OTHER.items()]
    if (os.cpu_count() or 1) >= 2:
        promised.append(("two_threads_against_one", LEAST_TWO_THREADS))
    short = [
        f"{name} {found[name]:.2f}, at least {least}" for name, least in promised if (found[name] or least) < least
    ]
    if found["first_hash_s"] > MOST_FIRST_HASH_S:
        short.append(f"first_hash_s {found['first_hash_s']:.2f}, at most {MOST_FIRST_HASH_S}")
    return short


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 1 when a figure is not reached."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    compiles = {engine.name: first_s(engine) for engine in engines()}
    choice = chosen(perf_counter)
    rounds = []
    print(f"{choice}\n{'round':>5} {'nonces':>8} {'versions':>8} {'2 threads':>9} {'cpuminer':>8}   MH/s")
    for number in range(max(1, options.rounds)):
        this = one_round(choice.engine)
        other = f"{this.other.hashes_s / 1e6:8.2f}" if isinstance(this.other, OtherRate) else this.other.why
        rates = f"{this.nonces / 1e6:8.2f} {this.versions / 1e6:8.2f} {this.two_threads / 1e6:9.2f} {other}"
        print(f"{number + 1:5} {rates}", flush=True)
        rounds.append(this)
    found = figures(rounds, choice.engine.name, compiles, [first_hash_s() for _ in range(STARTS)])
    for name, value in found.items():
        print(f"{name:24} {value:.3f}" if isinstance(value, float) else f"{name:24} {value}")
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    for shortfall in (short := missed(found)):
        print(f"not reached: {shortfall}", file=sys.stderr)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
