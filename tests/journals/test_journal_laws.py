"""Laws of the encoding: what comes back is what went in, whatever the columns and however they change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from controllers.journal.columns import Baseless, decode, encode
from controllers.journal.values import Unreadable, pack, unpack
from fleet.columns import Floats
from fleet.machine import ModeColumns

DTYPES = st.sampled_from([np.dtype(kind) for kind in ("<f8", "<i8", "<i2", "|b1", "<f4", "|i1")])
SHAPES = st.sampled_from([(0,), (1,), (7,), (3, 4), (0, 4), (2, 0)])
COLUMN = DTYPES.flatmap(lambda dtype: SHAPES.flatmap(lambda shape: arrays.arrays(dtype, shape)))
NAMES = st.sampled_from(["view.mode", "snapshot.heard.mode", "view.worst_w", "snapshot.heard.power_w", "other", "more"])
COLUMNS = st.dictionaries(NAMES, COLUMN)


def bits(columns: Mapping[str, NDArray[Any]]) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Columns to the last bit, NaNs of every kind included."""
    return {name: (c.dtype.str, c.shape, c.tobytes()) for name, c in columns.items()}


@given(st.lists(COLUMNS, min_size=1, max_size=5))
def test_a_chain_of_differences_is_the_whole(chain: list[dict[str, NDArray[Any]]]) -> None:
    """A column that is lost, kept when it is gone, or read in another type or shape after some differences."""
    before: Mapping[str, NDArray[Any]] | None = None
    read: Mapping[str, NDArray[Any]] | None = None
    for number, columns in enumerate(chain):
        base = number - 1 if number else None
        payload = encode({"number": number}, columns, before, base=base)
        unpacked = decode(payload, read, base=base)
        assert bits(unpacked.columns) == bits(columns)
        assert unpacked.head == {"number": number}
        before, read = columns, unpacked.columns


@given(COLUMNS, COLUMNS)
def test_a_difference_is_not_read_without_its_base(
    one: dict[str, NDArray[Any]], other: dict[str, NDArray[Any]]
) -> None:
    """A difference applied to another record than its own, which gives a record that never was."""
    payload = encode({}, other, one, base=4)
    with pytest.raises(Baseless):
        decode(payload, one, base=3)


@given(COLUMNS, st.integers(0, 400), st.binary(max_size=40))
def test_spoilt_payloads_are_unreadable_or_whole(columns: dict[str, NDArray[Any]], place: int, rubbish: bytes) -> None:
    """A traceback, or an endless allocation, from a payload that is not one."""
    payload = encode({}, columns)
    for spoilt in (payload[:place], payload[:place] + rubbish, rubbish):
        try:
            unpacked = decode(spoilt)
        except Unreadable:
            continue
        assert bits(unpacked.columns) == bits(columns)


def test_what_follows_from_other_columns_is_not_written() -> None:
    """A journal four times as large as it has to be; or one that derives what does not follow."""
    rng = np.random.default_rng(3)
    n, k = 500, 10
    ladders = ModeColumns(rng.random((n, k)) * 3000, rng.random((n, k)) * 100, rng.random((n, k)) < 0.9)
    prices = {"hashprice_usd_phs_day": 41.7, "power_usd_mwh": 33.3}
    scale, removed = rng.random(n), rng.integers(-1, 3, (n, k)).astype(np.int16)
    power_w = ladders.power_w * scale[:, None]
    columns = {
        "view.power_scale": scale,
        "view.rate_scale": np.ones(n),
        "decision.choices.allowed": ladders.exists & (removed < 0),
        "decision.choices.removed_by": removed,
        "decision.choices.power_w": power_w,
        "decision.choices.value_usd_h": ladders.hashrate_ths * (41.7 / 24_000.0) - power_w * (33.3 / 1e6),
    }
    head = {"value": {"decision": {"prices": prices}}}
    payload = encode(head, columns, None, ladders, prices)
    assert bits(decode(payload, None, ladders).columns) == bits(columns)
    assert len(payload) < 3 * n * 8
    credit = rng.random(n)
    rate = np.ones(n) * credit
    value = ladders.hashrate_ths * rate[:, None] * (41.7 / 24_000.0) - power_w * (33.3 / 1e6)
    proven = {**columns, "view.credit": credit, "decision.choices.value_usd_h": value}
    payload = encode(head, proven, None, ladders, prices)
    assert bits(decode(payload, None, ladders).columns) == bits(proven)
    assert len(payload) < 4 * n * 8
    otherwise = {**columns, "decision.choices.power_w": power_w + 1e-9}
    assert bits(decode(encode(head, otherwise, None, ladders, prices), None, ladders).columns) == bits(otherwise)


class Colour(StrEnum):
    """A name."""

    RED = "red"


class Number(IntEnum):
    """A number."""

    ONE = 1


@dataclass(frozen=True)
class Inner:
    """Part of a noun."""

    colour: Colour
    number: Number
    column: Floats
    text: str = "none"


@dataclass(frozen=True)
class Outer:
    """A noun of everything that a noun may have."""

    inner: tuple[Inner, ...]
    pairs: tuple[tuple[int, Floats], ...]
    table: Mapping[Colour, tuple[float, ...]]
    maybe: Floats | None = None
    perhaps: float | None = None
    flag: bool = True


OUTER = Outer(
    inner=(Inner(Colour.RED, Number.ONE, np.array([1.0, np.nan])), Inner(Colour.RED, Number.ONE, np.array([]), "x")),
    pairs=((3, np.array([-0.0])),),
    table={Colour.RED: (float("inf"), -0.5, 1.0)},
    perhaps=float("-inf"),
)


def test_every_kind_of_field_comes_back() -> None:
    """A noun with a new kind of field that is written and cannot be read."""
    columns: dict[str, NDArray[Any]] = {}
    packed = json.loads(json.dumps(pack(OUTER, columns)))
    back = unpack(Outer, packed, columns)
    again: dict[str, NDArray[Any]] = {}
    assert repr(pack(back, again)) == repr(pack(OUTER, {}))
    assert bits(again) == bits(columns)
    assert isinstance(back.inner[0].colour, Colour)
    assert isinstance(back.inner[0].number, Number)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"flag": 3}, "flag: '3', expected bool"),
        ({"inner": [{"colour": "green"}]}, "green"),
        ({"inner": [{"colour": "red", "number": 1}]}, "inner.0.column: missing"),
        ({"pairs": [[1]]}, "pairs.0: 1 values, expected 2"),
        ({"pairs": None}, "pairs: 'None', expected a list"),
        ({"table": [1]}, "table: '[1]', expected a table"),
        ({"maybe": "@"}, "maybe: '@', expected an array"),
        ({"perhaps": "1"}, "perhaps: '1', expected float"),
    ],
)
def test_stored_rubbish_is_told_with_its_path(change: dict[str, Any], said: str) -> None:
    """A journal of another version that is read as something else, or whose error names no place."""
    columns: dict[str, NDArray[Any]] = {}
    packed = {**pack(OUTER, columns), **change}
    with pytest.raises(Unreadable) as error:
        unpack(Outer, packed, columns)
    assert said in str(error.value)


def test_a_field_that_an_older_journal_lacks_takes_its_default() -> None:
    """A new field with a default that makes every older journal unreadable."""
    columns: dict[str, NDArray[Any]] = {}
    packed = pack(OUTER, columns)
    del packed["flag"], packed["perhaps"]
    back = unpack(Outer, packed, columns)
    assert (back.flag, back.perhaps) == (True, None)


def test_what_no_noun_may_have_is_refused() -> None:
    """An object that is journaled as something that cannot be read back."""
    with pytest.raises(TypeError, match=r"a\.1: complex is no part of a noun"):
        pack((1, 2j), {}, "a")
