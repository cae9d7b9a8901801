"""backtest: the site's own judgment over years of prices, set against doing nothing and knowing everything.

Each policy goes through each year on its own, every machine at work when the year begins, so years and policies run beside
each other on all cores. The same seed gives every policy the same machines. Nothing is multiplied: each machine has
its own operating points, its own state and its own row in the ledger.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from policies.plan import Pace
from policies.switching import Hysteresis, Regret, Switching, Threshold
from policies.tick import Judgment
from simulators.backtesting.clairvoyant import clairvoyant
from simulators.backtesting.drive import World, drive, everything_live, prospect_of, with_switching
from simulators.backtesting.history import History, Information
from simulators.backtesting.ledger import Ledger
from simulators.backtesting.yardsticks import Yardsticks, always_on

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import SynchronizedArray

ALWAYS_ON, CLAIRVOYANT = "always-on", "clairvoyant"
POLICIES: Mapping[str, Switching] = {
    "threshold": Threshold(),
    "hysteresis": Hysteresis(),
    "regret": Regret(),
}
"""What is compared unless asked otherwise; `regret` is the product's default."""
AT_ONCE = Pace(
    min_up_s=0, min_down_s=0, min_step_s=0, step_earns_back_s=0, starts_per_feeder=100_000, starts_window_s=0
)
"""The pace of a backtest: every change takes effect in the interval in which it is decided, and only a start costs."""
_POLL_S = 0.2

Progress = Callable[[int, int], None]
"""Told (intervals done, intervals in all)."""


@dataclass(frozen=True, eq=False, slots=True)
class Stretch:
    """A year, or all years (0): its yardsticks, and each policy's ledger by name."""

    year: int
    intervals: int
    yardsticks: Yardsticks
    policies: Mapping[str, Ledger]

    def ledgers(self) -> dict[str, Ledger]:
        """Always-on, the policies, the clairvoyant: the order in which they are shown."""
        return {ALWAYS_ON: self.yardsticks.always_on, **self.policies, CLAIRVOYANT: self.yardsticks.clairvoyant}


@dataclass(frozen=True, eq=False, slots=True)
class Backtest:
    """What came out: by year and together."""

    years: tuple[Stretch, ...]
    together: Stretch


@dataclass(frozen=True, eq=False, slots=True)
class _Task:
    """One policy (None: the two yardsticks) through one year."""

    judgment: Judgment
    history: History
    information: Information
    world: World
    policy: str | None


def backtest_judgment(judgment: Judgment, step_s: float, *, pace: Pace | None = None) -> Judgment:
    """A site's judgment fit for ticks `step_s` apart: all of it live, and no machine silent between two ticks.

    `pace`: the site file's, where it gives one; None changes every machine at once.
    """
    beliefs = judgment.beliefs
    patient = beliefs.model_copy(update={"silent_after_s": max(beliefs.silent_after_s, 2.0 * step_s)})
    return replace(judgment, live=everything_live(judgment.roster), pace=pace or AT_ONCE, beliefs=patient)


def run_backtest(
    judgment: Judgment,
    history: History,
    *,
    policies: Mapping[str, Switching] = POLICIES,
    information: Information = "settled",
    world: World | None = None,
    jobs: int = 1,
    progress: Progress = lambda _done, _all: None,
) -> Backtest:
    """Every policy through every year of the history, with always-on and the clairvoyant beside them.

    `judgment` as `backtest_judgment` gives it; only its switching rule is exchanged. `jobs` processes.
    """
    world = world or World()
    years = history.years()
    tasks = [
        _Task(judgment if name is None else with_switching(judgment, policies[name]), part, information, world, name)
        for part in years.values()
        for name in (*policies, None)
    ]
    results = iter(_run_all(tasks, jobs, progress))
    stretches = []
    for year, part in years.items():
        ledgers = {name: next(results)[0] for name in policies}
        stretches.append(Stretch(year, int(part.usable.sum()), Yardsticks(*next(results)), ledgers))
    return Backtest(tuple(stretches), _together(stretches))


def _together(stretches: Sequence[Stretch]) -> Stretch:
    """All years as one."""
    sticks = [stretch.yardsticks for stretch in stretches]
    return Stretch(
        year=0,
        intervals=sum(stretch.intervals for stretch in stretches),
        yardsticks=Yardsticks(
            Ledger.total([stick.always_on for stick in sticks]), Ledger.total([stick.clairvoyant for stick in sticks])
        ),
        policies={name: Ledger.total([s.policies[name] for s in stretches]) for name in stretches[0].policies},
    )


def _run_all(tasks: Sequence[_Task], jobs: int, progress: Progress) -> list[tuple[Ledger, ...]]:
    """Every task's ledgers, in order."""
    whole = sum(len(task.history) for task in tasks)
    jobs = min(jobs, len(tasks))
    if jobs <= 1:
        done: list[tuple[Ledger, ...]] = []
        before = 0
        for task in tasks:
            done.append(_run(task, lambda passed, before=before: progress(before + passed, whole)))  # type: ignore[misc]
            before += len(task.history)
        progress(whole, whole)
        return done
    # A fresh interpreter per process: nothing of the caller's threads is copied.
    context = multiprocessing.get_context("spawn")
    counts: SynchronizedArray[int] = context.Array("q", len(tasks))
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_share, initargs=(counts,)) as pool:
        futures = [pool.submit(_run_counted, number, task) for number, task in enumerate(tasks)]
        try:
            _watch(futures, counts, whole, progress)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]


def _watch(futures: Sequence[Future[Any]], counts: SynchronizedArray[int], whole: int, progress: Progress) -> None:
    """Tell the progress until all are done; the first failure ends it."""
    pending = set(futures)
    while pending:
        ended, pending = wait(pending, timeout=_POLL_S)
        for future in ended:
            future.result()
        progress(sum(counts[:]), whole)


_counts: list[SynchronizedArray[int]] = []
"""In a worker: where it counts."""


def _share(counts: SynchronizedArray[int]) -> None:
    """Remember where this worker counts, and end it with whoever started it."""
    _counts[:] = [counts]
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    """A worker whose parent was killed would wait for its next task for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run_counted(number: int, task: _Task) -> tuple[Ledger, ...]:
    """One task in a worker."""

    def passed(intervals: int) -> None:
        _counts[0][number] = intervals

    return _run(task, passed)


def _run(task: _Task, passed: Callable[[int], None]) -> tuple[Ledger, ...]:
    """(ledger,) of a policy, or (always on, clairvoyant)."""
    if task.policy is not None:
        return (drive(task.judgment, task.history, task.information, task.world, passed),)
    prospect = prospect_of(task.judgment, task.history, task.world)
    still = always_on(prospect, task.judgment.roster)
    ledgers = (still, clairvoyant(prospect))
    passed(len(task.history))
    return ledgers
