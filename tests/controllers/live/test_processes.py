"""The daemon as a process: a second one, kill -9, a suspended one, a full disk, an orderly stop."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from controllers.journal.entries import Stored, read
from fleet.catalogue import ANTMINER, LUXOS, WHATSMINER

Real = Callable[..., None]


def commands(site: Any) -> list[tuple[str, str]]:
    """(machine, mode) of every live command that the journal knows."""
    found = []
    for entry in read(site.folder / "state" / "journal"):
        if isinstance(entry, Stored):
            for command in entry.record().decision.commands:
                machine = site.roster.machines[command.machine]
                found.append((machine.id, machine.modes[command.mode].name))
    return found


def test_a_second_daemon_is_refused_and_a_stopped_one_is_gone(real: Real) -> None:
    """Two writers on one site fight."""

    async def work(site: Any) -> None:
        first = await site.run()
        code, _, errors = await site.command("run", "--site", str(site.path))
        assert code == 4
        assert f"process {first.pid}" in errors
        assert len(errors.splitlines()) == 1
        await site.ticks(2)
        first.send_signal(signal.SIGTERM)
        assert await first.wait() == 0
        assert "stopped: farewell: leave" in site.log()
        assert not (site.folder / "state" / "hashwatt.sock").exists()

    real(work, (LUXOS,))


def test_killed_in_a_curtailment_it_comes_back_knowing_whom_it_put_to_sleep_and_why(real: Real) -> None:
    """A crash must not turn our own sleepers into somebody else's, or be followed by commands on no knowledge."""

    async def work(site: Any) -> None:
        first = await site.run()
        await site.order("curtail", "a", why="the grid asked")
        site.price.usd_mwh = 3_000.0
        await site.until(lambda: site.asleep("lux-1", "ant-1", "wm-1"), "all asleep")
        first.kill()
        await first.wait()
        before = len(commands(site))
        await site.run()
        await site.ticks(3)
        for machine, why in (("lux-1", "operator order"), ("ant-1", "money"), ("wm-1", "operator order")):
            told = await site.explain(machine)
            assert told["asleep_why"] == why, told
        status = await site.status()
        assert [order["why"] for order in status["orders"]] == ["the grid asked"]
        assert status["sums"]["machines_held"] == 0
        assert len(commands(site)) == before, "nothing had to be commanded"
        site.price.usd_mwh = 20.0
        await site.until(lambda: site.asleep("lux-1", "wm-1"), "what money slept wakes, what the order slept does not")
        await site.order("release", "a", for_s=60)
        await site.until(site.asleep, "all awake")

    real(work)


def test_killed_with_a_command_on_its_way_it_finds_out_what_became_of_it(real: Real) -> None:
    """A command that the dead daemon sent, and that took effect after its death, is ours and nobody's hand."""

    async def work(site: Any) -> None:
        first = await site.run()
        await site.order("curtail")
        await site.until(lambda: site.world.physics.target[1] == 0, "the slow machine was asked")
        first.kill()
        await first.wait()
        await site.until(lambda: site.asleep("lux-1", "ant-1"), "it obeys")
        await site.run()
        await site.ticks(3)
        assert (await site.explain("ant-1"))["asleep_why"] == "operator order"
        assert (await site.status())["sums"]["machines_held"] == 0

    real(work, (LUXOS, ANTMINER))


def test_suspended_past_its_lease_it_commands_no_more(real: Real) -> None:
    """A laptop lid, a paused virtual machine: what wakes up after another has taken over must end, and say why."""

    async def work(site: Any) -> None:
        first = await site.run()
        first.send_signal(signal.SIGSTOP)
        site.price.usd_mwh = 3_000.0
        second = await site.spawn("run", "--site", str(site.path), log="second")

        async def taken() -> bool:
            assert second.returncode is None or second.returncode == 4, site.log("second")
            return "started" in site.log("second")

        # Refused while the lease runs, as any second daemon; a supervisor starts it again.
        while not await taken():
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await second.wait()
            if second.returncode is not None and "started" not in site.log("second"):
                second = await site.spawn("run", "--site", str(site.path), log="second")
        await site.until(lambda: site.asleep("lux-1", "wm-1"), "the second curtails")
        sent = len(commands(site))
        first.send_signal(signal.SIGCONT)
        async with asyncio.timeout(30):
            assert await first.wait() == 4, site.log()
        assert "lease 1" in site.log()
        assert "Traceback" not in site.log(), site.log()
        assert len(commands(site)) == sent
        assert (await site.status())["ok"], "the second one's socket is still there"
        assert second.returncode is None

    real(work, (LUXOS, WHATSMINER), control={"lease_s": 2})


def test_suspended_past_its_lease_with_nobody_else_it_ends_too(real: Real) -> None:
    """It cannot know whether somebody acted meanwhile: it ends, and the next start takes the lease anew."""

    async def work(site: Any) -> None:
        first = await site.run()
        first.send_signal(signal.SIGSTOP)
        await asyncio.sleep(
            2.5
        )  # longer than the lease, on the host's own clock: there is nothing to wait for but time
        site.price.usd_mwh = 3_000.0
        first.send_signal(signal.SIGCONT)
        async with asyncio.timeout(30):
            assert await first.wait() == 4, site.log()
        assert "was not renewed in time" in site.log()
        assert "Traceback" not in site.log(), site.log()
        assert site.asleep()
        await site.run()
        await site.until(lambda: site.asleep("lux-1"), "the next one curtails")

    real(work, (LUXOS,), control={"lease_s": 2})


def test_a_full_disk_stops_money_and_not_an_emergency(real: Real) -> None:
    """What cannot be remembered is not done; a fire does not wait for disk space."""

    async def work(site: Any) -> None:
        def small_files() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

        process = await site.run(preexec_fn=small_files)
        await site.until(lambda: "could not be kept" in site.log(), "the journal is full")
        assert process.returncode is None
        site.price.usd_mwh = 3_000.0

        async def dear() -> bool:
            return bool((await site.status())["sums"]["power_usd_mwh"] == 3_000.0)

        with suppress(AssertionError):
            await site.until(dear, "the price is known", within_s=3)
        # What is left may hold some small things still: orders are taken until it is used up, and not one more.
        refused: dict[str, Any] = {"ok": True}
        for _ in range(200):
            refused = await site.ask("order", order={"kind": "hold", "for_s": 60, "who": "test"})
            if not refused["ok"]:
                break
        assert not refused["ok"]
        assert "kept" in refused["error"]
        assert site.asleep(), site.log()
        await site.order("curtail", rank="emergency", why="fire")
        await site.until(lambda: site.asleep("lux-1"), "the emergency is carried out")
        assert site.log().count("could not be kept, nothing but safety") == 1, "said once, not at every tick"
        assert "Traceback" not in site.log(), site.log()
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0

    real(work, (LUXOS,), tick_s=1, journal={"rotate_mb": 1000, "keep_mb": 2000})


@pytest.mark.parametrize(("farewell", "asleep"), [("leave", ("lux-1",)), ("resume", ()), ("sleep", ("lux-1", "ant-1"))])
def test_sigterm_carries_out_the_farewell(real: Real, farewell: str, asleep: tuple[str, ...]) -> None:
    """systemd stops a service by SIGTERM: the declared farewell has to be over when the process is."""

    async def work(site: Any) -> None:
        process = await site.run()
        await site.order("curtail", "lux-1", for_s=30)
        await site.until(lambda: site.asleep("lux-1"), "one asleep")
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        assert site.asleep(*asleep), site.log()

    real(work, (LUXOS, ANTMINER), control={"farewell": farewell}, pace={"min_down_s": 100_000})
