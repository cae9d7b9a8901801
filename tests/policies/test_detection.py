"""How long a shortfall takes to be found: stated for the rate that there is, and nothing where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from controllers.commands.check import site_detection
from controllers.commands.explain import detection_lines
from controllers.config import site_of
from fleet.estimate import Beliefs
from fleet.work.proof.delays import fleet_delay, one_shot_delay
from fleet.work.proof.evidence import WORK_PER_THS_S
from fleet.work.proof.share_check import ShareCheck
from policies.detection import Detection
from policies.explain import explain
from tests.policies.mine import DIFFICULTY, Mine

PER_S = 130.0 * WORK_PER_THS_S / DIFFICULTY
"""Shares of a machine of the tests."""


def told(mine: Mine, audit_shares_per_min: float | None = None) -> Detection | None:
    """What is explained of the first machine."""
    return explain(mine.judgment, mine.run(3), "m0", audit_shares_per_min).detection


def test_three_delays_stand_side_by_side() -> None:
    """Whoever waits for the running test as for a test on request gives up too early, or accuses."""
    check = ShareCheck(shortfall=0.1, false_alarms_per_month=0.5)
    mine = Mine((1.0, 1.0), ("counters", "tap"), price=10.0, beliefs=Beliefs(share_check=check))
    found = told(mine, 600.0)
    assert found is not None
    assert (found.tests, found.shortfall, found.false_alarms_per_month) == (4, 0.1, 0.5)
    assert found.shares_per_min == pytest.approx(60 * PER_S)
    assert found.running_s == fleet_delay(check, PER_S, 0.9, 4).seconds
    assert found.on_request_s == one_shot_delay(check, PER_S, 0.9, 2).seconds
    assert found.audit_s == one_shot_delay(check, 10.0, 0.9, 2).seconds
    assert found.running_s > found.on_request_s
    [line] = detection_lines(found, "a machine like this")
    assert "false alarms: 0.5 a month of 4 tests together" in line
    assert line.endswith("in an audit (600 shares a minute)")


def test_where_there_is_no_tap_there_is_no_audit() -> None:
    """A promise that the site cannot keep."""
    found = told(Mine((1.0,), ("counters",), price=10.0))
    assert found is not None
    assert (found.tests, found.audit_s) == (1, None)
    assert "audit" not in detection_lines(found, "it")[0]


def test_an_unknown_rate_is_no_delay() -> None:
    """A time that stands on no share."""
    assert told(Mine((1.0,), (), price=10.0)) is None
    mine = Mine((1.0,), ("counters",), price=10.0)
    record = mine.run(2)
    mine.site.mode[0] = "sleep"
    assert explain(mine.judgment, mine.tick(), "m0").detection is None
    assert detection_lines(None, "it") == []
    machines = [{"id": "m0", "model": "Antminer S19k Pro", "dialect": "luxos", "host": "127.9.0.1"}]
    site = site_of({"name": "yard", "tariff": {"kind": "index"}, "machines": machines}, Path("yard.toml"))
    median = site_detection(site, record.snapshot)
    assert median is not None
    assert median.shares_per_min == pytest.approx(60 * PER_S)
    assert site_detection(site, Mine((1.0,), (), price=10.0).run(1).snapshot) is None


@pytest.mark.parametrize("score", [-3.0, 0.0, 2.0, 1e9, -1e9])
def test_a_test_under_way_takes_what_is_left(score: float) -> None:
    """A time that begins anew with every look, or one of a test that has ended."""
    check = ShareCheck()
    left = one_shot_delay(check, 1.0, 0.95, 1, score).seconds
    assert (left == 0.0) == (abs(score) > 100)
    assert score <= 0 or left < one_shot_delay(check, 1.0, 0.95).seconds
    assert score >= 0 or left == 0 or left > one_shot_delay(check, 1.0, 0.95).seconds
    assert np.isfinite(left)
