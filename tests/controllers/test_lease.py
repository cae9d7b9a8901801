"""One writer for a site: who has the lease, who may take it, and how a holder finds that it has lost it."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controllers import lease_files
from controllers.lease import Lease, LeaseHeld, LeaseLost, LeaseUnusable, Standing
from controllers.state import since_boot_s

DEADLINE_S = 30.0

HOLDER = """
import sys, time
from pathlib import Path
from controllers.lease import Lease, LeaseHeld, LeaseLost
lease = Lease(Path(sys.argv[1]), ttl_s=float(sys.argv[2]))
print("took", lease.take(), flush=True)
while True:
    time.sleep(float(sys.argv[2]) / 5)
    held = lease.held()
    try:
        lease.renew()
    except LeaseLost as lost:
        print("lost", held, lost, flush=True)
        break
"""

CONTENDER = """
import sys, time
from pathlib import Path
from controllers.lease import Lease, LeaseHeld, LeaseLost
lease = Lease(Path(sys.argv[1]), ttl_s=5.0)
log = open(sys.argv[2], "a", buffering=1)
for _ in range(int(sys.argv[3])):
    try:
        epoch = lease.take()
    except LeaseHeld:
        time.sleep(0.0005)
        continue
    began = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    lease.renew()
    ended = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    log.write(f"{epoch} {began} {ended}\\n")
    lease.release()
"""


class Clock:
    """Seconds since boot, moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    """A clock at 1000 s."""
    return Clock()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Callable[[float], subprocess.Popen[str]]]:
    """Starts processes that take the lease and renew it until they lose it."""
    started: list[subprocess.Popen[str]] = []

    def start(ttl_s: float) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, tmp_path, str(ttl_s)], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("took")
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(DEADLINE_S)
        assert process.stdout is not None
        process.stdout.close()


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, with a deadline."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, "not within the deadline"
        time.sleep(0.01)


def test_a_second_daemon_is_fenced_out_and_told_by_whom(tmp_path: Path, clock: Clock) -> None:
    """Two daemons that both command, or a refusal that does not say who has the site."""
    first, second = Lease(tmp_path, ttl_s=10, now=clock), Lease(tmp_path, ttl_s=10, now=clock)
    assert first.take() == 1
    clock.now_s += 4
    with pytest.raises(
        LeaseHeld, match=rf"the daemon with process {os.getpid()} on host .* last renewed 4 s ago\) holds this site"
    ):
        second.take()
    with pytest.raises(LeaseHeld):
        asyncio.run(second.acquire())
    assert (first.held(), second.held(), second.epoch) == (True, False, None)
    assert first.take() == 1


def test_a_term_ends_unless_it_is_renewed_in_time(tmp_path: Path, clock: Clock) -> None:
    """A daemon that was away past its term and still commands, or one that revives what it lost."""
    lease = Lease(tmp_path, ttl_s=10, now=clock)
    lease.take()
    for _ in range(3):
        clock.now_s += 9.9
        assert lease.held()
        lease.renew()
    clock.now_s += 10
    assert not lease.held()
    with pytest.raises(LeaseLost, match="was not renewed in time"):
        lease.renew()
    with pytest.raises(LeaseLost, match="no lease is held"):
        lease.renew()
    assert lease.take() == 2


def test_a_renewal_that_took_too_long_does_not_count(tmp_path: Path) -> None:
    """A process that is stopped in the middle of a renewal, and after it believes in a term that another has ended."""
    ticks = iter([1000.0, 1009.0, 1011.0])
    slow = Lease(tmp_path, ttl_s=10, now=lambda: next(ticks))
    slow.take()
    with pytest.raises(LeaseLost, match="was not renewed in time"):
        slow.renew()


def test_a_hung_holder_is_followed_when_its_term_is_over(tmp_path: Path, clock: Clock) -> None:
    """A site that stays without a writer because a hung process still has a file open; or a follower who comes too early."""
    hung, follower = Lease(tmp_path, ttl_s=10, now=clock), Lease(tmp_path, ttl_s=10, now=clock)
    hung.take()
    clock.now_s += 9.9
    with pytest.raises(LeaseHeld):
        follower.take()
    clock.now_s += 0.2
    assert follower.look()[0] is Standing.LAPSED
    assert follower.take() == 2
    assert not hung.held()
    with pytest.raises(LeaseLost):
        hung.renew()
    with pytest.raises(LeaseHeld):
        hung.take()


def test_a_dead_holder_is_followed_at_once(tmp_path: Path, holder: Callable[[float], subprocess.Popen[str]]) -> None:
    """A restart after kill -9 that waits for nothing."""
    process = holder(600.0)
    lease = Lease(tmp_path, ttl_s=600)
    with pytest.raises(LeaseHeld, match=f"process {process.pid} "):
        lease.take()
    process.kill()
    process.wait(DEADLINE_S)
    assert lease.look()[0] is Standing.DEAD
    assert lease.take() == 2


def test_a_suspended_daemon_finds_that_it_is_over(
    tmp_path: Path, holder: Callable[[float], subprocess.Popen[str]]
) -> None:
    """A daemon that, after SIGSTOP or a paused host, sends what it had decided before."""
    process = holder(0.5)
    process.send_signal(signal.SIGSTOP)
    lease = Lease(tmp_path, ttl_s=30)
    until(lambda: lease.look()[0] is Standing.LAPSED)
    assert lease.take() == 2
    process.send_signal(signal.SIGCONT)
    assert process.stdout is not None
    assert re.match(r"lost False lease 1 ", process.stdout.readline())
    assert lease.held()


def test_two_processes_never_hold_it_at_once(tmp_path: Path) -> None:
    """Two takers in the same moment who both succeed."""
    log = tmp_path / "log"
    contenders = [subprocess.Popen([sys.executable, "-c", CONTENDER, tmp_path / "state", log, "300"]) for _ in range(3)]
    for contender in contenders:
        assert contender.wait(DEADLINE_S) == 0
    terms = sorted(tuple(int(part) for part in line.split()) for line in log.read_text().splitlines())
    assert len(terms) > 100
    assert len({epoch for epoch, _, _ in terms}) == len(terms)
    assert all(one[2] <= other[1] for one, other in itertools.pairwise(terms))


def test_a_clock_step_neither_ends_nor_revives_it(tmp_path: Path) -> None:
    """A lease that lives on wall time: NTP steps the clock, and a living daemon is fenced out or a dead one revived."""
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "time.time = lambda: 4e9\n"
        "from controllers.lease import Lease\n"
        "print(Lease(Path(sys.argv[1]), ttl_s=60).look()[0].value)\n"
    )
    lease = Lease(tmp_path, ttl_s=60)
    lease.take()
    for path in tmp_path.iterdir():
        os.utime(path, (4e9, 4e9))
    said = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True).stdout
    assert said == "held\n"
    assert abs(since_boot_s() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 1


def test_after_a_reboot_the_old_one_is_dead(tmp_path: Path, clock: Clock) -> None:
    """A lease whose seconds since boot, from before a reboot, lie in the future and hold for days."""
    before = Lease(tmp_path, ttl_s=10, now=lambda: 900_000.0, boot="before", host="here")
    before.take()
    after = Lease(tmp_path, ttl_s=10, now=clock, boot="after", host="here")
    assert after.look()[0] is Standing.DEAD
    assert after.take() == 2


def test_another_hosts_is_watched_for_a_term(tmp_path: Path, clock: Clock) -> None:
    """A lease on a shared directory taken from a living daemon of another host, whose clock means nothing here."""
    theirs = Lease(tmp_path, ttl_s=10, now=lambda: 5.0, boot="there", host="there")
    theirs.take()
    ours = Lease(tmp_path, ttl_s=10, now=clock, boot="here", host="here")
    for _ in range(3):
        with pytest.raises(LeaseHeld, match="another host's, to be watched for 10 s"):
            ours.take()
        clock.now_s += 9
        theirs.renew()
    with pytest.raises(LeaseHeld):
        ours.take()
    clock.now_s += 10
    assert ours.take() == 2


@pytest.mark.parametrize(
    "spoil", [lambda block: block[:100], lambda block: block.replace(b'"ended": false', b'"ended": true ')]
)
def test_half_a_file_counts_as_held_and_then_as_dead(
    spoil: Callable[[bytes], bytes], tmp_path: Path, clock: Clock
) -> None:
    """A half-written or garbled file that stops every start, or that is taken for free while its holder may live."""
    first = Lease(tmp_path, ttl_s=10, now=clock)
    first.take()
    path = tmp_path / "lease.00000001"
    block = path.read_bytes()
    first.release()
    path.write_bytes(spoil(block))
    lease = Lease(tmp_path, ttl_s=10, now=clock)
    with pytest.raises(LeaseHeld, match="cannot be read; it counts as held for 10 s"):
        lease.take()
    clock.now_s += 10
    assert lease.take() == 2


def test_what_is_left_of_a_crash_while_taking_does_not_matter(tmp_path: Path, clock: Clock) -> None:
    """Files that a crash left half made, which stop the next start."""
    (tmp_path / f".lease.1.{os.getpid()}").write_bytes(b"half")
    (tmp_path / "lease-wanted").write_bytes(b"{")
    lease = Lease(tmp_path, now=clock)
    assert not lease.is_wanted()
    assert lease.take() == 1
    assert [path.name for path in tmp_path.iterdir()] == ["lease.00000001"]


@pytest.mark.parametrize("kind", ["a file", "a read-only file system"])
def test_a_directory_that_cannot_be_written_is_said(kind: str, tmp_path: Path) -> None:
    """A daemon that commands without a lease, or a traceback, where the state directory cannot be written."""
    state = tmp_path / "state"
    if kind == "a file":
        state.write_text("")
    else:
        state = Path("/proc/self")
    with pytest.raises(LeaseUnusable, match=r"no lease can be taken: .*expected a directory to write to"):
        Lease(state).take()


def test_its_file_removed_under_it_ends_it(tmp_path: Path, clock: Clock) -> None:
    """A state directory that was emptied by hand: two daemons, each sure of its lease."""
    lease = Lease(tmp_path, ttl_s=10, now=clock)
    lease.take()
    (tmp_path / "lease.00000001").unlink()
    with pytest.raises(LeaseLost, match="its file is gone"):
        lease.renew()
    assert not lease.held()


def test_the_guard_is_asked_and_hands_it_over(tmp_path: Path) -> None:
    """A daemon that comes back and is kept out for ever by the guard, or that takes the site from under its hands."""

    async def scenario() -> tuple[bool, int]:
        guard, daemon = Lease(tmp_path, role="guard"), Lease(tmp_path)
        guard.take()
        taking = asyncio.create_task(daemon.acquire(wait_s=DEADLINE_S))
        while not guard.is_wanted():
            await asyncio.sleep(0.01)
        early = daemon.held()
        guard.release("resume")
        epoch = await taking
        return early, epoch

    assert asyncio.run(scenario()) == (False, 2)


def test_the_farewell_is_said(tmp_path: Path, clock: Clock) -> None:
    """A guard that carries out a farewell for the second time, or not at all, since it cannot tell how the daemon ended."""
    lease = Lease(tmp_path, now=clock)
    told = []
    for farewell in (None, "resume"):
        lease.take()
        lease.release(farewell)
        standing, holding = lease.look()
        assert holding is not None
        told.append((standing, holding.farewell))
    assert told == [(Standing.ENDED, None), (Standing.ENDED, "resume")]


def test_old_files_are_forgotten(tmp_path: Path, clock: Clock) -> None:
    """A state directory that grows by a file with every start."""
    lease = Lease(tmp_path, now=clock)
    for _ in range(30):
        lease.take()
        lease.release()
    assert lease.take() == 31
    assert len(lease_files.holdings(tmp_path)) <= 10
