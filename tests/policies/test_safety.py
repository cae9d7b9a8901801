"""Safety, cycle by cycle: what a machine shows, and what it is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from fleet.order import Order, OrderKind, Rank
from fleet.reading import State
from policies.plan import Pace
from policies.safety import Faulted, TooHot
from policies.switching import Threshold
from policies.tariff import IndexTariff
from policies.tick import Judgment
from tests.policies.conftest import T0, Bench, roster


def bench(**settings: Any) -> Bench:
    """One live machine that earns well at every point."""
    settings = {"pace": Pace(min_up_s=0, min_down_s=0, min_step_s=0), **settings}
    return Bench(Judgment(roster(1), IndexTariff(), switching=Threshold(), live=np.ones(1, np.bool_), **settings))


@pytest.mark.parametrize(
    ("cycles", "modes"),
    [
        # chip temperature, one reading every five minutes; the machine's mode after each
        ([60, 94, 95, 60], ["high", "high", "sleep", "high"]),
        ([60, 96, 80, 71, 70, 69], ["high", "sleep", "sleep", "sleep", "sleep", "high"]),
        ([60, float("nan"), 96, float("nan")], ["high", "high", "sleep", "high"]),
    ],
)
def test_a_hot_machine_sleeps_until_it_has_cooled(cycles: list[float], modes: list[str]) -> None:
    """At `hot_c` it sleeps, it stays asleep down to `cool_c`, and no temperature is not a temperature of zero."""
    site, shown = bench(), []
    for chip_c in cycles:
        site.tick(300, price=10.0, chip_c=[chip_c])
        shown.append(site.modes()[0])
    assert shown == modes


def test_a_machine_that_reports_boards_alone_is_not_unseen() -> None:
    """LuxOS tells the temperature of its boards and of no chip: safety must not be blind there."""
    site = bench()
    site.tick(price=10.0)
    record = site.tick(10, price=10.0, chip_c=[np.nan], board_c=[81.0])
    assert site.sent(record) == {"m0": "sleep"}


def test_a_warm_machine_takes_no_step_up() -> None:
    """Above `warm_c` a machine may stay and may step down, and takes no step up until it has cooled below that."""
    site = bench()
    site.mode = ["low"]
    shown = []
    for chip_c, price in ((89.0, 10.0), (89.0, 10.0), (87.0, 10.0), (89.0, 60.0)):
        site.tick(700, price=price, chip_c=[chip_c])
        shown.append(site.modes()[0])
    assert shown == ["low", "low", "high", "mid"]


def test_a_fault_rests() -> None:
    """A machine that said it was faulted sleeps until its rest is over, also when it says nothing of it any more."""
    site, shown = bench(constraints=(Faulted(rest_s=1_000),)), []
    for state in (State.HASHING, State.FAULTED, State.SLEEPING, State.SLEEPING, State.SLEEPING, State.SLEEPING):
        record = site.tick(300, price=10.0, state=np.array([state], np.int16))
        shown.append(site.modes()[0])
        assert record.decision.commands.urgent.all() or state is not State.FAULTED
    assert shown == ["high", "sleep", "sleep", "sleep", "sleep", "high"]


def test_safety_waits_for_nothing() -> None:
    """A hot machine is told to sleep before the first full look, in back-off, and while it is silent."""
    site = Bench(Judgment(roster(2), IndexTariff(), switching=Threshold(), live=np.ones(2, np.bool_)))
    asked = np.array([T0, np.nan])
    record = site.tick(price=10.0, asked_s=asked, at_s=asked, chip_c=[99.0, np.nan], obey=False)
    assert site.sent(record) == {"m0": "sleep"}
    # Nobody confirms; its time runs out, the failure is in back-off, and it is told again at once.
    record = site.tick(95, price=10.0, chip_c=[99.0, 60.0], obey=False)
    assert site.view.failures[0] == 1
    assert site.view.retry_s[0] > site.at_s
    assert site.sent(record) == {"m0": "sleep"}
    record = site.tick(200, price=10.0, silent=[0], chip_c=[99.0, 60.0], obey=False)
    assert site.sent(record) == {"m0": "sleep"}


def test_a_machine_on_its_way_up_is_overtaken_by_safety() -> None:
    """A wake under way does not stop safety from sending a sleep after it."""
    site = bench()
    site.mode = ["sleep"]
    assert site.sent(site.tick(price=10.0, obey=False)) == {"m0": "high"}
    site.mode = ["low"]
    assert site.sent(site.tick(5, price=10.0, chip_c=[99.0])) == {"m0": "sleep"}


def test_a_long_silent_machine_still_hears_an_emergency() -> None:
    """Silence keeps money and operators from deciding for it, and does not keep an emergency from trying."""
    site = bench()
    site.tick(price=10.0)
    site.mode = ["high"]
    quiet: dict[str, Any] = {"silent": [0], "obey": False}
    assert site.sent(site.tick(1_000, price=500.0, **quiet)) == {}
    order = Order("e", OrderKind.CURTAIL, "site", "alice", "fire", site.at_s, site.at_s + 600, Rank.EMERGENCY)
    assert site.sent(site.tick(5, price=10.0, orders=[order], **quiet)) == {"m0": "sleep"}


def test_temperatures_out_of_order_are_refused() -> None:
    """A site file whose temperatures do not rise is refused with what was expected."""
    with pytest.raises(ValidationError, match=r"cool 90.*expected them rising"):
        TooHot(cool_c=90)
