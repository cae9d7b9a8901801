"""What a daemon that starts knows of the one that ended: who sleeps and why, what is on its way, which orders stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from controllers.journal.entries import Sent, Stored, Title, read
from controllers.journal.frames import Kind, frame
from controllers.journal.moved import Moved, view_of
from controllers.journal.resume import Last, last
from controllers.journal.settings import JournalSettings
from controllers.journal.writer import Writer
from fleet.columns import OFF_LADDER, UNKNOWN
from fleet.command import Commands, Outcome, OutcomeKind, Outcomes
from fleet.machine import SLEEP, Machine, Mode, Roster
from fleet.order import Order, OrderKind
from fleet.view import View
from policies.record import Record

Same = Callable[[object, object], bool]


def journaled(
    directory: Path, day: ModuleType, records: list[Record], roster: Roster | None = None, **settings: Any
) -> Writer:
    """A writer that has kept these."""
    title = Title.of("made", day.made_roster() if roster is None else roster, "{}")
    writer = Writer(directory, JournalSettings.model_validate({"fsync": "never", **settings}), title)
    for record in records:
        writer.append(record, durable=True)
    return writer


def known(directory: Path, day: ModuleType, roster: Roster | None = None) -> Last:
    """What the journal tells this roster."""
    judgment = day.made_judgment(roster)
    return last(directory, judgment.roster, judgment.reasons)


def with_view(record: Record, **columns: Any) -> Record:
    """A record whose beliefs are other ones."""
    return replace(record, view=replace(record.view, **columns))


@pytest.fixture(scope="module")
def records(day: ModuleType) -> list[Record]:
    """A day until a tick after which some machines sleep and some commands are on their way."""
    made = list(day.made_records(9, 60))
    until = max(i for i, r in enumerate(made) if (r.view.asleep_why >= 0).any() and (r.view.wanted >= 0).any())
    return made[: until + 1]


def test_a_journal_that_is_not_there_knows_nothing(day: ModuleType, tmp_path: Path) -> None:
    """A first start that fails, or that invents beliefs."""
    assert known(tmp_path / "none", day).view is None
    assert (
        known(tmp_path, day) == replace(Last(), outcomes=known(tmp_path, day).outcomes)
        or known(tmp_path, day).number == 0
    )


def test_the_beliefs_come_back_but_for_the_looks(
    day: ModuleType, records: list[Record], tmp_path: Path, same: Same
) -> None:
    """A restart that forgets whom we put to sleep, whose hand changed what, or what failed; or that believes to have looked."""
    journaled(tmp_path, day, records, key_every=7).close()
    then, now = records[-1].view, known(tmp_path, day)
    assert now.view is not None
    assert (now.number, now.at_s, now.said) == (records[-1].number, records[-1].snapshot.at_s, ())
    assert not now.view.looked.any()
    assert same(replace(now.view, looked=then.looked), then)


def test_orders_survive_from_their_noting_on(day: ModuleType, records: list[Record], tmp_path: Path) -> None:
    """An order that was acknowledged and is forgotten, or one that ended and is back."""
    at_s = records[-1].snapshot.at_s
    old = Order("old", OrderKind.HOLD, "site", "ann", "", at_s - 50, at_s + 1000)
    ended = Order("ended", OrderKind.HOLD, "f1", "ann", "", at_s - 50, at_s + 1000)
    new = Order("new", OrderKind.CURTAIL, "m3", "ann", "", at_s + 1, at_s + 1000)
    over = Order("over", OrderKind.CURTAIL, "m4", "ann", "", at_s - 50, at_s - 1)
    first = replace(records[-2], snapshot=replace(records[-2].snapshot, orders=(old, ended)))
    second = replace(records[-1], snapshot=replace(records[-1].snapshot, orders=(old,)))
    writer = journaled(tmp_path, day, records[:-2])
    for order in (old, ended, over):
        writer.note_order(order)
    writer.append(first, durable=True)
    writer.append(second, durable=True)
    writer.note_order(new)
    writer.close()
    assert [order.id for order in known(tmp_path, day).orders] == ["old", "new"]


def test_an_order_noted_before_a_new_file_is_not_lost(day: ModuleType, records: list[Record], tmp_path: Path) -> None:
    """An order that falls between the last tick of one file and the first of the next."""
    at_s = records[-1].snapshot.at_s
    order = Order("new", OrderKind.CURTAIL, "m3", "ann", "", at_s + 1, at_s + 1000)
    writer = journaled(tmp_path, day, records[:-1], rotate_mb=0.01, keep_mb=0.02)
    while writer.path.stat().st_size < 10_000:
        writer.append(replace(records[-1], number=records[-1].number + 1), durable=True)
    full = writer.path
    writer.note_order(order)
    writer.append(replace(records[-1], number=records[-1].number + 9), durable=True)
    assert writer.path != full
    full.unlink(missing_ok=True)
    writer.close()
    assert "new" in [o.id for o in known(tmp_path, day).orders]


def test_outcomes_wait_until_a_tick_has_seen_them(day: ModuleType, records: list[Record], tmp_path: Path) -> None:
    """A refusal that came just before the crash, and that nobody ever hears of."""
    at_s = records[-1].snapshot.at_s
    seen = Outcome(1, 0, OutcomeKind.REFUSED, at_s - 9, "locked")
    late = Outcome(2, 0, OutcomeKind.LOST, at_s - 1, "no route")
    writer = journaled(tmp_path, day, records[:-1])
    writer.note_outcomes(Outcomes.of([seen, late]))
    # The last tick's snapshot was taken between the two.
    final = replace(records[-1], snapshot=replace(records[-1].snapshot, outcomes=Outcomes.of([seen])))
    writer.append(final, durable=True)
    writer.close()
    owed = known(tmp_path, day).outcomes
    assert [(int(m), int(k), d) for m, k, d in zip(owed.machine, owed.kind, owed.details, strict=True)] == [
        (2, OutcomeKind.LOST, "no route")
    ]


def test_outcomes_wait_through_one_tick_and_no_more(day: ModuleType, records: list[Record], tmp_path: Path) -> None:
    """An outcome that nobody asks for, which waits for ever and is told again at every start."""
    writer = journaled(tmp_path, day, records[:-2])
    late = Outcome(2, 0, OutcomeKind.LOST, 1.0, "no route")
    writer.note_outcomes(Outcomes.of([late]))
    writer.append(records[-2], durable=True)
    assert len(known(tmp_path, day).outcomes) == 1
    writer.append(records[-1], durable=True)
    writer.close()
    assert len(known(tmp_path, day).outcomes) == 0


def test_what_the_guard_did_is_ours(day: ModuleType, records: list[Record], tmp_path: Path) -> None:
    """A machine that the guard woke or put to sleep, taken for somebody else's hand by the daemon that returns."""
    record, roster = records[-1], day.made_roster()
    at_s = record.snapshot.at_s + 60
    asleep = np.array([3, 4])
    view = replace(
        record.view,
        mode=np.zeros(12, np.int16),
        wanted=np.full(12, UNKNOWN, np.int16),
        asleep_why=np.full(12, 2, np.int16),
    )
    writer = journaled(tmp_path, day, [*records[:-1], replace(record, view=view)])
    writer.begin(view, day.made_judgment().reasons, (), record.number, "guard")
    woken = Commands(
        machine=asleep,
        mode=roster.usual[asleep],
        why=np.zeros(2, np.int16),
        urgent=np.zeros(2, np.bool_),
        live=np.ones(2, np.bool_),
        whys=("farewell",),
    )
    writer.note_sent(Sent(at_s, "guard", woken))
    writer.note_outcomes(Outcomes.of([Outcome(3, int(roster.usual[3]), OutcomeKind.DONE, at_s + 20)]))
    writer.close()
    now = known(tmp_path, day).view
    assert now is not None
    assert (now.mode[3], now.wanted[3], now.asleep_why[3]) == (roster.usual[3], UNKNOWN, UNKNOWN)
    assert (now.mode[4], now.wanted[4], now.sent_s[4], now.asleep_why[4]) == (SLEEP, roster.usual[4], at_s, 2)
    assert (now.mode[5], now.wanted[5], now.asleep_why[5]) == (SLEEP, UNKNOWN, 2)


def test_rows_follow_the_machines_ids(day: ModuleType, records: list[Record], tmp_path: Path) -> None:
    """A machine that, after the site file was sorted or cut, is believed to be its neighbour."""
    journaled(tmp_path, day, records).close()
    then, roster = records[-1].view, day.made_roster()
    machines = list(reversed(roster.machines[3:]))
    added = replace(machines[0], id="fresh", host="127.9.1.1")
    moved = Roster.of([*machines, added], {"": 30_000.0})
    now = known(tmp_path, day, moved)
    assert now.view is not None
    for field in fields(View):
        column = getattr(now.view, field.name)
        if isinstance(column, np.ndarray) and field.name != "looked":
            assert np.array_equal(column[:9], getattr(then, field.name)[:2:-1], equal_nan=column.dtype.kind == "f"), (
                field.name
            )
    fresh = View.fresh(moved)
    assert (now.view.mode[9], now.view.asleep_why[9], now.view.worst_w[9]) == (UNKNOWN, UNKNOWN, fresh.worst_w[9])
    assert any("3 machines (m0, m1, m2) in the journal, not in the site file" in line for line in now.said)
    assert any("1 machines (fresh) not in the journal" in line for line in now.said)


def test_operating_points_follow_their_names(day: ModuleType, records: list[Record], tmp_path: Path) -> None:
    """A mode that, after the ladder of the site file changed, is believed to be another one."""
    n = 12
    old = with_view(
        records[-1],
        mode=np.full(n, 3, np.int16),
        standing=np.full(n, 1, np.int16),
        wanted=np.where(np.arange(n) % 2, 2, 0).astype(np.int16),
        worst_w=np.full(n, 100.0),
    )
    roster = day.made_roster()
    journaled(tmp_path, day, [*records[:-1], old]).close()

    def relaid(machine: Machine) -> Machine:
        modes = (Mode("sleep", 20, 0), Mode("high", 3300, 120), Mode("more", 3600, 125), Mode("most", 3900, 129))
        return replace(machine, modes=modes, usual="most") if machine.mode_named("high") > 0 else machine

    now = known(tmp_path, day, Roster.of([relaid(m) for m in roster.machines], {"": 30_000.0})).view
    assert now is not None
    assert (now.mode[0], now.standing[0], now.wanted[0], now.wanted[3]) == (1, OFF_LADDER, SLEEP, UNKNOWN)
    assert (now.worst_w[0], now.worst_w[1]) == (3900.0, 100.0)


def test_reasons_follow_their_names(day: ModuleType, records: list[Record], tmp_path: Path) -> None:
    """A machine that sleeps for money, believed to sleep for an emergency or for nobody since the constraints changed."""
    reasons = day.made_judgment().reasons
    codes = (np.arange(12) % 3 - 1).astype(np.int16)
    journaled(tmp_path, day, [*records[:-1], with_view(records[-1], asleep_why=codes)]).close()
    turned = ("something new", *(reason for reason in reversed(reasons) if reason != reasons[0]))
    now = last(tmp_path, day.made_roster(), turned)
    assert now.view is not None
    assert [None if code < 0 else turned[code] for code in now.view.asleep_why[:3]] == [None, turned[-1], reasons[1]]
    assert any(f"4 machines asleep for {reasons[0]!r}, which is no reason any more" in line for line in now.said)


def test_a_file_without_beliefs_is_passed_over(day: ModuleType, records: list[Record], tmp_path: Path) -> None:
    """A daemon that died right after it began a new file, and with it took the beliefs of the file before."""
    writer = journaled(tmp_path, day, records)
    writer.close()
    (tmp_path / "journal-00000002.hwj").write_bytes(frame(Kind.EVENT, 0, b"x")[:-1])
    now = known(tmp_path, day)
    assert now.number == records[-1].number
    assert "journal-00000002.hwj, byte 0: torn tail" in now.said[0]


def test_a_column_of_a_later_version_does_not_stop_the_resuming(
    day: ModuleType, records: list[Record], tmp_path: Path
) -> None:
    """A new field of the beliefs that makes every older journal unreadable, and who sleeps forgotten."""
    writer = journaled(tmp_path, day, records[:-1])
    final = records[-1]
    columns = {f.name: getattr(final.view, f.name) for f in fields(View)}
    writer.append(final, durable=True)
    writer.close()
    now = known(tmp_path, day)
    assert now.view is not None
    # The reverse: what an older version did not keep is fresh, and what no version knows is left out.
    stored = [e for e in read(tmp_path) if isinstance(e, Stored)][-1]
    thin = {k: v for k, v in stored.columns.items() if k != "view.fault_s"} | {"view.unheard_of": columns["mode"]}
    older = Stored(stored.number, stored.title, stored.head, thin)
    roster = day.made_roster()
    view = view_of(older, Moved(stored.title, roster), day.made_judgment().reasons, [])
    assert np.isneginf(view.fault_s).all()
    heard = {k: v for k, v in stored.head["value"]["snapshot"]["heard"].items() if k != "chip_c"}
    value = {**stored.head["value"], "snapshot": {**stored.head["value"]["snapshot"], "heard": heard}}
    deaf = Stored(stored.number, stored.title, {**stored.head, "value": value}, stored.columns)
    assert np.isnan(deaf.record().snapshot.heard.chip_c).all()
    assert np.array_equal(view.asleep_why, final.view.asleep_why)


def test_what_the_shares_said_comes_back(day: ModuleType, records: list[Record], tmp_path: Path, same: Same) -> None:
    """A restart that lets a cheat begin with a clean slate."""
    n = len(records[-1].view)
    evidence = replace(
        records[-1].view.evidence,
        shares=np.arange(n, dtype=np.float64),
        expected=np.arange(n, dtype=np.float64) + 0.5,
        verdict=np.full(n, 2, np.int16),
    )
    journaled(tmp_path, day, [with_view(records[-1], evidence=evidence)]).close()
    now = known(tmp_path, day)
    assert now.view is not None
    assert same(now.view.evidence, evidence)


def test_what_tap_and_pool_said_comes_back(day: ModuleType, tmp_path: Path, same: Same) -> None:
    """A restart after which a machine that the tap found short is credited its whole claim again."""
    final = list(day.made_records(23, 60, tapped=True))[-1]
    assert final.view.tap_evidence is not None
    assert (final.view.tap_evidence.verdict == 2).any()
    assert (final.view.credit < 0.95).any()
    assert final.view.tap_marks
    journaled(tmp_path, day, [final]).close()
    now = known(tmp_path, day).view
    assert now is not None
    assert final.view.rejects is not None
    assert (final.view.rejects.verdict == 2).any()
    assert final.view.errors is not None
    assert (final.view.errors.verdict == 2).any()
    for name in ("evidence", "pool_evidence", "tap_evidence", "credit", "tap_marks", "rejects", "errors"):
        assert same(getattr(now, name), getattr(final.view, name)), name


def test_what_tap_and_pool_said_goes_with_the_machines(day: ModuleType, tmp_path: Path) -> None:
    """A site file that was sorted, and one machine's shares held against another's claim."""
    final = list(day.made_records(23, 60, tapped=True))[-1]
    journaled(tmp_path, day, [final]).close()
    machines = day.made_roster().machines
    roster = Roster.of([*reversed(machines[2:]), replace(machines[0], id="new", host="127.9.1.1")])
    now = known(tmp_path, day, roster).view
    assert now is not None
    assert now.tap_evidence is not None
    assert final.view.tap_evidence is not None
    there = np.arange(len(machines) - 1, 1, -1)
    assert np.array_equal(now.tap_evidence.total_shares[:-1], final.view.tap_evidence.total_shares[there])
    assert np.array_equal(now.credit[:-1], final.view.credit[there])
    assert now.rejects is not None
    assert final.view.rejects is not None
    assert np.array_equal(now.rejects.bad[:-1], final.view.rejects.bad[there], equal_nan=True)
    assert np.array_equal(now.tap_marks[0].flawed[:-1], final.view.tap_marks[0].flawed[there])
    assert (now.credit[-1], now.tap_evidence.total_shares[-1], now.tap_marks[0].shares[-1]) == (1.0, 0.0, 0.0)


def test_a_tap_of_fewer_causes_is_read(day: ModuleType, tmp_path: Path) -> None:
    """A cause of flawed shares that was added later, and a journal of before that cannot be judged again for it."""
    final = list(day.made_records(23, 3, tapped=True))[-1]
    journaled(tmp_path, day, [final]).close()
    stored = next(entry for entry in read(tmp_path) if isinstance(entry, Stored))
    thin = {k: v[:, :-1] if k == "snapshot.counted.flawed" else v for k, v in stored.columns.items()}
    counted = Stored(stored.number, stored.title, stored.head, thin).snapshot().counted
    assert counted is not None
    assert final.snapshot.counted is not None
    assert np.array_equal(counted.flawed, final.snapshot.counted.flawed)
