"""Laws of the physics: whatever is commanded whenever, energy, hashes and heat stay possible, and a seed is a seed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.catalogue import ANTMINER, LUXOS, WHATSMINER, nameplate
from fleet.machine import SLEEP, Machine, Roster
from fleet.reading import State
from fleet.units import HASHES_PER_DIFFICULTY, HASHES_PER_TERAHASH
from simulators.behaviour import Behaviour
from simulators.physics import Physics, Spread, Truth

MODELS = ((LUXOS, "Antminer S19k Pro"), (ANTMINER, "Antminer S19j Pro"), (WHATSMINER, "WhatsMiner M60S"))
T0 = 1.7e9


def site(n: int) -> Roster:
    """n machines, the three dialects in turn."""
    machines = []
    for row in range(n):
        dialect, model = MODELS[row % 3]
        plate = nameplate(model, dialect)
        host = f"127.9.{row // 250}.{row % 250 + 1}"
        machines.append(Machine(f"m{row}", model, dialect, host, plate.modes, plate.usual, start_s=plate.start_s))
    return Roster.of(machines)


SIX = site(6)
STORY = st.lists(
    st.tuples(
        st.floats(0.1, 2_000.0),
        st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0, 1, 2])), max_size=4),
    ),
    min_size=1,
    max_size=12,
)
Story = list[tuple[float, list[tuple[int, int]]]]


def told(physics: Physics, story: Story, pieces: int = 1) -> list[Truth]:
    """The truth after each chapter: commands at its beginning, then so many seconds, in so many steps."""
    truths = []
    for seconds, commands in story:
        began = physics.at_s
        for row, mode in commands:
            physics.command(np.array([row]), np.array([mode]), began)
        for piece in range(1, pieces + 1):
            physics.step(began + seconds * piece / pieces)
        truths.append(physics.truth())
    return truths


def same(one: Truth, other: Truth) -> bool:
    """Every column equal."""
    return all(np.array_equal(getattr(one, field.name), getattr(other, field.name)) for field in fields(Truth))


@given(STORY)
@settings(max_examples=60, deadline=None)
def test_energy_and_hashes_only_grow(story: Story) -> None:
    """If this fails, a machine gives energy back or unmakes hashes, and profits can be conjured."""
    physics = Physics(SIX, 1, at_s=T0)
    before = physics.truth()
    for after, (seconds, _) in zip(told(physics, story), story, strict=True):
        energy, hashes = after.energy_j - before.energy_j, after.hashes_th - before.hashes_th
        assert (energy >= 0).all()
        assert (energy <= physics.true_power_w.max(axis=1) * (seconds + 1e-6) * (1 + 1e-9)).all()
        assert (hashes >= -1e-9).all()
        assert (hashes <= physics.true_hashrate_ths.max(axis=1) * (seconds + 1e-6) * (1 + 1e-9)).all()
        assert (after.shares >= before.shares).all()
        before = after


@given(STORY)
@settings(max_examples=60, deadline=None)
def test_a_sleeping_machine_never_hashes(story: Story) -> None:
    """If this fails, curtailed machines would earn."""
    physics = Physics(SIX, 2, at_s=T0)
    for truth in told(physics, story):
        asleep = truth.mode == SLEEP
        assert (truth.hashrate_ths[asleep] == 0).all()
        assert (truth.state[asleep] == State.SLEEPING).all()
        assert (truth.power_w[asleep] < 60).all()
        assert (truth.hashrate_ths[truth.state == State.HASHING] > 0).all()


@given(STORY)
@settings(max_examples=30, deadline=None)
def test_one_seed_is_one_trace(story: Story) -> None:
    """If this fails, a failing run cannot be played again."""
    first, second = (told(Physics(SIX, 3, at_s=T0), story) for _ in range(2))
    assert all(same(one, other) for one, other in zip(first, second, strict=True))


@given(STORY, st.integers(2, 40))
@settings(max_examples=40, deadline=None)
def test_many_small_steps_are_one_big_step(story: Story, pieces: int) -> None:
    """If this fails, the backtest and the live world have different machines."""
    still = Spread(board_life_h=np.inf, fan_life_h=np.inf)
    coarse = told(Physics(SIX, 4, at_s=T0, spread=still), story)[-1]
    fine = told(Physics(SIX, 4, at_s=T0, spread=still), story, pieces)[-1]
    assert fine.energy_j == pytest.approx(coarse.energy_j, rel=1e-6, abs=1.0)
    assert fine.hashes_th == pytest.approx(coarse.hashes_th, rel=1e-6, abs=1e-3)
    assert (fine.starts == coarse.starts).all()
    assert (fine.mode == coarse.mode).all()
    assert fine.chip_c == pytest.approx(coarse.chip_c, abs=25.0), "heat sees the length of a step, within reason"


@pytest.mark.parametrize(
    ("row", "asleep_within_s", "full_within_s"),
    [(0, 5.0, 10.0), (1, 20.0, 9 + 170 + 180), (2, 1.5, 600.0)],
    ids=[LUXOS, ANTMINER, WHATSMINER],
)
def test_machines_react_as_their_make_does(row: int, asleep_within_s: float, full_within_s: float) -> None:
    """If this fails, a dialect sleeps or wakes faster or slower than real machines of it."""
    physics = Physics(SIX, 5, at_s=T0)
    only = np.array([row])
    usual_ths = physics.hashrate_ths[row]
    physics.command(only, np.array([SLEEP]), T0)
    physics.step(T0 + asleep_within_s)
    assert physics.state[row] == State.SLEEPING
    woken = T0 + 1_000.0
    physics.step(woken)
    physics.command(only, SIX.usual[only], woken)
    physics.step(woken + full_within_s / 20.0)
    assert physics.hashrate_ths[row] < 0.9 * usual_ths, "not at once"
    physics.step(woken + full_within_s)
    assert physics.state[row] == State.HASHING
    assert physics.hashrate_ths[row] == pytest.approx(usual_ths)


def test_a_whatsminer_has_its_power_back_within_a_minute() -> None:
    """If this fails, a WhatsMiner's slow way to its full hash rate costs no energy."""
    physics = Physics(SIX, 6, at_s=T0)
    row = np.array([2])
    usual_w = physics.power_w[2]
    physics.command(row, np.array([SLEEP]), T0)
    physics.step(T0 + 100)
    physics.command(row, SIX.usual[row], T0 + 100)
    physics.step(T0 + 160)
    assert physics.power_w[2] == pytest.approx(usual_w)
    assert physics.state[2] == State.STARTING
    assert physics.hashrate_ths[2] < 0.2 * physics.true_hashrate_ths[2, SIX.usual[2]]


@pytest.mark.parametrize(("awake_s", "hashing_s"), [(900.0, 300.0), (600.0, 0.0), (300.0, 0.0), (3_600.0, 3_000.0)])
def test_the_backtest_pays_for_a_restart(awake_s: float, hashing_s: float) -> None:
    """If this fails, a restart in the backtest is not start_s of full power without a hash."""
    machine = SIX.machines[0]
    plate = machine.modes[machine.mode_named(machine.usual)]
    one = Roster.of([Machine("m", machine.model, LUXOS, "127.9.0.1", machine.modes, machine.usual, start_s=600.0)])
    physics = Physics(one, 1, at_s=T0, behaviour=Behaviour.ideal(one), spread=Spread.none(), counting=False)
    row = np.array([0])
    physics.command(row, np.array([SLEEP]), T0)
    physics.step(T0 + 900.0)
    before = physics.truth()
    physics.command(row, one.usual, T0 + 900.0)
    physics.step(T0 + 900.0 + awake_s)
    after = physics.truth()
    assert before.energy_j[0] == pytest.approx(900.0 * machine.modes[SLEEP].power_w), "shutdown is free"
    assert after.energy_j[0] - before.energy_j[0] == pytest.approx(awake_s * plate.power_w)
    assert after.hashes_th[0] - before.hashes_th[0] == pytest.approx(hashing_s * plate.hashrate_ths)
    assert after.starts[0] == 1


def test_a_quarter_of_an_hour_of_a_thousand_machines_is_one_short_call() -> None:
    """If this fails, years in the backtest take minutes."""
    roster = site(999)
    physics = Physics(roster, 1, at_s=T0, behaviour=Behaviour.ideal(roster), spread=Spread.none(), counting=False)
    rows, took = np.arange(999), []
    for interval in range(40):
        physics.command(rows, np.where(rows % 7 == interval % 7, SLEEP, roster.usual), physics.at_s)
        began = time.process_time()
        physics.step(physics.at_s + 900.0)
        took.append(time.process_time() - began)
    assert float(np.median(took)) < 0.001


def test_shares_do_not_lie() -> None:
    """If this fails, the number of shares is not that of the hashes really made, and no cheat can be caught."""
    physics = Physics(site(300), 7, at_s=T0)
    physics.step(T0 + 3_600.0)
    truth = physics.truth()
    expected = truth.hashes_th * HASHES_PER_TERAHASH / HASHES_PER_DIFFICULTY / physics.counts.difficulty
    score = (truth.shares - expected) / np.sqrt(expected)
    assert abs(float(score.mean())) < 0.25
    assert 0.8 < float(score.std()) < 1.2
    assert (expected > 300).all(), "pools ask for some shares a minute"


def test_machines_of_a_model_differ_and_a_model_keeps_its_nameplate() -> None:
    """If this fails, all machines of a model are one machine, or their mean is not what the nameplate says."""
    roster = site(900)
    physics = Physics(roster, 8, at_s=T0)
    rows = np.arange(0, 900, 3)
    ratio = physics.true_power_w[rows, 17] / roster.modes.power_w[rows, 17]
    assert 0.01 < float(ratio.std()) < 0.03
    assert float(ratio.mean()) == pytest.approx(1.0, abs=0.005)


@pytest.mark.parametrize(
    ("break_it", "holds"),
    [
        (lambda p: p.fail_board(0, 1), lambda p, q: p.hashrate_ths[0] < 0.75 * q.hashrate_ths[0]),
        (lambda p: p.fail_board(0, 1), lambda p, q: p.power_w[0] < 0.75 * q.power_w[0]),
        (lambda p: p.fail_fan(0, 2), lambda p, q: p.chip_c[0] > q.chip_c[0] + 2.0),
        (lambda p: [p.fail_fan(0, fan) for fan in range(4)], lambda p, _: p.state[0] == State.FAULTED),
        (lambda p: [p.fail_board(0, board) for board in range(3)], lambda p, _: p.state[0] == State.FAULTED),
    ],
    ids=["board: hashes", "board: power", "fan: heat", "no fan: protection", "no board: fault"],
)
def test_failing_parts_show(break_it: Callable[[Physics], object], holds: Callable[[Physics, Physics], bool]) -> None:
    """If this fails, a part can die without a sign."""
    broken, whole = Physics(SIX, 9, at_s=T0), Physics(SIX, 9, at_s=T0)
    break_it(broken)
    for minute in range(1, 61):
        broken.step(T0 + 60.0 * minute)
        whole.step(T0 + 60.0 * minute)
    assert holds(broken, whole)


def test_starts_wear_boards_out() -> None:
    """If this fails, commanding too often costs nothing."""
    ageing = Spread(board_life_h=500.0, fan_life_h=np.inf, wear_h_per_start=20.0)
    roster = site(60)
    rows = np.arange(60)
    alive = []
    for restless in (False, True):
        physics = Physics(roster, 10, at_s=T0, behaviour=Behaviour.ideal(roster), spread=ageing, counting=False)
        for hour in range(48):
            if restless:
                physics.command(rows, np.full(60, SLEEP) if hour % 2 else roster.usual, physics.at_s)
            physics.step(physics.at_s + 3_600.0)
        alive.append(int(physics.truth().boards_alive.sum()))
    assert alive[1] < 0.6 * alive[0]


def test_hardware_errors_grow_with_heat() -> None:
    """If this fails, a hot machine looks as healthy as a cool one."""
    counts = []
    for ambient_c in (15.0, 40.0):
        physics = Physics(SIX, 11, at_s=T0, ambient_c=ambient_c)
        for minute in range(1, 121):
            physics.step(T0 + 60.0 * minute, ambient_c)
        counts.append(int(physics.truth().hardware_errors.sum()))
    assert counts[1] > 2 * counts[0]


@pytest.mark.parametrize(("modes", "at_s"), [([99], T0), ([-1], T0), ([1], T0 - 1.0)])
def test_an_impossible_command_is_refused(modes: list[int], at_s: float) -> None:
    """If this fails, a command for a mode that does not exist, or for the past, corrupts the columns."""
    physics = Physics(SIX, 12, at_s=T0)
    with pytest.raises(ValueError, match=r"not every machine|commanded at"):
        physics.command(np.array([1]), np.array(modes), at_s)


def test_a_later_command_replaces_one_not_yet_obeyed() -> None:
    """If this fails, a machine obeys a command that was taken back."""
    physics = Physics(SIX, 13, at_s=T0)
    row = np.array([1])
    physics.command(row, np.array([SLEEP]), T0)
    physics.command(row, SIX.usual[row], T0 + 1.0)
    physics.step(T0 + 60.0)
    assert (physics.mode[1], physics.starts[1]) == (SIX.usual[1], 0)
