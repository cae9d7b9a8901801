"""Machines, the tree and the roster: what is refused, and what the columns say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.columns import OFF_LADDER
from fleet.machine import Machine, Mode, Roster, Tree

LADDER = (Mode("sleep", 25, 0), Mode("low", 1_500, 75), Mode("high", 3_200, 130))


def machine(name: str, *place: str, modes: tuple[Mode, ...] = LADDER, usual: str = "high", **more: Any) -> Machine:
    """A machine at a place."""
    host = more.pop("host", f"127.0.{len(name)}.{sum(name.encode()) % 250}")
    return Machine(name, "model", "luxos", host, modes, usual, place, **more)


@pytest.mark.parametrize(
    ("modes", "usual", "message"),
    [
        ((Mode("sleep", 25, 0),), "sleep", "expected 'sleep' and at least one other"),
        ((Mode("low", 25, 0), Mode("high", 30, 1)), "high", "expected 'sleep' and at least one other"),
        ((Mode("sleep", 25, 0), Mode("a", 30, 1), Mode("a", 40, 2)), "a", "two modes have one name"),
        ((Mode("sleep", 25, 0), Mode("a", 40, 1), Mode("b", 30, 2)), "a", "powers are [25, 40, 30] W, expected rising"),
        ((Mode("sleep", 25, 0), Mode("a", 25, 1)), "a", "expected rising with the modes"),
        (LADDER, "turbo", "usual mode 'turbo' is none of ['low', 'high']"),
        (LADDER, "sleep", "usual mode 'sleep' is none of"),
    ],
)
def test_a_ladder_that_is_none_is_refused(modes: tuple[Mode, ...], usual: str, message: str) -> None:
    """A ladder sleeps first, rises in power, has distinct names, and its usual mode is one that runs."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared below, as it stands
        machine("m", modes=modes, usual=usual)
    assert message in str(caught.value)
    assert "machine 'm'" in str(caught.value)


def test_duplicates_are_refused_with_both_names() -> None:
    """Two machines of one id, or at one address and ports, are refused, and the message names both."""
    with pytest.raises(ValueError, match="machine 'a': id a is that of machine 'a' too"):
        Roster.of([machine("a", host="127.0.0.1"), machine("a", host="127.0.0.2")])
    with pytest.raises(ValueError, match=r"machine 'b': address 127.0.0.1 .* is that of machine 'a' too"):
        Roster.of([machine("a", host="127.0.0.1"), machine("b", host="127.0.0.1")])
    mapped = [machine(name, host="127.0.0.1", ports={"api": port}) for name, port in (("a", 4_001), ("b", 4_002))]
    assert len(Roster.of(mapped)) == 2


def test_a_tree_is_what_its_places_span() -> None:
    """Every place and all above it are nodes, parents first, the site at 0; a cap may name a place without machines."""
    tree = Tree.of([("f1", "r1"), ("f1", "r2"), ("f2",)], {"": 9e6, "f3/r9": 1e6})
    assert tree.names[0] == ""
    assert set(tree.names) == {"", "f1", "f2", "f3", "f1/r1", "f1/r2", "f3/r9"}
    assert all(tree.parent[m] < m for m in range(1, len(tree.names)))
    assert tree.cap_w[tree.row["f3/r9"]] == 1e6
    assert tree.capped.tolist() == sorted([0, tree.row["f3/r9"]])
    with pytest.raises(ValueError, match="parents stand before their children"):
        Tree(("", "a"), np.array([-1, 1]), np.array([np.inf, np.inf]))


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=3).map(tuple), min_size=1, max_size=12), st.integers(0, 99))
def test_totals_are_those_of_all_below(places: list[tuple[str, ...]], seed: int) -> None:
    """The total at a place is the sum over the machines at it and below it, and the site's is that of all."""
    tree = Tree.of(places)
    leaf = np.array([tree.row["/".join(place)] for place in places])
    power = np.random.default_rng(seed).integers(0, 5_000, len(places)).astype(float)
    totals = tree.totals(leaf, power)
    for m, name in enumerate(tree.names):
        path = tuple(name.split("/")) if name else ()
        assert totals[m] == sum(w for w, place in zip(power, places, strict=True) if place[: len(path)] == path)
        below = [place[: len(path)] == path for place in places]
        assert (tree.member[leaf, m] == below).all()


def test_columns_of_a_mixed_roster() -> None:
    """Shorter ladders are padded with points that do not exist; scopes name the site, a place or a machine."""
    long = (*LADDER, Mode("turbo", 4_000, 150))
    roster = Roster.of([machine("a", "f1", "r1"), machine("b", "f1", modes=long, usual="turbo"), machine("c")])
    assert roster.modes.exists.tolist() == [[True] * 3 + [False], [True] * 4, [True] * 3 + [False]]
    assert roster.modes.power_w[0, 3] == 0
    assert roster.usual.tolist() == [2, 3, 2]
    assert roster.worst_w.tolist() == [3_200, 4_000, 3_200]
    assert roster.within("site").tolist() == [True, True, True]
    assert roster.within("f1").tolist() == [True, True, False]
    assert roster.within("f1/r1").tolist() == [True, False, False]
    assert roster.within("c").tolist() == [False, False, True]
    with pytest.raises(KeyError):
        roster.within("f9")
    assert roster.machines[0].mode_named("turbo") == OFF_LADDER
    with pytest.raises(ValueError, match="read-only"):
        roster.modes.power_w[0, 0] = 1.0
