"""J/TH of places: measured power over proven hashes, or nothing."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from fleet.machine import Tree
from fleet.meter import Meter
from fleet.work.proof.evidence import Evidence
from policies.record import Record
from policies.site_sums import site_sums
from policies.verified import Verified, _Counts, _ratios
from tests.policies.mine import Mine

HIGH_W, HIGH_THS = 3_200.0, 130.0


def mined(**knobs: Any) -> tuple[Mine, Record]:
    """A cheat at one place and an honest machine at another."""
    mine = Mine((0.8, 1.0), ("tap",), price=10.0, places=("a", "b"), **{"metered": True, **knobs})
    return mine, mine.run(240)


def told(mine: Mine, record: Record, *meters: tuple[str, float, float]) -> dict[str, Verified | None]:
    """By place; meters are a place, its power, and how old that is."""
    at_s = record.snapshot.at_s
    heard = tuple(Meter(place, power_w, at_s - age_s, "main") for place, power_w, age_s in meters)
    shown = replace(record, snapshot=replace(record.snapshot, meters=heard))
    return {place.place: place.verified for place in site_sums(mine.judgment, shown).places}


def known(verified: Verified | None) -> Verified:
    """There is one."""
    assert verified is not None
    assert verified.high is not None
    assert verified.low < verified.j_th < verified.high
    return verified


def test_what_machines_measure_is_over_what_they_prove() -> None:
    """A rack of cheats that is as efficient as they claim; a site's figure that is the mean of ratios, not of joules."""
    mine, record = mined()
    found = {place: known(verified) for place, verified in told(mine, record).items()}
    assert {place: verified.machines for place, verified in found.items()} == {"": 2, "a": 1, "b": 1}
    assert found["a"].j_th == pytest.approx(HIGH_W / HIGH_THS / 0.8, rel=1e-3)
    assert found["b"].j_th == pytest.approx(HIGH_W / HIGH_THS, rel=1e-3)
    # the cheat's window began anew with its verdict: the site's is in between
    assert found["b"].j_th < found[""].j_th < found["a"].j_th
    assert {verified.by for verified in found.values()} == {"machines"}
    # two machines' shares say more than one's
    assert found[""].high / found[""].j_th < found["a"].high / found["a"].j_th  # type: ignore[operator]


def test_a_fresh_meter_has_the_word_at_its_place() -> None:
    """Fans and cables that draw power and belong to nobody; or a meter's word of an hour ago."""
    mine, record = mined()
    found = {place: known(verified) for place, verified in told(mine, record, ("a", 4_000.0, 60.0)).items()}
    assert (found["a"].by, found["b"].by, found[""].by) == ("meter", "machines", "machines")
    assert found["a"].j_th == pytest.approx(4_000 / HIGH_THS / 0.8, rel=1e-3)
    site = known(told(mine, record, ("", 8_000.0, 0.0))[""])
    assert (site.by, site.machines) == ("meter", 2)
    assert 8_000 / (2 * HIGH_THS) < site.j_th < 8_000 / (2 * HIGH_THS * 0.8)
    assert known(told(mine, record, ("a", 4_000.0, 600.0))["a"]).by == "machines"


def test_hashes_that_nobody_counts_are_in_no_meters_figure() -> None:
    """Their power would be in it and their hashes not: a place that looks worse than it is."""
    mine, record = mined()
    evidence = record.view.tap_evidence
    assert evidence is not None
    nothing = Evidence.nothing(2)
    columns = {
        field.name: np.where([True, False], getattr(evidence, field.name), getattr(nothing, field.name))
        for field in fields(evidence)
    }
    partly = replace(record, view=replace(record.view, tap_evidence=Evidence(**columns)))
    found = told(mine, partly, ("", 8_000.0, 0.0), ("b", 4_000.0, 0.0))
    assert (known(found[""]).by, known(found[""]).machines, found["b"]) == ("machines", 1, None)


def test_a_machine_that_sleeps_hinders_no_meter() -> None:
    """One machine that is out of service would take the site's figure away."""
    mine, record = mined()
    mine.site.mode[1] = "sleep"
    record = mine.tick()
    site = known(told(mine, record, ("", 4_000.0, 0.0))[""])
    assert (site.by, site.machines) == ("meter", 1)
    assert site.j_th == pytest.approx(4_000 / HIGH_THS / 0.8, rel=1e-3)


def test_a_nameplate_is_no_measurement() -> None:
    """A figure that stands on what the data sheet says."""
    mine, record = mined(metered=False)
    assert set(told(mine, record).values()) == {None}
    assert known(told(mine, record, ("", 8_000.0, 0.0))[""]).by == "meter"


def test_shares_of_unlike_difficulty_are_one_count() -> None:
    """An interval of a place that is too narrow because easy shares count as much as hard ones."""
    dice, runs, machines = np.random.default_rng(8), 1_000, 20
    difficulty = np.where(np.arange(machines) % 2, 1.0, 40.0)
    expected = 400.0 / difficulty
    inside, wide = 0, []
    for _ in range(runs):
        shares = dice.poisson(0.95 * expected).astype(np.float64)
        counts = _Counts(shares, expected, expected * difficulty, np.full(machines, np.nan))
        found = _ratios(Tree.of([()]), np.zeros(machines, np.int64), counts, np.ones(machines, np.bool_))
        inside += bool(found.low[0] <= 0.95 <= found.high[0])
        wide.append(found.high[0] - found.low[0])
        assert found.ratio[0] == pytest.approx((shares * difficulty).sum() / (20 * 400.0))
    assert inside >= 0.95 * runs
    assert np.mean(wide) < 0.5
