"""The demo's report: what the day came to, beside always-on and the clairvoyant, and who was caught."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from controllers.pretend.books import Books
from controllers.pretend.site import ZONE
from controllers.terminal import number, out, table
from fleet.work.counted import Flaw
from policies.proof import Proof

_CENT = 0.01
_WELL = 0.99
"""Who delivers less of its claim is short."""
_FEE_SHARES = 10
"""So many shares for somebody else are no accident."""

if TYPE_CHECKING:
    from controllers.daemon import Daemon


def report(daemon: Daemon, world: Any, books: Books, made: Any) -> dict[str, Any]:
    """The report as a JSON object. `made` is the scenario, with the world's secrets: who inflates, and who hides a fee."""
    from simulators.backtesting.yardsticks import day_yardsticks

    roster, loop = daemon.site.roster, daemon.loop
    assert loop is not None
    assert loop.last is not None
    truth = world.truth
    step_s = books.day.power.step_s
    hours = books.hours
    # A day that was ended early may have a last interval that hardly began.
    prices = np.array([price for _, price, _, lasted_s in books.intervals if lasted_s >= step_s / 2] or [np.nan])
    sticks = day_yardsticks(
        roster,
        step_s=step_s,
        price_usd_mwh=prices,
        hashprice_usd_phs_day=np.full(len(prices), books.day.hashprice_usd_phs_day),
        power_w=world.physics.true_power_w,
        hashrate_ths=world.physics.true_hashrate_ths,
    )
    always_on_usd, clairvoyant_usd = sticks.always_on.profit_usd, sticks.clairvoyant.profit_usd
    wear_usd = float((truth.starts * roster.wear_usd).sum())
    profit_usd = books.profit_usd - wear_usd
    spread_usd = clairvoyant_usd - always_on_usd
    verdicts = {machine: proof.model_dump(mode="json") for machine, proof in daemon.claims.found_short.items()}
    fees, foreign = ({}, ()) if made.mining is None else (made.mining.fees(), made.mining.foreign())
    mined = None if world.mine is None else _mined(daemon, world)
    short = set(made.claims) | {
        machine for machine, ratio in (mined or {}).get("delivered", {}).items() if ratio < _WELL
    }
    seen = _fees_seen(daemon)
    return {
        "ok": set(verdicts) >= set(made.claims) and set(seen) >= set(foreign) and not loop.failures,
        "day": books.day.date.isoformat(),
        "machines": len(roster),
        "hours": hours,
        "hashprice_usd_phs_day": books.day.hashprice_usd_phs_day,
        "energy_mwh": books.energy_mwh,
        "hashes_eh": books.hashes_eh,
        "revenue_usd": books.revenue_usd,
        "cost_usd": books.cost_usd,
        "wear_usd": wear_usd,
        "profit_usd": profit_usd,
        "always_on_usd": always_on_usd,
        "clairvoyant_usd": clairvoyant_usd,
        "flex_capture": (profit_usd - always_on_usd) / spread_usd if spread_usd > _CENT else None,
        "starts": int(truth.starts.sum()),
        "commands": sum(loop.outcomes.values()),
        "outcomes": dict(loop.outcomes),
        "looks": {f"{depth} {outcome}": count for (depth, outcome), count in daemon.observer.counts.looks.items()},
        "ticks": loop.number,
        "caught": verdicts,
        "cheats": dict(made.claims),
        "fees": fees,
        "fees_seen": seen,
        "mined": mined,
        "short": sorted(short),
        "events": dict(Counter(daemon.events.counts)),
    }


def _fees_seen(daemon: Daemon) -> dict[str, dict[str, float]]:
    """By machine, what the tap saw go to a worker that is not ours: the share of its work, and how many shares it was."""
    counted = None if daemon.tap is None else daemon.tap.counted()
    if counted is None:
        return {}
    shares = counted.flawed[:, Flaw.FOREIGN]
    return {
        daemon.site.roster.machines[row].id: {
            "share": float(counted.foreign_work[row] / (counted.foreign_work[row] + counted.work[row])),
            "shares": float(shares[row]),
        }
        for row in np.flatnonzero(shares >= _FEE_SHARES)
    }


def _mined(daemon: Daemon, world: Any) -> dict[str, Any]:
    """What the machines that mine for real did, as it truly was, and as the tap counted it."""
    mined = world.mine.mined()
    rows = np.flatnonzero(mined.made_th > 0)
    counted = None if daemon.tap is None else daemon.tap.counted()
    return {
        "machines": len(rows),
        "hashes": float(mined.hashed.sum()),
        "shares": float(mined.submitted.sum()),
        "verified": None if counted is None else float((counted.shares + counted.flawed.sum(axis=1)).sum()),
        "sessions": {world.roster.machines[row].id: int(mined.sessions[row]) for row in rows},
        "idle": {world.roster.machines[row].id: float(mined.idle_th[row] / mined.made_th[row]) for row in rows},
        "delivered": {world.roster.machines[row].id: float(mined.delivered[row]) for row in rows},
    }


def show_report(found: Mapping[str, Any]) -> None:
    """The report for people, and what to try next."""
    console = out()
    rows = [
        ("energy", f"{found['energy_mwh']:,.2f} MWh"),
        ("hashes", f"{found['hashes_eh']:,.0f} EH"),
        ("revenue", f"{found['revenue_usd']:,.2f} $"),
        ("power bill", f"{found['cost_usd']:,.2f} $"),
        ("wear of starts", f"{found['wear_usd']:,.2f} $"),
        ("profit", f"{found['profit_usd']:,.2f} $"),
        ("always on", f"{found['always_on_usd']:,.2f} $ (every machine in its usual mode, no caps)"),
        ("clairvoyant", f"{found['clairvoyant_usd']:,.2f} $ (knows every price, no caps)"),
        ("flex capture", number(None if found["flex_capture"] is None else 100 * found["flex_capture"], 1, " %")),
        ("starts", str(found["starts"])),
        (
            "commands",
            f"{found['commands']}: "
            + ", ".join(f"{count} {kind}" for kind, count in found["outcomes"].items() if count),
        ),
        ("ticks", str(found["ticks"])),
        ("looks", ", ".join(f"{count} {kind}" for kind, count in sorted(found["looks"].items()))),
    ]
    hashprice = f"{found['hashprice_usd_phs_day']:.2f} $/PH/day"
    if found["mined"] is not None:
        mined = found["mined"]
        hashes, verified = f"{mined['hashes'] / 1e6:,.1f} million hashes", number(mined["verified"], 0)
        words = f"{mined['machines']} machines mined for real: {hashes}, {mined['shares']:,.0f} shares"
        rows.append(("proof of work", f"{words}, {verified} of them verified one by one by the tap"))
    title = f"{found['day']}: {found['machines']} machines for {found['hours']:.1f} h at {hashprice}"
    console.print(table(title, ("", ""), rows, right=()))
    for machine, verdict in found["caught"].items():
        proof = Proof.model_validate(verdict)
        when = "" if proof.since_s is None else f" at {datetime.fromtimestamp(proof.since_s, ZoneInfo(ZONE)):%H:%M}"
        how = "caught" if machine in found["short"] else "called short, and is honest,"
        console.print(f"{how}{when}: {proof.in_words(ZoneInfo(ZONE))}", markup=False)
    for machine, fee in found["fees_seen"].items():
        told = f"{100 * fee['share']:.1f} % of its work ({fee['shares']:,.0f} shares) goes to a worker that is not ours"
        console.print(f"caught: {machine} hides a fee, counted by the tap, share by share: {told}", markup=False)
    for machine in set(found["fees"]) - set(found["fees_seen"]) - set(found["caught"]):
        console.print(
            f"{machine} hides a fee of {100 * found['fees'][machine]:g} % and was not caught in this time", markup=False
        )
    for machine in set(found["cheats"]) - set(found["caught"]):
        console.print(
            f"{machine} claims {found['cheats'][machine]:g} times what it hashes, and was not caught in this time",
            markup=False,
        )
    console.print(
        "\nTry next:\n"
        "  hashwatt simulate --speed 60 --live      serve this site; then, in another terminal:\n"
        "  hashwatt run --site pretend/site.toml    the daemon\n"
        "  hashwatt status --site pretend/site.toml\n"
        "  hashwatt explain lux-a1-001 --site pretend/site.toml\n"
        "  hashwatt order curtail feeder-a --for 15m --why test --site pretend/site.toml\n"
        "  hashwatt backtest --help                 years of prices through the same judgment\n"
        "  hashwatt init                            your own machines",
        markup=False,
    )
