"""Reporting: the report of a check, from what the check knows and what the site says of its machines."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from typing import Any

import numpy as np

from controllers.config import Site
from controllers.verify.check import Check
from controllers.verify.counting import Counting
from controllers.verify.report import FORMAT, VERSION, AtTheTap, Claim, Count, MachineReport, Method, Report
from fleet.columns import Codes, Floats
from fleet.reading import Reading
from fleet.work.counted import Flaw
from fleet.work.proof.evidence import Delivered, Source, Verdict
from fleet.work.proof.share_check import ShareCheck
from policies.proof import SOURCES, VERDICTS, known

_CONFIDENCE = 0.95
_SAID_MOST = 200


def report_of(
    check: Check, site: Site, readings: Mapping[int, Reading], tap_status: Mapping[str, Any] | None, now_s: float
) -> Report:
    """How a check stands or ended; `readings` are the machines' last full ones by row."""
    asked, columns = check.asked, _Columns.of(check, site)
    counts = np.bincount(columns.verdict, minlength=len(VERDICTS))
    return Report(
        format=FORMAT,
        version=VERSION,
        id=asked.id,
        site=site.file.name,
        scope=asked.scope,
        asked_by=asked.by,
        why=asked.why,
        ended=check.ended or "under way",
        partial=check.ended in {None, "stopped"} and bool((columns.verdict == Verdict.UNTESTED).any()),
        began_s=asked.began_s,
        ended_s=now_s if check.ended_s is None else check.ended_s,
        planned_s=asked.for_s,
        versions=_versions(tap_status),
        method=method_of(site.judgment.beliefs.share_check, len(check.rows), asked.sources),
        machines=tuple(
            _machine(check, site, columns, row, readings.get(int(check.rows[row]))) for row in range(len(check.rows))
        ),
        verdicts={name: int(count) for name, count in zip(VERDICTS, counts, strict=True)},
        notes=(*check.notes, *_untold(check, columns)),
        simulated=site.file.clock is not None or (site.file.tap is not None and site.file.tap.simulated_scale != 1),
    )


@dataclass(frozen=True, eq=False, slots=True)
class _Columns:
    """What is told of all machines at once, one row each."""

    source: Codes
    verdict: Codes
    lacks_s: Floats
    mean_ths: Floats
    delivered: Mapping[Source, Delivered]

    @classmethod
    def of(cls, check: Check, site: Site) -> _Columns:
        return cls(
            source=check.source,
            verdict=check.verdict,
            lacks_s=check.lacks_s(site.judgment.beliefs),
            mean_ths=check.seen.mean_ths,
            delivered={source: counting.trial.delivered(_CONFIDENCE) for source, counting in check.counting.items()},
        )


def method_of(check: ShareCheck, machines: int, sources: int) -> Method:
    """How a check of so many machines judges, of each of which so many sources may speak."""
    return Method(
        test=(
            "Wald's sequential test of the shares that came against those to expect of the claim (Poisson): short at a "
            "log-likelihood ratio of ln(machines x sources / false_alarm), honest at ln(missed): of each machine the "
            "strongest source speaks that has counted anything, so it may be any. By Ville's inequality both chances "
            "hold however often it is looked at, and whenever it is ended."
        ),
        interval=(
            "Of delivered over claimed, by the gamma-Poisson mixture martingale: it holds at all times at once, for each "
            "machine by itself."
        ),
        shortfall=check.shortfall,
        false_alarm=check.false_alarm,
        missed=check.missed,
        confidence=_CONFIDENCE,
        machines=machines,
        sources=sources,
    )


def _machine(check: Check, site: Site, columns: _Columns, row: int, reading: Reading | None) -> MachineReport:
    machine = site.roster.machines[int(check.rows[row])]
    who = None if reading is None else reading.identity
    seen, source, lacks_s = check.seen, int(columns.source[row]), float(columns.lacks_s[row])
    easiest, hardest = known(seen.easiest[row]), known(seen.hardest[row])
    return MachineReport(
        machine=machine.id,
        model=machine.model,
        says_model=None if who is None else _said(who.model),
        firmware=None if who is None else _said(who.firmware),
        serial=None if who is None else _said(who.serial),
        place="/".join(machine.place),
        claim=Claim(
            mean_ths=known(columns.mean_ths[row]),
            least_ths=known(seen.least_ths[row]),
            most_ths=known(seen.most_ths[row]),
            hashing_s=float(seen.hashing_s[row]),
            watched_s=seen.watched_s,
        ),
        difficulty=None if easiest is None or hardest is None else (easiest, hardest),
        source=SOURCES[source] if source >= 0 else None,
        verdict=VERDICTS[columns.verdict[row]],
        counts=tuple(
            _count(kind, counting, columns.delivered[kind], row) for kind, counting in sorted(check.counting.items())
        ),
        tap=_at_the_tap(check, row) if Source.TAP in check.counting else None,
        log=None,
        lacks_s=lacks_s if isfinite(lacks_s) and lacks_s > 0 else None,
    )


def _count(source: Source, counting: Counting, delivered: Delivered, row: int) -> Count:
    trial = counting.trial
    return Count(
        source=SOURCES[source],
        from_s=known(counting.from_s[row]),
        to_s=known(counting.to_s[row]),
        shares=float(trial.shares[row]),
        expected=float(trial.expected[row]),
        ratio=known(delivered.ratio[row]),
        low=known(delivered.low[row]),
        high=known(delivered.high[row]),
        score=float(trial.score[row]),
        verdict=VERDICTS[trial.verdict[row]],
        took=known(trial.took[row]),
    )


def _at_the_tap(check: Check, row: int) -> AtTheTap:
    seen = check.seen
    return AtTheTap(
        shares=float(seen.shares[row]),
        flawed={flaw.name.lower(): float(seen.flawed[row, flaw]) for flaw in Flaw},
        foreign_work=float(seen.foreign_work[row]),
        away_s=float(seen.away_s[row]),
        audit=check.audits.get(check.asked.machines[row]),
    )


def _untold(check: Check, columns: _Columns) -> list[str]:
    """What cannot be told of machines, for people."""
    source, notes = columns.source, []
    silent = [check.asked.machines[row] for row in np.flatnonzero(source < 0).tolist()]
    if silent:
        notes.append(f"nobody counted shares of {_named(silent)}: nothing can be said of them")
    for kind in (Source.COUNTERS, Source.POOL):
        those = [check.asked.machines[row] for row in np.flatnonzero(source == kind).tolist()]
        if those:
            who = "their own counters" if kind is Source.COUNTERS else "their pool"
            notes.append(f"shares of {_named(those)} are counted by {who}, and verified by nobody")
    asleep = np.flatnonzero(check.seen.hashing_s <= 0).tolist()
    if asleep:
        notes.append(f"{_named([check.asked.machines[row] for row in asleep])} did not hash while it was looked")
    return notes


def _named(machines: list[str]) -> str:
    more = f" and {len(machines) - 5} more" if len(machines) > 5 else ""
    return ", ".join(machines[:5]) + more


def _said(text: str | None) -> str | None:
    """What a machine says of itself, no longer than anybody would read."""
    return None if text is None else text[:_SAID_MOST]


def _versions(tap_status: Mapping[str, Any] | None) -> dict[str, str]:
    found = {"hashwatt": ours(), "python": platform.python_version()}
    if tap_status is not None:
        found["engine"] = str(tap_status["engine"])
    return found


def ours() -> str:
    """The installed version of hashwatt."""
    try:
        return version("hashwatt")
    except PackageNotFoundError:
        return "not installed"
