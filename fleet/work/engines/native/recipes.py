"""Which native engines a processor can have, and what each hashes side by side.

The layouts are those that measured best (docs/engines.md): a turn has as many streams as keep the processor busy while an
instruction waits for its operands, and no more than its registers bear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fleet.work.engines.native.compiled import Processor
from fleet.work.engines.native.kernels import FORMULAS_ALONE, Layout


@dataclass(frozen=True, slots=True)
class Recipe:
    """An engine that a processor can have.

    `scans`: by how many versions they hash side by side, most first and 1 last. `compresses`: for batches.
    """

    name: str
    architecture: str
    features: frozenset[str]
    scans: tuple[Layout, ...]
    compresses: Layout

    def suits(self, processor: Processor) -> bool:
        """Does the processor have what it takes?"""
        return processor.architecture == self.architecture and self.features <= processor.features


def _by_instructions(name: str, architecture: str, features: set[str], steps: str) -> Recipe:
    """Streams of headers, one after another a few steps apart; figures in docs/engines.md."""
    scans = (
        Layout(steps, versions=8, stagger=4),
        Layout(steps, versions=2, nonces=2, stagger=1),
        Layout(steps, nonces=4),
    )
    return Recipe(name, architecture, frozenset(features), scans, Layout(steps, nonces=4))


def _by_lanes(name: str, architecture: str, features: set[str], lanes: int, *, versions: int = 1) -> Recipe:
    """Headers in the lanes of vectors; more versions than one where there are registers for them."""
    alone = Layout(FORMULAS_ALONE, lanes=lanes)
    shared = (Layout(FORMULAS_ALONE, lanes=lanes, versions=versions),) if versions > 1 else ()
    return Recipe(name, architecture, frozenset(features), (*shared, alone), alone)


RECIPES: Final = (
    _by_instructions("x86-sha", "x86_64", {"sha", "ssse3"}, "x86"),
    _by_lanes("avx512", "x86_64", {"avx512f", "avx512bw"}, 16, versions=2),
    _by_lanes("avx2", "x86_64", {"avx2"}, 8),
    _by_lanes("sse", "x86_64", {"ssse3"}, 4),
    _by_instructions("arm-sha2", "aarch64", {"sha2"}, "arm"),
    _by_lanes("neon", "aarch64", {"neon"}, 4),
)
"""Of the lanes of one architecture, the widest first."""


def recipes(processor: Processor) -> tuple[Recipe, ...]:
    """Every engine that a processor can have."""
    return tuple(recipe for recipe in RECIPES if recipe.suits(processor))
