"""Proof: what each machine's shares say of its claim, as a value for people and programs.

Rendered from the beliefs in a Record alone. The verdict is the running test's of the strongest source that has something to
say, at a rate of false alarms that is the whole fleet's; the interval holds at all times, however often it is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Final, Literal

import numpy as np

from fleet.columns import UNKNOWN
from fleet.reading import State
from fleet.work.counted import Counted, Flaw
from fleet.work.proof.evidence import Delivered, Evidence, Source, Verdict, delivered
from fleet.work.proof.losses import IN_WORDS, Loss, Losses, losses
from fleet.work.proof.proven import Proven, best, efficiency
from fleet.work.proof.spoilt import spoilt_share
from policies.record import Record
from policies.shown import Shown
from policies.tick import Judgment

SourceName = Literal["counters", "pool", "tap"]
VerdictName = Literal["untested", "honest", "short"]
SOURCES: Final[tuple[SourceName, ...]] = ("counters", "pool", "tap")
"""Names in the order of `fleet.work.proof.evidence.Source`."""
VERDICTS: Final[tuple[VerdictName, ...]] = ("untested", "honest", "short")
"""Names in the order of `fleet.work.proof.evidence.Verdict`."""
COUNTED_BY: Final[Mapping[SourceName, str]] = {
    "counters": "the machine's own counters",
    "pool": "the pool",
    "tap": "the tap, share by share",
}
_WORTH_TELLING: Final = 0.002
"""A loss of less is not told in words."""


class Said(Shown):
    """What one source says of one machine."""

    source: SourceName
    """The machine's own counters, the pool's API, or the tap."""
    verdict: VerdictName
    """short: it delivers less than it claims."""
    since_s: float | None
    """Since about when the verdict is true (UTC seconds)."""
    delivered: float | None
    """Delivered over claimed."""
    low: float | None
    """Its 95 % interval, which holds at all times."""
    high: float | None
    shares: float
    """Shares counted for that."""
    expected: float
    """Shares to expect of the claim."""
    jumps: int
    """How often so far a counter brought more than it can have hashed; that was left out."""

    def jumped(self) -> str:
        """The jumps, for people."""
        times = "once" if self.jumps == 1 else f"{self.jumps} times"
        return f"its counter jumped {times} by more than it can have hashed: left out (by {COUNTED_BY[self.source]})"


class Rejects(Shown):
    """How many of its shares one machine says were rejected, lately."""

    share: float
    """Of all its shares."""
    low: float
    """Its 95 % interval, which holds at all times."""
    high: float
    too_many: bool
    """The running test says that they are more than `[beliefs.reject_check]` lets pass."""
    since_s: float | None
    """Since about when (UTC seconds)."""

    def in_words(self) -> str:
        """For people."""
        interval = f"95 % interval {100 * self.low:.1f} to {100 * self.high:.1f}"
        return f"{100 * self.share:.1f} % of its shares are rejected ({interval})"


class HardwareErrors(Shown):
    """How many of its nonces one machine says were hardware errors, lately."""

    share: float
    """Of all its nonces: errors over errors and accepted work, both of difficulty 1."""
    low: float
    """Its 95 % interval, which holds at all times."""
    high: float
    too_many: bool
    """The running test says that they are more than `[beliefs.error_check]` lets pass."""
    since_s: float | None
    """Since about when (UTC seconds)."""

    def in_words(self) -> str:
        """For people."""
        interval = f"95 % interval {100 * self.low:.2f} to {100 * self.high:.2f}"
        return f"{100 * self.share:.2f} % of its nonces are hardware errors ({interval})"


class Tapped(Shown):
    """What the tap sees of one machine, since `over_s` before (None: since the tap began)."""

    connected: bool
    difficulty: float | None
    """What is asked of it now."""
    last_share_s: float | None
    shares: float
    """Credited since the tap began."""
    flawed: Mapping[str, float]
    """Shares not credited since the tap began, by cause; "refused" are credited, and the pool refused them all the same."""
    lost: Mapping[str, float]
    """Part of all shares that each cause took, and of the time that the machine was away."""
    over_s: float | None


class Proof(Shown):
    """One machine's shares held against its claim."""

    machine: str
    claimed_ths: float | None
    """What it says that it hashes now."""
    source: SourceName | None
    """The strongest that has something to say; None: nobody has counted anything."""
    verdict: VerdictName
    since_s: float | None
    """Since about when the verdict is true (UTC seconds)."""
    reached_s: float | None
    """When it was reached."""
    delivered: float | None
    """Delivered over claimed."""
    interval: tuple[float, float] | None
    """95 % interval of it, which holds at all times."""
    shares: float
    """Shares counted for it, since `counted_since_s`."""
    expected: float
    """Shares to expect of the claim."""
    counted_since_s: float | None
    efficiency_j_th: float | None
    """J/TH of proven hashes, by the power that the machine measures; None where it measures none."""
    efficiency_interval: tuple[float, float] | None
    """Its 95 % interval, with `[beliefs] meter_error`."""
    credit: float
    """The part of its claim that it is valued at."""
    false_alarms_per_month: float
    """Of the whole fleet, while all machines deliver what they claim."""
    sources: tuple[Said, ...]
    """What each source says."""
    tap: Tapped | None
    rejects: Rejects | None
    """By its own counters; None: it does not tell."""
    errors: HardwareErrors | None
    """By its own counters; None: it does not tell."""
    likely_cause: str | None
    """Of a machine found short: what the tap saw, or where it is not there its own counters say, that explains it."""

    def in_words(self, zone: tzinfo = UTC) -> str:
        """One line for people."""
        if self.delivered is None or self.interval is None or self.source is None:
            return f"{self.machine}: no shares counted yet, verdict: {self.verdict}"
        low, high = self.interval
        since = "" if self.since_s is None else f", since {_clock(self.since_s, zone)}"
        cause = "" if self.likely_cause is None else f"; {self.likely_cause}"
        return (
            f"{self.machine} delivers {100 * self.delivered:.1f} % of what it claims, "
            f"95 % interval {100 * low:.1f} to {100 * high:.1f}, verdict: {self.verdict}{since}, "
            f"at a false-alarm rate of {rate_in_words(self.false_alarms_per_month)} for the whole fleet, "
            f"counted by {COUNTED_BY[self.source]}{cause}"
        )


def rate_in_words(per_month: float) -> str:
    """A rate of false alarms for people."""
    return "one a month" if per_month == 1 else f"{per_month:g} a month"


def proof(judgment: Judgment, record: Record, row: int) -> Proof:
    """One machine's proof."""
    return _Proving(judgment, record).proof(row)


def proofs(judgment: Judgment, record: Record) -> tuple[Proof, ...]:
    """Every machine's proof, in the roster's order."""
    proving = _Proving(judgment, record)
    return tuple(proving.proof(row) for row in range(len(judgment.roster)))


def short(judgment: Judgment, record: Record) -> tuple[Proof, ...]:
    """The machines whose shares do not bear out their claim."""
    proving = _Proving(judgment, record)
    return tuple(proving.proof(int(row)) for row in np.flatnonzero(proving.proven.verdict == Verdict.SHORT))


class _Proving:
    """A record's columns of proof, and a machine's row of them."""

    def __init__(self, judgment: Judgment, record: Record) -> None:
        self._judgment, self._record = judgment, record
        self._evidences = record.view.evidences
        self._delivered = {source: delivered(evidence) for source, evidence in self._evidences.items()}
        self.proven: Proven = best(self._evidences)
        error = judgment.beliefs.meter_error
        self._efficiencies = {source: efficiency(evidence, error) for source, evidence in self._evidences.items()}
        rejects = record.view.rejects
        self._rejected = None if rejects is None else spoilt_share(rejects)
        errors = record.view.errors
        self._faulty = None if errors is None else spoilt_share(errors)
        self._counted: Counted | None = record.snapshot.counted
        marks = record.view.tap_marks
        since = marks[0] if marks else None
        self._losses: Losses | None = None if self._counted is None else losses(self._counted, since)

    def proof(self, row: int) -> Proof:
        """One machine's."""
        proven, check = self.proven, self._judgment.beliefs.share_check
        source = SOURCES[proven.source[row]] if proven.source[row] != UNKNOWN else None
        ratio, low, high = known(proven.ratio[row]), known(proven.low[row]), known(proven.high[row])
        heard = self._record.snapshot.heard
        hashes = heard.state[row] == State.HASHING
        return Proof(
            machine=self._judgment.roster.machines[row].id,
            claimed_ths=known(heard.hashrate_ths[row]) if hashes else None,
            source=source,
            verdict=VERDICTS[proven.verdict[row]],
            since_s=known(proven.verdict_since_s[row]) if proven.verdict[row] != Verdict.UNTESTED else None,
            reached_s=known(proven.verdict_s[row]),
            delivered=ratio,
            interval=None if low is None or high is None else (low, high),
            shares=known(proven.shares[row]) or 0.0,
            expected=known(proven.expected[row]) or 0.0,
            counted_since_s=known(proven.since_s[row]),
            **self._efficiency(row),
            credit=float(self._record.view.credit[row]),
            false_alarms_per_month=check.false_alarms_per_month,
            sources=tuple(
                _said(kind, evidence, self._delivered[kind], row) for kind, evidence in self._evidences.items()
            ),
            tap=self._tapped(row),
            rejects=self._rejects(row),
            errors=self._errors(row),
            likely_cause=self._likely_cause(row, ratio),
        )

    def _efficiency(self, row: int) -> dict[str, Any]:
        """J/TH by who speaks."""
        source = int(self.proven.source[row])
        if source == UNKNOWN:
            return {"efficiency_j_th": None, "efficiency_interval": None}
        found = self._efficiencies[Source(source)]
        value, low, high = known(found.j_th[row]), known(found.low[row]), known(found.high[row])
        return {
            "efficiency_j_th": value,
            "efficiency_interval": None if low is None or high is None else (low, high),
        }

    def _tapped(self, row: int) -> Tapped | None:
        """What the tap sees of it."""
        counted, lost = self._counted, self._losses
        if counted is None or lost is None:
            return None
        return Tapped(
            connected=bool(counted.connected[row]),
            difficulty=known(counted.difficulty[row]),
            last_share_s=known(counted.last_s[row]),
            shares=float(counted.shares[row]),
            flawed={flaw.name.lower(): float(counted.flawed[row, flaw]) for flaw in Flaw},
            lost={loss.name.lower(): float(lost.part[row, loss]) for loss in Loss},
            over_s=lost.over_s or None,
        )

    def _rejects(self, row: int) -> Rejects | None:
        """What it says of its rejected shares."""
        told, record = self._rejected, self._record.view.rejects
        if told is None or record is None or np.isnan(told.ratio[row]):
            return None
        found = bool(record.verdict[row] == Verdict.SHORT)
        return Rejects(
            share=float(told.ratio[row]),
            low=float(told.low[row]),
            high=float(told.high[row]),
            too_many=found,
            since_s=known(record.since_s[row]) if found else None,
        )

    def _errors(self, row: int) -> HardwareErrors | None:
        """What it says of its hardware errors."""
        told, record = self._faulty, self._record.view.errors
        if told is None or record is None or np.isnan(told.ratio[row]):
            return None
        found = bool(record.verdict[row] == Verdict.SHORT)
        return HardwareErrors(
            share=float(told.ratio[row]),
            low=float(told.low[row]),
            high=float(told.high[row]),
            too_many=found,
            since_s=known(record.since_s[row]) if found else None,
        )

    def _likely_cause(self, row: int, ratio: float | None) -> str | None:
        """What the tap saw of a machine that was found short."""
        lost = self._losses
        if self.proven.verdict[row] != Verdict.SHORT or ratio is None:
            return None
        if lost is None or self.proven.source[row] != Source.TAP:
            causes = (self._rejects(row), self._errors(row))
            found = [cause.in_words() for cause in causes if cause is not None and cause.too_many]
            return ", ".join(found) or None
        saw = sorted(((float(lost.part[row, loss]), loss) for loss in Loss), reverse=True)
        told = [f"{100 * part:.1f} % {IN_WORDS[loss]}" for part, loss in saw if part >= _WORTH_TELLING]
        if not told:
            return "the tap saw nothing wrong with what came: it claims more than it hashes, or hashes elsewhere too"
        explains = sum(part for part, loss in saw if loss is not Loss.REFUSED)
        enough = explains >= 0.5 * (1.0 - ratio)
        return f"the tap saw {', '.join(told)}" + (
            ", which is the likely cause" if enough else ", which does not explain it"
        )


def _said(kind: Source, evidence: Evidence, told: Delivered, row: int) -> Said:
    """One source's word on one machine."""
    verdict = int(evidence.verdict[row])
    return Said(
        source=SOURCES[kind],
        verdict=VERDICTS[verdict],
        since_s=known(evidence.since_s[row]) if verdict != Verdict.UNTESTED else None,
        delivered=known(told.ratio[row]),
        low=known(told.low[row]),
        high=known(told.high[row]),
        shares=float(told.shares[row]),
        expected=float(told.expected[row]),
        jumps=int(evidence.jumps[row]),
    )


def known(value: np.float64 | float) -> float | None:
    """A column's cell as a value: NaN and infinities are "not known"."""
    return float(value) if np.isfinite(value) else None


def _clock(at_s: float, zone: tzinfo) -> str:
    """A moment for people: within a day its time alone would do, but a record is read later too."""
    return f"{datetime.fromtimestamp(at_s, zone):%Y-%m-%d %H:%M}"
