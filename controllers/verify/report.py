"""Report: what came of a check, as a value with a schema, and the digest by which an altered one is known.

The digest is SHA-256 over the report's canonical JSON (keys sorted, no spaces, UTF-8) without the digest itself. It shows
that a report was altered after its digest was known; who wants to show who wrote it signs the digest with a key of his own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, Literal

from policies.proof import SourceName, VerdictName
from policies.shown import Shown

FORMAT: Final = "hashwatt verify report"
VERSION: Final = 2


class Method(Shown):
    """How it was judged, and what that guarantees."""

    test: str
    interval: str
    shortfall: float
    """A machine that lacks this part of its claim, or more, is called short …"""
    false_alarm: float
    """… and one that lacks nothing is with this chance at most, all machines of the check together, whoever speaks."""
    missed: float
    """Chance that a machine of just that shortfall is called honest."""
    confidence: float
    """Of the intervals, each of them at all times."""
    machines: int
    sources: int
    """Machines times sources, of which any may speak: so many tests shared the chance of a false alarm."""


class Count(Shown):
    """What one source counted of one machine."""

    source: SourceName
    from_s: float | None
    """Counted from then (UTC seconds) …"""
    to_s: float | None
    """… until then."""
    shares: float
    expected: float
    """Shares to expect of the claim."""
    ratio: float | None
    """Delivered over claimed."""
    low: float | None
    high: float | None
    score: float
    """The log-likelihood ratio of short against honest; it is short at ln(machines x sources / false_alarm), honest at
    ln(missed)."""
    verdict: VerdictName
    took: float | None
    """Shares to expect until the verdict."""


class Claim(Shown):
    """What a machine claimed in the time of the check."""

    mean_ths: float | None
    """While it hashed."""
    least_ths: float | None
    most_ths: float | None
    hashing_s: float
    watched_s: float
    """So long it was looked at."""


class AtTheTap(Shown):
    """What the tap saw of one machine in the time of the check."""

    shares: float
    """Credited."""
    flawed: Mapping[str, float]
    """Not credited, by cause."""
    foreign_work: float
    """Difficulty of shares for workers that are not ours."""
    away_s: float
    audit: Mapping[str, Any] | None
    """What an audit asked of it: difficulty, shares_per_min, for_s, why."""


class Logged(Shown):
    """Where one machine's shares stand in the file beside the report, and what they come to."""

    offset: int
    """In bytes."""
    records: int
    shares: int
    """Of the time that was counted, each as hard as was asked, none twice."""
    work: float
    """Their difficulty."""
    first_s: float | None
    last_s: float | None
    score: float | None
    """Of these shares, against the same that were to be expected."""
    verdict: VerdictName
    """What they say by themselves."""


class MachineReport(Shown):
    """One machine."""

    machine: str
    model: str
    """As the site file has it."""
    says_model: str | None
    """As the machine says."""
    firmware: str | None
    serial: str | None
    place: str
    claim: Claim
    difficulty: tuple[float, float] | None
    """The least and the most that was asked of its shares."""
    source: SourceName | None
    """Who speaks: the strongest that counted anything."""
    verdict: VerdictName
    counts: tuple[Count, ...]
    tap: AtTheTap | None
    log: Logged | None
    lacks_s: float | None
    """Where there is no verdict: how much longer it would have taken, as it went so far."""

    @property
    def spoken(self) -> Count | None:
        """The count of who speaks."""
        return next((count for count in self.counts if count.source == self.source), None)


class ShareFile(Shown):
    """The file of share headers beside the report."""

    file: str
    """Its name, in the report's directory."""
    sha256: str
    bytes: int
    record: str
    """What stands in it."""
    scale: float
    """A share of difficulty d stands for d * 2**32 * this many hashes: 1, but for a simulated site."""


class Report(Shown):
    """What came of one check."""

    format: str
    version: int
    id: str
    site: str
    scope: str
    """What was checked: "site", a place, a machine."""
    asked_by: str
    """Who asked for it, and signs it off."""
    why: str
    ended: Literal["verdicts", "time", "stopped", "under way"]
    """Every verdict was reached; its time was over; it was stopped before; or it goes on, and this is how it stands."""
    partial: bool
    """It ended, or was looked at, before its time and before every verdict."""
    began_s: float
    ended_s: float
    planned_s: float
    versions: Mapping[str, str]
    """hashwatt, Python, and the engine that hashed."""
    method: Method
    machines: tuple[MachineReport, ...]
    verdicts: Mapping[str, int]
    notes: tuple[str, ...]
    """What could not be done, or could not be told."""
    share_file: ShareFile | None = None
    simulated: bool = False
    """The site's clock or its machines' work is simulated: nothing here is true of a real machine."""
    digest: str = ""
    """SHA-256 of the canonical JSON of all the rest."""

    def sealed(self) -> Report:
        """The same with its digest."""
        return self.model_copy(update={"digest": digest_of(self)})

    def in_json(self) -> str:
        """For a file: the same content as the canonical JSON, to be read by people too."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def canonical(report: Report) -> bytes:
    """The report without its digest: keys sorted, no spaces, UTF-8."""
    values = report.model_dump(mode="json", exclude={"digest"})
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_of(report: Report) -> str:
    """SHA-256 of it, in hex."""
    return hashlib.sha256(canonical(report)).hexdigest()
