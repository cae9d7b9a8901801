"""Proven: of all sources, what the strongest that has something to say says of each machine.

Sources count the same shares, so they are never added up: for each machine one of them speaks, the one that takes least on
trust among those that have reached a verdict, or when none has, among those that have counted anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from fleet.columns import UNKNOWN, Codes, Floats, freeze_columns
from fleet.work.proof.evidence import WORK_PER_THS_S, Delivered, Evidence, Source, Verdict, delivered

_COLUMNS: Final = ("ratio", "low", "high", "shares", "expected", "since_s")


@dataclass(frozen=True, eq=False)
class Proven:
    """One row a machine: `source` (-1: none has counted anything) and what it says.

    `ratio`, `low`, `high`, `shares`, `expected` and `since_s` as in Delivered. `verdict`, reached at `verdict_s` (-inf:
    never), true since about `verdict_since_s`.
    """

    source: Codes
    verdict: Codes
    verdict_s: Floats
    verdict_since_s: Floats
    ratio: Floats
    low: Floats
    high: Floats
    shares: Floats
    expected: Floats
    since_s: Floats

    def __post_init__(self) -> None:
        """Read-only."""
        freeze_columns(self)

    def __len__(self) -> int:
        """How many machines."""
        return len(self.source)


def best(evidences: Mapping[Source, Evidence], confidence: float = 0.95) -> Proven:
    """Of each machine, the strongest source that has something to say. At least one source (ValueError)."""
    if not evidences:
        raise ValueError("no source of evidence")
    ordered = sorted(evidences.items())  # weakest first: a stronger one that speaks has the last word
    n = len(ordered[0][1])
    source = np.full(n, UNKNOWN, np.int16)
    verdict, tested = np.full(n, Verdict.UNTESTED, np.int16), np.zeros(n, np.bool_)
    told = {name: np.full(n, np.nan) for name in (*_COLUMNS, "verdict_s", "verdict_since_s")}
    told["verdict_s"] = np.full(n, -np.inf)
    for kind, evidence in ordered:
        found = delivered(evidence, confidence)
        judged = evidence.verdict != Verdict.UNTESTED
        speaks = judged | (~tested & (found.expected > 0))
        tested = tested | judged
        source = np.where(speaks, np.int16(kind), source)
        verdict = np.where(speaks, evidence.verdict, verdict)
        for name in _COLUMNS:
            told[name] = np.where(speaks, getattr(found, name), told[name])
        told["verdict_s"] = np.where(speaks, evidence.verdict_s, told["verdict_s"])
        told["verdict_since_s"] = np.where(judged, evidence.since_s, np.where(speaks, np.nan, told["verdict_since_s"]))
    return Proven(source=source, verdict=verdict, **told)


@dataclass(frozen=True, eq=False)
class Efficiency:
    """J/TH of each machine: joules used over hashes proven; NaN where either is not known."""

    j_th: Floats
    low: Floats
    high: Floats

    def __post_init__(self) -> None:
        """Read-only."""
        freeze_columns(self)


def efficiency(evidence: Evidence, power_error: Floats | float, confidence: float = 0.95) -> Efficiency:
    """Verified J/TH over the same time as `delivered`.

    `power_error` bounds the meter's relative error (0.02: within 2 %). `low` and `high` hold at all times with the
    confidence asked for, given that bound.
    """
    return _efficiency(evidence, delivered(evidence, confidence), power_error)


def _efficiency(evidence: Evidence, found: Delivered, power_error: Floats | float) -> Efficiency:
    """Joules per claimed terahash, over the share of it that was delivered."""
    terahashes = (evidence.work + evidence.before_work) / WORK_PER_THS_S
    joules = evidence.used_j + evidence.before_used_j
    unknown = np.full(len(evidence), np.nan)
    claimed_j_th = np.divide(joules, terahashes, out=unknown.copy(), where=(terahashes > 0) & (joules > 0))

    def over(ratio: Floats) -> Floats:
        used: Floats = np.divide(claimed_j_th, ratio, out=np.full(len(evidence), np.inf), where=ratio > 0)
        return used

    known = np.isfinite(claimed_j_th) & np.isfinite(found.ratio)
    low, high = over(found.high) * (1 - power_error), over(found.low) * (1 + power_error)
    return Efficiency(*(np.where(known, column, np.nan) for column in (over(found.ratio), low, high)))
