"""The site file of a pretend world: what `demo` runs and what `simulate` hands to other programs.

The site that is made here is an ordinary one: the daemon cannot tell, and nothing in it knows of the world's truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from fleet.coin import CoinDays, Epochs, parse_coin_days, parse_epochs
from fleet.machine import Machine, Roster
from fleet.network import subsidy_btc
from fleet.series import Series, decoded, parse_series
from policies.economics import hashprice_usd_phs_day

ZONE = "America/Chicago"
BLOCKS_PER_DAY = 144
POWER_FILE = "ercot_hb_houston_rtm_15min.csv.gz"
_PASSWORDS = {"antminer": ("root", "root"), "whatsminer-v3": ("super", "super")}


def data_file(name: str) -> Path:
    """A data file that comes with the simulators."""
    return Path(str(files("simulators.scenarios") / "data" / name))


@dataclass(frozen=True, slots=True)
class Mined:
    """How the machines of a pretend world mine for real.

    `tap`: the address at which a tap is expected (None: none). `pool`: the URL of the pool, `page` that of its page of
    `account`. `scale`: how many real hashes stand for one.
    """

    tap: str | None
    pool: str
    page: str
    account: str
    scale: float


@dataclass(frozen=True, eq=False)
class Day:
    """One local day of real prices: power by interval, and that day's coin price, difficulty, height and fees."""

    date: date
    start_s: float
    end_s: float
    power: Series
    coin_usd: float
    difficulty: float
    height: int
    fees_btc_block: float

    @property
    def hashprice_usd_phs_day(self) -> float:
        """What a PH/s earns in the day, by the formula."""
        return hashprice_usd_phs_day(self.coin_usd, self.difficulty, subsidy_btc(self.height) + self.fees_btc_block)

    def power_usd_mwh(self, at_s: float) -> float:
        """The index price of the interval that holds a moment.

        Raises:
            LookupError: the file has none for it.
        """
        row = self.power.row_at(at_s)
        if row is None:
            raise LookupError(f"{POWER_FILE}: no price at {datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%MZ}")
        return float(self.power.value[row])


def real_day(day: date) -> Day:
    """A day of ERCOT's Houston hub with that day's network, from the data that comes with the simulators.

    Raises:
        LookupError: the data does not hold the whole day.
    """
    start_s = datetime.combine(day, time(0), ZoneInfo(ZONE)).timestamp()
    end_s = datetime.combine(date.fromordinal(day.toordinal() + 1), time(0), ZoneInfo(ZONE)).timestamp()
    power = parse_series(_lines(POWER_FILE), POWER_FILE)
    coins: CoinDays = parse_coin_days(_lines("btc_daily.csv.gz"), "btc_daily.csv.gz")
    epochs: Epochs = parse_epochs(_lines("btc_difficulty_epochs.csv"), "btc_difficulty_epochs.csv")
    noon_s = (start_s + end_s) / 2
    coin, epoch, height = coins.row_at(noon_s), epochs.row_at(noon_s), epochs.height_at(noon_s)
    if coin is None or epoch is None or height is None:
        raise LookupError(f"{day}: no coin price or difficulty in the data, expected a day of 2021 to 2024")
    found = Day(
        day,
        start_s,
        end_s,
        power,
        float(coins.price_usd[coin]),
        float(epochs.difficulty[epoch]),
        height,
        float(coins.fees_btc_day[coin]) / BLOCKS_PER_DAY,
    )
    at_s = start_s
    while at_s < end_s:
        found.power_usd_mwh(at_s)
        at_s += power.step_s
    return found


def _lines(name: str) -> list[str]:
    return decoded(data_file(name).read_bytes(), name)


def site_tables(
    roster: Roster,
    day: Day,
    *,
    name: str,
    speed: float,
    state: str,
    live: bool,
    secrets: Path,
    lag_s: float = 0.0,
    start_s: float | None = None,
    anchor_real_s: float | None = None,
    mined: Mined | None = None,
) -> dict[str, Any]:
    """The tables of a site file for a pretend world on a real day; `secrets` is where its machines' passwords are written.

    `mined`: how its machines mine for real, if any does. Waiting times that answer a machine's network are stretched with
    the speed: they are real seconds there.
    """
    return {
        "name": name,
        "state": state,
        "tick_s": 60.0 if speed > 60 else 10.0,
        "machines": [_machine(machine, speed) for machine in roster.machines],
        "caps_kw": {
            (place or "site"): float(cap_w) / 1e3
            for place, cap_w in zip(roster.tree.names, roster.tree.cap_w, strict=True)
            if cap_w < float("inf")
        },
        "credentials": _credentials(secrets),
        "tariff": {"kind": "index", "adder_usd_mwh": 0.0},
        "feeds": _feeds(day, lag_s),
        "economics": {"coin_max_age_s": 86_400, "power_max_age_s": 1_800},
        "pace": {
            "min_up_s": 600,
            "min_down_s": 600,
            "min_step_s": 1_800,
            "starts_per_feeder": 5,
            "starts_window_s": 60,
        },
        "beliefs": _beliefs(speed),
        "control": {"live": ["site"] if live else []},
        "polling": {"lean_s": _lean_s(speed), "full_s": max(300.0, 12 * _lean_s(speed)), "read_deadline_s": 3.0},
        "clock": {
            "speed": speed,
            "start_s": day.start_s if start_s is None else start_s,
            **({} if anchor_real_s is None else {"anchor_real_s": anchor_real_s}),
        },
        **({} if mined is None else _mining(mined, speed)),
    }


def _mining(mined: Mined, speed: float) -> dict[str, Any]:
    """The tap in front of the pretend pool, where there is one, and the pool's page of the account."""
    tap = {
        "listen": mined.tap,
        "pools": [{"url": mined.pool}],
        "accounts": [mined.account],
        "simulated_scale": mined.scale,
        "stale_grace_s": min(max(2.0, 0.5 * speed), 60.0),
        # these count real seconds, in which a fast machine says a lot
        "limits": {"messages_per_s": 200.0 + 10.0 * speed, "attempts_per_address_per_min": 600.0},
    }
    page = {"kind": "ckpool", "url": mined.page, "period_s": max(60.0, 5 * speed), "max_age_s": max(900.0, 60 * speed)}
    return {**({} if mined.tap is None else {"tap": tap}), "pool_apis": [page]}


def _machine(machine: Machine, speed: float) -> dict[str, Any]:
    """One machine's table; its firmware's time to confirm is at least five real seconds."""
    return {
        "id": machine.id,
        "model": machine.model,
        "dialect": machine.dialect,
        "host": machine.host,
        "place": "/".join(machine.place),
        "ports": dict(machine.ports),
        "credentials": machine.dialect if machine.dialect in _PASSWORDS else "default",
        "wear_usd": machine.wear_usd,
        "confirm_s": max(machine.confirm_s, 5 * speed),
    }


def _feeds(day: Day, lag_s: float) -> list[dict[str, Any]]:
    """The day's prices of power from the file, and its network as fixed values."""
    power = {
        "kind": "csv",
        "quantity": "power_usd_mwh",
        "unit": "USD/MWh",
        "file": str(data_file(POWER_FILE)),
        "lag_s": lag_s,
        "period_s": 60,
    }
    network = (
        ("coin_usd", "USD", day.coin_usd),
        ("difficulty", "1", day.difficulty),
        ("height", "1", float(day.height)),
        ("fees_btc_block", "BTC/block", day.fees_btc_block),
    )
    fixed = {"kind": "fixed", "period_s": 600, "max_age_s": 86_400}
    return [power, *({**fixed, "quantity": name, "unit": unit, "value": value} for name, unit, value in network)]


def _beliefs(speed: float) -> dict[str, Any]:
    """Waiting times that answer the network are real seconds: they stretch with the speed."""
    return {
        "silent_after_s": max(120.0, 6 * _lean_s(speed)),
        "back_off_s": max(30.0, speed),
        "confirm_slack_s": max(30.0, 2 * speed),
        # A moment of the host's is minutes of a fast world's, and looks like shares that are late: so ask for more.
        "share_check": {"most_gap_s": max(1_800.0, 4 * speed), "shortfall": 0.06, "false_alarm": 1e-5},
    }


def _lean_s(speed: float) -> float:
    """A look every 10 s at real speed, every few simulated minutes when fast."""
    return max(10.0, min(0.35 * speed, 3_600.0))


def _credentials(secrets: Path) -> Mapping[str, Any]:
    """The factory passwords of the pretend machines, in files as a real site has them."""
    tables = {}
    for dialect, (user, password) in _PASSWORDS.items():
        path = secrets / f"{dialect}.password"
        path.touch(mode=0o600)
        path.write_text(f"{password}\n")
        tables[dialect] = {"username": user, "password_file": str(path)}
    return tables
