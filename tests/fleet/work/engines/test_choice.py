"""The trial that picks an engine: the fastest of those that hash rightly, within its time, and it says which and why."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from time import perf_counter, thread_time

import pytest

from fleet.work.engines.choice import GENESIS_NONCE, Choice, Missing, Trial, chosen, engines, found, proven
from fleet.work.engines.reference import HashlibEngine
from fleet.work.header import Hit


class Clock:
    """Seconds that only engines spend."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Paced(HashlibEngine):
    """An engine that takes so many seconds to be made, and then so many for a header; it may be wrong, or break."""

    def __init__(self, name: str, clock: Clock, rate: float, *, made_s: float = 0.0, fault: str = "") -> None:
        self._name = name
        self._clock = clock
        self._rate = rate
        self._made_s = made_s
        self._fault = fault

    @property
    def name(self) -> str:
        return self._name

    def scan(self, head: bytes, nonces: range, target: int, versions: Sequence[int] = ()) -> tuple[Hit, ...]:
        self._clock.now_s += self._made_s + len(nonces) / self._rate
        self._made_s = 0.0
        if self._fault == "breaks":
            raise RuntimeError("no executable memory")
        hits = () if self._fault == "blind" else super().scan(head, nonces[-400:], target)
        return hits if GENESIS_NONCE in nonces else ()


def test_the_fastest_wins_and_the_rates_are_told() -> None:
    """A slower engine would hash, or nobody could say why it does."""
    clock = Clock()
    choice = chosen(clock, [Paced("slow", clock, 1e6), Paced("middling", clock, 5e6), Paced("fast", clock, 4e7)])
    assert choice.engine.name == "fast"
    assert {trial.engine: trial.hashes_s for trial in choice.trials} == pytest.approx(
        {"slow": 1e6, "middling": 5e6, "fast": 4e7}
    )
    assert str(choice) == "SHA-256d by fast (slow 1 MH/s, fast 40 MH/s, middling 5 MH/s)"


@pytest.mark.parametrize(
    ("fault", "why"),
    [("blind", "does not find the genesis block"), ("breaks", "cannot be compiled: no executable memory")],
)
def test_an_engine_that_is_wrong_is_not_chosen(fault: str, why: str) -> None:
    """The fastest way to find nothing would win."""
    clock = Clock()
    choice = chosen(clock, [Paced("slow", clock, 1e6), Paced("fast", clock, 4e7, fault=fault)])
    assert choice.engine.name == "slow"
    assert Trial("fast", None, why) in choice.trials


def test_the_time_for_a_trial() -> None:
    """A start would wait for every engine to be compiled."""
    clock = Clock()
    late = [Paced("slow", clock, 1e6), Paced("late", clock, 9e7), Paced("long", clock, 4e7, made_s=0.3)]
    choice = chosen(clock, late, budget_s=0.2)
    assert choice.engine.name == "long"
    assert Trial("late", None, "not tried, for want of time") in choice.trials
    assert clock.now_s < 0.4
    patient = [Paced("slow", clock, 1e6), Paced("late", clock, 9e7), Paced("long", clock, 4e7, made_s=0.3)]
    assert chosen(clock, patient, budget_s=9.0).engine.name == "late"


def test_what_is_missing_is_said() -> None:
    """Nobody would know why a host hashes slowly."""
    choice = Choice(HashlibEngine(), (Trial("hashlib", 1.1e6),), (Missing("native", "no llvmlite"),))
    assert str(choice) == "SHA-256d by hashlib (hashlib 1.1 MH/s, native missing: no llvmlite)"


def test_here() -> None:
    """An engine of this host would not hash, or the reference not be the first of them."""
    there = found()
    assert [engine.name for engine in there.engines[:2]] == ["hashlib", "numpy"]
    assert len({engine.name for engine in engines()}) == len(there.engines)
    assert all(proven(engine) for engine in there.engines)
    choice = chosen(thread_time)
    assert choice.engine.name in {engine.name for engine in there.engines}
    assert choice.trials[0].engine == "hashlib"


WITHOUT = """
import sys
sys.modules["llvmlite"] = None
from fleet.work.sha256d import chosen, found
from time import perf_counter
print([engine.name for engine in found().engines], found().missing[0].engine, "llvmlite" in found().missing[0].why)
print(chosen(perf_counter).engine.name)
"""
LIGHT = """
import sys
import fleet.work.sha256d
print({"numpy", "llvmlite"} & set(sys.modules))
"""


@pytest.mark.parametrize(
    ("code", "said"),
    [(WITHOUT, "['hashlib', 'numpy'] native True\nhashlib\n"), (LIGHT, "set()\n")],
    ids=["without llvmlite", "slow libraries"],
)
def test_in_a_process_of_its_own(code: str, said: str) -> None:
    """Without the extra nothing would hash, or everybody who reads a header would wait for a compiler."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == said


def test_a_trial_is_short() -> None:
    """The daemon's start would be held up; generous, for others use the processor too."""
    began = perf_counter()
    chosen(perf_counter)
    assert perf_counter() - began < 5.0
