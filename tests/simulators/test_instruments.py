"""Instruments: what a machine believes of itself follows the truth with its windows, offsets and calibration."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fleet.catalogue import ANTMINER, LUXOS, WHATSMINER
from fleet.machine import SLEEP, Machine, Roster
from simulators.hardware import hardware
from simulators.instruments import Instruments, Telemetry
from simulators.physics import Physics

T0 = 1.79e9
DAY_S = 86_400.0


@pytest.fixture
def gauges(machine: Callable[..., Machine]) -> Callable[[int], Instruments]:
    """Makes the instruments of so many machines, dialects in turn."""

    def make(count: int) -> Instruments:
        dialects = (LUXOS, ANTMINER, WHATSMINER)
        roster = Roster.of([machine(dialects[row % 3], row + 1) for row in range(count)])
        fans = np.array([hardware(one.model).fans for one in roster.machines])
        physics = Physics(roster, 21, at_s=T0, fans=fans)
        return Instruments(physics, 21, np.ones(count), np.full(count, 6_000.0))

    return make


def passed(instruments: Instruments, seconds: float, step_s: float = 5.0) -> Telemetry:
    """The first machine's telemetry so many seconds later."""
    physics = instruments.physics
    end_s = physics.at_s + seconds
    while physics.at_s < end_s:
        physics.step(min(end_s, physics.at_s + step_s))
        instruments.observe()
    return instruments.telemetry(0)


def test_averages_forget_at_their_own_pace(gauges: Callable[[int], Instruments]) -> None:
    """If this fails, a firmware's 1, 5, 15 and 30 minute averages are one number."""
    instruments = gauges(1)
    usual = passed(instruments, 60.0)
    instruments.physics.command(np.array([0]), np.array([SLEEP]), instruments.physics.at_s)
    asleep = passed(instruments, 180.0)
    assert asleep.rate_ths == 0.0
    rates = [asleep.rate_1m_ths, asleep.rate_5m_ths, asleep.rate_15m_ths, asleep.rate_30m_ths]
    assert rates == sorted(rates)
    assert rates[0] < 0.1 * usual.rate_1m_ths
    assert rates[3] > 0.85 * usual.rate_30m_ths


def test_now_jitters_and_the_run_does_not(gauges: Callable[[int], Instruments]) -> None:
    """If this fails, the hash rate of the moment is as steady as an average, which no firmware's is."""
    instruments = gauges(1)
    seen = [passed(instruments, 10.0) for _ in range(60)]
    true = instruments.physics.hashrate_ths[0]
    now = np.array([t.rate_ths for t in seen]) / true
    run = np.array([t.rate_av_ths for t in seen]) / true
    assert 0.003 < float(now.std()) < 0.02
    assert float(now.mean()) == pytest.approx(1.0, abs=0.01)
    assert float(run.std()) < 1e-6


def test_thermometers_are_off_and_drift(gauges: Callable[[int], Instruments]) -> None:
    """If this fails, every thermometer is right for ever."""
    instruments = gauges(60)
    physics = instruments.physics

    def errors() -> np.ndarray:
        told = [sum(instruments.telemetry(row).chip_c) / 3 for row in range(60)]
        return np.array(told) - physics.chip_c

    first = errors()
    physics.step(T0 + 60 * DAY_S)
    instruments.observe()
    moved = errors() - first
    assert 0.5 < float(first.std()) < 2.5
    assert 1.0 < float(moved.std()) < 6.0, "0.05 degrees a day, sixty days"


@pytest.mark.parametrize(("row", "fans"), [(0, 4), (1, 4), (2, 2)])
def test_fans_are_counted_and_a_dead_one_stands(gauges: Callable[[int], Instruments], row: int, fans: int) -> None:
    """If this fails, a model has other fans than it has, or a dead fan turns."""
    instruments = gauges(3)
    instruments.physics.fail_fan(row, 1)
    rpm = instruments.telemetry(row).fans_rpm
    assert len(rpm) == fans
    assert [speed == 0 for speed in rpm] == [index == 1 for index in range(fans)]


def test_boards_share_the_hash_rate_and_a_dead_one_has_none(gauges: Callable[[int], Instruments]) -> None:
    """If this fails, boards do not add up to the machine."""
    instruments = gauges(1)
    whole = instruments.telemetry(0)
    assert sum(whole.board_rate) == pytest.approx(1.0)
    assert len(set(whole.board_rate)) == 3
    instruments.physics.fail_board(0, 2)
    broken = passed(instruments, 5.0)
    assert sum(broken.board_rate) == pytest.approx(1.0)
    assert broken.board_rate[2] == 0.0
    assert broken.rate_ths < 0.75 * whole.rate_ths
