"""The abstract word of native code: the same word of several hashes that a kernel computes side by side.

A word has a value for each stream: a scalar, or a vector with a lane for each header. A word that is the same in every
stream has one value. What is done stream by stream is written stream by stream, a few instructions at a time, so that the
processor has work of one stream while an instruction of another waits for its operands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fleet.work.engines.native.code import I32, Code, Value, constant
from fleet.work.sha256 import Word


class Streams:
    """One word of every stream; see `Symbol` for what it does."""

    __slots__ = ("pace", "values", "width")

    def __init__(self, pace: Pace, values: Sequence[Value], width: int = 1) -> None:
        """`width`: how many lanes a value has, 1 for a scalar."""
        self.pace = pace
        self.values = (values[0],) if len(set(values)) == 1 else tuple(values)
        self.width = width

    @property
    def stage(self) -> int:
        """The block that knows it."""
        return max(value.stage for value in self.values)

    def rotated(self, bits: int, /) -> Streams:
        """ROTR: a funnel shift of the word with itself."""
        code, amount = self.pace.code, _lifted(self, bits)
        name = f"llvm.fshr.{_suffix(self.width)}"
        return _each(lambda x, by: code.call(x.type, name, x, x, by), self, amount)

    def byteswapped(self) -> Streams:
        """The word with its four bytes reversed."""
        code, name = self.pace.code, f"llvm.bswap.{_suffix(self.width)}"
        return _each(lambda x: code.call(x.type, name, x), self)

    def widened(self, width: int) -> Streams:
        """The same word in every lane of a vector."""
        code = self.pace.code
        return self if self.width == width else _each(lambda x: code.splat(x, width), self, width=width)

    def __add__(self, other: Word, /) -> Streams:
        return self._binary("add", other)

    def __and__(self, other: Word, /) -> Streams:
        return self._binary("and", other)

    def __or__(self, other: Word, /) -> Streams:
        return self._binary("or", other)

    def __xor__(self, other: Word, /) -> Streams:
        return self._binary("xor", other)

    def __rshift__(self, bits: int, /) -> Streams:
        return self._binary("lshr", bits)

    __radd__, __rand__, __ror__, __rxor__ = __add__, __and__, __or__, __xor__

    def _binary(self, operation: str, other: Word) -> Streams:
        """An operation of two words, of which a scalar serves every lane of the other."""
        x, y = self, _lifted(self, other)
        wide = max(x.width, y.width)
        code = self.pace.code
        return _each(lambda a, b: code.binary(operation, a, b), x.widened(wide), y.widened(wide))


class Pace:
    """How the streams go through the code.

    With a stagger they go step by step, each so many steps after the one before it; without, instruction by instruction.
    """

    def __init__(self, code: Code, stagger: int | None) -> None:
        self.code = code
        self.stagger = stagger
        self.step = 0

    def each(self, function: Callable[..., Sequence[Value]], *words: Streams, width: int = 1) -> list[Streams]:
        """The words that a function makes of the values of each stream, which belong to the present step."""
        count = max(len(word.values) for word in words)
        rows = []
        for stream in range(count):
            if self.stagger is not None:
                self.code.when = (self.step + self.stagger * stream, stream)
            rows.append(function(*(word.values[stream % len(word.values)] for word in words)))
        self.code.when = (self.step, 0)
        return [Streams(self, column, width) for column in zip(*rows, strict=True)]


def _each(function: Callable[..., Value], *words: Streams, width: int = 0) -> Streams:
    """A function of every stream's values, as wide as the words are unless told."""
    (result,) = words[0].pace.each(lambda *values: [function(*values)], *words, width=width or words[0].width)
    return result


def as_streams(pace: Pace, word: Word) -> Streams:
    """A word as code: itself, or a constant that every stream shares."""
    if isinstance(word, Streams):
        return word
    assert isinstance(word, int), f"a word of another kind, {type(word).__name__}"
    return Streams(pace, [constant(word)])


def _lifted(like: Streams, word: Word) -> Streams:
    """A word as it is, and an integer as wide as the word beside it."""
    return word if isinstance(word, Streams) else as_streams(like.pace, word).widened(like.width)


def _suffix(width: int) -> str:
    """How LLVM's functions are called for words of so many lanes."""
    return I32 if width == 1 else f"v{width}{I32}"
