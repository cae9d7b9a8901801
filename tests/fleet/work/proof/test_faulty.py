"""Faulty nonces: too many hardware errors are found, the usual ones are not, and shares are too few to tell more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from fleet.columns import Floats
from fleet.work.proof.evidence import Verdict
from fleet.work.proof.faulty import ErrorCheck, Faulty, observe_faulty
from fleet.work.proof.spoilt import spoilt_share

LOOK_S = 10.0
DIFFICULTY = 65_536.0
NONCES = 10 * DIFFICULTY
"""Of a machine, in a look, where none is wrong: ten shares."""


def observed(check: ErrorCheck, part: float, machines: int, looks: int) -> tuple[Faulty, int]:
    """Machines of which such a part of the nonces is wrong, and how many alarms they raised."""
    dice, record, alarms = np.random.default_rng(5), Faulty.nothing(machines), 0
    errors, work = np.zeros(machines), np.zeros(machines)
    for look in range(looks):
        before = record.verdict
        record = observe_faulty(
            record,
            check,
            heard_s=np.full(machines, LOOK_S * look),
            errors=errors,
            accepted_difficulty=work,
            share_difficulty=np.full(machines, DIFFICULTY),
        )
        alarms += int(((record.verdict == Verdict.SHORT) & (before != Verdict.SHORT)).sum())
        errors = errors + dice.poisson(NONCES * part, machines)
        work = work + dice.poisson(NONCES * (1 - part) / DIFFICULTY, machines) * DIFFICULTY
    return record, alarms


@pytest.mark.parametrize(("part", "verdict"), [(1e-6, Verdict.HONEST), (0.005, Verdict.HONEST), (0.03, Verdict.SHORT)])
def test_too_many_are_found(part: float, verdict: Verdict) -> None:
    """Errors that grow with heat would not be found, or usual ones be called too many because shares come by chance."""
    record, _ = observed(ErrorCheck(), part, 50, 1_500)
    assert (record.verdict == verdict).all()
    found = spoilt_share(record)
    assert found.ratio.mean() == pytest.approx(part, rel=0.05)
    assert ((found.low <= part) & (part <= found.high)).mean() >= 0.95


def test_false_alarms() -> None:
    """A thousand machines with just the usual errors: the good nonces are known by a few shares, and that is chance too."""
    check = ErrorCheck.model_construct(
        usual=0.02, too_many=0.06, false_alarms_per_month=2e4, missed=0.01, window_s=86_400.0, most_gap_s=1_800.0
    )
    _, alarms = observed(check, 0.02, 1_000, 1_500)
    most = 2e4 * 1_500 * LOOK_S / (365.2425 / 12 * 86_400)
    assert alarms <= most + 3 * np.sqrt(most)


def column(value: float) -> Floats:
    """One machine's."""
    return np.array([value])


@pytest.mark.parametrize(
    ("what", "later", "counted"),
    [
        ("all is well", {}, (0.5, 100.5)),
        ("a harder difficulty in between", {"share_difficulty": 2 * DIFFICULTY}, (0.25, 50.25)),
        ("an easier one", {"share_difficulty": DIFFICULTY / 2}, (0.5, 100.5)),
        ("a restart", {"uptime_s": 5.0}, (0.0, 0.0)),
        ("a counter that fell", {"errors": 0.0}, (0.0, 0.0)),
        ("no counter of errors", {"errors": np.nan}, (0.0, 0.0)),
        ("no counter of work", {"accepted_difficulty": np.nan}, (0.0, 0.0)),
    ],
)
def test_what_is_counted(what: str, later: dict[str, float], counted: tuple[float, float]) -> None:
    """Errors of difficulty 1 that are held against shares of 65,536, or counters of two lives."""
    first = {"heard_s": 1e6, "errors": 7.0, "accepted_difficulty": 1e9, "share_difficulty": DIFFICULTY, "uptime_s": 1e5}
    then = {"heard_s": 1e6 + 60, "errors": 7.0 + DIFFICULTY / 2, "accepted_difficulty": 1e9 + 100 * DIFFICULTY}
    record = Faulty.nothing(1)
    for look in (first, {**first, **then, **later}):
        columns: dict[str, Any] = {name: column(value) for name, value in look.items()}
        record = observe_faulty(record, ErrorCheck(), **columns)
    assert (record.total_shares[0], record.total_expected[0]) == pytest.approx(counted), what


def test_who_does_not_know_the_difficulty_cannot_tell() -> None:
    """A good nonce that is counted as a share of unknown chance."""
    record = Faulty.nothing(1)
    for look in range(9):
        record = observe_faulty(
            record,
            ErrorCheck(),
            heard_s=column(60.0 * look),
            errors=column(1e6 * look),
            accepted_difficulty=column(1e6 * look),
            share_difficulty=column(np.nan),
        )
    assert (record.total_expected[0], record.verdict[0]) == (0.0, Verdict.UNTESTED)


def test_settings_that_cannot_be() -> None:
    """A bound below what is usual would call every machine bad."""
    with pytest.raises(ValidationError, match="expected less than too_many"):
        ErrorCheck(usual=0.03)
