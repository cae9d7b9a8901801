"""The state directory: what a daemon leaves on disk, and how it is kept whole.

Journal, lease and socket live in one directory of the site. Whatever is created in it is made durable with its name, so
that a crash leaves the old or the new, never a half; time here is the host's own since boot, which no clock step moves.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
JOURNAL: Final = "journal"
"""The journal's directory below the state directory, where the site file names no other."""


class StateUnusable(OSError):
    """The state directory cannot be used; the message names it, the error and what was expected."""


def ready(directory: Path) -> Path:
    """The directory, made where it was missing.

    Raises:
        StateUnusable: it cannot be made, is no directory, or cannot be written to.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)
    except OSError as error:
        raise StateUnusable(
            f"{directory}: cannot be made: {error.strerror}; expected a directory to write to"
        ) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise StateUnusable(f"{directory}: not writable; expected a directory to write to")
    return directory


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable: what was created, linked or removed."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, content: bytes) -> None:
    """Put a small file in place whole: a reader, or a crash, finds the old content or the new one.

    Raises:
        OSError: it could not be written; the old content stands.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def since_boot_s() -> float:
    """Seconds since this host booted, suspended time included: never stepped, the same for all its processes."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """The name of this boot of this host."""
    return _BOOT_ID.read_text(encoding="ascii").strip()
