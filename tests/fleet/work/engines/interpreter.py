"""A machine in Python that runs the kernels' intermediate code, so that code for any processor can be run on every one.

It knows the few instructions that `Code` writes, and what the processors' own instructions do, written from their manuals:
Intel's Software Developer's Manual, volume 2, and ARM's Architecture Reference Manual, shared pseudocode `SHA256hash`. A
vector is a list of integers, a pointer an array's bytes and an offset.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

MASK = 0xFFFF_FFFF
Pointer = tuple[bytearray, int]


def run(text: str, arguments: dict[str, Any], outer_turns: int, inner_turns: int) -> None:
    """A module's function, by the names of its arguments; arrays are bytearrays, and are written to."""
    blocks = {
        name: [line.strip() for line in body.splitlines() if re.match(r"\s*(%v\d+ =|store)", line)]
        for name, body in re.findall(r"^(once|outer\.loop|inner\.loop):\n(.*?)(?=^\S)", text, re.MULTILINE | re.DOTALL)
    }
    names: dict[str, Any] = {
        name: (value, 0) if isinstance(value, bytearray) else value for name, value in arguments.items()
    }
    names |= {"turns.outer": outer_turns, "turns.inner": inner_turns}
    steps = {name: [_step(line) for line in lines] for name, lines in blocks.items()}
    _do(steps["once"], names)
    for names["outer"] in range(outer_turns):
        _do(steps["outer.loop"], names)
        for names["inner"] in range(inner_turns):
            _do(steps["inner.loop"], names)


def _do(steps: list[Callable[[dict[str, Any]], None]], names: dict[str, Any]) -> None:
    for step in steps:
        step(names)


def _step(line: str) -> Callable[[dict[str, Any]], None]:
    """One line, read once."""
    if line.startswith("store"):
        (type_, value), (_, pointer), _ = map(_typed, _split(line.removeprefix("store ")))
        return lambda names: _store(type_, _value(value, names), names[pointer[1:]])
    name, _, instruction = line.partition(" = ")
    operation, _, rest = instruction.partition(" ")
    if operation == "call":
        type_, function, inside = re.fullmatch(r"(.+?) @([\w.]+)\((.*)\)", rest).groups()  # type: ignore[union-attr]
        operands = [_typed(part)[1] for part in _split(inside)]
        call = FUNCTIONS[re.sub(r"\.(v\d+)?i32$", "", function)]
        return lambda names: names.__setitem__(name[1:], call(*(_value(operand, names) for operand in operands)))
    if operation in {"trunc", "zext", "bitcast", "icmp"}:
        return _converted(name, operation, rest)
    parts = _split(rest)
    if operation in {"getelementptr", "load"}:
        (type_, pointer), index = (parts[0], _typed(parts[1])[1]), _typed(parts[2])[1]
        if operation == "load":
            return lambda names: names.__setitem__(name[1:], _load(type_, names[pointer[1:]]))
        size = _bytes(type_)

        def gep(names: dict[str, Any]) -> None:
            memory, offset = names[pointer[1:]]
            names[name[1:]] = (memory, offset + size * _value(index, names))

        return gep
    type_, first = _typed(parts[0])
    others = [
        _typed(part)[1] if operation in {"insertelement", "extractelement", "shufflevector"} else part
        for part in parts[1:]
    ]
    bits = 64 if type_.startswith("i64") else int(re.search(r"i(\d+)", type_).group(1))  # type: ignore[union-attr]
    apply = OPERATIONS[operation]
    return lambda names: names.__setitem__(
        name[1:], apply((1 << bits) - 1, _value(first, names), *(_value(other, names) for other in others))
    )


def _converted(name: str, operation: str, rest: str) -> Callable[[dict[str, Any]], None]:
    """Between types, and comparisons."""
    if operation == "icmp":
        left, right = _split(rest.removeprefix("ule "))
        value = _typed(left)[1]
        return lambda names: names.__setitem__(
            name[1:], [int(a <= b) for a, b in zip(_value(value, names), _value(right, names), strict=True)]
        )
    operand, _, type_ = rest.partition(" to ")
    value = _typed(operand)[1]
    if operation == "bitcast":
        return lambda names: names.__setitem__(name[1:], sum(bit << at for at, bit in enumerate(_value(value, names))))
    return lambda names: names.__setitem__(name[1:], _value(value, names) & ((1 << int(type_[1:])) - 1))


def _split(text: str) -> list[str]:
    """Operands, at the commas outside of vectors."""
    return [part.strip() for part in re.split(r",(?![^<]*>)", text)]


def _typed(text: str) -> tuple[str, str]:
    """An operand's type and value."""
    if text.startswith("<"):
        type_, _, value = text.partition("> ")
        return type_ + ">", value
    type_, _, value = text.partition(" ")
    return type_, value


def _value(text: str, names: dict[str, Any]) -> Any:
    """What an operand stands for; a word that nobody gave is odd enough to be noticed."""
    if text.startswith("%"):
        return names[text[1:]]
    if text == "poison":
        return [0xDEAD_BEEF] * 64
    if text.startswith("<"):
        return [_value(_typed(part)[1], names) if "poison" not in part else 0xDEAD_BEEF for part in _split_plain(text)]
    return int(text)


def _split_plain(vector: str) -> list[str]:
    return vector[1:-1].split(", ")


def _width(type_: str) -> int:
    return int(type_[1:].split(" ", maxsplit=1)[0]) if type_.startswith("<") else 1


def _bytes(type_: str) -> int:
    bits = int(re.search(r"i(\d+)>?$", type_).group(1))  # type: ignore[union-attr]
    return _width(type_) * bits // 8


def _load(type_: str, pointer: Pointer) -> Any:
    memory, offset = pointer
    assert offset + _bytes(type_) <= len(memory), "read beyond an array"
    words = [int.from_bytes(memory[at : at + 4], "little") for at in range(offset, offset + _bytes(type_), 4)]
    return words if type_.startswith("<") else words[0]


def _store(type_: str, value: Any, pointer: Pointer) -> None:
    memory, offset = pointer
    size = _bytes(type_) // _width(type_)
    values = value if isinstance(value, list) else [value]
    assert offset + size * len(values) <= len(memory), "written beyond an array"
    for at, word in enumerate(values):
        memory[offset + at * size : offset + (at + 1) * size] = word.to_bytes(size, "little")


def _lanes(function: Callable[..., int]) -> Callable[..., Any]:
    """A function of words as one of vectors too."""

    def apply(mask: int, x: Any, y: Any) -> Any:
        if isinstance(x, list):
            return [function(a, b) & mask for a, b in zip(x, y, strict=True)]
        return function(x, y) & mask

    return apply


def _insert(_mask: int, vector: list[int], word: int, at: int) -> list[int]:
    return [*vector[:at], word, *vector[at + 1 :]]


OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": _lanes(lambda x, y: x + y),
    "mul": _lanes(lambda x, y: x * y),
    "and": _lanes(lambda x, y: x & y),
    "or": _lanes(lambda x, y: x | y),
    "xor": _lanes(lambda x, y: x ^ y),
    "lshr": _lanes(lambda x, y: x >> y),
    "shl": _lanes(lambda x, y: x << y),
    "insertelement": _insert,
    "extractelement": lambda _mask, vector, at: vector[at],
    "shufflevector": lambda _mask, x, y, order: [(x + y)[at] for at in order],
}


# ------------------------------------------------------------------------------------- what the processors' own ones do


def _ror(word: int, bits: int) -> int:
    return (word >> bits | word << (32 - bits)) & MASK


def _sigma(word: int, one: int, two: int, three: int, *, shift: bool = False) -> int:
    return _ror(word, one) ^ _ror(word, two) ^ (word >> three if shift else _ror(word, three))


def _round(state: list[int], kw: int) -> list[int]:
    """One round on a to h."""
    a, b, c, d, e, f, g, h = state
    t1 = h + _sigma(e, 6, 11, 25) + ((e & f) ^ (~e & g)) + kw
    t2 = _sigma(a, 2, 13, 22) + ((a & b) ^ (a & c) ^ (b & c))
    return [(t1 + t2) & MASK, a, b, c, (d + t1) & MASK, e, f, g]


def _rnds2(cdgh: list[int], abef: list[int], kw: list[int]) -> list[int]:
    """SHA256RNDS2: element 3 is the highest."""
    state = [abef[3], abef[2], cdgh[3], cdgh[2], abef[1], abef[0], cdgh[1], cdgh[0]]
    for word in kw[:2]:
        state = _round(state, word)
    return [state[5], state[4], state[1], state[0]]


def _msg1(x: list[int], y: list[int]) -> list[int]:
    """SHA256MSG1, and SHA256SU0, which does the same."""
    return [(a + _sigma(b, 7, 18, 3, shift=True)) & MASK for a, b in zip(x, [*x[1:], y[0]], strict=True)]


def _sigma_1_in(partial: list[int], last: list[int]) -> list[int]:
    """Sigma 1 of W(t-2) added, where the last two are made of the first two."""
    first = [(partial[at] + _sigma(last[at + 2], 17, 19, 10, shift=True)) & MASK for at in (0, 1)]
    return first + [(partial[at + 2] + _sigma(first[at], 17, 19, 10, shift=True)) & MASK for at in (0, 1)]


def _su1(partial: list[int], third: list[int], fourth: list[int]) -> list[int]:
    """SHA256SU1."""
    seventh = [*third[1:], fourth[0]]
    return _sigma_1_in([(a + b) & MASK for a, b in zip(partial, seventh, strict=True)], fourth)


def _arm_hash(x: list[int], y: list[int], w: list[int]) -> list[int]:
    """SHA256hash(X, Y, W): four rounds, on a to d and e to h."""
    state = [*x, *y]
    for word in w:
        state = _round(state, word)
    return state


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "llvm.fshr": lambda x, _x, by: (
        [_ror(a, b) for a, b in zip(x, by, strict=True)] if isinstance(x, list) else _ror(x, by)
    ),
    "llvm.bswap": lambda x: (
        [int.from_bytes(a.to_bytes(4, "little"), "big") for a in x]
        if isinstance(x, list)
        else int.from_bytes(x.to_bytes(4, "little"), "big")
    ),
    "llvm.x86.sha256rnds2": _rnds2,
    "llvm.x86.sha256msg1": _msg1,
    "llvm.x86.sha256msg2": _sigma_1_in,
    "llvm.aarch64.crypto.sha256su0": _msg1,
    "llvm.aarch64.crypto.sha256su1": _su1,
    "llvm.aarch64.crypto.sha256h": lambda x, y, w: _arm_hash(x, y, w)[:4],
    "llvm.aarch64.crypto.sha256h2": lambda y, x, w: _arm_hash(x, y, w)[4:],
}
