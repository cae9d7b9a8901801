"""Signals and orders: what is fresh, what agrees, and what is refused."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

from fleet.market import Market, Quantity, Signal
from fleet.order import Order, OrderKind

POWER = Quantity.POWER_USD_MWH


def market(*signals: Signal) -> Market:
    """A market of the power price alone."""
    return Market({POWER: signals})


@pytest.mark.parametrize(
    ("signal", "at_s", "age_s"),
    [
        (Signal(40, 0, 100, "a"), 100, 0),
        (Signal(40, 0, 100, "a"), 160, 60),
        # a value that has run out ages from then, however lately it was heard
        (Signal(40, 0, 1_000, "a", valid_until_s=900), 1_000, 100),
        (Signal(40, 0, 1_000, "a", valid_until_s=900), 1_300, 400),
        # a clock that stands a little behind makes no negative age
        (Signal(40, 0, 100, "a"), 99, 0),
    ],
)
def test_age(signal: Signal, at_s: float, age_s: float) -> None:
    """The age of a signal is since it was confirmed, or since it ran out."""
    assert signal.age_s(at_s) == age_s


def test_the_first_fresh_source_is_used() -> None:
    """Sources stand in the order of the site file: an older second one is used when the first is too old."""
    known = market(Signal(40, 0, 0, "first"), Signal(41, 0, 50, "second"))
    assert known.fresh(POWER, 60, 60) == known.signals[POWER][0]
    assert known.fresh(POWER, 61, 60) == known.signals[POWER][1]
    assert known.fresh(POWER, 111, 60) is None
    assert known.fresh(Quantity.COIN_USD, 0, inf) is None


@pytest.mark.parametrize(
    ("values", "ages", "agree"),
    [
        ((40.0, 44.0), (0, 0), True),
        ((40.0, 60.0), (0, 0), False),
        ((40.0, 44.0), (0, 999), False),
        ((-20.0, -21.0), (0, 0), True),
        ((20.0, -20.0), (0, 0), False),
        ((0.0, 0.0), (0, 0), True),
        ((40.0, nan), (0, 0), False),
        ((40.0,), (0,), False),
        ((40.0, 400.0, 41.0), (0, 0, 0), True),
    ],
)
def test_corroboration(values: tuple[float, ...], ages: tuple[float, ...], agree: bool) -> None:
    """Two fresh sources that agree corroborate each other; one alone, an old one, or no number does not."""
    signals = (Signal(v, 0, 1_000 - age, f"source {i}") for i, (v, age) in enumerate(zip(values, ages, strict=True)))
    assert market(*signals).corroborated(POWER, 1_000, 300, 0.25) is agree


def test_a_source_does_not_corroborate_itself() -> None:
    """The same source twice is one witness."""
    assert not market(Signal(40, 0, 0, "a"), Signal(40, 0, 0, "a")).corroborated(POWER, 0, 60, 0.25)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": OrderKind.CAP}, "cap_w is None, expected a power in W for a cap"),
        ({"cap_w": 5.0}, "expected a power in W for a cap and nothing otherwise"),
        ({"kind": OrderKind.CAP, "cap_w": -1.0}, "cap_w is -1.0, expected 0 W or more"),
        ({"kind": OrderKind.CAP, "cap_w": nan}, "cap_w is nan, expected 0 W or more"),
        ({"kind": OrderKind.CAP, "cap_w": inf}, "cap_w is inf, expected 0 W or more"),
        ({"until_s": 100.0}, "until_s is 100.0, expected a time after 100.0"),
        ({"until_s": inf}, "until_s is inf"),
        ({"until_s": nan}, "until_s is nan"),
    ],
)
def test_an_order_without_an_end_or_a_sense_is_refused(change: dict[str, Any], message: str) -> None:
    """Every order ends, and a cap says how much: anything else is refused by the order's id."""
    said: dict[str, Any] = {"kind": OrderKind.HOLD, "until_s": 200.0, **change}
    with pytest.raises(ValueError, match="order 'o1'") as caught:
        Order("o1", scope="site", who="alice", why="test", given_s=100.0, **said)
    assert message in str(caught.value)
