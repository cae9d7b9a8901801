"""The book of what pools told: counters that begin anew, machines that change pools, words that grow old."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.pool_apis import PoolBook
from controllers.pool_apis.table import Worked
from fleet.work.pool_told import PoolTold
from tests.policies.conftest import roster

T0 = 1_705_320_000.0
AGES = {"a": 900.0, "b": 900.0}


def book(ages: Mapping[str, float] | None = None) -> tuple[PoolBook, list[str]]:
    """A book of two machines, m0 and m1, and what it says."""
    said: list[str] = []
    return PoolBook(roster(2), AGES if ages is None else ages, lambda _kind, text: said.append(text)), said


def told(made: PoolBook, at_s: float) -> PoolTold:
    """What it tells."""
    found = made.freeze(at_s)
    assert found is not None
    return found


def test_nothing_is_told_before_anything_was_heard() -> None:
    """A site without pools' APIs that carries columns of nothing, or a stranger's work that becomes a machine's."""
    made, said = book()
    assert made.freeze(T0) is None
    made.put("a", {"x": Worked(T0, 5.0)})
    made.put("a", {"x": Worked(T0 + 60, 5.0)})
    assert made.freeze(T0) is None
    assert said == ["a tells of workers that are no machine's: x"]


# Each cycle: what a source says of m0's work; the credited work after it, as steps since the cycle before.
@pytest.mark.parametrize(
    ("cycles", "steps"),
    [
        ([("a", 100.0), ("a", 150.0), ("a", 150.0)], [-1, 50, 0]),
        ([("a", 100.0), ("a", 20.0), ("a", 30.0)], [-1, -1, 10]),
        ([("a", 100.0), ("b", 9e9), ("a", 130.0), ("b", 9e9 + 7)], [-1, -1, 30, 7]),
    ],
)
def test_work_counts_from_where_it_was_first_seen(cycles: list[tuple[str, float]], steps: list[int]) -> None:
    """A month's work at another pool credited to the minute in which it was heard of; or a reset that is a shortfall."""
    made, _ = book()
    before = 0.0
    for i, ((source, work), step) in enumerate(zip(cycles, steps, strict=True)):
        made.put(source, {"m0": Worked(T0 + 60 * i, work)})
        now = float(told(made, T0 + 60 * i).work[0])
        assert now - before == step
        before = now


def test_several_pools_are_one_word_of_the_oldest() -> None:
    """A machine that is short at one pool because it mines at the other; or a word that is newer than its parts."""
    made, _ = book()
    made.put("a", {"m0": Worked(T0, 100.0), "m1": Worked(T0, None, 50.0, 3_600.0)})
    made.put("b", {"m0": Worked(T0 + 30, 5.0), "m1": Worked(T0 + 30, None, 40.0, 3_600.0)})
    found = told(made, T0 + 60)
    assert list(found.heard_s) == [T0, T0]
    assert found.rate_ths[1] == 90.0
    assert found.window_s[1] == 3_600.0
    made.put("b", {"m1": Worked(T0 + 60, None, 40.0, 300.0)})
    assert np.isnan(told(made, T0 + 60).rate_ths[1])
    stale = told(made, T0 + 901)
    assert np.isnan(stale.heard_s).all()
    assert np.isnan(stale.work).all()
    made.shift(600.0)
    assert list(told(made, T0 + 901).heard_s) == [T0 + 600, T0 + 600]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 1e12)), min_size=1, max_size=30))
def test_credited_work_never_exceeds_what_was_told(cycles: list[tuple[str, float]]) -> None:
    """Work credited that no pool ever told: whatever counters do, the rises are theirs, and every fall is a break."""
    made, _ = book()
    last: dict[str, float] = {}
    before = rises = 0.0
    for i, (source, work) in enumerate(cycles):
        grown = work - last.get(source, np.inf)
        last[source] = work
        made.put(source, {"m0": Worked(T0 + i, work)})
        now = float(told(made, T0 + i).work[0])
        rises += max(grown, 0.0)
        assert (now < before) == (grown < 0) or now == before
        before = now
    assert before <= rises + 1e-3
