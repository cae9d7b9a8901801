"""What comes in as proof: a tap of another roster says nothing, and a tap that does not answer has no status."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from controllers.pool_apis import PoolBook
from controllers.pool_apis.table import Worked
from controllers.proofs import Proofs, TapStatus
from fleet.work.counted import Counted
from tests.policies.conftest import T0, roster


@dataclass
class FakeTap:
    """A tap of some machines, which answers as a test says."""

    machines: int
    says: list[Mapping[str, Any] | Exception] = field(default_factory=list)

    def counted(self) -> Counted | None:
        return Counted.nothing(self.machines, T0) if self.machines else None

    async def ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        assert request == {"ask": "tap"}
        said = self.says.pop(0)
        if isinstance(said, Exception):
            raise said
        return {"tap": said}


def test_a_tap_of_another_roster_says_nothing() -> None:
    """A tap of its own process that still has yesterday's site file, and whose rows are other machines."""
    assert Proofs().counted() is None
    assert Proofs(3, FakeTap(0)).counted() is None
    assert Proofs(3, FakeTap(2)).counted() is None
    counted = Proofs(3, FakeTap(3)).counted()
    assert counted is not None
    assert len(counted) == 3


def test_pools_follow_the_clock() -> None:
    """A pool's word that is a week old, or of tomorrow, after the clock stepped."""
    book = PoolBook(roster(1), {"a": 900.0}, lambda _kind, _text: None)
    book.put("a", {"m0": Worked(T0, 1.0)})
    proofs = Proofs(1, None, book)
    proofs.shift(3_600.0)
    told = proofs.pool_told(T0 + 3_600.0)
    assert told is not None
    assert told.heard_s[0] == T0 + 3_600.0
    assert Proofs(1).pool_told(T0) is None
    Proofs(1).shift(5.0)


def test_a_tap_that_does_not_answer_has_no_status(
    virtual: Callable[[Callable[[], Coroutine[Any, Any, None]]], None],
) -> None:
    """Yesterday's connections shown as today's, or a daemon that ends because its tap does."""

    async def work() -> None:
        tap = FakeTap(1, [{"connections": 1}, LookupError("no"), OSError("gone"), {"connections": 2}])
        status, seen = TapStatus(), []
        running = asyncio.create_task(status.run(tap))
        for _ in range(4):
            await asyncio.sleep(1.0)
            seen.append(status.latest)
            await asyncio.sleep(4.0)
        running.cancel()
        assert seen == [{"connections": 1}, None, None, {"connections": 2}]

    virtual(work)
