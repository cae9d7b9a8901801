"""The proof in the judgment: what shares say becomes belief, the belief is what is valued, and it is told in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fleet.estimate import Beliefs
from policies.proof import Proof, proof, short
from policies.record import Record
from policies.site_sums import machine_columns, site_sums
from tests.policies.mine import Mine


def told(record: Record, mine: Mine, row: int = 0) -> Proof:
    """A machine's proof."""
    return proof(mine.judgment, record, row)


# At 40 $/PH/day the ladder's best point breaks even at 83 $/MWh; of a machine that delivers 60 % of its claim, at 50.
@pytest.mark.parametrize(
    ("delivers", "sources", "value_proven", "runs"),
    [
        (1.0, ("counters",), True, True),
        (1.0, ("tap",), True, True),
        (0.95, ("tap",), True, True),
        (0.6, ("counters",), True, False),
        (0.6, ("tap",), True, False),
        (0.6, ("counters", "tap"), True, False),
        (0.6, ("counters", "pool"), True, False),
        (0.6, ("tap",), False, True),
        (0.6, (), True, True),
        # a pool's counter alone: who does not know the difficulty cannot say how much chance there is in it
        (0.6, ("pool",), True, True),
    ],
)
def test_dispatch_values_what_is_proven(
    delivers: float, sources: tuple[str, ...], value_proven: bool, runs: bool
) -> None:
    """A cheat that is kept running on hashes that it does not deliver; or an honest machine put to sleep by its shares."""
    mine = Mine((delivers,), sources, Beliefs(value_proven=value_proven), price=62.0)
    mine.run(60)
    assert (mine.site.modes() != ["sleep"]) is runs


def test_a_tap_that_sees_all_overrules_counters_that_lie() -> None:
    """A machine that counts shares which nobody saw, and is believed because it says so more loudly."""
    mine = Mine((0.6,), ("lies", "tap"), price=10.0)
    record = mine.run(120)
    found = told(record, mine)
    assert {said.source: said.verdict for said in found.sources} == {"counters": "honest", "tap": "short"}
    assert (found.source, found.verdict) == ("tap", "short")
    assert found.credit < 0.7


def test_a_pool_behind_the_tap_is_not_judged_by_the_machines_difficulty() -> None:
    """A pool that credits few hard shares, judged as if they were the many easy ones of an audit: false alarms by the dozen."""
    mine = Mine((1.0,), ("counters", "pool", "tap"), price=10.0)
    found = told(mine.run(60), mine)
    assert {said.source: said.expected > 0 for said in found.sources} == {"counters": True, "pool": False, "tap": True}


def test_an_honest_machine_never_moves() -> None:
    """Noise in shares that moves what a machine is valued at, and with it machines, all day."""
    mine = Mine((1.0, 0.99, 1.01), ("tap",))
    for _ in range(300):
        assert (mine.tick().view.credit == 1.0).all()


def test_a_cheat_is_credited_what_it_delivers() -> None:
    """A credit that is below what is proven, or that stays with the claim."""
    mine = Mine((0.8, 1.0), ("tap",), price=10.0)
    record = mine.run(240)
    credit = record.view.credit
    assert 0.8 < credit[0] < 0.84
    assert credit[1] == 1.0
    now = machine_columns(mine.judgment, record)
    assert now.credited_ths[0] == pytest.approx(now.hashrate_ths[0] * credit[0])
    sums = site_sums(mine.judgment, record)
    assert sums.hashrate_credited_ths == pytest.approx(now.credited_ths.sum())
    assert sums.delivered == pytest.approx(0.9, abs=0.001)
    assert sums.machines_by_source == {"counters": 0, "pool": 0, "tap": 2}
    value = record.decision.choices.value_usd_h
    assert value is not None
    assert value[0, -1] < value[1, -1]


def test_it_is_told_in_the_words_of_the_issue() -> None:
    """A finding without its interval, its beginning, or the rate at which such findings are wrong."""
    mine = Mine((0.949,), ("tap",), price=10.0, foreign=0.05)
    record = mine.run(650)
    found = told(record, mine)
    words = found.in_words()
    assert words.startswith("m0 delivers 94.9 % of what it claims, 95 % interval 9")
    assert ", verdict: short, since 2023-11-14 2" in words
    assert "at a false-alarm rate of one a month for the whole fleet, counted by the tap, share by share" in words
    assert words.endswith("the tap saw 5.0 % for a worker that is not ours, which is the likely cause")
    assert [one.machine for one in short(mine.judgment, record)] == ["m0"]
    assert found.tap is not None
    assert found.tap.lost["foreign"] == pytest.approx(0.05, abs=0.001)


def test_efficiency_is_of_proven_hashes() -> None:
    """A cheat that is as efficient as it claims: 3,200 W and 130 TH/s are 24.6 J/TH, and 30.8 where 80 % are delivered."""
    mine = Mine((0.8, 1.0), ("tap",), price=10.0, metered=True)
    record = mine.run(240)
    cheat, honest = told(record, mine), told(record, mine, 1)
    assert cheat.efficiency_j_th == pytest.approx(3_200 / 130 / 0.8, rel=1e-3)
    assert honest.efficiency_j_th == pytest.approx(3_200 / 130, rel=1e-3)
    assert cheat.efficiency_interval is not None
    assert cheat.efficiency_interval[0] < 30.8 < cheat.efficiency_interval[1]
    assert cheat.efficiency_interval[0] > 24.7
    unmetered = Mine((1.0,), ("tap",), price=10.0)
    assert told(unmetered.run(60), unmetered).efficiency_j_th is None


def test_what_does_not_explain_a_shortfall_is_not_its_cause() -> None:
    """An inflated claim that is blamed on a handful of stale shares, or on nothing that anybody saw."""
    mine = Mine((0.8,), ("tap",), price=10.0, foreign=0.01)
    assert str(told(mine.run(240), mine).likely_cause).endswith("not ours, which does not explain it")
    blank = Mine((0.8,), ("tap",), price=10.0)
    assert str(told(blank.run(240), blank).likely_cause).startswith("the tap saw nothing wrong with what came")


@pytest.mark.parametrize(
    ("rejected", "too_many", "cause"),
    [
        (0.1, True, "10.0 % of its shares are rejected (95 % interval "),
        (0.005, False, None),
        (0.0, None, None),
    ],
)
def test_without_a_tap_rejected_shares_are_the_cause(rejected: float, too_many: bool | None, cause: str | None) -> None:
    """A machine that is short because its pool refuses a tenth of what it brings, and nobody says so."""
    mine = Mine((0.9,), ("counters",), price=10.0, rejected=rejected)
    found = told(mine.run(300), mine)
    assert found.verdict == "short"
    assert (None if found.rejects is None else found.rejects.too_many) == too_many
    assert (found.likely_cause or "")[: len(cause or "")] == (cause or "")
    assert (found.likely_cause is None) == (cause is None)


@pytest.mark.parametrize(
    ("wrong", "too_many", "cause"),
    [(0.08, True, "8.00 % of its nonces are hardware errors (95 % interval "), (0.001, False, None), (0.0, None, None)],
)
def test_hardware_errors_are_told_and_are_a_cause(wrong: float, too_many: bool | None, cause: str | None) -> None:
    """A machine that is short because its chips are too hot, and nobody says so."""
    mine = Mine((0.92,), ("counters",), price=10.0, wrong=wrong)
    found = told(mine.run(300), mine)
    assert found.verdict == "short"
    assert (None if found.errors is None else found.errors.too_many) == too_many
    assert (found.likely_cause or "")[: len(cause or "")] == (cause or "")
    if found.errors is not None:
        assert found.errors.share == pytest.approx(wrong, rel=0.01)
        assert found.errors.low < wrong < found.errors.high


def test_nothing_is_told_where_nothing_was_counted() -> None:
    """A machine that is called honest, or short, because nobody counts its shares."""
    mine = Mine((0.5,), ())
    record = mine.run(30)
    found = told(record, mine)
    assert (found.verdict, found.source, found.delivered, found.tap) == ("untested", None, None, None)
    assert found.in_words() == "m0: no shares counted yet, verdict: untested"
    assert site_sums(mine.judgment, record).delivered is None


def test_switching_the_setting_off_forgets_the_credit() -> None:
    """A site file that says "value claims" and a restart that remembers the credit of before."""
    mine = Mine((0.6,), ("tap",), price=10.0)
    mine.run(60)
    off = replace(mine.judgment, beliefs=Beliefs(value_proven=False))
    mine.site.judgment = off
    record = mine.tick()
    assert (record.view.credit == 1.0).all()
    assert told(record, mine).verdict == "short"
