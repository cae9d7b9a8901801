"""What systemd hears: ready when a tap listens, a beat for as long as the loop turns, and nothing where it does not ask."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import tomli_w

from controllers.systemd import beat, tell, watchdog_s

HASHWATT = (sys.executable, "-P", "-c", "import sys; from controllers.cli import main; sys.exit(main())")
DEADLINE_S = 20.0


class Ear:
    """A socket as systemd's; `heard` are the datagrams, in order."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.heard: list[str] = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)

    def listen(self) -> list[str]:
        """What has come by now."""
        try:
            while True:
                self.heard.append(self.socket.recv(4_096).decode())
        except BlockingIOError:
            return self.heard

    def until(self, words: str, count: int = 1) -> None:
        """Wait until it was told so often, with a deadline."""
        end_s = time.monotonic() + DEADLINE_S
        while self.listen().count(words) < count:
            assert time.monotonic() < end_s, self.heard
            time.sleep(0.005)


@contextmanager
def listening(address: str) -> Iterator[Ear]:
    """An ear that is closed in the end."""
    ear = Ear(address)
    with ear.socket:
        yield ear


@contextmanager
def running(folder: Path, command: str, environment: Mapping[str, str], port: int = 0) -> Iterator[tuple[int, Path]]:
    """A command on a site with a tap of its own: its process and its log."""
    tap = {"listen": f"127.0.0.1:{port}", "pools": [{"url": "stratum+tcp://127.0.0.1:9"}], "apart": True}
    machine = {"id": "m1", "model": "Antminer S19k Pro", "dialect": "luxos", "host": "127.0.1.1"}
    site = {"name": "t", "tariff": {"kind": "fixed", "usd_mwh": 60}, "machines": [machine], "tap": tap}
    (folder / "site.toml").write_text(tomli_w.dumps(site))
    log, words = folder / "log", (*HASHWATT, command, "--site", str(folder / "site.toml"))
    clean = {key: value for key, value in os.environ.items() if key not in {"NOTIFY_SOCKET", "WATCHDOG_USEC"}}
    out = os.open(log, os.O_CREAT | os.O_WRONLY)
    files = [(os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, out, 2)]
    pid = os.posix_spawn(words[0], words, {**clean, **environment}, file_actions=files)
    os.close(out)
    try:
        yield pid, log
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.parametrize(("command", "first"), [("tap", "READY=1"), ("run", "WATCHDOG=1")])
def test_a_process_that_hangs_falls_silent(tmp_path: Path, command: str, first: str) -> None:
    """A tap that hangs holds on to its machines, and one that nobody calls ready is killed at its start."""
    with listening(str(tmp_path / "notify")) as ear:
        environment = {"NOTIFY_SOCKET": ear.address, "WATCHDOG_USEC": "200000"}
        with running(tmp_path, command, environment) as (pid, _):
            ear.until(first)
            ear.until("WATCHDOG=1", len(ear.heard) + 3)
            os.kill(pid, signal.SIGSTOP)
            os.waitpid(pid, os.WUNTRACED)
            silent_from = len(ear.listen())
            time.sleep(0.5)  # five beats' time: silence can only be waited for
            assert len(ear.listen()) == silent_from
            os.kill(pid, signal.SIGCONT)
            ear.until("WATCHDOG=1", ear.heard.count("WATCHDOG=1") + 1)
            assert ear.heard.count("READY=1") == (command == "tap")


def test_a_tap_is_ready_when_it_listens(tmp_path: Path) -> None:
    """A tap that is called ready without a port is a unit that is green while no machine is served."""
    taken = socket.create_server(("127.0.0.1", 0))
    with listening(str(tmp_path / "notify")) as ear, taken:
        environment = {"NOTIFY_SOCKET": ear.address, "WATCHDOG_USEC": "200000"}
        with running(tmp_path, "tap", environment, taken.getsockname()[1]) as (_, log):
            ear.until("WATCHDOG=1", 3)
            assert "cannot be had" in log.read_text()
            assert "READY=1" not in ear.heard
            taken.close()
            ear.until("READY=1")
            assert "listens on" in log.read_text()


def test_a_loop_that_hangs_falls_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A beat that does not come from the loop itself goes on while nobody is answered."""
    with listening(str(tmp_path / "notify")) as ear:
        monkeypatch.setenv("NOTIFY_SOCKET", ear.address)
        monkeypatch.setenv("WATCHDOG_USEC", "100000")

        async def world() -> None:
            beating = asyncio.create_task(beat())
            async with asyncio.timeout(DEADLINE_S):
                while ear.listen().count("WATCHDOG=1") < 4:
                    await asyncio.sleep(0.002)
            known = len(ear.heard)
            time.sleep(0.3)  # noqa: ASYNC251 - the loop hangs
            assert len(ear.listen()) == known
            beating.cancel()

        asyncio.run(world())


def test_nothing_is_told_where_nobody_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Started by hand, or with a watchdog that is another process's, it must not wait, fail or write anywhere."""
    with listening(str(tmp_path / "notify")) as ear:
        for changes in (
            {"NOTIFY_SOCKET": None, "WATCHDOG_USEC": "100"},
            {"NOTIFY_SOCKET": ear.address, "WATCHDOG_USEC": None},
            {"NOTIFY_SOCKET": ear.address, "WATCHDOG_USEC": "soon"},
            {"NOTIFY_SOCKET": ear.address, "WATCHDOG_USEC": "0"},
            {"NOTIFY_SOCKET": ear.address, "WATCHDOG_USEC": "100", "WATCHDOG_PID": "1"},
        ):
            for key, value in changes.items():
                monkeypatch.delenv(key, raising=False) if value is None else monkeypatch.setenv(key, value)
            if changes["NOTIFY_SOCKET"] is None:
                tell("READY=1")
            else:
                assert watchdog_s() is None
                asyncio.run(asyncio.wait_for(beat(), 5))
        assert ear.listen() == []


def test_a_socket_without_a_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container systemd's socket often is an abstract one."""
    with listening(f"@hashwatt-test-{os.getpid()}") as ear:
        monkeypatch.setenv("NOTIFY_SOCKET", ear.address)
        tell("READY=1")
        assert ear.listen() == ["READY=1"]


def test_a_socket_that_is_gone_or_full_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tap that waits for systemd, or falls over it, is worse than one without a watchdog."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    tell("READY=1")
    with listening(str(tmp_path / "notify")) as ear:
        monkeypatch.setenv("NOTIFY_SOCKET", ear.address)
        for _ in range(2_000):
            tell("WATCHDOG=1")
        assert 0 < len(ear.listen()) < 2_000
