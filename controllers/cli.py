"""The command line: a table of commands, each imported when it is given.

`hashwatt COMMAND …` finds the command's module, lets it describe its arguments, and returns its exit code. Errors that a
person can mend (a bad site file, no daemon) are one message on standard error and a documented exit code, never a traceback.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from controllers.exits import BadArgument, Exit

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "demo": ("controllers.pretend.demo", "a simulated site on a real day of prices, in two minutes"),
    "init": ("controllers.commands.init", "find machines, ask three questions, write a site file"),
    "check": ("controllers.commands.check", "validate a site file and ask every machine once"),
    "once": ("controllers.commands.once", "one look at the site, and what hashwatt would do (dry)"),
    "run": ("controllers.commands.run", "the daemon"),
    "guard": ("controllers.commands.guard", "the small second process that acts when the daemon is gone"),
    "status": ("controllers.commands.status", "what the running daemon sees and does"),
    "tap": ("controllers.commands.tap", "the tap as a process of its own, where the site file says so"),
    "verify": (
        "controllers.commands.verify",
        "is the claimed hash rate real? a check, and a report that can be judged again",
    ),
    "audit": ("controllers.commands.audit", "ask a machine for many shares for some minutes, through the tap"),
    "explain": ("controllers.commands.explain", "why one machine does what it does, and what changes that"),
    "order": ("controllers.commands.order", "hold, cap, curtail or release: the site, a place, a machine"),
    "replay": ("controllers.commands.replay", "judge a journal's snapshots again and compare"),
    "backtest": ("controllers.pretend.backtest", "years of prices through the same judgment"),
    "simulate": ("controllers.pretend.simulate", "serve a simulated site for other programs"),
    "bench": ("controllers.commands.bench", "this host's SHA-256d rate"),
}
"""Command by name: its module, and what it is for."""


def main(argv: Sequence[str] | None = None) -> int:
    """The console command; returns the exit code (`controllers.exits`)."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in COMMANDS:
        return _run(words[0], words[1:])
    parser = argparse.ArgumentParser(
        prog="hashwatt",
        description="Runs a Bitcoin mining site for profit.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_epilog(),
    )
    parser.add_argument("--version", action="version", version=_version() if "--version" in words else "")
    parser.add_argument("command", choices=tuple(COMMANDS), metavar="COMMAND", help="one of the commands below")
    parser.parse_args(words or ["--help"])
    return Exit.USAGE


def _run(name: str, words: Sequence[str]) -> int:
    """One command, its errors as messages."""
    module_name, purpose = COMMANDS[name]
    module = import_module(module_name)
    parser = argparse.ArgumentParser(prog=f"hashwatt {name}", description=f"{purpose[0].upper()}{purpose[1:]}.")
    module.add_arguments(parser)
    args = parser.parse_args(words)
    try:
        return int(module.main(args))
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return Exit.OK
    except Exception as error:
        told = _told(error)
        if told is None:
            raise
        code, texts = told
        sys.stderr.writelines(f"hashwatt {name}: {text}\n" for text in texts)
        return code


def _told(error: BaseException) -> tuple[Exit, list[str]] | None:
    """The exit code and the messages of an error, or of a group of nothing but such errors; None for our own bugs."""
    if not isinstance(error, BaseExceptionGroup):
        code = _exit_of(error)
        return None if code is None else (code, [str(error) or type(error).__name__])
    parts = [_told(part) for part in error.exceptions]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return max(code for code, _ in known), list(dict.fromkeys(text for _, texts in known for text in texts))


def _exit_of(error: BaseException) -> Exit | None:
    """The exit code of an error that a person can mend; None for our own bugs."""
    from controllers.config import SiteError
    from controllers.feeds import FeedRefused
    from controllers.lease import LeaseHeld, LeaseLost

    match error:
        case SiteError() | FeedRefused() | BadArgument():
            return Exit.USAGE
        case LeaseHeld() | LeaseLost():
            return Exit.REFUSED
        case ConnectionError() | TimeoutError():
            return Exit.NO_DAEMON
        case OSError():
            return Exit.FOUND
        case _:
            return None


def _version() -> str:
    """The installed distribution's version; a source tree has none."""
    from importlib import metadata

    try:
        return f"hashwatt {metadata.version('hashwatt')}"
    except metadata.PackageNotFoundError:
        return "hashwatt, not installed: run from its source"


def _epilog() -> str:
    """The commands and the exit codes."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {purpose}" for name, (_, purpose) in COMMANDS.items()]
    codes = "0 done; 1 done and something is wrong; 2 bad arguments or input; 3 no daemon answers; 4 refused"
    return "commands:\n" + "\n".join(lines) + f"\n\nexit codes: {codes}\nhashwatt COMMAND --help tells the rest."
