"""A check: it counts from its beginning, ends at its verdicts or its time, and is the same check after a restart."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controllers.verify.check import Check
from controllers.verify.counting import Counting
from controllers.verify.reporting import method_of, report_of
from controllers.verify.seen import Seen
from controllers.verify.shares import judge
from fleet.work.counted import Flaw
from fleet.work.proof.delays import one_shot_delay
from fleet.work.proof.evidence import Evidence, Source, Verdict
from fleet.work.proof.share_check import ShareCheck
from tests.controllers.verify.checked import STEP_S, Mine, asked, carried_out, readings, site

SOURCES = [("counters",), ("tap",), ("counters", "tap"), ("counters", "pool")]


def began(mine: Mine, for_s: float = 86_400.0, *, full: bool = False) -> Check:
    """A check that begins after a few ticks."""
    mine.run(3)
    return Check.begun(asked(mine, for_s, full=full), mine.judgment.roster)


@pytest.mark.parametrize("sources", SOURCES)
def test_it_ends_when_every_machine_has_its_verdict(sources: tuple[str, ...]) -> None:
    """A check that finds the wrong machine, or that goes on for hours when everything is said."""
    mine = Mine((0.8, 1.0), sources, price=10.0)
    check = began(mine)
    records = carried_out(mine, check)
    assert (check.ended, check.ended_s) == ("verdicts", mine.site.at_s)
    assert list(check.verdict) == [Verdict.SHORT, Verdict.HONEST]
    assert len(records) * STEP_S < 6 * 3_600
    told = check.told(mine.judgment.beliefs)
    assert told["low"][0] < 0.8 < told["high"][0] < 1.0
    assert told["low"][1] < 1.0 < told["high"][1]
    assert list(told["lacks_s"]) == [0.0, 0.0]


def test_it_counts_what_came_after_its_beginning_alone() -> None:
    """A machine that cheated until the check began and is called short for it, or the reverse."""
    mine = Mine((0.6,), ("tap",), price=10.0)
    mine.run(60)
    check = Check.begun(asked(mine), mine.judgment.roster)
    mine.delivers = (1.0,)
    carried_out(mine, check)
    assert list(check.verdict) == [Verdict.HONEST]
    told = check.told(mine.judgment.beliefs)
    assert told["ratio"][0] == pytest.approx(1.0, abs=1e-6)


def test_full_goes_on_and_time_ends_it() -> None:
    """A check that was to last two hours and lasts as long as it likes."""
    mine = Mine((0.6,), ("tap",), price=10.0)
    check = began(mine, 7_200.0, full=True)
    records = carried_out(mine, check)
    assert (check.ended, len(records)) == ("time", 7_200 / STEP_S)
    assert list(check.verdict) == [Verdict.SHORT]
    late = Mine((0.99,), ("tap",), price=10.0)
    undecided = began(late, 3 * STEP_S)
    carried_out(late, undecided)
    assert (undecided.ended, list(undecided.verdict)) == ("time", [Verdict.UNTESTED])
    # the verdict stood still: nothing after the end is looked at
    shares = undecided.told(late.judgment.beliefs)["shares"][0]
    undecided.saw(late.tick(), late.judgment.beliefs)
    assert undecided.told(late.judgment.beliefs)["shares"][0] == shares


def test_how_long_it_takes_is_told_beforehand() -> None:
    """A display that promises a verdict in minutes and needs hours: at the start by the claim, later by how it goes."""
    mine = Mine((0.85,), ("tap",), price=10.0)
    check = began(mine)
    for _ in range(6):
        check.saw(mine.tick(), mine.judgment.beliefs)
    at_s = mine.site.at_s
    lacks_s = float(check.lacks_s(mine.judgment.beliefs)[0])
    # as `explain` and `check` state it
    counted, trial = check.counting[Source.TAP], check.counting[Source.TAP].trial
    per_s = float(trial.expected[0] / (at_s - counted.from_s[0]))
    assert lacks_s == one_shot_delay(ShareCheck(), per_s, 0.85, check.tests, float(trial.score[0])).seconds
    carried_out(mine, check)
    assert check.ended == "verdicts"
    assert mine.site.at_s - at_s == pytest.approx(lacks_s, abs=2 * STEP_S)


@settings(max_examples=15)
@given(st.integers(1, 12), st.sampled_from(SOURCES))
def test_a_restart_changes_nothing(ticks: int, sources: tuple[str, ...]) -> None:
    """A check that forgets what it counted when the daemon begins anew, or counts it twice."""
    mine = Mine((0.85, 1.0), sources, price=10.0)
    check = began(mine)
    for _ in range(ticks):
        check.saw(mine.tick(), mine.judgment.beliefs)
    again = Check.of(json.loads(json.dumps(check.kept())), mine.judgment.roster)
    for _ in range(12):
        record = mine.tick()
        for each in (check, again):
            each.saw(record, mine.judgment.beliefs)
    one, other = (each.told(mine.judgment.beliefs) for each in (check, again))
    for name in ("source", "verdict", "ratio", "low", "high", "shares", "expected"):
        assert np.array_equal(one[name], other[name], equal_nan=True), name
    assert (check.ended, check.ended_s) == (again.ended, again.ended_s)


def test_lost_evidence_is_told_and_counted_anew() -> None:
    """A journal that was lost with the daemon, and a check whose count is below nothing, or silently half."""
    mine = Mine((1.0,), ("tap",), price=10.0)
    check = began(mine)
    for _ in range(8):
        check.saw(mine.tick(), mine.judgment.beliefs)
    mine.site.view = replace(mine.site.view, tap_evidence=Evidence.nothing(1))
    for _ in range(4):
        check.saw(mine.tick(), mine.judgment.beliefs)
    assert any("lost what tap had counted" in note for note in check.notes)
    counting = check.counting[Source.TAP]
    assert counting.trial.expected[0] > 0
    assert (counting.trial.shares >= 0).all()


def test_what_nobody_counts_is_said() -> None:
    """A report that says nothing of a machine, and leaves it to the reader whether that is good or bad."""
    mine = Mine((1.0,), ())
    check = began(mine, 10 * STEP_S)
    carried_out(mine, check)
    report = report_of(check, site(Path("/nowhere"), ["m0"]), readings(mine), None, mine.site.at_s)
    assert report.machines[0].verdict == "untested"
    assert report.machines[0].source is None
    assert "nobody counted shares of m0: nothing can be said of them" in report.notes
    assert not report.partial
    mine = Mine((1.0,), ("counters",), price=10.0)
    check = began(mine)
    carried_out(mine, check)
    report = report_of(check, site(Path("/nowhere"), ["m0"]), readings(mine), None, mine.site.at_s)
    assert "shares of m0 are counted by their own counters, and verified by nobody" in report.notes


def test_a_check_of_machines_that_are_gone_is_not_taken_up() -> None:
    """A check that goes on with another machine in the place of one that left the site file."""
    mine = Mine((1.0, 1.0), ("tap",))
    kept = began(mine).kept()
    with pytest.raises(ValueError, match="machines m1 are not in the site file any more"):
        Check.of(json.loads(json.dumps(kept)), Mine((1.0,), ("tap",)).judgment.roster)


def test_flaws_are_those_of_its_time() -> None:
    """A fee that was taken last week told as one of today's; or a tap that began anew and flaws below nothing."""
    mine = Mine((0.9,), ("tap",), price=10.0, foreign=0.1)
    mine.run(20)
    check = Check.begun(asked(mine), mine.judgment.roster)
    records = carried_out(mine, check)
    report = report_of(check, site(Path("/nowhere"), ["m0"]), {}, None, mine.site.at_s)
    tap = report.machines[0].tap
    assert tap is not None
    assert tap.flawed["foreign"] == pytest.approx(tap.shares / 9, rel=1e-6)
    counted = records[-1].snapshot.counted
    assert counted is not None
    assert tap.shares < counted.shares[0]


def test_a_tap_that_begins_anew_takes_nothing_away() -> None:
    """Flaws and shares below nothing, because the tap's counters began at zero again in the middle of a check."""
    mine = Mine((1.0,), ("tap",), price=10.0, foreign=0.1)
    snapshot = mine.tick().snapshot
    assert snapshot.counted is not None
    seen, rows, before = Seen.nothing(1), np.array([0]), snapshot.counted
    flawed: list[float] = []
    for epoch, grown in ((1, 5.0), (1, 9.0), (2, 1.0), (2, 4.0)):
        counted = replace(before, epoch=epoch, flawed=np.full((1, len(Flaw)), grown), shares=np.array([10 * grown]))
        seen = seen.after(10.0, before if flawed else None, replace(snapshot, counted=counted), rows, 60.0)
        before = counted
        flawed.append(float(seen.flawed[0, 0]))
    # what was counted before the check, and what a new tap had counted until it was first seen, are left out
    assert flawed == [0.0, 4.0, 4.0, 7.0]
    assert (seen.shares[0], seen.lives, seen.watched_s) == (70.0, 1, 40.0)
    again = Seen.of(json.loads(json.dumps(seen.kept())))
    assert again.flawed.tolist() == seen.flawed.tolist()
    assert again.shares.tolist() == seen.shares.tolist()


def test_a_count_begins_with_the_first_booking_after_the_beginning() -> None:
    """Shares of before the check, of a booking that was under way when it began, counted as the check's own."""

    def evidence(booked_s: float, total: float) -> Evidence:
        column = np.array([total])
        return replace(Evidence.nothing(1), booked_s=np.array([booked_s]), total_shares=column, total_expected=column)

    check, told = ShareCheck(), []
    counting = Counting.begun(evidence(100.0, 50.0), 130.0)
    for booked_s, total in ((100.0, 50.0), (160.0, 60.0), (160.0, 60.0), (220.0, 75.0)):
        counting = counting.after(evidence(booked_s, total), check, 1, None)
        told.append((float(counting.from_s[0]), float(counting.to_s[0]), float(counting.trial.expected[0])))
    assert np.array_equal(
        told, [(np.nan, np.nan, 0.0), (160.0, np.nan, 0.0), (160.0, np.nan, 0.0), (160.0, 220.0, 15.0)], equal_nan=True
    )


def test_whoever_may_speak_shares_the_chance_of_a_false_alarm() -> None:
    """With a tap beside the counters a check would call honest machines short twice as often as its report says."""
    mine = Mine((1.0, 1.0, 1.0), ("counters", "tap"))
    check = Check.begun(replace(asked(mine), sources=2), mine.judgment.roster)
    assert (check.tests, method_of(ShareCheck(), 3, 2).sources) == (6, 2)
    short_at = ShareCheck().one_shot(6)[0]
    for _ in range(3):
        check.saw(mine.tick(), mine.judgment.beliefs)
    counting = check.counting[Source.TAP]
    slope, step = ShareCheck().on_request.slope, ShareCheck().on_request.step

    def after(score: float) -> int:
        """The verdict where so much was counted that the score is this, with one share in ten thousand too few."""
        expected = score / (0.9 * step + slope)
        total = counting.trial.from_expected + expected, counting.trial.from_shares + 0.9 * expected
        evidence = replace(
            mine.site.view.tap_evidence or Evidence.nothing(3), total_expected=total[0], total_shares=total[1]
        )
        return int(counting.after(evidence, ShareCheck(), check.tests, None).trial.verdict[0])

    assert [after(short_at * part) for part in (0.99, 1.01)] == [Verdict.UNTESTED, Verdict.SHORT]
    for part, verdict in ((0.99, Verdict.UNTESTED), (1.01, Verdict.SHORT)):
        expected = short_at * part / (0.9 * step + slope)
        assert judge(0.9 * expected, expected, method_of(ShareCheck(), 3, 2)).verdict is verdict
    # a third source that nobody knew of when it began is not heard: it would have to share the chance too
    check.saw(
        replace(mine.tick(), view=replace(mine.site.view, pool_evidence=mine.site.view.evidence)), mine.judgment.beliefs
    )
    assert set(check.counting) == {Source.COUNTERS, Source.TAP}
    assert Check.of(check.kept(), mine.judgment.roster).tests == 6


def test_the_more_may_speak_the_more_is_asked_of_each() -> None:
    """A check that divides its chance in its report alone."""
    took = []
    for sources in (1, 100_000):
        mine = Mine((0.9,), ("counters",))
        check = Check.begun(replace(asked(mine), sources=sources), mine.judgment.roster)
        carried_out(mine, check)
        took.append(float(check.counting[Source.COUNTERS].trial.took[0]))
    assert took[1] > 2 * took[0]
