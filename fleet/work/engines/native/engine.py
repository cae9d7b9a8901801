"""The native engines: scans, and batches of headers, by their kernels.

A kernel is compiled when it is first needed. A scan goes in calls of some tens of milliseconds, so that what a kernel writes
is bounded; its marks are candidates, and each is hashed again by hashlib and held against the whole target.
"""

from __future__ import annotations

import ctypes
import functools
import re
from array import array
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from fleet.work.engines.native import kernels
from fleet.work.engines.native.compiled import Kernel, kernel, this_processor
from fleet.work.engines.native.kernels import Layout
from fleet.work.engines.native.recipes import Recipe, recipes
from fleet.work.engines.reference import HashlibEngine
from fleet.work.header import (
    DIGEST_BYTES,
    HEADER_BYTES,
    Hit,
    checked_headers,
    checked_scan,
    folded,
    little_word,
    meets,
    sha256d,
)
from fleet.work.sha256 import BLOCK_WORDS, H0, MASK, STATE_WORDS, compress, padding, words_of

MOST_TURNS: Final = 1 << 18
"""Of the inner loop in one call: some tens of milliseconds, and as many masks."""
_BATCH: Final = 64
"""Fewer headers than this are hashed by hashlib, which needs no columns of them."""
Column: TypeAlias = "array[int] | int"
"""A word of each of many, or the same word of all."""
_BRANCHES: Final = 4
"""Fewer than this are hashed by hashlib before a kernel is called."""
_FEW: Final = 2
"""So many versions have their midstates from the reference, and need no kernel for it."""
_MARK: Final = re.compile(rb"[^\0]")
_BITS: Final = tuple(tuple(bit for bit in range(8) if octet >> bit & 1) for octet in range(256))
_POINTER: Final = ctypes.c_void_p
_U32: Final = ctypes.c_uint32
_U64: Final = ctypes.c_uint64
_KERNELS: Final = {
    kernels.SCAN: (kernels.scan, [_POINTER, _POINTER, _U32, _U32, _U32, _POINTER, _U64, _U64]),
    kernels.FOLD: (kernels.folding, [_POINTER, _POINTER, _U64, _U64]),
    kernels.COMPRESS: (kernels.compression, [_POINTER, _POINTER, _POINTER, _U64, _U64, _U64]),
}
"""What makes a kernel's code, and the types of its arguments."""


def natives() -> list[NativeEngine]:
    """The native engines of this processor, the most promising first: its SHA instructions, and its widest lanes."""
    possible = recipes(this_processor())
    by_instructions = [recipe for recipe in possible if recipe.compresses.lanes == 1]
    by_lanes = [recipe for recipe in possible if recipe.compresses.lanes > 1]
    return [NativeEngine(recipe) for recipe in (*by_instructions, *by_lanes[:1])]


class NativeEngine:
    """SHA-256d in machine code for this processor. Safe for any number of threads, which gain by it."""

    def __init__(self, recipe: Recipe, most_turns: int = MOST_TURNS) -> None:
        """`most_turns`: of the inner loop in one call of a kernel."""
        self.recipe = recipe
        self._most_turns = most_turns
        self._reference = HashlibEngine()

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return self.recipe.name

    @property
    def threads_gain(self) -> bool:
        """Yes: kernels run without the interpreter's lock."""
        return True

    def scan(self, head: bytes, nonces: range, target: int, versions: Sequence[int] = ()) -> tuple[Hit, ...]:
        """Every header of these nonces and versions at or below the target; see `Engine`."""
        every = checked_scan(head, nonces, versions)
        if target < 0 or not nonces:
            return ()
        marked: list[tuple[int, int]] = []
        for layout, first, groups in _grouped(self.recipe.scans, len(every), self._most_turns):
            midstates = self._midstates(head[4:64], every[first : first + groups * layout.versions])
            places = self._marked(layout, midstates, groups, head[64:], nonces, min(target >> 224, MASK))
            marked += [(first + version, nonce) for version, nonce in places]
        found = (_hit(head, every[version], nonces[nonce]) for version, nonce in sorted(marked))
        return tuple(hit for hit in found if meets(hit.digest, target))

    def digests(self, headers: bytes) -> bytes:
        """The hashes of headers that stand one after another; see `Engine`."""
        count = checked_headers(headers)
        if count < _BATCH:
            return self._reference.digests(headers)
        words = _swapped(array("I", headers))
        columns: list[Column] = [words[at :: HEADER_BYTES // 4] for at in range(HEADER_BYTES // 4)]
        midstates = self._compressed(H0, columns[:BLOCK_WORDS], count)
        first = self._compressed(midstates, (*columns[BLOCK_WORDS:], *padding(HEADER_BYTES // 4)), count)
        second = self._compressed(H0, (*first, *padding(DIGEST_BYTES // 4)), count)
        return _swapped(_rows(second, count)).tobytes()

    def folded(self, leaf: bytes, branches: Sequence[bytes]) -> bytes:
        """The merkle root above a leaf; see `Engine`.

        Raises:
            ValueError: a leaf or a branch that is not 32 bytes.
        """
        if len(branches) < _BRANCHES:
            return folded(leaf, branches)
        joined = b"".join(branches)
        if len(leaf) != DIGEST_BYTES or len(joined) != DIGEST_BYTES * len(branches):
            raise ValueError(f"a leaf of {len(leaf)} and branches of {len(joined)} bytes, expected {DIGEST_BYTES} each")
        chain = bytearray(leaf + bytes(len(joined)))
        _kernel(kernels.FOLD, self.recipe.compresses).call(_address(chain), joined, 1, len(branches))
        return bytes(chain[-DIGEST_BYTES:])

    def _marked(
        self, layout: Layout, midstates: array[int], groups: int, tail: bytes, nonces: range, threshold: int
    ) -> Iterator[tuple[int, int]]:
        """Places of versions (from the first of the groups) and of nonces whose last word is at or below the threshold."""
        run = _kernel(kernels.SCAN, layout)
        tail_words = array("I", words_of(tail))
        turns_left = -(-len(nonces) // layout.nonces_a_turn)
        turns_a_call = max(1, min(turns_left, self._most_turns // groups))
        masks = bytearray(groups * turns_a_call * layout.mask_bytes)
        nothing = bytes(masks)
        for start in range(0, turns_left, turns_a_call):
            turns = min(turns_a_call, turns_left - start)
            begin = start * layout.nonces_a_turn
            steps = _U32(nonces[begin]), _U32(nonces.step), _U32(threshold)
            run.call(_address(tail_words), _address(midstates), *steps, _address(masks), groups, turns)
            if masks == nothing:
                continue
            for found in _MARK.finditer(masks, 0, groups * turns * layout.mask_bytes):
                turn_of_all, octet = divmod(found.start(), layout.mask_bytes)
                group, turn = divmod(turn_of_all, turns)
                for bit in _BITS[found.group()[0]]:
                    version, nonce = divmod(8 * octet + bit, layout.nonces_a_turn)
                    place = begin + turn * layout.nonces_a_turn + nonce
                    if place < len(nonces):
                        yield group * layout.versions + version, place

    def _midstates(self, first_block: bytes, versions: Sequence[int]) -> array[int]:
        """The hash values after the first 64 bytes, eight words for each version; `first_block` is without its version."""
        if len(versions) <= _FEW:
            return array("I", [word for version in versions for word in _midstate(little_word(version) + first_block)])
        swapped = _swapped(array("I", versions))
        return _rows(self._compressed(H0, (swapped, *words_of(first_block)), len(versions)), len(versions))

    def _compressed(self, states: Sequence[Column], blocks: Sequence[Column], count: int) -> list[array[int]]:
        """The columns of hash values after one block each, from columns of hash values and of blocks."""
        layout = self.recipe.compresses
        turns = -(-count // layout.nonces_a_turn)
        room = turns * layout.nonces_a_turn
        results = array("I", bytes(4 * STATE_WORDS * room))
        run = _kernel(kernels.COMPRESS, layout)
        before, block = _columns(states, room), _columns(blocks, room)
        run.call(_address(before), _address(block), _address(results), room, 1, turns)
        return [results[at * room : at * room + count] for at in range(STATE_WORDS)]


@functools.cache
def _kernel(name: str, layout: Layout) -> Kernel:
    """A kernel, compiled when it is first asked for; two threads that ask at once may each compile it, and use either."""
    code, arguments = _KERNELS[name]
    return kernel(code(layout), name, arguments)


def _grouped(layouts: Sequence[Layout], count: int, most: int) -> Iterator[tuple[Layout, int, int]]:
    """So many versions in groups: a layout, the place of its first version, and how many groups follow, `most` at most."""
    first = 0
    for layout in layouts:
        left = (count - first) // layout.versions
        while left:
            groups = min(left, most)
            yield layout, first, groups
            first += groups * layout.versions
            left -= groups


def _hit(head: bytes, version: int, nonce: int) -> Hit:
    """A header, hashed by the reference."""
    return Hit(version, nonce, sha256d(little_word(version) + head[4:] + little_word(nonce)))


@functools.lru_cache(maxsize=256)
def _midstate(block: bytes) -> tuple[int, ...]:
    """The hash value after a first block, by the reference on integers; scans go through one header in pieces."""
    return tuple(word for word in compress(H0, words_of(block)) if isinstance(word, int))


def _swapped(words: array[int]) -> array[int]:
    """Words from little-endian to big-endian, or back, in place."""
    words.byteswap()
    return words


def _columns(columns: Sequence[Column], room: int) -> bytearray:
    """One column after another, each with so much room; an integer fills its column."""
    joined = bytearray()
    for column in columns:
        joined += array("I", [column]) * room if isinstance(column, int) else column
        joined += bytes(-len(joined) % (4 * room))
    return joined


def _rows(columns: Sequence[array[int]], count: int) -> array[int]:
    """The first word of each column, then the second of each, and so on."""
    rows = array("I", bytes(4 * len(columns) * count))
    for at, column in enumerate(columns):
        rows[at :: len(columns)] = column
    return rows


def _address(memory: array[int] | bytearray) -> int:
    """Where it is; it must outlive the call, and not change its size."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))
