"""Spoilt shares: too many rejected or faulty ones are found, the usual ones are not, and counters begin anew."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from fleet.columns import Floats
from fleet.work.proof.evidence import Verdict
from fleet.work.proof.spoilt import SpoilCheck, Spoilt, observe_spoilt, spoilt_share

LOOK_S = 10.0


def observed(check: SpoilCheck, part: float, machines: int, looks: int, tests: int | None = None) -> tuple[Spoilt, int]:
    """Machines that spoil such a part of ten shares a look, and how many alarms they raised."""
    dice, record, alarms = np.random.default_rng(4), Spoilt.nothing(machines), 0
    bad, good = np.zeros(machines), np.zeros(machines)
    for look in range(looks):
        before = record.verdict
        record = observe_spoilt(
            record, check, heard_s=np.full(machines, LOOK_S * look), bad=bad, good=good, tests=tests
        )
        alarms += int(((record.verdict == Verdict.SHORT) & (before != Verdict.SHORT)).sum())
        spoilt = dice.binomial(10, part, machines)
        bad, good = bad + spoilt, good + 10 - spoilt
    return record, alarms


@pytest.mark.parametrize(("part", "verdict"), [(0.004, Verdict.HONEST), (0.01, Verdict.HONEST), (0.04, Verdict.SHORT)])
def test_too_many_are_found(part: float, verdict: Verdict) -> None:
    """Errors that grow with heat would not be found, or the usual one in a hundred be called too many."""
    record, _ = observed(SpoilCheck(), part, 50, 1_500)
    assert (record.verdict == verdict).all()
    found = spoilt_share(record)
    assert found.ratio.mean() == pytest.approx(part, abs=0.15 * part)
    assert ((found.low <= part) & (part <= found.high)).mean() >= 0.9
    assert (found.since_s < 500).all() or verdict == Verdict.HONEST


def test_false_alarms() -> None:
    """Machines that spoil just what is usual would alarm more often than stated."""
    check = SpoilCheck.model_construct(
        usual=0.02, too_many=0.06, false_alarms_per_month=2e4, missed=0.01, window_s=86_400.0, most_gap_s=1_800.0
    )
    _, alarms = observed(check, 0.02, 1_000, 3_000)
    most = 2e4 * 3_000 * LOOK_S / (365.2425 / 12 * 86_400)
    assert 0.4 * most <= alarms <= most + 3 * np.sqrt(most)


def column(value: float) -> Floats:
    """One machine's."""
    return np.array([value])


@pytest.mark.parametrize(
    ("what", "later", "counted"),
    [
        ("all is well", {}, 12.0),
        ("good ones fell", {"good": 5.0}, 0.0),
        ("bad ones fell", {"bad": 1.0}, 0.0),
        ("it rebooted", {"uptime_s": 10.0}, 0.0),
        ("too long unheard", {"heard_s": 1e5}, 0.0),
        ("not heard again", {"heard_s": 0.0}, 0.0),
        ("counters not known", {"bad": float("nan")}, 0.0),
    ],
)
def test_what_breaks_a_span(what: str, later: dict[str, float], counted: float) -> None:
    """A machine that rebooted would have spoilt less than nothing."""
    assert what
    first = {"heard_s": 0.0, "bad": 3.0, "good": 100.0, "uptime_s": 500.0}
    then = {"heard_s": 60.0, "bad": 5.0, "good": 110.0, "uptime_s": 560.0, **later}
    record = Spoilt.nothing(1)
    for said in (first, then):
        record = observe_spoilt(
            record,
            SpoilCheck(),
            heard_s=column(said["heard_s"]),
            bad=column(said["bad"]),
            good=column(said["good"]),
            uptime_s=column(said["uptime_s"]),
        )
    assert record.total_expected[0] == counted
    assert record.total_shares[0] == (2.0 if counted else 0.0)


def test_counters_that_only_full_looks_bring() -> None:
    """Five minutes' shares would be taken as those of ten seconds, and the limit be that of a rate thirty times as high."""
    record, check = Spoilt.nothing(1), SpoilCheck()
    for look in range(91):
        full = 200.0 * (look // 30)
        record = observe_spoilt(record, check, heard_s=column(10.0 * look), bad=column(full / 100), good=column(full))
    assert record.total_expected[0] == 3 * 202.0
    assert record.limit[0] == pytest.approx(check.short_limit(column(202.0 / 300.0), 1)[0])


def test_settings_that_contradict_each_other() -> None:
    """A bound that lies below what is usual would alarm at every machine."""
    with pytest.raises(ValidationError, match="expected less than too_many"):
        SpoilCheck(usual=0.05, too_many=0.03)


def test_a_machine_that_spoils_all() -> None:
    """An interval beyond all shares would be shown."""
    record, _ = observed(SpoilCheck(), 1.0, 1, 20)
    found = spoilt_share(record)
    assert found.ratio[0] == 1.0
    assert found.high[0] == 1.0
