"""The site whose machines mine for real: its plan is what happens, and its site file is one that the daemon takes."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controllers.config import site_of
from controllers.pretend.simulate import TAP, all_mining, free_ports, mined_of, on_free_ports, on_usual_ports
from controllers.pretend.site import real_day, site_tables
from fleet.work.sha256d import HashlibEngine
from simulators.clock import ScaledClock
from simulators.mining.mined import Mined
from simulators.scenarios import SCENARIOS, scenario
from simulators.scenarios.mining import CHEATS, CLAIMS
from simulators.scenarios.scenario import ACCOUNT
from simulators.world import World, mapped
from tests.simulators.mining.conftest import START_S


def test_who_cheats_delivers_less_and_nobody_else(virtually: Any) -> None:
    """If this fails, the site that shows what can be caught has other cheats than it says."""
    made = scenario("mining", 1, 60)
    assert made.mining is not None
    made = replace(made, mining=replace(made.mining, hashes_per_s=20_000.0))

    async def run() -> tuple[Mined, World]:
        world = made.world(ScaledClock(START_S, 240.0), roster=mapped(made.roster, 8_000), engine=HashlibEngine())
        async with world:
            await asyncio.sleep(30.0)
            assert world.mine is not None
            return world.mine.mined(), world

    mined, world = virtually(run())
    short = {machine.id for machine, ratio in zip(made.roster.machines, mined.delivered, strict=True) if ratio < 0.99}
    assert short == {*CHEATS, *CLAIMS}
    honest = [row for row, machine in enumerate(made.roster.machines) if machine.id not in short]
    assert mined.delivered[honest] == pytest.approx(np.ones(len(honest)))
    assert set(world.pools["pool"].books) >= {f"{ACCOUNT}.{machine.id}" for machine in made.roster.machines} - {
        f"{ACCOUNT}.wm-004"
    }


@pytest.mark.parametrize("name", sorted(SCENARIOS))
@pytest.mark.parametrize("speed", [1.0, 900.0])
def test_the_site_file_of_a_mining_site_is_one(tmp_path: Path, name: str, speed: float) -> None:
    """If this fails, `simulate --mine` writes a site file that the daemon refuses, or one with another scale."""
    made = all_mining(scenario(name, 1, 60))
    day = real_day(date(2024, 8, 20))
    mined = mined_of(made, speed, TAP)
    assert mined is not None
    tables = site_tables(
        made.roster, day, name=name, speed=speed, state="state", live=False, secrets=tmp_path, mined=mined
    )
    site = site_of(tables, tmp_path / "site.toml")
    tap = site.file.tap
    assert tap is not None
    assert tap.simulated_scale == made.scale(speed)
    assert (f"{tap.host}:{tap.port}", tap.accounts) == (TAP, (ACCOUNT,))
    assert [pool.url for pool in tap.pools] == [f"stratum+tcp://127.0.0.1:{made.mining.pool_port}"]
    assert len(site.file.pool_apis) == 1


def test_a_demo_needs_no_port_of_its_own() -> None:
    """If this fails, two demos on one host are in each other's way, or hidden fees go to a pool that is not there."""
    made, tap = on_free_ports(scenario("mining", 1, 60))
    ports = [made.mining.pool_port, made.mining.fee_port, made.mining.api_port, int(tap.rpartition(":")[2])]
    assert ports == list(range(ports[0], ports[0] + 4))
    assert on_free_ports(scenario("home", 1, 60))[1] == TAP
    urls = {cheat.url for plan in made.mining.cheats.values() for cheat in plan if cheat.url}
    assert urls == {f"stratum+tcp://127.0.0.1:{made.mining.fee_port}"}


def test_two_sites_on_one_host() -> None:
    """If this fails, a second `simulate` ends with an error, or its machines mine at the first one's pool."""
    made = scenario("mining", 1, 60)
    first = free_ports(4)
    made = replace(made, mining=made.mining.on_ports(first) if made.mining else None)
    with socket.socket() as other:
        other.bind(("127.0.0.1", first))
        other.listen()
        moved, tap = on_usual_ports(made)
    assert moved.mining.pool_port != first
    assert tap != TAP


def test_hidden_fees_are_known_by_machine() -> None:
    """If this fails, a report says that nobody hides a fee."""
    mining = scenario("mining", 1, 60).mining
    assert mining is not None
    assert mining.fees() == {"lux-003": 0.05, "lux-004": 0.05}
    assert mining.foreign() == ("lux-003", "wm-004")


def test_machines_call_the_tap_first_and_the_pool_second() -> None:
    """If this fails, machines of a pretend site have no way past a tap that is gone."""
    made = scenario("mining", 1, 60)
    work = made.world(ScaledClock(START_S), tap=TAP)._work
    assert work is not None
    assert work.pools == ("stratum+tcp://127.0.0.1:3333", "stratum+tcp://127.0.0.1:3334")
    assert made.world(ScaledClock(START_S))._work is not None
    assert scenario("home", 1, 60).world(ScaledClock(START_S))._work is None
