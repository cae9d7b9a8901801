"""What is said of claims: once when a machine is found short, with what the tap saw, and once when that is over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from controllers.claims import Claims
from fleet.work.proof.evidence import Evidence
from policies.proof import proofs
from tests.policies.mine import Mine


def test_it_is_said_once_and_once_that_it_is_over() -> None:
    """An event at every tick of a month, or a machine that was repaired and is still on the list."""
    said: list[tuple[str, str]] = []
    mine = Mine((0.8, 1.0), ("tap",), price=10.0, foreign=0.2)
    claims = Claims(mine.judgment, lambda kind, text: said.append((kind, text)))
    for _ in range(120):
        claims.watch(mine.tick())
    [(kind, text)] = said
    assert kind == "claim"
    assert text.startswith("m0 delivers 8")
    assert text.endswith("the tap saw 20.0 % for a worker that is not ours, which is the likely cause")
    assert list(claims.found_short) == ["m0"]
    mine.site.view = replace(mine.site.view, tap_evidence=Evidence.nothing(2), tap_marks=())
    mine.delivers, mine.foreign = (1.0, 1.0), 0.0
    for _ in range(120):
        claims.watch(mine.tick())
    assert said[1:] == [("claim", "m0: its shares bear out its claim again")]
    assert list(claims.found_short) == ["m0"]


def test_rejected_shares_are_said_once() -> None:
    """A pool that refuses a tenth of everything, and a log that says so ten thousand times, or never."""
    said: list[tuple[str, str]] = []
    mine = Mine((1.0,), ("counters",), price=10.0, rejected=0.1)
    claims = Claims(mine.judgment, lambda kind, text: said.append((kind, text)))
    for _ in range(60):
        claims.watch(mine.tick())
    rejected = [text for kind, text in said if kind == "rejected"]
    assert len(rejected) == 1
    assert rejected[0].startswith("m0: 10.0 % of its shares are rejected (95 % interval ")
    mine.site.view = replace(mine.site.view, rejects=None)
    claims.watch(mine.tick())
    assert [text for kind, text in said if kind == "rejected"][1:] == ["m0: no more shares are rejected than may be"]


def test_nothing_is_said_of_honest_machines() -> None:
    """A log that fills with machines which do what they say."""
    said: list[tuple[str, str]] = []
    mine = Mine((1.0, 0.99), ("counters", "tap"), price=10.0, rejected=0.004)
    claims = Claims(mine.judgment, lambda kind, text: said.append((kind, text)))
    for _ in range(120):
        claims.watch(mine.tick())
    assert said == []


def test_hardware_errors_are_said_once() -> None:
    """Chips that fail, in a log that says so at every tick, or never."""
    said: list[tuple[str, str]] = []
    mine = Mine((1.0,), ("counters",), price=10.0, wrong=0.1)
    claims = Claims(mine.judgment, lambda kind, text: said.append((kind, text)))
    for _ in range(60):
        claims.watch(mine.tick())
    [(kind, text)] = said
    assert kind == "hardware errors"
    assert text.startswith("m0: 10.00 % of its nonces are hardware errors (95 % interval ")
    mine.site.view = replace(mine.site.view, errors=None)
    mine.wrong = 0.0
    claims.watch(mine.tick())
    assert said[1:] == [("hardware errors", "m0: no more nonces are wrong than may be")]


def test_a_counter_that_jumps_is_said_once() -> None:
    """A firmware whose counter makes leaps is left out of the proof without a word."""
    said: list[tuple[str, str]] = []
    mine = Mine((1.0, 1.0), ("counters",), price=10.0)
    claims = Claims(mine.judgment, lambda kind, text: said.append((kind, text)))
    for tick in range(40):
        if tick in {20, 30}:
            mine.brought = mine.brought + np.array([0.0, 1e12])
        claims.watch(mine.tick())
    assert said == [
        (
            "jump",
            "m1: its counter jumped once by more than it can have hashed: left out (by the machine's own counters)",
        )
    ]
    assert [[said.jumps for said in one.sources] for one in proofs(mine.judgment, mine.tick())] == [[0], [2]]
