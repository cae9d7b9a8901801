"""The guard: when it acts, whom it wakes or puts to sleep, in which pace, and how it gives the site back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controllers.clock import Clock
from controllers.config import Site, site_of
from controllers.guard import Guard
from controllers.guard_duty import TRIES_MOST, Duty
from controllers.journal.entries import Sent, Title, read
from controllers.journal.resume import last
from controllers.journal.settings import JournalSettings
from controllers.journal.writer import Writer
from controllers.lease import Lease, LeaseHeld
from fleet.columns import UNKNOWN
from fleet.command import Command, Outcome, OutcomeKind
from fleet.machine import SLEEP, Machine, Mode, Roster
from fleet.order import Order, OrderKind, Rank
from fleet.reading import Answer, Cause, Reading, Silence, State
from fleet.view import View
from policies.plan import Pace
from policies.tick import Judgment

DEADLINE_S = 30.0
MODES = (Mode("sleep", 20, 0), Mode("low", 2000, 80), Mode("normal", 3000, 100))
AT_S = 1_700_000_000.0


def reading(mode: int) -> Reading:
    """A machine that shows this mode."""
    state = State.SLEEPING if mode == SLEEP else State.HASHING
    return Reading(state, MODES[mode].name, MODES[mode].hashrate_ths, MODES[mode].power_w)


def judged(n: int = 6, cap_w: float = np.inf, **pace: Any) -> Judgment:
    """A site of n machines on two feeders, all of it live."""
    machines = [Machine(f"m{i}", "X", "luxos", f"127.9.0.{i + 1}", MODES, "normal", (f"f{i % 2}",)) for i in range(n)]
    caps = {"": cap_w} if np.isfinite(cap_w) else {}
    return Judgment(Roster.of(machines, caps), live=np.ones(n, np.bool_), pace=Pace(**pace))


def believed(judgment: Judgment, asleep: Iterable[int] = (), why: str = "money", **columns: Any) -> View:
    """Beliefs in which some machines were put to sleep by us and the others run."""
    view = View.fresh(judgment.roster)
    mode, code = np.full(len(view), 2, np.int16), np.full(len(view), UNKNOWN, np.int16)
    worst = np.full(len(view), 3000.0)
    for row in asleep:
        mode[row], code[row], worst[row] = SLEEP, judgment.reasons.index(why), 20.0
    return replace(view, mode=mode, standing=mode, asleep_why=code, worst_w=worst, **columns)


def rows(commands: list[Command]) -> list[tuple[int, int]]:
    """Machines and modes."""
    return [(command.machine, command.mode) for command in commands]


def nobody(n: int = 6) -> Any:
    """No command is under way."""
    return np.zeros(n, np.bool_)


def codes(values: dict[int, int], n: int = 6) -> Any:
    """A mode column, unknown but for some rows."""
    column = np.full(n, UNKNOWN, np.int16)
    for row, value in values.items():
        column[row] = value
    return column


# ------------------------------------------------------------------------------------------------ what there is to do


@pytest.mark.parametrize(
    ("farewell", "columns", "expected"),
    [
        ("leave", {}, []),
        ("resume", {}, [1, 2]),
        ("sleep", {}, [0, 3, 4, 5]),
        ("resume", {"wanted": codes({0: SLEEP})}, [0, 1, 2]),
        ("resume", {"doubt": codes({4: SLEEP})}, [1, 2, 4]),
        ("resume", {"wanted": codes({2: 2})}, [1, 2]),
    ],
    ids=["leave", "resume", "sleep", "a sleep on its way", "a sleep in doubt", "a wake on its way"],
)
def test_whom_a_farewell_is_about(farewell: Any, columns: dict[str, Any], expected: list[int]) -> None:
    """A machine that hashwatt put to sleep and nobody wakes, or one that it never touched and that is commanded."""
    judgment = judged()
    view = believed(judgment, [1, 2], **columns)
    duty = Duty(farewell, judgment, view, ())
    for row in duty.unsettled(AT_S):
        duty.shown(row, reading(int(view.mode[row])), AT_S)
    commands = duty.wave(nobody(), AT_S)
    assert [c.machine for c in commands] == expected
    assert all(c.mode == (SLEEP if farewell == "sleep" else 2) and c.why == "farewell" for c in commands)


def test_nothing_outside_the_live_scope() -> None:
    """A machine outside the live scope, or a dry run's, that is commanded."""
    judgment = replace(judged(), live=np.array([True, True, False, False, False, False]))
    assert rows(Duty("resume", judgment, believed(judgment, [1, 2, 3]), ()).wave(nobody(), AT_S)) == [(1, 2)]
    assert rows(Duty("sleep", judgment, believed(judgment), ()).wave(nobody(), AT_S)) == [(0, 0), (1, 0)]
    dry = replace(judged(), live=None)
    for farewell in ("resume", "sleep"):
        assert Duty(farewell, dry, believed(dry, [1, 2]), ()).wave(nobody(), AT_S) == []


def test_what_safety_put_to_sleep_stays_asleep() -> None:
    """A machine that was too hot, woken by a process that does not look at temperatures."""
    judgment = judged()
    hot = replace(
        believed(judgment, [1, 2], why="money"), asleep_why=codes({1: judgment.reasons.index("too hot"), 2: 7})
    )
    assert rows(Duty("resume", judgment, hot, ()).wave(nobody(), AT_S)) == [(2, 2)]


def test_an_order_in_force_is_kept_until_it_ends() -> None:
    """An emergency's curtailment undone by the guard, or one that keeps machines asleep for ever."""
    judgment = judged()
    order = Order("o", OrderKind.CURTAIL, "f1", "grid", "", AT_S - 5, AT_S + 100, Rank.EMERGENCY)
    duty = Duty("resume", judgment, believed(judgment, [0, 1, 3]), (order,))
    assert rows(duty.wave(nobody(), AT_S)) == [(0, 2)]
    duty.shown(0, reading(2), AT_S)
    assert not duty.over(nobody(), AT_S + 50)
    assert rows(duty.wave(nobody(), AT_S + 101)) == [(1, 2), (3, 2)]


def test_no_cap_is_exceeded() -> None:
    """A breaker that trips because the guard wakes what a cap had put to sleep."""
    judgment = judged(cap_w=14_500.0)
    duty = Duty("resume", judgment, believed(judgment, [1, 2, 3]), ())
    for row in (1, 2, 3):
        duty.shown(row, reading(SLEEP), AT_S)
    # Three run at 9,000 W: there is room for one at 3,000 W and one at 2,000 W, and then for none.
    assert rows(duty.wave(nobody(), AT_S)) == [(1, 2), (2, 1)]
    for row, mode in ((1, 2), (2, 1)):
        duty.shown(row, reading(mode), AT_S)
    assert duty.wave(nobody(), AT_S + 30) == []
    assert duty.over(nobody(), AT_S + 30)
    assert duty.left().tolist() == [3]


def test_starts_keep_the_stagger_and_the_ramp() -> None:
    """Machines of one feeder that all start at once."""
    judgment = judged(n=8, starts_per_feeder=2, starts_window_s=10)
    duty = Duty("resume", judgment, believed(judgment, range(8)), ())
    assert rows(duty.wave(nobody(8), AT_S)) == [(0, 2), (1, 2), (2, 2), (3, 2)]
    busy = np.arange(8) < 4
    assert duty.wave(busy, AT_S + 9) == []
    assert not duty.over(busy, AT_S + 9)
    assert rows(duty.wave(busy, AT_S + 10)) == [(4, 2), (5, 2), (6, 2), (7, 2)]
    slow = judged(n=8, ramp_up_kw_min=6.0)
    duty = Duty("resume", slow, believed(slow, range(8)), ())
    sent = [len(duty.wave(np.arange(8) < 2 * i, AT_S + 61 * i)) for i in range(4)]
    assert sent == [2, 2, 2, 2]


def test_a_machine_is_tried_a_few_times_and_then_left() -> None:
    """A dead machine that the guard commands for ever, or one that it gives up at its first refusal."""
    judgment = judged()
    duty = Duty("resume", judgment, believed(judgment, [2]), ())
    at_s, sent = AT_S, []
    for _ in range(10_000):
        duty.shown(2, Silence(Cause.UNREACHABLE), at_s)
        for command in duty.wave(nobody(), at_s):
            sent.append(at_s - AT_S)
            duty.became(Outcome(command.machine, command.mode, OutcomeKind.LOST, at_s))
        if duty.over(nobody(), at_s):
            break
        at_s += 1.0
    assert sent == [0, 30, 90, 210, 450]
    assert len(sent) == TRIES_MOST
    assert duty.left().tolist() == [2]


def test_a_sleep_that_comes_late_is_answered() -> None:
    """A firmware that carries out the last sleep after the guard saw its machine run, and stays asleep."""
    judgment = judged()
    duty = Duty("resume", judgment, believed(judgment, wanted=codes({0: SLEEP})), ())
    duty.shown(0, reading(2), AT_S)
    assert rows(duty.wave(nobody(), AT_S)) == [(0, 2)]
    assert not duty.over(nobody(), AT_S + 5)
    duty.shown(0, reading(SLEEP), AT_S + 10)
    assert rows(duty.wave(nobody(), AT_S + 11)) == [(0, 2)]
    duty.shown(0, reading(2), AT_S + 15)
    assert duty.over(nobody(), AT_S + 36)


def test_what_is_done_is_not_asked_for_again() -> None:
    """A machine that was just woken, and is commanded once more because no look has come since."""
    judgment = judged()
    duty = Duty("resume", judgment, believed(judgment, [1, 2]), ())
    for command in duty.wave(nobody(), AT_S):
        duty.became(Outcome(command.machine, command.mode, OutcomeKind.DONE, AT_S + 3))
    assert duty.wave(nobody(), AT_S + 4) == []
    assert not duty.over(nobody(), AT_S + 4)
    assert duty.over(nobody(), AT_S + 24)


# ------------------------------------------------------------------------------------------------- the process's work


@dataclass
class FakeHands:
    """Machines that do what they are told, at once or never."""

    lease: Lease
    clock: Clock
    modes: dict[int, int]
    dead: set[int] = field(default_factory=set)
    sent: list[tuple[int, int]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    busy: int = 0
    closed: bool = False

    async def look(self, row: int) -> Answer:
        """What it shows."""
        return Silence(Cause.UNREACHABLE) if row in self.dead else reading(self.modes[row])

    def submit(self, commands: Iterable[Command]) -> None:
        """Carry out, or lose."""
        for command in commands:
            assert self.lease.held()
            self.sent.append((command.machine, command.mode))
            kind = OutcomeKind.LOST if command.machine in self.dead else OutcomeKind.DONE
            if kind is OutcomeKind.DONE:
                self.modes[command.machine] = command.mode
            self.outcomes.append(Outcome(command.machine, command.mode, kind, self.clock.now()))

    def drain(self) -> list[Outcome]:
        """Those since."""
        outcomes, self.outcomes = self.outcomes, []
        return outcomes

    async def close(self) -> None:
        """Let go."""
        self.closed = True


@dataclass
class Post:
    """A guard, its hands, and the daemon that it watches."""

    site: Site
    guard: Guard
    hands: FakeHands
    guards_lease: Lease
    daemon: Lease
    watching: asyncio.Task[None] | None = None

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the guard run until something is so."""
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                assert self.watching is None or not self.watching.done()
                await asyncio.sleep(0.01)

    @property
    def said(self) -> str:
        """All its events."""
        return "\n".join(event.text for event in self.guard.events.last)


def made_site(directory: Path, farewell: str, live: list[str], grace_s: float = 0.3) -> Site:
    """A resolved site file of six machines."""
    modes = [{"name": m.name, "power_w": m.power_w, "hashrate_ths": m.hashrate_ths} for m in MODES]
    machines = [
        {"id": f"m{i}", "model": "X", "dialect": "luxos", "host": f"127.9.0.{i + 1}", "place": f"f{i % 2}"}
        for i in range(6)
    ]
    tables = {
        "name": "made",
        "machines": machines,
        "models": [{"model": "X", "dialect": "luxos", "modes": modes, "usual": "normal"}],
        "tariff": {"kind": "fixed", "usd_mwh": 50.0},
        "control": {"live": live, "farewell": farewell, "guard_grace_s": grace_s},
    }
    return site_of(tables, directory / "site.toml")


def journaled(site: Site, view: View, orders: tuple[Order, ...] = ()) -> None:
    """What the daemon left."""
    title = Title.of(site.file.name, site.roster, site.settings_json())
    writer = Writer(site.state / "journal", JournalSettings(), title)
    writer.begin(view, site.judgment.reasons, orders, 7, "daemon")
    writer.close()


def posted(
    directory: Path,
    work: Callable[[Post], Coroutine[Any, Any, None]],
    farewell: str = "resume",
    live: list[str] | None = None,
) -> None:
    """Run some work with a guard on its post; machines 1 and 2 were put to sleep by the daemon."""

    async def scenario() -> None:
        site = made_site(directory, farewell, ["site"] if live is None else live)
        journaled(site, believed(site.judgment, [1, 2]))
        # The site's clock runs fast, so that what has to settle settles soon.
        clock = Clock(200.0, AT_S)
        lease = Lease(site.state, role="guard", ttl_s=1.0)
        hands = FakeHands(lease, clock, {i: SLEEP if i in {1, 2} else 2 for i in range(6)})
        guard = Guard(site, lease, clock, lambda _events: hands)
        post = Post(site, guard, hands, lease, Lease(site.state, ttl_s=2.0))
        post.daemon.take()
        post.watching = asyncio.create_task(guard.run())
        try:
            await work(post)
        finally:
            post.watching.cancel()
            await asyncio.gather(post.watching, return_exceptions=True)

    asyncio.run(scenario())


def test_while_the_daemon_renews_nothing_happens_and_after_that_the_farewell(tmp_path: Path) -> None:
    """A guard that acts beside a living daemon, or that never acts when one hangs."""

    async def work(post: Post) -> None:
        for _ in range(15):
            post.daemon.renew()
            await asyncio.sleep(0.1)
        assert post.hands.sent == []
        assert "acting in" not in post.said
        # From here on the daemon hangs: its process lives, and does not renew.
        await post.until(lambda: "farewell 'resume': done" in post.said)
        assert sorted(post.hands.sent) == [(1, 2), (2, 2)]
        assert post.hands.closed
        assert not post.daemon.held()
        standing, holding = post.guards_lease.look()
        assert (standing.value, holding and holding.farewell) == ("ended", "resume")
        before = len(post.hands.sent)
        await asyncio.sleep(0.6)
        assert len(post.hands.sent) == before

    posted(tmp_path, work)


@pytest.mark.parametrize(("farewell", "acts"), [("resume", False), (None, True)])
def test_an_orderly_stop_with_its_farewell_needs_no_guard(farewell: str | None, acts: bool, tmp_path: Path) -> None:
    """A farewell that is carried out twice, or never because the daemon's part that failed let go of the lease in order."""

    async def work(post: Post) -> None:
        post.daemon.release(farewell)
        await asyncio.sleep(0.6)
        if acts:
            await post.until(lambda: len(post.hands.sent) == 2)
        assert bool(post.hands.sent) is acts

    posted(tmp_path, work)


@pytest.mark.parametrize(
    ("farewell", "live", "said"),
    [("leave", ["site"], "it is to leave all as it is"), ("resume", [], "nothing is under live control")],
)
def test_leave_and_dry_run_command_nothing(farewell: str, live: list[str], said: str, tmp_path: Path) -> None:
    """A guard that commands where the site file says to leave all as it is, or in a dry run; or that takes the lease for it."""

    async def work(post: Post) -> None:
        post.daemon.release(None)
        await post.until(lambda: said in post.said)
        await asyncio.sleep(0.5)
        assert post.said.count(said) == 1
        assert post.hands.sent == []
        assert post.daemon.take() == 2

    posted(tmp_path, work, farewell, live)


def test_what_it_does_is_journaled_for_the_daemon_that_returns(tmp_path: Path) -> None:
    """Machines that the guard woke, taken for somebody else's hand by the daemon."""

    async def work(post: Post) -> None:
        post.hands.dead.add(2)
        post.daemon.release(None)
        await post.until(lambda: "m1: done" in post.said and "m2: lost" in post.said)
        await post.daemon.acquire()
        assert "handed over to a daemon" in post.said

    posted(tmp_path, work)
    site = made_site(tmp_path, "resume", ["site"])
    sent = [e for e in read(site.state / "journal") if isinstance(e, Sent)]
    told = [(s.by, s.commands.machine.tolist(), s.commands.whys) for s in sent]
    # The dead machine may have been tried again before the daemon came.
    assert told[0] == ("guard", [1, 2], ("farewell",))
    assert all(one == ("guard", [2], ("farewell",)) for one in told[1:])
    known = last(site.state / "journal", site.roster, site.judgment.reasons)
    assert known.view is not None
    assert known.number == 7
    assert (known.view.mode[1], known.view.asleep_why[1], known.view.wanted[1]) == (2, UNKNOWN, UNKNOWN)
    assert (known.view.wanted[2], known.view.asleep_why[2]) == (2, site.judgment.reasons.index("money"))


def test_it_hands_over_while_it_still_has_work(tmp_path: Path) -> None:
    """A daemon that comes back and has to wait until a dead machine has been tried for an hour; or one that waits for ever."""

    async def work(post: Post) -> None:
        post.hands.dead |= {1, 2}
        post.daemon.release(None)
        await post.until(lambda: len(post.hands.sent) >= 2)
        with pytest.raises(LeaseHeld, match="the guard with process"):
            post.daemon.take()
        assert await post.daemon.acquire(wait_s=DEADLINE_S) == 3
        await post.until(lambda: post.hands.closed)
        before = len(post.hands.sent)
        for _ in range(5):
            post.daemon.renew()
            await asyncio.sleep(0.1)
        assert len(post.hands.sent) == before

    posted(tmp_path, work)


def test_a_guard_that_lost_the_lease_stops(tmp_path: Path) -> None:
    """A guard that was suspended past its term and goes on commanding beside the daemon."""

    async def work(post: Post) -> None:
        post.hands.dead |= {1, 2}
        post.daemon.release(None)
        await post.until(lambda: len(post.hands.sent) >= 2)
        later = Lease(post.site.state, ttl_s=60, now=lambda: 1e12)
        assert later.take() == 3
        await post.until(lambda: "ended, the lease was lost" in post.said)
        assert post.hands.closed

    posted(tmp_path, work)


def test_without_a_journal_to_write_it_acts_all_the_same(tmp_path: Path) -> None:
    """Machines left asleep because the disk is full, which may be why the daemon died."""

    async def work(post: Post) -> None:
        journal = post.site.state / "journal"
        for path in journal.iterdir():
            path.rename(journal / "journal-99999999.hwj")
        (journal / "journal-100000000.hwj").mkdir()
        post.daemon.release(None)
        await post.until(lambda: "farewell 'resume': done" in post.said)
        assert "cannot be" in post.said

    posted(tmp_path, work)


def test_sleep_puts_all_to_sleep(tmp_path: Path) -> None:
    """A farewell of sleep that leaves machines running, or commands those that sleep already."""

    async def work(post: Post) -> None:
        post.daemon.release(None)
        await post.until(lambda: "farewell 'sleep': done" in post.said)
        assert sorted(post.hands.sent) == [(row, SLEEP) for row in (0, 3, 4, 5)]

    posted(tmp_path, work, "sleep")
