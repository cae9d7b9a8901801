"""The daemon killed in the middle of a curtailment and of a resume: real processes, pretend machines on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from controllers.config import Site, load_site
from controllers.journal.entries import Sent, Stored, read, segments
from controllers.journal.frames import Damage
from controllers.journal.resume import Last, last
from controllers.look import look_once
from controllers.replay import replay
from fleet.columns import UNKNOWN
from fleet.machine import SLEEP
from fleet.reading import Depth

DEADLINE_S = 120.0
FAST, WITH_SESSIONS = ["antminer", "whatsminer-v3"], ["luxos", "antminer", "whatsminer-v3"]
SPEED = 30.0
COMMAND = "import sys; from controllers.cli import main; sys.exit(main())"
CHEAP, DEAR = 20.0, 900.0


@dataclass
class Stage:
    """A pretend site, the price that it hears, and the processes around it."""

    path: Path
    price: list[float]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def site(self) -> Site:
        """The site file, resolved."""
        return load_site(self.path)

    @property
    def journal(self) -> Path:
        """The journal's directory."""
        return self.site.state / "journal"

    def start(self, command: str) -> subprocess.Popen[str]:
        """Start one of hashwatt's commands for this site; its log goes to a file beside it."""
        log = (self.path.parent / f"{command}.log").open("a")
        with log:
            process = subprocess.Popen(
                [sys.executable, "-c", COMMAND, command, "--site", self.path], stderr=log, stdout=log, text=True
            )
        self.started.append(process)
        return process

    def modes(self) -> list[int]:
        """What each machine shows, asked directly."""
        return [int(mode) for mode in asyncio.run(look_once(self.site, Depth.LEAN)).snapshot.heard.mode]

    def sends(self, mode_is_sleep: bool, after: int) -> bool:
        """Has a tick after this one commanded machines to sleep (or to wake)?"""
        for entry in read(segments(self.journal)[-1]):
            if isinstance(entry, Stored) and entry.number > after:
                commands = entry.record().decision.commands
                if len(commands) and bool((commands.mode == SLEEP).any()) is mode_is_sleep:
                    return True
        return False

    def known(self) -> Last:
        """What the journal tells now."""
        site = self.site
        return last(self.journal, site.roster, site.judgment.reasons)

    def said(self, command: str) -> str:
        """A command's log."""
        return (self.path.parent / f"{command}.log").read_text()


def until(condition: Callable[[], bool], what: str, every_s: float = 0.02) -> None:
    """Wait for a condition, with a deadline."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE_S:g} s: {what}"
        time.sleep(every_s)


@pytest.fixture
def stage(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A pretend site of machines of some dialects that runs, and an end to every process."""
    price = [CHEAP]

    class Price(http.server.BaseHTTPRequestHandler):
        """The power price as JSON."""

        def do_GET(self) -> None:
            """The price now."""
            body = json.dumps({"price": price[0]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Price)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    program = Path(__file__).parent / "killed_site.py"
    net = 100 + os.getpid() % 100
    url = f"http://127.0.0.1:{server.server_port}/"
    world = subprocess.Popen(
        [sys.executable, program, tmp_path, str(net), str(SPEED), url, *request.param],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert world.stdout is not None
    assert world.stdin is not None
    made = Stage(Path(world.stdout.readline().strip()), price)
    try:
        yield made
    finally:
        for process in made.started:
            process.kill()
            process.wait(DEADLINE_S)
        world.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            world.wait(10)
        world.kill()
        world.wait(DEADLINE_S)
        world.stdout.close()
        server.shutdown()
        server.server_close()
        serving.join(DEADLINE_S)


def all_look(stage: Stage, asleep: bool) -> Callable[[], bool]:
    """Do all machines sleep (or run)?"""
    return lambda: all((mode == SLEEP) is asleep and mode != UNKNOWN for mode in stage.modes())


def killed_while_it_sends(stage: Stage, daemon: subprocess.Popen[str], mode_is_sleep: bool, first: int) -> None:
    """Kill -9 after a tick's commands are journaled, once so many machines (and not yet all) show what was asked."""
    after = stage.known().number
    stage.price[0] = DEAR if mode_is_sleep else CHEAP
    until(lambda: stage.sends(mode_is_sleep, after), "commands in the journal")
    until(lambda: sum((mode == SLEEP) is mode_is_sleep for mode in stage.modes()) >= first, "the first machines")
    daemon.kill()
    daemon.wait(DEADLINE_S)


@pytest.mark.parametrize("stage", [FAST, pytest.param(WITH_SESSIONS, marks=pytest.mark.long)], indirect=True)
def test_killed_in_the_middle_of_a_curtailment_and_of_a_resume(stage: Stage) -> None:
    """Machines that stay asleep for nobody, a guard beside a living daemon, or a returning daemon that knows nothing of it."""
    guard = stage.start("guard")
    daemon = stage.start("run")
    until(lambda: bool(segments(stage.journal)) and stage.known().number > 3, "the first ticks")
    killed_while_it_sends(stage, daemon, mode_is_sleep=True, first=1)
    known = stage.known()
    assert known.view is not None
    assert ((known.view.asleep_why >= 0) | (known.view.wanted == SLEEP)).any()
    until(lambda: "farewell 'resume': done" in stage.said("guard"), "the guard's farewell")
    assert all_look(stage, asleep=False)()
    # The daemon returns while power is still dear: what the guard did is nobody else's hand, so it curtails again.
    daemon = stage.start("run")
    until(all_look(stage, asleep=True), "the curtailment of the daemon that returned", every_s=0.5)
    assert not np.isfinite(stage.known().view.hand_s).any()  # type: ignore[union-attr]
    killed_while_it_sends(stage, daemon, mode_is_sleep=False, first=2)
    until(lambda: stage.said("guard").count("farewell 'resume': done") == 2, "the guard's second farewell")
    assert all_look(stage, asleep=False)()
    assert guard.poll() is None
    entries = list(read(stage.journal))
    assert {e.by for e in entries if isinstance(e, Sent)} == {"guard"}
    assert not [e for e in entries if isinstance(e, Damage) and not e.tail]
    report = replay(stage.journal, stage.site.judgment)
    assert report.same, report.in_words()
    command = [sys.executable, "-c", COMMAND, "replay", str(stage.journal), "--json"]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert (told["ticks"], told["differing"]) == (report.ticks, 0)


@pytest.mark.parametrize("stage", [FAST, pytest.param(WITH_SESSIONS, marks=pytest.mark.long)], indirect=True)
def test_without_a_guard_the_daemon_itself_goes_on_where_it_was_killed(stage: Stage) -> None:
    """A daemon that after kill -9 takes its own sleepers for somebody else's, and leaves them."""
    daemon = stage.start("run")
    until(lambda: bool(segments(stage.journal)) and stage.known().number > 3, "the first ticks")
    killed_while_it_sends(stage, daemon, mode_is_sleep=True, first=0)
    stage.price[0] = CHEAP
    stage.start("run")
    until(lambda: stage.said("run").count(" started: ") == 2, "the second start")
    until(all_look(stage, asleep=False), "the machines to be woken", every_s=0.5)
    known = stage.known()
    assert known.view is not None
    assert not np.isfinite(known.view.hand_s).any()


@pytest.mark.long
@pytest.mark.parametrize("stage", [FAST], indirect=True)
def test_a_suspended_daemon_wakes_up_without_a_say(stage: Stage) -> None:
    """A daemon that, stopped past its term and let go again, sends on what it had decided, against what the guard did."""
    stage.start("guard")
    daemon = stage.start("run")
    until(lambda: bool(segments(stage.journal)) and stage.known().number > 3, "the first ticks")
    after = stage.known().number
    stage.price[0] = DEAR
    until(lambda: stage.sends(True, after), "commands in the journal")
    daemon.send_signal(signal.SIGSTOP)
    until(lambda: "farewell 'resume': done" in stage.said("guard"), "the guard's farewell")
    daemon.send_signal(signal.SIGCONT)
    assert daemon.wait(DEADLINE_S) == 4
    assert "was not renewed in time" in stage.said("run")
    assert all_look(stage, asleep=False)()
