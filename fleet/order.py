"""Order: what a person or another system asks for; who, what, why, until when.

Every way in (command line, MQTT, later the page and the grid's protocols) makes the same value and puts it into the
next snapshot, where it is judged like everything else. An order always expires.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class OrderKind(StrEnum):
    """What is asked of the machines in the order's scope."""

    HOLD = "hold"
    """Stay as you are: money changes nothing here."""
    CAP = "cap"
    """Together draw no more than `cap_w`."""
    CURTAIL = "curtail"
    """Sleep."""
    RELEASE = "release"
    """Withdraw earlier orders and somebody else's holds in this scope, and end quarantines."""


class Rank(StrEnum):
    """Whose order: an emergency's is carried out without dwell, stagger, ramp or full look."""

    EMERGENCY = "emergency"
    OPERATOR = "operator"
    GRID = "grid"


@dataclass(frozen=True, slots=True)
class Order:
    """One order. `scope` is "site", a place's path or a machine's id; times are UTC seconds."""

    id: str
    kind: OrderKind
    scope: str
    who: str
    why: str
    given_s: float
    until_s: float
    rank: Rank = Rank.OPERATOR
    cap_w: float | None = None

    def __post_init__(self) -> None:
        """A cap says how much, and every order ends after it was given."""
        if (self.kind is OrderKind.CAP) != (self.cap_w is not None):
            raise ValueError(
                f"order {self.id!r}: cap_w is {self.cap_w}, expected a power in W for a cap and nothing otherwise"
            )
        if self.cap_w is not None and not 0 <= self.cap_w < float("inf"):
            raise ValueError(f"order {self.id!r}: cap_w is {self.cap_w}, expected 0 W or more")
        if not self.given_s < self.until_s < float("inf"):
            raise ValueError(f"order {self.id!r}: until_s is {self.until_s}, expected a time after {self.given_s}")
