"""Beliefs: what a reading, an outcome or silence makes of what was believed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fleet.columns import OFF_LADDER, UNKNOWN
from fleet.command import Outcome, OutcomeKind, Outcomes
from fleet.estimate import Beliefs, back_off, estimate, silent
from fleet.machine import SLEEP, Machine, Mode, Roster
from fleet.reading import State
from fleet.snapshot import Heard, Snapshot
from fleet.view import View

T0 = 1_700_000_000.0
LADDER = (Mode("sleep", 25, 0), Mode("low", 1_500, 75), Mode("high", 3_200, 130))
ROSTER = Roster.of([Machine("m", "model", "luxos", "127.0.0.9", LADDER, "high", start_s=100.0, confirm_s=60.0)])
BELIEFS = Beliefs()


def heard(at_s: float, mode: int, **more: Any) -> Snapshot:
    """One reading, just now."""
    state = State.SLEEPING if mode == SLEEP else State.HASHING
    columns = {"at_s": at_s, "asked_s": at_s, "mode": np.int16(mode), "state": np.int16(state), **more}
    outcomes = columns.pop("outcomes", Outcomes())
    now = columns.pop("now", at_s)
    said = {name: np.array([value]) for name, value in columns.items()}
    return Snapshot(now, replace(Heard.nothing(1), **said), outcomes=outcomes)


def quiet(at_s: float, before: Snapshot, *outcomes: Outcome) -> Snapshot:
    """Nothing new, at a later time."""
    return replace(before, at_s=at_s, outcomes=Outcomes.of(outcomes))


def believe(*snapshots: Snapshot, **changes: Any) -> View:
    """The view after these snapshots; `changes` are made after the first one."""
    view = estimate(View.fresh(ROSTER), snapshots[0], ROSTER, BELIEFS)
    columns: dict[str, Any] = {name: np.array([v], getattr(view, name).dtype) for name, v in changes.items()}
    view = replace(view, **columns)
    for snapshot in snapshots[1:]:
        view = estimate(view, snapshot, ROSTER, BELIEFS)
    return view


ASKED = {"wanted": SLEEP, "sent_s": T0 + 10}


@pytest.mark.parametrize(
    ("later", "wanted", "failures", "doubt", "hand"),
    [
        # the mode shows: done
        ([heard(T0 + 20, SLEEP)], UNKNOWN, 0, UNKNOWN, False),
        # told to sleep and still hashing, or starting: not done yet
        ([heard(T0 + 20, SLEEP, state=np.int16(State.HASHING))], SLEEP, 0, UNKNOWN, False),
        ([heard(T0 + 20, SLEEP, state=np.int16(State.STARTING))], SLEEP, 0, UNKNOWN, False),
        # nothing yet
        ([heard(T0 + 20, 2)], SLEEP, 0, UNKNOWN, False),
        # a reading from before the command proves nothing
        ([heard(T0 + 9, SLEEP, now=T0 + 12)], SLEEP, 0, UNKNOWN, False),
        # "done" by an outcome alone is not believed
        ([quiet(T0 + 20, heard(T0, 2), Outcome(0, SLEEP, OutcomeKind.DONE, T0 + 15))], SLEEP, 0, UNKNOWN, False),
        # refused: failed, and still possible until its time is over
        ([quiet(T0 + 20, heard(T0, 2), Outcome(0, SLEEP, OutcomeKind.REFUSED, T0 + 15))], UNKNOWN, 1, SLEEP, False),
        # an outcome of an older command, or of another mode, is not this one's
        ([quiet(T0 + 20, heard(T0, 2), Outcome(0, SLEEP, OutcomeKind.LOST, T0 + 9))], SLEEP, 0, UNKNOWN, False),
        ([quiet(T0 + 20, heard(T0, 2), Outcome(0, 1, OutcomeKind.LOST, T0 + 15))], SLEEP, 0, UNKNOWN, False),
        # an outcome that came with the snapshot that the command was sent on is not this one's either
        ([quiet(T0 + 10, heard(T0, 2), Outcome(0, SLEEP, OutcomeKind.LOST, T0 + 10))], SLEEP, 0, UNKNOWN, False),
        # never sent: no failure, no doubt
        ([quiet(T0 + 20, heard(T0, 2), Outcome(0, SLEEP, OutcomeKind.WITHHELD, T0 + 15))], UNKNOWN, 0, UNKNOWN, False),
        # its time is over without a word: failed
        ([quiet(T0 + 101, heard(T0, 2))], UNKNOWN, 1, SLEEP, False),
        # a reading after its time shows that it was not carried out: failed, and no doubt is left
        ([heard(T0 + 101, 2)], UNKNOWN, 1, UNKNOWN, False),
        # lost, and seen where it was before its time was over: the doubt stays
        (
            [quiet(T0 + 20, heard(T0, 2), Outcome(0, SLEEP, OutcomeKind.LOST, T0 + 15)), heard(T0 + 30, 2)],
            UNKNOWN,
            1,
            SLEEP,
            False,
        ),
        # lost, and carried out all the same: ours, not a hand's
        (
            [quiet(T0 + 20, heard(T0, 2), Outcome(0, SLEEP, OutcomeKind.LOST, T0 + 15)), heard(T0 + 60, SLEEP)],
            UNKNOWN,
            1,
            UNKNOWN,
            False,
        ),
        # somewhere else than asked: somebody's hand
        ([heard(T0 + 20, 1)], SLEEP, 0, UNKNOWN, True),
    ],
)
def test_what_becomes_of_a_command(later: list[Snapshot], wanted: int, failures: int, doubt: int, hand: bool) -> None:
    """A machine at its highest was told to sleep: what each course of events makes of that."""
    view = believe(heard(T0, 2), *later, **ASKED)
    assert (int(view.wanted[0]), int(view.failures[0]), int(view.doubt[0])) == (wanted, failures, doubt)
    assert bool(view.hand_s[0] > 0) is hand


@pytest.mark.parametrize(
    ("snapshots", "changes", "worst_w"),
    [
        # never heard: all it can draw
        ([quiet(T0, Snapshot(T0, Heard.nothing(1)))], {}, 3_200),
        ([heard(T0, 1)], {}, 1_500),
        ([heard(T0, SLEEP)], {}, 25),
        # it measures more than its nameplate, or still draws while told to sleep
        ([heard(T0, 1, power_w=1_550.0, measured=True)], {}, 1_550),
        ([heard(T0, SLEEP, power_w=900.0, measured=True)], {}, 900),
        ([heard(T0, 1, power_w=1_400.0, measured=True)], {}, 1_500),
        # told to sleep, and not asleep
        ([heard(T0, 1), heard(T0 + 5, SLEEP, state=np.int16(State.HASHING))], {}, 3_200),
        # heard, then silent for too long
        ([heard(T0, SLEEP), quiet(T0 + 120, heard(T0, SLEEP))], {}, 25),
        ([heard(T0, SLEEP), quiet(T0 + 121, heard(T0, SLEEP))], {}, 3_200),
        # asked for more, or perhaps on its way there; asked for less is not less yet
        ([heard(T0, SLEEP), quiet(T0 + 5, heard(T0, SLEEP))], {"wanted": 2, "sent_s": T0}, 3_200),
        ([heard(T0, SLEEP), quiet(T0 + 5, heard(T0, SLEEP))], {"doubt": 1, "sent_s": T0}, 1_500),
        ([heard(T0, 2), quiet(T0 + 5, heard(T0, 2))], {"wanted": SLEEP, "sent_s": T0}, 3_200),
        # off its ladder: what it measures, or all
        ([heard(T0, OFF_LADDER, power_w=2_000.0, measured=True)], {}, 2_000),
        ([heard(T0, OFF_LADDER)], {}, 3_200),
    ],
)
def test_what_a_machine_may_draw_at_most(snapshots: list[Snapshot], changes: dict[str, Any], worst_w: float) -> None:
    """What the caps count is the worst of all that could be true of a machine."""
    assert believe(*snapshots, **changes).worst_w[0] == pytest.approx(worst_w)


def test_calibration_waits_until_a_machine_has_settled() -> None:
    """Power and rate over nameplate are learnt from a machine that has stood its time at a point, not while it warms up."""
    warming = [heard(T0 + t, 2, power_w=3_000.0, measured=True, hashrate_ths=20.0) for t in range(0, 100, 10)]
    view = believe(*warming)
    assert (view.power_scale[0], view.rate_scale[0]) == (1.0, 1.0)
    settled = [heard(T0 + 100 + t, 2, power_w=3_360.0, measured=True, hashrate_ths=123.5) for t in range(0, 400, 10)]
    view = believe(*warming, *settled)
    assert view.power_scale[0] == pytest.approx(1.05, abs=1e-3)
    assert view.rate_scale[0] == pytest.approx(0.95, abs=1e-3)


@pytest.mark.parametrize(("failures", "wait_s"), [(1, 30), (2, 60), (3, 120), (4, 240), (5, 14_400), (50, 14_400)])
def test_back_off_doubles_and_ends_in_quarantine(failures: int, wait_s: float) -> None:
    """The wait doubles with each failure in a row; from the fifth on the machine is left alone for hours."""
    assert back_off(np.array([failures], np.int16), BELIEFS)[0] == wait_s


def test_the_longest_wait_is_bounded() -> None:
    """However many failures, the wait is no longer than the site file says."""
    assert back_off(np.array([30], np.int16), Beliefs(quarantine_after=100))[0] == 1_800


def test_silence_is_an_age_and_no_value() -> None:
    """A machine is silent by the age of its last reading; one that was never heard is silent from the first."""
    view = believe(heard(T0, 1))
    assert not silent(replace(view, at_s=T0 + 120), BELIEFS).any()
    assert silent(replace(view, at_s=T0 + 121), BELIEFS).all()
    assert silent(View.fresh(ROSTER), BELIEFS).tolist() == [False]
    assert silent(replace(View.fresh(ROSTER), at_s=T0), BELIEFS).all()


def test_what_put_it_to_sleep_is_remembered_while_it_sleeps() -> None:
    """The reason of our sleep lasts as long as the sleep, also through a doubt; waking, by whoever, ends it."""
    asleep = believe(heard(T0, 2), heard(T0 + 20, SLEEP), asleep_why=3, **ASKED)
    assert asleep.asleep_why[0] == 3
    lost = Outcome(0, SLEEP, OutcomeKind.LOST, T0 + 15)
    doubted = believe(
        heard(T0, 2),
        quiet(T0 + 20, heard(T0, 2), lost),
        heard(T0 + 30, 2),
        heard(T0 + 40, SLEEP),
        asleep_why=3,
        **ASKED,
    )
    assert doubted.asleep_why[0] == 3
    woken = estimate(asleep, heard(T0 + 300, 2), ROSTER, BELIEFS)
    assert woken.asleep_why[0] == UNKNOWN


def test_the_same_snapshot_twice_changes_nothing() -> None:
    """A belief changes by what is new: the same snapshot again leaves every column as it was."""
    lost = Outcome(0, SLEEP, OutcomeKind.LOST, T0 + 15)
    for snapshot in (
        heard(T0 + 200, 1, uptime_s=50.0),
        quiet(T0 + 20, heard(T0, 2), lost),
        quiet(T0 + 300, heard(T0, 2)),
    ):
        once = believe(heard(T0, 2, uptime_s=9e4), snapshot, **ASKED)
        twice = estimate(once, snapshot, ROSTER, BELIEFS)
        for name in (
            "mode",
            "state",
            "wanted",
            "doubt",
            "failures",
            "retry_s",
            "hand_s",
            "changed_s",
            "uptime_s",
            "worst_w",
            "asleep_why",
        ):
            np.testing.assert_array_equal(getattr(once, name), getattr(twice, name), err_msg=name)
