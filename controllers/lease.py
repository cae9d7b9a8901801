"""The lease: at most one process commands a site, and a process that was away too long finds that it no longer may.

Each holding has a file and a number of its own (the fencing token); the next one appears in one step, so of two takers one
fails. The holder keeps a kernel lock, which tells that it lives, and writes when it last renewed, in seconds since boot, which
no clock step moves. A dead holder is followed at once, a hung or suspended one when its term is over.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from controllers.lease_files import Holding, Role, create, forget, holdings, read, write
from controllers.state import boot_id, ready, replace_file, since_boot_s

__all__ = ["Holding", "Lease", "LeaseHeld", "LeaseLost", "LeaseUnusable", "Role", "Standing"]

_WANTED: Final = "lease-wanted"
_WANTED_S: Final = 5.0
_KEPT: Final = 8
_ASK_AGAIN_S: Final = 0.1


class Standing(StrEnum):
    """How the newest holding stands."""

    NONE = "none"
    """There never was one."""
    HELD = "held"
    ENDED = "ended"
    """Its holder let go of it."""
    DEAD = "dead"
    """Its holder's process is gone, and did not let go."""
    LAPSED = "lapsed"
    """Its holder's process is there, and has not renewed in time."""
    UNKNOWN = "unknown"
    """Another host's, or not readable: only watching it for a whole term can tell."""


class LeaseHeld(Exception):
    """Somebody else holds it; the message names who. `holding` is None where that cannot be read."""

    def __init__(self, message: str, standing: Standing, holding: Holding | None) -> None:
        super().__init__(message)
        self.standing, self.holding = standing, holding


class LeaseLost(Exception):
    """It was ours and is not any more; the message says why."""


class LeaseUnusable(OSError):
    """The lease's files cannot be written; the message names the directory, the error and what was expected."""


class Lease:
    """One process's claim on a site: `acquire`, then `renew` several times a term, `held` before every command.

    Renew from the loop that commands: then a loop that hangs loses its lease, as it should.
    """

    def __init__(
        self,
        directory: Path,
        *,
        role: Role = "daemon",
        ttl_s: float = 15.0,
        now: Callable[[], float] = since_boot_s,
        boot: str | None = None,
        host: str | None = None,
    ) -> None:
        """`directory`: the site's state. `now`: seconds since boot. `boot` and `host`: this boot's and this host's names."""
        self.role, self.ttl_s = role, ttl_s
        self._directory, self._now = directory, now
        self._boot, self._host = boot or boot_id(), host or socket.gethostname()
        self._mine: Holding | None = None
        self._descriptor = -1
        self._until_s = -1.0
        self._seen: tuple[int, int, float] | None = None

    @property
    def epoch(self) -> int | None:
        """The fencing token: it rises with every holding of this site. None while it is not ours."""
        return None if self._mine is None else self._mine.epoch

    def held(self) -> bool:
        """Is it ours now? Asks nothing but the clock: nobody takes a living holder's lease before its term is over."""
        return self._now() < self._until_s

    async def acquire(self, wait_s: float = 180.0) -> int:
        """Take it, waiting for a guard to hand it over, or until another host's is known to be over; returns the epoch.

        Raises:
            LeaseHeld: another daemon holds it (told at once), or it was not had within `wait_s`.
            LeaseUnusable: its files cannot be written.
        """
        for _ in range(int(wait_s / _ASK_AGAIN_S)):
            try:
                return await asyncio.to_thread(self.take)
            except LeaseHeld as held:
                guards = held.holding is not None and held.holding.role == "guard"
                if held.standing is Standing.HELD and not guards:
                    raise
            self.want()
            await asyncio.sleep(_ASK_AGAIN_S)
        return await asyncio.to_thread(self.take)

    def take(self) -> int:
        """Take it now; returns the epoch.

        Raises:
            LeaseHeld: somebody else has it, or it cannot be told yet that nobody has.
            LeaseUnusable: its files cannot be written.
        """
        if self._mine is not None and self.held():
            return self._mine.epoch
        self._let_go()
        try:
            ready(self._directory)
            return self._take()
        except OSError as error:
            text = f"{self._directory}: no lease can be taken: {error.strerror or error}"
            raise LeaseUnusable(error.errno or errno.EIO, f"{text}; expected a directory to write to") from error

    def renew(self) -> None:
        """Go on holding it for another term.

        Raises:
            LeaseLost: its term was over before this was done, or somebody else has it. It is let go of.
            LeaseUnusable: it cannot be written; the present term stands until it ends.
        """
        if self._mine is None:
            raise LeaseLost("no lease is held")
        try:
            fresh = replace(self._mine, renewed_s=self._in_time(), beats=self._mine.beats + 1)
            write(self._descriptor, fresh)
            self._newest_is(fresh)
            # Whoever looked after the end of the old term must have seen the new one: so it counts only if written before.
            self._in_time()
        except OSError as error:
            text = f"{self._directory}: the lease cannot be renewed: {error.strerror or error}"
            raise LeaseUnusable(error.errno or errno.EIO, text) from error
        except LeaseLost:
            self._let_go()
            raise
        self._mine, self._until_s = fresh, fresh.until_s

    def release(self, farewell: str | None = None) -> None:
        """Let go of it; never raises.

        `farewell` names the one that was carried out; without one the guard takes the site for abandoned and carries it out.
        """
        if self._mine is not None and self.held():
            with suppress(OSError):
                write(self._descriptor, replace(self._mine, ended=True, farewell=farewell, renewed_s=self._now()))
                os.fsync(self._descriptor)
        self._let_go()

    def look(self) -> tuple[Standing, Holding | None]:
        """How the newest holding stands, and what it is (None: none, or not readable).

        Raises:
            OSError: the directory cannot be read.
        """
        epochs = holdings(self._directory)
        return self._look(epochs[-1]) if epochs else (Standing.NONE, None)

    def want(self) -> None:
        """Ask a guard that holds it to hand it over; the asking lasts some seconds."""
        asked = {"pid": os.getpid(), "boot": self._boot, "until_s": self._now() + _WANTED_S}
        with suppress(OSError):
            replace_file(self._directory / _WANTED, json.dumps(asked).encode())

    def is_wanted(self) -> bool:
        """Does a daemon ask for it?"""
        try:
            asked: Any = json.loads((self._directory / _WANTED).read_bytes())
            return bool(asked["boot"] == self._boot and self._now() < asked["until_s"])
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _take(self) -> int:
        """The epoch after the newest, if that one's standing allows it."""
        epochs = holdings(self._directory)
        before = epochs[-1] if epochs else 0
        standing, holding = self._look(before) if before else (Standing.NONE, None)
        if standing in {Standing.HELD, Standing.UNKNOWN}:
            raise LeaseHeld(self._who(standing, holding), standing, holding)
        epoch = before + 1
        mine = Holding(epoch, self.role, os.getpid(), self._host, self._boot, self.ttl_s, self._now())
        try:
            descriptor = create(self._directory, mine)
        except FileExistsError:
            text = f"{self._directory}: lease {epoch} was taken by another process at the same moment"
            raise LeaseHeld(text, Standing.HELD, None) from None
        self._mine, self._descriptor, self._until_s = mine, descriptor, mine.until_s
        try:
            self._newest_is(mine)  # a taker that slept between looking and taking is behind by now
        except LeaseLost as lost:
            self._let_go()
            raise LeaseHeld(str(lost), Standing.HELD, None) from lost
        forget(self._directory, epoch - _KEPT)
        if self.role == "daemon":
            with suppress(OSError):
                (self._directory / _WANTED).unlink(missing_ok=True)
        return epoch

    def _look(self, epoch: int) -> tuple[Standing, Holding | None]:
        """How one holding stands. The clock is read first: a renewal that was made in time is then in what is read."""
        now_s = self._now()
        holding, locked = read(self._directory, epoch)
        if holding is None:
            moved = self._watched(epoch, -1, now_s)
            return (Standing.DEAD if moved and not locked else Standing.UNKNOWN), None
        if holding.ended:
            standing = Standing.ENDED
        elif holding.boot == self._boot:
            lapsed = Standing.LAPSED if now_s >= holding.until_s else Standing.HELD
            standing = lapsed if locked else Standing.DEAD
        elif holding.host == self._host:
            standing = Standing.DEAD
        else:
            # Another host's clock says nothing here, and its lock may not reach us: watch whether it still beats.
            standing = Standing.LAPSED if self._watched(epoch, holding.beats, now_s) else Standing.UNKNOWN
        return standing, holding

    def _watched(self, epoch: int, beats: int, now_s: float) -> bool:
        """Has this holding stood still for a whole term of ours, as we saw it?"""
        if self._seen is None or self._seen[:2] != (epoch, beats):
            self._seen = (epoch, beats, now_s)
        return now_s - self._seen[2] >= self.ttl_s

    def _in_time(self) -> float:
        """Now, if our term is not over."""
        now_s = self._now()
        if now_s < self._until_s:
            return now_s
        over = f"its term of {self.ttl_s:g} s ended {now_s - self._until_s:.1f} s ago"
        raise LeaseLost(f"lease {self.epoch} was not renewed in time: {over}")

    def _newest_is(self, mine: Holding) -> None:
        """Nobody has taken a later epoch, and ours is in place."""
        epochs = holdings(self._directory)
        newest = epochs[-1] if epochs else 0
        if newest < mine.epoch:
            raise LeaseLost(f"lease {mine.epoch}: its file is gone from {self._directory}")
        if newest > mine.epoch:
            holding, _ = read(self._directory, newest)
            who = "another process" if holding is None else holding.in_words(self._now(), self._boot)
            raise LeaseLost(f"lease {mine.epoch} is over: {who} has this site")

    def _who(self, standing: Standing, holding: Holding | None) -> str:
        if holding is None:
            return f"{self._directory}: the newest lease cannot be read; it counts as held for {self.ttl_s:g} s"
        who = holding.in_words(self._now(), self._boot)
        if standing is Standing.UNKNOWN:
            return (
                f"{who} may hold this site: another host's, to be watched for {self.ttl_s:g} s before it can be taken"
            )
        return f"{who} holds this site"

    def _let_go(self) -> None:
        self._until_s, self._mine = -1.0, None
        if self._descriptor >= 0:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1
