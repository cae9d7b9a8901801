"""Orders, cycle by cycle: who wins, for how long, and what ends it (docs/arbitration.md, row by row)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from fleet.order import Order, OrderKind, Rank
from fleet.reading import State
from policies.orders import in_force
from policies.plan import Pace
from policies.switching import Threshold
from policies.tariff import IndexTariff
from policies.tick import Judgment
from tests.policies.conftest import T0, Bench, machine, roster

QUICK = Pace(min_up_s=0, min_down_s=0, min_step_s=0, starts_per_feeder=1_000)


def order(
    kind: str,
    scope: str = "site",
    rank: str = "operator",
    *,
    at_s: float = 0.0,
    for_s: float = 3_600.0,
    cap_w: float | None = None,
) -> Order:
    """An order by what matters here."""
    given = T0 + at_s
    return Order(
        f"{kind}-{rank}-{at_s}", OrderKind(kind), scope, "alice", "a test", given, given + for_s, Rank(rank), cap_w
    )


def bench(n: int = 2, caps: dict[str, float] | None = None, **settings: Any) -> Bench:
    """Live machines without dwell, so that a table shows who wins and not who waits."""
    settings = {"pace": QUICK, "switching": Threshold(), **settings}
    return Bench(Judgment(roster(n, caps), IndexTariff(), live=np.ones(n, np.bool_), **settings))


def modes(site: Bench, price: float, orders: Sequence[Order], **said: Any) -> list[str]:
    """Where the machines are once they have taken what three ticks sent."""
    for _ in range(3):
        site.tick(60, price=price, orders=orders, **said)
    return site.modes()


@pytest.mark.parametrize(
    ("orders", "price", "after"),
    [
        # money alone: 10 $/MWh pays every step, 500 none
        ([], 10.0, "high"),
        ([], 500.0, "sleep"),
        # an order stands before money
        ([order("curtail")], 10.0, "sleep"),
        ([order("hold")], 500.0, "high"),
        ([order("cap", "m0", cap_w=2_400)], 10.0, "mid"),
        ([order("cap", "m0", cap_w=2_400)], 500.0, "sleep"),
        # the operator before the grid, an emergency before both
        ([order("hold"), order("curtail", rank="grid")], 10.0, "high"),
        ([order("curtail", rank="grid")], 10.0, "sleep"),
        ([order("hold"), order("curtail", rank="emergency")], 10.0, "sleep"),
        ([order("hold", rank="emergency"), order("curtail")], 10.0, "high"),
        # of one rank less power wins, whichever came first
        ([order("hold"), order("curtail")], 10.0, "sleep"),
        ([order("curtail"), order("hold")], 10.0, "sleep"),
        ([order("hold"), order("cap", "m0", cap_w=1_600)], 10.0, "low"),
        # a release withdraws what came before it, of its rank and weaker, within its scope
        ([order("curtail"), order("release", at_s=30)], 10.0, "high"),
        ([order("curtail", at_s=30), order("release")], 10.0, "sleep"),
        ([order("curtail", rank="emergency"), order("release", at_s=30)], 10.0, "sleep"),
        ([order("curtail", rank="emergency"), order("release", rank="emergency", at_s=30)], 10.0, "high"),
        ([order("curtail"), order("release", rank="grid", at_s=30)], 10.0, "sleep"),
        ([order("curtail", "m0"), order("release", "site", at_s=30)], 10.0, "high"),
        ([order("curtail", "site"), order("release", "m0", at_s=30)], 10.0, "sleep"),
        # a release that has expired does not bring back what it withdrew
        ([order("curtail"), order("release", at_s=30, for_s=20)], 10.0, "high"),
        # an order ends by itself
        ([order("curtail", for_s=100)], 10.0, "high"),
        # an order that names nothing here binds nobody
        ([order("curtail", "elsewhere")], 10.0, "high"),
        # a cap on a place is shared out
        ([order("cap", cap_w=4_700)], 10.0, "mid"),
        ([order("cap", cap_w=0.0)], 10.0, "sleep"),
        # a cap is stronger than a hold of a weaker rank, and not than one of its own
        ([order("hold"), order("cap", rank="emergency", cap_w=4_650)], 10.0, "mid"),
        ([order("hold"), order("cap", cap_w=4_700)], 10.0, "high"),
        ([order("hold"), order("cap", rank="grid", cap_w=4_700)], 10.0, "high"),
    ],
)
def test_who_wins(orders: list[Order], price: float, after: str) -> None:
    """Each row of the table of arbitration: the orders given, the price, and where the first machine ends."""
    site = bench()
    site.tick(price=10.0)
    assert modes(site, price, orders)[0] == after


def test_the_sites_own_cap_is_stronger_than_a_hold() -> None:
    """A hold does not keep a place above the cap that its wires bear: the last resort is to break the hold."""
    site = bench(caps={"": 5_000.0})
    site.mode = ["high", "high"]
    held = order("hold")
    choices = site.tick(price=10.0, orders=[held]).decision.choices
    assert choices.overloaded is not None
    assert not choices.overloaded.any()
    assert [choices.reasons[reason] for reason, _ in choices.overruled] == ["operator order"]
    assert modes(site, 10.0, [held]) in (["high", "low"], ["low", "high"], ["mid", "mid"])


def test_a_hand_holds_and_a_release_ends_it() -> None:
    """What somebody else changed stays, against money; an operator's release or the hold's own time gives it back."""
    site = bench(1)
    site.tick(price=10.0)
    site.mode = ["low"]
    assert modes(site, 10.0, []) == ["low"]
    freed = order("release", at_s=site.at_s - T0)
    assert modes(site, 10.0, [freed]) == ["high"]
    site.mode = ["sleep"]
    assert modes(site, 10.0, [freed]) == ["sleep"]
    site.at_s += 14_400
    assert modes(site, 10.0, []) == ["high"]


@pytest.mark.parametrize(
    ("orders", "after"),
    [
        ([order("curtail")], "sleep"),
        ([order("curtail", rank="grid")], "low"),
        ([order("cap", cap_w=26)], "sleep"),
        ([order("cap", rank="grid", cap_w=26)], "low"),
        ([order("release", rank="grid", at_s=90)], "low"),
    ],
)
def test_a_hand_against_orders(orders: list[Order], after: str) -> None:
    """An operator's order goes before a hand's hold, the grid's does not."""
    site = bench(1)
    site.tick(price=10.0)
    site.mode = ["low"]
    site.tick(60, price=10.0)
    assert modes(site, 10.0, orders) == [after]


def test_a_reboot_is_not_a_hand() -> None:
    """A machine that comes back awake after a reboot is put back to sleep, not held awake; a change without one is held."""
    site = bench(2)
    site.tick(price=500.0, uptime_s=[9_000.0, 9_000.0])
    assert site.modes() == ["sleep", "sleep"]
    site.tick(60, price=500.0, uptime_s=[9_060.0, 9_060.0])
    site.mode = ["high", "high"]
    site.tick(60, price=500.0, uptime_s=[20.0, 9_120.0])
    assert site.modes() == ["sleep", "high"]
    assert (site.view.hand_s > 0).tolist() == [False, True]


def test_a_reboot_that_shows_its_mode_late_is_not_a_hand() -> None:
    """A reading right after a reboot may not show the mode yet; the next one does, and is still the reboot's doing."""
    site = bench(1)
    site.tick(price=500.0, uptime_s=[9_000.0])
    site.tick(60, price=500.0, uptime_s=[9_060.0])
    site.mode = [-1]
    site.tick(60, price=500.0, uptime_s=[10.0], state=np.array([State.UNKNOWN], np.int16))
    site.mode = ["high"]
    site.tick(60, price=500.0, uptime_s=[70.0])
    assert site.modes() == ["sleep"]


def test_one_in_between_is_no_hand() -> None:
    """A machine that wakes through another mode on its way to the one asked for is not taken for somebody's doing."""
    site = bench(1)
    site.mode = ["sleep"]
    site.tick(price=10.0, obey=False)
    site.mode = ["low"]
    site.tick(20, price=10.0, obey=False)
    site.mode = ["high"]
    site.tick(20, price=10.0)
    assert not (site.view.hand_s > 0).any()
    assert site.view.failures[0] == 0


def test_orders_bind_places_within_places() -> None:
    """A place's order reaches every machine below it, and nobody beside it."""
    machines = [machine("a", "f1/r1"), machine("b", "f1/r2"), machine("c", "f2")]
    site = Bench(
        Judgment(
            type(roster()).of(machines), IndexTariff(), switching=Threshold(), pace=QUICK, live=np.ones(3, np.bool_)
        )
    )
    assert modes(site, 10.0, [order("curtail", "f1/r1")]) == ["sleep", "high", "high"]
    assert modes(site, 10.0, [order("curtail", "f1", at_s=1)]) == ["sleep", "sleep", "high"]
    known = in_force((order("curtail", "nowhere"), order("curtail", "c")), T0 + 1, site.judgment.roster)
    assert [o.scope for o in known] == ["c"]


def test_nothing_is_commanded_in_a_dry_run() -> None:
    """Without live control commands are decided and recorded, none is live, and the imagined site moves on."""
    site = Bench(Judgment(roster(1), IndexTariff(), switching=Threshold(), pace=QUICK))
    site.tick(price=10.0)
    record = site.tick(60, price=500.0)
    assert site.sent(record) == {"m0": "sleep"}
    assert not record.decision.commands.live.any()
    assert site.modes() == ["high"]
    assert site.view.standing.tolist() == [0]
    assert site.sent(site.tick(60, price=500.0)) == {}
    assert site.view.asleep_why.tolist() == [-1]
