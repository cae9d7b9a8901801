"""Lines come out of a stream whole, however it is cut, and nobody makes us keep more than the limit."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.work.stratum import Lines, TooLong


@st.composite
def cut(draw: st.DrawFn) -> list[bytes]:
    """A stream of lines and half a line, cut into pieces at any places."""
    stream = draw(st.binary(max_size=200).map(lambda data: data.replace(b"a", b"\n").replace(b"b", b"\r\n")))
    places = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    return [stream[first:last] for first, last in pairwise([0, *places, len(stream)])]


@given(cut())
def test_cuts_do_not_matter(pieces: list[bytes]) -> None:
    """Where packets end would change what lines are read."""
    lines = Lines(200)
    found = [line for piece in pieces for line in lines.feed(piece)]
    whole = b"".join(pieces)
    assert found == [line for line in (piece.rstrip(b"\r\0") for piece in whole.split(b"\n")[:-1]) if line]
    assert lines.kept_bytes == len(whole.rpartition(b"\n")[2])


@pytest.mark.parametrize("size_bytes", [1, 100, 1_460, 16_000])
def test_a_line_in_three_pieces(size_bytes: int) -> None:
    """A long line, a job of a full block say, would lose what came in the packets before its last."""
    lines = Lines(50_000)
    assert lines.feed(b"x" * size_bytes) == []
    assert lines.feed(b"y" * size_bytes) == []
    assert lines.feed(b"z\nrest") == [b"x" * size_bytes + b"y" * size_bytes + b"z"]
    assert lines.kept_bytes == 4


def test_ends_of_lines() -> None:
    """Carriage returns, a C string's end and empty lines would be read as messages."""
    assert Lines(9).feed(b"a\r\nb\0\n\n\r\nc\n\0\nd") == [b"a", b"b", b"c"]


@pytest.mark.parametrize("piece_bytes", [1, 7, 64, 1_000])
@pytest.mark.parametrize("ends", [False, True])
def test_a_long_line_is_told_once(piece_bytes: int, ends: bool) -> None:
    """A line without end would fill the memory, be told again and again, or take those before it along."""
    lines = Lines(64)
    stream = b"good\n" + b"x" * 10_000 + (b"\n" if ends else b"") + b"late\n"
    found, told = [], 0
    for start in range(0, len(stream), piece_bytes):
        try:
            found += lines.feed(stream[start : start + piece_bytes])
        except TooLong as error:
            told += 1
            found += error.lines
        assert lines.kept_bytes <= 64
    assert (found, told) == ([b"good"], 1)


@pytest.mark.parametrize(("size_bytes", "refused"), [(64, False), (65, True)])
def test_the_limit_is_what_it_says(size_bytes: int, refused: bool) -> None:
    """A line of just the limit would be refused, or one byte more taken."""
    for stream in (b"x" * size_bytes + b"\n", b"x" * size_bytes):
        lines = Lines(64)
        if refused:
            with pytest.raises(TooLong, match="64 bytes"):
                lines.feed(stream)
        else:
            lines.feed(stream)


def test_two_halves_are_one_line() -> None:
    """A line could be twice the limit, if it came in two packets."""
    lines = Lines(64)
    assert lines.feed(b"x" * 40) == []
    with pytest.raises(TooLong):
        lines.feed(b"y" * 25 + b"\n")


def test_half_a_line_in_small_pieces_takes_no_more_than_the_limit() -> None:
    """A peer that sends a byte at a time would make each of them cost an object."""
    lines = Lines(100_000)
    tracemalloc.start()
    for _ in range(90_000):
        lines.feed(b"x")
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most_bytes < 250_000
