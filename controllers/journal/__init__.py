"""The journal: append-only records, the audit log, and the state at boot, which survives kill -9 at any byte.

A record is kept before its commands are sent, an order before it is acknowledged; what had to be durable is on disk when the
call returns. Writing is one thread's work, in the order of asking, so that a slow disk holds up whoever has to wait for
it and not the loop. The modules beside this one are its parts: frames, columns, entries, writer, resuming.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self, TypeVar

from controllers.journal.entries import Happened, Sent, Title
from controllers.journal.resume import Last, last
from controllers.journal.settings import JournalSettings
from controllers.journal.writer import JournalError, JournalFull, JournalTaken, Writer
from controllers.state import JOURNAL
from fleet.command import Commands, Outcomes
from fleet.machine import Roster
from fleet.order import Order
from fleet.view import View
from policies.record import Record

__all__ = [
    "Journal",
    "JournalError",
    "JournalFull",
    "JournalSettings",
    "JournalTaken",
    "Last",
    "journal_directory",
    "last",
]

T = TypeVar("T")
_WAITING_MOST: Final = 4_096


def journal_directory(settings: JournalSettings, state: Path) -> Path:
    """Where a site's journal is."""
    return state / (settings.directory or JOURNAL)


class Journal:
    """A site's journal, open for appending. Its methods belong to one event loop."""

    def __init__(self, writer: Writer, directory: Path, roster: Roster) -> None:
        self._writer, self._directory, self._roster = writer, directory, roster
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._waiting = 0
        self.left_out = 0
        """Notes that did not need to be durable and were not kept: too many waiting, or refused by the disk."""

    @classmethod
    async def open(cls, settings: JournalSettings, state: Path, site: str, roster: Roster, settings_json: str) -> Self:
        """The journal of a site for its roster; `settings_json` is the resolved site file without its secrets.

        Raises:
            StateUnusable: its directory cannot be written to.
            JournalError: no file of it could be opened or begun.
        """
        directory = journal_directory(settings, state)
        writer = await asyncio.to_thread(lambda: Writer(directory, settings, Title.of(site, roster, settings_json)))
        return cls(writer, directory, roster)

    @property
    def said(self) -> tuple[str, ...]:
        """What was found on opening, for people."""
        return tuple(self._writer.said)

    @property
    def path(self) -> Path:
        """The file that is written to now."""
        return self._writer.path

    async def last(self, reasons: tuple[str, ...]) -> Last:
        """What the journal knows, in the rows and reasons of now (`Judgment.reasons`); see `Last`.

        Raises:
            OSError: a file of it cannot be read.
        """
        return await self._do(lambda: last(self._directory, self._roster, reasons))

    async def begin(self, known: Last, view: View, reasons: tuple[str, ...], by: str = "daemon") -> None:
        """Keep, durably, the beliefs with which this process goes on from what was known.

        Raises:
            JournalError: they were not kept.
        """
        await self._do(lambda: self._writer.begin(view, reasons, known.orders, known.number, by))

    async def append(self, record: Record, *, durable: bool) -> None:
        """Keep a record: on disk on return where `durable`, else where a crash of this process cannot reach it.

        Raises:
            JournalError: it was not kept, and the journal is as it was; a JournalFull may be tried again.
        """
        await self._do(lambda: self._writer.append(record, durable=durable))

    async def note_order(self, order: Order) -> None:
        """Keep an order durably; acknowledge it after this.

        Raises:
            JournalError: it was not kept.
        """
        await self._do(lambda: self._writer.note_order(order))

    async def note_sent(self, commands: Commands, at_s: float, by: str) -> None:
        """Keep, durably, commands that are no tick's (a farewell's); send them after this.

        Raises:
            JournalError: they were not kept.
        """
        await self._do(lambda: self._writer.note_sent(Sent(at_s, by, commands)))

    def note_outcomes(self, outcomes: Outcomes) -> None:
        """Keep outcomes soon; does not wait and never fails (the next snapshot tells them too)."""
        if len(outcomes):
            self._soon(lambda: self._writer.note_outcomes(outcomes))

    def note_event(self, kind: str, text: str, at_s: float) -> None:
        """Keep an event soon; does not wait and never fails."""
        self._soon(lambda: self._writer.note_event(Happened(at_s, kind, text)))

    async def flush(self) -> None:
        """Return when everything that was asked for is done."""
        await self._do(lambda: None)

    async def close(self) -> None:
        """Finish what waits, put it on disk and let go of the file; never raises."""
        await self._do(self._writer.close)
        await asyncio.to_thread(functools.partial(self._thread.shutdown, wait=True))

    async def _do(self, work: Callable[[], T]) -> T:
        """Let the thread do it, in its turn. Cancelling the wait does not cancel the work."""
        doing = asyncio.wrap_future(self._thread.submit(work))
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            doing.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody waits for its error now
            raise

    def _soon(self, work: Callable[[], None]) -> None:
        if self._waiting >= _WAITING_MOST:
            self.left_out += 1
            return
        self._waiting += 1
        self._thread.submit(work).add_done_callback(self._done)

    def _done(self, future: Future[None]) -> None:
        self._waiting -= 1
        if future.exception() is not None:
            self.left_out += 1
