"""The relaxation: its bound is the linear programme's optimum, and its prices are what a watt of each cap is worth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from fleet.columns import Bools, Floats, Ints
from fleet.machine import Tree
from policies.dispatch import THOROUGH, dispatch
from policies.dispatch.hull import hull_steps
from policies.dispatch.relaxed import Caps, Ladders, Relaxed, relax
from policies.dispatch.search import Limits


def random_site(seed: int, n: int, k: int, racks: int, *, whole: bool) -> tuple[Ladders, Ints, Tree]:
    """n ladders of k points, not concave, under site, two feeders and racks; some caps tight, some loose."""
    rng = np.random.default_rng(seed)
    power = np.column_stack([np.full(n, 25.0), rng.uniform(500, 4_000, (n, k - 1))])
    value = rng.uniform(-0.1, 0.3, (n, k)) + 6e-5 * power * rng.uniform(0.5, 1.5, (n, 1))
    if whole:
        power, value = np.round(power, -2), np.round(value, 2)
    allowed = rng.random((n, k)) > 0.15
    allowed[:, 0] = True
    parent = np.array([-1, 0, 0, *(1 + rack % 2 for rack in range(racks))])
    leaf = rng.integers(0, 3 + racks, n)
    names = tuple(str(m) for m in range(len(parent)))
    full = Tree(names, parent, np.full(len(parent), np.inf)).totals(leaf, power.max(axis=1))
    caps = full * rng.uniform(0.15, 1.0, len(parent)) + 26 * n
    return Ladders(value, power, allowed), leaf, Tree(names, parent, caps)


def relaxed_of(ladders: Ladders, leaf: Ints, tree: Tree, cap_w: Floats) -> Relaxed:
    """The relaxation under every cap of a tree."""
    return relax(ladders, Caps(tree.parent, cap_w, leaf))


def programme(ladders: Ladders, leaf: Ints, tree: Tree) -> tuple[Floats, Floats, Floats]:
    """Cost, one-point-per-machine rows and power rows of the same problem, over the allowed cells."""
    rows, columns = np.nonzero(ladders.allowed)
    one = (rows == np.arange(len(leaf))[:, None]).astype(np.float64)
    drawn = tree.member[leaf[rows]].T * ladders.power_w[rows, columns]
    return -ladders.value_usd_h[rows, columns], one, drawn


@given(st.integers(0, 2**32 - 1), st.integers(1, 25), st.integers(2, 7), st.integers(0, 4), st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_bound_is_the_linear_programmes(seed: int, n: int, k: int, racks: int, whole: bool) -> None:
    """The greedy under nested caps is not the relaxation's optimum, or its whole steps break a cap."""
    ladders, leaf, tree = random_site(seed, n, k, racks, whole=whole)
    found = relaxed_of(ladders, leaf, tree, tree.cap_w)
    cost, one, drawn = programme(ladders, leaf, tree)
    best = linprog(cost, A_ub=drawn, b_ub=tree.cap_w, A_eq=one, b_eq=np.ones(n), method="highs")
    assert best.fun is not None
    assert found.bound_usd_h == pytest.approx(-best.fun, rel=1e-7, abs=1e-9)
    assert (found.room_w >= -1e-6).all()
    assert (found.part_w <= found.room_w + 1e-6).all()
    # Strong duality: at its prices the machines' best points and the caps are worth the bound.
    rent = ladders.value_usd_h - found.price_usd_wh[leaf][:, None] * ladders.power_w
    dual = np.where(ladders.allowed, rent, -np.inf).max(axis=1).sum() + np.dot(found.usd_wh, tree.cap_w)
    assert dual == pytest.approx(found.bound_usd_h, rel=1e-9, abs=1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(2, 20), st.integers(0, 4))
@settings(max_examples=60, deadline=None)
def test_a_shadow_price_is_what_another_watt_earns(seed: int, n: int, racks: int) -> None:
    """The price shown for a feeder is not what a little more power there would earn."""
    ladders, leaf, tree = random_site(seed, n, 5, racks, whole=False)
    found = relaxed_of(ladders, leaf, tree, tree.cap_w)
    for node in range(len(tree.names)):
        more = tree.cap_w.copy()
        more[node] += 1e-3
        earned = relaxed_of(ladders, leaf, tree, more).bound_usd_h - found.bound_usd_h
        assert earned == pytest.approx(1e-3 * found.usd_wh[node], abs=2e-10)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 9), st.booleans())
@settings(max_examples=100, deadline=None)
def test_steps_are_those_of_the_upper_hull(seed: int, n: int, k: int, whole: bool) -> None:
    """Some price of power makes a point best that no step leads to, or a row's steps do not fall."""
    rng = np.random.default_rng(seed)
    power, value, allowed = rng.uniform(0, 9, (n, k)), rng.uniform(-3, 9, (n, k)), rng.random((n, k)) > 0.3
    if whole:
        power, value = np.round(power), np.round(value)
    allowed[np.arange(n), rng.integers(0, k, n)] = True
    steps = hull_steps(value, power, allowed)
    assert (steps.power_w > 0).all()
    assert (steps.usd_wh > 0).all()
    for row in range(n):
        mine = np.flatnonzero(steps.row == row)
        assert (np.diff(steps.usd_wh[mine]) < 0).all()
        path = [int(steps.least[row]), *steps.above[mine].tolist()]
        assert path[:-1] == steps.below[mine].tolist()
        assert allowed[row, path].all()
        for price in [0.0, *rng.uniform(0, 5, 20)]:
            rent = np.where(allowed[row], value[row] - price * power[row], -np.inf)
            assert rent[path].max() == pytest.approx(rent.max())


def test_hulls_of_many_machines_are_those_of_each() -> None:
    """Machines are worked on in blocks, and a block's rows are numbered wrongly."""
    rng = np.random.default_rng(3)
    power, value = np.sort(rng.uniform(0, 9, (5_000, 4)), axis=1), rng.uniform(0, 9, (5_000, 4))
    allowed: Bools = np.ones((5_000, 4), np.bool_)
    steps = hull_steps(value, power, allowed)
    for row in (0, 2_047, 2_048, 4_999):
        alone = hull_steps(value[row : row + 1], power[row : row + 1], allowed[row : row + 1])
        assert steps.above[steps.row == row].tolist() == alone.above.tolist()
        assert steps.least[row] == alone.least[0]


def highs(ladders: Ladders, leaf: Ints, tree: Tree, limit_s: float) -> tuple[float, bool]:
    """The value that an independent solver reaches in so many seconds, and whether it says that it is the greatest."""
    cost, one, drawn = programme(ladders, leaf, tree)
    n, nodes = len(leaf), len(tree.names)
    least, most = np.append(np.ones(n), np.full(nodes, -np.inf)), np.append(np.ones(n), tree.cap_w)
    best = milp(
        cost,
        constraints=LinearConstraint(np.vstack([one, drawn]), least, most),
        integrality=np.ones(len(cost), dtype=np.int64),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0.0, "time_limit": limit_s},
    )
    assert best.fun is not None
    return -float(best.fun), best.status == 0


@pytest.mark.parametrize(("seed", "n", "racks"), [(4, 60, 4), (5, 60, 0), (6, 200, 0)])
def test_dispatch_reaches_the_integer_optimum_of_highs(seed: int, n: int, racks: int) -> None:
    """An independent solver finds a choice that is 0.01 % better."""
    ladders, leaf, tree = random_site(seed, n, 8, racks, whole=False)
    best, _ = highs(ladders, leaf, tree, 4.0)
    found = dispatch(ladders.value_usd_h, ladders.power_w, ladders.allowed, leaf, tree)
    assert found.value_usd_h >= best * (1 - 1e-4)


@given(st.integers(0, 2**32 - 1), st.integers(6, 14), st.integers(0, 6), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_dozen_machines_are_dispatched_exactly(seed: int, n: int, racks: int, whole: bool) -> None:
    """A proof is wrong: an independent solver finds something better on a small site of three levels."""
    ladders, leaf, tree = random_site(seed, n, 5, racks, whole=whole)
    best, final = highs(ladders, leaf, tree, 5.0)
    assert final
    # From a poor first round, and from a good one: what the first proves, the second builds on.
    for first in (Limits(2, 3, 2), Limits(16, 64, 8)):
        effort = replace(THOROUGH, rounds=(first, *THOROUGH.rounds[1:]))
        found = dispatch(ladders.value_usd_h, ladders.power_w, ladders.allowed, leaf, tree, effort=effort)
        assert found.proven
        assert found.value_usd_h == pytest.approx(best, rel=1e-7, abs=1e-7)
    weak = replace(THOROUGH, rounds=(Limits(4, 6, 4),))
    found = dispatch(ladders.value_usd_h, ladders.power_w, ladders.allowed, leaf, tree, effort=weak)
    assert found.bound_usd_h >= best - 1e-7
    assert not found.proven or found.value_usd_h == pytest.approx(best, rel=1e-7, abs=1e-7)
