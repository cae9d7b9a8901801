"""The backtest's report: its figures by policy, and the whole as one JSON object (schema in docs/backtest.md)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fleet.rows import said
from simulators.backtesting.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from policies.switching import Switching
    from simulators.backtest import Backtest, Stretch
    from simulators.backtesting.drive import World
    from simulators.backtesting.history import History, Information

SCHEMA = "hashwatt-backtest/1"
_TH_PER_EH = 1e6


@dataclass(frozen=True, slots=True)
class Figures:
    """One policy over one stretch, in the units of its names; None where a ratio has no meaning."""

    policy: str
    profit_usd: float
    share_of_clairvoyant: float | None
    flex_capture: float | None
    starts: int
    starts_per_machine: float
    uptime: float
    revenue_usd: float
    energy_usd: float
    wear_usd: float
    energy_mwh: float
    hashes_eh: float


def figures_of(stretch: Stretch) -> Iterator[Figures]:
    """Always-on, the policies, the clairvoyant."""
    for name, ledger in stretch.ledgers().items():
        yield _figures(name, ledger, stretch)


def _figures(name: str, ledger: Ledger, stretch: Stretch) -> Figures:
    """One policy's."""
    return Figures(
        policy=name,
        profit_usd=ledger.profit_usd,
        share_of_clairvoyant=stretch.yardsticks.share(ledger),
        flex_capture=stretch.yardsticks.flex_capture(ledger),
        starts=round(float(ledger.starts.sum())),
        starts_per_machine=float(ledger.starts.mean()),
        uptime=ledger.uptime,
        revenue_usd=float(ledger.revenue_usd.sum()),
        energy_usd=float(ledger.energy_usd.sum()),
        wear_usd=float(ledger.wear_usd.sum()),
        energy_mwh=float(ledger.energy_mwh.sum()),
        hashes_eh=float(ledger.hashes_th.sum()) / _TH_PER_EH,
    )


def as_json(
    backtest: Backtest,
    history: History,
    *,
    asked: Mapping[str, Any],
    information: Information,
    world: World,
    policies: Mapping[str, Switching],
) -> dict[str, Any]:
    """The whole report; `asked` is what the caller read where (files, models, machines)."""
    return {
        "schema": SCHEMA,
        **asked,
        "information": information,
        "seed": world.seed,
        "spread_power": world.spread_power,
        "spread_hashrate": world.spread_hashrate,
        "policies": {name: rule.model_dump() for name, rule in policies.items()},
        "step_s": history.step_s,
        "from": said(float(history.at_s[0])),
        "until": said(history.until_s),
        "skipped": [
            {"from": said(gap.from_s), "until": said(gap.until_s), "intervals": gap.intervals, "why": gap.why}
            for gap in history.skipped
        ],
        "notes": list(history.notes),
        "years": [{"year": stretch.year, **_stretch(stretch)} for stretch in backtest.years],
        "together": _stretch(backtest.together),
    }


def _stretch(stretch: Stretch) -> dict[str, Any]:
    """A year or all of them."""
    results = [{name: getattr(one, name) for name in Figures.__slots__} for one in figures_of(stretch)]
    return {"intervals": stretch.intervals, "results": results}
