"""Four steps of SHA-256 at once by a processor's own instructions: the SHA extensions of x86, and of ARM.

The instructions take four words in a register. Where part of a group of four is known earlier than the rest, as it is
around the one word that has the nonce, the formulas leave that part behind, and they are taken instead.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from fleet.work.engines.native.code import Code, Value, constants
from fleet.work.engines.native.word import Pace, as_streams
from fleet.work.sha256 import FORMULAS, STATE_WORDS, Word, small_sigma_0, stage


class Instructions(ABC):
    """`Steps` by instructions: what the processors have in common. A quad is a vector of four words that follow."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace

    @property
    def code(self) -> Code:
        """What it writes."""
        return self.pace.code

    @abstractmethod
    def sigma_0(self, first: Value, second: Value) -> Value:
        """W(t-16) + sigma 0 of W(t-15), from the quads that begin with W(t-16) and W(t-12)."""

    @abstractmethod
    def sigma_1(self, partial: Value, third: Value, fourth: Value) -> Value:
        """W(t), from that, W(t-7) and W(t-2); the quads begin with W(t-8) and W(t-4)."""

    @abstractmethod
    def four_rounds(self, state: Sequence[Value], kw: Value) -> Sequence[Value]:
        """The working variables a to h after four rounds; `kw` has the sums of four constants and four words."""

    def schedule(self, w: Sequence[Word], /) -> Sequence[Word]:
        """The next four words of the message schedule, from the last sixteen."""
        first, last = latest(w[0], w[1], w[9], w[14]), latest(*w[:5], *w[9:13], *w[14:])
        if first < last:  # part of the four is known earlier
            return FORMULAS.schedule(w)
        if latest(*w[:5]) == 0:  # what an instruction makes of constants is a constant, which LLVM does not know
            partial = FORMULAS.sums(w[:4], [small_sigma_0(word) for word in w[1:5]])
            return self._each(self._rest_of_schedule, (*partial, *w[8:]))
        return self._each(self._schedule, w)

    def rounds(self, state: Sequence[Word], k: Sequence[int], w: Sequence[Word], /) -> Sequence[Word]:
        """The working variables after four rounds."""
        self.pace.step += 1
        if latest(*state, *w[:3]) < stage(w[3]):  # three rounds are known earlier, and the fourth is two additions
            return FORMULAS.rounds(state, k, w)

        def rounds(*values: Value) -> Sequence[Value]:
            kw = self._sum(constants(k), self.code.pack(values[STATE_WORDS:]))
            return self.four_rounds(values[:STATE_WORDS], kw)

        return self._each(rounds, (*state, *w))

    def sums(self, x: Sequence[Word], y: Sequence[Word], /) -> Sequence[Word]:
        """Sums of eight words."""
        self.pace.step += 1
        return self._each(self._sums, (*x, *y))

    def _each(self, function: Callable[..., Sequence[Value]], words: Sequence[Word]) -> Sequence[Word]:
        """A function of every stream's values."""
        return self.pace.each(function, *(as_streams(self.pace, word) for word in words))

    def _schedule(self, *w: Value) -> Sequence[Value]:
        """Four words from sixteen."""
        first, second, third, fourth = self._quads(w)
        return self.code.unpack(self.sigma_1(self.sigma_0(first, second), third, fourth))

    def _rest_of_schedule(self, *w: Value) -> Sequence[Value]:
        """Four words from what sigma 0 gave, and the last eight."""
        partial, third, fourth = self._quads(w)
        return self.code.unpack(self.sigma_1(partial, third, fourth))

    def _sums(self, *words: Value) -> Sequence[Value]:
        """Eight words and eight."""
        x_low, x_high, y_low, y_high = self._quads(words)
        return [*self.code.unpack(self._sum(x_low, y_low)), *self.code.unpack(self._sum(x_high, y_high))]

    def _quads(self, words: Sequence[Value]) -> list[Value]:
        """Words packed by fours."""
        return [self.code.pack(words[at : at + 4]) for at in range(0, len(words), 4)]

    def _sum(self, x: Value, y: Value) -> Value:
        """Of two quads."""
        return self.code.binary("add", x, y)


class ShaExtensions(Instructions):
    """Intel's SHA extensions (SDM volume 2: SHA256MSG1, SHA256MSG2, SHA256RNDS2); two rounds an instruction."""

    def sigma_0(self, first: Value, second: Value) -> Value:
        """SHA256MSG1."""
        return self.code.call(first.type, "llvm.x86.sha256msg1", first, second)

    def sigma_1(self, partial: Value, third: Value, fourth: Value) -> Value:
        """W(t-7) added by hand, the rest by SHA256MSG2."""
        seventh = self.code.shuffle(third, fourth, [1, 2, 3, 4])
        return self.code.call(partial.type, "llvm.x86.sha256msg2", self._sum(partial, seventh), fourth)

    def four_rounds(self, state: Sequence[Value], kw: Value) -> Sequence[Value]:
        """SHA256RNDS2 twice; one register has a, b, e, f, highest first, the other c, d, g, h."""
        a, b, c, d, e, f, g, h = state
        code, rounds2 = self.code, "llvm.x86.sha256rnds2"
        abef, cdgh = code.pack([f, e, b, a]), code.pack([h, g, d, c])
        # after two rounds c, d, g, h are what a, b, e, f were
        middle = code.call(kw.type, rounds2, cdgh, abef, kw)
        end = code.call(kw.type, rounds2, abef, middle, code.shuffle(kw, kw, [2, 3, 2, 3]))
        (f, e, b, a), (h, g, d, c) = code.unpack(end), code.unpack(middle)
        return [a, b, c, d, e, f, g, h]


class ArmExtensions(Instructions):
    """ARM's SHA-2 extension (Arm ARM, C7.2: SHA256SU0, SHA256SU1, SHA256H, SHA256H2); four rounds an instruction."""

    def sigma_0(self, first: Value, second: Value) -> Value:
        """SHA256SU0."""
        return self.code.call(first.type, "llvm.aarch64.crypto.sha256su0", first, second)

    def sigma_1(self, partial: Value, third: Value, fourth: Value) -> Value:
        """SHA256SU1."""
        return self.code.call(partial.type, "llvm.aarch64.crypto.sha256su1", partial, third, fourth)

    def four_rounds(self, state: Sequence[Value], kw: Value) -> Sequence[Value]:
        """SHA256H gives a to d, SHA256H2 e to h."""
        abcd, efgh = self._quads(state)
        high = self.code.call(kw.type, "llvm.aarch64.crypto.sha256h", abcd, efgh, kw)
        low = self.code.call(kw.type, "llvm.aarch64.crypto.sha256h2", efgh, abcd, kw)
        return [*self.code.unpack(high), *self.code.unpack(low)]


def latest(*words: Word) -> int:
    """How late the last of some words becomes known."""
    return max(map(stage, words))
