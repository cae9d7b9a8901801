"""The native engines of this host: no hit is lost, none is made up, and other processors' code has their instructions."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.work.engines.native.compiled import Processor, assembly, this_processor
from fleet.work.engines.native.engine import MOST_TURNS, NativeEngine, natives
from fleet.work.engines.native.kernels import compression, scan
from fleet.work.engines.native.recipes import RECIPES, Recipe, recipes
from fleet.work.engines.reference import HashlibEngine
from fleet.work.header import MOST_NONCES

HERE = recipes(this_processor())
EVERY = pytest.mark.parametrize("recipe", HERE, ids=lambda recipe: recipe.name)
REFERENCE = HashlibEngine()


@st.composite
def nonce_ranges(draw: st.DrawFn) -> range:
    """Forwards and backwards, with steps, at both ends of what there is, never a multiple of anything."""
    first = draw(
        st.one_of(st.integers(0, 40), st.integers(0, MOST_NONCES - 1), st.integers(MOST_NONCES - 40, MOST_NONCES - 1))
    )
    step = draw(st.one_of(st.sampled_from((1, 1, -1)), st.integers(2, 1 << 28), st.integers(-(1 << 28), -2)))
    count = draw(st.integers(0, 90))
    room = (MOST_NONCES - 1 - first) // step if step > 0 else first // -step
    return range(first, first + min(count, room + 1) * step, step)


@given(
    recipe=st.sampled_from(HERE),
    most_turns=st.sampled_from((1, 3, MOST_TURNS)),
    head=st.binary(min_size=76, max_size=76),
    nonces=nonce_ranges(),
    versions=st.lists(st.integers(0, 2**32 - 1), max_size=19),
    target=st.one_of(st.integers(0, 2**256), st.integers(244, 257).map(lambda bits: 2**bits - 1), st.integers(-1, 1)),
)
def test_agreement_with_the_reference(
    recipe: Recipe, most_turns: int, head: bytes, nonces: range, versions: list[int], target: int
) -> None:
    """A header would be found, or missed, that hashlib does not find: at an end, in a lane, between two calls."""
    hits = NativeEngine(recipe, most_turns).scan(head, nonces, target, versions)
    assert hits == REFERENCE.scan(head, nonces, target, versions)


@EVERY
def test_every_header_is_a_hit(recipe: Recipe) -> None:
    """Where all meet an easy target, some would find no room."""
    head, nonces, versions = bytes(76), range(5, 3_000), (7, 7, *range(16))
    hits = NativeEngine(recipe).scan(head, nonces, 2**256 - 1, versions)
    assert [(hit.version, hit.nonce) for hit in hits] == [(version, nonce) for version in versions for nonce in nonces]
    assert hits[-1] == REFERENCE.scan(head, nonces[-1:], 2**256 - 1, versions[-1:])[0]


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 67, 500])
@EVERY
def test_batches(recipe: Recipe, count: int) -> None:
    """A share would be given the hash of its neighbour."""
    headers = random.Random(count).randbytes(80 * count)
    assert NativeEngine(recipe).digests(headers) == REFERENCE.digests(headers)


@EVERY
@pytest.mark.parametrize("branches", [0, 1, 3, 4, 12, 33])
def test_merkle_roots(recipe: Recipe, branches: int) -> None:
    """A share's header would have a root that is not its job's."""
    source = random.Random(branches)
    leaf, right = source.randbytes(32), [source.randbytes(32) for _ in range(branches)]
    assert NativeEngine(recipe).folded(leaf, right) == REFERENCE.folded(leaf, right)
    if branches >= 4:
        with pytest.raises(ValueError, match="expected 32 each"):
            NativeEngine(recipe).folded(leaf, [*right[1:], b"short"])


def test_many_threads_on_one_new_engine() -> None:
    """A kernel would be used while another thread makes it, or threads write into each other's masks."""
    # layouts that no other test has compiled
    fresh = NativeEngine(replace(HERE[0], scans=tuple(replace(layout, stagger=9) for layout in HERE[0].scans)))
    heads = [bytes([at]) * 76 for at in range(8)]
    nonces, target = range(2_000), 2**250

    def work(head: bytes) -> object:
        return fresh.scan(head, nonces, target), fresh.scan(head, nonces, target, (1, 2, 3))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, heads))
    assert found == [(REFERENCE.scan(h, nonces, target), REFERENCE.scan(h, nonces, target, (1, 2, 3))) for h in heads]


@pytest.mark.parametrize(
    ("triple", "features", "names"),
    [
        ("x86_64-unknown-linux-gnu", "sha ssse3 avx2 avx512f avx512bw", "x86-sha avx512 avx2 sse"),
        ("x86_64-apple-darwin", "ssse3 avx2", "avx2 sse"),
        ("x86_64-unknown-linux-gnu", "", ""),
        ("aarch64-unknown-linux-gnu", "sha2 neon", "arm-sha2 neon"),
        ("arm64-apple-darwin23", "neon", "neon"),
        ("riscv64-unknown-linux-gnu", "v", ""),
    ],
)
def test_what_a_processor_can_have(triple: str, features: str, names: str) -> None:
    """A processor would be given instructions that it does not have."""
    processor = Processor(triple, "generic", frozenset(features.split()))
    assert [recipe.name for recipe in recipes(processor)] == names.split()


def test_the_widest_lanes_alone() -> None:
    """A trial would compile lanes that cannot win."""
    assert sum(made.recipe.compresses.lanes > 1 for made in natives()) <= 1


@pytest.mark.parametrize(
    ("name", "processor", "instructions"),
    [
        (
            "arm-sha2",
            Processor("aarch64-unknown-linux-gnu", "generic", frozenset({"neon", "sha2"})),
            {"sha256h": 30, "sha256h2": 31, "sha256su0": 20, "sha256su1": 23},
        ),
        (
            "x86-sha",
            Processor("x86_64-unknown-linux-gnu", "goldmont", frozenset({"sha", "ssse3"})),
            {"sha256rnds2": 61, "sha256msg1": 20, "sha256msg2": 23},
        ),
    ],
)
def test_instructions_of_other_processors(name: str, processor: Processor, instructions: dict[str, int]) -> None:
    """A machine that is not this one would go without its SHA instructions, or do rounds that no bit depends on.

    The first four rounds of the first hash are formulas, and the last word is known after 61 rounds of the second: two
    rounds less on x86, and on ARM half of the last four.
    """
    recipe = next(recipe for recipe in RECIPES if recipe.name == name)
    words = [line.split()[0] for line in assembly(scan(recipe.scans[-1]), processor).splitlines() if line.split()]
    inner = {instruction: words.count(instruction) / 4 for instruction in instructions}
    assert inner == instructions
    assert "sha256" in assembly(compression(recipe.compresses), processor)


def test_what_a_virtual_machine_hides() -> None:
    """A processor whose name promises AVX-512 would be given it where its host has turned it off, and die of it."""
    sha = next(recipe for recipe in RECIPES if recipe.name == "x86-sha")
    zen4 = Processor("x86_64-unknown-linux-gnu", "znver4", frozenset({"sha", "ssse3"}))
    hidden = replace(zen4, lacks=frozenset({"avx512f", "avx512vl", "avx512bw", "avx512dq", "avx512cd"}))
    text = scan(sha.scans[-1])
    assert "xmm16" in assembly(text, zen4)
    assert "xmm16" not in assembly(text, hidden)
    here = this_processor()
    assert not here.lacks & here.features
