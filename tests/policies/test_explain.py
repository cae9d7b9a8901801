"""explain: what is told of a machine agrees with what was decided, and with what would flip it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from fleet.estimate import Beliefs
from fleet.machine import Roster
from fleet.order import Order, OrderKind
from policies.explain import explain
from policies.explanation import Explanation
from policies.site_sums import site_sums
from policies.switching import Hysteresis, Regret, Threshold
from policies.tariff import IndexTariff
from policies.tick import Judgment
from tests.policies.conftest import T0, Bench, machine, roster


def bench(n: int = 2, *, caps: dict[str, float] | None = None, **settings: Any) -> Bench:
    """A live site on an index tariff."""
    return Bench(Judgment(roster(n, caps), IndexTariff(), live=np.ones(n, np.bool_), **settings))


def kinds(told: Explanation) -> list[str]:
    """The kinds of its holds."""
    return [hold.kind for hold in told.holds]


@pytest.mark.parametrize(
    ("price", "decided", "falls_above", "rises_below"),
    [
        # 40 $/PH/day: the steps break even at 83.33 (low), 62.5 (mid), 46.3 (high) USD/MWh.
        (40.0, "high", 46.296, None),
        (50.0, "mid", 62.5, 46.296),
        (70.0, "low", 40 * 75 / 24e3 / 1475e-6, 62.5),
        (90.0, "sleep", None, 40 * 75 / 24e3 / 1475e-6),
    ],
)
def test_flip_prices_are_those_of_the_ladder(
    price: float, decided: str, falls_above: float | None, rises_below: float | None
) -> None:
    """The power prices at which a plain threshold flips are the break-evens of the steps of the ladder."""
    site = bench(switching=Threshold())
    site.tick(price=price)
    site.tick(1_000, price=price)
    told = explain(site.judgment, site.tick(1_000, price=price), "m0")
    assert (told.mode, told.decided, told.why) == (decided, decided, "money")
    flips = {change.what.split()[5]: change.power_usd_mwh for change in told.changes if change.power_usd_mwh}
    for word, expected in (("rises", falls_above), ("falls", rises_below)):
        assert flips.get(word) == (None if expected is None else pytest.approx(expected, rel=1e-4))


def test_the_step_decides_and_not_the_average() -> None:
    """A step whose marginal J/TH is above the limit is the one not taken, whatever its average."""
    site = bench(switching=Threshold())
    told = explain(site.judgment, site.tick(price=50.0), "m0")
    assert told.limit_j_th == pytest.approx(40_000 / 24 / 50)
    steps = {point.mode: point.marginal_j_th for point in told.points}
    assert told.limit_j_th is not None
    assert steps["mid"] == pytest.approx(800 / 30)
    assert steps["high"] == pytest.approx(36.0)
    assert 800 / 30 < told.limit_j_th < 36.0
    assert told.decided == "mid"


def test_overhead_is_seen_from_the_meter() -> None:
    """Break-evens are prices at the site's meter: with 10 % overhead they are a tenth lower."""
    bare = bench(switching=Threshold())
    cooled = bench(switching=Threshold(), economics=bare.judgment.economics.model_copy(update={"overhead": 0.1}))
    a, b = (explain(site.judgment, site.tick(price=50.0), "m0") for site in (bare, cooled))
    assert b.power_usd_mwh == pytest.approx(50.0)
    for one, other in zip(a.points[1:], b.points[1:], strict=True):
        assert one.break_even_usd_mwh == pytest.approx((other.break_even_usd_mwh or 0) * 1.1)


def test_order_and_reason_are_named() -> None:
    """A curtailed machine says whose order it is, until when, and which points it took."""
    site = bench()
    order = Order("o1", OrderKind.CURTAIL, "m0", "alice", "new fans", T0, T0 + 3_600)
    site.tick(orders=[order])
    record = site.tick(60, orders=[order])
    told, other = (explain(site.judgment, record, name) for name in ("m0", "m1"))
    assert (told.decided, told.why, told.asleep_why) == ("sleep", "operator order", "operator order")
    assert [p.removed_by for p in told.points] == [None, "operator order", "operator order", "operator order"]
    assert told.holds[0].kind == "order"
    assert "alice" in told.holds[0].what
    assert told.changes[0].at_s == T0 + 3_600
    assert "order" not in kinds(other)


def test_regret_says_when_it_is_spent() -> None:
    """A machine that stays at a loss says since what and until when; then it goes."""
    site = bench(switching=Regret(share=1.0))
    site.tick(price=70.0)
    site.tick(1_000, price=70.0)
    told = explain(site.judgment, site.tick(10, price=90.0), "m0")
    assert (told.decided, kinds(told)) == ("low", ["regret"])
    until_s = told.holds[0].until_s
    assert until_s is not None
    early = explain(site.judgment, site.tick(until_s - site.at_s - 1, price=90.0), "m0")
    assert early.decided == "low"
    late = explain(site.judgment, site.tick(2, price=90.0), "m0")
    assert late.decided == "sleep"


def test_hysteresis_says_its_band() -> None:
    """Within the band a machine stays, and the flip price lies a band above break-even."""
    site = bench(switching=Hysteresis(band=0.10))
    site.tick(price=80.0)
    site.tick(1_000, price=80.0)
    told = explain(site.judgment, site.tick(60, price=86.0), "m0")
    assert kinds(told) == ["regret"]
    flip = [change.power_usd_mwh for change in told.changes if change.to == "sleep"]
    assert flip == [pytest.approx(40 * 75 / 24e3 * 1.1 / 1475e-6, rel=1e-4)]


def test_a_binding_cap_shows_its_shadow() -> None:
    """Under a cap that binds, the machine that was held below its best says the cap, and what one more MWh would earn."""
    site = bench(caps={"": 4_700.0}, switching=Threshold())
    site.tick(price=10.0)
    record = site.tick(1_000, price=10.0)
    told = [explain(site.judgment, record, name) for name in ("m0", "m1")]
    assert {t.why for t in told} == {"power cap"}
    assert all(t.shadow_usd_mwh > 0 for t in told)
    assert all(t.shadows[0].place == "" for t in told)
    assert not any("falls" in change.what for t in told for change in t.changes)


def test_what_waits_is_told() -> None:
    """A change that waits for dwell says so and until when; one after a failure names the back-off."""
    site = bench(switching=Threshold())
    site.tick(price=50.0)
    told = explain(site.judgment, site.tick(30, price=70.0), "m0")
    assert [hold.what for hold in told.holds] == ["waits for: dwell"]
    assert told.holds[0].until_s == T0 + 120


def test_hand_and_quarantine_are_told() -> None:
    """A machine changed by somebody else, and one left alone after failures, say so and until when."""
    site = bench(switching=Threshold(), beliefs=Beliefs(hand_s=500, quarantine_after=1, quarantine_s=700))
    site.tick(price=10.0)
    site.mode[0] = "low"
    told = explain(site.judgment, site.tick(30, price=10.0), "m0")
    assert kinds(told) == ["hand"]
    assert told.why == "changed by somebody else"
    assert told.holds[0].until_s == T0 + 30 + 500
    site.tick(1_000, price=90.0, obey=False)
    told = explain(site.judgment, site.tick(95, price=90.0, silent=[1]), "m1")
    assert "quarantine" in kinds(told)
    assert "doubt" in kinds(told)


def test_lost_market_is_told() -> None:
    """Without a power price nothing is valued, and what is missing and the declared answer are said."""
    site = bench()
    site.tick()
    told = explain(site.judgment, site.tick(60, price=None), "m0")
    assert told.missing == ("power_usd_mwh",)
    assert told.points[1].earns_usd_h is None
    assert "hold" in next(hold.what for hold in told.holds if hold.kind == "market")


def test_dry_run_is_told() -> None:
    """Without live control a decision is told as what it would be."""
    site = Bench(Judgment(roster(1), IndexTariff(), switching=Threshold()))
    site.tick(price=50.0)
    told = explain(site.judgment, site.tick(1_000, price=99.0), "m0")
    assert not told.live
    assert "would go to sleep (dry run)" in told.doing
    assert kinds(told) == ["not live"]


def test_json_is_strict_and_documented() -> None:
    """What programs get is strict JSON (no NaN), and each field of the schema that needs it is described."""
    site = bench()
    record = site.tick(silent=[0])
    for name in ("m0", "m1"):
        text = explain(site.judgment, record, name).model_dump_json()
        json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} in JSON"))
    assert "description" in Explanation.model_json_schema()["properties"]["limit_j_th"]


def test_unknown_machine_is_refused() -> None:
    """Asking for a machine that is not there is an error, not somebody else's explanation."""
    site = bench()
    with pytest.raises(KeyError):
        explain(site.judgment, site.tick(), "m9")


def test_shares_are_told() -> None:
    """A machine whose shares do not bear out its claim is told as short, with how much it delivers."""
    site = bench(1, switching=Threshold())
    counted, record = 0.0, site.tick(price=10.0)
    for _ in range(200):
        # 130 TH/s claimed for ten minutes, and nine tenths of the work delivered.
        counted += 0.9 * 130e12 * 600 / 2**32
        said: dict[str, Any] = {
            "hashrate_ths": [130.0],
            "accepted_difficulty": [counted],
            "share_difficulty": [65_536.0],
        }
        said["counted_s"] = [site.at_s + 600]
        record = site.tick(600, price=10.0, **said)
    proof = explain(site.judgment, record, "m0").proof
    assert (proof.verdict, proof.source) == ("short", "counters")
    assert proof.delivered == pytest.approx(0.9, abs=0.01)
    assert proof.interval is not None
    assert proof.interval[0] < 0.9 < proof.interval[1]
    assert site_sums(site.judgment, record).machines_by_verdict == {"untested": 0, "honest": 0, "short": 1}


def test_steps_that_cost_hashes_flip_later() -> None:
    """Where a step of the ladder restarts the machine, the flip price told is the one at which it really steps."""
    machines = [machine("m0", start_s=300.0)]
    judgment = Judgment(Roster.of(machines), IndexTariff(), switching=Threshold(), live=np.ones(1, np.bool_))
    site = Bench(judgment)
    site.tick(price=40.0)
    told = explain(judgment, site.tick(1_000, price=40.0), "m0")
    flip = next(change for change in told.changes if change.power_usd_mwh is not None)
    assert flip.power_usd_mwh is not None
    assert flip.power_usd_mwh > 46.3
    site.tick(1_000, price=flip.power_usd_mwh - 0.5)
    assert site.modes() == ["high"]
    site.tick(1_000, price=flip.power_usd_mwh + 0.5)
    assert site.modes() == [flip.to]
