"""Blocks: what meets the network's target, on disk before anybody is told that it was accepted.

An append-only file of lines of JSON, each with its checksum: a block with all that its pool needs to make it (job,
extranonces, coinbase, branches, header), and what became of it, by pool. Writing and syncing is a thread's work, many at
once where blocks are easy; a disk that is full or slow is told, and stops neither the submission nor the answer. What has
no answer yet is known after a restart, and is submitted again by `rescue`.
"""

from __future__ import annotations

import asyncio
import errno
import os
import zlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from controllers.state import ready, sync_directory

_FILE: Final = "blocks.jsonl"
_FILE_BYTES_MOST: Final = 64 * 10**6
_FILES_MOST: Final = 8
_KNOWN_MOST: Final = 10_000
_WAITING_MOST: Final = 10_000
ANSWERED_LATE_S: Final = 5.0
"""A disk may hold up a block's answer for this long (real seconds); then the machine is told all the same."""


@dataclass(frozen=True, slots=True)
class Block:
    """A share that is a block, with everything that is needed to submit it again.

    Hashes and transactions are hexadecimal as they stand in a header; `hash` is as it is printed. `pool` is its address.
    `flaw`: what was wrong with it as a share (a stale block may still be one).
    """

    hash: str
    at_s: float
    machine: str
    worker: str
    pool: str
    session: str | None
    job_id: str
    extranonce1: str
    extranonce2: str
    time_s: int
    nonce: int
    version_bits: int | None
    header: str
    coinbase: str
    branches: tuple[str, ...]
    flaw: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a pool said to a block, or that nothing more is tried (`settled` without an answer)."""

    hash: str
    at_s: float
    pool: str
    accepted: bool
    said: str


class Blocks:
    """The block file of one tap."""

    def __init__(self, directory: Path, loop: asyncio.AbstractEventLoop, say: Callable[[str, str], None]) -> None:
        self._directory, self._loop, self._say = directory, loop, say
        self._waiting: deque[tuple[bytes, Callable[[], None] | None]] = deque()
        self._thread = ThreadPoolExecutor(1, "blocks")
        self._writing: asyncio.Future[None] | None = None
        self._under_way = 0
        self._failing = False
        self.open: dict[str, Block] = {}
        """Blocks without an answer, oldest first."""
        self._known: dict[str, None] = {}
        self.found = self.accepted = self.refused = 0

    def load(self) -> list[str]:
        """Read what an earlier process left; returns what is wrong with the files, for people.

        Raises:
            OSError: a file is there and cannot be read.
        """
        faults = []
        for path in [*sorted(self._directory.glob("blocks.*.jsonl")), self._directory / _FILE]:
            if not path.exists():
                continue
            with path.open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    if not self._take(_read(line)):
                        faults.append(f"{path}, line {number}: expected a block or an answer, with its checksum")
        return faults

    def new(self, block: Block, kept: Callable[[], None]) -> None:
        """A block was found, and is on its way to its pool: keep it.

        `kept` is called once: when it is on disk, or when the disk refused it or took too long.
        """
        if block.hash in self._known:
            kept()
            return
        self.found += 1
        self._remember(block)
        self._say("block", f"{block.hash} by {block.machine} ({block.worker}) for {block.pool}, job {block.job_id}")
        self._append({"block": asdict(block)}, _Once(self._loop, kept))

    def answered(self, answer: Answer) -> None:
        """What became of a block; the first answer that accepts it, or the last one, stands."""
        if self.open.pop(answer.hash, None) is None:
            return
        if answer.accepted:
            self.accepted += 1
        else:
            self.refused += 1
        what = "accepted" if answer.accepted else "refused"
        self._say("block", f"{answer.hash} {what} by {answer.pool}" + (f": {answer.said}" if answer.said else ""))
        self._append({"answer": asdict(answer)}, None)

    def try_again(self) -> None:
        """Write what the disk did not take before."""
        if self._waiting and self._writing is None:
            self._write_some()

    def status(self) -> dict[str, Any]:
        """Counts, the blocks without an answer, and how many entries the disk has not taken yet."""
        return {
            "found": self.found,
            "accepted": self.accepted,
            "refused": self.refused,
            "open": list(self.open),
            "not_on_disk": len(self._waiting) + self._under_way,
        }

    async def close(self) -> None:
        """Return when what was found is on disk, or cannot be put there, or the disk has hung for a while."""
        while self._writing is not None:
            done, _ = await asyncio.wait((self._writing,), timeout=ANSWERED_LATE_S)
            if not done:
                break
        self._thread.shutdown(wait=False)

    # ------------------------------------------------------------------------------------------------------- the file

    def _append(self, entry: dict[str, Any], then: Callable[[], None] | None) -> None:
        text = orjson.dumps(entry)
        self._waiting.append((b"%s %08x\n" % (text, zlib.crc32(text)), then))
        while len(self._waiting) > _WAITING_MOST:
            self._waiting.popleft()
        self.try_again()

    def _write_some(self) -> None:
        some, self._waiting = self._waiting, deque()
        self._under_way = len(some)
        lines = b"".join(line for line, _ in some)
        self._writing = self._loop.run_in_executor(self._thread, self._write, lines)
        self._writing.add_done_callback(lambda done: self._written(done.exception(), some))

    def _written(self, error: BaseException | None, some: deque[tuple[bytes, Callable[[], None] | None]]) -> None:
        """Call whoever waited; what the disk refused waits for its next chance."""
        self._writing, self._under_way = None, 0
        for _, then in some:
            if then is not None:
                then()
        if error is None:
            self._told(failing=False, text="blocks are kept on disk again")
            self.try_again()
        else:
            self._waiting.extendleft((line, None) for line, _ in reversed(some))
            self._told(failing=True, text=f"{self._directory / _FILE}: not kept, it is tried again: {error}")

    def _told(self, *, failing: bool, text: str) -> None:
        """Once when it begins to fail, once when that is over."""
        if failing != self._failing:
            self._failing = failing
            self._say("block", text)

    def _write(self, lines: bytes) -> None:
        """In the thread: whole lines, or none of them, and on disk on return.

        Raises:
            OSError: they could not be written.
        """
        path = ready(self._directory) / _FILE
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            size = os.fstat(descriptor).st_size
            # what a crash left of a line must not swallow the next one
            whole = lines if not size or os.pread(descriptor, 1, size - 1) == b"\n" else b"\n" + lines
            try:
                _write_all(descriptor, whole)
                os.fsync(descriptor)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
        if not size:
            sync_directory(self._directory)
        if size + len(whole) > _FILE_BYTES_MOST:
            self._follow(path)

    def _follow(self, path: Path) -> None:
        """Begin a new file; the oldest of too many goes, which no real network's blocks will bring about."""
        old = sorted(self._directory.glob("blocks.*.jsonl"))
        number = int(old[-1].name.split(".")[1]) + 1 if old else 1
        path.rename(self._directory / f"blocks.{number:06d}.jsonl")
        for gone in old[: max(len(old) + 2 - _FILES_MOST, 0)]:
            gone.unlink(missing_ok=True)
        sync_directory(self._directory)

    def _take(self, entry: dict[str, Any]) -> bool:
        """An entry of an earlier process; False where it is none."""
        try:
            if "block" in entry:
                values = entry["block"]
                self._remember(Block(**{**values, "branches": tuple(values["branches"])}))
            else:
                self.open.pop(Answer(**entry["answer"]).hash, None)
        except (TypeError, KeyError):
            return False
        return True

    def _remember(self, block: Block) -> None:
        """Open, and known; of both there is a bound, for a network whose blocks are no rarity."""
        self.open[block.hash] = block
        self._known[block.hash] = None
        while len(self._known) > _KNOWN_MOST:
            oldest = next(iter(self._known))
            del self._known[oldest]
            self.open.pop(oldest, None)


class _Once:
    """Calls a function once: when it is called itself, or after a bound of time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, then: Callable[[], None]) -> None:
        self._then: Callable[[], None] | None = then
        self._late = loop.call_later(ANSWERED_LATE_S, self)

    def __call__(self) -> None:
        then, self._then = self._then, None
        self._late.cancel()
        if then is not None:
            then()


def _write_all(descriptor: int, data: bytes) -> None:
    """Write everything.

    Raises:
        OSError: less than that was taken.
    """
    written = os.write(descriptor, data)
    if written < len(data):
        raise OSError(errno.ENOSPC, f"{written} of {len(data)} bytes were taken")


def _read(line: bytes) -> dict[str, Any]:
    """The entry of a line; empty where the line is not whole."""
    text, _, check = line.rstrip(b"\n").rpartition(b" ")
    try:
        entry = orjson.loads(text) if int(check, 16) == zlib.crc32(text) else None
    except ValueError:
        entry = None
    return entry if isinstance(entry, dict) else {}
