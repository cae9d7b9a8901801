"""The files of a lease: one block each, that appears in one step and is known as broken when it is half written.

A holding's file is linked into place when it is complete and its lock is taken, so a reader never finds it empty or free while
its holder lives. Renewals overwrite the block, whose checksum tells a whole one from half of one.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import zlib
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from controllers.state import sync_directory

_PREFIX: Final = "lease."
_BLOCK_BYTES: Final = 1_024
_READS_MOST: Final = 5
_READ_AGAIN_S: Final = 0.002

Role: TypeAlias = Literal["daemon", "guard"]
"""Who holds it."""


@dataclass(frozen=True, slots=True)
class Holding:
    """One holding as its file tells it.

    Times are seconds since the boot that `boot` names. `ended`: its holder let go of it, after carrying out the `farewell` of
    that name (None: without one).
    """

    epoch: int
    role: Role
    pid: int
    host: str
    boot: str
    ttl_s: float
    renewed_s: float
    beats: int = 0
    ended: bool = False
    farewell: str | None = None

    @property
    def until_s(self) -> float:
        """When it lapses unless it is renewed."""
        return self.renewed_s + self.ttl_s

    def in_words(self, now_s: float, boot: str) -> str:
        """Who it is, for people."""
        heard = f", last renewed {max(now_s - self.renewed_s, 0.0):.0f} s ago" if boot == self.boot else ""
        return f"the {self.role} with process {self.pid} on host {self.host} (lease {self.epoch}{heard})"


def holdings(directory: Path) -> list[int]:
    """The epochs that have a file, oldest first.

    Raises:
        OSError: the directory cannot be read (one that is not there has none).
    """
    try:
        names = [path.name.removeprefix(_PREFIX) for path in directory.iterdir() if path.name.startswith(_PREFIX)]
    except FileNotFoundError:
        return []
    return sorted(int(name) for name in names if name.isdigit())


def read(directory: Path, epoch: int) -> tuple[Holding | None, bool]:
    """A holding (None: it cannot be read), and whether a living process has its lock.

    Raises:
        OSError: the file is there and cannot be opened.
    """
    try:
        descriptor = os.open(_path(directory, epoch), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None, False
    try:
        holding = _parsed(os.pread(descriptor, _BLOCK_BYTES, 0))
        for _ in range(_READS_MOST):
            if holding is not None:
                break
            time.sleep(_READ_AGAIN_S)  # a renewal may be under way
            holding = _parsed(os.pread(descriptor, _BLOCK_BYTES, 0))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return holding, True
        return holding, False
    finally:
        os.close(descriptor)


def create(directory: Path, holding: Holding) -> int:
    """The holding's file, complete and locked from its first moment; its descriptor, whose closing ends the lock.

    Raises:
        FileExistsError: another process was first with this epoch.
        OSError: it cannot be written.
    """
    beside = directory / f".{_PREFIX}{holding.epoch}.{os.getpid()}"
    descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        write(descriptor, holding)
        os.fsync(descriptor)
        os.link(beside, _path(directory, holding.epoch))
        sync_directory(directory)
    except BaseException:
        os.close(descriptor)
        raise
    finally:
        beside.unlink(missing_ok=True)
    return descriptor


def write(descriptor: int, holding: Holding) -> None:
    """Overwrite the block of a holding's file.

    Raises:
        OSError: it cannot be written.
    """
    text = json.dumps(asdict(holding)).encode()
    block = f"{zlib.crc32(text):08x} ".encode() + text
    os.pwrite(descriptor, block.ljust(_BLOCK_BYTES - 1) + b"\n", 0)


def forget(directory: Path, before: int) -> None:
    """Remove the files of epochs before this one; never raises."""
    with suppress(OSError):
        for epoch in holdings(directory):
            if epoch < before:
                _path(directory, epoch).unlink(missing_ok=True)


def _path(directory: Path, epoch: int) -> Path:
    return directory / f"{_PREFIX}{epoch:08d}"


def _parsed(block: bytes) -> Holding | None:
    """The holding in a block; None where it is half written or something else."""
    crc, _, text = block.rstrip().partition(b" ")
    try:
        if int(crc, 16) != zlib.crc32(text):
            return None
        stored = json.loads(text)
        return Holding(**stored) if stored["role"] in get_args(Role) else None
    except (ValueError, KeyError, TypeError):
        return None
