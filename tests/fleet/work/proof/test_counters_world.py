"""The share check on the pretend world's machines: a day of sleeping, waking and failing, with one liar among them."""

from __future__ import annotations

import numpy as np
import pytest

from fleet.catalogue import ANTMINER, LUXOS, WHATSMINER, nameplate
from fleet.machine import SLEEP, Machine, Roster
from fleet.reading import State
from fleet.work.proof.counters import observe
from fleet.work.proof.evidence import Evidence, Verdict, delivered
from fleet.work.proof.share_check import ShareCheck
from simulators.instruments import Instruments
from simulators.physics import Physics

DAY_S = 86_400.0
POLL_S = 120.0
FULL_S = 600.0
LIAR = 7
MODELS = {LUXOS: "Antminer S19k Pro", ANTMINER: "Antminer S19j Pro", WHATSMINER: "WhatsMiner M60S"}


def site(n: int) -> Roster:
    """Machines of three dialects."""
    machines = []
    for i in range(n):
        dialect = tuple(MODELS)[i % 3]
        plate = nameplate(MODELS[dialect], dialect)
        machines.append(Machine(f"m{i}", plate.model, dialect, f"127.1.0.{i + 1}", plate.modes, plate.usual))
    return Roster.of(machines)


@pytest.mark.parametrize("inflated", [1.1, 1.2])
def test_a_day_with_one_liar(inflated: float) -> None:
    """The liar of a site would stay unfound for a day, or an honest machine that sleeps and wakes be called short."""
    n = 60
    roster, claims = site(n), np.ones(n)
    claims[LIAR] = inflated
    physics = Physics(roster, 11, at_s=0.0)
    gauges = Instruments(physics, 11, claims, np.full(n, 6_000.0))
    check, evidence = ShareCheck(), Evidence.nothing(n)
    counter, difficulty = np.full(n, np.nan), np.full(n, np.nan)
    rng = np.random.default_rng(11)
    for look in range(int(DAY_S / POLL_S)):
        at_s = (look + 1) * POLL_S
        if look % 60 == 30:
            some = np.flatnonzero(rng.random(n) < 0.3)
            physics.command(some, np.where(physics.mode[some] == SLEEP, roster.usual[some], SLEEP), at_s - POLL_S)
        physics.step(at_s)
        gauges.observe()
        said = [gauges.telemetry(row) for row in range(n)]
        hashing = np.array([one.state == State.HASHING for one in said])
        # as the observer keeps them: a counter is of the last full look, and each machine's looks are its own
        full = np.array([(at_s + row * POLL_S) % FULL_S == 0 for row in range(n)])
        counter = np.where(full, [one.accepted * one.share_difficulty for one in said], counter)
        difficulty = np.where(full, [one.share_difficulty for one in said], difficulty)
        evidence = observe(
            evidence,
            check,
            heard_s=np.full(n, at_s),
            claimed_ths=np.where(hashing, [one.rate_ths for one in said], np.nan),
            accepted_difficulty=counter,
            share_difficulty=difficulty,
            uptime_s=np.array([one.elapsed_s for one in said]),
        )
    assert [row for row in range(n) if evidence.verdict[row] == Verdict.SHORT] == [LIAR]
    assert np.count_nonzero(evidence.verdict == Verdict.HONEST) > n / 2
    found = delivered(evidence, 0.99)
    assert found.low[LIAR] < 0.9975 / inflated < found.high[LIAR]
    honest = np.delete(np.arange(n), LIAR)
    assert np.nanmean(found.ratio[honest]) == pytest.approx(0.9975, abs=0.006)
