"""What is left of a journal that was cut, flipped or emptied: whatever stood whole before, and a report of the rest."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from controllers.journal.columns import encode
from controllers.journal.entries import Happened, Sent, Stored, Title, read, read_file, segments
from controllers.journal.frames import HEADER_BYTES, Damage, Frame, Kind, frame, scan, scan_file
from controllers.journal.resume import last
from controllers.journal.settings import JournalSettings
from controllers.journal.writer import Writer
from fleet.command import Commands, Outcomes
from fleet.order import Order
from fleet.view import View
from policies.record import Record

Same = Callable[[object, object], bool]
TICKS = 25


@pytest.fixture(scope="module")
def records(day: ModuleType) -> list[Record]:
    """A short day."""
    return list(day.made_records(7, TICKS))


@pytest.fixture(scope="module")
def whole(day: ModuleType, records: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its journal, in one file, with notes between the ticks."""
    directory = tmp_path_factory.mktemp("whole")
    judgment = day.made_judgment()
    writer = Writer(directory, JournalSettings(key_every=8), Title.of("made", judgment.roster, '{"name":"made"}'))
    writer.begin(View.fresh(judgment.roster), judgment.reasons, (), 0, "daemon")
    for record in records:
        writer.append(record, durable=False)
        if record.number % 5 == 0:
            writer.note_event(Happened(record.snapshot.at_s, "note", "something happened"))
    writer.close()
    return segments(directory)[0]


def numbers(path: Path) -> list[int]:
    """The ticks that can be read."""
    return [entry.record().number for entry in read(path) if isinstance(entry, Stored)]


def test_what_is_read_is_what_was_written(whole: Path, records: list[Record], same: Same) -> None:
    """A journal that rounds, reorders or forgets a column of a record."""
    stored = [entry.record() for entry in read(whole) if isinstance(entry, Stored)]
    assert [r.number for r in stored] == [r.number for r in records]
    assert all(same(one, other) for one, other in zip(records, stored, strict=True))
    assert [e for e in read(whole) if isinstance(e, Damage)] == []
    title = next(e for e in read(whole) if isinstance(e, Title))
    assert (title.site, title.settings_json, len(title.machines)) == ("made", '{"name":"made"}', 12)


def test_any_prefix_holds_what_stands_whole_in_it(whole: Path) -> None:
    """A crash at some byte that costs a record which was already whole, or that invents one."""
    content = whole.read_bytes()
    ends = [piece.end for piece in scan_file(whole) if isinstance(piece, Frame)]
    kinds = [piece.kind for piece in scan_file(whole) if isinstance(piece, Frame)]
    # Every byte of the first frames and around each later one's edges, and every seventh between.
    places = {e + d for e in ends for d in range(-HEADER_BYTES - 2, HEADER_BYTES + 2)} | set(range(ends[4]))
    places |= set(range(0, len(content), 7))
    for length in sorted(place for place in places if 0 <= place <= len(content)):
        pieces = list(scan(io.BytesIO(content[:length]), whole.name))
        frames = [piece for piece in pieces if isinstance(piece, Frame)]
        damage = [piece for piece in pieces if isinstance(piece, Damage)]
        within = sum(end <= length for end in ends)
        assert [f.kind for f in frames] == kinds[:within], length
        torn = length - ([0, *ends][within])
        assert [(d.offset, d.length, d.tail) for d in damage] == ([(length - torn, torn, True)] if torn else []), length


def test_cut_anywhere_it_is_mended_and_goes_on(day: ModuleType, tmp_path: Path, same: Same) -> None:
    """A torn tail that stops the writer, stays in the file, is lost unseen, or takes a whole record with it."""
    roster = day.made_roster(3)
    judgment = day.made_judgment(roster)
    records = list(day.made_records(3, 4, judgment))
    title = Title.of("made", roster, "")
    origin = tmp_path / "origin"
    writer = Writer(origin, JournalSettings(), title)
    for record in records[:3]:
        writer.append(record, durable=False)
    writer.close()
    name = segments(origin)[0].name
    content = (origin / name).read_bytes()
    ends = [piece.end for piece in scan_file(origin / name) if isinstance(piece, Frame)]
    directory = tmp_path / "cut"
    directory.mkdir()
    places = {e + d for e in (0, *ends) for d in (-2, -1, 0, 1, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 1)}
    for length in sorted(p for p in places | set(range(0, len(content), 61)) if 0 <= p <= len(content)):
        for left in directory.iterdir():
            left.unlink()
        (directory / name).write_bytes(content[:length])
        writer = Writer(directory, JournalSettings(fsync="never"), title)
        writer.append(records[3], durable=True)
        writer.close()
        whole = [r for r, end in zip(records, ends[1:], strict=False) if end <= length]
        stored = [e.record() for e in read(directory) if isinstance(e, Stored)]
        assert [r.number for r in stored] == [*(r.number for r in whole), 4], length
        assert same(stored[-1], records[3])
        assert [e for e in read(directory) if isinstance(e, Damage)] == []
        aside = [p.read_bytes() for p in directory.glob("*.torn-*")]
        start = max([0, *(end for end in ends if end <= length)])
        assert aside == ([content[start:length]] if length > start else [])


def test_flipped_bits_are_reported_and_cost_no_more_than_they_must(
    whole: Path, records: list[Record], tmp_path: Path, same: Same
) -> None:
    """A flipped bit that goes unseen, is read as a record that never was, or ends the reading."""
    content, rng = whole.read_bytes(), random.Random(11)
    frames = [piece for piece in scan_file(whole) if isinstance(piece, Frame)]
    spoilt = tmp_path / whole.name
    for _ in range(60):
        place = rng.randrange(len(content))
        spoilt.write_bytes(content[:place] + bytes([content[place] ^ (1 << rng.randrange(8))]) + content[place + 1 :])
        entries = list(read(spoilt))
        struck = next(f for f in frames if f.offset <= place < f.end)
        reports = [e for e in entries if isinstance(e, Damage)]
        assert reports[0].file == whole.name
        assert reports[0].offset == struck.offset, place
        assert str(reports[0].expected) in reports[0].in_words()
        stored = [e.record() for e in entries if isinstance(e, Stored)]
        by_number = {r.number: r for r in records}
        assert all(same(r, by_number[r.number]) for r in stored)
        if struck.kind is Kind.TITLE:
            continue
        # What stands before it is whole, and so is everything from the next key frame on.
        keys = [f.offset for f in frames if f.kind is Kind.KEY and f.offset > place]
        count = sum(f.kind in {Kind.KEY, Kind.DELTA} and f.offset < struck.offset for f in frames)
        after = sum(f.kind in {Kind.KEY, Kind.DELTA} and bool(keys) and f.offset >= keys[0] for f in frames)
        assert len(stored) >= count + after, place


def test_a_payload_is_held_to_its_checksum() -> None:
    """A flipped bit in a payload that no other checksum covers."""
    content = bytearray(frame(Kind.EVENT, 0, b"first") + frame(Kind.EVENT, 1, b"second"))
    content[HEADER_BYTES] ^= 1
    damage, second = scan(io.BytesIO(bytes(content)), "f")
    assert isinstance(damage, Damage)
    assert isinstance(second, Frame)
    assert (damage.offset, damage.length, second.payload) == (0, HEADER_BYTES + 5, b"second")
    assert "a payload whose checksum is" in damage.found


def test_a_frame_that_was_cut_out_is_missed(whole: Path, tmp_path: Path) -> None:
    """Bytes removed at the frames' own edges that nobody notices."""
    content = whole.read_bytes()
    frames = [piece for piece in scan_file(whole) if isinstance(piece, Frame)]
    gone = frames[6]
    cut = tmp_path / whole.name
    cut.write_bytes(content[: gone.offset] + content[gone.end :])
    reports = [e for e in read(cut) if isinstance(e, Damage)]
    assert (reports[0].expected, reports[0].found) == ("frame 6", "frame 7")


def test_a_journal_cut_in_half_still_tells_who_sleeps(
    whole: Path, day: ModuleType, records: list[Record], tmp_path: Path
) -> None:
    """A daemon that, after half its journal is lost, believes the other half never happened."""
    content = whole.read_bytes()
    (tmp_path / whole.name).write_bytes(content[: len(content) // 2])
    judgment = day.made_judgment()
    known = last(tmp_path, judgment.roster, judgment.reasons)
    assert 0 < known.number < TICKS
    assert known.view is not None
    assert np.array_equal(known.view.asleep_why, records[known.number - 1].view.asleep_why)
    assert any("torn tail" in line for line in known.said)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\x00" * 4096, ["torn tail"]),
        (b"hashwatt" * 100_000, ["torn tail"]),
        (frame(Kind.TITLE, 0, b"not a title"), ["damage"]),
        (frame(Kind.KEY, 0, b"\x78\x9c"), ["damage"]),
    ],
    ids=["empty", "zeros", "text", "no title", "no payload"],
)
def test_what_is_no_journal_is_said(content: bytes, expected: list[str], day: ModuleType, tmp_path: Path) -> None:
    """A traceback, or beliefs made of nothing, from a file that is no journal."""
    (tmp_path / "journal-00000001.hwj").write_bytes(content)
    judgment = day.made_judgment()
    known = last(tmp_path, judgment.roster, judgment.reasons)
    assert known.view is None
    assert len(known.said) == len(expected)
    assert all(word in line for word, line in zip(expected, known.said, strict=True))
    writer = Writer(tmp_path, JournalSettings(), Title.of("made", judgment.roster, ""))
    record = next(iter(day.made_records(1, 1, judgment)))
    writer.append(record, durable=True)
    writer.close()
    assert numbers(tmp_path) == [1]


def test_a_later_format_is_refused_by_its_name(tmp_path: Path) -> None:
    """A journal of a version that this hashwatt does not know, read as if it did."""
    path = tmp_path / "journal-00000001.hwj"
    path.write_bytes(frame(Kind.TITLE, 0, encode({"value": {"format": "hashwatt journal", "version": 99}}, {})))
    (report,) = read_file(path)
    assert isinstance(report, Damage)
    assert "version 99, expected 'hashwatt journal' version 1" in report.found


def test_every_kind_of_note_comes_back(day: ModuleType, tmp_path: Path, same: Same, records: list[Record]) -> None:
    """A note that is written and cannot be read."""
    judgment = day.made_judgment()
    writer = Writer(tmp_path, JournalSettings(), Title.of("made", judgment.roster, ""))
    commanding = next(r for r in records if len(r.decision.commands))
    told = next(r for r in records if len(r.snapshot.outcomes))
    order = next(r.snapshot.orders[0] for r in records if r.snapshot.orders)
    sent = Sent(5.0, "guard", commanding.decision.commands)
    event = Happened(6.0, "clock stepped", "by 3 s")
    writer.note_order(order)
    writer.note_outcomes(told.snapshot.outcomes)
    writer.note_sent(sent)
    writer.note_event(event)
    writer.close()
    _, *entries = read(tmp_path)
    expected: list[object] = [order, told.snapshot.outcomes, sent, event]
    assert [type(e) for e in entries] == [Order, Outcomes, Sent, Happened]
    assert all(same(one, other) for one, other in zip(entries, expected, strict=True))
    assert isinstance(sent.commands, Commands)
