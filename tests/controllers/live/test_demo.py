"""The demo in a short form: the real daemon on a real day's prices, and a report whose figures agree with each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date

import numpy as np
import pytest

from controllers.pretend.books import Books
from controllers.pretend.site import Day, real_day
from fleet.series import Series

HASHWATT = (sys.executable, "-P", "-c", "import sys; from controllers.cli import main; sys.exit(main())")
WORDS = ("--scenario", "home", "--day", "2024-08-20", "--hours", "3", "--seconds", "12")


def net() -> str:
    """An address block that no other test process uses now, apart from those of single machines."""
    return str(220 + os.getpid() % 30)


def test_a_short_demo_reports_what_happened() -> None:
    """A demo whose figures do not add up convinces nobody."""
    done = subprocess.run(
        [*HASHWATT, "demo", *WORDS, "--net", net(), "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (found["machines"], found["day"]) == (3, "2024-08-20")
    assert found["hours"] == pytest.approx(3.0, abs=0.05)
    day = real_day(date.fromisoformat(found["day"]))
    prices = [day.power_usd_mwh(day.start_s + 900.0 * k) for k in range(12)]
    assert min(prices) * 0.99 <= found["cost_usd"] / found["energy_mwh"] <= max(prices) * 1.01
    terahashes = found["hashes_eh"] * 1e6
    assert found["revenue_usd"] == pytest.approx(terahashes / 86.4e6 * found["hashprice_usd_phs_day"], rel=1e-6)
    assert found["profit_usd"] == pytest.approx(found["revenue_usd"] - found["cost_usd"] - found["wear_usd"])
    assert found["wear_usd"] == pytest.approx(0.15 * found["starts"])
    assert found["clairvoyant_usd"] >= found["always_on_usd"]
    assert 0 < found["energy_mwh"] < 3 * 0.0101, "the garage's cap of 10 kW holds"
    assert sum(found["outcomes"].values()) == found["commands"] >= 1
    assert set(found["outcomes"]) <= {"done", "lost", "refused", "unconfirmed"}
    assert found["ticks"] > 20
    assert (found["caught"], found["cheats"]) == ({}, {})
    lines = done.stderr.splitlines()
    assert lines
    assert "3 hashing" in lines[-1], "cheap night hours: nobody was left asleep"
    assert "\x1b" not in done.stderr, "a log has no colours and no cursor movements"


def test_a_demo_whose_machines_mine_for_real_counts_every_share() -> None:
    """A demo of the proof in which shares are lost, or a hidden fee is not seen, proves the opposite."""
    words = ("--scenario", "mining", "--hours", "2", "--seconds", "20", "--net", net(), "--json")
    done = subprocess.run([*HASHWATT, "demo", *words], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode in {0, 1}, done.stderr
    found = json.loads(done.stdout)
    mined = found["mined"]
    assert mined["machines"] == 12
    assert mined["verified"] == pytest.approx(mined["shares"], rel=0.05)
    assert set(found["fees_seen"]) == {"lux-003", "wm-004"}
    assert found["fees_seen"]["lux-003"]["share"] == pytest.approx(0.05, abs=0.03)
    assert found["fees_seen"]["wm-004"]["share"] == 1.0
    assert found["fees"] == {"lux-003": 0.05, "lux-004": 0.05}
    assert "wm-004" in found["caught"], "nothing of its work is ours"


def test_the_books_price_each_interval_at_its_own_price() -> None:
    """A bill at the day's mean price would make every policy look alike."""
    start_s = 1_724_130_000.0
    times = np.array([start_s, start_s + 900.0, start_s + 1_800.0])
    power = Series("made", "price", times, np.array([10.0, 1_000.0, -20.0]), 900.0)
    books = Books(Day(date(2024, 8, 20), start_s, start_s + 2_700.0, power, 60_000.0, 9e13, 857_000, 0.1))
    energy_j, hashes_th = np.zeros(2), np.zeros(2)
    books.close(start_s, energy_j, hashes_th)
    for k, (joules, terahashes) in enumerate(((3.6e9, 1e6), (0.0, 0.0), (1.8e9, 5e5)), 1):
        energy_j[0] += joules
        hashes_th[1] += terahashes
        books.close(start_s + k * 900.0, energy_j, hashes_th)
    assert books.energy_mwh == pytest.approx(1.5)
    assert books.cost_usd == pytest.approx(1.0 * 10.0 + 0.5 * -20.0)
    assert books.hashes_eh == pytest.approx(1.5)
    assert books.hours == pytest.approx(0.75)
    assert [price for _, price, _, _ in books.intervals] == [10.0, 1_000.0, -20.0]
