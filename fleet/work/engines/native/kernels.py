"""The kernels as LLVM's intermediate code: scans of nonces and versions, batches of blocks, and merkle roots.

A scan is two loops, nonces inside versions. A version's midstate and first rounds stand before the inner loop, and versions
that are hashed side by side share a nonce's message schedule, because `Code` puts each instruction where its operands are
known, and once. In every turn a scan stores a mask with a bit for each header whose last word is at or below the target's:
none can be lost, and nothing is branched on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fleet.work.engines.native.code import I32, I64, INNER_TURN, OUTER_TURN, Code, Value, argument, constant, constants
from fleet.work.engines.native.instructions import ArmExtensions, Instructions, ShaExtensions
from fleet.work.engines.native.word import Pace, Streams
from fleet.work.sha256 import BLOCK_WORDS, FORMULAS, H0, STATE_WORDS, Steps, compress, padding, twice

SCAN: Final = "scan"
COMPRESS: Final = "compress"
FOLD: Final = "fold"
FORMULAS_ALONE: Final = "formulas"
INSTRUCTIONS: Final[dict[str, Callable[[Pace], Instructions]]] = {"x86": ShaExtensions, "arm": ArmExtensions}


@dataclass(frozen=True, slots=True)
class Layout:
    """What a turn of the inner loop hashes side by side: so many versions, each with so many nonces.

    `steps`: a key of `INSTRUCTIONS`, or "formulas". `lanes`: nonces in a vector, for the formulas; the instructions hash a
    header at a time. `nonces`, `versions`: streams of them. `stagger`: how many steps of four rounds a stream is behind the
    one before it, by instructions.
    """

    steps: str
    lanes: int = 1
    nonces: int = 1
    versions: int = 1
    stagger: int = 0

    @property
    def nonces_a_turn(self) -> int:
        """Of each version."""
        return self.lanes * self.nonces

    @property
    def headers(self) -> int:
        """In a turn."""
        return self.nonces_a_turn * self.versions

    @property
    def mask_bytes(self) -> int:
        """The size of a turn's mask: a power of two with a bit for each header."""
        return max(1, 1 << (self.headers - 1).bit_length() >> 3)

    def begin(self) -> tuple[Pace, Steps]:
        """New code, and how it takes the steps of SHA-256."""
        if self.steps == FORMULAS_ALONE:
            return Pace(Code(), None), FORMULAS
        pace = Pace(Code(), self.stagger)
        return pace, INSTRUCTIONS[self.steps](pace)


def scan(layout: Layout) -> str:
    """The code of `scan(tail, midstates, first, step, threshold, masks, turns.outer, turns.inner)`.

    `tail` has the header's words 16 to 18, `midstates` eight words for each version; nonces are `first + step * position`.
    An outer turn is a group of the layout's versions, an inner one a group of nonces. `masks` has one for each inner turn:
    bit `nonce + nonces a turn * version` is set where the hash's last word, as the target's first, is at or below
    `threshold`.
    """
    pace, steps = layout.begin()
    code, tail = pace.code, argument("ptr", "tail")
    words = [Streams(pace, [code.load(tail, constant(at, I64))]) for at in range(3)]
    nonce = _nonces(pace, layout).byteswapped()
    last = twice(_midstates(pace, layout), (*words, nonce), steps)[STATE_WORDS - 1]
    assert isinstance(last, Streams)
    bits = f"i{8 * layout.mask_bytes}"
    masks, row = argument("ptr", "masks"), code.binary("mul", OUTER_TURN, argument(I64, "turns.inner"))
    code.store(_mask(layout, last, bits), code.address(masks, code.binary("add", row, INNER_TURN), bits))
    named = [argument(I32, name) for name in ("first", "step", "threshold")]
    return code.function(SCAN, [tail, argument("ptr", "midstates"), *named, masks])


def compression(layout: Layout) -> str:
    """The code of `compress(states, blocks, results, count, turns.outer, turns.inner)`, for the layout's nonces a turn.

    The arrays have the first word of each, then the second of each, and so on, of `count` in all; there is one outer turn.
    """
    pace, steps = layout.begin()
    code, count = pace.code, argument(I64, "count")
    states, blocks, results = (argument("ptr", name) for name in ("states", "blocks", "results"))
    turn = code.binary("mul", INNER_TURN, constant(layout.nonces_a_turn, I64))

    def places(word: int) -> list[Value]:
        row = code.binary("add", code.binary("mul", count, constant(word, I64)), turn)
        return [code.binary("add", row, constant(at * layout.lanes, I64)) for at in range(layout.nonces)]

    def words(array: Value, number: int) -> list[Streams]:
        rows = [[code.load(array, place, layout.lanes) for place in places(word)] for word in range(number)]
        return [Streams(pace, row, layout.lanes) for row in rows]

    after = compress(words(states, STATE_WORDS), words(blocks, BLOCK_WORDS), steps)
    for at, word in enumerate(after):
        assert isinstance(word, Streams)
        for value, place in zip(word.values, places(at), strict=True):
            code.store(value, code.address(results, place))
    return code.function(COMPRESS, [states, blocks, results, count])


def folding(layout: Layout) -> str:
    """The code of `fold(chain, branches, turns.outer, turns.inner)`: a merkle root, a branch each turn.

    `chain` begins with the leaf's 32 bytes; each turn writes the hash of the last 32 and a branch behind them. Bytes are as
    they come out of SHA-256d. Of the layout only its steps count: one hash waits for another.
    """
    pace, steps = Layout(layout.steps, stagger=layout.stagger).begin()
    code, chain, branches = pace.code, argument("ptr", "chain"), argument("ptr", "branches")
    swap = "llvm.bswap.v4i32"

    def place(turn: Value, half: int) -> Value:
        at = code.binary("mul", turn, constant(STATE_WORDS, I64))
        return code.binary("add", at, constant(half, I64))

    def words(array: Value) -> list[Streams]:
        quads = [code.load(array, place(INNER_TURN, half), 4) for half in (0, 4)]
        return [Streams(pace, [word]) for quad in quads for word in code.unpack(code.call(quad.type, swap, quad))]

    first = compress(compress(H0, (*words(chain), *words(branches)), steps), padding(BLOCK_WORDS), steps)
    root = compress(H0, (*first, *padding(STATE_WORDS)), steps)
    following = code.binary("add", INNER_TURN, constant(1, I64))
    for half in (0, 4):
        quad = code.pack([word.values[0] for word in root[half : half + 4] if isinstance(word, Streams)])
        code.store(code.call(quad.type, swap, quad), code.address(chain, place(following, half)))
    return code.function(FOLD, [chain, branches])


def _midstates(pace: Pace, layout: Layout) -> list[Streams]:
    """The midstates of an outer turn's versions, each for all streams of its nonces."""
    code, midstates = pace.code, argument("ptr", "midstates")
    group = code.binary("mul", OUTER_TURN, constant(STATE_WORDS * layout.versions, I64))
    rows = []
    for version in range(layout.versions):
        places = [code.binary("add", group, constant(STATE_WORDS * version + half, I64)) for half in (0, 4)]
        state = [word for place in places for word in code.unpack(code.load(midstates, place, 4))]
        rows += [state] * layout.nonces
    return [Streams(pace, column) for column in zip(*rows, strict=True)]


def _nonces(pace: Pace, layout: Layout) -> Streams:
    """The nonces of an inner turn, the same for each version."""
    code, step = pace.code, argument(I32, "step")
    turn = code.apply(I32, f"trunc {INNER_TURN} to i32", INNER_TURN)
    ahead = code.binary("mul", turn, code.binary("mul", step, constant(layout.nonces_a_turn)))
    first = Streams(pace, [code.binary("add", argument(I32, "first"), ahead)])
    steps = Streams(pace, [step]).widened(layout.lanes).values[0]
    nonces: list[Value] = []
    for stream in range(layout.nonces):
        lanes = range(stream * layout.lanes, (stream + 1) * layout.lanes)
        positions = constants(lanes) if layout.lanes > 1 else constant(stream)
        place = Streams(pace, [code.binary("mul", steps, positions)], layout.lanes)
        nonces += (first + place).values
    return Streams(pace, nonces * layout.versions, layout.lanes)


def _mask(layout: Layout, last: Streams, type_: str) -> Value:
    """A bit for each header whose last word does not exceed the threshold."""
    code = last.pace.code
    if layout.lanes == 1:  # compared all at once
        last = Streams(last.pace, [code.pack(last.values)], layout.headers)
    threshold = code.splat(argument(I32, "threshold"), last.width)
    mask = constant(0, type_)
    for stream, value in enumerate(last.byteswapped().values):
        below = code.apply(f"<{last.width} x i1>", f"icmp ule {value}, {threshold.text}", value, threshold)
        part = code.apply(f"i{last.width}", f"bitcast {below} to i{last.width}", below)
        if part.type != type_:
            part = code.apply(type_, f"zext {part} to {type_}", part)
        mask = code.binary("or", mask, code.binary("shl", part, constant(stream * last.width, type_)))
    return mask
