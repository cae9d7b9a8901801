"""The shell on virtual time: observe, turn, act and read back, and what becomes of each failure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fleet.command import OutcomeKind
from fleet.driver import Garbled, Refused, Unreachable
from fleet.order import Order, OrderKind, Rank
from fleet.reading import Depth

Virtual = Callable[[Any], Any]


def outcomes(shell: Any) -> list[str]:
    """Kinds of all outcomes that the records heard."""
    return [
        OutcomeKind(kind).name for record, _ in shell.journal.records for kind in record.snapshot.outcomes.kind.tolist()
    ]


def test_a_spike_curtails_and_its_end_resumes(virtual: Virtual, shell: Any) -> None:
    """The one thread through all of it: price up, machines asleep by read-back; price down, machines awake."""

    async def work() -> None:
        site = shell()
        site.price(30.0)
        await site.run(700)
        assert site.modes == ["normal"] * 4
        site.price(300.0)
        await site.run(30)
        assert site.modes == ["sleep"] * 4
        site.price(30.0)
        await site.run(900)
        site.price(30.0)
        await site.run(300)
        assert site.modes == ["normal"] * 4
        assert outcomes(site) == ["DONE"] * 8
        assert max(driver.most_busy for driver in site.drivers) == 1

    virtual(work)


def test_a_dry_run_writes_nothing(virtual: Virtual, shell: Any) -> None:
    """Dry run is the default: decisions are recorded, and no machine hears of them."""

    async def work() -> None:
        site = shell(live=False)
        site.price(300.0)
        await site.run(900)
        assert all(not driver.writes for driver in site.drivers)
        decided = [record for record, _ in site.journal.records if len(record.decision.commands)]
        assert decided
        assert not any(record.decision.commands.live.any() for record in decided)
        assert site.loop.view.tally.decided_usd > site.loop.view.tally.actual_usd

    virtual(work)


def test_nothing_is_commanded_before_the_first_full_look(virtual: Virtual, shell: Any) -> None:
    """A daemon that has not heard every machine (or its silence) does not know what a command would do."""

    async def work() -> None:
        site = shell()
        site.drivers[2].read_s = 100.0
        site.price(300.0)
        await site.run(60)
        assert all(not driver.writes for driver in site.drivers)

    virtual(work)


@pytest.mark.parametrize(
    ("knobs", "kind", "writes"),
    [
        ({"refuses": Refused("locked")}, "REFUSED", 0),
        ({"refuses": Unreachable("gone")}, "LOST", 0),
        ({"refuses": Garbled("noise")}, "LOST", 0),
        ({"lies": True}, "UNCONFIRMED", 1),
        ({"half_lies": True}, "UNCONFIRMED", 1),
        ({"takes_s": 20.0}, "DONE", 1),
        ({"pools": None}, "REFUSED", 0),
    ],
)
def test_each_failure_has_its_name(virtual: Virtual, shell: Any, knobs: dict[str, Any], kind: str, writes: int) -> None:
    """An outcome that says "ok" for a machine that still hashes is the complaint about every such tool."""

    async def work() -> None:
        site = shell(1)
        for name, value in knobs.items():
            setattr(site.drivers[0], name, value)
        site.price(30.0)
        await site.run(700)
        site.price(300.0)
        await site.run(55)
        assert outcomes(site)[:1] == [kind]
        assert len(site.drivers[0].writes) == writes

    virtual(work)


def test_a_failing_machine_is_left_alone_for_longer_and_longer(virtual: Virtual, shell: Any) -> None:
    """Commanding too often wears boards out, and a lock-out answers too many tries."""

    async def work() -> None:
        site = shell(1)
        site.drivers[0].refuses = Refused("wrong password")
        for _ in range(24):
            site.price(300.0)
            await site.run(300)
        assert 4 <= len(outcomes(site)) <= 6
        site.drivers[0].refuses = None
        now_s = site.clock.now()
        site.orders.put(Order("r", OrderKind.RELEASE, "site", "me", "mended", now_s, now_s + 60))
        site.price(300.0)
        await site.run(60)
        assert site.modes == ["sleep"]

    virtual(work)


@pytest.mark.parametrize("fails", [None, Refused("no"), Unreachable("cut off"), Garbled("noise")])
def test_a_pool_that_changes_under_a_write_is_told(virtual: Virtual, shell: Any, fails: Exception | None) -> None:
    """A write that lost the pools must never pass as done and no more, least of all one that was cut off in its middle."""

    async def work() -> None:
        site = shell(1)
        site.drivers[0].wipes_pools, site.drivers[0].refuses = True, fails
        site.price(300.0)
        await site.run(700)
        assert [kind for kind, _ in site.events] == ["pools changed"]
        assert "m0" in site.events[0][1]

    virtual(work)


def test_without_the_lease_nothing_is_written(virtual: Virtual, shell: Any) -> None:
    """A daemon that was suspended past its lease wakes up with commands in hand."""

    async def work() -> None:
        site = shell()
        site.lease.ours = False
        site.price(300.0)
        await site.run(700)
        assert all(not driver.writes for driver in site.drivers)
        assert set(outcomes(site)) == {"WITHHELD"}

    virtual(work)


def test_a_full_disk_stops_money_and_not_safety(virtual: Virtual, shell: Any) -> None:
    """What cannot be remembered is not done, but a hot machine sleeps whatever the disk says."""

    async def work() -> None:
        site = shell(2)
        site.price(30.0)
        await site.run(700)
        site.journal.full = True
        site.price(300.0)
        site.drivers[1].chip_c = 120.0
        await site.run(60)
        assert site.modes == ["normal", "sleep"]
        assert (site.events[0][0], site.events[0][1].split()[0]) == ("journal", "record")
        site.journal.full = False
        site.drivers[1].chip_c = 60.0
        site.price(300.0)
        await site.run(60)
        assert site.modes == ["sleep", "sleep"]

    virtual(work)


def test_a_slow_machine_holds_up_nobody(virtual: Virtual, shell: Any) -> None:
    """No tick waits for a slow machine, and the others keep their pace."""

    async def work() -> None:
        site = shell(6)
        site.drivers[0].read_s = 9.0
        site.price(30.0)
        await site.run(300)
        quick = [len(driver.reads) for driver in site.drivers[1:]]
        assert min(quick) >= 28
        assert len(site.journal.records) >= 30

    virtual(work)


def test_lean_looks_are_often_and_full_ones_seldom(virtual: Virtual, shell: Any) -> None:
    """Small machines crash when polled too often for everything."""

    async def work() -> None:
        site = shell(1)
        site.price(30.0)
        await site.run(910)
        assert site.drivers[0].reads.count(Depth.FULL) in {3, 4}
        assert site.drivers[0].reads.count(Depth.LEAN) > 80

    virtual(work)


def test_an_order_is_judged_at_once(virtual: Virtual, shell: Any) -> None:
    """An operator's curtailment does not wait for the period, and ends when it expires."""

    async def work() -> None:
        site = shell(2, tick_s=300.0)
        site.price(30.0)

        async def order() -> None:
            await asyncio.sleep(650)
            site.price(30.0)
            now_s = site.clock.now()
            site.orders.put(Order("o", OrderKind.CURTAIL, "f0", "me", "test", now_s, now_s + 600))
            await asyncio.sleep(10)
            assert site.modes == ["sleep", "normal"]

        task = asyncio.create_task(order())
        await site.run(700)
        await task

    virtual(work)


def test_an_order_that_comes_in_the_middle_of_a_turn_is_the_next_turn(virtual: Virtual, shell: Any) -> None:
    """A turn waits for the disk; what comes in meanwhile must not wait for the period after it."""

    async def work() -> None:
        site = shell(2, tick_s=300.0)
        site.journal.takes_s = 20.0
        site.price(30.0)

        async def order() -> None:
            await asyncio.sleep(650)
            site.price(31.0)
            await asyncio.sleep(5)
            now_s = site.clock.now()
            site.orders.put(Order("o", OrderKind.CURTAIL, "f0", "me", "test", now_s, now_s + 600))
            await asyncio.sleep(60)
            assert site.modes == ["sleep", "normal"]

        task = asyncio.create_task(order())
        await site.run(760)
        await task

    virtual(work)


def test_an_emergency_waits_for_nothing(virtual: Virtual, shell: Any) -> None:
    """Neither the first full look nor any pace holds up an emergency."""

    async def work() -> None:
        site = shell(4, judge=lambda j: replace(j, pace=j.pace.model_copy(update={"ramp_down_kw_min": 3.1})))
        site.drivers[3].read_s = 1_000.0
        now_s = site.clock.now()
        site.orders.put(Order("e", OrderKind.CURTAIL, "site", "me", "fire", now_s, now_s + 600, Rank.EMERGENCY))
        await site.run(40)
        assert site.modes[:3] == ["sleep"] * 3

    virtual(work)


def test_a_hot_machine_wakes_the_loop(virtual: Virtual, shell: Any) -> None:
    """An alarm is judged when it is heard, not a period later."""

    async def work() -> None:
        site = shell(1, tick_s=3_600.0)
        site.price(30.0)

        async def heat() -> None:
            await asyncio.sleep(100)
            site.drivers[0].chip_c = 120.0
            await asyncio.sleep(25)
            assert site.modes == ["sleep"]

        task = asyncio.create_task(heat())
        await site.run(130)
        await task

    virtual(work)


def test_commands_are_journaled_durably_before_they_are_sent(virtual: Virtual, shell: Any) -> None:
    """After a crash the journal must know of every command that a machine may have heard."""

    async def work() -> None:
        site = shell(2)
        site.price(300.0)
        await site.run(700)
        for record, durable in site.journal.records:
            assert durable == bool(record.decision.commands.live.any())

    virtual(work)


def test_a_bug_in_one_driver_is_one_machines_silence(virtual: Virtual, shell: Any) -> None:
    """One dialect's bug must not stop the first full look of the rest, or the daemon."""

    async def work() -> None:
        site = shell(2)
        site.drivers[0].fails = KeyError("STATS")
        site.price(300.0)
        await site.run(700)
        assert site.modes == ["normal", "sleep"]
        assert "KeyError" in site.observer.latest.silences[0].detail

    virtual(work)


def test_a_bug_in_a_write_is_one_machines_lost_command(virtual: Virtual, shell: Any) -> None:
    """A command that vanishes without an outcome leaves a machine pending for ever."""

    async def work() -> None:
        site = shell(1)
        site.drivers[0].refuses = KeyError("STATS")
        site.price(300.0)
        await site.run(700)
        assert outcomes(site)[0] == "LOST"
        assert site.events[0][0] == "driver failed"

    virtual(work)


@pytest.mark.parametrize("step_s", [-7_200.0, 7_200.0])
def test_a_stepped_clock_changes_the_time_and_nothing_else(virtual: Virtual, shell: Any, step_s: float) -> None:
    """A clock set back by two hours must not stop the polls for two hours, nor one set forward make prices stale."""

    async def work() -> None:
        site = shell(2)
        site.price(30.0)
        asyncio.get_running_loop().call_later(105.0, site.wall_ahead_s.__setitem__, 0, step_s)
        await site.run(205)
        assert min(len(driver.reads) for driver in site.drivers) >= 19
        assert max(len(driver.reads) for driver in site.drivers) <= 25
        assert [kind for kind, _ in site.events] == ["clock stepped"]
        assert not site.loop.last.decision.prices.missing
        assert site.loop.outcomes.total() == 0
        assert site.loop.last.snapshot.at_s > site.clock.now() - 11
        site.price(300.0)
        await site.run(700)
        assert site.modes == ["sleep", "sleep"]

    virtual(work)


def test_looks_are_spread_over_the_period(virtual: Virtual, shell: Any) -> None:
    """A thousand machines asked in the same millisecond, every ten seconds, is a burst that a network drops."""

    async def work() -> None:
        site = shell(10)
        site.price(30.0)
        await site.run(45)
        seconds = {round(at_s) % 10 for driver in site.drivers for at_s in driver.read_at_s[2:]}
        assert len(seconds) >= 9
        gaps = [b - a for d in site.drivers for a, b in zip(d.read_at_s, d.read_at_s[1:], strict=False)]
        assert max(gaps) < 10.5

    virtual(work)
