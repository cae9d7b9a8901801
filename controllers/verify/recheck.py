"""Recheck: a report judged again from what stands in it and in the file beside it, without the daemon that wrote it.

The digest is computed anew, every share of the file is hashed anew, each machine's score, interval and verdict are computed
anew from its counts and from its shares, and a page is compared with the one that the report's content gives. What cannot
be checked is said: the claims and how long the tap could take shares are the report's own word.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import ValidationError

from controllers.pool.share_log import RECORD_BYTES, prove
from controllers.verify.page import content_of, page
from controllers.verify.report import FORMAT, VERSION, Count, MachineReport, Report, digest_of
from controllers.verify.reporting import ours
from controllers.verify.shares import agrees, judge, part_of
from fleet.work.proof.evidence import Verdict, over
from policies.proof import VERDICTS

_BYTES_MOST: Final = 256_000_000
_SHARES_BYTES_MOST: Final = 4_000_000_000


class NoReport(Exception):
    """A file that is no report; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class Recheck:
    """What came of it: `faults` (none: everything agrees), how many shares were hashed, and what could not be checked."""

    report: Report
    faults: tuple[str, ...]
    shares: int
    unchecked: tuple[str, ...]


def recheck(path: Path) -> Recheck:
    """Judge a report (JSON or its page) again.

    Raises:
        NoReport: it is none, or of another version.
        OSError: it cannot be read.
    """
    text = _read(path)
    is_page = path.suffix.lower() in {".html", ".htm"}
    report = _report(path, content_of(text) if is_page else text)
    faults = []
    if digest_of(report) != report.digest:
        faults.append(f"the digest is {report.digest[:16]}…, the content's is {digest_of(report)[:16]}…")
    same = report.versions.get("hashwatt") == ours()
    if same and (page(report) if is_page else report.in_json()) != text:
        faults.append("the file is not the one that its content gives")
    for machine in report.machines:
        faults += [f"{machine.machine}: {fault}" for fault in _of_machine(machine, report)]
    hashed, of_file, unchecked = _of_file(path, report)
    unchecked.append("the claims, and for how long shares could be taken, are the report's own word")
    if is_page and not same:
        unchecked.append(
            "the page was written by another version of hashwatt: its content was checked, its looks were not"
        )
    return Recheck(report, (*faults, *of_file), hashed, tuple(unchecked))


def _read(path: Path) -> str:
    if path.stat().st_size > _BYTES_MOST:
        raise NoReport(f"{path}: {path.stat().st_size} bytes, expected a report of at most {_BYTES_MOST}")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise NoReport(f"{path}: not UTF-8: {error}") from None


def _report(path: Path, text: str | None) -> Report:
    try:
        values = json.loads(text or "")
        if values.get("format") != FORMAT or values.get("version") != VERSION:
            found = f"{values.get('format')!r} version {values.get('version')!r}"
            raise NoReport(f"{path}: {found}, expected {FORMAT!r} version {VERSION}")
        return Report.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise NoReport(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (ValueError, AttributeError, RecursionError):
        raise NoReport(f"{path}: expected a report of `hashwatt verify`") from None


def _of_machine(machine: MachineReport, report: Report) -> Iterator[str]:
    """What does not follow from a machine's counts."""
    for count in machine.counts:
        yield from _of_count(count, report)
    spoken = machine.spoken
    verdict = "untested" if spoken is None else spoken.verdict
    if machine.verdict != verdict:
        yield f"its verdict is {machine.verdict}, of who speaks it is {verdict}"


def _of_count(count: Count, report: Report) -> Iterator[str]:
    """What does not follow from one source's shares."""
    judged = judge(count.shares, count.expected, report.method)
    if not isclose(judged.score, count.score, rel_tol=1e-9, abs_tol=1e-9):
        yield f"the score by {count.source} is {count.score}, computed anew it is {judged.score}"
    # a verdict stands once it is reached: what came later may have drawn the score back
    if judged.verdict is not Verdict.UNTESTED and count.verdict == VERDICTS[Verdict.UNTESTED]:
        yield f"no verdict by {count.source}, computed anew it is {VERDICTS[judged.verdict]}"
    if count.verdict != VERDICTS[Verdict.UNTESTED] and (count.took is None or count.took > count.expected + 1e-6):
        yield f"its verdict by {count.source} is {count.verdict}, and more was expected until then than ever"
    if count.expected > 0:
        anew = over(np.array([count.shares]), np.array([count.expected]), np.array([0.0]), report.method.confidence)
        for name in ("ratio", "low", "high"):
            told, now = getattr(count, name), float(getattr(anew, name)[0])
            if told is None or not isclose(told, now, rel_tol=1e-9, abs_tol=1e-12):
                yield f"{name} by {count.source} is {told}, computed anew it is {now}"


def _of_file(path: Path, report: Report) -> tuple[int, list[str], list[str]]:
    """Shares hashed anew, what is wrong with them, and what could not be checked."""
    if report.share_file is None:
        return 0, [], ["no share is in the report: what was counted is the counter's own word"]
    beside = path.parent / report.share_file.file
    if beside.parent != path.parent:
        return 0, [f"the share file {report.share_file.file!r} is not beside the report"], []
    try:
        if beside.stat().st_size > _SHARES_BYTES_MOST:
            return 0, [f"{beside.name} is larger than any share file"], []
        content = beside.read_bytes()
    except OSError as error:
        return 0, [f"{beside.name} cannot be read: {error.strerror}"], []
    faults, hashed = [], 0
    if hashlib.sha256(content).hexdigest() != report.share_file.sha256:
        faults.append(f"{beside.name} is not the file that the report names (its SHA-256 differs)")
    for machine in report.machines:
        if machine.log is not None:
            data = part_of(content, machine)
            hashed += len(data) // RECORD_BYTES
            faults += [f"{machine.machine}: {fault}" for fault in _of_log(data, machine, report)]
    records = sum(machine.log.records for machine in report.machines if machine.log is not None)
    if records * RECORD_BYTES != len(content):
        faults.append(f"{beside.name} has {len(content)} bytes, expected {records * RECORD_BYTES}")
    return hashed, faults, []


def _of_log(data: bytes, machine: MachineReport, report: Report) -> Iterator[str]:
    """What is wrong with one machine's shares."""
    log, count = machine.log, machine.spoken
    assert log is not None
    assert report.share_file is not None
    proved = prove(data, scale=report.share_file.scale)
    if proved.bad:
        yield f"{proved.bad} shares are not as hard as was asked of them"
    if proved.repeated:
        yield f"{proved.repeated} shares stand there twice"
    if (proved.shares, len(data) // RECORD_BYTES) != (log.shares, log.records):
        yield f"{proved.shares} good shares of {len(data) // RECORD_BYTES}, the report says {log.shares} of {log.records}"
    if count is None or count.source != "tap":
        yield "shares of a machine that the tap says nothing of"
        return
    from_s, to_s = count.from_s, count.to_s
    if proved.shares and (from_s is None or to_s is None or not from_s < proved.first_s <= proved.last_s <= to_s):
        yield "shares of another time than was counted"
    judged = judge(proved.shares, count.expected, report.method)
    if VERDICTS[judged.verdict] != log.verdict:
        yield f"its shares by themselves say {VERDICTS[judged.verdict]}, the report says {log.verdict}"
    if agrees(log, count) and {log.verdict, count.verdict} == {"short", "honest"}:
        yield f"its shares by themselves say {log.verdict}, its verdict is {count.verdict}"
