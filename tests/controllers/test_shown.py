"""What commands show of a proof: joules of proven hashes, hardware errors, jumps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from controllers.commands.explain import proof_lines
from controllers.commands.status import show
from fleet.meter import Meter
from policies.proof import proof
from policies.record import Record
from policies.site_sums import site_sums
from tests.policies.mine import Mine


def shown(mine: Mine, record: Record, capsys: pytest.CaptureFixture[str]) -> str:
    """What `hashwatt status` prints."""
    answer: dict[str, Any] = {"site": "yard", "sums": site_sums(mine.judgment, record).model_dump(mode="json")}
    show(answer | {"orders": [], "feeds": [], "tap": None, "short": [], "events": []})
    return " ".join(capsys.readouterr().out.split())


def test_joules_of_proven_hashes_are_shown_or_absent(capsys: pytest.CaptureFixture[str]) -> None:
    """A figure that nobody sees, or one that a nameplate gave."""
    mine = Mine((1.0, 1.0), ("tap",), price=10.0, metered=True)
    record = mine.run(60)
    assert "verified 24.62 J/TH of proven hashes, 95 % interval 2" in (text := shown(mine, record, capsys))
    assert "of 2 machines by the machines' own meters" in text
    metered = replace(record, snapshot=replace(record.snapshot, meters=(Meter("", 8e3, record.snapshot.at_s, "m"),)))
    assert "of 2 machines by the site's meter" in shown(mine, metered, capsys)
    plain = Mine((1.0, 1.0), ("tap",), price=10.0)
    assert "verified" not in shown(plain, plain.run(60), capsys)


def test_errors_and_jumps_are_explained() -> None:
    """Chips that fail and a counter that leaps, and an explanation that has no word for either."""
    mine = Mine((1.0,), ("counters",), price=10.0, wrong=0.1)
    mine.run(30)
    mine.brought = mine.brought + np.array([1e12])
    lines = proof_lines(proof(mine.judgment, mine.tick(), 0))
    assert any(line.startswith("by its own counters 10.00 % of its nonces are hardware errors") for line in lines)
    assert any(line.endswith(", too many") for line in lines)
    leap = "its counter jumped once by more than it can have hashed: left out (by the machine's own counters)"
    assert leap in lines
