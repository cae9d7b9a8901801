"""Journals of earlier versions: still read, still replayed, still resumed from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from controllers.journal.entries import Stored, Title, read, segment, title_of, title_payload
from controllers.journal.resume import last
from controllers.journal.settings import JournalSettings
from controllers.journal.values import Unreadable
from controllers.journal.writer import Writer
from controllers.replay import replay

VERSION_1 = Path(__file__).parent / "captures" / "version-1.hwj"
"""24 ticks of `made_day.py`, written by the version before the tap; every third machine delivers 80 % of its claim."""
TICKS = 24


def test_a_journal_of_before_the_tap_replays_the_same(day: ModuleType) -> None:
    """An update after which yesterday cannot be explained any more."""
    report = replay(VERSION_1, day.made_judgment())
    assert (report.ticks, report.left_out, report.differing) == (TICKS, 0, 0), report.in_words()


def test_every_record_of_it_can_be_read_whole(day: ModuleType) -> None:
    """A record of another version that is an error where somebody wants to look at it."""
    records = [entry.record() for entry in read(VERSION_1) if isinstance(entry, Stored)]
    assert len(records) == TICKS
    for record in records:
        assert record.snapshot.counted is None
        assert record.snapshot.pool_told is None
        assert (record.view.credit == 1.0).all()
        assert record.view.tap_evidence is None


def test_a_daemon_of_now_goes_on_from_it(day: ModuleType, tmp_path: Path) -> None:
    """An update that forgets who sleeps and why, or that writes its own records into a file of another format."""
    segment(tmp_path, 1).write_bytes(VERSION_1.read_bytes())
    judgment = day.made_judgment()
    known = last(tmp_path, judgment.roster, judgment.reasons)
    recorded = [entry.record().view for entry in read(VERSION_1) if isinstance(entry, Stored)][-1]
    assert known.view is not None
    assert known.number == TICKS
    assert np.array_equal(known.view.mode, recorded.mode)
    assert np.array_equal(known.view.asleep_why, recorded.asleep_why)
    writer = Writer(tmp_path, JournalSettings(fsync="never"), Title.of("made", judgment.roster, '{"name": "made"}'))
    writer.begin(known.view, judgment.reasons, known.orders, known.number, "daemon")
    writer.close()
    titles = [entry.version for entry in read(tmp_path) if isinstance(entry, Title)]
    assert titles == [1, 2]


def test_a_version_that_is_not_known_is_refused(day: ModuleType) -> None:
    """A journal of a later version that is read as if it were ours."""
    title = Title.of("made", day.made_roster(), "{}")
    with pytest.raises(Unreadable, match="version 3, expected 'hashwatt journal' version 1 or 2"):
        title_of(title_payload(replace(title, version=3)))
