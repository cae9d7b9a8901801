"""What the publishers are held against: a real broker, a real Prometheus, and a real daemon over a pretend world.

Every process is started here, on loopback and free ports, and ended by its own id.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import json
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
import tomli_w

from tests.conftest import ROOT, program

DEADLINE_S = 25.0
HASHWATT = [sys.executable, "-c", "import sys; from controllers.cli import main; sys.exit(main(sys.argv[1:]))"]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """What `condition` returns once it is true; fails by name after a deadline."""
    end_s = time.monotonic() + deadline_s
    while time.monotonic() < end_s:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    pytest.fail(f"not within {deadline_s:g} s: {what}")


async def eventually(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """As `until`, beside a running loop."""
    end_s = time.monotonic() + deadline_s
    while time.monotonic() < end_s:
        found = condition()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        await asyncio.sleep(0.02)
    pytest.fail(f"not within {deadline_s:g} s: {what}")


def listens(port: int) -> bool:
    """Does anybody listen there?"""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Program:
    """A process of ours, with its output in a file."""

    command: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, again where it was ended."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)

    def end(self, number: int = signal.SIGTERM) -> None:
        """End it, and wait until it is gone."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)

    @property
    def said(self) -> str:
        """Its output so far."""
        return self.log.read_text(errors="replace")


@dataclass
class Broker(Program):
    """A mosquitto of our own."""

    port: int = 0

    def start(self) -> None:
        """Start it, and wait until it listens."""
        super().start()
        until(lambda: listens(self.port), f"mosquitto listens: {self.said}")


def make_broker(directory: Path, more: str = "allow_anonymous true\n") -> Broker:
    """A broker that keeps nothing over a restart; not started."""
    mosquitto, port = program("mosquitto"), free_port()
    assert mosquitto is not None
    config = directory / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\npersistence false\nlog_dest stderr\nuser {getpass.getuser()}\n{more}"
    )
    return Broker([mosquitto, "-c", str(config)], directory / "mosquitto.log", port=port)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A running broker."""
    made = make_broker(tmp_path)
    made.start()
    yield made
    made.end()


@dataclass
class Site:
    """A pretend world, served, and a daemon over it."""

    path: Path
    world: Program
    daemon: Program
    ports: dict[str, int] = field(default_factory=dict)

    def add(self, **tables: Any) -> None:
        """Add tables to the site file."""
        self.path.write_text(tomli_w.dumps({**tomllib.loads(self.path.read_text()), **tables}))


def make_site(directory: Path, net: int, *, scenario: str = "home", speed: float = 60, live: bool = True) -> Site:
    """A served world with its site file; the daemon is not started."""
    path = directory / "site.toml"
    simulate = ["simulate", "--scenario", scenario, "--net", str(net), "--speed", str(speed), "--dir", str(directory)]
    world = Program([*HASHWATT, *simulate, *(["--live"] if live else []), "--for", "110"], directory / "world.log")
    world.start()
    until(lambda: "serving" in world.said, f"the world serves: {world.said}")
    daemon = Program([*HASHWATT, "run", "--site", str(path)], directory / "daemon.log")
    return Site(path, world, daemon)


@pytest.fixture(scope="session")
def net() -> int:
    """The second number of this worker's machines, 127.NET.x.y; the next one is the worker's own too."""
    return 90 + 2 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 10


class Ear:
    """A subscriber that keeps the last message of every topic, and every message."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.last: dict[str, Any] = {}
        self.heard: list[aiomqtt.Message] = []

    async def listen(self) -> None:
        """Until cancelled."""
        async for message in self.client.messages:
            payload = bytes(message.payload or b"")
            with contextlib.suppress(ValueError):
                self.last[str(message.topic)] = json.loads(payload)
            if str(message.topic).endswith("availability"):
                self.last[str(message.topic)] = payload.decode()
            self.heard.append(message)


@contextlib.asynccontextmanager
async def listening(port: int, topic: str = "#", **more: Any) -> AsyncIterator[Ear]:
    """An ear on a broker."""
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5, **more) as client:
        ear = Ear(client)
        await client.subscribe(topic, qos=1)
        task = asyncio.create_task(ear.listen())
        try:
            yield ear
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
