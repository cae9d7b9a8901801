"""What the tap counted held against claims: exposure, waiting for both ends of a span, and new lives of the tap."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from fleet.columns import Floats
from fleet.work.counted import Counted, Flaw
from fleet.work.proof.evidence import WORK_PER_THS_S, Evidence, Verdict, delivered
from fleet.work.proof.share_check import ShareCheck
from fleet.work.proof.tapped import observe_counted

CLAIM_THS = 100.0
DIFFICULTY = 262_144.0
WORK_S = CLAIM_THS * WORK_PER_THS_S
NAN = float("nan")


def counted(shares: float, exposure: float, epoch: int = 1) -> Counted:
    """One machine as the tap counts it."""
    return Counted(
        at_s=0.0,
        epoch=epoch,
        shares=np.array([shares]),
        work=np.array([shares * DIFFICULTY]),
        exposure=np.array([exposure]),
        away_s=np.zeros(1),
        connected=np.ones(1, np.bool_),
        last_s=np.zeros(1),
        difficulty=np.array([DIFFICULTY]),
        flawed=np.zeros((1, len(Flaw))),
        foreign_work=np.zeros(1),
        best=np.zeros(1),
    )


@dataclass
class Tapped:
    """One machine and the tap, heard of now and then."""

    check: ShareCheck = field(default_factory=ShareCheck)
    evidence: Evidence = field(default_factory=lambda: Evidence.nothing(1))

    def hear(
        self, at_s: float, shares: float, exposure: float, *, claim_ths: float = CLAIM_THS, epoch: int = 1
    ) -> None:
        """A reading, with what the tap has counted by then."""
        self.evidence = observe_counted(
            self.evidence,
            self.check,
            heard_s=np.array([at_s]),
            claimed_ths=np.array([claim_ths]),
            counted=counted(shares, exposure, epoch),
        )

    @property
    def booked(self) -> tuple[float, float]:
        """Shares and expected shares."""
        return float(self.evidence.total_shares[0]), float(self.evidence.total_expected[0])


def test_exposure_turns_claims_into_shares() -> None:
    """Shares of an hour with three difficulties would be held against one of them."""
    machine, exposure, due = Tapped(), 0.0, 0.0
    machine.hear(0.0, 0, 0.0)
    for i, difficulty in enumerate((DIFFICULTY, DIFFICULTY / 20, 4 * DIFFICULTY)):
        exposure += 60.0 / difficulty
        due += WORK_S * 60.0 / difficulty
        machine.hear(60.0 * (i + 1), 7.0 * (i + 1), exposure)
    shares, expected = machine.booked
    assert shares == 21
    assert expected == pytest.approx(due)


def test_claims_that_change() -> None:
    """A ramp would be held to its end, and an audit in the middle of it to another claim than was made then."""
    machine = Tapped()
    machine.hear(0.0, 0, 0.0, claim_ths=0.0)
    machine.hear(60.0, 3, 60 / DIFFICULTY, claim_ths=100.0)
    assert machine.booked == pytest.approx((3.0, WORK_S / 2 * 60 / DIFFICULTY))


def test_shares_wait_for_the_claim() -> None:
    """Ticks between two readings would count shares against a claim that is not known yet, or lose them."""
    machine = Tapped()
    machine.hear(0.0, 10, 1.0)
    before = machine.evidence
    machine.hear(0.0, 13, 1.0 + 30 / DIFFICULTY)
    assert machine.evidence is before
    machine.hear(60.0, 15, 1.0 + 60 / DIFFICULTY)
    assert machine.booked == pytest.approx((5.0, WORK_S * 60 / DIFFICULTY))


@pytest.mark.parametrize(
    ("what", "later"),
    [
        ("the tap began anew", {"epoch": 2}),
        ("its counter fell", {"shares": 3.0}),
        ("its exposure fell", {"exposure": 0.5}),
        ("the machine does not hash", {"claim_ths": NAN}),
        ("too long unheard", {"at_s": 9_000.0}),
        ("more shares than can be", {"shares": 1_000.0}),
    ],
)
def test_what_breaks_a_span(what: str, later: dict[str, float]) -> None:
    """Shares of one life of the tap would be held against the claims of another, or a made-up count be believed."""
    machine = Tapped()
    machine.hear(0.0, 10, 1.0)
    now = {"at_s": 60.0, "shares": 15.0, "exposure": 1.0 + 60 / DIFFICULTY, **later}
    machine.hear(
        now["at_s"],
        now["shares"],
        now["exposure"],
        **{k: v for k, v in later.items() if k == "claim_ths"},
        epoch=int(later.get("epoch", 1)),
    )
    assert machine.booked == (0.0, 0.0)
    assert machine.evidence.jumps[0] == (1.0 if what == "more shares than can be" else 0.0)
    # and the next whole span counts, and only it
    at_s, epoch = now["at_s"] + 60.0, int(later.get("epoch", 1))
    machine.hear(at_s, now["shares"] + 4, now["exposure"] + 60 / DIFFICULTY, epoch=epoch)
    if what == "the machine does not hash":
        machine.hear(at_s + 60, now["shares"] + 8, now["exposure"] + 120 / DIFFICULTY, epoch=epoch)
    assert machine.booked == pytest.approx((4.0, WORK_S * 60 / DIFFICULTY))


def test_a_tap_that_could_take_nothing() -> None:
    """A pool that is down would make every machine of the site short."""
    machine = Tapped()
    machine.hear(0.0, 10, 1.0)
    for at_s in range(10, 3_000, 10):
        machine.hear(float(at_s), 10, 1.0)
    assert machine.booked == (0.0, 0.0)
    assert machine.evidence.verdict[0] == Verdict.UNTESTED


def test_a_machine_that_mines_elsewhere() -> None:
    """A machine that claims and sends nothing here would not be found, or only after an hour."""
    machine, at_s = Tapped(), 0.0
    machine.hear(0.0, 10, 1.0)
    while machine.evidence.verdict[0] != Verdict.SHORT:
        at_s += 10.0
        machine.hear(at_s, 10, 1.0 + at_s / DIFFICULTY)
        assert at_s < 6_000
    found = delivered(machine.evidence)
    assert found.ratio[0] == 0
    assert found.high[0] < 0.5


def test_rows_are_their_own() -> None:
    """One machine's silence would hold up its neighbours' shares."""
    evidence, check = Evidence.nothing(3), ShareCheck()

    def tell(heard_s: Floats, shares: float, exposure: float) -> Evidence:
        each = Counted(
            at_s=0.0, epoch=4, shares=np.full(3, shares), work=np.zeros(3), exposure=np.full(3, exposure),
            away_s=np.zeros(3), connected=np.ones(3, np.bool_), last_s=np.zeros(3), difficulty=np.full(3, DIFFICULTY),
            flawed=np.zeros((3, len(Flaw))), foreign_work=np.zeros(3), best=np.zeros(3),
        )  # fmt: skip
        return observe_counted(evidence, check, heard_s=heard_s, claimed_ths=np.full(3, CLAIM_THS), counted=each)

    evidence = tell(np.zeros(3), 0.0, 0.0)
    evidence = tell(np.array([60.0, 0.0, NAN]), 6.0, 60 / DIFFICULTY)
    assert evidence.total_shares.tolist() == [6.0, 0.0, 0.0]
    evidence = tell(np.array([120.0, 120.0, 120.0]), 11.0, 120 / DIFFICULTY)
    assert evidence.total_shares.tolist() == [11.0, 11.0, 11.0]
    assert evidence.total_expected == pytest.approx(WORK_S * 120 / DIFFICULTY)
