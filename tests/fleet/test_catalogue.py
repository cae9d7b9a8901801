"""The catalogue: every row a machine could have, the published figures exact, the derived ones plausible."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from fleet.catalogue import ANTMINER, LUXOS, NAMEPLATES, WHATSMINER, Nameplate, modes_of, nameplate, power_share
from fleet.machine import SLEEP_NAME, Machine

IDS = [f"{row.model} {row.dialect}" for row in NAMEPLATES]


@pytest.mark.parametrize("row", NAMEPLATES, ids=IDS)
def test_every_row_makes_a_machine(row: Nameplate) -> None:
    """A row with a wrong order or a double name would be refused in every site file that uses it."""
    Machine("m", row.model, row.dialect, "127.0.0.1", row.modes, row.usual, start_s=row.start_s)
    assert row.estimated <= {mode.name for mode in row.modes}
    assert row.modes[0].name == SLEEP_NAME
    assert row.modes[0].power_w < 100


@pytest.mark.parametrize("row", NAMEPLATES, ids=IDS)
def test_a_higher_point_costs_more_per_terahash(row: Nameplate) -> None:
    """Marginal J/TH that falls would make the dispatch jump over points."""
    hashing = row.modes[1:]
    marginal = [
        (high.power_w - low.power_w) / (high.hashrate_ths - low.hashrate_ths)
        for low, high in itertools.pairwise(hashing)
    ]
    assert all(step > 0 for step in marginal)
    assert all(later > 0.9 * earlier for earlier, later in itertools.pairwise(marginal))


@pytest.mark.parametrize(
    ("model", "dialect", "j_th"),
    [
        ("Antminer S19j Pro", ANTMINER, 29.5),
        ("Antminer S19 XP", ANTMINER, 21.5),
        ("Antminer S21", ANTMINER, 17.5),
        ("Antminer S21", LUXOS, 17.5),
        ("Antminer S21 XP", ANTMINER, 13.5),
        ("WhatsMiner M50", WHATSMINER, 29.0),
        ("WhatsMiner M60S", WHATSMINER, 18.5),
    ],
)
def test_the_published_efficiency(model: str, dialect: str, j_th: float) -> None:
    """A nameplate that is off moves the break-even of every machine of its model."""
    row = nameplate(model, dialect)
    (usual,) = (mode for mode in row.modes if mode.name == row.usual)
    assert usual.power_w / usual.hashrate_ths == pytest.approx(j_th, abs=0.05)


def test_the_captured_ladder() -> None:
    """The S19k Pro's row must be the real machine's, step by step."""
    path = Path(__file__).parent / "captures/luxos/profiles.json"
    rows = json.loads(path.read_text())["PROFILES"]
    captured = [(row["Profile Name"], row["Watts"], row["Hashrate"]) for row in rows]
    modes = modes_of("antminer s19K pro", LUXOS)[1:]
    assert [(mode.name, mode.power_w, mode.hashrate_ths) for mode in modes] == captured


def test_the_shape_of_the_captured_ladder() -> None:
    """Estimates for other models hang on it: 1 at 1, rising, and steeper the higher."""
    assert power_share(1.0) == 1.0
    shares = [power_share(rate / 20) for rate in range(4, 31)]
    steps = [later - earlier for earlier, later in itertools.pairwise(shares)]
    assert all(step > 0 for step in steps)
    assert steps[-1] > 1.3 * steps[0]


def test_an_unknown_model_is_named_with_those_there_are() -> None:
    """A mistyped model has to show the right ones."""
    with pytest.raises(LookupError, match=r"'S21'.*'antminer'.*Antminer S21"):
        nameplate("S21", ANTMINER)
    with pytest.raises(LookupError, match=r"'luxor'.*luxos"):
        modes_of("Antminer S21", "luxor")
