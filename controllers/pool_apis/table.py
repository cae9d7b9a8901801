"""What every pool's API has in the site file, and what is read from one document of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from controllers.feeds.exchange import Url, WebTable
from controllers.feeds.feed import Age, FeedFault, Period, as_number
from fleet.units import HASHES_PER_TERAHASH

WORKERS_MOST = 200_000
"""A document with more is refused: no site has them."""
_HASHES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18, "z": 1e21}


@dataclass(frozen=True, slots=True)
class Worked:
    """What a pool says of one worker at `at_s`; see `fleet.work.pool_told.PoolTold`. None: it does not tell."""

    at_s: float
    work: float | None = None
    rate_ths: float | None = None
    window_s: float | None = None


class PoolApiTable(WebTable):
    """What every one of them has."""

    url: Url
    """The document that lists the account's workers; without user, password or token."""
    workers: Mapping[str, str] = {}
    """Machine by the worker's name, for workers whose name does not end in ".MACHINE"."""
    period_s: Period = 60
    """How often it is asked."""
    max_age_s: Age = 900
    """What it said last counts for so long."""
    most_bytes: Annotated[int, Field(ge=64, le=64 * 2**20)] = 8 * 2**20

    @property
    @abstractmethod
    def source(self) -> str:
        """Its name in messages and records."""

    @abstractmethod
    def read(self, document: Any, now_s: float) -> Mapping[str, Worked]:
        """What a document says, by the worker's whole name. Pure.

        Raises:
            FeedFault: it is not what this kind of pool documents.
        """

    def machine_of(self, worker: str) -> str:
        """The machine's id that a worker's name stands for: as the table says, else what follows its last "."."""
        return self.workers.get(worker) or worker.rpartition(".")[2]


def hashes_in(unit: str) -> float:
    """Hashes per second in one of a unit such as "TH/s", "Gh/s", "PH", "H/s".

    Raises:
        FeedFault: it is none.
    """
    prefix = unit.strip().lower().removesuffix("/s").removesuffix("h")
    if prefix not in _HASHES:
        raise FeedFault(f"hash rate in {unit[:40]!r}, expected one of H/s, kH/s, MH/s, GH/s, TH/s, PH/s, EH/s")
    return _HASHES[prefix]


def terahashes(value: object, unit: str, what: str) -> float:
    """A hash rate in TH/s.

    Raises:
        FeedFault: no number, less than nothing, or no unit.
    """
    return at_least_nothing(as_number(value, what), what) * hashes_in(unit) / HASHES_PER_TERAHASH


def at_least_nothing(value: float, what: str) -> float:
    """A number that cannot be negative.

    Raises:
        FeedFault: it is.
    """
    if value < 0:
        raise FeedFault(f"{what} is {value:g}, expected none below 0")
    return value


def bounded(found: Any, what: str) -> Any:
    """A list or table of workers that is no longer than any site's.

    Raises:
        FeedFault: it is longer.
    """
    if len(found) > WORKERS_MOST:
        raise FeedFault(f"{what} has {len(found)} workers, expected at most {WORKERS_MOST}")
    return found
