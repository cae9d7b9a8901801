"""Switching, cycle by cycle, and what is promised of it: never far from hindsight, never idle, never a flap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fleet.machine import Mode, Roster
from fleet.market import Market, Quantity, Signal
from policies.plan import Pace
from policies.switching import AlwaysOn, Hysteresis, Regret, Rule, Stakes, Threshold, start_usd, with_steps
from policies.tariff import IndexTariff
from policies.tick import Judgment
from tests.policies.conftest import Bench, machine, roster

ONE = (Mode("sleep", 0.001, 0.0), Mode("on", 1_000.0, 60.0))
"""One operating point: at 40 $/PH/day it earns 0.1 USD/h, and breaks even at 100 $/MWh."""
AT_ONCE = Pace(min_up_s=0, min_down_s=0, min_step_s=0, step_earns_back_s=0)


def bench(
    rule: Any, *, ladder: Sequence[Mode] = ONE, n: int = 1, caps: dict[str, float] | None = None, **more: Any
) -> Bench:
    """Live machines of one ladder under a rule, without dwell."""
    pace = more.pop("pace", AT_ONCE)
    machines = [machine(f"m{i}", "", ladder, ladder[-1].name, **more) for i in range(n)]
    live = np.ones(n, np.bool_)
    return Bench(Judgment(Roster.of(machines, caps), IndexTariff(), switching=rule, pace=pace, live=live))


def course(site: Bench, prices: Sequence[float], every_s: float = 900.0) -> str:
    """Where the first machine stands after each price: `#` awake, `.` asleep."""
    shown = ""
    for price in prices:
        site.tick(every_s, price=price)
        shown += "." if site.modes()[0] == "sleep" else "#"
    return shown


@pytest.mark.parametrize(
    ("rule", "prices", "shown"),
    [
        (AlwaysOn(), [50, 150, 5_000, -50, 99], "#####"),
        (Threshold(), [50, 99, 101, 99, 5_000, -50], "##.#.#"),
        (Hysteresis(band=0.10), [50, 105, 109, 111, 105, 95, 91, 89, 105], "###....##"),
        (Hysteresis(band=0.0), [99, 101, 99], "#.#"),
        # No cost of a start but 3 minutes of revenue (0.005 USD): 15 minutes at a loss of 0.01 USD/h are 0.0025.
        (Regret(share=1.0, floor_h=0.05), [50, 110, 110, 110, 90, 90, 90], "###..##"),
        # A loss that stops before the regret is spent is forgiven as it earns.
        (Regret(share=1.0, floor_h=0.05), [50, 110, 90, 110, 90, 110, 90], "#######"),
        # A large loss is not waited for.
        (Regret(share=1.0, floor_h=0.05), [50, 200, 50], "#.#"),
        # Power that pays: everybody runs.
        (Threshold(), [500, -1, -5_000], ".##"),
        (Regret(), [500, 500, -1, -5_000], "#.##"),
    ],
)
def test_courses(rule: Any, prices: list[float], shown: str) -> None:
    """Prices in, awake or asleep out, for each rule."""
    assert course(bench(rule), prices) == shown


def test_power_that_pays_is_taken_at_the_highest_point() -> None:
    """At a negative price more power is worth more, also where hashing earns little: the machine runs at its highest."""
    site = bench(Threshold(), ladder=roster().machines[0].modes)
    for hashprice in (40.0, 0.5):
        site.tick(900, price=-30.0, hashprice=hashprice)
        assert site.modes() == ["high"]


def test_a_known_price_counts_ahead() -> None:
    """A price that is known to hold for the quarter of an hour is acted on at its start, also with ticks of ten seconds."""
    site = bench(Regret(share=1.0, floor_h=0.05))
    site.tick(900, price=50.0)

    def market(price: float, until_s: float) -> Market:
        coin = (Signal(40.0, site.at_s, site.at_s, "test"),)
        return Market(
            {
                Quantity.HASHPRICE_USD_PHS_DAY: coin,
                Quantity.POWER_USD_MWH: (Signal(price, site.at_s, site.at_s, "test", until_s),),
            }
        )

    site.tick(10, market=market(130.0, site.at_s + 910))
    assert site.modes() == ["sleep"]
    site = bench(Regret(share=1.0, floor_h=0.05))
    site.tick(900, price=50.0)
    site.tick(10, market=market(130.0, site.at_s + 60))
    assert site.modes() == ["on"]


def test_short_ticks_and_long_ones_come_to_the_same() -> None:
    """The regret is of time, not of ticks: at a lasting price ticks of 10 s and of 300 s switch within one tick of another."""
    switched = []
    for every_s in (10.0, 60.0, 300.0):
        site = bench(Regret(share=1.0, floor_h=0.05))
        site.tick(900, price=50.0)
        began_s = site.at_s
        while site.modes() == ["on"] and site.at_s < began_s + 9_000:
            site.tick(every_s, price=110.0)
        switched.append(site.at_s - began_s)
    # 0.005 USD at 0.01 USD/h: half an hour.
    assert switched[0] == pytest.approx(1_800, abs=11)
    assert switched[1] == pytest.approx(1_800, abs=61)
    assert switched[2] == pytest.approx(1_800, abs=301)


def test_a_long_pause_counts_no_more_than_an_hour() -> None:
    """A host that was suspended for a day does not wake to a day's regret at the price of this moment."""
    site = bench(Regret(share=1.0, floor_h=1.5))
    site.tick(900, price=50.0)
    site.tick(86_400, price=150.0)
    assert site.view.regret_usd[0] == pytest.approx(0.05, rel=1e-3)
    assert site.modes() == ["on"]


def test_regret_leaves_no_debt() -> None:
    """A change that an order or a cap held up for hours leaves no more than one start's worth of regret behind."""
    rule = Regret(share=1.0, floor_h=0.05)
    stakes = Stakes(
        revenue_usd_h=np.array([[0.0, 0.1]]),
        value_usd_h=np.array([[0.0, -0.4]]),
        allowed=np.ones((1, 2), np.bool_),
        awake=np.array([True]),
        usual=np.array([1]),
        start_usd=np.array([0.02]),
        regret_usd=np.array([0.0]),
        dt_h=50.0,
    )
    _, regret = rule.weigh(stakes)
    assert regret[0] == pytest.approx(0.025)


@settings(max_examples=150)
@given(
    st.lists(st.floats(-0.4, 0.4), min_size=1, max_size=120),
    st.floats(0.02, 1.0),
)
@example([-0.375, -0.375, 0.375, 0.375, -0.25, -0.375], 0.021484375)
def test_the_work_function_rule_keeps_its_promise(gains: list[float], start: float) -> None:
    """With shares 1 and floor 0 the rule costs at most 3 times what hindsight costs (2n - 1), but for a start and steps.

    It sees a change only at the end of a step: one for each time that it goes and comes back.
    """
    rule = Regret(share=1.0, wake_share=1.0, floor_h=0.0)
    awake, regret, cost, switches = True, 0.0, 0.0, 0
    best = {True: 0.0, False: 0.0}
    step_h = 0.05
    for gain in gains:
        # What is lost in this step by being awake and by being asleep; only waking costs a start.
        lost = {True: max(-gain, 0.0) * step_h, False: max(gain, 0.0) * step_h}
        best = {
            True: min(best[True], best[False] + start) + lost[True],
            False: min(best[False], best[True]) + lost[False],
        }
        cost += lost[awake]
        stakes = Stakes(
            revenue_usd_h=np.array([[0.0, 1.0]]),
            value_usd_h=np.array([[0.0, gain]]),
            allowed=np.ones((1, 2), np.bool_),
            awake=np.array([awake]),
            usual=np.array([1]),
            start_usd=np.array([start]),
            regret_usd=np.array([regret]),
            dt_h=step_h,
        )
        worth, carried = rule.weigh(stakes)
        regret = float(carried[0])
        goes = bool(worth[0, 1] > worth[0, 0])
        if goes != awake:
            cost += start if goes else 0.0
            awake, regret, switches = goes, 0.0, switches + 1
    assert cost <= 3 * min(best.values()) + 2 * start + 0.4 * step_h * max(1.0, switches / 2)


@given(
    st.sampled_from([AlwaysOn(), Threshold(), Hysteresis(), Regret()]),
    st.floats(-500, 3_000),
    st.floats(0.01, 500),
    st.integers(0, 2**32 - 1),
)
def test_worths_are_finite(rule: Rule, price: float, hashprice: float, seed: int) -> None:
    """Whatever the prices and whatever is left to choose from, no worth is NaN or infinite: caps compare them all."""
    dice = np.random.default_rng(seed)
    allowed = dice.random((6, 4)) < 0.5
    allowed[:, 0] |= ~allowed.any(axis=1)
    power, rate = np.array([25.0, 1_500, 2_300, 3_200]), np.array([0.0, 75, 105, 130])
    revenue = np.broadcast_to(rate * hashprice / 24e3, (6, 4))
    stakes = Stakes(
        revenue_usd_h=revenue,
        value_usd_h=revenue - power * price / 1e6,
        allowed=allowed,
        awake=dice.random(6) < 0.5,
        usual=np.full(6, 3),
        start_usd=start_usd(np.full(6, 300.0), np.full(6, 0.05), np.full(6, 3_200.0), price),
        regret_usd=dice.random(6),
        dt_h=0.1,
    )
    worth, regret = rule.weigh(stakes)
    assert np.isfinite(worth).all()
    assert np.isfinite(regret).all()
    assert (regret >= 0).all()


def test_always_on_runs_the_usual_mode_and_fills_a_cap() -> None:
    """The yardstick runs its usual mode, not above it, and under a cap the most hashes that fit."""
    ladder = roster().machines[0].modes
    machines = [machine(f"m{i}", "", ladder, "mid") for i in range(3)]
    for caps, shown in (({}, ["mid"] * 3), ({"": 5_500.0}, ["low", "low", "mid"])):
        site = Bench(
            Judgment(
                Roster.of(machines, caps), IndexTariff(), switching=AlwaysOn(), pace=AT_ONCE, live=np.ones(3, np.bool_)
            )
        )
        for _ in range(5):
            site.tick(900, price=5_000.0)
        assert sorted(site.modes()) == shown


@pytest.mark.parametrize("rule", [Threshold(), Hysteresis(), Regret()])
def test_a_capped_site_is_not_idle_and_does_not_flap(rule: Any) -> None:
    """Under a cap the site fills it, and at rest nobody changes places, although prices and readings tremble."""
    ladder = roster().machines[0].modes
    machines = [machine(f"m{i}", "", ladder, "high", start_s=300.0) for i in range(6)]
    live = np.ones(6, np.bool_)
    site = Bench(Judgment(Roster.of(machines, {"": 9_000.0}), IndexTariff(), switching=rule, live=live))
    dice, sent = np.random.default_rng(3), []
    for _ in range(120):
        tremble: dict[str, Any] = {"hashrate_ths": [], "power_w": [], "measured": [True] * 6}
        for mode in site.mode:
            tremble["hashrate_ths"].append(ladder[int(mode)].hashrate_ths * dice.normal(1, 0.02))
            tremble["power_w"].append(ladder[int(mode)].power_w * min(dice.normal(0.99, 0.005), 1.0))
        record = site.tick(60, price=float(dice.normal(20, 1)), **tremble)
        sent.append(len(record.decision.commands))
    drawn = sum(ladder[int(mode)].power_w for mode in site.mode)
    assert 8_000 < drawn <= 9_000, site.modes()
    assert sum(sent[60:]) <= 2, sent


def test_turning_all_down_beats_turning_some_off() -> None:
    """Under a cap of 60 % machines are turned down, not off: at least 14 % more hashes than with some asleep (FACTS)."""
    ladder = (
        Mode("sleep", 25, 0),
        *(Mode(f"p{w}", w, h) for w, h in ((1_400, 71), (1_800, 86), (2_200, 100), (2_700, 114), (3_250, 126))),
    )
    site = bench(Regret(), ladder=ladder, n=10, caps={"": 0.6 * 32_500}, start_s=900.0, pace=Pace())
    for _ in range(10):
        site.tick(900, price=20.0)
        hashes = sum(ladder[int(mode)].hashrate_ths for mode in site.mode)
        assert hashes >= 1.14 * 6 * 126
        assert "sleep" not in site.modes()


def test_a_step_has_to_earn_back_what_it_loses() -> None:
    """A better point is taken when half an hour of it earns more than the hashes lost by the step."""
    worth = np.array([[0.0, 1.00, 1.04, 1.20]])
    for loss, best in ((0.0, 3), (0.1, 3), (0.25, 1)):
        weighed = with_steps(worth, np.array([1], np.int16), np.array([loss]))
        assert int(weighed[0].argmax()) == best
    assert with_steps(worth, np.array([0], np.int16), np.array([0.5])) is worth


def test_a_start_costs_energy_and_wear() -> None:
    """A restart of ten minutes at 3 kW and 60 $/MWh costs 3 cents of energy; power that pays makes it no gain."""
    args = np.array([600.0]), np.array([0.05]), np.array([3_000.0])
    assert start_usd(*args, 60.0)[0] == pytest.approx(0.03 + 0.05)
    assert start_usd(*args, -60.0)[0] == pytest.approx(0.05)
