"""Exit codes of every command, documented in docs/cli.md and by `hashwatt --help`; and the error of a bad argument."""

from __future__ import annotations

from enum import IntEnum


class BadArgument(Exception):
    """An argument that cannot be used; the message names it, its value and what was expected."""


class Exit(IntEnum):
    """What a command's exit code says."""

    OK = 0
    """Done, and nothing wrong was found."""
    FOUND = 1
    """Done, and something is wrong: a machine did not answer, a replay differs, a figure is missed."""
    USAGE = 2
    """Bad arguments or a bad input file; the message says where, what, and what was expected."""
    NO_DAEMON = 3
    """No daemon answers for this site."""
    REFUSED = 4
    """The daemon, or another holder of the lease, said no."""
    INTERRUPTED = 130
    """Ended by Ctrl-C."""
