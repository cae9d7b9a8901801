"""Detection: how long the tests take to find a machine that is just so short as they look for, at its present share rate.

Three figures side by side, so that nobody takes one for another: the running test, whose false alarms are rare for the whole
fleet; a test on request, which errs with the stated chance; and one in an audit, where a tap can ask for more shares. Means
by `fleet.work.proof.delays`, from the moment at which the shortfall or the test begins.
"""

from __future__ import annotations

import numpy as np

from fleet.columns import Floats
from fleet.reading import State
from fleet.snapshot import Heard, Snapshot
from fleet.work.counted import Counted
from fleet.work.proof.delays import fleet_delay, one_shot_delay
from fleet.work.proof.evidence import WORK_PER_THS_S
from fleet.work.proof.share_check import ShareCheck
from policies.shown import Shown


class Detection(Shown):
    """How long it takes, on the mean, until a machine of just the stated shortfall is called short."""

    shortfall: float
    """The part of its claim that it lacks."""
    shares_per_min: float
    """To expect of the claim, at the present difficulty."""
    tests: int
    """Machines times the sources that are watched: they share the rate of false alarms of the running test."""
    false_alarms_per_month: float
    """Of the running tests of all machines together."""
    running_s: float
    """By the running test."""
    on_request_s: float
    """By a test on request of it alone (`hashwatt verify`), by as many sources."""
    audit_s: float | None
    """By the same while the tap asks for `audit_shares_per_min`; None: there is no tap."""
    audit_shares_per_min: float | None


def shares_per_s(heard: Heard, counted: Counted | None) -> Floats:
    """share[n] to expect in a second, by the claim of each machine that hashes and the difficulty asked of it; NaN: unknown.

    The difficulty is the tap's where it asks for one, for its shares speak before all others; else what the machine says.
    """
    asked = heard.share_difficulty
    if counted is not None:
        asked = np.where(np.isfinite(counted.difficulty), counted.difficulty, asked)
    claimed = np.where((heard.state == State.HASHING) & (heard.hashrate_ths > 0), heard.hashrate_ths, np.nan)
    rate: Floats = np.divide(claimed * WORK_PER_THS_S, asked, out=np.full(len(heard), np.nan), where=asked > 0)
    return rate


def detection(
    check: ShareCheck, expected_per_s: float, machines: int, sources: int, audit_shares_per_min: float | None = None
) -> Detection:
    """How long the tests take at so many expected shares a second, in a fleet of so many machines and sources."""
    rate, tests = 1.0 - check.shortfall, machines * sources
    audit = audit_shares_per_min
    return Detection(
        shortfall=check.shortfall,
        shares_per_min=60.0 * expected_per_s,
        tests=tests,
        false_alarms_per_month=check.false_alarms_per_month,
        running_s=fleet_delay(check, expected_per_s, rate, tests).seconds,
        on_request_s=one_shot_delay(check, expected_per_s, rate, sources).seconds,
        audit_s=None if audit is None else one_shot_delay(check, audit / 60.0, rate, sources).seconds,
        audit_shares_per_min=audit,
    )


def detection_of(
    check: ShareCheck, snapshot: Snapshot, row: int, sources: int, audit_shares_per_min: float | None
) -> Detection | None:
    """One machine's; None where its share rate is not known."""
    rate = float(shares_per_s(snapshot.heard, snapshot.counted)[row])
    if not np.isfinite(rate) or rate <= 0:
        return None
    return detection(check, rate, len(snapshot.heard), sources, audit_shares_per_min)
