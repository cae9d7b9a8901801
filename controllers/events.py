"""Events: what happened that is no number: a machine lost and found, a signal lost, a clock that stepped, a pool changed.

One line each, with its kind: to the log at once, to the journal, and the last few kept for `status`. Said once when
something is lost and once when it is back, never at every turn.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

KEPT_MOST = 200
_LOG = logging.getLogger("hashwatt")


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `at_s` is UTC seconds."""

    at_s: float
    kind: str
    text: str


class Events:
    """The last events, and how many of each kind there were."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.last: deque[Event] = deque(maxlen=KEPT_MOST)
        self.counts: Counter[str] = Counter()
        self._now = now
        self._keep: Callable[[Event], None] = lambda _event: None

    def keep_in(self, keep: Callable[[Event], None]) -> None:
        """Hand every event from now on to `keep` too."""
        self._keep = keep

    def say(self, kind: str, text: str) -> None:
        """Tell an event."""
        event = Event(self._now(), kind, text)
        self.last.append(event)
        self.counts[kind] += 1
        _LOG.info("%s: %s", kind, text)
        self._keep(event)
