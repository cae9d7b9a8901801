"""The share log: every verified share of a machine under check, so that what is said of it can be proved share by share.

A record is 128 bytes: the header that was hashed, the difficulty that was asked, the time, and the hash of the coinbase
that its merkle root stands on. A log is two files that take turns: when the newer one is full, the older one goes, so a
log never takes more than its bound. Reading is pure: whoever has the bytes can hash them again and count.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from controllers.pool.verifier import Share
from controllers.state import ready
from fleet.work.sha256d import meets, sha256d
from fleet.work.stratum import Job
from fleet.work.stratum.jobs import scaled_target
from fleet.work.target import share_difficulty

_RECORD: Final = struct.Struct("<80sdd32s")
RECORD_BYTES: Final = _RECORD.size
_MB: Final = 10**6


@dataclass(frozen=True, slots=True)
class Logged:
    """One share of a log: the header (80 bytes), the difficulty asked, when (UTC seconds), its coinbase's hash."""

    header: bytes
    asked: float
    at_s: float
    coinbase: bytes


@dataclass(frozen=True, slots=True)
class Proved:
    """What a log proves: shares that are as hard as was asked, their work, the hardest; `bad` are those that are not.

    `repeated` are headers that were there before; they prove nothing and are in neither.
    """

    shares: int
    work: float
    best: float
    first_s: float
    last_s: float
    bad: int
    repeated: int


def read(data: bytes) -> Iterator[Logged]:
    """The shares of a log's bytes; half a record at its end is left out."""
    for fields in _RECORD.iter_unpack(data[: len(data) - len(data) % RECORD_BYTES]):
        yield Logged(*fields)


def prove(data: bytes, *, scale: float = 1.0, since_s: float = float("-inf")) -> Proved:
    """Hash every header of a log again, and count those from `since_s` on (UTC seconds).

    `scale` is the site file's `simulated_scale`.
    """
    shares = bad = repeated = 0
    work, best, first_s, last_s = 0.0, 0.0, float("nan"), float("nan")
    seen: set[bytes] = set()
    for logged in read(data):
        if logged.at_s < since_s:
            continue
        digest = sha256d(logged.header)
        if digest in seen:
            repeated += 1
        elif not 0 < logged.asked < float("inf") or not meets(digest, scaled_target(logged.asked, scale)):
            bad += 1
        else:
            shares, work = shares + 1, work + logged.asked
            best = max(best, share_difficulty(digest) / scale)
            first_s, last_s = (logged.at_s if shares == 1 else first_s), logged.at_s
        seen.add(digest)
    return Proved(shares, work, best, first_s, last_s, bad, repeated)


class ShareLogs:
    """The logs of the machines under check, in one directory; `watched` are their rows."""

    def __init__(self, directory: Path, most_mb: float) -> None:
        self._directory = directory
        self._most_bytes = max(int(most_mb * _MB / 2), RECORD_BYTES)
        self._files: dict[int, BinaryIO] = {}
        self._names: dict[int, str] = {}
        self.watched: dict[int, float] = {}
        """Until when each is watched (the tap's elapsed seconds)."""
        self.failed = ""
        """Why shares cannot be kept, for people; empty while they can."""

    def watch(self, row: int, machine: str, until_s: float) -> None:
        """Keep this machine's shares until then, or longer where that was asked before."""
        self._names[row] = machine
        self.watched[row] = max(until_s, self.watched.get(row, 0.0))

    def sweep(self, now_s: float) -> None:
        """Watch no longer whose time is over; write out what the others have."""
        for row in [row for row, until_s in self.watched.items() if until_s <= now_s]:
            del self.watched[row]
            self._drop(row)
        with self._told():
            for file in self._files.values():
                file.flush()

    def keep(self, row: int, share: Share) -> None:
        """Write a verified share down."""
        job, judged = cast("Job", share.candidate.job), share.judged
        assert judged is not None
        notify = job.notify
        coinbase = hashlib.sha256(notify.coinbase1 + job.extranonce1 + judged.extranonce2 + notify.coinbase2).digest()
        record = _RECORD.pack(judged.header, judged.credit, share.at_s, coinbase)
        with self._told():
            file = self._files.get(row)
            if file is None or file.tell() + RECORD_BYTES > self._most_bytes:
                file = self._next(row)
            file.write(record)

    def paths(self, machine: str) -> tuple[Path, ...]:
        """A machine's log, the older file first; those that are there."""
        for row, name in self._names.items():
            if name == machine and row in self._files:
                with self._told():
                    self._files[row].flush()
        return tuple(path for path in (self._path(machine, 1), self._path(machine, 0)) if path.exists())

    def close(self) -> None:
        """Write out and close everything."""
        for row in list(self._files):
            self._drop(row)

    def _next(self, row: int) -> BinaryIO:
        """The next file of a log; the older one goes."""
        self._drop(row)
        machine = self._names[row]
        newest = self._path(machine, 0)
        if newest.exists() and newest.stat().st_size + RECORD_BYTES > self._most_bytes:
            newest.replace(self._path(machine, 1))
        ready(self._directory)
        file = self._files[row] = newest.open("ab")
        # what a crash left of a record would put all that follow out of step
        size = os.fstat(file.fileno()).st_size
        if size % RECORD_BYTES:
            file.truncate(size - size % RECORD_BYTES)
        return file

    @contextmanager
    def _told(self) -> Iterator[None]:
        """A disk that is full stops nothing; why shares are not kept is told in the status."""
        try:
            yield
            self.failed = ""
        except OSError as error:
            self.failed = str(error)

    def _drop(self, row: int) -> None:
        file = self._files.pop(row, None)
        if file is not None:
            with self._told():
                file.close()

    def _path(self, machine: str, age: int) -> Path:
        # a machine's id may have any letter but a slash; a file's name should be no surprise
        safe = "".join(c if c.isalnum() or c in "-_" else f"%{ord(c):02x}" for c in machine)
        return self._directory / f"{safe}.{age}.shares"
