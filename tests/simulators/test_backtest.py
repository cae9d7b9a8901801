"""The backtest's parts: what was known when, the ledger of a policy, the clairvoyant, and the published table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.coin import parse_coin_days, parse_epochs
from fleet.columns import Floats
from fleet.machine import Machine, Mode, Roster
from fleet.market import Market, Quantity
from fleet.rows import SeriesError
from fleet.series import parse_series
from policies.economics import Economics, hashprice_usd_phs_day
from policies.plan import Pace
from policies.switching import AlwaysOn, Hysteresis, Regret, Switching, Threshold
from policies.tariff import FixedTariff, IndexTariff
from policies.tick import Judgment
from simulators.backtest import backtest_judgment, run_backtest
from simulators.backtesting.clairvoyant import clairvoyant
from simulators.backtesting.drive import World, drive, prospect_of, settled_prices, with_switching
from simulators.backtesting.history import History, Information, history_of, read_history
from simulators.backtesting.ledger import Ledger
from simulators.backtesting.machines import fleet_of, nameplate_like, with_start_cost
from simulators.backtesting.yardsticks import Yardsticks, always_on, day_yardsticks

SCENARIOS = Path(__file__).parents[2] / "simulators" / "scenarios" / "data"
ALIKE = World(seed=1, spread_power=0.0, spread_hashrate=0.0)
HASHPRICE = 24.0
"""A machine of 10 J/TH breaks even at 100 USD/MWh."""
COIN_USD = HASHPRICE / hashprice_usd_phs_day(1.0, 1.0, 50.0)
HOURS = [f"2022-01-02T{hour:02}:00Z" for hour in range(24)]
MISSING = None


def coin_lines(*prices: float, fees: float = 0.0, first: int = 1) -> list[str]:
    """Days from January `first`, 2022 on, each with its coin price in units of COIN_USD."""
    rows = [f"2022-01-{first + d:02},1,{price * COIN_USD!r},{fees}\n" for d, price in enumerate(prices)]
    return ["date,hashrate_ths,price_usd,fees_btc\n", *rows]


EPOCHS = ["epoch,first_height,start_utc,nbits,difficulty\n", "0,0,2021-12-31T00:00Z,1d00ffff,1.0\n"]


def history(prices: Sequence[float | None], coin: Sequence[str] = (), epochs: Sequence[str] = EPOCHS) -> History:
    """Hours of the second of January 2022 at these prices; a day's coin price of COIN_USD unless given."""
    rows = [f"{HOURS[hour]},{price}\n" for hour, price in enumerate(prices) if price is not None]
    power = parse_series(["interval_start_utc,price_usd_mwh\n", *rows], "power.csv")
    days = parse_coin_days(coin or coin_lines(1.0, 1.0), "coin.csv")
    return history_of(power, days, parse_epochs(epochs, "difficulty.csv"))


def machine(number: int = 0, start_s: float = 1_800, wear_usd: float = 0.0, ladder: bool = False) -> Machine:
    """1 kW for 100 TH/s; with a ladder also 600 W for 70 TH/s. Asleep it draws nothing."""
    low = (Mode("low", 600, 70),) if ladder else ()
    modes = (Mode("sleep", 0, 0), *low, Mode("normal", 1000, 100))
    name = f"m{number}"
    return Machine(name, "X", "luxos", name, modes, "normal", start_s=start_s, wear_usd=wear_usd)


def judgment(*machines: Machine, switching: Switching | None = None, pace: Pace | None = None) -> Judgment:
    """A site of these machines on the index."""
    site = Judgment(Roster.of(machines or (machine(),)), tariff=IndexTariff(), switching=switching or Threshold())
    return backtest_judgment(site, 3_600.0, pace=pace)


def profit(ledger: Ledger) -> float:
    """In tenths of a cent: USD of a machine of 1 MW."""
    return round(ledger.profit_usd * 1e3, 6)


@pytest.mark.parametrize(
    ("information", "switching", "prices", "start_s", "expected"),
    [
        # at 100 a MWh earns what it costs; a restart of half an hour loses 50
        ("current", AlwaysOn(), [50, 300, 300, 20], 1800, (50 - 200 - 200 + 80, 0)),
        ("current", Threshold(), [50, 300, 300, 20], 1800, (50 + 80 - 50, 1)),
        ("settled", Threshold(), [50, 300, 300, 20], 1800, (50 - 200, 0)),
        ("settled", Threshold(), [50, 300, 300, 20, 20], 1800, (50 - 200 + 80 - 50, 1)),
        ("current", Threshold(), [50, 105, 20, 20], 1800, (50 + 80 - 50 + 80, 1)),
        ("current", Hysteresis(), [50, 105, 20, 20], 1800, (50 - 5 + 80 + 80, 0)),
        ("current", Hysteresis(), [50, 115, 95, 85], 1800, (50 + 15 - 50, 1)),
        # a restart longer than an interval: nothing in the first hour, half of the second
        ("current", Threshold(), [50, 300, 20, 20, 20], 5400, (50 - 20 + (50 - 20) + 80, 1)),
        # broken off by the next dear hour, it has to be begun again
        ("current", Threshold(), [300, 20, 300, 20, 20], 5400, (0 - 20 + 0 - 20 + 30, 2)),
        # the missing hour counts for nobody; after it the last price is too old to act on, so the machine stays as it is
        ("settled", Threshold(), [50, 300, MISSING, 20, 20], 1800, (50 - 200 + 80 + 80, 0)),
        ("current", Threshold(), [50, 300, MISSING, 20, 20], 1800, (50 + 80 - 50 + 80, 1)),
        # a start's energy is half of the price: 20 lost by staying awake are too few at 120, 110 are enough at 200; asleep,
        # a quarter of 25 is reached at once
        ("current", Regret(floor_h=0), [50, 120, 90, 200, 50, 50], 1800, (50 - 20 + 10 + 0 + 50 - 50 + 50, 1)),
    ],
)
def test_a_policy_earns_what_the_prices_say(
    information: Information,
    switching: Switching,
    prices: list[float | None],
    start_s: float,
    expected: tuple[float, int],
) -> None:
    """A wrong interval charged, a restart given away, or a price known too early."""
    ledger = drive(judgment(machine(start_s=start_s), switching=switching), history(prices), information, ALIKE)
    assert [profit(ledger), float(ledger.starts.sum())] == pytest.approx(list(expected))


@pytest.mark.parametrize(
    ("prices", "start_s", "wear_usd", "expected"),
    [
        ([50, 300, 300, 20], 1800, 0.0, (50 + 80 - 50, 1)),
        ([50, 300, 300, 80], 1800, 0.0, (50, 0)),
        ([50, 300, 300, 20], 1800, 0.029, (50 + 1, 1)),
        ([50, 300, 300, 20], 1800, 0.031, (50, 0)),
        ([20, 140, 20], 1800, 0.0, (80 - 40 + 80, 0)),
        ([20, 160, 20], 1800, 0.0, (80 - 50 + 80, 1)),
        # an hour at 95 without a hash is better than the first cheap hour without one
        ([20, 900, 900, 95, 0, 0], 5400, 0.0, (80 - 95 + 50 + 100, 1)),
        ([20, 300, MISSING, 20, 20], 1800, 0.0, (80 + 30 + 80, 1)),
        ([-50, 300, -50], 3600, 0.0, (150 + 0 + 50, 1)),
    ],
)
def test_the_clairvoyant_finds_the_best_plan(
    prices: list[float | None], start_s: float, wear_usd: float, expected: tuple[float, int]
) -> None:
    """A yardstick that is too short, so that a policy looks better than it is."""
    past = history(prices)
    ledger = clairvoyant(prospect_of(judgment(machine(start_s=start_s, wear_usd=wear_usd)), past, ALIKE))
    assert [profit(ledger), float(ledger.starts.sum())] == pytest.approx(list(expected))


def _most_of_all_plans(site: Judgment, past: History) -> float:
    """The most that a machine earns by physics alone on any plan: one machine for every plan there is."""
    points = site.roster.modes.power_w.shape[1]
    plans = np.array(list(product(range(points), repeat=len(past))))
    like = site.roster.machines[0]
    names = [f"plan-{number}" for number in range(len(plans))]
    roster = Roster.of([replace(like, id=name, host=name) for name in names])
    physics = ALIKE.physics(roster, float(past.at_s[0]))
    price, hashprice = settled_prices(site, past)
    earned = np.zeros(len(plans))
    for t in np.flatnonzero(past.usable):
        physics.step(float(past.at_s[t]))
        physics.command(np.arange(len(plans)), plans[:, t], float(past.at_s[t]))
        joules, made = physics.energy_j.copy(), physics.hashes_th.copy()
        physics.step(float(past.at_s[t]) + past.step_s)
        earned += (physics.hashes_th - made) * hashprice[t] / 86.4e6 - (physics.energy_j - joules) * price[t] / 3.6e9
    return float((earned - physics.starts * like.wear_usd).max())


@settings(max_examples=40, deadline=None)
@given(
    prices=st.lists(st.sampled_from([-40, 20, 90, 120, 180, 400]), min_size=5, max_size=5),
    missing=st.sampled_from([None, 0, 2, 4]),
    start_s=st.sampled_from([0, 1200, 3600, 5400, 9000]),
    wear_usd=st.sampled_from([0.0, 0.03]),
    ladder=st.booleans(),
)
def test_no_plan_beats_the_clairvoyant_and_one_equals_it(
    prices: list[float | None], missing: int | None, start_s: float, wear_usd: float, ladder: bool
) -> None:
    """An inexact programme: every plan on the interval grid is tried against it."""
    if missing is not None:
        prices = [*prices[:missing], MISSING, *prices[missing + 1 :]]
    site = judgment(machine(start_s=start_s, wear_usd=wear_usd, ladder=ladder))
    past = history([20, *prices, 20])
    best = clairvoyant(prospect_of(site, past, ALIKE)).profit_usd
    assert best == pytest.approx(_most_of_all_plans(site, past), abs=1e-9)


@settings(max_examples=15, deadline=None)
@given(
    prices=st.lists(st.floats(-100, 500), min_size=8, max_size=24),
    information=st.sampled_from(["settled", "current"]),
    start_s=st.sampled_from([0, 600, 5400]),
    wear_usd=st.sampled_from([0.0, 0.02]),
    seed=st.integers(0, 99),
)
def test_no_policy_beats_the_clairvoyant_on_any_machine(
    prices: list[float], information: Information, start_s: float, wear_usd: float, seed: int
) -> None:
    """Flex capture above 100 %."""
    machines = [machine(i, start_s, wear_usd, ladder=i % 2 == 0) for i in range(6)]
    past, world = history(prices), World(seed, 0.05, 0.05)
    most = clairvoyant(prospect_of(judgment(*machines), past, world)).machine_profit_usd
    for rule in (AlwaysOn(), Threshold(), Hysteresis(), Regret()):
        earned = drive(judgment(*machines, switching=rule), past, information, world).machine_profit_usd
        assert (earned <= most + 1e-9).all(), rule.kind


def test_steps_of_a_ladder_are_taken_when_they_pay() -> None:
    """A site that stays at its usual point while a lower one earns more."""
    past = history([50, 110, 125, 50])
    site = judgment(machine(ladder=True))
    # the last 400 W earn 30 TH/s: 75 USD/MWh; the first 600 W earn 117
    expected = (50 + (70 - 66) + 0 + 50 - 50) * 1e-3
    assert drive(site, past, "current", ALIKE).profit_usd == pytest.approx(expected)
    best = clairvoyant(prospect_of(site, past, ALIKE))
    assert best.profit_usd == pytest.approx((50 + 4 + (70 - 75) + 50) * 1e-3)


def test_always_on_needs_no_ticks() -> None:
    """The closed form of the yardstick and the tick's own always-on fall apart."""
    machines = [machine(i, ladder=i % 2 == 0) for i in range(5)]
    past, world = history([50, 300, MISSING, 20, -30]), World(3)
    site = judgment(*machines, switching=AlwaysOn())
    ticked, closed = drive(site, past, "settled", world), always_on(prospect_of(site, past, world), site.roster)
    for name in ("energy_mwh", "hashes_th", "revenue_usd", "energy_usd", "awake_s", "starts"):
        np.testing.assert_allclose(getattr(ticked, name), getattr(closed, name), rtol=1e-9, err_msg=name)


def test_every_machine_is_its_own() -> None:
    """One machine multiplied: the same break-even and the same starts for all of a model."""
    prices = [100 + 2 * ((7 * hour) % 5 - 2) for hour in range(24)]
    site = judgment(*(machine(i) for i in range(40)), switching=Threshold())
    ledger = drive(site, history(prices), "current", World(7))
    assert len(np.unique(ledger.energy_mwh)) == 40
    assert len(np.unique(ledger.starts)) > 1


def test_what_is_known_is_of_the_day_before() -> None:
    """Tomorrow's coin price, or this interval's power price, in yesterday's decision."""
    past = history([10, 20, MISSING, 40], coin_lines(1.0, 3.0, fees=14.4))
    settled, current = past.market(1, "settled"), past.market(1, "current")

    def value(market: Market, quantity: Quantity) -> float:
        return market.signals[quantity][0].value

    assert value(settled, Quantity.COIN_USD) == pytest.approx(COIN_USD)
    assert value(settled, Quantity.FEES_BTC_BLOCK) == pytest.approx(0.1)
    assert value(settled, Quantity.HEIGHT) == 2 * 144 + 6
    assert (value(settled, Quantity.POWER_USD_MWH), value(current, Quantity.POWER_USD_MWH)) == (10, 20)
    assert Quantity.POWER_USD_MWH not in past.market(0, "settled").signals
    assert past.market(3, "settled").signals[Quantity.POWER_USD_MWH][0].heard_s == past.at_s[2]
    earned = past.hashprice_usd_phs_day(Economics(pool_fee=0.5))
    np.testing.assert_allclose(earned, 0.5 * 3 * HASHPRICE * 50.1 / 50)


@pytest.mark.parametrize(
    ("days", "why", "usable"),
    [
        ("1 2 3", "no price in power.csv", [1, 1, 1, 0, 1, 1]),
        ("1 3", "no such day in coin.csv", [0, 0, 0, 0, 1, 1]),
        ("2 3", "no earlier day in coin.csv, so no coin price was known", [0, 0, 0, 0, 1, 1]),
        ("1 2", "no such day in coin.csv", [1, 1, 1, 0, 0, 0]),
    ],
)
def test_what_is_missing_is_said_and_skipped(days: str, why: str, usable: list[int]) -> None:
    """A made-up price, or a silent gap."""
    hours = ["02T20", "02T21", "02T22", "03T00", "03T01"]
    rows = [f"2022-01-{hour}:00Z,20\n" for hour in hours]
    coin = [coin_lines()[0], *(f"2022-01-0{day},1,{COIN_USD!r},0\n" for day in days.split())]
    past = history_of(
        parse_series(["interval_start_utc,price_usd_mwh\n", *rows], "power.csv"),
        parse_coin_days(coin, "coin.csv"),
        parse_epochs(EPOCHS, "difficulty.csv"),
    )
    assert past.usable.tolist() == [bool(one) for one in usable]
    assert sum(gap.intervals for gap in past.skipped) == usable.count(0)
    assert why in {gap.why for gap in past.skipped}
    assert "1 interval skipped" in " ".join(gap.in_words() for gap in past.skipped)


def test_nothing_usable_is_an_error() -> None:
    """A backtest of nothing that reports zeros."""
    with pytest.raises(SeriesError, match=r"power\.csv: .*expected at least one usable interval: no difficulty"):
        history([20, 30], epochs=[EPOCHS[0], "0,0,2019-01-01T00:00Z,1d00ffff,1.0\n"])


def test_a_year_is_run_on_its_own_and_years_add_up() -> None:
    """A total that is not the sum of its years, or a year that begins with the last one's sleepers."""
    rows = ["2021-12-31T22:00Z,20", "2021-12-31T23:00Z,400", "2022-01-01T00:00Z,400", "2022-01-01T01:00Z,20"]
    power = parse_series(["interval_start_utc,price_usd_mwh\n", *(f"{row}\n" for row in rows)], "power.csv")
    days = [f"{day},1,{COIN_USD!r},0\n" for day in ("2021-12-30", "2021-12-31", "2022-01-01")]
    coin = parse_coin_days([coin_lines()[0], *days], "coin.csv")
    epochs = parse_epochs([EPOCHS[0], "0,0,2021-12-30T00:00Z,1d00ffff,1.0\n"], "difficulty.csv")
    past = history_of(power, coin, epochs)
    told: list[tuple[int, int]] = []
    site = judgment()
    result = run_backtest(
        site, past, policies={"threshold": Threshold()}, information="current", world=ALIKE,
        progress=lambda done, whole: told.append((done, whole)),
    )  # fmt: skip
    assert [(s.year, s.intervals, profit(s.policies["threshold"])) for s in result.years] == [
        (2021, 2, 80),
        (2022, 2, 30),
    ]
    assert profit(result.together.policies["threshold"]) == 110
    assert profit(result.together.yardsticks.clairvoyant) == 110
    assert told[-1] == (8, 8)
    assert told == sorted(told)


def test_the_pace_of_the_site_file_holds() -> None:
    """A site's dwell that the backtest forgets, or one that it invents."""
    prices, patient = [50, 300, 20, 20, 20, 20], Pace(min_up_s=0, min_down_s=7_300, min_step_s=0)
    awake_h = [
        float(drive(judgment(pace=pace), history(prices), "current", ALIKE).awake_s[0]) / 3_600
        for pace in (None, patient)
    ]
    assert awake_h == [1 + 4, 1 + 1]


def test_a_judgment_is_made_fit_for_long_ticks() -> None:
    """Machines that count as silent between two ticks, or a dry run that nobody meant."""
    site = judgment(machine(0), machine(1))
    assert site.is_live.all()
    assert site.beliefs.silent_after_s == 7_200
    assert backtest_judgment(site, 60.0).beliefs.silent_after_s == 7_200


def test_a_cap_is_kept_in_a_backtest() -> None:
    """Physics of a site that draws more than its feeder."""
    machines = (machine(0), machine(1, ladder=True))
    site = replace(judgment(*machines), roster=Roster.of(machines, {"": 1_700.0}))
    ledger = drive(site, history([50, 50, 50]), "current", ALIKE)
    assert float(ledger.energy_mwh.sum()) <= 3 * 1_700e-6 + 1e-9


def test_a_fixed_tariff_is_charged_as_it_says() -> None:
    """The index charged to a site that pays a fixed price."""
    site = replace(judgment(), tariff=FixedTariff(usd_mwh=70), economics=Economics(overhead=0.1))
    ledger = drive(site, history([50, 900]), "current", ALIKE)
    assert profit(ledger) == pytest.approx(2 * (100 - 77))


def test_day_yardsticks_are_those_of_the_prices() -> None:
    """The demo's report against another day than its own."""
    roster = Roster.of([machine(0), machine(1)])
    price = np.array([50.0, 300.0, np.nan, 20.0])
    sticks = day_yardsticks(roster, step_s=3_600, price_usd_mwh=price, hashprice_usd_phs_day=np.full(4, HASHPRICE))
    assert profit(sticks.always_on) == pytest.approx(2 * (50 - 200 + 80))
    assert profit(sticks.clairvoyant) == pytest.approx(2 * (50 + 30))
    assert sticks.flex_capture(sticks.clairvoyant) == pytest.approx(1.0)
    assert sticks.share(sticks.always_on) == pytest.approx(-140 / 160)


def test_ratios_without_meaning_are_none() -> None:
    """A division by nothing shown as a figure."""
    site = judgment()
    calm, dear = (always_on(prospect_of(site, history(p), ALIKE), site.roster) for p in ([50, 50], [300, 300]))
    assert Yardsticks(calm, calm).flex_capture(calm) is None
    assert Yardsticks(dear, dear).share(dear) is None


@pytest.mark.parametrize("name", ["S19j Pro", "antminer-s19j-pro", "Antminer S19J PRO", "s19jpro"])
def test_models_are_found_as_people_write_them(name: str) -> None:
    """A known model refused for a hyphen."""
    assert nameplate_like(name).model == "Antminer S19j Pro"
    roster = with_start_cost(fleet_of([name, "S21"], 3), 50.0)
    assert [m.model for m in roster.machines] == ["Antminer S19j Pro", "Antminer S21", "Antminer S19j Pro"]
    assert roster.wear_usd[0] == pytest.approx(50 * 3068e-6)
    assert {len(m.modes) for m in roster.machines} == {2}


# ---------------------------------------------------------------------------- the published table, on the real prices


def real(first: float | None = None, last: float | None = None) -> History:
    """ERCOT's Houston hub with the coin and the difficulty of those days."""
    return read_history(
        SCENARIOS / "ercot_hb_houston_rtm_15min.csv.gz",
        SCENARIOS / "btc_daily.csv.gz",
        SCENARIOS / "btc_difficulty_epochs.csv",
        from_s=first,
        until_s=last,
    )


def _by_rule(
    band: float, price: Floats, known: Floats, known_hashprice: Floats, site: Judgment, world: World
) -> Floats:
    """awake[t, n] of hysteresis (band 0: the threshold) written as FACTS states it, with no part of the product's judgment."""
    physics = world.physics(site.roster, 0.0)
    even = 1e6 / 24e3 * physics.true_hashrate_ths[:, 1] / physics.true_power_w[:, 1]
    awake, path = np.ones(len(site.roster), np.bool_), np.ones((len(price), len(site.roster)))
    for t in range(len(price)):
        if not np.isnan(known[t]):
            limit = even * known_hashprice[t] * np.where(awake, 1 + band, 1 - band)
            awake = known[t] < limit
        path[t] = awake
    return path


def _captures(past: History, site: Judgment, world: World, information: Information) -> dict[float, float]:
    """Flex capture by band, of the rule above, in per cent."""
    price, hashprice = settled_prices(site, past)
    physics = world.physics(site.roster, 0.0)
    watts, ths = physics.true_power_w[:, 1], physics.true_hashrate_ths[:, 1]
    told = replace(past, coin_usd=past.known_coin_usd, fees_btc_block=past.known_fees_btc_block)
    known = past.settled_usd_mwh if information == "settled" else past.power_usd_mwh
    revenue, cost = hashprice[:, None] * ths / 96e3, price[:, None] * watts / 4e6
    prospect = replace(prospect_of(site, past, world), power_w=physics.true_power_w * [0, 1])
    best, still = clairvoyant(prospect).profit_usd, float((revenue - cost).sum())
    captures = {}
    for band in (0.0, 0.10):
        awake = _by_rule(band, price, known, told.hashprice_usd_phs_day(Economics()), site, world)
        starts = np.diff(awake, axis=0, prepend=1.0) > 0
        earned = (awake * (revenue - cost)).sum() - (starts * (revenue * (2 / 3) + site.roster.wear_usd)).sum()
        captures[band] = 100 * (float(earned) - still) / (best - still)
    return captures


PUBLISHED = {
    ("settled", 0.0): (87.9, 92.4, 83.4),
    ("settled", 0.10): (88.6, 93.9, 85.3),
    ("current", 0.0): (97.5, 98.9, 95.4),
    ("current", 0.10): (98.5, 99.4, 97.9),
}
"""Flex capture of the S19j Pro in 2022, 2023 and 2024 with a restart of ten minutes (docs/backtest.md)."""


@pytest.mark.parametrize("information", ["settled", "current"])
def test_the_last_year_of_the_published_table_comes_out(information: Information) -> None:
    """Another hashprice, another restart or another clairvoyant than the published figures rest on."""
    past, world = real(1_704_067_200.0).years(), World(1)
    site = backtest_judgment(Judgment(fleet_of(["S19j Pro"], 30), tariff=IndexTariff()), 900.0)
    for band, capture in _captures(past[2024], site, world, information).items():
        assert capture == pytest.approx(PUBLISHED[information, band][2], abs=0.55), band


@pytest.mark.parametrize("information", ["settled", "current"])
def test_the_tick_is_the_rule(information: Information) -> None:
    """A tick that does something else than the plain rule that it stands for."""
    past = real(1_655_000_000 // 900 * 900, 1_655_000_000 // 900 * 900 + 5 * 86_400)
    plates = [replace(m, modes=(Mode("sleep", 0, 0), m.modes[1])) for m in fleet_of(["S19j Pro", "S21"], 4).machines]
    site = backtest_judgment(Judgment(Roster.of(plates), tariff=IndexTariff()), 900.0)
    expected = _captures(past, site, ALIKE, information)
    prospect = prospect_of(site, past, ALIKE)
    sticks = Yardsticks(always_on(prospect, site.roster), clairvoyant(prospect))
    for band, rule in ((0.0, Threshold()), (0.10, Hysteresis())):
        capture = sticks.flex_capture(drive(with_switching(site, rule), past, information, ALIKE))
        assert capture is not None
        assert 100 * capture == pytest.approx(expected[band], abs=1e-6)


@pytest.mark.long
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("information", ["settled", "current"])
def test_the_published_table_comes_out_of_the_tick(information: Information) -> None:
    """The whole table by the tick itself, and a default policy worse than what it replaces."""
    site = backtest_judgment(Judgment(fleet_of(["S19j Pro"], 30), tariff=IndexTariff()), 900.0)
    past = real(1_640_995_200.0)
    result = run_backtest(site, past, information=information, jobs=2)
    for column, stretch in enumerate(result.years):
        capture = {name: 100 * (stretch.yardsticks.flex_capture(one) or 0.0) for name, one in stretch.policies.items()}
        assert capture["threshold"] == pytest.approx(PUBLISHED[information, 0.0][column], abs=0.55)
        assert capture["hysteresis"] == pytest.approx(PUBLISHED[information, 0.10][column], abs=0.55)
        assert capture["regret"] >= capture["hysteresis"] - 0.5
