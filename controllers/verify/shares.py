"""The file of share headers beside a report: every verified share of its time, so that it can be hashed and counted again.

It is the tap's own share logs, machine after machine, cut to the time that was counted: 128 bytes a share. Where each
machine's stand, and what they come to, is in the report; the file's SHA-256 is too, and so is part of the report's digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Final

import numpy as np

from controllers.pool.share_log import RECORD_BYTES, prove, read
from controllers.verify.report import Count, Logged, MachineReport, Method, Report, ShareFile
from fleet.work.proof.evidence import Verdict
from fleet.work.proof.share_check import ShareCheck
from policies.proof import VERDICTS

RECORD: Final = (
    "a share: 80 bytes of block header as it was hashed, difficulty asked (8 bytes, little-endian double), time it came "
    "(8 bytes, little-endian double, UTC seconds), 32 bytes hash of its coinbase transaction"
)
_READ_BYTES_MOST: Final = 1_000_000_000


def with_shares(report: Report, logs: Mapping[str, Sequence[str]], name: str, scale: float) -> tuple[Report, bytes]:
    """The report with its share file, and the file's bytes; the report as it is, and none, where nothing was logged.

    `logs` are the tap's files by machine; those that cannot be read are left out, and noted.
    """
    content, machines, notes = bytearray(), [], list(report.notes)
    for machine in report.machines:
        count = machine.spoken
        if count is None or count.source != "tap" or machine.machine not in logs:
            machines.append(machine)
            continue
        try:
            data = _cut(logs[machine.machine], count)
        except OSError as error:
            notes.append(f"the share log of {machine.machine} cannot be read: {error.strerror or error}")
            machines.append(machine)
            continue
        logged = logged_of(data, len(content), count, report.method, scale)
        machines.append(machine.model_copy(update={"log": logged}))
        if not agrees(logged, count):
            notes.append(
                f"the share log of {machine.machine} has {logged.shares} shares of the time in which "
                f"{count.shares:.0f} were counted: it is not whole"
            )
        content += data
    if not content:
        return report.model_copy(update={"notes": tuple(notes)}), b""
    file = ShareFile(
        file=name, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content), record=RECORD, scale=scale
    )
    told = report.model_copy(update={"machines": tuple(machines), "notes": tuple(notes), "share_file": file})
    return told, bytes(content)


def logged_of(data: bytes, offset: int, count: Count, method: Method, scale: float) -> Logged:
    """What one machine's part of a share file comes to, hashed anew."""
    proved = prove(data, scale=scale)
    judged = judge(proved.shares, count.expected, method)
    return Logged(
        offset=offset,
        records=len(data) // RECORD_BYTES,
        shares=proved.shares,
        work=proved.work,
        first_s=proved.first_s if isfinite(proved.first_s) else None,
        last_s=proved.last_s if isfinite(proved.last_s) else None,
        score=judged.score,
        verdict=VERDICTS[judged.verdict],
    )


def agrees(logged: Logged, count: Count) -> bool:
    """Are a log's shares those that were counted, but for those that were under way at either end?"""
    return abs(logged.shares - count.shares) <= 5 + 0.01 * count.shares


@dataclass(frozen=True, slots=True)
class Judged:
    """A score, and what it says."""

    score: float
    verdict: Verdict


def judge(shares: float, expected: float, method: Method) -> Judged:
    """The test of a report by its own settings, of so many shares where so many were expected."""
    check = ShareCheck(
        shortfall=method.shortfall,
        tolerance=min(ShareCheck().tolerance, method.shortfall / 2),
        false_alarm=method.false_alarm,
        missed=method.missed,
    )
    short_at, honest_at = check.one_shot(method.machines * method.sources)
    score = float(check.on_request.score(np.array([shares]), np.array([expected]))[0])
    short, honest = score >= short_at, score <= honest_at
    return Judged(score, Verdict.SHORT if short else Verdict.HONEST if honest else Verdict.UNTESTED)


def _cut(paths: Sequence[str], count: Count) -> bytes:
    """The records of the time that was counted.

    Raises:
        OSError: a file is not there, or larger than any log.
    """
    kept = bytearray()
    from_s = -np.inf if count.from_s is None else count.from_s
    to_s = -np.inf if count.to_s is None else count.to_s
    for name in paths:
        path = Path(name)
        if path.stat().st_size > _READ_BYTES_MOST:
            raise OSError(f"{path}: larger than a share log may be")
        data = path.read_bytes()
        for number, share in enumerate(read(data)):
            if from_s < share.at_s <= to_s:
                kept += data[number * RECORD_BYTES : (number + 1) * RECORD_BYTES]
    return bytes(kept)


def part_of(content: bytes, machine: MachineReport) -> bytes:
    """One machine's part of a share file."""
    assert machine.log is not None
    return content[machine.log.offset : machine.log.offset + machine.log.records * RECORD_BYTES]
