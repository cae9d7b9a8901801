"""Verdicts: the tests of all machines after so many more shares, and as many expected.

Alarms: Page's CUSUM of the log-likelihood ratio of "short" against "well". With S the score, held at zero from below, and
f(S) = e^S - S, E[f(S)] grows by at most the contrast's information per expected share while a machine delivers at least
what is tolerated: between shares by Dynkin's formula, at zero because f is least there, at a coarse look because holding
at zero less often makes S smaller. An alarm at S >= h takes e^h - h - 1 away, so there are at most information / (e^h -
h - 1) alarms per expected share, from the first one on. The limit h follows from the expected shares a second, so that
all machines together stay below the stated rate; while S > 0 it only rises, so that the sum above holds for each part.

The first "honest" is Wald's: the score against "short" since the beginning reaches ln(1 / missed), which a machine of
that shortfall ever does with chance `missed` at most (Ville). One found short is called well again by the same CUSUM
turned round. Both name the time since when: the last at which the score was zero, the most likely change point.
"""

from __future__ import annotations

from dataclasses import replace
from math import log
from typing import Any, Final, TypeVar

import numpy as np

from fleet.columns import Bools, Floats
from fleet.work.proof.running import Running, Span, Verdict
from fleet.work.proof.watch import Watch

_MOST: Final = 1e15
"""More shares than any span has; beyond it, sums would lose count."""

RunningT = TypeVar("RunningT", bound=Running)


def judged(record: RunningT, check: Watch, span: Span, tests: int, late_s: float = 0.0) -> RunningT:
    """The record after a span; `tests` of such tests share the stated rate of false alarms.

    Counts may be told up to `late_s` later than they came: no score is then off by more than what so long brings, and
    the limits are higher by that.
    """
    booked = span.booked & (span.expected > 0) & (span.expected < _MOST) & (span.shares >= 0) & (span.shares < _MOST)
    booked &= span.to_s > span.from_s
    if not booked.any():
        return record
    cut: dict[str, Any] = {name: np.where(booked, getattr(span, name), 0.0) for name in record.SUMS}
    clean = replace(span, booked=booked, **cut)
    return _tested(_blocks(record, check, clean), check, clean, tests, late_s)


def _blocks(record: RunningT, check: Watch, span: Span) -> RunningT:
    """The running block with the span in it; where it is full, it is the one before, and the next begins."""
    sums: dict[str, Any] = {name: getattr(record, name) + getattr(span, name) for name in record.SUMS}
    totals = {f"total_{name}": getattr(record, f"total_{name}") + getattr(span, name) for name in Running.SUMS}
    block_s = np.where(span.booked & np.isnan(record.block_s), span.from_s, record.block_s)
    full = span.booked & (span.to_s - block_s >= check.window_s)
    if not full.any():
        return replace(record, block_s=block_s, **sums, **totals)
    before = {f"before_{name}": np.where(full, sums[name], getattr(record, f"before_{name}")) for name in sums}
    return replace(
        record,
        block_s=np.where(full, span.to_s, block_s),
        before_s=np.where(full, block_s, record.before_s),
        **{name: np.where(full, 0.0, value) for name, value in sums.items()},
        **before,
        **totals,
    )


def _tested(record: RunningT, check: Watch, span: Span, tests: int, late_s: float) -> RunningT:
    """The running scores with the span in them, and the verdicts that they reach."""
    booked, was_short = span.booked, record.verdict == Verdict.SHORT
    gain = check.contrast.score(span.shares, span.expected)
    moved = record.score + np.where(was_short, -gain, gain)
    zero = moved <= 0
    per_s = np.divide(span.expected, span.to_s - span.from_s, out=np.zeros(len(record)), where=booked)
    slack = abs(check.contrast.step) * late_s * per_s
    limit = _limits(record, check, booked, per_s, was_short, tests, slack)
    running = replace(
        record,
        score=np.where(zero, 0.0, moved),
        limit=limit,
        first=np.where(record.verdict == Verdict.UNTESTED, record.first - gain, 0.0),
        run_shares=np.where(zero, 0.0, record.run_shares + span.shares),
        run_expected=np.where(zero, 0.0, record.run_expected + span.expected),
        changed_s=np.where(booked & np.isnan(record.changed_s), span.from_s, record.changed_s),
        since_s=np.where(booked & np.isnan(record.since_s), span.from_s, record.since_s),
    )
    turned = booked & (running.score >= limit)
    proves = booked & (record.verdict == Verdict.UNTESTED) & ~turned & (running.first >= slack - log(check.missed))
    running = _proven(running, span, proves) if proves.any() else running
    running = _turned(running, span, turned, was_short) if turned.any() else running
    return replace(running, changed_s=np.where(booked & zero, span.to_s, running.changed_s))


def _proven(running: RunningT, span: Span, proves: Bools) -> RunningT:
    """First verdicts: honest since the beginning."""
    return replace(
        running,
        verdict=np.where(proves, Verdict.HONEST, running.verdict).astype(np.int16),
        verdict_s=np.where(proves, span.to_s, running.verdict_s),
        first=np.where(proves, 0.0, running.first),
    )


def _limits(
    record: Running, check: Watch, booked: Bools, per_s: Floats, was_short: Bools, tests: int, slack: Floats
) -> Floats:
    """The limits of the running scores: of the present rate, and while a score is above zero never lower than before."""
    limit = check.short_limit(per_s, tests)
    if was_short.any():
        limit = np.where(was_short, check.well_limit(per_s), limit)
    limit = limit + slack
    limit = np.where(record.score > 0, np.maximum(record.limit, limit), limit)
    return np.where(booked, limit, record.limit)


def _turned(running: RunningT, span: Span, turned: Bools, was_short: Bools) -> RunningT:
    """Verdicts that changed: what came since the change is now the block before, and everything else begins anew."""
    zero = ("score", "first", "run_shares", "run_expected", *running.SUMS)
    changes: dict[str, Any] = {name: np.where(turned, 0.0, getattr(running, name)) for name in zero}
    since = {"shares": running.run_shares, "expected": running.run_expected}
    for name in running.SUMS:
        # joules per claimed hash hardly depend on the window: what has no sum since the change takes the block's
        changes[f"before_{name}"] = np.where(
            turned, since.get(name, getattr(running, name)), getattr(running, f"before_{name}")
        )
    return replace(
        running,
        verdict=np.where(turned, np.where(was_short, Verdict.HONEST, Verdict.SHORT), running.verdict).astype(np.int16),
        verdict_s=np.where(turned, span.to_s, running.verdict_s),
        since_s=np.where(turned, running.changed_s, running.since_s),
        before_s=np.where(turned, running.changed_s, running.before_s),
        block_s=np.where(turned, span.to_s, running.block_s),
        changed_s=np.where(turned, span.to_s, running.changed_s),
        **changes,
    )
