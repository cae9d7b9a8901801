"""Check: one check on request, as the daemon runs it: it looks at every record until it ends, and tells how it stands.

Each source's shares are counted and tested apart; of each machine the strongest that has counted anything speaks. A check
ends when every machine has its verdict, when its time is over, or when it is stopped. All of it can be kept as JSON and
taken up again by the next process: evidence survives in the journal, and what did not is told.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import numpy as np

from controllers.verify.counting import Counting, rows_of
from controllers.verify.seen import Seen
from fleet.columns import Bools, Codes, Floats, Ints
from fleet.estimate import Beliefs
from fleet.machine import Roster
from fleet.work.counted import Counted
from fleet.work.proof.delays import one_shot_delay
from fleet.work.proof.evidence import WORK_PER_THS_S, Source, Verdict, over
from policies.proof import SOURCES
from policies.record import Record

Ended = Literal["verdicts", "time", "stopped"]
_KINDS: Final = tuple(Source)
_SEEN_SHARES: Final = 20.0
"""With fewer to expect, what a machine delivers so far is chance."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for: by whom and why, of which machines, from when for how long (UTC seconds, the site's clock)."""

    id: str
    scope: str
    machines: tuple[str, ...]
    by: str
    why: str
    began_s: float
    for_s: float
    full: bool = False
    """Go on to the end of the time, whatever the verdicts."""
    shares_per_min: float | None = None
    """For an audit at the tap; None: the site file's number."""
    sources: int = len(Source)
    """How many the site has that may speak of a machine; what begins to speak beyond that is not heard in this check."""


@dataclass(eq=False)
class Check:
    """A check under way, or over. `rows` are its machines in the roster."""

    asked: Asked
    rows: Ints
    seen: Seen
    counting: dict[Source, Counting] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What could not be done or told, for people."""
    audits: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What the tap asked of machines under audit."""
    released: bool = False
    """The tap was told that the check is over."""
    ended: Ended | None = None
    ended_s: float | None = None
    last: Record | None = None
    """The last record that was looked at."""
    counted: Counted | None = None
    """What the tap told last."""
    verdicts: int = 0

    @classmethod
    def begun(cls, asked: Asked, roster: Roster) -> Check:
        """A check of machines that are all in the roster."""
        rows = np.array([roster.index[machine] for machine in asked.machines], np.int64)
        return cls(asked, rows, Seen.nothing(len(rows)))

    def saw(self, record: Record, beliefs: Beliefs) -> bool:
        """Look at a record; True when a machine's verdict is new or the check ended with it."""
        if self.ended is not None:
            return False
        snapshot, check = record.snapshot, beliefs.share_check
        for source, evidence in record.view.evidences.items():
            mine = rows_of(evidence, self.rows)
            if source not in self.counting:
                if len(self.counting) >= self.asked.sources:
                    continue
                self.counting[source] = Counting.begun(mine, snapshot.at_s)
            counted_s = snapshot.counted.at_s if source is Source.TAP and snapshot.counted is not None else None
            before = self.counting[source]
            self.counting[source] = before.after(mine, check, self.tests, counted_s)
            if self.counting[source].lost > before.lost:
                self.note(f"the daemon lost what {SOURCES[source]} had counted; it began anew at {snapshot.at_s:.0f}")
        if self.last is not None:
            lives, passed_s = self.seen.lives, max(snapshot.at_s - self.last.snapshot.at_s, 0.0)
            self.seen = self.seen.after(passed_s, self.counted, snapshot, self.rows, beliefs.silent_after_s)
            if self.seen.lives > lives:
                self.note(f"the tap began anew at {snapshot.at_s:.0f}; flaws of the moments before are not told")
        self.last = record
        self.counted = self.counted if snapshot.counted is None else snapshot.counted
        known = int((self.verdict != Verdict.UNTESTED).sum())
        news, self.verdicts = known != self.verdicts, known
        if known == len(self.rows) and not self.asked.full:
            self.end("verdicts", snapshot.at_s)
        elif snapshot.at_s >= self.asked.began_s + self.asked.for_s:
            self.end("time", snapshot.at_s)
        return news or self.ended is not None

    def end(self, how: Ended, at_s: float) -> None:
        """It is over; what it knows stays as it is."""
        if self.ended is None:
            self.ended, self.ended_s = how, at_s

    def note(self, text: str) -> None:
        """Keep a note, once."""
        if text not in self.notes and len(self.notes) < 100:
            self.notes.append(text)

    # ------------------------------------------------------------------------------------------------ what it knows

    @property
    def tests(self) -> int:
        """So many share the chance of a false alarm: of each machine any source may be the one that speaks."""
        return len(self.rows) * self.asked.sources

    @property
    def source(self) -> Codes:
        """source[r]: the strongest that has counted anything; -1: none."""
        source = np.full(len(self.rows), -1, np.int16)
        for kind in _KINDS:
            if kind in self.counting:
                source = np.where(self.counting[kind].speaks, np.int16(kind), source)
        return source

    def _spoken(self, name: str, nothing: float) -> Floats:
        """A column of the trial that speaks for each machine."""
        column, source = np.full(len(self.rows), nothing), self.source
        for kind, counting in self.counting.items():
            column = np.where(source == kind, getattr(counting.trial, name), column)
        return column

    @property
    def verdict(self) -> Codes:
        """verdict[r], of who speaks."""
        return self._spoken("verdict", Verdict.UNTESTED).astype(np.int16)

    def lacks_s(self, beliefs: Beliefs) -> Floats:
        """Time until each machine's verdict, as it looks now (site's seconds); 0 where there is one, NaN where unknown.

        Once twenty shares are to be expected, at the ratio and the rate so far; before, of an honest machine by its claim.
        """
        check = beliefs.share_check
        shares, expected, score = (self._spoken(name, 0.0) for name in ("shares", "expected", "score"))
        if self.last is None:
            return np.full(len(self.rows), np.nan)
        seen, per_s = expected >= _SEEN_SHARES, self._expected_per_s(expected)
        ratio = np.divide(shares, expected, out=np.ones(len(shares)), where=seen)
        # nobody reads a time to more than a thousandth, and the same few rates are worked out once
        rate = np.maximum(np.round(ratio, 3), 0.001)
        lacks_s = np.where(self.verdict == Verdict.UNTESTED, np.nan, 0.0)
        for row in np.flatnonzero(np.isnan(lacks_s) & (per_s > 0)).tolist():
            per, part, so_far = float(per_s[row]), float(rate[row]), float(score[row])
            lacks_s[row] = one_shot_delay(check, per, part, self.tests, so_far).seconds
        return lacks_s

    def _expected_per_s(self, expected: Floats) -> Floats:
        """Shares to expect in a second: as it went so far, or by the claim and the difficulty of now; NaN where unknown."""
        assert self.last is not None
        from_s = np.full(len(self.rows), np.nan)
        for kind, counting in self.counting.items():
            from_s = np.where(self.source == kind, counting.from_s, from_s)
        span_s = self.last.snapshot.at_s - from_s
        heard = self.last.snapshot.heard
        by_claim = heard.hashrate_ths[self.rows] * WORK_PER_THS_S / self.seen.hardest
        return np.where(
            (expected >= _SEEN_SHARES) & (span_s > 0), expected / np.where(span_s > 0, span_s, 1.0), by_claim
        )

    def told(self, beliefs: Beliefs) -> dict[str, Any]:
        """How it stands, by column: for the progress display."""
        delivered = over(
            self._spoken("shares", 0.0), self._spoken("expected", 0.0), np.full(len(self.rows), self.asked.began_s)
        )
        return {
            "source": self.source,
            "verdict": self.verdict,
            "ratio": delivered.ratio,
            "low": delivered.low,
            "high": delivered.high,
            "shares": delivered.shares,
            "expected": delivered.expected,
            "lacks_s": self.lacks_s(beliefs),
            "claim_ths": self.seen.mean_ths,
        }

    def frozen(self) -> Check:
        """As it stands now, whatever comes."""
        return replace(self, counting=dict(self.counting), notes=list(self.notes), audits=dict(self.audits))

    def decided(self) -> Bools:
        """decided[r]: there is a verdict."""
        decided: Bools = self.verdict != Verdict.UNTESTED
        return decided

    # --------------------------------------------------------------------------------------------- kept over a restart

    def kept(self) -> dict[str, Any]:
        """As JSON values."""
        asked = self.asked
        return {
            "asked": {name: getattr(asked, name) for name in Asked.__slots__},
            "seen": self.seen.kept(),
            "counting": {SOURCES[source]: counting.kept() for source, counting in self.counting.items()},
            "notes": self.notes,
            "audits": self.audits,
            "released": self.released,
            "ended": self.ended,
            "ended_s": self.ended_s,
        }

    @classmethod
    def of(cls, kept: dict[str, Any], roster: Roster) -> Check:
        """From JSON values.

        Raises:
            KeyError, TypeError, ValueError: they are not what `kept` gives, or name a machine that is not there any more.
        """
        asked = Asked(**{**kept["asked"], "machines": tuple(kept["asked"]["machines"])})
        gone = [machine for machine in asked.machines if machine not in roster.index]
        if gone:
            raise ValueError(f"machines {', '.join(gone[:5])} are not in the site file any more")
        check = cls.begun(asked, roster)
        check.seen = Seen.of(kept["seen"])
        check.counting = {Source(SOURCES.index(name)): Counting.of(each) for name, each in kept["counting"].items()}
        check.notes, check.audits = list(kept["notes"]), dict(kept["audits"])
        check.released = bool(kept["released"])
        check.ended, check.ended_s = kept["ended"], kept["ended_s"]
        sizes = {len(check.seen.hashing_s), *(len(each.from_s) for each in check.counting.values())}
        if sizes != {len(asked.machines)}:
            raise ValueError(f"columns of {sorted(sizes)} machines, expected {len(asked.machines)}")
        return check
