"""What was noted between two records and is in neither yet: orders and outcomes that a crash must not lose.

An order waits until a record's snapshot shows it; from then on the snapshots tell whether it is still in force. An outcome
waits through one record, because that one's snapshot may have been taken before the outcome was known.
"""

from __future__ import annotations

from typing import TypeAlias

from fleet.command import Outcome, OutcomeKind, Outcomes
from fleet.order import Order

_Key: TypeAlias = tuple[int, int, int, float]


class Pending:
    """Orders and outcomes that no record has shown."""

    def __init__(self) -> None:
        self._orders: dict[str, Order] = {}
        self._outcomes: dict[_Key, Outcome] = {}
        self._before: set[_Key] = set()

    @property
    def orders(self) -> tuple[Order, ...]:
        """The orders, in the order of their coming."""
        return tuple(self._orders.values())

    @property
    def outcomes(self) -> Outcomes:
        """The outcomes, in the order of their coming."""
        return Outcomes.of(list(self._outcomes.values()))

    def note_order(self, order: Order) -> None:
        """An order came in."""
        self._orders[order.id] = order

    def note_outcomes(self, outcomes: Outcomes) -> None:
        """Outcomes became known."""
        for outcome in each(outcomes):
            self._outcomes[_key(outcome)] = outcome

    def recorded(self, at_s: float, orders: tuple[Order, ...], outcomes: Outcomes) -> None:
        """A record was kept whose snapshot, at `at_s`, shows these."""
        shown = set(orders)
        self._orders = {key: o for key, o in self._orders.items() if o not in shown and at_s < o.until_s}
        told = {_key(outcome) for outcome in each(outcomes)} | self._before
        self._outcomes = {key: outcome for key, outcome in self._outcomes.items() if key not in told}
        self._before = set(self._outcomes)


def each(outcomes: Outcomes) -> list[Outcome]:
    """Outcomes one by one."""
    details = outcomes.details or ("",) * len(outcomes)
    return [
        Outcome(int(machine), int(mode), OutcomeKind(int(kind)), float(at_s), detail)
        for machine, mode, kind, at_s, detail in zip(
            outcomes.machine, outcomes.mode, outcomes.kind, outcomes.at_s, details, strict=True
        )
    ]


def _key(outcome: Outcome) -> _Key:
    return (outcome.machine, outcome.mode, int(outcome.kind), outcome.at_s)
