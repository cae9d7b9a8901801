"""What stands in a journal: the title of each file, the ticks, and the notes between them; read in the order of writing.

Reading never stops at damage: it reports file, offset, what was expected and what was found, and goes on with what can still
be told. A record that is only a difference is skipped while the record it builds on is missing, up to the next key frame.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from controllers.journal.columns import Baseless, Unpacked, decode, encode
from controllers.journal.frames import Damage, Frame, Kind, scan_file
from controllers.journal.values import Columns, Json, Unreadable, pack, unpack
from fleet.columns import Ints, freeze_columns
from fleet.command import Commands, Outcomes
from fleet.machine import ModeColumns, Roster
from fleet.order import Order
from fleet.snapshot import Heard, Snapshot
from fleet.view import View
from fleet.work.counted import Counted
from fleet.work.pool_told import PoolTold
from fleet.work.proof.evidence import Evidence
from fleet.work.proof.faulty import Faulty
from fleet.work.proof.spoilt import Spoilt
from policies.record import Decision, Record

FORMAT: Final = "hashwatt journal"
VERSION: Final = 2
"""What is written: since 2, the value of operating points follows from the credited part of the claim (view.credit) too."""
READABLE: Final = (1, 2)
_NAME: Final = "journal-{:08d}.hwj"


@dataclass(frozen=True, eq=False)
class Title:
    """Of which site a file is: machines by row, their ladders' mode names, the places, and the site file's settings as JSON.

    `ladder[n]` is an index into `ladders`; `digest` names all of it, so that a journal of another roster or other settings is
    known as such at a glance.
    """

    site: str
    machines: tuple[str, ...]
    ladders: tuple[tuple[str, ...], ...]
    ladder: Ints
    modes: ModeColumns
    places: tuple[str, ...]
    settings_json: str
    digest: str
    version: int = VERSION
    format: str = FORMAT

    def __post_init__(self) -> None:
        """Read-only."""
        freeze_columns(self)

    @classmethod
    def of(cls, site: str, roster: Roster, settings_json: str) -> Title:
        """The title of a site's journal. `settings_json`: the resolved site file without its secrets."""
        rows: dict[tuple[str, ...], int] = {}
        ladder = [rows.setdefault(tuple(m.name for m in machine.modes), len(rows)) for machine in roster.machines]
        machines = tuple(machine.id for machine in roster.machines)
        said = json.dumps([VERSION, site, machines, list(rows), roster.tree.names, settings_json]).encode()
        digest = hashlib.sha256(said)
        for column in (np.array(ladder, np.int64), roster.modes.power_w, roster.modes.hashrate_ths, roster.tree.cap_w):
            digest.update(np.ascontiguousarray(column).tobytes())
        return cls(
            site=site,
            machines=machines,
            ladders=tuple(rows),
            ladder=np.array(ladder, np.int64),
            modes=roster.modes,
            places=roster.tree.names,
            settings_json=settings_json,
            digest=digest.hexdigest(),
        )

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Row by machine id."""
        return {machine: row for row, machine in enumerate(self.machines)}

    def name_of(self, row: int, mode: int) -> str:
        """The name of a row's operating point by its column."""
        ladder = self.ladders[int(self.ladder[row])]
        return ladder[mode] if 0 <= mode < len(ladder) else f"column {mode}"


@dataclass(frozen=True, eq=False, slots=True)
class Stored:
    """One record as it stands: its head and columns; `record()` makes the noun of it."""

    number: int
    title: Title
    head: Json
    columns: Columns

    def record(self) -> Record:
        """The record.

        Raises:
            Unreadable: it was written by a version whose nouns differ too much.
        """
        view = _view(self.head["value"]["view"], self.columns, len(self.title.machines))
        return Record(self.number, self.snapshot(), view, self.decision(), float(self.head["value"]["tick_s"]))

    def snapshot(self) -> Snapshot:
        """The record's snapshot; what an older version did not hear is unknown.

        Raises:
            Unreadable: as `record`.
        """
        stored, columns, n = dict(self.head["value"]["snapshot"]), dict(self.columns), len(self.title.machines)
        for name, nothing in (
            ("heard", Heard.nothing(n)),
            ("counted", Counted.nothing(n)),
            ("pool_told", PoolTold.nothing(n)),
        ):
            if stored.get(name) is not None:
                stored[name] = _filled(stored[name], nothing, columns, f"snapshot.{name}")
        return unpack(Snapshot, stored, columns, "snapshot")

    def decision(self) -> Decision:
        """The record's decision.

        Raises:
            Unreadable: as `record`.
        """
        return unpack(Decision, self.head["value"]["decision"], self.columns, "decision")


@dataclass(frozen=True, eq=False, slots=True)
class Began:
    """A process began with these beliefs; `reasons` are what `view.asleep_why` indexes, `number` the last tick's."""

    number: int
    title: Title
    reasons: tuple[str, ...]
    orders: tuple[Order, ...]
    by: str
    head: Json
    columns: Columns

    def view(self) -> View:
        """The beliefs.

        Raises:
            Unreadable: as `Stored.record`.
        """
        return _view(self.head["value"]["view"], self.columns, len(self.title.machines))


@dataclass(frozen=True, eq=False, slots=True)
class Sent:
    """Commands that belong to no tick: a farewell's. Rows are those of the file's title."""

    at_s: float
    by: str
    commands: Commands


@dataclass(frozen=True, slots=True)
class Happened:
    """An event, for people."""

    at_s: float
    kind: str
    text: str


Entry: TypeAlias = Title | Stored | Began | Sent | Order | Outcomes | Happened | Damage


def segments(directory: Path) -> list[Path]:
    """The files of a journal, oldest first; none where there is no such directory."""
    return sorted(path for path in directory.glob("journal-*.hwj") if path.stem.removeprefix("journal-").isdigit())


def segment(directory: Path, number: int) -> Path:
    """The path of a journal's file by its number."""
    return directory / _NAME.format(number)


def number_of(path: Path) -> int:
    """A journal file's number."""
    return int(path.stem.removeprefix("journal-"))


def read(path: Path) -> Iterator[Entry]:
    """Everything in a journal (its directory) or in one of its files.

    Raises:
        OSError: it cannot be read at all.
    """
    for file in segments(path) if path.is_dir() else [path]:
        yield from read_file(file)


def read_file(path: Path, since: int = 0) -> Iterator[Entry]:
    """Everything in one file; of what stands before the offset `since`, the title and the orders alone.

    Raises:
        OSError: it cannot be read at all.
    """
    decoding = _Decoding(path.name)
    for piece in scan_file(path):
        if isinstance(piece, Damage):
            yield piece
        elif piece.offset >= since or piece.kind in {Kind.TITLE, Kind.ORDER}:
            yield from decoding.entries(piece)
    yield from decoding.skipped()


def last_state(path: Path) -> int | None:
    """The offset of the last frame in a file that holds whole beliefs; None where there is none."""
    offset = None
    for piece in scan_file(path):
        if isinstance(piece, Frame) and piece.kind in {Kind.KEY, Kind.BEGAN}:
            offset = piece.offset
    return offset


class _Decoding:
    """What the frames of one file have told so far."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._title: Title | None = None
        self._before: Columns | None = None
        self._base: int | None = None
        self._skipped: list[Frame] = []

    def entries(self, frame: Frame) -> Iterator[Entry]:
        """What one frame tells."""
        if frame.kind is Kind.DELTA and self._title is not None and self._base is None:
            self._skipped.append(frame)
            return
        try:
            entry = self._entry(frame)
        except Baseless:
            self._base = None
            self._skipped.append(frame)
            return
        except (Unreadable, KeyError, TypeError, ValueError, IndexError) as error:
            if frame.kind in {Kind.KEY, Kind.DELTA}:
                self._base = None
            yield Damage(
                self._file, frame.offset, frame.end - frame.offset, f"a {frame.kind.name.lower()} frame", str(error)
            )
            return
        if frame.kind is Kind.KEY:
            yield from self.skipped()
        yield entry

    def skipped(self) -> Iterator[Damage]:
        """Differences whose base is missing, as one report."""
        if self._skipped:
            first, last = self._skipped[0], self._skipped[-1]
            yield Damage(
                self._file,
                first.offset,
                last.end - first.offset,
                "the record that the next ones build on",
                f"{len(self._skipped)} records without it, left out",
            )
            self._skipped = []

    def _entry(self, frame: Frame) -> Entry:
        if frame.kind is Kind.TITLE:
            self._title = title_of(frame.payload)
            return self._title
        title = self._title
        if title is None:
            raise Unreadable("no title before it")
        if frame.kind in {Kind.KEY, Kind.DELTA}:
            return self._record(frame, title)
        body = decode(frame.payload)
        head, value = body.head, body.head["value"]
        entry: Entry
        match frame.kind:
            case Kind.BEGAN:
                orders = tuple(unpack(Order, order, {}, "orders") for order in head["orders"])
                entry = Began(head["number"], title, tuple(head["reasons"]), orders, head["by"], head, body.columns)
            case Kind.ORDER:
                entry = unpack(Order, value, {}, "order")
            case Kind.OUTCOMES:
                entry = unpack(Outcomes, value, body.columns, "outcomes")
            case Kind.COMMANDS:
                entry = Sent(head["at_s"], head["by"], unpack(Commands, value, body.columns, "commands"))
            case _:
                entry = unpack(Happened, value, {}, "event")
        return entry

    def _record(self, frame: Frame, title: Title) -> Stored:
        key = frame.kind is Kind.KEY
        body = decode(frame.payload, None if key else self._before, title.modes, self._base)
        self._before, self._base = body.columns, frame.sequence
        return Stored(body.head["number"], title, body.head, body.columns)


def _view(stored: Json, columns: Columns, n: int) -> View:
    """Beliefs as they stand; evidence that an older version kept in other columns is none, and all of a claim is credited.

    Raises:
        Unreadable: as `Stored.record`.
    """
    filled, columns = dict(stored), dict(columns)
    if "credit" not in filled:
        filled["credit"] = pack(np.ones(n), columns, "view.credit")
    for name, nothing in (
        *((name, Evidence.nothing(n)) for name in ("evidence", "pool_evidence", "tap_evidence")),
        ("rejects", Spoilt.nothing(n)),
        ("errors", Faulty.nothing(n)),
    ):
        if filled.get(name) is not None and any(field.name not in filled[name] for field in fields(nothing)):
            filled[name] = pack(nothing, columns, f"view.{name}")
    return unpack(View, filled, columns, "view")


def _filled(stored: Json, nothing: Any, columns: dict[str, NDArray[Any]], path: str) -> Json:
    """A noun of columns with what an older version of it did not have as it is in `nothing`; new columns of a table too."""
    filled = dict(stored)
    for field in fields(nothing):
        place, empty = f"{path}.{field.name}", getattr(nothing, field.name)
        if field.name not in filled:
            filled[field.name] = pack(empty, columns, place)
        elif isinstance(empty, np.ndarray) and empty.ndim == 2 and columns[place].shape[1] < empty.shape[1]:
            columns[place] = np.hstack((columns[place], empty[:, columns[place].shape[1] :]))
    return filled


def title_payload(title: Title) -> bytes:
    """A title as a frame's payload."""
    columns: dict[str, NDArray[Any]] = {}
    return encode({"value": pack(title, columns, "title")}, columns)


def title_of(payload: bytes) -> Title:
    """The title in a frame.

    Raises:
        Unreadable: it is none, or of a version that this hashwatt does not know.
    """
    body: Unpacked = decode(payload)
    stored = body.head.get("value", {}) if isinstance(body.head, dict) else {}
    if stored.get("format") != FORMAT or stored.get("version") not in READABLE:
        found = f"{stored.get('format')!r} version {stored.get('version')!r}"
        raise Unreadable(f"{found}, expected {FORMAT!r} version {' or '.join(map(str, READABLE))}")
    return unpack(Title, stored, body.columns, "title")
