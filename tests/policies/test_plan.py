"""The plan, cycle by cycle: what is sent now, what waits, and for what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fleet.command import Outcome, OutcomeKind, Outcomes
from fleet.estimate import Beliefs
from fleet.machine import Roster
from fleet.market import Market, Quantity, Signal
from fleet.order import Order, OrderKind, Rank
from policies.economics import Economics
from policies.plan import WAITS, Pace
from policies.safety import TooHot
from policies.switching import Threshold
from policies.tariff import FixedTariff, IndexTariff
from policies.tick import Judgment
from tests.policies.conftest import T0, Bench, machine, roster

FREE: dict[str, Any] = {"min_up_s": 0, "min_down_s": 0, "min_step_s": 0, "starts_per_feeder": 1_000}


def bench(
    n: int = 4, caps: Mapping[str, float] | None = None, pace: Mapping[str, Any] | None = None, **settings: Any
) -> Bench:
    """Live machines under a plain threshold, without any wait but those that a test asks for."""
    settings = {"tariff": IndexTariff(), "switching": Threshold(), "pace": Pace(**{**FREE, **(pace or {})}), **settings}
    return Bench(Judgment(roster(n, caps), live=np.ones(n, np.bool_), **settings))


def test_nothing_goes_before_the_first_full_look() -> None:
    """Until every machine has been asked once, with an answer or without, nobody is commanded for money or by an order."""
    site = bench(3)
    order = Order("o", OrderKind.CURTAIL, "site", "alice", "test", T0, T0 + 9e3)
    asked = np.array([T0, T0, np.nan])
    record = site.tick(price=500.0, asked_s=asked, at_s=asked, orders=[order])
    assert site.sent(record) == {}
    assert record.decision.held_back == (("first full look", 3),)
    # The third is asked and does not answer: that is a look too.
    record = site.tick(10, price=500.0, silent=[2], orders=[order])
    assert site.sent(record) == {"m0": "sleep", "m1": "sleep"}
    emergency = Order("e", OrderKind.CURTAIL, "site", "alice", "fire", T0, T0 + 9e3, Rank.EMERGENCY)
    early = bench(3)
    record = early.tick(price=10.0, asked_s=asked, at_s=asked, orders=[emergency])
    assert early.sent(record) == {"m0": "sleep", "m1": "sleep", "m2": "sleep"}


@pytest.mark.parametrize(
    ("pace", "price", "waits_s"),
    [({"min_up_s": 600}, 500.0, 600), ({"min_step_s": 120}, 60.0, 120), ({}, 500.0, 0)],
)
def test_dwell(pace: dict[str, Any], price: float, waits_s: float) -> None:
    """For money a machine stands its time before it sleeps or steps; an order does not wait for that."""
    site = bench(1, pace=pace)
    site.tick(price=10.0)
    went_s = None
    while went_s is None and site.at_s < T0 + 1_000:
        if site.sent(site.tick(10, price=price)):
            went_s = site.at_s - T0
    assert went_s == max(waits_s, 10)
    site = bench(1, pace=pace)
    site.tick(price=10.0)
    order = Order("o", OrderKind.CURTAIL, "site", "alice", "test", T0, T0 + 9e3)
    assert site.sent(site.tick(10, price=10.0, orders=[order])) == {"m0": "sleep"}


def test_ramps_over_any_minute() -> None:
    """No more power comes or goes in any minute than the ramps allow, the best first; an emergency does not wait."""
    for pace, start, price in (({"ramp_down_kw_min": 7.0}, "high", 500.0), ({"ramp_up_kw_min": 7.0}, "sleep", 10.0)):
        site = bench(8, pace=pace)
        site.mode = [start] * 8
        site.tick(price=10.0 if start == "high" else 500.0)
        sent = [len(site.sent(site.tick(20, price=price))) for _ in range(12)]
        # Two of 3.2 kW at once, and the next two a minute later.
        assert sent == [2, 0, 0, 2, 0, 0, 2, 0, 0, 2, 0, 0]
    site = bench(8, pace={"ramp_down_kw_min": 7.0})
    site.tick(price=10.0)
    order = Order("e", OrderKind.CURTAIL, "site", "alice", "fire", T0, T0 + 9e3, Rank.EMERGENCY)
    assert len(site.sent(site.tick(20, price=10.0, orders=[order]))) == 8


def test_starts_are_staggered_by_feeder() -> None:
    """On each feeder no more machines start in a window than its breaker bears; feeders do not wait for each other."""
    machines = [machine(f"{feeder}{i}", f"{feeder}/rack{i}") for feeder in ("fa", "fb") for i in range(4)]
    pace = Pace(**{**FREE, "starts_per_feeder": 2, "starts_window_s": 30})
    judgment = Judgment(Roster.of(machines), IndexTariff(), switching=Threshold(), pace=pace, live=np.ones(8, np.bool_))
    site = Bench(judgment)
    site.mode = ["sleep"] * 8
    sent = [sorted(name[:2] for name in site.sent(site.tick(10, price=10.0))) for _ in range(5)]
    assert sent == [["fa", "fa", "fb", "fb"], [], [], ["fa", "fa", "fb", "fb"], []]


def test_a_start_is_staggered_though_it_counts_already() -> None:
    """A machine with a lost wake counts at its power already, and waking it again is a start all the same."""
    site = bench(3, pace={"starts_per_feeder": 1, "starts_window_s": 30})
    site.mode = ["sleep"] * 3
    site.tick(price=500.0)
    site.view = replace(site.view, doubt=np.full(3, 3, np.int16), sent_s=np.full(3, site.at_s))
    assert [len(site.sent(site.tick(10, price=10.0))) for _ in range(4)] == [1, 0, 0, 1]


def prices(site: Bench, price: float, sources: tuple[str, ...], coins: tuple[str, ...] = ("c", "d")) -> Market:
    """A market of so many sources that agree."""
    power = tuple(Signal(price, site.at_s, site.at_s, source) for source in sources)
    coin = tuple(Signal(40.0, site.at_s, site.at_s, source) for source in coins)
    return Market({Quantity.POWER_USD_MWH: power, Quantity.HASHPRICE_USD_PHS_DAY: coin})


@pytest.mark.parametrize(
    ("sources", "coins", "sleep"),
    [(("a",), ("c", "d"), 2), (("a", "b"), ("c", "d"), 8), (("a", "b"), ("c",), 2), (("a", "a"), ("c", "d"), 2)],
)
def test_the_brake_on_one_signal(sources: tuple[str, ...], coins: tuple[str, ...], sleep: int) -> None:
    """One signal that nothing corroborates moves no more than the brake lets go; two that agree move the site."""
    site = bench(8, pace={"brake_mw": 0.0065, "brake_s": 300})
    site.tick(market=prices(site, 10.0, sources, coins))
    for _ in range(4):
        site.at_s += 60
        site.tick(market=prices(site, 500.0, sources, coins))
    assert site.modes().count("sleep") == sleep
    order = Order("e", OrderKind.CURTAIL, "site", "alice", "fire", T0, T0 + 9e3, Rank.EMERGENCY)
    site.tick(market=prices(site, 500.0, sources, coins), orders=[order])
    assert site.modes().count("sleep") == 8


def test_the_brake_lets_safety_and_fixed_prices_pass() -> None:
    """A hot machine goes whatever the brake says; a tariff without a feed needs nobody to corroborate it."""
    site = bench(4, pace={"brake_mw": 0.001})
    site.tick(price=10.0)
    assert len(site.sent(site.tick(10, price=10.0, chip_c=[99.0] * 4))) == 4
    site = bench(4, pace={"brake_mw": 0.001}, tariff=FixedTariff(usd_mwh=500.0))
    assert len(site.sent(site.tick(market=prices(site, 0.0, ())))) == 4


def test_back_off_grows_and_a_quarantine_ends() -> None:
    """Each failure doubles the wait, so many in a row leave the machine alone, and a release or time ends that."""
    beliefs = Beliefs(back_off_s=30, quarantine_after=3, quarantine_s=5_000)
    site = bench(1, beliefs=beliefs)
    site.tick(price=10.0, obey=False)
    asked = []
    outcomes = Outcomes()
    for _ in range(60):
        sent = site.sent(site.tick(10, price=500.0, outcomes=outcomes, obey=False))
        refused = [Outcome(0, 0, OutcomeKind.REFUSED, site.at_s + 1)] if sent else []
        outcomes = Outcomes.of(refused)
        asked.extend([site.at_s - T0] if sent else [])
    assert asked == [10, 50, 120]
    order = Order("r", OrderKind.RELEASE, "m0", "alice", "repaired", site.at_s, site.at_s + 60)
    assert site.sent(site.tick(5, price=500.0, orders=[order])) == {"m0": "sleep"}


def test_a_withheld_command_is_no_failure() -> None:
    """A command that was never sent (no lease) is not the machine's failure: it is decided anew, without back-off."""
    site = bench(1)
    site.tick(price=10.0)
    site.tick(10, price=500.0, obey=False)
    told = Outcomes.of([Outcome(0, 0, OutcomeKind.WITHHELD, site.at_s + 1)])
    record = site.tick(10, price=500.0, outcomes=told)
    assert site.sent(record) == {"m0": "sleep"}
    assert site.view.failures[0] == 0
    assert site.view.doubt[0] == -1


def test_caps_count_what_is_not_confirmed_at_its_worst() -> None:
    """While a machine sleeps or not nobody knows, nobody else starts on its power."""
    site = bench(2, {"": 3_300.0})
    site.mode = ["high", "sleep"]
    site.tick(price=10.0, power_w=[3_200.0, 25.0], measured=[True, True])
    # The first goes silent: whatever it draws, the second may not start.
    for _ in range(30):
        record = site.tick(60, price=10.0, silent=[0])
        assert site.sent(record) == {}
    # It comes back asleep: now there is room.
    site.mode = ["sleep", "sleep"]
    site.tick(60, price=10.0)
    assert site.modes().count("high") == 1


def test_a_step_down_frees_power_only_when_it_shows() -> None:
    """Two machines change places under a cap one after the other: down, seen to be down, then up."""
    site = bench(2, {"": 3_300.0})
    site.mode = ["high", "sleep"]
    order = Order("o", OrderKind.CURTAIL, "m0", "alice", "test", T0, T0 + 9e3)
    assert site.sent(site.tick(price=10.0, orders=[order], obey=False)) == {"m0": "sleep"}
    assert site.sent(site.tick(10, price=10.0, orders=[order], obey=False)) == {}
    site.mode = ["sleep", "sleep"]
    assert site.sent(site.tick(10, price=10.0, orders=[order])) == {"m1": "high"}


def test_an_overload_is_shed_once() -> None:
    """A lowered cap takes down what it needs at once, past ramp and dwell, and not more while that is under way."""
    site = bench(6, pace={"min_up_s": 600, "min_step_s": 600, "ramp_down_kw_min": 3.3})
    site.tick(price=10.0)
    order = Order("o", OrderKind.CAP, "site", "grid", "test", T0, T0 + 9e3, Rank.GRID, 12_900.0)
    first = site.sent(site.tick(10, price=10.0, orders=[order], obey=False))
    assert first
    for _ in range(3):
        assert site.sent(site.tick(10, price=10.0, orders=[order], obey=False)) == {}
    for name, mode in first.items():
        site.mode[site.judgment.roster.index[name]] = mode
    assert site.sent(site.tick(10, price=10.0, orders=[order])) == {}
    drawn = sum(
        site.judgment.roster.modes.power_w[i, site.judgment.roster.machines[i].mode_named(m)]
        for i, m in enumerate(site.modes())
    )
    assert drawn <= 12_900.0


@pytest.mark.parametrize("pending", [True, False])
def test_one_is_enough(pending: bool) -> None:
    """Where one machine's step down is enough, one goes, whether that is under way or done: no second is shed for it."""
    site = bench(6, pace={"min_up_s": 600, "min_step_s": 600})
    site.tick(price=10.0)
    order = Order("o", OrderKind.CAP, "site", "grid", "test", T0, T0 + 9e3, Rank.GRID, 18_400.0)
    assert len(site.sent(site.tick(10, price=10.0, orders=[order], obey=not pending))) == 1
    for _ in range(3):
        assert site.sent(site.tick(10, price=10.0, orders=[order])) == {}


def test_an_overload_does_not_free_money_from_its_dwell() -> None:
    """A price that would put the whole site to sleep does not borrow the haste of a small overload."""
    site = bench(6, pace={"min_up_s": 600, "min_step_s": 600})
    site.tick(price=10.0)
    order = Order("o", OrderKind.CAP, "site", "grid", "test", T0, T0 + 9e3, Rank.GRID, 18_400.0)
    record = site.tick(10, price=500.0, orders=[order])
    assert list(site.sent(record).values()) == ["sleep"]
    assert record.decision.held_back == (("dwell", 5),)


def test_an_emergency_cap_overtakes_and_a_plain_one_does_not_overshed() -> None:
    """An emergency's cap is carried out without waiting for dwell or back-off; what is sent is no more than it takes."""
    site = bench(6, pace={"min_up_s": 6_000, "ramp_down_kw_min": 3.3})
    site.tick(price=10.0)
    order = Order("o", OrderKind.CAP, "site", "grid", "fire", T0, T0 + 9e3, Rank.EMERGENCY, 6_450.0)
    record = site.tick(10, price=10.0, orders=[order])
    assert record.decision.commands.urgent.all()
    drawn = sum(
        site.judgment.roster.modes.power_w[i, site.judgment.roster.machines[i].mode_named(m)]
        for i, m in enumerate(site.modes())
    )
    assert 4_500 < drawn <= 6_450.0


@pytest.mark.parametrize(
    ("answer", "modes"), [("hold", ["mid", "sleep", "high"]), ("sleep", ["sleep"] * 3), ("run", ["high"] * 3)]
)
def test_a_lost_market_has_its_declared_answer(answer: Any, modes: list[str]) -> None:
    """While a price is not known machines hold, sleep or run, as the site file says; caps and safety bind all the same."""
    nothing: tuple[dict[str, Any], ...] = ({"price": None}, {"hashprice": None})
    for lost in nothing:
        site = bench(3, economics=Economics(when_lost=answer))
        site.mode = ["mid", "sleep", "high"]
        for _ in range(4):
            site.tick(600, **lost)
        assert site.modes() == modes
    capped = bench(3, {"": 4_700.0}, economics=Economics(when_lost=answer))
    capped.mode = ["mid", "sleep", "high"]
    for _ in range(4):
        capped.tick(600, price=None)
    drawn = sum(
        capped.judgment.roster.modes.power_w[0, capped.judgment.roster.machines[0].mode_named(m)]
        for m in capped.modes()
    )
    assert drawn <= 4_700.0
    if answer != "sleep":
        assert drawn > 3_000.0
    hot = bench(3, economics=Economics(when_lost=answer), constraints=(TooHot(),))
    hot.tick(600, price=None, chip_c=[99.0, 60.0, 60.0])
    assert hot.modes()[0] == "sleep"


def test_wakes_for_a_lost_market_keep_the_pace_of_money() -> None:
    """`run` on a lost market is for money: it keeps dwell."""
    site = bench(1, economics=Economics(when_lost="run"), pace={"min_down_s": 300})
    site.mode = ["sleep"]
    site.tick(price=None)
    assert site.sent(site.tick(200, price=None)) == {}
    assert site.sent(site.tick(200, price=None)) == {"m0": "high"}


def test_live_by_scope() -> None:
    """Only the live part is commanded; the rest is decided in shadow, counts at what it really draws, and holds nobody up."""
    machines = [machine("a", "fa"), machine("b", "fb")]
    live = np.array([True, False])
    judgment = Judgment(
        Roster.of(machines, {"": 4_800.0}), IndexTariff(), switching=Threshold(), pace=Pace(**FREE), live=live
    )
    site = Bench(judgment)
    site.mode = ["sleep", "high"]
    record = site.tick(price=10.0)
    sent = {
        judgment.roster.machines[c.machine].id: (c.live, judgment.roster.machines[c.machine].modes[c.mode].name)
        for c in record.decision.commands
    }
    # 4,800 W less the 3,200 W that b really draws leave a its lowest point.
    assert sent == {"a": (True, "low")}
    record = site.tick(10, price=500.0)
    assert {c.machine: c.live for c in record.decision.commands} == {0: True, 1: False}
    assert site.modes() == ["sleep", "high"]


def test_held_back_is_told_row_by_row() -> None:
    """What waits is counted and named per machine, with the names that are documented."""
    site = bench(3, pace={"ramp_down_kw_min": 3.3})
    site.tick(price=10.0)
    decision = site.tick(60, price=500.0).decision
    assert decision.held_back == (("ramp down", 2),)
    assert decision.waits is not None
    assert sorted(WAITS[w] for w in decision.waits if w >= 0) == ["ramp down", "ramp down"]
