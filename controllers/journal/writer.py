"""The one writer of a journal: appends whole frames, or none of a frame.

Opening finds the end of what is whole, saves a torn tail aside and cuts it off. A frame that cannot be written whole (a full
disk) is taken back and is an error; the writer goes on when there is space again. A file belongs to one writer at a time; at a
size it is followed by a new one that begins with its title and a key frame, and the oldest go to keep the whole in bounds.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from controllers.journal.columns import encode
from controllers.journal.entries import Happened, Sent, Title, number_of, segment, segments, title_of, title_payload
from controllers.journal.frames import Damage, Frame, Kind, frame, scan_file
from controllers.journal.pending import Pending
from controllers.journal.settings import JournalSettings
from controllers.journal.values import Columns, Json, Unreadable, pack
from controllers.state import ready, sync_directory
from fleet.command import Outcomes
from fleet.order import Order
from fleet.view import View
from policies.record import Record

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_MB: Final = 10**6


class JournalError(OSError):
    """The journal could not take something; nothing of it was kept. The message names the file and why."""


class JournalFull(JournalError):
    """No space; the next write tries again."""


class JournalTaken(JournalError):
    """Another process has begun the journal's next file: this one writes no more."""


class Writer:
    """Appends to the journal in one directory. Not safe for two threads at once."""

    def __init__(self, directory: Path, settings: JournalSettings, title: Title) -> None:
        """Open for appending.

        Raises:
            StateUnusable: the directory cannot be written to.
            JournalError: no file could be opened or begun in it.
        """
        self.said: list[str] = []
        """What was found on opening, for people: a torn tail, another site's journal."""
        self._directory, self._settings, self._title = ready(directory), settings, title
        self._pending = Pending()
        self._before: Columns | None = None
        self._base: int | None = None
        self._since_key = 0
        self._descriptor = -1
        self._path = directory
        self._size = self._sequence = 0
        self._broken = False
        with self._refused(directory):
            if not self._continue_last():
                self._begin_file()

    @property
    def path(self) -> Path:
        """The file that is written to now."""
        return self._path

    def append(self, record: Record, *, durable: bool) -> None:
        """Keep a record; where `durable` it is on disk on return, else soon after (and survives this process at once).

        Raises:
            JournalFull, JournalTaken, JournalError: it was not kept.
        """
        if self._broken or self._size >= self._settings.rotate_mb * _MB:
            self._follow()
        columns: dict[str, NDArray[Any]] = {}
        value = pack(record, columns)
        head = {"number": record.number, "value": value}
        prices = value["decision"]["prices"]
        key = self._before is None or self._since_key + 1 >= self._settings.key_every
        before, base = (None, None) if key else (self._before, self._base)
        payload = encode(head, columns, before, self._title.modes, prices, base)
        sequence = self._write(Kind.KEY if key else Kind.DELTA, payload, durable=durable)
        self._before, self._base = columns, sequence
        self._since_key = 0 if key else self._since_key + 1
        snapshot = record.snapshot
        self._pending.recorded(snapshot.at_s, snapshot.orders, snapshot.outcomes)
        if key:
            self._prune()

    def begin(self, view: View, reasons: tuple[str, ...], orders: tuple[Order, ...], number: int, by: str) -> None:
        """Keep, durably, the beliefs with which this process begins after tick `number`.

        Raises:
            JournalFull, JournalTaken, JournalError: they were not kept.
        """
        columns: dict[str, NDArray[Any]] = {}
        head: Json = {"number": number, "reasons": list(reasons), "by": by, "orders": [pack(o, {}) for o in orders]}
        head["value"] = {"view": pack(view, columns, "view")}
        self._write(Kind.BEGAN, encode(head, columns), durable=True)
        self._prune()

    def note_order(self, order: Order) -> None:
        """Keep an order durably, before it is acknowledged.

        Raises:
            JournalFull, JournalTaken, JournalError: it was not kept.
        """
        self._write(Kind.ORDER, encode({"value": pack(order, {})}, {}), durable=True)
        self._pending.note_order(order)

    def note_outcomes(self, outcomes: Outcomes) -> None:
        """Keep what became of commands, as soon as it is known.

        Raises:
            JournalFull, JournalTaken, JournalError: they were not kept.
        """
        columns: dict[str, NDArray[Any]] = {}
        self._write(Kind.OUTCOMES, encode({"value": pack(outcomes, columns, "outcomes")}, columns), durable=False)
        self._pending.note_outcomes(outcomes)

    def note_sent(self, sent: Sent) -> None:
        """Keep commands of no tick durably, before they are sent.

        Raises:
            JournalFull, JournalTaken, JournalError: they were not kept.
        """
        columns: dict[str, NDArray[Any]] = {}
        head = {"at_s": sent.at_s, "by": sent.by, "value": pack(sent.commands, columns, "commands")}
        self._write(Kind.COMMANDS, encode(head, columns), durable=True)

    def note_event(self, event: Happened) -> None:
        """Keep an event.

        Raises:
            JournalFull, JournalTaken, JournalError: it was not kept.
        """
        self._write(Kind.EVENT, encode({"value": pack(event, {})}, {}), durable=False)

    def close(self) -> None:
        """Put everything on disk and let go of the file; never raises."""
        if self._descriptor >= 0:
            with suppress(OSError):
                os.fdatasync(self._descriptor)
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1

    def _continue_last(self) -> bool:
        """Go on with the newest file, when it is of the same site and nobody else writes to it."""
        files = segments(self._directory)
        if not files:
            return False
        path = files[-1]
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        try:
            if not _locked(descriptor):
                self.said.append(f"{path}: another process writes to it; a new file follows it")
                return False
            title, sequence = self._mend(path, descriptor)
            size = os.fstat(descriptor).st_size
            if title is None or title.digest != self._title.digest:
                self.said.append(f"{path}: {_mismatch(title, self._title)}; a new file follows it")
                return False
            if size >= self._settings.rotate_mb * _MB:
                return False
            self._adopt(path, descriptor, size, sequence)
            descriptor = -1
            return True
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _mend(self, path: Path, descriptor: int) -> tuple[Title | None, int]:
        """Cut off a torn tail after saving it aside; the title, and the number of the next frame."""
        title, sequence, tail = None, 0, None
        for piece in scan_file(path):
            match piece:
                case Damage():
                    self.said.append(piece.in_words())
                    tail = piece if piece.tail else None
                case Frame():
                    sequence = piece.sequence + 1
                    if piece.kind is Kind.TITLE:
                        with suppress(Unreadable):
                            title = title_of(piece.payload)
        if tail is not None:
            aside = path.with_name(f"{path.name}.torn-{tail.offset}")
            torn = os.pread(descriptor, tail.length, tail.offset)
            with suppress(OSError):  # on a full disk there is no space for it, and the whole frames matter more
                aside.write_bytes(torn)
            os.ftruncate(descriptor, tail.offset)
            self._wait_for(descriptor)
        return title, sequence

    def _begin_file(self) -> None:
        """A new file with its title."""
        files = segments(self._directory)
        path = segment(self._directory, number_of(files[-1]) + 1 if files else 1)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            _locked(descriptor)
            title = frame(Kind.TITLE, 0, title_payload(self._title))
            _write_all(descriptor, title)
            self._wait_for(descriptor)
            self._wait_for(None)
        except OSError:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        self.close()
        self._adopt(path, descriptor, len(title), 1)

    def _adopt(self, path: Path, descriptor: int, size: int, sequence: int) -> None:
        """Write to this file from now on; its first record is a key frame."""
        self._path, self._descriptor, self._size, self._sequence = path, descriptor, size, sequence
        self._before = self._base = None
        self._broken = False

    def _follow(self) -> None:
        """The next file, with what was noted and is in no record yet."""
        with self._refused(self._path):
            if self._descriptor >= 0 and not self._broken:
                self._wait_for(self._descriptor)
            self._begin_file()
        orders, outcomes = self._pending.orders, self._pending.outcomes
        for order in orders:
            self.note_order(order)
        if len(outcomes):
            self.note_outcomes(outcomes)

    def _write(self, kind: Kind, payload: bytes, *, durable: bool) -> int:
        """One frame, whole or not at all; its number in the file."""
        if self._descriptor < 0:
            raise JournalError(f"{self._path}: closed")
        if self._broken:
            self._follow()
        self._alone()
        sequence = self._sequence
        content = frame(kind, sequence, payload)
        with self._refused(self._path):
            try:
                _write_all(self._descriptor, content)
                if self._settings.fsync == "always" or (durable and self._settings.fsync == "durable"):
                    self._sync()
            except OSError:
                self._take_back()
                raise
        self._size += len(content)
        self._sequence += 1
        return sequence

    def _wait_for(self, descriptor: int | None) -> None:
        """Wait until a file, or where it is None the directory's names, are on disk, unless the settings wait for nothing."""
        if self._settings.fsync == "never":
            return
        if descriptor is None:
            sync_directory(self._directory)
        else:
            os.fsync(descriptor)

    def _sync(self) -> None:
        """Wait for the disk. What it refused once may be gone for good, so such a file is not written to again."""
        try:
            os.fdatasync(self._descriptor)
        except OSError:
            self._broken = True
            raise

    def _take_back(self) -> None:
        """Cut off what was written of a frame; a file on which even that fails is not written to again."""
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            self._broken = True

    def _alone(self) -> None:
        """Still the writer of the newest file?"""
        following = segment(self._directory, number_of(self._path) + 1)
        if following.exists():
            raise JournalTaken(f"{following}: begun by another process, which has taken this site over")

    def _prune(self) -> None:
        """Remove the oldest files until the whole, grown by one more file, is within its bound."""
        with suppress(OSError):
            files = [p for p in sorted(self._directory.glob("journal-*.hwj*")) if p != self._path]
            sizes = {path: path.stat().st_size for path in files}
            left = sum(sizes.values()) + max(self._size, self._settings.rotate_mb * _MB)
            for path in files:
                if left <= self._settings.keep_mb * _MB:
                    return
                path.unlink()
                left -= sizes[path]

    @contextmanager
    def _refused(self, path: Path) -> Iterator[None]:
        """What the system refuses, as the journal's own errors."""
        try:
            yield
        except JournalError:
            raise
        except OSError as error:
            kind = JournalFull if error.errno in _FULL else JournalError
            raise kind(error.errno or errno.EIO, f"nothing was kept: {error.strerror or error}", str(path)) from error


def _locked(descriptor: int) -> bool:
    """Is the file ours alone from now on?"""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_all(descriptor: int, content: bytes) -> None:
    """All of it, or an error."""
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def _mismatch(found: Title | None, expected: Title) -> str:
    """How a file's title differs from ours."""
    if found is None:
        return "its title cannot be read"
    if found.site != expected.site:
        return f"it is of site {found.site!r}, expected {expected.site!r}"
    gone = len(set(found.machines) - set(expected.machines))
    new = len(set(expected.machines) - set(found.machines))
    if gone or new:
        return f"its roster differs: {gone} machines are gone, {new} are new"
    return f"its settings differ (digest {found.digest[:12]}, now {expected.digest[:12]})"
