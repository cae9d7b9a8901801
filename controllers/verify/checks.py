"""Checks: the checks of one daemon, what is asked of them on its socket, and what of them survives a restart.

A check is kept on disk from its beginning, when it has news, and every so often; the next process takes it up where it was.
Where there is a tap it is asked to log the machines' shares and, for few machines at once, for an audit.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, Protocol

import numpy as np
from pydantic import Field, ValidationError

from controllers.config import Site
from controllers.control import Answerer
from controllers.state import ready, replace_file
from controllers.terminal import plain
from controllers.verify.check import Asked, Check
from controllers.verify.reporting import report_of
from fleet.reading import Reading
from fleet.settings import Settings
from policies.orders import knows
from policies.proof import SOURCES, VERDICTS
from policies.record import Record

CHECKS_MOST: Final = 16
AUDITED_MOST: Final = 20
"""A check of more machines asks for no audit: that would be a load on the whole site."""
LOGGED_MOST: Final = 200
"""Nor are the shares of more machines logged."""
_TOLD_MOST: Final = 30
_KEPT_REAL_S: Final = 20.0
_OVER_S: Final = 7 * 86_400.0
"""A check that ended is forgotten after this."""
_LOOK_REAL_S: Final = 0.5


class Tap(Protocol):
    """A tap that answers requests."""

    async def ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer to a request.

        Raises:
            LookupError, OSError: it cannot be answered.
        """
        ...


class Request(Settings):
    """What is asked for, as it comes in."""

    scope: str = Field(default="site", min_length=1, max_length=400)
    for_s: Annotated[float, Field(ge=1, le=31 * 86_400)]
    by: str = Field(min_length=1, max_length=200)
    why: str = Field(default="", max_length=1_000)
    full: bool = False
    shares_per_min: float | None = Field(default=None, gt=0, le=6_000)


class Checks:
    """The checks of a site.

    Args:
        site: the site.
        now: its clock.
        say: tells an event.
        readings: each machine's last full reading, by row.
        tap: the tap; None where there is none.
        status: the tap's status; None while it does not answer.
    """

    def __init__(
        self,
        site: Site,
        now: Callable[[], float],
        say: Callable[[str, str], None],
        readings: Callable[[], Mapping[int, Reading]],
        tap: Callable[[], Tap | None],
        status: Callable[[], Mapping[str, Any] | None],
    ) -> None:
        self._site, self._now, self._say, self._readings = site, now, say, readings
        self._tap, self._status = tap, status
        self._directory = site.state / "checks"
        self._checks: dict[str, Check] = {}
        self._unkept: set[str] = set()
        self._wanted: dict[str, set[str]] = {}
        """Machines by check that the tap is still to be asked about."""
        self._tapped_from: int | None = None

    def table(self) -> Mapping[str, Answerer]:
        """Each answer by what is asked."""
        return {
            "verify_start": self._start,
            "verify_progress": self._progress,
            "verify_stop": self._stop,
            "verify_result": self._result,
        }

    def load(self) -> None:
        """Take up what the last process left."""
        for path in sorted(self._directory.glob("*.json")) if self._directory.is_dir() else []:
            try:
                check = Check.of(json.loads(path.read_bytes()), self._site.roster)
            except (OSError, ValueError, KeyError, TypeError) as error:
                self._say("verify", f"{path.name}: cannot be taken up: {error}")
                continue
            if check.ended is None:
                check.note(
                    f"the daemon began anew at {self._now():.0f}; the check went on from the evidence it had kept"
                )
                self._wanted[check.asked.id] = set(check.asked.machines)
            self._checks[check.asked.id] = check

    def watch(self, record: Record) -> None:
        """Look at a record; must return at once."""
        counted = record.snapshot.counted
        if counted is not None and counted.epoch != self._tapped_from:
            # another life of the tap knows of no audit
            self._tapped_from = counted.epoch
            for check in self._running():
                self._wanted[check.asked.id] = set(check.asked.machines)
        for check in self._running():
            if check.saw(record, self._site.judgment.beliefs):
                self._unkept.add(check.asked.id)
            if check.ended is not None:
                self._say("verify", f"{check.asked.id}: {_ended(check)}")

    async def run(self) -> None:
        """Ask the tap for what the checks want of it, and keep them, until cancelled."""
        loop = asyncio.get_running_loop()
        again_s = loop.time() + _KEPT_REAL_S
        while True:
            due = loop.time() >= again_s
            again_s = loop.time() + _KEPT_REAL_S if due else again_s
            for check in list(self._checks.values()):
                await self._tend(check, due=due)
            self._forget()
            await asyncio.sleep(_LOOK_REAL_S)

    async def close(self) -> None:
        """Keep them all a last time."""
        for check in self._checks.values():
            if check.ended is None or check.asked.id in self._unkept:
                await self._keep(check)

    # ------------------------------------------------------------------------------------------------------- answers

    async def _start(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            asked = Request.model_validate({key: value for key, value in request.items() if key != "ask"})
        except ValidationError as error:
            first = error.errors()[0]
            raise LookupError(
                f"{'.'.join(map(str, first['loc']))} is {first.get('input')!r}: {first['msg']}"
            ) from error
        roster = self._site.roster
        if not knows(roster, asked.scope):
            raise LookupError(f'scope is {asked.scope!r}, expected "site", a place or a machine id of this site')
        if len(self._running()) >= CHECKS_MOST:
            raise LookupError(f"{CHECKS_MOST} checks are under way, expected fewer: let some end")
        machines = tuple(roster.machines[row].id for row in np.flatnonzero(roster.within(asked.scope)))
        whole = Asked(
            id=uuid.uuid4().hex[:12],
            machines=machines,
            began_s=self._now(),
            sources=self._site.proof_sources,
            **asked.model_dump(),
        )
        check = Check.begun(whole, roster)
        if self._tap() is None:
            check.note(
                "there is no tap: shares are counted by the machines themselves or their pool, and none is verified"
            )
        elif len(machines) > AUDITED_MOST:
            check.note(
                f"{len(machines)} machines are more than an audit is asked for at once ({AUDITED_MOST}): "
                "they are taken as they mine"
            )
        self._wanted[whole.id] = set(machines)
        # durable before it is acknowledged: who was told of it finds it again
        await self._keep(check)
        self._checks[whole.id] = check
        self._say("verify", f"{whole.id}: {whole.scope} for {whole.for_s:.0f} s, asked for by {whole.by}")
        return {"id": whole.id, "machines": len(machines), "began_s": whole.began_s, "notes": check.notes}

    async def _progress(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        check = self._found(request)
        told = check.told(self._site.judgment.beliefs)
        # those without a verdict first, the most suspicious of them on top
        order = np.lexsort((np.nan_to_num(told["ratio"], nan=2.0), check.decided()))[:_TOLD_MOST]
        rows = [
            {
                "machine": check.asked.machines[row],
                "source": SOURCES[told["source"][row]] if told["source"][row] >= 0 else None,
                "verdict": VERDICTS[told["verdict"][row]],
                **{name: plain(told[name][row]) for name in told if name not in {"source", "verdict"}},
            }
            for row in order.tolist()
        ]
        counts = np.bincount(told["verdict"], minlength=len(VERDICTS))
        return {
            "id": check.asked.id,
            "at_s": self._now(),
            "began_s": check.asked.began_s,
            "for_s": check.asked.for_s,
            "ended": check.ended,
            "machines": len(check.rows),
            "verdicts": {name: int(count) for name, count in zip(VERDICTS, counts, strict=True)},
            "rows": rows,
            "notes": check.notes,
        }

    async def _stop(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        check = self._found(request)
        check.end("stopped", self._now())
        await self._let_go(check)
        await self._keep(check)
        return {"id": check.asked.id, "ended": check.ended}

    async def _result(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        check = self._found(request)
        stands, readings, status, now_s = check.frozen(), dict(self._readings()), self._status(), self._now()

        def report() -> dict[str, Any]:
            return report_of(stands, self._site, readings, status, now_s).model_dump(mode="json")

        # a site of 16,000 machines takes a second or two
        return {"report": await asyncio.to_thread(report), "share_logs": await self._logs(check)}

    def _found(self, request: Mapping[str, Any]) -> Check:
        check = self._checks.get(str(request.get("id")))
        if check is None:
            raise LookupError(f"check is {request.get('id')!r}, expected the id of one that this daemon has")
        return check

    def _running(self) -> list[Check]:
        return [check for check in self._checks.values() if check.ended is None]

    # ------------------------------------------------------------------------------------------------------- the tap

    async def _tend(self, check: Check, *, due: bool) -> None:
        """What this check wants of the tap, and of the disk when it is due or has news."""
        wanted, tap = self._wanted.get(check.asked.id, set()), self._tap()
        if check.ended is None and tap is not None and wanted and self._status() is not None:
            await self._ask_tap(check, tap, sorted(wanted))
            wanted.clear()
        if check.ended is not None and not check.released:
            await self._let_go(check)
        if check.asked.id in self._unkept or (check.ended is None and due):
            await self._keep(check)

    async def _ask_tap(self, check: Check, tap: Tap, machines: list[str]) -> None:
        """Share logs, and audits where they are few; what the tap refuses is noted."""
        left_s = max(check.asked.began_s + check.asked.for_s - self._now(), 1.0)
        if len(check.rows) > LOGGED_MOST:
            check.note(f"{len(check.rows)} machines are more than shares are logged of ({LOGGED_MOST}): none is")
            return
        for machine in machines:
            with suppress(OSError):
                try:
                    await tap.ask({"ask": "share_log", "machine": machine, "for_s": left_s})
                    if len(check.rows) <= AUDITED_MOST:
                        audit = {"ask": "audit", "machine": machine, "for_s": left_s}
                        if check.asked.shares_per_min is not None:
                            audit["shares_per_min"] = check.asked.shares_per_min
                        check.audits[machine] = dict((await tap.ask(audit))["audit"])
                except LookupError as error:
                    check.note(f"no audit of {machine}: {error.args[0]}")

    async def _let_go(self, check: Check) -> None:
        """End the audits of a check that has ended, but for machines that another one still checks."""
        tap, others = self._tap(), {m for other in self._running() for m in other.audits}
        for machine in check.audits:
            if machine not in others and tap is not None:
                with suppress(LookupError, OSError):
                    await tap.ask({"ask": "end_audit", "machine": machine})
        check.released = True

    async def _logs(self, check: Check) -> dict[str, list[str]]:
        """The files of the machines' share logs, as the tap names them."""
        tap, found = self._tap(), {}
        if tap is not None and len(check.rows) <= LOGGED_MOST:
            for machine in check.asked.machines:
                with suppress(LookupError, OSError):
                    paths = (await tap.ask({"ask": "share_log", "machine": machine}))["share_log"]
                    if paths:
                        found[machine] = list(paths)
        return found

    # ------------------------------------------------------------------------------------------------------ the disk

    async def _keep(self, check: Check) -> None:
        """Put a check on disk; what the disk refuses is told once it matters: at the next start."""
        self._unkept.discard(check.asked.id)
        content = json.dumps(check.kept(), separators=(",", ":")).encode()
        try:
            await asyncio.to_thread(_put, self._directory, check.asked.id, content)
        except OSError as error:
            check.note(f"it could not be kept on disk, a restart would forget it: {error.strerror or error}")

    def _forget(self) -> None:
        """Checks that ended long ago."""
        for check in list(self._checks.values()):
            if check.ended_s is not None and self._now() - check.ended_s > _OVER_S:
                del self._checks[check.asked.id]
                (self._directory / f"{check.asked.id}.json").unlink(missing_ok=True)


def _put(directory: Path, name: str, content: bytes) -> None:
    replace_file(ready(directory) / f"{name}.json", content)


def _ended(check: Check) -> str:
    """How a check ended, for people."""
    told = ", ".join(
        f"{int((check.verdict == code).sum())} {name}"
        for code, name in enumerate(VERDICTS)
        if (check.verdict == code).any()
    )
    return {"verdicts": "every verdict is reached", "time": "its time is over", "stopped": "stopped"}[
        check.ended or "stopped"
    ] + f": {told}"
