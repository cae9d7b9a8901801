"""Losses: what the tap saw go wrong, as parts of what came; lives of the tap apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.work.counted import Counted, Flaw
from fleet.work.proof.losses import Loss, losses, marked, shifted

T0 = 1_700_000_000.0


def counted(at_s: float, shares: float, epoch: int = 1, away_s: float = 0.0, **flaws: float) -> Counted:
    """What a tap has counted of one machine."""
    flawed = np.zeros((1, len(Flaw)))
    for name, count in flaws.items():
        flawed[0, Flaw[name.upper()]] = count
    nothing = Counted.nothing(1, at_s, epoch)
    return replace(nothing, shares=np.array([shares]), away_s=np.array([away_s]), flawed=flawed)


@pytest.mark.parametrize(
    ("now", "since", "part", "over_s"),
    [
        (counted(T0, 95, foreign=5), None, {Loss.FOREIGN: 0.05}, 0.0),
        (counted(T0, 90, low=3, unknown_job=2, stale=5), None, {Loss.ERRORS: 0.05, Loss.STALE: 0.05}, 0.0),
        # what the pool refused is among the credited
        (counted(T0, 100, refused=10), None, {Loss.REFUSED: 0.1}, 0.0),
        (counted(T0 + 100, 1_095, foreign=5), counted(T0, 1_000), {Loss.FOREIGN: 0.05}, 100.0),
        (counted(T0 + 100, 0, away_s=25), counted(T0, 0), {Loss.AWAY: 0.25}, 100.0),
        # another life of the tap: its counts stand by themselves
        (counted(T0 + 100, 95, 2, duplicate=5), counted(T0, 9_000, 1, duplicate=900), {Loss.DUPLICATE: 0.05}, 0.0),
        (counted(T0, 0), None, {}, 0.0),
    ],
)
def test_parts(now: Counted, since: Counted | None, part: dict[Loss, float], over_s: float) -> None:
    """A cause that is told as more, or less, than it took; or one of last month."""
    found = losses(now, since)
    assert {loss: found.part[0, loss] for loss in Loss if found.part[0, loss]} == pytest.approx(part)
    assert found.over_s == over_s


@given(st.floats(0, 1e6), st.lists(st.floats(0, 1e6), min_size=len(Flaw), max_size=len(Flaw)))
def test_parts_are_parts(shares: float, flaws: list[float]) -> None:
    """Losses of more than everything: of what came, all causes but the pool's refusals together are at most all of it."""
    now = replace(Counted.nothing(1), shares=np.array([shares]), flawed=np.array([flaws]))
    part = losses(now).part[0]
    assert (part >= 0).all()
    assert part.sum() - part[Loss.REFUSED] <= 1 + 1e-9


def test_marks_are_one_to_two_windows_old() -> None:
    """A cause that is told from the tap's whole life, when it began an hour ago; or one that is forgotten at once."""
    marks: tuple[Counted, ...] = ()
    for hour in range(200):
        now = counted(T0 + 3_600 * hour, hour)
        marks = marked(marks, now, 86_400)
        age_s = now.at_s - marks[0].at_s
        assert len(marks) <= 2
        assert age_s < 2 * 86_400
        assert age_s >= 86_400 or hour < 48
    again = counted(T0 + 3_600 * 200, 0, epoch=2)
    assert marked(marks, again, 86_400) == (again,)
    assert [mark.at_s for mark in shifted(marks, 5.0)] == [mark.at_s + 5.0 for mark in marks]


def test_every_flaw_has_its_loss() -> None:
    """A cause that is counted and explains nothing."""
    for flaw in Flaw:
        told: dict[str, Any] = {flaw.name.lower(): 10}
        assert losses(counted(T0, 90, **told)).part[0].sum() > 0, flaw
