"""History: what power, coin and network were in each interval, and what could be known of them when it began.

Built from the price file, the coin's days and the difficulty epochs, on the price file's own grid. An interval without a
price, and a day without a coin price or difficulty, is not usable: it is said and skipped, for policies and yardsticks
alike. Coin price and fees are known a day late; difficulty and height are known at once.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from fleet.coin import CoinDays, Epochs, parse_coin_days, parse_epochs
from fleet.columns import Bools, Floats, Ints, freeze_columns
from fleet.market import Market, Quantity, Signal
from fleet.network import BLOCK_S, EPOCH_BLOCKS, FEE_BLOCKS, HALVING_BLOCKS, subsidy_btc
from fleet.rows import SeriesError, decoded, said
from fleet.series import Series, parse_series
from fleet.units import SECONDS_PER_DAY
from policies.economics import Economics, hashprice_usd_phs_day

Information: TypeAlias = Literal["settled", "current"]
"""Which price of power is known when an interval begins: that of the last interval, or its own."""

LEAST_USD_MWH, MOST_USD_MWH = -10_000.0, 20_000.0
"""Prices of power that are believed; the range that a site file's tariff has too."""
_FILE_BYTES_MOST = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Skipped:
    """`intervals` intervals from `from_s` until `until_s` (UTC seconds) that no policy was run on, and why."""

    from_s: float
    until_s: float
    intervals: int
    why: str

    def in_words(self) -> str:
        """One sentence for people."""
        rows = "1 interval" if self.intervals == 1 else f"{self.intervals} intervals"
        return f"{rows} skipped, {said(self.from_s)} until {said(self.until_s)}: {self.why}"


@dataclass(frozen=True, eq=False)
class History:
    """One row per interval: at_s[t] is its start (UTC seconds, on a grid of `step_s`); NaN is "not in the files".

    `power_usd_mwh[t]`: the index price of the interval. `settled_usd_mwh[t]`: the last price known when it began, known
    since `settled_s[t]`. `coin_usd`, `fees_btc_block`: of the interval's own day; `known_coin_usd`,
    `known_fees_btc_block`: of the last day before it. `difficulty[t]`, `height[t]` (estimated, -1 unknown): when it
    began. `usable[t]`: everything is there.
    """

    at_s: Floats
    step_s: float
    power_usd_mwh: Floats
    settled_usd_mwh: Floats
    settled_s: Floats
    coin_usd: Floats
    fees_btc_block: Floats
    known_coin_usd: Floats
    known_fees_btc_block: Floats
    difficulty: Floats
    height: Ints
    usable: Bools
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Read-only."""
        freeze_columns(self)

    def __len__(self) -> int:
        """How many intervals, usable or not."""
        return len(self.at_s)

    @property
    def until_s(self) -> float:
        """End of the last interval."""
        return float(self.at_s[-1]) + self.step_s

    def part(self, rows: slice) -> History:
        """Some rows in a row; what was skipped is told of the whole alone."""
        columns = {
            f.name: getattr(self, f.name)[rows] for f in fields(self) if isinstance(getattr(self, f.name), np.ndarray)
        }
        return replace(self, **columns, skipped=(), notes=())

    def years(self) -> dict[int, History]:
        """The parts that lie in each UTC year with at least one usable interval."""
        year = self.at_s.astype("datetime64[s]").astype("datetime64[Y]").astype(np.int64) + 1970
        parts = {int(y): self.part(slice(int((year < y).sum()), int((year <= y).sum()))) for y in np.unique(year)}
        return {y: part for y, part in parts.items() if part.usable.any()}

    def market(self, row: int, information: Information) -> Market:
        """What the judgment is told when interval `row` begins."""
        at_s = float(self.at_s[row])
        power, heard_s = self.power_usd_mwh[row], at_s
        if information == "settled":
            power, heard_s = self.settled_usd_mwh[row], float(self.settled_s[row])
        told = {
            Quantity.COIN_USD: (self.known_coin_usd[row], at_s),
            Quantity.FEES_BTC_BLOCK: (self.known_fees_btc_block[row], at_s),
            Quantity.DIFFICULTY: (self.difficulty[row], at_s),
            Quantity.HEIGHT: (self.height[row], at_s),
            Quantity.POWER_USD_MWH: (power, heard_s),
        }
        signals = {q: (Signal(float(v), s, s, "history"),) for q, (v, s) in told.items() if v == v}  # noqa: PLR0124 - NaN
        return Market(signals)

    def hashprice_usd_phs_day(self, economics: Economics) -> Floats:
        """What a PH/s really earned in a day, by interval, after the pool's fee; NaN where it is not known."""
        subsidy = {
            h: subsidy_btc(h * HALVING_BLOCKS) for h in np.unique(self.height // HALVING_BLOCKS).tolist() if h >= 0
        }
        reward = np.array([subsidy.get(h, np.nan) for h in (self.height // HALVING_BLOCKS).tolist()])
        if economics.payout == "fpps":
            reward = reward + self.fees_btc_block
        rows = zip(self.coin_usd.tolist(), self.difficulty.tolist(), reward.tolist(), strict=True)
        return np.array([hashprice_usd_phs_day(*row) for row in rows]) * (1.0 - economics.pool_fee)


def read_history(
    power: Path,
    coin: Path,
    difficulty: Path,
    *,
    from_s: float | None = None,
    until_s: float | None = None,
    power_column: str | None = None,
    time_zone: str | None = None,
) -> History:
    """The history in three files (plain or gzip); [from_s, until_s) in UTC seconds, by default all of the price file.

    Raises:
        SeriesError: a file is not there or not what it should be, or holds nothing of that time.
    """
    series = parse_series(
        _lines(power), str(power), column=power_column, time_zone=time_zone, least=LEAST_USD_MWH, most=MOST_USD_MWH
    )
    days = parse_coin_days(_lines(coin), str(coin))
    epochs = parse_epochs(_lines(difficulty), str(difficulty))
    return history_of(series, days, epochs, from_s=from_s, until_s=until_s)


def _lines(path: Path) -> list[str]:
    """The lines of a file."""
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_BYTES_MOST + 1)
    except OSError as error:
        raise SeriesError(str(path), 0, error.strerror or type(error).__name__, "a file that can be read") from error
    return decoded(content, str(path))


def history_of(
    power: Series, coin: CoinDays, epochs: Epochs, *, from_s: float | None = None, until_s: float | None = None
) -> History:
    """The history of three series already read.

    Raises:
        SeriesError: no interval of that time is usable.
    """
    begin = power.from_s if from_s is None else from_s
    end = power.until_s if until_s is None else until_s
    at_s, price = power.on_grid(begin, end)
    settled, settled_s = _settled(power, at_s)
    day = np.floor(at_s / SECONDS_PER_DAY) * SECONDS_PER_DAY
    today = np.searchsorted(coin.at_s, day, side="right") - 1
    has_day = (today >= 0) & (coin.at_s[np.maximum(today, 0)] == day)
    before = np.searchsorted(coin.at_s, day, side="left") - 1
    difficulty, height = _network(epochs, at_s)
    fees = coin.fees_btc_day / FEE_BLOCKS
    known_coin = np.where(before >= 0, coin.price_usd[before], np.nan)
    reasons = [
        (np.isnan(price), f"no price in {power.where}"),
        (~has_day, f"no such day in {coin.where}"),
        (np.isnan(known_coin), f"no earlier day in {coin.where}, so no coin price was known"),
        (np.isnan(difficulty), f"no difficulty in {epochs.where}"),
    ]
    usable = ~np.logical_or.reduce([missing for missing, _ in reasons])
    if not usable.any():
        why = "; ".join(reason for missing, reason in reasons if missing.any()) or "the price file holds nothing of it"
        raise SeriesError(power.where, 0, f"{said(begin)} until {said(end)}", f"at least one usable interval: {why}")
    return History(
        at_s=at_s,
        step_s=power.step_s,
        power_usd_mwh=price,
        settled_usd_mwh=settled,
        settled_s=settled_s,
        coin_usd=np.where(has_day, coin.price_usd[today], np.nan),
        fees_btc_block=np.where(has_day, fees[today], np.nan),
        known_coin_usd=known_coin,
        known_fees_btc_block=np.where(before >= 0, fees[before], np.nan),
        difficulty=difficulty,
        height=height,
        usable=usable,
        skipped=_skipped(at_s, power.step_s, reasons),
        notes=tuple(f"{where}: {note}" for where, notes in _notes(power, coin, epochs) for note in notes),
    )


def _settled(power: Series, at_s: Floats) -> tuple[Floats, Floats]:
    """(price, since when) of the last interval in the file that ended at or before each moment; NaN before the first."""
    row = np.searchsorted(power.at_s + power.step_s, at_s, side="right") - 1
    known = row >= 0
    row = np.maximum(row, 0)
    return np.where(known, power.value[row], np.nan), np.where(known, power.at_s[row] + power.step_s, -np.inf)


def _network(epochs: Epochs, at_s: Floats) -> tuple[Floats, Ints]:
    """Difficulty (NaN: none) and height (-1) at each moment; as `Epochs.row_at` and `Epochs.height_at`, for columns."""
    unsaid = int(np.count_nonzero(np.isnan(epochs.start_s)))
    row = np.searchsorted(epochs.start_s[unsaid:], at_s, side="right") - 1 + unsaid
    inside = row >= unsaid
    row = np.clip(row, 0, len(epochs) - 1)
    into_s = at_s - epochs.start_s[row]
    inside &= into_s < epochs.lasts_s[row]
    blocks = np.minimum(np.where(inside, into_s, 0.0) // BLOCK_S, EPOCH_BLOCKS - 1).astype(np.int64)
    return np.where(inside, epochs.difficulty[row], np.nan), np.where(inside, epochs.first_height[row] + blocks, -1)


def _skipped(at_s: Floats, step_s: float, reasons: list[tuple[Bools, str]]) -> tuple[Skipped, ...]:
    """Stretches that are not usable, each for its first reason."""
    first = np.full(len(at_s), -1)
    for code in range(len(reasons) - 1, -1, -1):
        first[reasons[code][0]] = code
    edges = [0, *(np.flatnonzero(np.diff(first)) + 1).tolist(), len(at_s)]
    return tuple(
        Skipped(float(at_s[a]), float(at_s[b - 1]) + step_s, b - a, reasons[first[a]][1])
        for a, b in pairwise(edges)
        if b > a and first[a] >= 0
    )


def _notes(power: Series, coin: CoinDays, epochs: Epochs) -> list[tuple[str, tuple[str, ...]]]:
    """What each file's reader found odd and not wrong."""
    return [(power.where, power.notes), (coin.where, coin.notes), (epochs.where, epochs.notes)]


def midnight_s(day: str) -> float:
    """UTC seconds of a day's first moment, from YYYY-MM-DD.

    Raises:
        ValueError: not such a day.
    """
    return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
