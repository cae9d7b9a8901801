"""What people are told beforehand: how long a check takes, and how often it errs, at a site's settings."""

from __future__ import annotations

from math import inf

import pytest
from pydantic import ValidationError

from fleet.work.proof.delays import alarms_per_month, fleet_delay, one_shot_delay, undecided, well_delay
from fleet.work.proof.share_check import ShareCheck
from fleet.work.proof.spoilt import SpoilCheck

PER_S = 0.5


@pytest.mark.parametrize(("shortfall", "shares"), [(0.10, 872), (0.05, 3_550), (0.02, 22_419)])
def test_the_issues_figures(shortfall: float, shares: float) -> None:
    """870, 3,542 and 22,365 shares at alpha = beta = 1 %: 29 minutes, 2.0 and 12.4 hours at 30 shares a minute."""
    delay = one_shot_delay(ShareCheck(shortfall=shortfall), PER_S, 1 - shortfall)
    assert delay.shares == pytest.approx(shares, rel=1e-3)
    assert delay.seconds == pytest.approx(2 * delay.shares)


def test_a_fleet_waits_longer_than_a_test_on_request() -> None:
    """A page that states one delay for both would promise a verdict in two hours that takes eight."""
    check = ShareCheck()
    on_request, fleet = (one_shot_delay(check, PER_S, 0.95), fleet_delay(check, PER_S, 0.95, 10_000))
    assert 3 < fleet.seconds / on_request.seconds < 6
    # the more is lacking, the sooner; more machines, or fewer alarms, the later
    lacking = [fleet_delay(check, PER_S, rate, 10_000).seconds for rate in (0.0, 0.5, 0.9, 0.95)]
    assert lacking == sorted(lacking)
    fleets = [fleet_delay(check, PER_S, 0.95, tests).seconds for tests in (1, 100, 10_000, 100_000)]
    assert fleets == sorted(fleets)
    rarer = check.model_copy(update={"false_alarms_per_month": 0.01})
    assert fleet_delay(rarer, PER_S, 0.95, 100).seconds == pytest.approx(
        fleet_delay(check, PER_S, 0.95, 10_000).seconds
    )
    assert well_delay(check, PER_S, 1.0).seconds < fleet.seconds
    # a faster machine takes a higher limit, and still is the sooner found
    assert fleet_delay(check, 20 * PER_S, 0.95, 10_000).seconds < fleet.seconds / 15


def test_false_alarms_are_as_stated() -> None:
    """The rate in the site file would be another than the fleet's, within the tolerance or just beyond it."""
    check = ShareCheck(false_alarms_per_month=2.5)
    at = {rate: alarms_per_month(check, PER_S, rate, 10_000) for rate in (1.01, 1.0, 0.995, 0.99, 0.98)}
    assert at[0.995] == pytest.approx(2.5, rel=1e-3)
    assert at[1.01] < at[1.0] < 0.2
    assert at[0.995] < at[0.99] < at[0.98]
    assert 0.95 < undecided(check.contrast) < 0.995
    assert fleet_delay(check, PER_S, 3.0, 10_000).seconds == inf


def test_settings_that_contradict_each_other() -> None:
    """A shortfall that is tolerated would never be found, and a machine without any be called short."""
    with pytest.raises(ValidationError, match="expected less than the shortfall"):
        ShareCheck(tolerance=0.05, shortfall=0.05)


def test_spoilt_shares_have_delays_too() -> None:
    """How long it takes to find a machine that spoils too many would not be known before."""
    check = SpoilCheck(usual=0.01, too_many=0.03)
    assert 0 < fleet_delay(check, PER_S, 0.03, 1_000).seconds < 3 * 3_600
    assert fleet_delay(check, PER_S, 0.10, 1_000).seconds < fleet_delay(check, PER_S, 0.03, 1_000).seconds
