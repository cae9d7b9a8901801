"""A small pretend site for the laws of the judgment: machines as plain values, readings and signals by name.

No wire, no drivers, no physics: what a snapshot holds is written down in the test, cycle by cycle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fleet.command import Outcomes
from fleet.machine import Machine, Mode, Roster
from fleet.market import Market, Quantity, Signal
from fleet.order import Order
from fleet.reading import State
from fleet.snapshot import Heard, Snapshot
from fleet.view import View
from policies.record import Record
from policies.tick import Judgment

T0 = 1_700_000_000.0
LADDER = (Mode("sleep", 25, 0), Mode("low", 1_500, 75), Mode("mid", 2_300, 105), Mode("high", 3_200, 130))


def machine(name: str, place: str = "", modes: Sequence[Mode] = LADDER, usual: str = "high", **more: Any) -> Machine:
    """A machine at a place's path."""
    number = sum(ord(c) * 31**i for i, c in enumerate(name)) % 65_000
    host = f"127.9.{number // 250}.{number % 250 + 1}"
    where = tuple(place.split("/")) if place else ()
    return Machine(name, "model", "luxos", host, tuple(modes), usual, where, **more)


def roster(n: int = 3, cap_w: Mapping[str, float] | None = None, **more: Any) -> Roster:
    """`n` equal machines m0, m1, ... at the site."""
    return Roster.of([machine(f"m{i}", **more) for i in range(n)], cap_w)


def signals(at_s: float, coin_usd: float = 60_000.0, **more: float) -> dict[Quantity, tuple[Signal, ...]]:
    """A fresh market: hashprice from the formula at FACTS' difficulty, or as named; quantities by name."""
    values = {"coin_usd": coin_usd, "difficulty": 100e12, "height": 850_000, "fees_btc_block": 0.05, **more}
    return {Quantity(name): (Signal(value, at_s, at_s, "test"),) for name, value in values.items()}


@dataclass
class Bench:
    """One judgment driven by hand: say what each machine shows, and tick."""

    judgment: Judgment
    view: View = field(init=False)
    at_s: float = T0
    mode: list[int | str] = field(init=False)
    heard: dict[str, Any] = field(default_factory=dict)
    number: int = 0

    def __post_init__(self) -> None:
        """All machines at their usual mode, fresh beliefs."""
        self.view = View.fresh(self.judgment.roster)
        self.mode = [int(column) for column in self.judgment.roster.usual]

    def snapshot(
        self,
        *,
        price: float | None = 50.0,
        hashprice: float | None = 40.0,
        silent: Sequence[int] = (),
        orders: Sequence[Order] = (),
        outcomes: Outcomes | None = None,
        market: Market | None = None,
        **columns: Any,
    ) -> Snapshot:
        """What is known now: every machine answers at this moment but the silent ones."""
        n = len(self.judgment.roster)
        named = [self._column(i, mode) for i, mode in enumerate(self.mode)]
        mode = np.array(named, np.int16)
        at = np.full(n, self.at_s)
        quiet = np.zeros(n, np.bool_)
        quiet[list(silent)] = True
        at[quiet] = np.nan
        state = np.where(mode == 0, State.SLEEPING, State.HASHING).astype(np.int16)
        full = {"at_s": at, "asked_s": np.full(n, self.at_s), "silent": quiet, "mode": mode, "state": state, **columns}
        heard = replace(Heard.nothing(n), **{name: np.asarray(column) for name, column in full.items()})
        if market is None:
            those: dict[Quantity, tuple[Signal, ...]] = {}
            if hashprice is not None:
                those |= {Quantity.HASHPRICE_USD_PHS_DAY: (Signal(hashprice, self.at_s, self.at_s, "test"),)}
            if price is not None:
                those |= {Quantity.POWER_USD_MWH: (Signal(price, self.at_s, self.at_s, "test"),)}
            market = Market(those)
        return Snapshot(self.at_s, heard, market, (), tuple(orders), outcomes or Outcomes())

    def _column(self, row: int, mode: int | str) -> int:
        return self.judgment.roster.machines[row].mode_named(mode) if isinstance(mode, str) else mode

    def tick(self, after_s: float = 0.0, *, obey: bool = True, **said: Any) -> Record:
        """Let time pass, tick, and (when they obey) let machines take what they are sent at once."""
        self.at_s += after_s
        snapshot = self.snapshot(**said)
        self.view, decision = self.judgment.tick(self.view, snapshot)
        self.number += 1
        if obey:
            for command in decision.commands:
                if command.live:
                    self.mode[command.machine] = command.mode
        return Record(self.number, snapshot, self.view, decision)

    def modes(self) -> list[str]:
        """The names of the operating points that the machines are at."""
        machines = self.judgment.roster.machines
        return [machines[i].modes[self._column(i, mode)].name for i, mode in enumerate(self.mode)]

    def sent(self, record: Record) -> dict[str, str]:
        """Machine -> operating point, of the commands of a record."""
        machines = self.judgment.roster.machines
        return {machines[c.machine].id: machines[c.machine].modes[c.mode].name for c in record.decision.commands}
