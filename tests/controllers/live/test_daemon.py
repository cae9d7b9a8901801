"""The daemon on a pretend site over real sockets: what it is told, what it does, and what it says of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controllers.journal.resume import last
from fleet.catalogue import ANTMINER, LUXOS, WHATSMINER
from simulators.faults import Fault

Real = Callable[..., None]
ALL = ("lux-1", "ant-1", "wm-1")


def events(site: Any, kind: str) -> list[str]:
    """What the daemon has said of a kind."""
    return [event.text for event in site.daemon.events.last if event.kind == kind]


def test_a_spike_puts_every_dialect_to_sleep_and_its_end_wakes_it(real: Real) -> None:
    """The one thing that the whole is for: dear power, machines asleep by their own reading; cheap power, machines awake."""

    async def work(site: Any) -> None:
        await site.start()
        assert site.asleep()
        site.price.usd_mwh = 3_000.0
        await site.until(lambda: site.asleep(*ALL), "all asleep")

        async def believed() -> bool:
            sums = (await site.status())["sums"]
            return bool(sums["machines_by_state"].get("sleeping") == 3 and sums["machines_pending"] == 0)

        await site.until(believed, "all asleep by read-back")
        told = await site.explain("ant-1")
        assert (told["asleep_why"], told["mode"], told["power_usd_mwh"]) == ("money", "sleep", 3_000.0)
        assert site.daemon.loop.outcomes["done"] == 3
        site.price.usd_mwh = 20.0
        await site.until(site.asleep, "all awake")

    real(work)


def test_an_order_is_kept_judged_at_once_and_ends(real: Real) -> None:
    """An order that is acknowledged and then lost, or that outlives its time, is worse than none."""

    async def work(site: Any) -> None:
        await site.start()
        taken = await site.order("curtail", "a", for_s=600, why="test")
        kept = last(site.path.parent / "state" / "journal", site.roster, site.daemon.site.judgment.reasons)
        assert [order.id for order in kept.orders] == [taken["id"]]
        await site.until(lambda: site.asleep("lux-1", "wm-1"), "feeder a asleep")
        assert site.clock.now() < taken["given_s"] + 60, "the tick is 120 s, an order does not wait for it"
        assert (await site.status())["orders"] == [taken]
        held = [hold for hold in (await site.explain("lux-1"))["holds"] if hold["kind"] == "order"]
        assert [hold["until_s"] for hold in held] == [taken["until_s"]]
        await site.until(lambda: site.clock.now() > taken["until_s"], "its end")
        site.daemon.loop.wake()
        await site.until(site.asleep, "awake again")
        assert (await site.status())["orders"] == []

    real(work, tick_s=120)


def test_a_change_by_somebody_else_is_a_hold_until_it_is_released(real: Real) -> None:
    """Two masters that fight over a machine wear it out; a person's hand wins until it lets go."""

    async def work(site: Any) -> None:
        await site.start()
        site.meddle("ant-1", "sleep")

        async def held() -> bool:
            return any(hold["kind"] == "hand" for hold in (await site.explain("ant-1"))["holds"])

        await site.until(held, "a hold")
        await site.ticks(5)
        assert site.asleep("ant-1")
        assert (await site.status())["sums"]["machines_held"] == 1
        await site.order("release", "ant-1", for_s=60)
        await site.until(site.asleep, "awake again")

    real(work)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault.HANG, "unreachable"),
        (Fault.DROP, "unreachable"),
        (Fault.TRICKLE, "unreachable"),
        (Fault.FLOOD, "garbled"),
        (Fault.GARBLE, "garbled"),
        (Fault.REFUSE, "refused"),
    ],
)
def test_a_machine_that_does_not_answer_is_a_named_silence_and_the_rest_goes_on(
    real: Real, fault: Fault, said: str
) -> None:
    """A zero, or a value of yesterday, for a machine that answered 2 GB, one byte a second or nothing is a lie."""

    async def work(site: Any) -> None:
        await site.start()
        lost = events(site, "machine lost")
        assert len(lost) == 1, lost
        assert lost[0].startswith(f"ant-1: {said}")
        told = await site.explain("ant-1")
        assert (told["state"], told["power_w"], told["hashrate_ths"]) == ("silent", None, None)
        assert (await site.status())["sums"]["hashrate_ths"] > 0
        site.price.usd_mwh = 3_000.0
        await site.until(lambda: site.asleep("lux-1"), "the other asleep")
        assert site.modes["ant-1"] == "normal"

    real(work, (LUXOS, ANTMINER), faults={1: fault})


def test_a_machine_that_lies_is_unconfirmed_and_left_alone_for_longer(real: Real) -> None:
    """An "ok" for a machine that still hashes is the complaint about every such tool."""

    async def work(site: Any) -> None:
        await site.start()
        site.price.usd_mwh = 3_000.0
        await site.until(lambda: site.daemon.loop.outcomes["unconfirmed"] >= 1, "an unconfirmed command")
        assert site.daemon.loop.outcomes["done"] == 1

        async def failed() -> bool:
            return bool((await site.explain("ant-1"))["failures"] >= 1)

        await site.until(failed, "a tick has heard of it")
        told = await site.explain("ant-1")
        assert (told["mode"], told["state"]) == ("normal", "hashing")
        assert any(hold["kind"] in {"back-off", "doubt"} for hold in told["holds"]), told["holds"]
        assert site.asleep("lux-1")

    real(work, (LUXOS, ANTMINER), faults={1: Fault.LIE})


def test_a_machine_that_reboots_is_lost_and_found_and_is_nobodys_hand(real: Real) -> None:
    """A reboot is a machine's own doing: it is told once each way, and no hold comes of it."""

    async def work(site: Any) -> None:
        await site.start()
        site.world.reboot(site.roster.index["ant-1"])
        await site.until(lambda: events(site, "machine lost"), "it goes dark")
        await site.until(lambda: events(site, "machine back"), "it comes back")
        await site.ticks(3)
        assert (await site.status())["sums"]["machines_held"] == 0
        assert len(events(site, "machine lost")) == len(events(site, "machine back")) == 1

    real(work, (LUXOS, ANTMINER))


def test_live_control_is_by_scope_and_the_rest_is_a_tally(real: Real) -> None:
    """Before a step to more control, the operator must see what the rest would have earned, and nothing of it may move."""

    async def work(site: Any) -> None:
        await site.start()
        site.price.usd_mwh = 3_000.0
        await site.until(lambda: site.asleep("lux-1", "wm-1"), "the live feeder asleep")
        await site.ticks(5)
        assert site.asleep("lux-1", "wm-1")
        sums = (await site.status())["sums"]
        assert (sums["dry_run"], sums["machines_live"]) == (False, 2)
        assert sums["decided_usd"] > sums["earned_usd"]
        told = await site.explain("ant-1")
        assert (told["live"], told["decided"], told["mode"]) == (False, "sleep", "normal")

    real(work, control={"live": ["a"]})


@pytest.mark.parametrize(("sources", "slow"), [(1, True), (2, False)])
def test_one_price_that_nobody_confirms_moves_no_more_than_the_brake_lets(real: Real, sources: int, slow: bool) -> None:
    """One wrong number from one source must not switch off a site; two that agree may."""

    async def work(site: Any) -> None:
        await site.start()
        for price in site.prices:
            price.usd_mwh = 3_000.0
        await site.until(lambda: not site.asleep(), "the first asleep")
        if slow:
            await site.ticks(12)
            assert 1 <= sum(mode == "sleep" for mode in site.modes.values()) < 3
            assert any("brake" in why for why in (await site.status())["sums"]["held_back"])
            await site.order("curtail", rank="emergency")
        await site.until(lambda: site.asleep("lux-1", "lux-2", "lux-3"), "all asleep")

    real(work, (LUXOS, LUXOS, LUXOS), sources=sources, pace={"brake_mw": 0.0035, "brake_s": 7_200})


@pytest.mark.parametrize(("answer", "after"), [("hold", "790MHz"), ("sleep", "sleep"), ("run", "default")])
def test_a_price_that_is_lost_has_its_declared_answer(real: Real, answer: str, after: str) -> None:
    """A lost signal answered by a silent default is the most expensive default there is."""

    async def work(site: Any) -> None:
        await site.start()
        site.price.usd_mwh = -5.0
        await site.until(lambda: site.modes["lux-1"] == "790MHz", "the highest point, while power pays")
        site.price.broken = True

        async def missing() -> bool:
            return "power_usd_mwh" in (await site.status())["sums"]["missing"]

        await site.until(missing, "the price is not known")
        await site.until(lambda: site.modes["lux-1"] == after, f"machine in {after}")
        await site.ticks(3)
        assert site.modes["lux-1"] == after
        assert events(site, "feed lost")
        told = await site.explain("lux-1")
        assert told["missing"]
        assert told["earns_usd_h"] is None
        site.price.broken = False
        await site.until(lambda: events(site, "feed well")[-1] == "power1", "the feed is back")

    real(work, (LUXOS,), economics={"when_lost": answer})


@pytest.mark.parametrize("nonsense", [1e9, "nan", "much", -1e9])
def test_a_price_that_cannot_be_is_no_price(real: Real, nonsense: float | str) -> None:
    """1e9 $/MWh or NaN is a lost signal, with its declared answer, and never a reason to command."""

    async def work(site: Any) -> None:
        await site.start()
        site.price.usd_mwh = nonsense
        await site.until(lambda: events(site, "feed lost"), "the feed is lost")
        assert "power1" in events(site, "feed lost")[0]
        await site.ticks(3)
        assert not site.daemon.loop.outcomes
        assert (await site.explain("lux-1"))["power_usd_mwh"] in {30.0, None}

    real(work, (LUXOS,))


@pytest.mark.parametrize("farewell", ["leave", "resume", "sleep"])
def test_an_orderly_stop_leaves_what_was_declared(real: Real, farewell: str) -> None:
    """What becomes of the machines when the daemon stops is the site's decision and not an accident."""

    async def work(site: Any) -> None:
        await site.start()
        await site.order("curtail", "a", for_s=60)
        await site.until(lambda: site.asleep("lux-1", "wm-1"), "feeder a asleep")
        await site.stop()
        wanted = {"leave": ("lux-1", "wm-1"), "resume": (), "sleep": ALL}[farewell]
        await site.until(lambda: site.asleep(*wanted), f"after {farewell}")
        # A second life knows the same machines, and finds nobody else's hand in what the farewell did.
        site.price.usd_mwh = 20.0
        await site.start()
        await site.ticks(3)
        assert (await site.status())["sums"]["machines_held"] == 0

    real(work, control={"farewell": farewell})


def test_no_feed_and_no_machine_is_a_status_and_not_a_crash(real: Real) -> None:
    """A site whose every machine is silent still answers its operator."""

    async def work(site: Any) -> None:
        await site.start()
        sums = (await site.status())["sums"]
        assert sums["machines_by_state"] == {**sums["machines_by_state"], "silent": 2}
        assert (sums["power_w"], sums["efficiency_j_th"]) == (0.0, None)
        await site.order("curtail", "lux-1", rank="emergency")
        await site.until(lambda: site.daemon.loop.outcomes["lost"] >= 1, "it was tried, and lost")

    real(work, (LUXOS, WHATSMINER), faults={0: Fault.DROP, 1: Fault.DROP})
