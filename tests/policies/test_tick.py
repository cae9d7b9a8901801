"""The tick as a whole: it depends on nothing but its arguments, and on no order of the machines."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.columns import UNKNOWN
from fleet.machine import Mode, Roster
from fleet.order import Order, OrderKind
from policies.plan import Pace
from policies.switching import Regret, Threshold
from policies.tariff import IndexTariff
from policies.tick import Judgment
from tests.policies.conftest import T0, Bench, machine

N = 9


def site(order: list[int], seed: int, *, capped: bool, rule: Any) -> Bench:
    """Machines that are all different, standing in some order."""
    dice = random.Random(seed)
    machines = []
    for i in range(N):
        low, rate = dice.uniform(1_000, 1_500), dice.uniform(50, 70)
        ladder = (
            Mode("sleep", 20 + i, 0),
            Mode("low", low, rate),
            Mode("mid", low * 1.5, rate * 1.4),
            Mode("high", low * 2.1, rate * dice.uniform(1.6, 1.8)),
        )
        machines.append(
            machine(f"m{i}", f"f{i % 3}", ladder, start_s=dice.uniform(0, 300), wear_usd=dice.uniform(0, 0.1))
        )
    caps = {"": 15_000.0, "f1": 4_000.0} if capped else {}
    pace = Pace(min_up_s=0, min_down_s=0, min_step_s=0, starts_per_feeder=2, ramp_up_kw_min=6.0, ramp_down_kw_min=7.0)
    roster = Roster.of([machines[i] for i in order], caps)
    return Bench(Judgment(roster, IndexTariff(), switching=rule, pace=pace, live=np.ones(N, np.bool_)))


@settings(max_examples=40)
@given(
    st.permutations(range(N)),
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.sampled_from([Threshold(), Regret()]),
    st.lists(st.floats(-50, 300), min_size=3, max_size=8),
)
def test_permuting_the_machines_permutes_the_answer(
    order: list[int], seed: int, capped: bool, rule: Any, prices: list[float]
) -> None:
    """Machines in another order get the same decisions, commands and beliefs: the row decides nothing."""
    one, other = (site(rows, seed, capped=capped, rule=rule) for rows in (list(range(N)), order))
    order_given = Order("o", OrderKind.CURTAIL, "m3", "alice", "test", T0 + 200, T0 + 9e3)
    dice = random.Random(seed)
    chips = [[dice.uniform(50, 99) for _ in range(N)] for _ in prices]
    for price, chip_c in zip(prices, chips, strict=True):
        a = one.tick(60, price=price, orders=[order_given], chip_c=chip_c)
        b = other.tick(60, price=price, orders=[order_given], chip_c=[chip_c[i] for i in order])
        assert one.sent(a) == other.sent(b)
        assert (a.view.mode[order] == b.view.mode).all()
        assert a.decision.choices.target is not None
        assert (a.decision.choices.target[order] == b.decision.choices.target).all()
        assert (a.decision.choices.allowed[order] == b.decision.choices.allowed).all()
        assert a.view.worst_w[order] == pytest.approx(b.view.worst_w)
        assert a.view.regret_usd[order] == pytest.approx(b.view.regret_usd)


def test_the_same_question_has_the_same_answer() -> None:
    """The same view and snapshot give the same decision; the view it returns, with that snapshot, commands nothing new."""
    one = site(list(range(N)), 5, capped=True, rule=Regret())
    for price in (50.0, 200.0, 200.0, -20.0, 40.0):
        before = one.view
        one.at_s += 60
        snapshot = one.snapshot(price=price)
        first, again = (one.judgment.tick(before, snapshot) for _ in range(2))
        assert [tuple(c for c in (d.machine, d.mode, d.why)) for d in first[1].commands] == [
            tuple(c for c in (d.machine, d.mode, d.why)) for d in again[1].commands
        ]
        _, after = one.judgment.tick(first[0], snapshot)
        assert len(after.commands) == 0
        one.view = first[0]
        for command in first[1].commands:
            one.mode[command.machine] = command.mode


def test_what_a_tick_returns_cannot_be_changed() -> None:
    """Views, choices and commands are read-only: who shows them cannot change what was decided."""
    one = site(list(range(N)), 1, capped=False, rule=Threshold())
    record = one.tick(price=500.0)
    for column in (
        record.view.mode,
        record.view.worst_w,
        record.decision.choices.allowed,
        record.decision.commands.mode,
    ):
        with pytest.raises(ValueError, match="read-only"):
            column[...] = 0


def test_the_tally_is_of_what_ran_and_of_what_was_decided() -> None:
    """A dry run tells what the site earned as it ran, and what it would have earned as decided."""
    ladder = (Mode("sleep", 0.001, 0), Mode("on", 1_000, 60.0))
    judgment = Judgment(
        Roster.of([machine("m", "", ladder, "on")]), IndexTariff(), switching=Threshold(), pace=Pace(min_up_s=0)
    )
    one = Bench(judgment)
    record = one.tick(price=300.0)
    for _ in range(6):
        record = one.tick(600, price=300.0)
    tally = record.view.tally
    # An hour at 0.1 USD of hashes and 0.3 USD of power, awake; asleep it would have cost nothing.
    assert tally.actual_usd == pytest.approx(-0.2, abs=1e-6)
    assert tally.decided_usd == pytest.approx(0.0, abs=1e-6)
    assert tally.since_s == T0
    assert record.view.wanted.tolist() == [UNKNOWN]


def test_a_site_of_nobody_and_of_one_kind() -> None:
    """A roster without machines, and one whose machines have no tree above them, tick like any other."""
    empty = Bench(Judgment(Roster.of([]), IndexTariff()))
    assert len(empty.tick(price=10.0).decision.commands) == 0
