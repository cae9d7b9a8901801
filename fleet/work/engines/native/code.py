"""LLVM's intermediate code as text: three blocks, one inside another, and the values that they compute.

The first block runs once, the second for each turn of the outer loop, the third for each turn of the inner one. An
instruction goes to the first block that knows all its operands, so what does not change in a loop is computed before it;
an instruction that is there already is not written twice, so what two hashes have in common is computed once. What nobody
uses is left to LLVM, which drops it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

I32: Final = "i32"
I64: Final = "i64"
ONCE: Final = 1
OUTER: Final = 2
INNER: Final = 3


@dataclass(frozen=True, slots=True)
class Value:
    """A name or a constant, its type, the block that knows it (0: a constant), and when in that block."""

    type: str
    text: str
    stage: int
    when: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        """As an operand with its type."""
        return f"{self.type} {self.text}"


def vector_type(width: int) -> str:
    """The type of so many words side by side; a scalar for one."""
    return I32 if width == 1 else f"<{width} x {I32}>"


def constant(number: int, type_: str = I32) -> Value:
    """A number."""
    return Value(type_, str(number), 0)


def constants(numbers: Sequence[int]) -> Value:
    """A vector of numbers."""
    return Value(vector_type(len(numbers)), "<" + ", ".join(f"{I32} {number}" for number in numbers) + ">", 0)


def argument(type_: str, name: str) -> Value:
    """What the function is called with."""
    return Value(type_, f"%{name}", ONCE)


OUTER_TURN: Final = Value(I64, "%outer", OUTER)
INNER_TURN: Final = Value(I64, "%inner", INNER)
"""The number of the turn that the loop is in, from 0."""


class Code:
    """The three blocks while they are written.

    `when` (step, stream) orders the instructions of a block: each comes at the `when` that it is written at, or with the last
    of its operands there; those of one step of one stream come as they are written.
    """

    def __init__(self) -> None:
        self.when = (0, 0)
        self._blocks: dict[int, list[tuple[tuple[int, int], str]]] = {ONCE: [], OUTER: [], INNER: []}
        self._declared: dict[str, str] = {}
        self._values: dict[str, Value] = {}
        self._origins: dict[Value, tuple[Value, int]] = {}

    def apply(self, type_: str, instruction: str, *operands: Value) -> Value:
        """The result of an instruction, in the first block that knows its operands."""
        value = self._values.get(instruction)
        if value is None:
            stage = max([ONCE, *(operand.stage for operand in operands)])
            when = max([self.when, *(operand.when for operand in operands if operand.stage == stage)])
            value = self._values[instruction] = Value(type_, f"%v{len(self._values)}", stage, when)
            self._blocks[stage].append((when, f"{value.text} = {instruction}"))
        return value

    def binary(self, operation: str, x: Value, y: Value) -> Value:
        """`add`, `xor` and the like, of two values of one type."""
        return self.apply(x.type, f"{operation} {x}, {y.text}", x, y)

    def call(self, type_: str, function: str, *operands: Value) -> Value:
        """The result of a function without side effects: one of LLVM's, or an instruction of the processor."""
        self._declared[function] = f"declare {type_} @{function}({', '.join(operand.type for operand in operands)})"
        return self.apply(type_, f"call {type_} @{function}({', '.join(map(str, operands))})", *operands)

    def address(self, pointer: Value, index: Value, type_: str = I32) -> Value:
        """Of an element of an array."""
        return self.apply("ptr", f"getelementptr {type_}, {pointer}, {index}", pointer, index)

    def load(self, pointer: Value, index: Value, width: int = 1) -> Value:
        """So many words of an array that the code does not write."""
        at = self.address(pointer, index)
        return self.apply(vector_type(width), f"load {vector_type(width)}, {at}, align 4", at)

    def store(self, value: Value, address: Value) -> None:
        """Written in each turn of the inner loop."""
        self._blocks[INNER].append((max(value.when, address.when), f"store {value}, {address}, align 1"))

    def splat(self, word: Value, width: int) -> Value:
        """A vector with the same word everywhere."""
        if word.stage == 0:
            return constants([int(word.text)] * width)
        type_ = vector_type(width)
        first = self.apply(type_, f"insertelement {type_} poison, {word}, i32 0", word)
        return self.shuffle(first, first, [0] * width)

    def shuffle(self, x: Value, y: Value, order: Sequence[int]) -> Value:
        """A vector of the words of two, which are numbered one after another."""
        return self.apply(vector_type(len(order)), f"shufflevector {x}, {y}, {constants(order)}", x, y)

    def unpack(self, quad: Value) -> list[Value]:
        """The words of a vector of four; `pack` remembers where they came from."""
        words = [self.apply(I32, f"extractelement {quad}, i32 {at}", quad) for at in range(4)]
        self._origins.update({word: (quad, at) for at, word in enumerate(words)})
        return words

    def pack(self, words: Sequence[Value]) -> Value:
        """A vector of words: the four that they were, a shuffle of two fours, or one after another, known ones first."""
        origins = [self._origins[word] for word in words if word in self._origins]
        quads = list(dict.fromkeys(quad for quad, _ in origins))
        if len(origins) == len(words) and len(quads) <= 2:
            order = [4 * quads.index(quad) + at for quad, at in origins]
            return quads[0] if order == [0, 1, 2, 3] else self.shuffle(quads[0], quads[-1], order)
        type_ = vector_type(len(words))
        known = (str(word) if word.stage == 0 else f"{I32} poison" for word in words)
        packed = Value(type_, f"<{', '.join(known)}>", 0)
        for at, word in sorted(enumerate(words), key=lambda pair: pair[1].stage):
            if word.stage:
                packed = self.apply(type_, f"insertelement {packed}, {word}, i32 {at}", packed, word)
        return packed

    def function(self, name: str, arguments: Sequence[Value]) -> str:
        """The module with its one function, whose last arguments are `turns.outer` and `turns.inner`, both above zero."""
        declarations = "\n".join(self._declared.values())
        every = ", ".join([*map(str, arguments), f"{I64} %turns.outer", f"{I64} %turns.inner"])
        # vectors of 512 bits, also where LLVM would rather spare the clock
        return f"""{declarations}
define void @{name}({every}) "min-legal-vector-width"="512" "prefer-vector-width"="512" {{
once:
  {self._block(ONCE)}
  br label %outer.loop
outer.loop:
  %outer = phi i64 [0, %once], [%outer.next, %outer.end]
  {self._block(OUTER)}
  br label %inner.loop
inner.loop:
  %inner = phi i64 [0, %outer.loop], [%inner.next, %inner.loop]
  {self._block(INNER)}
  %inner.next = add i64 %inner, 1
  %inner.more = icmp ult i64 %inner.next, %turns.inner
  br i1 %inner.more, label %inner.loop, label %outer.end
outer.end:
  %outer.next = add i64 %outer, 1
  %outer.more = icmp ult i64 %outer.next, %turns.outer
  br i1 %outer.more, label %outer.loop, label %done
done:
  ret void
}}
"""

    def _block(self, stage: int) -> str:
        """The instructions of a block in their order."""
        return "\n  ".join(line for _, line in sorted(self._blocks[stage], key=lambda pair: pair[0]))
