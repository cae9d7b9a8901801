"""Any pool's JSON over HTTP: a list or table of workers, and what stands in each, found by JMESPath expressions.

`workers_at` finds the workers (https://jmespath.org): a list, or a table whose keys are their names. In each, `worker`
finds the name, and either `work` a counter of credited difficulty or `rate` a hash rate over `window_s`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from controllers.feeds.exchange import shown
from controllers.feeds.feed import FeedFault, as_number, as_time, not_too_old
from controllers.feeds.http_json import Expression, searched
from controllers.pool_apis.table import PoolApiTable, Worked, at_least_nothing, bounded, hashes_in, terahashes


class HttpJsonTable(PoolApiTable):
    """A document that lists workers."""

    kind: Literal["http-json"]
    workers_at: Expression
    """Where the workers stand: a list, or a table by their names, such as "data.workers"."""
    worker: Expression | None = None
    """In each of a list: where its name stands."""
    work: Expression | None = None
    """In each: its credited work so far, in difficulty-1 shares."""
    rate: Expression | None = None
    """Or in each: its hash rate as the pool credits it, averaged over `window_s`."""
    unit: str = "TH/s"
    """Of `rate`."""
    window_s: Annotated[float, Field(ge=60, le=31 * 86_400)] | None = None
    """The time that `rate` is the average of."""
    at: Expression | None = None
    """In the document: the time of its figures (ISO 8601 with its zone, or seconds or milliseconds since 1970)."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        """A counter, or a rate with its window and a known unit."""
        if (self.work is None) == (self.rate is None):
            raise ValueError("work and rate: expected exactly one of them")
        if (self.rate is None) != (self.window_s is None):
            raise ValueError("rate and window_s: expected both or neither")
        try:
            hashes_in(self.unit)
        except FeedFault as fault:
            raise ValueError(f"unit: {fault}") from None
        return self

    @property
    def source(self) -> str:
        """Its name in messages and records."""
        return self.name or "pool"

    def read(self, document: Any, now_s: float) -> Mapping[str, Worked]:
        """What the expressions find.

        Raises:
            FeedFault: nothing there, no names, no numbers, or too old.
        """
        where, at_s = shown(self.url), now_s
        if self.at is not None:
            at_s = as_time(searched(document, self.at, where), f"{where}: {self.at}")
            not_too_old(f"{where}: what it says", at_s, now_s, self.max_age_s)
        workers = searched(document, self.workers_at, where)
        return {name: self._worked(row, name, min(at_s, now_s)) for name, row in self._rows(workers, where)}

    def _rows(self, workers: Any, where: str) -> Iterator[tuple[str, Any]]:
        """Each worker's name and what stands of it."""
        if isinstance(workers, dict):
            yield from bounded(workers, where).items()
            return
        if not isinstance(workers, list):
            raise FeedFault(f"{where}: {self.workers_at} is no list and no table, expected the workers")
        for row in bounded(workers, where):
            name = None if self.worker is None else searched(row, self.worker, where)
            if not isinstance(name, str):
                raise FeedFault(f"{where}: {self.worker or 'worker'} is {str(name)[:40]!r}, expected a worker's name")
            yield name, row

    def _worked(self, row: Any, name: str, at_s: float) -> Worked:
        where = shown(self.url)
        if self.work is not None:
            what = f"{where}: {self.work} of {name[:80]}"
            return Worked(at_s, work=at_least_nothing(as_number(searched(row, self.work, where), what), what))
        assert self.rate is not None
        what = f"{where}: {self.rate} of {name[:80]}"
        return Worked(
            at_s, rate_ths=terahashes(searched(row, self.rate, where), self.unit, what), window_s=self.window_s
        )
