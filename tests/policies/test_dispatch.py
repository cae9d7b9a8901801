"""Dispatch: exact on small sites, within its caps on every site, and the same whatever the order of the machines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.columns import Bools, Floats, Ints
from fleet.machine import Tree
from policies.dispatch import QUICK, THOROUGH, USUAL, Dispatched, Effort, dispatch
from policies.dispatch.relaxed import ROUNDING
from policies.dispatch.search import Limits


@dataclass(frozen=True)
class Site:
    """One dispatch's input."""

    value: Floats
    power: Floats
    allowed: Bools
    leaf: Ints
    tree: Tree

    def run(self, effort: Effort = USUAL) -> Dispatched:
        return dispatch(self.value, self.power, self.allowed, self.leaf, self.tree, effort=effort)

    def earned(self, mode: Ints) -> float:
        return float(self.value[np.arange(len(mode)), mode].sum())

    def capped(self, cap_w: Floats) -> Site:
        return replace(self, tree=Tree(self.tree.names, self.tree.parent, cap_w))


def tree_of(parent: list[int], cap_w: list[float] | Floats) -> Tree:
    """A tree of nodes without telling names."""
    return Tree(tuple(str(m) for m in range(len(parent))), np.array(parent), np.array(cap_w, dtype=np.float64))


def site_of(value: list[list[float]], power: list[list[float]], leaf: list[int], tree: Tree) -> Site:
    """A site from plain lists, with everything allowed."""
    shape = np.array(value, dtype=np.float64)
    return Site(shape, np.array(power, dtype=np.float64), np.ones(shape.shape, np.bool_), np.array(leaf), tree)


@st.composite
def small_sites(draw: st.DrawFn) -> Site:
    """Up to 4 machines of up to 4 points under up to 3 nested caps; alike and odd numbers are as likely as fine ones."""
    n, k, nodes = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    whole = draw(st.booleans())
    number = st.integers(-4, 9).map(float) if whole else st.floats(-4, 9).map(lambda x: round(x, 6))
    watts = st.integers(0, 9).map(float) if whole else st.floats(0, 9).map(lambda x: round(x, 6))
    cells = st.lists(st.tuples(number, watts, st.booleans()), min_size=n * k, max_size=n * k)
    drawn = draw(cells)
    value, power, allowed = (np.array(column).reshape(n, k) for column in zip(*drawn, strict=True))
    allowed = allowed.astype(np.bool_)
    allowed[np.arange(n), draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n))] = True
    leaf = np.array(draw(st.lists(st.integers(0, nodes - 1), min_size=n, max_size=n)))
    caps = draw(
        st.lists(st.one_of(st.just(np.inf), st.floats(0, 30), st.integers(0, 30)), min_size=nodes, max_size=nodes)
    )
    parent = [-1, *(draw(st.integers(0, m - 1)) for m in range(1, nodes))]
    return Site(value, power, allowed, leaf, tree_of(parent, caps))


def best_by_trying_all(site: Site) -> float:
    """The greatest value of all choices that meet every cap; -inf when none does."""
    best, ceiling = -np.inf, site.tree.cap_w * (1 + ROUNDING)
    rows = np.arange(len(site.leaf))
    for choice in product(*(np.flatnonzero(row) for row in site.allowed)):
        total = site.tree.totals(site.leaf, site.power[rows, list(choice)])
        if (total <= ceiling).all():
            best = max(best, site.earned(np.array(choice)))
    return best


def large_site(seed: int, n: int = 60, k: int = 8, *, racks: int = 6, share: float = 0.7) -> Site:
    """A site of three levels, whole watts and ladders that are not quite concave; nothing in it is worth the same."""
    rng = np.random.default_rng(seed)
    power = np.column_stack([np.full(n, 25.0), np.sort(rng.choice(np.arange(800, 4_000), (n, k - 1)), axis=1)])
    value = 2e-3 * np.sqrt(power) * rng.uniform(0.8, 1.2, (n, 1)) * rng.uniform(0.98, 1.02, (n, k)) - 2e-5 * power
    allowed = rng.random((n, k)) > 0.1
    allowed[:, 0] = True
    parent = [-1, 0, 0, *(1 + rack % 2 for rack in range(racks))]
    leaf = 3 + rng.integers(0, racks, n)
    full = tree_of(parent, [np.inf] * len(parent)).totals(leaf, power.max(axis=1))
    caps = np.floor(full * np.concatenate([[share], rng.uniform(share, 1, 2), rng.uniform(share, 1.1, racks)]))
    return Site(value, power, allowed, leaf, tree_of(parent, caps))


@given(small_sites())
@settings(max_examples=300, deadline=None)
def test_small_sites_are_solved_exactly(site: Site) -> None:
    """Some better choice exists on a small site, or an answer is called proven that is not."""
    best = best_by_trying_all(site)
    for effort in (THOROUGH, USUAL, QUICK):
        found = site.run(effort)
        if found.overloaded.any():
            assert best == -np.inf
            continue
        assert found.value_usd_h == pytest.approx(site.earned(found.mode), abs=1e-12)
        assert found.value_usd_h <= best + 1e-9
        assert found.bound_usd_h >= best - 1e-9
        if found.proven:
            assert found.value_usd_h == pytest.approx(best, abs=1e-7)
        if effort is THOROUGH:
            assert found.proven
        if effort is USUAL:
            assert found.value_usd_h >= best - 1e-6 * np.abs(site.value).sum() - 1e-9


@given(small_sites())
@settings(max_examples=200, deadline=None)
def test_caps_hold_and_only_what_is_allowed_is_chosen(site: Site) -> None:
    """A machine runs at a point that was taken from it, a breaker carries more than its cap, or a total is wrong."""
    found = site.run()
    rows = np.arange(len(site.leaf))
    assert site.allowed[rows, found.mode].all()
    assert found.total_w == pytest.approx(site.tree.totals(site.leaf, site.power[rows, found.mode]))
    within = found.total_w <= site.tree.cap_w * (1 + ROUNDING) + 1e-12
    assert (within | found.overloaded).all()
    least = np.where(site.allowed, site.power, np.inf).min(axis=1)
    assert (found.overloaded == (site.tree.totals(site.leaf, least) > site.tree.cap_w * (1 + ROUNDING))).all()
    under = (site.tree.member[site.leaf] & found.overloaded).any(axis=1)
    assert (site.power[rows, found.mode][under] == least[under]).all()


@given(small_sites(), st.integers(0, 2), st.floats(0, 10))
@settings(max_examples=200, deadline=None)
def test_value_never_falls_when_a_cap_rises(site: Site, node: int, more_w: float) -> None:
    """More power makes the site earn less."""
    caps = site.tree.cap_w.copy()
    caps[node % len(caps)] += more_w
    before, after = site.run(THOROUGH), site.capped(caps).run(THOROUGH)
    assert before.proven
    assert after.proven
    assert after.value_usd_h >= before.value_usd_h - 1e-6


@given(st.integers(0, 10_000), st.sampled_from([QUICK, USUAL]), st.floats(0.3, 1.0))
@settings(max_examples=40, deadline=None)
def test_permuting_the_machines_permutes_the_answer(seed: int, effort: Effort, share: float) -> None:
    """The answer depends on the order in which the site file lists the machines."""
    site = large_site(seed, share=share)
    order = np.random.default_rng(seed + 1).permutation(len(site.leaf))
    moved = Site(site.value[order], site.power[order], site.allowed[order], site.leaf[order], site.tree)
    assert (moved.run(effort).mode == site.run(effort).mode[order]).all()


@given(st.integers(0, 10_000), st.floats(0.3, 1.0))
@settings(max_examples=30, deadline=None)
def test_more_effort_is_never_worse_and_bounds_agree(seed: int, share: float) -> None:
    """A bound is beaten, a cap is broken on a larger site, or effort makes the answer worse."""
    site = large_site(seed, share=share)
    found = [site.run(effort) for effort in (QUICK, USUAL)]
    assert found[1].value_usd_h >= found[0].value_usd_h - 1e-12
    assert max(f.value_usd_h for f in found) <= min(f.bound_usd_h for f in found) + 1e-9
    for each in found:
        assert (each.total_w <= site.tree.cap_w * (1 + ROUNDING)).all()
        assert site.allowed[np.arange(len(site.leaf)), each.mode].all()


@given(st.integers(0, 10_000), st.floats(0.3, 1.0), st.integers(0, 40_000), st.sampled_from([3, 30]))
@settings(max_examples=60, deadline=None)
def test_caps_hold_wherever_the_effort_ends(seed: int, share: float, work: int, racks: int) -> None:
    """A search that is cut short leaves a choice that breaks a cap, or one worse than it began with."""
    site = large_site(seed, 60, racks=racks, share=share)
    none = site.run(replace(USUAL, work=0))
    found = site.run(replace(USUAL, work=work, gap=0.0, rounds=(Limits(3, 8, 3), Limits(6, 300, 6))))
    assert (found.total_w <= site.tree.cap_w * (1 + ROUNDING)).all()
    assert found.value_usd_h >= none.value_usd_h - 1e-12
    assert found.value_usd_h == pytest.approx(site.earned(found.mode))
    assert found.bound_usd_h >= found.value_usd_h
    if found.proven:
        assert found.value_usd_h >= site.run(THOROUGH).value_usd_h - 1e-9


def test_equal_machines_earn_the_same_in_any_order() -> None:
    """Machines that are alike are not interchangeable: which of them sleeps changes what the site earns."""
    ladder, watts = [0.0, 3.0, 5.0, 6.0], [25.0, 1_000.0, 2_000.0, 3_000.0]
    tree = tree_of([-1, 0, 0], [22_000.0, 12_000.0, 13_000.0])
    site = site_of([ladder] * 12, [watts] * 12, [1] * 6 + [2] * 6, tree)
    found = site.run(THOROUGH)
    # 12 machines at 1 kW leave 10 kW: ten steps of 2 USD/h; the two of the feeders' caps do not bind any harder.
    assert found.value_usd_h == pytest.approx(12 * 3.0 + 10 * 2.0)
    assert found.proven
    assert np.sort(np.bincount(found.mode, minlength=4)).tolist() == [0, 0, 2, 10]


@pytest.mark.parametrize(
    ("cap_w", "mode", "overloaded", "shadow"),
    [
        # Nothing binds: each machine's best point, which is not its last.
        ([np.inf, np.inf, np.inf], [2, 2, 1], [0, 0, 0], [0, 0, 0]),
        # 475 W short at the site: the third machine sleeps; waking it would be what the next MWh earns.
        ([2_025.0, np.inf, np.inf], [2, 2, 0], [0, 0, 0], [3 / 475e-6, 0, 0]),
        # 25 W less: it is better to turn the first down, and to wake the third.
        ([2_000.0, np.inf, np.inf], [1, 2, 1], [0, 0, 0], [8_000, 0, 0]),
        # Feeder 1 lets one machine through whole and one by half.
        ([np.inf, 1_500.0, np.inf], [1, 2, 1], [0, 0, 0], [0, 8_000, 0]),
        # Feeder 1 cannot even hold two sleepers: both sleep, feeder 2 goes on, and the site counts what they draw.
        ([np.inf, 30.0, np.inf], [0, 0, 1], [0, 1, 0], [0, 0, 0]),
        ([560.0, 30.0, np.inf], [0, 0, 1], [0, 1, 0], [0, 0, 0]),
        ([540.0, 30.0, np.inf], [0, 0, 0], [0, 1, 0], [3 / 475e-6, 0, 0]),
        # A cap of nothing at the site: everything at its least.
        ([0.0, np.inf, np.inf], [0, 0, 0], [1, 0, 0], [0, 0, 0]),
    ],
)
def test_dispatch_on_paper(cap_w: list[float], mode: list[int], overloaded: list[int], shadow: list[float]) -> None:
    """A case worked by hand comes out otherwise: three machines on two feeders."""
    value = [[0.0, 5.0, 9.0, 8.0], [0.0, 6.0, 10.5, 8.0], [0.0, 3.0, 2.0, 1.0]]
    power = [[25.0, 500.0, 1_000.0, 1_500.0], [25.0, 500.0, 1_000.0, 1_500.0], [25.0, 500.0, 1_000.0, 1_500.0]]
    found = site_of(value, power, [1, 1, 2], tree_of([-1, 0, 0], cap_w)).run()
    assert found.mode.tolist() == mode
    assert found.overloaded.tolist() == [bool(x) for x in overloaded]
    assert found.shadow_usd_mwh == pytest.approx(shadow)


def test_a_machine_that_cannot_be_commanded_counts_in_full() -> None:
    """A machine whose every point is at its worst case is counted at less, so that the others take too much."""
    tree = tree_of([-1], [4_000.0])
    found = site_of([[0.0, 1.0, 2.0], [0.0, 5.0, 6.0]], [[3_000.0] * 3, [25.0, 900.0, 1_500.0]], [0, 0], tree).run()
    assert found.mode.tolist() == [2, 1]


def test_what_is_not_allowed_may_hold_anything() -> None:
    """A NaN or an infinity in a cell that is not allowed reaches the answer."""
    value, power = np.array([[0.0, np.nan, 4.0, 9.0]] * 3), np.array([[25.0, np.nan, 1_000.0, np.inf]] * 3)
    allowed = np.array([[True, False, True, False]] * 3)
    for cap_w, mode in ((np.inf, [2, 2, 2]), (2_100.0, [2, 2, 0])):
        found = dispatch(value, power, allowed, np.zeros(3, np.int64), tree_of([-1], [cap_w]))
        assert found.mode.tolist() == mode
        assert np.isfinite(found.value_usd_h)


def test_caps_given_with_the_call_replace_the_trees() -> None:
    """The caps of an order are ignored in favour of those of the site file."""
    site = site_of([[0.0, 2.0], [0.0, 3.0]], [[25.0, 1_000.0]] * 2, [0, 0], tree_of([-1], [np.inf]))
    found = dispatch(site.value, site.power, site.allowed, site.leaf, site.tree, cap_w=np.array([1_100.0]))
    assert found.mode.tolist() == [0, 1]


def test_a_cap_met_to_the_watt_is_met() -> None:
    """The rounding of a sum of many figures turns a machine down that fits."""
    rng = np.random.default_rng(5)
    power = np.column_stack([np.zeros(500), rng.uniform(1_000, 3_000, 500)])
    value = np.column_stack([np.zeros(500), np.ones(500)])
    cap = float(power[:, 1].sum())
    for slack, sleeping in ((0.0, 0), (-1e-12 * cap, 0), (-1.0, 1)):
        site = Site(value, power, np.ones((500, 2), np.bool_), np.zeros(500, np.int64), tree_of([-1], [cap + slack]))
        assert int((site.run().mode == 0).sum()) == sleeping


def test_no_machines_at_all() -> None:
    """A site without machines, or a roster of machines without a tree below it, raises."""
    empty = np.zeros((0, 3))
    found = dispatch(empty, empty, np.zeros((0, 3), np.bool_), np.zeros(0, np.int64), tree_of([-1, 0], [5.0, 0.0]))
    assert found.mode.shape == (0,)
    assert found.total_w.tolist() == [0.0, 0.0]
    assert found.proven
