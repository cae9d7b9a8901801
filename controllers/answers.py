"""What the daemon answers on its socket: status, explain, and orders; all but the orders render the last record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from controllers.config import Site
from controllers.control import Answerer
from controllers.events import Events
from controllers.feeds import FeedState
from fleet.order import Order
from policies.explain import explain
from policies.proof import short
from policies.record import Record
from policies.site_sums import site_sums

_EVENTS_MOST = 200
_SHORT_SHOWN_MOST = 100


class Heard(Protocol):
    """A feed or a pool's API."""

    @property
    def state(self) -> FeedState:
        """How it is now."""
        ...


class Answers:
    """The answers of one daemon.

    Args:
        site: the site.
        last: its last record.
        events: what happened.
        sources: its feeds and pools' APIs.
        tap: the tap's own status; None where there is none, or it does not answer.
        take_order: takes an order in; raises OrderError, TooManyOrders or OSError where it cannot.
    """

    def __init__(
        self,
        site: Site,
        last: Callable[[], Record | None],
        events: Events,
        sources: Sequence[Heard],
        tap: Callable[[], Mapping[str, Any] | None],
        take_order: Callable[[Mapping[str, Any]], Awaitable[Order]],
    ) -> None:
        self._site, self._record, self._events, self._sources = site, last, events, sources
        self._tap, self._take_order = tap, take_order

    def table(self) -> Mapping[str, Answerer]:
        """Each answer by what is asked."""
        return {"status": self._status, "explain": self._explain, "order": self._order}

    def last(self) -> Record:
        """The last record.

        Raises:
            LookupError: there is none yet.
        """
        record = self._record()
        if record is None:
            raise LookupError("no tick yet, ask again in a moment")
        return record

    async def _status(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        record, wanted = self.last(), request.get("events", 5)
        count = min(wanted, _EVENTS_MOST) if isinstance(wanted, int) and wanted > 0 else 0
        return {
            "site": self._site.file.name,
            "sums": site_sums(self._site.judgment, record).model_dump(mode="json"),
            "orders": [_order_json(order) for order in self._site.judgment.in_force(record.snapshot)],
            "feeds": [
                {"source": s.source, "ok": s.ok, "last_ok_s": s.last_ok_s, "error": s.error}
                for s in (source.state for source in self._sources)
            ],
            "tap": self._tap(),
            "short": [
                proof.model_dump(mode="json") for proof in short(self._site.judgment, record)[:_SHORT_SHOWN_MOST]
            ],
            "events": [
                {"at_s": event.at_s, "kind": event.kind, "text": event.text}
                for event in list(self._events.last)[-count:]
            ]
            if count
            else [],
        }

    async def _explain(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        machine = request.get("machine")
        if machine not in self._site.roster.index:
            raise LookupError(f"machine is {machine!r}, expected an id of this site's machines")
        explanation = explain(self._site.judgment, self.last(), str(machine), self._site.audit_shares_per_min)
        return {"explanation": explanation.model_dump(mode="json")}

    async def _order(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        asked = request.get("order")
        return {"order": _order_json(await self._take_order(asked if isinstance(asked, dict) else {}))}


def _order_json(order: Order) -> dict[str, Any]:
    """An order as JSON says it."""
    return {
        "id": order.id,
        "kind": order.kind.value,
        "scope": order.scope,
        "who": order.who,
        "why": order.why,
        "rank": order.rank.value,
        "cap_w": order.cap_w,
        "given_s": order.given_s,
        "until_s": order.until_s,
        "until": datetime.fromtimestamp(order.until_s, UTC).isoformat(timespec="seconds"),
    }
