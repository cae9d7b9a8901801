"""The kernels' code for every processor, run by a machine in Python and held against hashlib."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from fleet.work.engines.native.code import Code, Value, argument, constant
from fleet.work.engines.native.kernels import Layout, compression, folding, scan
from fleet.work.header import folded, little_word, sha256d
from fleet.work.sha256 import H0, Word, compress, words_of
from tests.fleet.work.engines.interpreter import run

FIRST, STEP, THRESHOLD = 0xFFFF_FFF0, 3, 0x9000_0000
LAYOUTS = [
    *(Layout(steps, versions=8, stagger=4) for steps in ("x86", "arm")),
    *(Layout(steps, versions=2, nonces=2, stagger=1) for steps in ("x86", "arm")),
    *(Layout(steps, nonces=4) for steps in ("x86", "arm")),
    Layout("formulas", lanes=16, versions=2),
    Layout("formulas", lanes=8),
    Layout("formulas", lanes=4, nonces=2),
]


def little(words: Sequence[Word]) -> bytearray:
    """Words as the processor keeps them."""
    return bytearray(b"".join(word.to_bytes(4, "little") for word in words if isinstance(word, int)))


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_a_scan_marks_what_meets_the_threshold(layout: Layout) -> None:
    """A processor that nobody here has would be given code that finds other headers than there are."""
    source = random.Random(7)
    head, groups, turns = source.randbytes(76), 2, 2
    versions = [source.getrandbits(32) for _ in range(groups * layout.versions)]
    midstates = [word for v in versions for word in compress(H0, words_of(little_word(v) + head[4:64]))]
    masks = bytearray(groups * turns * layout.mask_bytes)
    arrays = {"tail": little(words_of(head[64:])), "midstates": little(midstates), "masks": masks}
    run(scan(layout), {**arrays, "first": FIRST, "step": STEP, "threshold": THRESHOLD}, groups, turns)
    expected = bytearray()
    for group in range(groups):
        for turn in range(turns):
            mask = 0
            for at in range(layout.headers):
                version, place = divmod(at, layout.nonces_a_turn)
                nonce = (FIRST + STEP * (turn * layout.nonces_a_turn + place)) % 2**32
                raw = little_word(versions[group * layout.versions + version]) + head[4:] + little_word(nonce)
                mask |= (int.from_bytes(sha256d(raw)[28:], "little") <= THRESHOLD) << at
            expected += mask.to_bytes(layout.mask_bytes, "little")
    assert masks == expected
    assert any(masks)


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout.versions == 1], ids=str)
def test_a_batch_of_blocks(layout: Layout) -> None:
    """A share would be judged by another hash than its own."""
    source = random.Random(8)
    turns = 2
    count = turns * layout.nonces_a_turn
    states = [[source.getrandbits(32) for _ in range(8)] for _ in range(count)]
    blocks = [[source.getrandbits(32) for _ in range(16)] for _ in range(count)]
    results = bytearray(4 * 8 * count)
    arrays = {
        "states": little([state[at] for at in range(8) for state in states]),
        "blocks": little([block[at] for at in range(16) for block in blocks]),
    }
    run(compression(layout), {**arrays, "results": results, "count": count}, 1, turns)
    after = [compress(state, block) for state, block in zip(states, blocks, strict=True)]
    assert results == little([words[at] for at in range(8) for words in after])


@pytest.mark.parametrize("steps", ["x86", "arm", "formulas"])
def test_a_merkle_root(steps: str) -> None:
    """Every share of a job would be held against the hash of another header."""
    source = random.Random(9)
    leaf, branches = source.randbytes(32), [source.randbytes(32) for _ in range(3)]
    chain = bytearray(leaf + bytes(32 * 3))
    run(folding(Layout(steps, nonces=4)), {"chain": chain, "branches": bytearray(b"".join(branches))}, 1, 3)
    assert [bytes(chain[at : at + 32]) for at in (32, 64, 96)] == [folded(leaf, branches[:n]) for n in (1, 2, 3)]


@pytest.mark.parametrize(("layout", "scheduled"), [(LAYOUTS[0], 11 + 8 * 12), (LAYOUTS[4], 4 * 11 + 4 * 12)], ids=str)
def test_what_is_known_before_the_loop_is_not_in_it(layout: Layout, scheduled: int) -> None:
    """A midstate, a first round, or a message schedule that versions share would be computed again and again."""
    inner = scan(layout).partition("inner.loop:")[2]
    assert inner.count("sha256msg2") == scheduled
    assert inner.count("sha256rnds2") == layout.headers * (64 - 4 + 64) // 2


def test_code_is_written_once_and_where_it_is_known() -> None:
    """What hashes have in common would be computed for each of them."""
    code = Code()
    word, turn = argument("i32", "first"), Value("i32", "%turn", 3)
    once, again = code.binary("add", word, constant(7)), code.binary("add", word, constant(7))
    late = code.binary("xor", once, turn)
    assert (once, once.stage, late.stage) == (again, 1, 3)
    text = code.function("f", [word])
    assert text.count("add i32 %first, 7") == 1
    assert text.index("add i32 %first, 7") < text.index("outer.loop:") < text.index("inner.loop:") < text.index("xor")


def test_packed_words() -> None:
    """Words that came out of one register or two would be put together again one by one."""
    code = Code()
    x, y = (code.load(argument("ptr", name), constant(0, "i64"), 4) for name in ("x", "y"))
    a, b = code.unpack(x), code.unpack(y)
    assert code.pack(a) == x
    assert "insertelement" not in code.function("f", [])
    code.pack([*a[1:], b[0]])
    assert "<i32 1, i32 2, i32 3, i32 4>" in code.function("f", [])
    code.pack([constant(1), a[0], constant(2), b[3]])
    assert "insertelement <4 x i32> <i32 1, i32 poison, i32 2, i32 poison>" in code.function("f", [])
