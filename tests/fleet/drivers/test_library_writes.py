"""The real libraries put a machine to sleep and wake it: one whose firmware (ePIC's) we do not speak ourselves.

The paper machine answers what pyasic 0.79 and asic-rs ask of ePIC's PowerPlay (`/summary`, `/capabilities`, `/miner`), as
their own sources have it; there is no capture: documented only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pytest

from fleet.driver import DriverError, Refused
from fleet.drivers import open_driver
from fleet.links import Credentials
from fleet.machine import Machine, Mode
from fleet.reading import Depth, State
from simulators.world import may_bind

pytestmark = [
    pytest.mark.skipif(not may_bind(80), reason="the libraries speak to the vendors' own ports"),
    pytest.mark.filterwarnings("ignore"),  # the libraries' own
]
Behaviour: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
MODES = (Mode("sleep", 60.0, 0.0), Mode("normal", 3_250.0, 110.0))
PASSWORD = "letmein"


@dataclass
class Epic:
    """A machine of paper with ePIC's firmware."""

    lies: bool = False
    """Says that it obeys, and does not."""
    mining: bool = True
    asked: list[tuple[str, Any]] = field(default_factory=list)

    async def page(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Port 80: what tells the make."""
        await reader.readuntil(b"\r\n\r\n")
        await _answer(writer, b"<html><title>Miner Web Dashboard</title></html>", "text/html")

    async def api(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Port 4028: HTTP with JSON."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next((int(row.split(":")[1]) for row in head.splitlines() if row.lower().startswith("content-len")), 0)
        said = json.loads(await reader.readexactly(length)) if length else {}
        match head.split()[1]:
            case "/summary":
                answer = self.summary()
            case "/capabilities":
                answer = {"Model": "ANTMINER S19J PRO", "Performance Estimator": {"Chip Count": 126}}
            case "/miner" if said.get("password") != PASSWORD:
                answer = {"result": False, "success": False, "error": "Invalid Password"}
            case "/miner":
                self.asked.append(("miner", said["param"]))
                self.mining = self.mining if self.lies else said["param"] != "Stop"
                answer = {"result": True, "success": True, "error": None}
            case "/network":
                answer = {"dhcp": {"address": "127.0.0.1", "mac_address": "02:00:00:00:00:01"}}
            case _:
                answer = {"result": False, "error": "unknown"}
        await _answer(writer, json.dumps(answer).encode(), "application/json")

    def summary(self) -> dict[str, Any]:
        """What it says of itself: three boards of 36.6 TH/s each, or none."""
        board_mhs = 36.6e6 if self.mining else 0.0
        return {
            "Status": {"Operating State": "Mining" if self.mining else "Idling", "Last Error": None},
            "Hostname": "paper",
            "PresetInfo": None,
            "Software": "PowerPlay v1.13.6",
            "Mining": {"Algorithm": "SHA256", "Coin": "Btc"},
            "Stratum": {
                "Current Pool": "pool.invalid:3333", "Current User": "site.1", "IsPoolConnected": True, "Config Id": 0,
            },
            "StratumConfigs": [{"pool": "pool.invalid:3333", "login": "site.1", "password": "x"}],
            "Session": {"Uptime": 1_000, "Accepted": 20, "Rejected": 0, "Average MHs": 3 * board_mhs},
            "HBs": [
                {"Index": i, "Hashrate": [board_mhs, 99.0], "Temperature": 61, "Input Voltage": 13.0, "Core Clock Avg": 500}
                for i in range(3)
            ],
            "Fans": {"Fan Speed": 60},
            "Fans Rpm": {"Fans Speed 1": 4_000, "Fans Speed 2": 4_000},
            "Power Supply Stats": {"Input Power": 3_240.0 if self.mining else 58.0, "Target Voltage": 13.0},
            "PerpetualTune": {"Running": False, "Algorithm": {}},
            "Misc": {"Locate Miner State": False},
        }  # fmt: skip


async def _answer(writer: asyncio.StreamWriter, body: bytes, kind: str) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()


def meeting(behaviour: Behaviour, meetings: set[asyncio.Task[None]]) -> Behaviour:
    """The behaviour with its connections closed, and remembered until they are."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        meetings.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await behaviour(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            meetings.discard(task)

    return meet


def on_paper(
    request: pytest.FixtureRequest, epic: Epic, library: str, talk: Callable[[Machine], Awaitable[None]]
) -> None:
    """Serve the machine on an address of this worker's own, and talk."""
    worker = str(getattr(request.config, "workerinput", {"workerid": "gw240"})["workerid"])
    host = f"127.90.{int(worker.removeprefix('gw')) + 1}.{1 + ['asic-rs', 'pyasic'].index(library) + 10 * epic.lies}"

    async def main() -> None:
        meetings: set[asyncio.Task[None]] = set()
        async with contextlib.AsyncExitStack() as stack:
            for port, behaviour in ((80, epic.page), (4028, epic.api)):
                await stack.enter_async_context(await asyncio.start_server(meeting(behaviour, meetings), host, port))
            await talk(Machine("m", "Antminer S19j Pro (ePIC)", library, host, MODES, "normal"))
            if meetings:
                await asyncio.wait(set(meetings), timeout=2.0)

    asyncio.run(main())


@pytest.mark.parametrize("library", ["asic-rs", "pyasic"])
def test_sleep_and_wake(request: pytest.FixtureRequest, library: str) -> None:
    """Every make beyond the native ones would be seen and never curtailed."""
    epic = Epic()

    async def talk(machine: Machine) -> None:
        driver = open_driver(machine, Credentials("root", PASSWORD))
        awake = await driver.read(Depth.LEAN)
        assert (awake.state, awake.mode, awake.power_measured) == (State.HASHING, "normal", True)
        assert awake.hashrate_ths == pytest.approx(109.8, rel=0.01)
        pools = (await driver.read(Depth.POOLS)).pools
        assert pools
        assert pools[0].user == "site.1"
        await driver.set_mode(MODES[0])
        asleep = await driver.read(Depth.LEAN)
        assert (asleep.state, asleep.mode) == (State.SLEEPING, "sleep")
        await driver.set_mode(MODES[1])
        assert (await driver.read(Depth.LEAN)).state is State.HASHING
        assert (await driver.read(Depth.POOLS)).pools == pools
        assert [param for _, param in epic.asked] == ["Stop", "Autostart"]
        await driver.close()

    on_paper(request, epic, library, talk)


@pytest.mark.parametrize("library", ["asic-rs", "pyasic"])
def test_a_wrong_password_and_a_lie_are_found_out(request: pytest.FixtureRequest, library: str) -> None:
    """A refusal or a lie that passes for sleep is power paid for at the top of a spike."""
    epic = Epic(lies=True)

    async def talk(machine: Machine) -> None:
        driver = open_driver(machine, Credentials("root", PASSWORD))
        await driver.set_mode(MODES[0])
        assert (await driver.read(Depth.LEAN)).state is State.HASHING
        await driver.close()
        stranger = open_driver(machine, Credentials("root", "wrong"))
        with pytest.raises(DriverError) as caught:
            await stranger.set_mode(MODES[0])
        assert isinstance(caught.value, Refused) or library == "asic-rs"
        assert "wrong" not in str(caught.value)
        await stranger.close()

    on_paper(request, epic, library, talk)
