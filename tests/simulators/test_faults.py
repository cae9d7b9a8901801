"""Faults: each kind is what it says on every dialect's wire, and the seed alone decides what goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import async_solipsism
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.catalogue import ANTMINER, LUXOS, WHATSMINER
from fleet.machine import SLEEP, Machine, Roster
from fleet.reading import State
from simulators.clock import ScaledClock
from simulators.faults import Affliction, Chances, Fault, FaultPlan, Faults, Mishap, Scheduled
from simulators.world import World

START_S = 1.79e9
IDS = [f"m{row}" for row in range(40)]
LIMIT_S = 5.0
FLOODED = 4_000_000
Make = Callable[..., Machine]


async def exchange(host: str, port: int, sent: bytes, *, framed: bool) -> tuple[str, bytes, float]:
    """What a client with patience for five seconds gets: how it ended, what came, and after how long."""
    loop = asyncio.get_running_loop()
    began, got, end = loop.time(), b"", "closed"
    try:
        async with asyncio.timeout(LIMIT_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(sent)
                while len(got) < FLOODED and (piece := await reader.read(65_536)):
                    got += piece
                    if framed and len(got) == 4 + int.from_bytes(got[:4], "little"):
                        break
                end = "flooded" if len(got) >= FLOODED else "answered" if got else "closed"
                got = got[4:] if framed else got
            finally:
                writer.close()
    except TimeoutError:
        end = "timeout"
    except (ConnectionError, asyncio.IncompleteReadError):
        end = "closed"
    return end, got, loop.time() - began


_STATUS = b'{"cmd":"get.miner.status","param":"summary"}'
ASK = {
    LUXOS: (4028, b'{"command":"summary"}', False),
    ANTMINER: (4028, b'{"command":"summary"}', False),
    WHATSMINER: (4433, len(_STATUS).to_bytes(4, "little") + _STATUS, True),
}


_WELL = {Fault.SPLIT, Fault.DELAY, Fault.LIE, Fault.GARBLE}
BEGINS_WELL = {LUXOS: _WELL | {Fault.FLOOD}, ANTMINER: _WELL | {Fault.FLOOD}, WHATSMINER: _WELL}
"""Faults after which the first bytes are those of a sound answer."""


def parsed(got: bytes) -> Any:
    """The JSON of a reply, or None."""
    try:
        return json.loads(got.rstrip(b"\0"))
    except ValueError:
        return None


@pytest.mark.parametrize("dialect", [LUXOS, ANTMINER, WHATSMINER])
@pytest.mark.parametrize(
    ("fault", "end", "readable", "slow"),
    [
        (Fault.DROP, "closed", False, False),
        (Fault.HANG, "timeout", False, True),
        (Fault.TRICKLE, "timeout", False, True),
        (Fault.FLOOD, "flooded", False, False),
        (Fault.GARBLE, "answered", False, False),
        (Fault.REFUSE, "answered", True, False),
        (Fault.SPLIT, "answered", True, False),
        (Fault.DELAY, "answered", True, True),
        (Fault.LIE, "answered", True, False),
        (Fault.REBOOT, "closed", False, False),
    ],
)
def test_each_fault_on_each_wire(
    machine: Make, dialect: str, fault: Fault, end: str, readable: bool, slow: bool
) -> None:
    """If this fails, a fault is not what it is called, and what survives it in a test may not survive it at a site."""
    one = machine(dialect, ports={"web": 18_080})
    port, sent, framed = ASK[dialect]

    async def run() -> tuple[tuple[str, bytes, float], bytes]:
        plan = FaultPlan(everyone=Chances(delay_s=2.0), schedule=(Scheduled(one.id, fault),))
        async with World(Roster.of([one]), 5, ScaledClock(START_S), faults=plan):
            faulty = await exchange(one.host, port, sent, framed=framed)
        async with World(Roster.of([one]), 5, ScaledClock(START_S)):
            return faulty, (await exchange(one.host, port, sent, framed=framed))[1]

    with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
        (how, got, took), sound = runner.run(run())
    assert how == end
    assert (parsed(got) is not None) is readable
    assert (took > 1.0) is slow
    assert (got[:25] == sound[:25]) is (fault in BEGINS_WELL[dialect])


def test_a_hung_machine_hangs_for_minutes(machine: Make) -> None:
    """If this fails, a client without a deadline of its own gets away with it."""
    one = machine(LUXOS)

    async def run() -> float:
        plan = FaultPlan(schedule=(Scheduled(one.id, Fault.HANG),))
        async with World(Roster.of([one]), 5, ScaledClock(START_S), faults=plan):
            reader, writer = await asyncio.open_connection(one.host, 4028)
            writer.write(b'{"command":"summary"}')
            began = asyncio.get_running_loop().time()
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
            return asyncio.get_running_loop().time() - began

    with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
        assert 120 < runner.run(run()) < 1_000


def test_a_liar_confirms_and_does_nothing(machine: Make) -> None:
    """If this fails, the worst trap of this field, "ok" but still hashing, is not in the pretend world."""
    one = machine(LUXOS)

    async def run() -> tuple[Any, bool, int]:
        plan = FaultPlan(schedule=(Scheduled(one.id, Fault.LIE),))
        async with World(Roster.of([one]), 5, ScaledClock(START_S), faults=plan) as world:
            asked = b'{"command":"logon"}'
            session = parsed((await exchange(one.host, 4028, asked, framed=False))[1])["SESSION"][0]["SessionID"]
            command = {"command": "curtail", "parameter": f"{session},sleep"}
            said = parsed((await exchange(one.host, 4028, json.dumps(command).encode(), framed=False))[1])
            await asyncio.sleep(60)
            return said, bool(world.truth.mode[0] == SLEEP), len(one.modes)

    with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
        said, asleep, _ = runner.run(run())
    assert said["CURTAIL"][0]["Action"] == "sleep mode"
    assert not asleep


@pytest.mark.parametrize("dialect", [LUXOS, ANTMINER, WHATSMINER])
def test_a_rebooting_machine_is_dark_and_comes_back(machine: Make, dialect: str) -> None:
    """If this fails, a reboot costs nothing, or a machine never returns from it."""
    one = machine(dialect, ports={"web": 18_080})
    port, sent, framed = ASK[dialect]

    async def run() -> list[Any]:
        plan = FaultPlan(schedule=(Scheduled(one.id, Fault.REBOOT, until_s=START_S + 1.0),))
        async with World(Roster.of([one]), 5, ScaledClock(START_S), faults=plan) as world:
            ends = [(await exchange(one.host, port, sent, framed=framed))[0]]
            await asyncio.sleep(20)
            ends.append((await exchange(one.host, port, sent, framed=framed))[0])
            states = [int(world.truth.state[0]), float(world.truth.hashrate_ths[0])]
            await asyncio.sleep(1_200)
            ends.append((await exchange(one.host, port, sent, framed=framed))[0])
            return [ends, states, int(world.truth.state[0]), int(world.truth.starts[0])]

    with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
        ends, states, later, starts = runner.run(run())
    assert ends == ["closed", "closed", "answered"]
    assert states == [State.UNKNOWN, 0.0]
    assert (later, starts) == (State.HASHING, 1)


PLAN = FaultPlan(
    everyone=Chances(drop=0.1, delay=0.1, garble=0.1),
    afflictions=(Affliction(0.5, Chances(hang=0.3, lie=0.3)),),
)


def history(faults: Faults, row: int, count: int) -> list[Mishap | None]:
    """What goes wrong in a machine's next exchanges; every third is a write."""
    return [faults.next(row, START_S, write=index % 3 == 0) for index in range(count)]


@given(st.integers(0, 2**32), st.permutations(range(6)))
@settings(max_examples=30, deadline=None)
def test_the_order_in_which_machines_are_asked_changes_nothing(seed: int, order: list[int]) -> None:
    """If this fails, a run with faults cannot be played again, for polls never come in the same order twice."""
    straight = Faults(PLAN, IDS, seed)
    plain = [history(straight, row, 20) for row in range(6)]
    mixed = Faults(PLAN, IDS, seed)
    shuffled = {row: history(mixed, row, 20) for row in order}
    assert plain == [shuffled[row] for row in range(6)]


def test_faults_are_as_frequent_as_the_plan_says() -> None:
    """If this fails, a scenario has more or fewer faults than it states."""
    faults = Faults(FaultPlan(everyone=Chances(drop=0.05, delay=0.1, delay_s=3.0)), IDS, 1)
    seen = [mishap for row in range(40) for mishap in history(faults, row, 500)]
    counts = Counter(mishap.fault for mishap in seen if mishap)
    assert counts[Fault.DROP] == pytest.approx(1_000, rel=0.12)
    assert counts[Fault.DELAY] == pytest.approx(2_000, rel=0.12)
    late = [mishap.delay_s for mishap in seen if mishap and mishap.fault is Fault.DELAY]
    assert sum(late) / len(late) == pytest.approx(3.0, rel=0.1)


def test_reads_are_never_lied_about_and_half_are_afflicted() -> None:
    """If this fails, a lie strikes a read, or an affliction strikes everybody or nobody."""
    faults = Faults(FaultPlan(afflictions=(Affliction(0.5, Chances(lie=1.0)),)), IDS, 1)
    assert all(faults.next(row, START_S, write=False) is None for row in range(40))
    liars = sum(faults.next(row, START_S, write=True) is not None for row in range(40))
    assert 10 <= liars <= 30


@pytest.mark.parametrize("wrong", [{"drop": -0.1}, {"drop": 0.6, "hang": 0.6}])
def test_impossible_chances_are_refused(wrong: dict[str, float]) -> None:
    """If this fails, a plan may say what no probability can be."""
    with pytest.raises(ValueError, match="chances are"):
        Chances(**wrong)
