"""What the writer keeps when its process is killed, its disk is full, its file is another's, and its journal grows."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from controllers.journal import Journal, JournalFull, JournalTaken
from controllers.journal.entries import Happened, Stored, Title, read, segments
from controllers.journal.frames import Damage, Kind, scan_file
from controllers.journal.settings import JournalSettings
from controllers.journal.writer import JournalError, Writer
from policies.record import Record

Same = Callable[[object, object], bool]
DEADLINE_S = 30.0

FULL_DISK = """
import importlib.util, resource, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("made_day", sys.argv[1])
day = importlib.util.module_from_spec(spec); sys.modules["made_day"] = day; spec.loader.exec_module(day)
from controllers.journal.entries import Title
from controllers.journal.settings import JournalSettings
from controllers.journal.writer import JournalFull, Writer
judgment = day.made_judgment()
writer = Writer(Path(sys.argv[2]), JournalSettings(fsync="never"), Title.of("made", judgment.roster, ""))
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
full = 0
for record in day.made_records(5, 30, judgment):
    # The limit moves with the file: twice there is no space for the next record, then there is.
    if record.number in {8, 9, 20}:
        resource.setrlimit(resource.RLIMIT_FSIZE, (writer.path.stat().st_size + 100, hard))
    try:
        writer.append(record, durable=True)
        print("kept", record.number)
    except JournalFull as error:
        print("full", record.number, error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
writer.close()
"""


def numbers(path: Path) -> list[int]:
    """The ticks that can be read."""
    return [entry.number for entry in read(path) if isinstance(entry, Stored)]


def made_writer(day: ModuleType, directory: Path, **settings: object) -> Writer:
    """A writer for the made-up site."""
    return Writer(directory, JournalSettings.model_validate(settings), Title.of("made", day.made_roster(), "{}"))


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_any_moment_it_keeps_what_it_acknowledged(
    seed: int, day: ModuleType, day_program: Path, tmp_path: Path, same: Same
) -> None:
    """A kill -9 in the middle of an append that costs a record which was said to be kept, or spoils the next start."""
    wait_s = random.Random(seed).uniform(0.0, 0.25)
    process = subprocess.Popen(
        [sys.executable, day_program, tmp_path, str(seed), "2000", "0.02", "0.5"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    until = time.monotonic() + wait_s
    said = [first]
    while time.monotonic() < until:
        said.append(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    said += process.stdout.readlines()
    process.stdout.close()
    process.wait(DEADLINE_S)
    kept = [int(line.split()[0]) for line in said if line.endswith("\n")]
    found = [entry for entry in read(tmp_path) if isinstance(entry, Stored)]
    # One more may have been written than the process lived to say.
    assert found[-1].number - kept[-1] in {0, 1}
    assert [entry.number for entry in found] == list(range(found[0].number, found[-1].number + 1))
    expected = {r.number: r for r in day.made_records(seed, found[-1].number)}
    assert all(same(entry.record(), expected[entry.number]) for entry in found[-5:])
    writer = made_writer(day, tmp_path, rotate_mb=0.02, keep_mb=0.5)
    writer.append(next(iter(day.made_records(1, 1, first=found[-1].number + 1))), durable=True)
    writer.close()
    assert numbers(tmp_path)[-2:] == [found[-1].number, found[-1].number + 1]


def test_a_full_disk_is_an_error_and_then_it_goes_on(
    day: ModuleType, day_program: Path, tmp_path: Path, same: Same
) -> None:
    """A full disk that leaves half a frame, kills the writer, or spoils the records after it."""
    ran = subprocess.run(
        [sys.executable, "-c", FULL_DISK, day_program, tmp_path],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    lines = ran.stdout.splitlines()
    refused = [int(line.split()[1]) for line in lines if line.startswith("full")]
    assert refused == [8, 9, 20]
    assert f"nothing was kept: File too large: '{segments(tmp_path)[0]}'" in ran.stdout
    assert [e for e in read(tmp_path) if isinstance(e, Damage)] == []
    found = [entry.record() for entry in read(tmp_path) if isinstance(entry, Stored)]
    expected = {r.number: r for r in day.made_records(5, 30)}
    assert [r.number for r in found] == [n for n in range(1, 31) if n not in refused]
    assert all(same(r, expected[r.number]) for r in found)


def test_on_a_full_file_system_it_waits_for_space(day: ModuleType, tmp_path: Path) -> None:
    """A file system that is really full, notes included, and the way on when somebody made space."""
    mounted = tmp_path / "small"
    mounted.mkdir()
    tried = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", mounted], capture_output=True, check=False
    )
    if tried.returncode:
        pytest.skip("no right to mount a small file system here")
    try:
        ballast = mounted / "ballast"
        writer = made_writer(day, mounted / "journal")
        records = iter(day.made_records(2, 400))
        writer.append(next(records), durable=True)
        ballast.write_bytes(bytes(os.statvfs(mounted).f_bavail * os.statvfs(mounted).f_frsize - 8192))
        kept: list[int] = []

        def fill() -> None:
            for record in records:
                writer.append(record, durable=True)
                kept.append(record.number)

        with pytest.raises(JournalFull) as full:
            fill()
        assert full.value.errno == errno.ENOSPC
        with pytest.raises(JournalFull):
            writer.note_event(Happened(1.0, "long", "x".join(str(i) for i in range(3000))))
        ballast.unlink()
        record = next(records)
        writer.append(record, durable=True)
        writer.close()
        assert numbers(mounted / "journal") == [1, *kept, record.number]
    finally:
        subprocess.run(["umount", mounted], capture_output=True, check=True)


def test_it_stays_within_its_bound_and_begins_each_file_whole(day: ModuleType, tmp_path: Path, same: Same) -> None:
    """A journal that grows without end, or whose newest file cannot be read without the one before."""
    writer = made_writer(day, tmp_path, rotate_mb=0.02, keep_mb=0.06, fsync="never", key_every=7)
    records: list[Record] = []
    for record in day.made_records(4, 120):
        writer.append(record, durable=False)
        records.append(record)
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 60_000
    writer.close()
    assert len(segments(tmp_path)) >= 2
    for path in segments(tmp_path):
        kinds = [piece.kind for piece in scan_file(path) if not isinstance(piece, Damage)]
        assert kinds[:2] == [Kind.TITLE, Kind.KEY]
    found = [entry.record() for entry in read(segments(tmp_path)[-1]) if isinstance(entry, Stored)]
    assert all(same(r, records[r.number - 1]) for r in found)
    assert found[-1].number == 120


def test_a_second_writer_begins_its_own_file_and_the_first_one_stops(day: ModuleType, tmp_path: Path) -> None:
    """Two writers in one file, each of which cuts off what it takes for the other's torn tail."""
    records = list(day.made_records(6, 3))
    first = made_writer(day, tmp_path)
    first.append(records[0], durable=True)
    second = made_writer(day, tmp_path)
    second.append(records[1], durable=True)
    assert first.path != second.path
    with pytest.raises(JournalTaken, match="begun by another process"):
        first.append(records[2], durable=True)
    first.close()
    second.close()
    assert numbers(tmp_path) == [1, 2]


def test_the_same_site_goes_on_in_its_file_and_another_does_not(day: ModuleType, tmp_path: Path) -> None:
    """A journal of another roster or other settings that is continued as if it were this one's."""
    records = list(day.made_records(6, 2))
    for record in records:
        writer = made_writer(day, tmp_path)
        writer.append(record, durable=True)
        writer.close()
    assert (len(segments(tmp_path)), numbers(tmp_path)) == (1, [1, 2])
    for title, said in (
        (Title.of("made", day.made_roster(11), "{}"), "its roster differs: 1 machines are gone, 0 are new"),
        (Title.of("made", day.made_roster(11), '{"tick_s":5}'), "its settings differ"),
        (Title.of("other", day.made_roster(11), "{}"), "it is of site 'made', expected 'other'"),
    ):
        before = len(segments(tmp_path))
        writer = Writer(tmp_path, JournalSettings(), title)
        writer.close()
        assert len(segments(tmp_path)) == before + 1
        assert said in writer.said[0]


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path, day: ModuleType) -> None:
    """A traceback, or silence, where the state directory is a file."""
    (tmp_path / "journal").write_text("a file")
    with pytest.raises(OSError, match="expected a directory to write to"):
        made_writer(day, tmp_path / "journal")


def test_a_closed_journal_keeps_nothing(tmp_path: Path, day: ModuleType) -> None:
    """A record that is acknowledged after the file was let go of."""
    writer = made_writer(day, tmp_path)
    writer.close()
    with pytest.raises(JournalError, match="closed"):
        writer.append(next(iter(day.made_records(1, 1))), durable=False)


def test_the_loop_goes_on_while_the_disk_is_waited_for(day: ModuleType, tmp_path: Path) -> None:
    """An append that holds up the event loop, comes back before its record is on disk, or is written out of order."""

    async def scenario() -> tuple[list[int], int]:
        records = list(day.made_records(8, 12))
        roster = day.made_roster()
        journal = await Journal.open(JournalSettings(fsync="always"), tmp_path, "made", roster, "{}")
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        turning = asyncio.create_task(turn())
        kept = []
        for record in records:
            journal.note_event("tick", str(record.number), record.snapshot.at_s)
            await journal.append(record, durable=True)
            kept.append(numbers(tmp_path / "journal")[-1])
        turning.cancel()
        await journal.close()
        assert journal.left_out == 0
        return kept, turns

    kept, turns = asyncio.run(scenario())
    assert kept == list(range(1, 13))
    assert turns > 12
    order = [
        e.text if isinstance(e, Happened) else str(e.number)
        for e in read(tmp_path / "journal")
        if isinstance(e, Happened | Stored)
    ]
    assert order == [str(n) for n in range(1, 13) for _ in range(2)]
