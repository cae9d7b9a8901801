"""A made-up day of a small site, as records by one seed; as a program it journals them and says what is kept.

`python made_day.py DIRECTORY SEED TICKS [ROTATE_MB] [KEEP_MB]` appends tick after tick and prints one line for each that was
kept: its number, and "durable" where it had to be on disk.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from controllers.journal.entries import Title
from controllers.journal.settings import JournalSettings
from controllers.journal.writer import Writer
from fleet.command import Outcome, OutcomeKind, Outcomes
from fleet.machine import Machine, Mode, Roster
from fleet.market import Market, Quantity, Signal
from fleet.meter import Meter
from fleet.order import Order, OrderKind
from fleet.reading import State
from fleet.snapshot import Heard, Snapshot
from fleet.view import View
from fleet.work.counted import Counted, Flaw
from fleet.work.pool_told import PoolTold
from policies.record import Record
from policies.tariff import IndexTariff
from policies.tick import Judgment

START_S = 1_700_000_000.0
TICK_S = 300.0
DIFFICULTY = 262_144.0


def made_roster(machines: int = 12) -> Roster:
    """Machines of two ladders on three feeders."""
    long = (Mode("sleep", 20, 0), Mode("low", 1500, 70), Mode("mid", 2400, 100), Mode("high", 3300, 120))
    short = (Mode("sleep", 15, 0), Mode("normal", 3000, 100))
    return Roster.of(
        [
            Machine(
                id=f"m{i}",
                model="X",
                dialect="luxos",
                host=f"127.9.0.{i + 1}",
                modes=short if i % 3 else long,
                usual="normal" if i % 3 else "high",
                place=(f"f{i % 3}", f"r{i % 2}"),
                start_s=300,
            )
            for i in range(machines)
        ],
        {"": machines * 2900.0},
    )


def made_judgment(roster: Roster | None = None) -> Judgment:
    """All of it under live control, on an index tariff."""
    roster = made_roster() if roster is None else roster
    return Judgment(roster, tariff=IndexTariff(), live=np.ones(len(roster), np.bool_))


def made_records(
    seed: int,
    ticks: int,
    judgment: Judgment | None = None,
    view: View | None = None,
    first: int = 1,
    *,
    tapped: bool = False,
) -> Iterator[Record]:
    """Ticks of a day with price swings, machines that fall silent, refuse and heat up, meters, and orders.

    `tapped`: their shares go through a tap, every third machine brings four fifths of its claim, and a pool tells of them.
    """
    judgment = made_judgment() if judgment is None else judgment
    roster, rng = judgment.roster, np.random.default_rng(seed)
    n = len(roster)
    heard = {f.name: np.array(getattr(Heard.nothing(n), f.name)) for f in fields(Heard)}
    mode = np.array(roster.usual, np.int16)
    view = View.fresh(roster) if view is None else view
    outcomes: list[Outcome] = []
    counted = {name: np.zeros(n) for name in ("shares", "exposure")}
    for i in range(first, first + ticks):
        at_s = START_S + TICK_S * i
        _ask(heard, mode, at_s, rng, everyone=i == first)
        snapshot = Snapshot(
            at_s=at_s,
            heard=Heard(**{name: column.copy() for name, column in heard.items()}),
            market=_market(at_s, i, rng),
            meters=(Meter("", float(rng.integers(1, 40_000)), at_s - 1, "main"),) if i % 2 else (),
            orders=_orders(i),
            outcomes=Outcomes.of(outcomes),
            counted=_counted(counted, mode, at_s, rng) if tapped else None,
            pool_told=_told(counted, at_s, rng) if tapped else None,
        )
        view, decision = judgment.tick(view, snapshot)
        yield Record(i, snapshot, view, decision, float(rng.random()) / 100)
        outcomes = []
        for command in decision.commands:
            refused = rng.random() < 0.1
            if not refused:
                mode[command.machine] = command.mode
            kind = OutcomeKind.REFUSED if refused else OutcomeKind.DONE
            detail = "locked" if refused else ""
            outcomes.append(Outcome(command.machine, command.mode, kind, at_s + 5, detail))


def _ask(
    heard: dict[str, np.ndarray], mode: np.ndarray, at_s: float, rng: np.random.Generator, *, everyone: bool
) -> None:
    """Nine in ten machines answer."""
    n = len(mode)
    answers = np.ones(n, np.bool_) if everyone else rng.random(n) < 0.9
    rows = np.flatnonzero(answers)
    heard["asked_s"][:] = at_s - 2
    heard["silent"][:] = ~answers
    heard["at_s"][rows] = at_s - rng.random(len(rows))
    heard["mode"][rows] = mode[rows]
    heard["state"][rows] = np.where(mode[rows] == 0, State.SLEEPING, State.HASHING)
    heard["hashrate_ths"][rows] = np.where(mode[rows] == 0, 0.0, 95 + rng.normal(size=len(rows)))
    heard["power_w"][rows] = np.where(rng.random(len(rows)) < 0.2, np.nan, 2900 + rng.normal(size=len(rows)))
    heard["measured"][rows] = ~np.isnan(heard["power_w"][rows])
    heard["chip_c"][rows] = 60 + 5 * rng.normal(size=len(rows))
    heard["accepted"][rows] = np.floor(at_s - START_S)
    heard["rejected"][rows] = np.floor((at_s - START_S) / 15)
    heard["share_difficulty"][rows] = DIFFICULTY
    heard["accepted_difficulty"][rows] = np.floor(at_s - START_S) * DIFFICULTY
    heard["counted_s"][rows] = heard["at_s"][rows]
    heard["hardware_errors"][rows] = np.floor((at_s - START_S) * DIFFICULTY / 15)


def _counted(sums: dict[str, np.ndarray], mode: np.ndarray, at_s: float, rng: np.random.Generator) -> Counted:
    """What a tap has counted; it begins anew after a third of a day."""
    n = len(mode)
    delivers = np.where(np.arange(n) % 3 == 0, 0.8, 1.0)
    sums["shares"] += rng.poisson(np.where(mode == 0, 0.0, delivers * 95e12 * TICK_S / 2**32 / DIFFICULTY))
    sums["exposure"] += TICK_S / DIFFICULTY
    flawed = np.zeros((n, len(Flaw)))
    flawed[:, Flaw.STALE] = np.floor(sums["shares"] / 50)
    return replace(
        Counted.nothing(n, at_s, int(at_s // 28_800)),
        shares=sums["shares"].copy(),
        work=sums["shares"] * DIFFICULTY,
        exposure=sums["exposure"].copy(),
        connected=mode > 0,
        difficulty=np.full(n, DIFFICULTY),
        flawed=flawed,
    )


def _told(sums: dict[str, np.ndarray], at_s: float, rng: np.random.Generator) -> PoolTold:
    """What a pool credits, a little late."""
    n = len(sums["shares"])
    heard_s = np.full(n, at_s - float(rng.integers(5, 60)))
    return replace(PoolTold.nothing(n), heard_s=heard_s, work=sums["shares"] * DIFFICULTY)


def _market(at_s: float, i: int, rng: np.random.Generator) -> Market:
    """Power cheap and dear in turn; now and then no source at all."""
    if i % 11 == 10:
        return Market()
    power = float(rng.choice([20.0, 45.0, 300.0]))
    return Market(
        {
            Quantity.HASHPRICE_USD_PHS_DAY: (Signal(40.0, at_s - 60, at_s - 30, "pool"),),
            Quantity.POWER_USD_MWH: (
                Signal(power, at_s - 60, at_s, "a", at_s + 900),
                Signal(power + 1, at_s, at_s, "b"),
            ),
        }
    )


def _orders(i: int) -> tuple[Order, ...]:
    """A curtailment of one feeder for some ticks."""
    given_s = START_S + TICK_S * (i - i % 7)
    if i % 7 < 4:
        return ()
    return (Order(f"o{i // 7}", OrderKind.CURTAIL, "f1", "ann", "maintenance", given_s, given_s + 7 * TICK_S),)


def main(directory: str, seed: str, ticks: str, rotate_mb: str = "64", keep_mb: str = "2000") -> None:
    """Journal a day and say what is kept."""
    judgment = made_judgment()
    settings = JournalSettings(rotate_mb=float(rotate_mb), keep_mb=float(keep_mb), key_every=20)
    writer = Writer(Path(directory), settings, Title.of("made", judgment.roster, "{}"))
    for record in made_records(int(seed), int(ticks), judgment):
        durable = len(record.decision.commands) > 0
        writer.append(record, durable=durable)
        sys.stdout.write(f"{record.number} {'durable' if durable else ''}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
