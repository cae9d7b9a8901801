"""No share is counted twice, and remembering them all takes little."""

from __future__ import annotations

import random
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from fleet.work.counted import Flaw
from fleet.work.stratum.seen import Memory, Seen

keys = st.integers(0, (1 << 64) - 1)


@given(st.lists(st.integers(0, 300) | keys, max_size=600))
def test_it_is_a_set(added: list[int]) -> None:
    """Some share would be taken for another, or its second coming not be noticed, once the recent ones are merged."""
    seen, model = Seen(), set[int]()
    for key in added:
        assert seen.add(key) is (Flaw.DUPLICATE if key in model else None)
        model.add(key)
        assert len(seen) == len(model)


def test_many_shares() -> None:
    """At some size an old share would be forgotten, or a new one be taken for an old one."""
    numbers = random.Random(4)
    added = [numbers.getrandbits(64) for _ in range(20_000)]
    seen = Seen()
    assert all(seen.add(key) is None for key in added)
    assert all(seen.add(key) is Flaw.DUPLICATE for key in added)


def test_when_it_is_full_it_says_so() -> None:
    """A machine that floods would make us forget what was there, and be paid for it again."""
    seen = Seen(100)
    assert [seen.add(key) for key in range(100)] == [None] * 100
    assert seen.add(100) is Flaw.CROWDED
    assert seen.add(99) is Flaw.DUPLICATE
    assert len(seen) == 100


def test_a_share_takes_little_memory() -> None:
    """The shares of ten thousand machines over a long block would fill the memory: a quarter of what a set takes, no more."""
    numbers = random.Random(4)
    tracemalloc.start()
    seen = Seen()
    for _ in range(50_000):
        seen.add(numbers.getrandbits(64))
    kept_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept_bytes / 50_000 < 30


def test_a_few_blocks_are_remembered() -> None:
    """A pool that goes back and forth between two blocks would make old shares new, or fill the memory with blocks."""
    memory = Memory()
    first, second = memory.of(b"first"), memory.of(b"second")
    for number in range(20):
        assert memory.of(b"first") is first, "the one in use has to make room"
        memory.of(b"%d" % number)
    assert memory.of(b"second") is not second
