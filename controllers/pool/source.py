"""The tap as the daemon has it: inside its own process, or apart in another one that survives the daemon's restarts.

Either way `counted()` gives the latest counts without waiting, and requests have one table of answers: inside they are
answered, apart they are handed on through the tap's own socket, `tap.sock` in the state directory.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import Any, Final, Protocol

from controllers.clock import Clock
from controllers.config import Site
from controllers.control import Answerer, ControlSocket, ask_daemon
from controllers.pool.settings import TapSettings
from controllers.pool.tap import Tap
from controllers.pool.transfer import packed, unpacked
from controllers.systemd import beat, tell
from fleet.work.counted import Counted
from fleet.work.engines.choice import chosen

SOCKET: Final = "tap.sock"
_COLLECTED_AFTER: Final = 20_000
_MANY: Final = 2_000
_GATHER_REAL_S: Final = 0.002
_FEW_REAL_S: Final = 1.0
_ASK_REAL_S: Final = 2.0
_LATEST_REAL_S: Final = 30.0
"""What a tap counted longer ago says nothing of now."""


class TapSource(Protocol):
    """A tap, inside or apart."""

    async def run(self) -> None:
        """Serve, or keep asking, until cancelled."""
        ...

    def counted(self) -> Counted | None:
        """What it has counted by now, without waiting; None while it says nothing."""
        ...

    async def ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer to a request of `ASKED`.

        Raises:
            LookupError, OSError: it cannot be answered; the message tells why.
        """
        ...


def answers(tap: Tap) -> Mapping[str, Answerer]:
    """What a tap answers, by what is asked; all but `counted` may be asked through the daemon's socket too."""

    async def status(_request: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"tap": tap.status()}

    async def counted(_request: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"counted": packed(tap.counted())}

    async def audit(request: Mapping[str, Any]) -> Mapping[str, Any]:
        rate, for_s = _number(request, "shares_per_min"), _number(request, "for_s")
        return {"audit": tap.audit(_machine(request), rate, for_s)}

    async def end_audit(request: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"ended": tap.end_audit(_machine(request))}

    async def share_log(request: Mapping[str, Any]) -> Mapping[str, Any]:
        machine, for_s = _machine(request), _number(request, "for_s")
        if for_s:
            tap.watch(machine, for_s)
        return {"share_log": [str(path) for path in tap.share_log(machine)]}

    return {
        "tap": status,
        "counted": counted,
        "audit": audit,
        "end_audit": end_audit,
        "share_log": share_log,
    }


ASKED: Final = ("tap", "audit", "end_audit", "share_log")
"""What the daemon's socket answers for its tap."""


def through(tap: Callable[[], TapSource | None]) -> Mapping[str, Answerer]:
    """The same for the daemon's socket; `tap()` is None where the site file has no [tap], or it has not begun."""

    async def answer(request: Mapping[str, Any]) -> Mapping[str, Any]:
        source = tap()
        if source is None:
            raise LookupError("no tap here: expected a [tap] table in the site file")
        return await source.ask(request)

    return dict.fromkeys(ASKED, answer)


class Inside:
    """A tap in this process."""

    def __init__(self, tap: Tap) -> None:
        self._tap = tap
        self._answers = answers(tap)

    async def run(self) -> None:
        """Serve until cancelled."""
        await self._tap.run()

    def counted(self) -> Counted | None:
        """What it has counted by now."""
        return self._tap.counted()

    async def ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer a request."""
        return await self._answers[str(request["ask"])](request)


class Apart:
    """A tap in a process of its own, asked every few seconds through its socket."""

    def __init__(self, socket: Path, say: Callable[[str, str], None]) -> None:
        self._socket, self._say = socket, say
        self._latest: Counted | None = None
        self._latest_s = float("-inf")
        self._told: bool | None = None

    async def run(self) -> None:
        """Keep asking until cancelled."""
        while True:
            why = ""
            try:
                answer = await ask_daemon(self._socket, {"ask": "counted"})
                self._latest, self._latest_s = unpacked(answer["counted"]), monotonic()
            except (ConnectionError, TimeoutError, ValueError, KeyError) as error:
                why = str(error)
            if self._told is not (not why):
                self._told = not why
                self._say("tap", f"the tap does not answer: {why}" if why else "the tap answers")
            await asyncio.sleep(_ASK_REAL_S)

    def counted(self) -> Counted | None:
        """What it told last, if that was a short while ago."""
        return self._latest if monotonic() - self._latest_s < _LATEST_REAL_S else None

    async def ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Hand a request on."""
        answer = await ask_daemon(self._socket, request)
        if not answer.pop("ok", False):
            raise LookupError(str(answer.get("error")))
        return answer


def open_tap(site: Site, settings: TapSettings, clock: Clock, say: Callable[[str, str], None]) -> Tap:
    """The tap of a site, with the engine that is fastest here; inside a running loop."""
    choice = chosen(perf_counter)
    say("tap", str(choice))
    return Tap(settings, site.roster, clock, say, site.state, choice.engine, beside=site.path.parent)


def tap_of(site: Site, clock: Clock, say: Callable[[str, str], None]) -> TapSource | None:
    """The tap as the site file has it; None where it has none."""
    settings = site.file.tap
    if settings is None:
        return None
    if settings.apart:
        return Apart(site.state / SOCKET, say)
    return Inside(open_tap(site, settings, clock, say))


async def run_apart(site: Site, settings: TapSettings, clock: Clock, say: Callable[[str, str], None]) -> None:
    """A tap as a process of its own: it serves machines, and the daemon through its socket, until cancelled.

    systemd is told when it listens, and then that it turns.
    """
    collect_seldom()
    tap = open_tap(site, settings, clock, say)
    socket = ControlSocket(site.state / SOCKET, answers(tap))
    async with asyncio.TaskGroup() as group:
        group.create_task(tap.run())
        group.create_task(socket.run())
        group.create_task(_follow(clock))
        group.create_task(beat())
        group.create_task(gather(tap))
        await tap.listens.wait()
        tell("READY=1")


def collect_seldom() -> None:
    """Have the garbage collector look at this process's objects seldom.

    With ten thousand sessions a look at all of them takes a tenth of a second, in which nobody is answered; what an ended
    session leaves behind is little, and can wait.
    """
    gc.freeze()
    gc.set_threshold(_COLLECTED_AFTER, 50, 1_000)


async def gather(tap: Tap, nap: Callable[[float], None] = sleep) -> None:
    """Where thousands of machines aggregate, let what they say gather for two milliseconds before it is read.

    Waking the process for one share costs as much as the share; woken for all that came meanwhile it needs a quarter less.
    Of a process of its own alone: it holds the loop. In pass mode it gains nothing.
    """
    while True:
        if tap.aggregates and tap.connections >= _MANY:
            nap(_GATHER_REAL_S)
            await asyncio.sleep(0)
        else:
            await asyncio.sleep(_FEW_REAL_S)


async def _follow(clock: Clock) -> None:
    """Follow steps of the wall's clock; nothing here is dated by it but what is shown."""
    while True:
        clock.check()
        await asyncio.sleep(10)


def _machine(request: Mapping[str, Any]) -> str:
    return str(request.get("machine"))


def _number(request: Mapping[str, Any], name: str) -> float | None:
    """A positive number of a request, or None where it has none.

    Raises:
        LookupError: it is something else.
    """
    value = request.get(name)
    if value is None:
        return None
    with suppress(TypeError, ValueError):
        number = float(value)
        if 0 < number < float("inf"):
            return number
    raise LookupError(f"{name} is {value!r}, expected a number above 0")
