"""What a machine could have brought: exposure by job, connection and pool, in closed form and against a slow reckoning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.pool.ledger import STRANGER, Ledger
from fleet.work.counted import Flaw

AWAY_MOST_S = 600.0


class Clock:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def ledger(machines: int = 3) -> tuple[Ledger, Clock]:
    """A ledger and its clock."""
    clock = Clock()
    return Ledger(machines, 7, now=clock, elapsed=clock, away_most_s=AWAY_MOST_S), clock


def test_exposure_begins_with_the_first_job() -> None:
    """A machine that waits for its first job is expected to bring nothing."""
    book, clock = ledger()
    book.opened(0, "s")
    clock.now_s += 50
    book.asks(0, "s", 10.0)
    clock.now_s += 100
    book.asks(0, "s", 20.0)
    clock.now_s += 100
    counted = book.counted()
    assert counted.exposure.tolist() == [100 / 10 + 100 / 20, 0, 0]
    assert counted.difficulty[0] == 20
    assert counted.epoch == 7


def test_a_machine_that_is_away_is_expected_for_a_while() -> None:
    """A machine that hides from the tap for an hour a day would show no shortfall; one that was sold would for ever."""
    book, clock = ledger()
    book.opened(0, "s")
    book.asks(0, "s", 10.0)
    clock.now_s += 100
    book.closed(0, "s")
    clock.now_s += 400
    assert book.counted().exposure[0] == 50
    assert book.counted().away_s[0] == 400
    assert np.isnan(book.counted().difficulty[0])
    clock.now_s += 10_000
    assert book.counted().exposure[0] == 10 + AWAY_MOST_S / 10
    book.opened(0, "t")
    clock.now_s += 100
    counted = book.counted()
    assert counted.exposure[0] == 20 + AWAY_MOST_S / 10
    assert counted.away_s[0] == AWAY_MOST_S


def test_nothing_is_expected_while_no_pool_is_there() -> None:
    """A pool's outage would make liars of all machines at once."""
    book, clock = ledger()
    book.opened(0, "s")
    book.asks(0, "s", 10.0)
    clock.now_s += 100
    book.serve(able=False)
    clock.now_s += 1_000
    book.serve(able=True)
    clock.now_s += 100
    assert book.counted().exposure[0] == 20


def test_of_two_sessions_the_newer_counts() -> None:
    """A machine that reconnects before its old connection is given up would be exposed twice."""
    book, clock = ledger()
    book.opened(0, "old")
    book.asks(0, "old", 10.0)
    book.opened(0, "new")
    book.asks(0, "new", 20.0)
    book.asks(0, "old", 1.0)
    clock.now_s += 100
    assert book.counted().exposure[0] == 5
    book.closed(0, "old")
    clock.now_s += 100
    assert book.counted().exposure[0] == 10
    assert book.counted().connected[0]


def test_strangers_are_counted_apart() -> None:
    """Shares of connections that nobody knows would be the last machine's."""
    book, _ = ledger()
    book.opened(STRANGER, "s")
    book.credit(STRANGER, 5.0, 6.0, 1.0)
    book.flaw(STRANGER, Flaw.LOW)
    book.foreign(STRANGER, 3.0)
    book.flaw(2, Flaw.STALE)
    counted = book.counted()
    assert not counted.shares.any()
    assert counted.flawed.sum() == counted.flawed[2, Flaw.STALE] == 1
    assert not counted.foreign_work.any()
    assert (book.flaws()["low"], book.flaws()["foreign"], book.flaws()["stale"]) == (1, 1, 1)
    assert (book.total(), book.stranger_shares()) == ((1, 5.0), 1)


def test_a_credit_is_what_was_asked() -> None:
    """A lucky share is worth no more than another, or luck would be taken for hashes."""
    book, _ = ledger()
    book.credit(1, 5.0, 5_000.0, 1.0)
    book.credit(1, 5.0, 6.0, 2.0)
    counted = book.counted()
    assert (counted.shares[1], counted.work[1], counted.best[1], counted.last_s[1]) == (2, 10, 5_000, 2)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["open", "close", "asks", "serve", "look"]),
        st.integers(0, 2),
        st.floats(0.5, 1e3),
        st.floats(0, 900),
    ),
    max_size=60,
)


@given(ACTIONS)
def test_it_is_the_integral_of_what_was_asked(actions: list[tuple[str, int, float, float]]) -> None:
    """An exposure that depends on how often somebody looks is no measure of what a machine should have brought."""
    book, clock = ledger()
    state: list[dict[str, Any]] = [{"open": 0, "d": None, "gone": None, "seen": False} for _ in range(3)]
    expected, serving = [0.0] * 3, True
    for what, row, difficulty, dt in actions:
        machine = state[row]
        match what:
            case "open" if not machine["open"]:
                book.opened(row, "s")
                machine |= {"open": 1, "gone": None, "seen": True}
            case "close" if machine["open"]:
                book.closed(row, "s")
                machine |= {"open": 0, "gone": clock.now_s}
            case "asks" if machine["open"]:
                book.asks(row, "s", difficulty)
                machine["d"] = difficulty
            case "serve":
                serving = difficulty > 100
                book.serve(able=serving)
            case "look":
                book.counted()
            case _:
                pass
        for at, each in enumerate(state):
            if serving and each["d"] is not None:
                until_s = (
                    clock.now_s + dt if each["gone"] is None else min(clock.now_s + dt, each["gone"] + AWAY_MOST_S)
                )
                expected[at] += max(until_s - clock.now_s, 0) / each["d"]
        clock.now_s += dt
    assert book.counted().exposure.tolist() == pytest.approx(expected, abs=1e-9)
