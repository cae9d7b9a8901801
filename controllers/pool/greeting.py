"""A greeting: the words with which a machine began its session, so that another pool can be greeted with the same ones.

Subscribe, authorize, configure and extranonce.subscribe are kept as the bytes that they were, a later one in the place of
an earlier one of its kind (an authorize: of its worker). Said again to another session, each is waited for; the answers
are the tap's, not the machine's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

from fleet.work.stratum import Authorize, Configure, ExtranonceSubscribe, Subscribe

Word: TypeAlias = Subscribe | Authorize | Configure | ExtranonceSubscribe
WORDS: Final = (Subscribe, Authorize, Configure, ExtranonceSubscribe)
_WORDS_MOST: Final = 16


class Greeting:
    """The words of one machine, in their order."""

    __slots__ = ("_words",)

    def __init__(self) -> None:
        self._words: dict[str, tuple[Word, bytes]] = {}

    def __bool__(self) -> bool:
        return bool(self._words)

    def __iter__(self) -> Iterator[tuple[Word, bytes]]:
        return iter(list(self._words.values()))

    def note(self, word: Word, line: bytes) -> None:
        """Keep a word, its line without the newline; of too many workers the later ones are not kept."""
        key = f"{type(word).__name__} {word.user if isinstance(word, Authorize) else ''}"
        if key in self._words or len(self._words) < _WORDS_MOST:
            self._words[key] = (word, line)
