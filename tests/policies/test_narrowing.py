"""Constraints only narrow, never empty a row, and a broken one harms nobody else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fleet.columns import Bools
from policies.choices import Choices
from policies.plan import Pace
from policies.scene import Kind, Scene
from policies.switching import Threshold
from policies.tariff import IndexTariff
from policies.tick import Judgment
from tests.policies.conftest import Bench, roster

N, K = 5, 4
wishes = st.lists(st.tuples(hnp.arrays(np.bool_, (N, K)), st.booleans()), max_size=6)
places = hnp.arrays(np.int16, N, elements=st.integers(-2, K - 1))


@given(wishes, places)
def test_wishes_only_narrow_and_leave_something(wishes: list[tuple[Bools, bool]], mode: np.ndarray) -> None:
    """Whatever is wished, in whatever order: nothing comes back, no machine is left without a point, each loss has a reason."""
    choices = Choices.all(roster(N), tuple(f"w{i}" for i in range(len(wishes))))
    for reason, (keep, urgent) in enumerate(wishes):
        before = choices
        choices = choices.narrow(reason, keep, mode, urgent=urgent)
        assert not (choices.allowed & ~before.allowed).any()
        assert choices.allowed.any(axis=1).all()
        gone = before.allowed & ~choices.allowed
        assert (choices.removed_by[gone] == reason).all()
        assert (choices.removed_by[~gone] == before.removed_by[~gone]).all()
        refused = ~(before.allowed & keep).any(axis=1)
        told = [rows for r, rows in choices.overruled if r == reason]
        assert set(np.flatnonzero(refused)) == set(np.concatenate(told) if told else [])


@dataclass(frozen=True)
class Broken:
    """A constraint with a bug."""

    rank: Kind
    label: str = "broken"

    def keep(self, scene: Scene) -> Bools | None:
        """Raise."""
        raise ZeroDivisionError("a bug")


@dataclass(frozen=True)
class OnlyLow:
    """A constraint that works: nothing above the second column."""

    rank: Kind = Kind.GRID
    label: str = "only low"

    def keep(self, scene: Scene) -> Bools | None:
        """The two lowest points."""
        keep: Bools = np.broadcast_to(np.arange(K) <= 1, (len(scene.roster), K))
        return keep


def test_a_broken_constraint_is_skipped_and_told() -> None:
    """A bug in one policy is recorded, and the others still decide."""
    judgment = Judgment(
        roster(2),
        IndexTariff(),
        switching=Threshold(),
        constraints=(Broken(Kind.GRID), OnlyLow()),
        live=np.ones(2, np.bool_),
    )
    site = Bench(judgment)
    record = site.tick(price=10.0)
    assert record.decision.faults == ("broken: ZeroDivisionError: a bug",)
    assert site.sent(record) == {"m0": "low", "m1": "low"}


def test_a_broken_safety_stops_commanding() -> None:
    """With a bug in safety nothing is commanded at all: not for money, not for an order."""
    judgment = Judgment(
        roster(2),
        IndexTariff(),
        switching=Threshold(),
        constraints=(Broken(Kind.SAFETY), OnlyLow()),
        live=np.ones(2, np.bool_),
    )
    site = Bench(judgment)
    record = site.tick(price=10.0)
    assert site.sent(record) == {}
    assert record.decision.faults


def test_a_hold_off_the_ladder_stays_as_it_is() -> None:
    """A setpoint of somebody else's that is none of the ladder's is held too: money does not put it to sleep."""
    judgment = Judgment(
        roster(2), IndexTariff(), switching=Threshold(), pace=Pace(min_up_s=0), live=np.ones(2, np.bool_)
    )
    site = Bench(judgment)
    site.tick(price=10.0)
    site.mode[0] = -2
    site.tick(60, price=10.0)
    record = site.tick(60, price=500.0)
    assert site.sent(record) == {"m1": "sleep"}
    hot = site.tick(60, price=500.0, chip_c=[99.0, 60.0])
    assert site.sent(hot) == {"m0": "sleep"}
