"""A journal judged again: the same judgment says the same, another one says what it would have done."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from controllers.journal.entries import Happened, Title, segments
from controllers.journal.resume import last
from controllers.journal.settings import JournalSettings
from controllers.journal.writer import Writer
from controllers.replay import replay, settings_of
from fleet.machine import Roster
from fleet.view import View
from policies.record import Record
from policies.tariff import FixedTariff

TICKS = 40


@pytest.fixture(scope="module")
def records(day: ModuleType) -> list[Record]:
    """A day."""
    return list(day.made_records(21, TICKS))


def kept(
    directory: Path, day: ModuleType, records: list[Record], between: Callable[[Writer, int], None] | None = None
) -> None:
    """Journal these, beginning with fresh beliefs."""
    judgment = day.made_judgment()
    settings = JournalSettings(fsync="never", key_every=9, rotate_mb=0.02, keep_mb=10)
    writer = Writer(directory, settings, Title.of("made", judgment.roster, '{"name": "made"}'))
    writer.begin(View.fresh(judgment.roster), judgment.reasons, (), 0, "daemon")
    for record in records:
        writer.append(record, durable=False)
        if between is not None:
            between(writer, record.number)
    writer.close()


def test_the_same_judgment_says_the_same(day: ModuleType, records: list[Record], tmp_path: Path) -> None:
    """A tick that depends on something that is not in its snapshot or its beliefs, or a journal that loses some of either."""
    kept(tmp_path, day, records)
    assert len(segments(tmp_path)) > 1
    report = replay(tmp_path, day.made_judgment())
    assert (report.ticks, report.left_out, report.same) == (TICKS, 0, True)
    assert report.in_words() == f"{TICKS} ticks replayed, all the same"
    assert json.loads(report.in_json())["differences"] == []
    assert settings_of(tmp_path) == {"name": "made"}


def test_a_day_at_the_tap_replays_the_same(day: ModuleType, tmp_path: Path) -> None:
    """A verdict, a credit or a value that stands on something which the journal does not keep, or keeps rounded."""
    tapped = list(day.made_records(23, 2 * TICKS, tapped=True))
    assert (tapped[-1].view.credit < 0.95).any()
    kept(tmp_path, day, tapped)
    report = replay(tmp_path, day.made_judgment())
    assert (report.ticks, report.left_out, report.same) == (2 * TICKS, 0, True), report.in_words()
    reversed_roster = Roster.of(list(reversed(day.made_roster().machines)), {"": 12 * 2900.0})
    turned = replay(tmp_path, day.made_judgment(reversed_roster))
    assert turned.ticks == 2 * TICKS
    assert turned.differing < TICKS


def test_a_restart_in_between_replays_too(day: ModuleType, records: list[Record], tmp_path: Path) -> None:
    """A replay that takes the first tick after a restart for a difference."""
    judgment = day.made_judgment()
    kept(tmp_path, day, records)
    known = last(tmp_path, judgment.roster, judgment.reasons)
    assert known.view is not None
    writer = Writer(tmp_path, JournalSettings(fsync="never"), Title.of("made", judgment.roster, '{"name": "made"}'))
    writer.begin(known.view, judgment.reasons, known.orders, known.number, "daemon")
    for record in day.made_records(22, 10, judgment, known.view, first=TICKS + 1):
        writer.append(record, durable=False)
    writer.close()
    report = replay(tmp_path, judgment)
    assert (report.ticks, report.left_out, report.same) == (TICKS + 10, 0, True)


def test_a_record_that_was_tampered_with_shows(day: ModuleType, records: list[Record], tmp_path: Path) -> None:
    """A replay that compares nothing."""
    choices = records[11].decision.choices
    assert choices.target is not None
    target = np.array(choices.target)
    target[1] = 1 - target[1]
    decision = replace(records[11].decision, choices=replace(choices, target=target))
    kept(tmp_path, day, [*records[:11], replace(records[11], decision=decision), *records[12:]])
    report = replay(tmp_path, day.made_judgment())
    names = ["sleep", "normal"]
    assert [(d.number, d.machine, d.what, d.recorded, d.replayed) for d in report.differences] == [
        (12, "m1", "target", names[target[1]], names[1 - target[1]])
    ]
    assert "tick 12, 2023-11-14T23:13:20+00:00, m1: target was" in report.in_words()
    assert report.in_words().endswith(f"{TICKS} ticks replayed, 1 differ")


def test_another_judgment_says_what_it_would_have_done(day: ModuleType, records: list[Record], tmp_path: Path) -> None:
    """A changed site file whose effect on a recorded day cannot be seen."""
    kept(tmp_path, day, records)
    dear = replace(day.made_judgment(), tariff=FixedTariff(usd_mwh=1000.0))
    report = replay(tmp_path, dear)
    assert report.differing > 0
    assert any((d.what, d.replayed) == ("target", "sleep") for d in report.differences)
    assert json.loads(report.in_json())["differing"] == report.differing


def test_another_order_of_machines_is_the_same_site(day: ModuleType, records: list[Record], tmp_path: Path) -> None:
    """A site file whose machines were sorted, and a replay that compares each with its neighbour."""
    kept(tmp_path, day, records)
    roster = day.made_roster()
    turned = Roster.of(list(reversed(roster.machines)), {"": len(roster) * 2900.0})
    report = replay(tmp_path, day.made_judgment(turned))
    # Equal machines are told apart by their place in the roster where the cap lets only some of them run.
    assert report.differing < TICKS / 2
    assert report.ticks == TICKS
    smaller = replay(tmp_path, day.made_judgment(Roster.of(roster.machines[:6], {})))
    assert any("6 machines (m6, m7" in line for line in smaller.said)


def test_what_cannot_be_judged_again_is_left_out_and_said(
    day: ModuleType, records: list[Record], tmp_path: Path
) -> None:
    """A difference that is none: a tick whose beliefs are not in the journal, because it was damaged or the clock stepped."""

    def step(writer: Writer, number: int) -> None:
        if number == 5:
            writer.note_event(Happened(1.0, "clock stepped", "by +3 s"))

    kept(tmp_path, day, records, step)
    path = segments(tmp_path)[1]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    report = replay(tmp_path, day.made_judgment())
    assert report.same
    assert report.left_out == 2
    assert report.ticks < TICKS - 2
    assert "damage of" in report.in_words()
    one_file = replay(segments(tmp_path)[-1], day.made_judgment())
    assert (one_file.left_out, one_file.same) == (1, True)
