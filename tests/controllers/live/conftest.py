"""A pretend site over real sockets, and the daemon on it: in the test's own loop, or as a process of its own.

The world is served by the test, so the test knows the truth and can meddle with it; everything of the product's runs as a
stranger would run it, from a site file. Addresses are the test process's own, so that tests can run side by side.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import pytest
import tomli_w

from controllers.clock import Clock
from controllers.config import load_site
from controllers.control import ask_daemon
from controllers.daemon import Daemon
from fleet.catalogue import ANTMINER, LUXOS, WHATSMINER, nameplate
from fleet.machine import Machine, Roster
from simulators.faults import Fault, FaultPlan, Scheduled
from simulators.physics import Spread
from simulators.world import World, mapped, may_bind

T = TypeVar("T")
START_S = 1_724_130_000.0
SPEED = 60.0
DEADLINE_S = 40.0
"""Real seconds for anything that a test waits for: generous, the machine may be busy."""
MODELS = {LUXOS: "Antminer S19k Pro", ANTMINER: "Antminer S19j Pro", WHATSMINER: "WhatsMiner M60S"}
PASSWORDS = {ANTMINER: ("root", "root"), WHATSMINER: ("super", "super")}
SHORT = {LUXOS: "lux", ANTMINER: "ant", WHATSMINER: "wm"}
HASHWATT = (sys.executable, "-P", "-c", "import sys; from controllers.cli import main; sys.exit(main())")


class PriceSource:
    """An HTTP source of one price; tests turn its knobs."""

    def __init__(self) -> None:
        self.usd_mwh: float | str = 30.0
        self.broken = False
        self.url = ""
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        """Serve."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/price"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            body = json.dumps({"price": self.usd_mwh}).encode()
            status = b"500 Broken" if self.broken else b"200 OK"
            head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
            writer.write(head % (status, len(body)) + body)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class PretendSite:
    """A world, its site file, and whatever of hashwatt runs on it."""

    def __init__(
        self,
        folder: Path,
        block: str,
        dialects: tuple[str, ...],
        tables: Mapping[str, Any],
        faults: Mapping[int, Fault],
        sources: int,
        claims: Mapping[str, float],
    ) -> None:
        self.folder, self.path = folder, folder / "site.toml"
        count: dict[str, int] = {}
        machines = []
        for number, dialect in enumerate(dialects, 1):
            count[dialect] = count.get(dialect, 0) + 1
            plate = nameplate(MODELS[dialect], dialect)
            name, place = f"{SHORT[dialect]}-{count[dialect]}", ("a" if number % 2 else "b",)
            machines.append(
                Machine(
                    name,
                    plate.model,
                    dialect,
                    f"{block}.{number}",
                    plate.modes,
                    plate.usual,
                    place,
                    start_s=plate.start_s,
                )
            )
        roster = Roster.of(machines)
        self.roster = roster if may_bind(80) else mapped(roster, 8_000)
        self.clock = Clock(SPEED, START_S)
        self._anchor_real_s = time.time()
        plan = FaultPlan(schedule=tuple(Scheduled(machines[row].id, fault) for row, fault in faults.items()))
        self.world = World(self.roster, 1, self.clock, faults=plan, spread=Spread.none(), claims=claims)
        self.prices = [PriceSource() for _ in range(sources)]
        self.daemon: Daemon | None = None
        self._tables = tables
        self._running: asyncio.Task[None] | None = None
        self._stack = AsyncExitStack()
        self.processes: list[asyncio.subprocess.Process] = []

    @property
    def price(self) -> PriceSource:
        """The first source."""
        return self.prices[0]

    async def __aenter__(self) -> Self:
        """World and prices up, the site file written."""
        await self._stack.enter_async_context(self.world)
        for price in self.prices:
            await self._stack.enter_async_context(price)
        self.write()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Everything that still runs ends."""
        for process in self.processes:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if self.daemon is not None and self._running is not None and not self._running.done():
            self.daemon.stop()
            await self._running
        await self._stack.aclose()

    def write(self, **changes: Any) -> Path:
        """The site file, with some tables replaced."""
        for dialect, (_, password) in PASSWORDS.items():
            (self.folder / f"{dialect}.password").write_text(f"{password}\n")
        tables: dict[str, Any] = {
            "name": "pretend",
            "tick_s": 10,
            "machines": [
                {
                    "id": machine.id,
                    "model": machine.model,
                    "dialect": machine.dialect,
                    "host": machine.host,
                    "place": "/".join(machine.place),
                    "ports": dict(machine.ports),
                    "credentials": machine.dialect if machine.dialect in PASSWORDS else "default",
                    "confirm_s": 300,
                }
                for machine in self.roster.machines
            ],
            "credentials": {
                dialect: {"username": user, "password_file": str(self.folder / f"{dialect}.password")}
                for dialect, (user, _) in PASSWORDS.items()
            },
            "tariff": {"kind": "index"},
            "feeds": [
                *(
                    {
                        "kind": "fixed",
                        "quantity": "hashprice_usd_phs_day",
                        "unit": "USD/PH/day",
                        "value": 44,
                        "name": name,
                    }
                    for name in ("hash", "book")
                ),
                *(
                    {
                        "kind": "http",
                        "quantity": "power_usd_mwh",
                        "unit": "USD/MWh",
                        "url": price.url,
                        "value": "price",
                        "name": f"power{number}",
                        "period_s": 30,
                        "max_age_s": 300,
                        "deadline_s": 2,
                    }
                    for number, price in enumerate(self.prices, 1)
                ),
            ],
            "switching": {"kind": "threshold"},
            "pace": {"min_up_s": 0, "min_down_s": 0},
            "beliefs": {"silent_after_s": 180, "back_off_s": 60, "confirm_slack_s": 120},
            "control": {"live": ["site"], "lease_s": 5},
            "polling": {"lean_s": 10, "full_s": 300, "read_deadline_s": 1.0, "write_deadline_s": 10},
            "clock": {"speed": SPEED, "start_s": START_S, "anchor_real_s": self._anchor_real_s},
        }
        for name, change in {**self._tables, **changes}.items():
            both = isinstance(change, dict) and isinstance(tables.get(name), dict) and "kind" not in change
            tables[name] = {**tables[name], **change} if both else change
        self.path.write_text(tomli_w.dumps(tables))
        return self.path

    # ------------------------------------------------------------------------------------------------ the daemon, here

    async def start(self) -> Daemon:
        """The daemon in this loop; returns when it has taken a full look."""
        self.daemon = Daemon(load_site(self.path), self.clock)
        self._running = asyncio.create_task(self.daemon.run(), name="daemon")
        await self.looked()
        return self.daemon

    async def stop(self) -> None:
        """Orderly."""
        assert self.daemon is not None
        assert self._running is not None
        self.daemon.stop()
        await self._running
        self.daemon = None

    # ------------------------------------------------------------------------------------------- processes of their own

    async def spawn(self, command: str, *words: str, log: str = "log", **options: Any) -> asyncio.subprocess.Process:
        """A command of the product as a process; its output goes to a file."""
        with (self.folder / log).open("ab") as file:
            process = await asyncio.create_subprocess_exec(
                *HASHWATT, command, *words, stdin=asyncio.subprocess.DEVNULL, stdout=file, stderr=file, **options
            )
        self.processes.append(process)
        return process

    async def run(self, **options: Any) -> asyncio.subprocess.Process:
        """`hashwatt run` for this site; returns when it has taken a full look."""
        process = await self.spawn("run", "--site", str(self.path), **options)
        await self.looked(process)
        return process

    async def command(self, *words: str, **options: Any) -> tuple[int, str, str]:
        """A command to its end: exit code, standard output, standard error."""
        process = await asyncio.create_subprocess_exec(
            *HASHWATT,
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            **options,
        )
        self.processes.append(process)
        async with asyncio.timeout(DEADLINE_S):
            output, errors = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode(), errors.decode()

    def log(self, name: str = "log") -> str:
        """What a process has said."""
        return (self.folder / name).read_text()

    # ------------------------------------------------------------------------------------------------------ asking it

    async def ask(self, ask: str, **request: Any) -> dict[str, Any]:
        """One question over its socket."""
        return await ask_daemon(load_site(self.path).socket, {"ask": ask, **request})

    async def order(self, kind: str, scope: str = "site", for_s: float = 3_600.0, **more: Any) -> dict[str, Any]:
        """An order; it must be taken."""
        answer = await self.ask("order", order={"kind": kind, "scope": scope, "for_s": for_s, "who": "test", **more})
        assert answer["ok"], answer
        return dict(answer["order"])

    async def status(self) -> dict[str, Any]:
        """What it says of the site."""
        return await self.ask("status", events=200)

    async def explain(self, machine: str) -> dict[str, Any]:
        """What it says of a machine."""
        answer = await self.ask("explain", machine=machine)
        assert answer["ok"], answer
        return dict(answer["explanation"])

    async def looked(self, process: asyncio.subprocess.Process | None = None) -> None:
        """Wait until every machine gave an answer, or was found silent, and a tick has seen it."""

        async def seen() -> bool:
            assert process is None or process.returncode is None, self.log()
            if self.daemon is not None:
                assert self._running is not None
                assert not self._running.done(), self._running
                return self.daemon.loop is not None and bool(self.daemon.loop.view.looked.all())
            try:
                answer = await self.status()
            except (ConnectionError, TimeoutError):
                return False
            return bool(answer["ok"]) and answer["sums"]["machines_by_state"].get("silent", 0) == 0

        await self.until(seen, "the first full look")

    async def until(self, condition: Callable[[], Any], what: str, within_s: float = DEADLINE_S) -> None:
        """Wait until a condition (plain or a coroutine function) holds."""
        end = time.monotonic() + within_s
        while True:
            result = condition()
            if asyncio.iscoroutine(result):
                result = await result
            if result:
                return
            assert time.monotonic() < end, f"not within {within_s:g} s: {what}\n{self._state()}"
            await asyncio.sleep(0.05)

    async def ticks(self, count: int) -> None:
        """Wait for so many more ticks."""
        first = (await self.status())["sums"]["number"]

        async def passed() -> bool:
            return bool((await self.status())["sums"]["number"] >= first + count)

        await self.until(passed, f"{count} ticks")

    # ----------------------------------------------------------------------------------------------------- what is true

    @property
    def modes(self) -> dict[str, str]:
        """What the machines truly run."""
        truth = self.world.truth
        return {m.id: m.modes[int(truth.mode[row])].name for row, m in enumerate(self.roster.machines)}

    def asleep(self, *machines: str) -> bool:
        """Are exactly these asleep?"""
        return {machine for machine, mode in self.modes.items() if mode == "sleep"} == set(machines)

    def meddle(self, machine: str, mode: str) -> None:
        """Somebody else's hand."""
        row = self.roster.index[machine]
        self.world.command(row, self.roster.machines[row].mode_named(mode))

    def _state(self) -> str:
        lines = [str(self.modes)]
        if self.daemon is not None:
            lines += [f"{event.kind}: {event.text}" for event in list(self.daemon.events.last)[-15:]]
        if (self.folder / "log").exists():
            lines.append(self.log()[-2_000:])
        return "\n".join(lines)


@pytest.fixture(scope="session")
def block() -> str:
    """The first three numbers of addresses that no other test process uses now."""
    pid = os.getpid()
    return f"127.{100 + pid % 20}.{pid // 20 % 250}"


@pytest.fixture
def pretend(tmp_path: Path, block: str) -> Callable[..., PretendSite]:
    """`pretend(dialects, faults={row: Fault}, sources=1, claims={id: factor}, **tables)`: a site; use it with `async with`."""

    def make(
        dialects: tuple[str, ...] = (LUXOS, ANTMINER, WHATSMINER),
        *,
        faults: Mapping[int, Fault] | None = None,
        sources: int = 1,
        claims: Mapping[str, float] | None = None,
        **tables: Any,
    ) -> PretendSite:
        return PretendSite(tmp_path, block, dialects, tables, faults or {}, sources, claims or {})

    return make


@pytest.fixture
def real(pretend: Callable[..., PretendSite]) -> Callable[..., None]:
    """`real(work, ...)`: make the site of the other arguments on a loop of its own, and run `work(site)` on it."""

    def run(work: Callable[[PretendSite], Coroutine[Any, Any, None]], *args: Any, **options: Any) -> None:
        async def all_of_it() -> None:
            async with pretend(*args, **options) as site:
                await work(site)

        asyncio.run(all_of_it())

    return run
