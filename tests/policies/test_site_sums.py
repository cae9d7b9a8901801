"""The site's sums: they add up to the machines, and what is not known is not counted as zero."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from fleet.command import Outcome, OutcomeKind, Outcomes
from fleet.order import Order, OrderKind
from policies.site_sums import STATES, machine_columns, site_sums
from policies.switching import Threshold
from policies.tariff import IndexTariff
from policies.tick import Judgment
from tests.policies.conftest import T0, Bench, machine, roster


def bench(n: int = 4, **settings: Any) -> Bench:
    """A live site on an index tariff."""
    return Bench(Judgment(roster(n), IndexTariff(), switching=Threshold(), live=np.ones(n, np.bool_), **settings))


def test_sums_are_those_of_the_machines() -> None:
    """Power, hash rate, money and states of the site are the machines' own added up."""
    site = bench()
    site.mode = ["high", "mid", "sleep", "low"]
    record = site.tick(
        price=50.0,
        hashprice=40.0,
        power_w=[3_300.0, np.nan, 20.0, 1_500.0],
        measured=[True, False, True, True],
        hashrate_ths=[131.0, 104.0, 0.0, 76.0],
    )
    sums, now = site_sums(site.judgment, record), machine_columns(site.judgment, record)
    assert sums.machines_by_state == dict(zip(STATES, [0, 3, 0, 1, 0, 0], strict=True))
    # The machine that measures nothing counts at its operating point's nameplate.
    assert sums.power_w == pytest.approx(3_300 + 2_300 + 20 + 1_500)
    assert sums.power_measured_w == pytest.approx(4_820)
    assert sums.hashrate_ths == pytest.approx(311)
    assert sums.revenue_usd_h == pytest.approx(311 * 40 / 24e3)
    assert sums.cost_usd_h == pytest.approx(7_120 * 50e-6)
    assert sums.margin_usd_h == pytest.approx(float(now.earns_usd_h.sum()))
    assert sums.break_even_usd_mwh == pytest.approx(311 * 40 / 24e3 / 7_120e-6)
    assert sums.curtailed_w == pytest.approx(900 + 3_175 + 1_700)
    assert sums.curtailed_w_by_reason == {"": 3_175.0}


def test_a_silent_machine_is_not_zero() -> None:
    """A machine that has gone silent is counted as silent; its watts and hashes are left out, not shown as zero."""
    site = bench(2)
    site.tick(power_w=[3_200.0, 3_200.0], measured=[True, True], hashrate_ths=[130.0, 130.0])
    record = site.tick(121, silent=[0], power_w=[3_200.0, 3_200.0], measured=[True, True], hashrate_ths=[130.0, 130.0])
    sums, now = site_sums(site.judgment, record), machine_columns(site.judgment, record)
    assert sums.machines_by_state["silent"] == 1
    assert sums.power_w == pytest.approx(3_200)
    assert np.isnan([now.power_w[0], now.hashrate_ths[0], now.earns_usd_h[0]]).all()
    # The caps count it at its worst all the same.
    assert sums.worst_w == pytest.approx(6_400)


def test_curtailment_is_shown_by_its_reason() -> None:
    """Watts asleep are told by the reason of the command that put them there."""
    site = bench(3)
    order = Order("o", OrderKind.CURTAIL, "m1", "alice", "fans", T0, T0 + 9_000)
    site.tick(price=10.0, orders=[order])
    site.tick(1_000, price=10.0, orders=[order])
    sums = site_sums(site.judgment, site.tick(60, price=10.0, orders=[order]))
    assert sums.curtailed_w_by_reason == {"operator order": 3_175.0}
    assert sums.machines_pending == 0


def test_outcomes_waits_and_commands_are_counted() -> None:
    """Commands, outcomes by kind and machines that wait are those of the tick."""
    site = bench(2)
    site.tick(price=200.0)
    told = Outcomes.of([Outcome(0, 0, OutcomeKind.REFUSED, T0 + 5, "locked")])
    sums = site_sums(site.judgment, site.tick(5, price=200.0, outcomes=told))
    assert sums.outcomes["refused"] == 1
    assert sums.outcomes["done"] == 0
    assert sums.held_back == {"dwell": 2}
    sums = site_sums(site.judgment, site.tick(600, price=200.0, obey=False))
    assert (sums.commands, sums.commands_live, sums.commands_urgent, sums.machines_pending) == (2, 2, 0, 2)


def test_places_carry_caps_and_shadows() -> None:
    """Each place shows its power, its cap as lowered by an order, and what one more MWh of cap would earn."""
    machines = [machine("a0", "fa"), machine("a1", "fa"), machine("b0", "fb")]
    judgment = Judgment(
        type(roster()).of(machines, {"fa": 6_000.0}), IndexTariff(), switching=Threshold(), live=np.ones(3, np.bool_)
    )
    site = Bench(judgment)
    order = Order("c", OrderKind.CAP, "fa", "grid", "test", T0, T0 + 9_000, cap_w=5_000.0)
    sums = site_sums(judgment, site.tick(price=10.0, orders=[order]))
    places = {place.place: place for place in sums.places}
    assert list(places) == ["", "fa", "fb"]
    assert (places["fa"].cap_w, places[""].cap_w) == (5_000.0, None)
    assert (places[""].machines, places["fa"].machines) == (3, 2)
    assert places["fa"].shadow_usd_mwh > 0
    assert places["fb"].shadow_usd_mwh == 0
    assert places[""].power_w == pytest.approx(sums.power_w)


def test_json_has_no_nan() -> None:
    """What programs get is strict JSON also before anything is known."""
    site = bench(2)
    sums = site_sums(site.judgment, site.tick(silent=[0, 1], price=None, hashprice=None))
    json.loads(sums.model_dump_json(), parse_constant=lambda constant: pytest.fail(f"{constant} in JSON"))
    assert (sums.margin_usd_h, sums.efficiency_j_th, sums.break_even_usd_mwh) == (None, None, None)
    assert sums.machines_by_state["silent"] == 2
