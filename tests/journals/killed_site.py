"""A pretend site of twelve machines whose power price a test sets, as a program.

`killed_site.py DIRECTORY NET SPEED PRICE_URL DIALECT...` serves machines of these dialects, writes the site file, says so, and
ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import date
from pathlib import Path

import tomli_w

from controllers.clock import Clock, wall_s
from controllers.pretend.simulate import servable
from controllers.pretend.site import real_day, site_tables
from fleet.catalogue import ANTMINER, LUXOS, WHATSMINER
from simulators.scenarios.scenario import Block, Scenario, site

BLOCKS = {
    LUXOS: ("lux", "Antminer S19k Pro"),
    ANTMINER: ("ant", "Antminer S19j Pro"),
    WHATSMINER: ("wm", "WhatsMiner M60S"),
}


async def serve(directory: Path, net: int, speed: float, price_url: str, dialects: list[str]) -> None:
    """Serve until the standard input ends."""
    each = 12 // len(dialects)
    blocks = [Block(*BLOCKS[dialect], dialect, each, (f"feeder-{i}",)) for i, dialect in enumerate(dialects)]
    day = real_day(date(2024, 8, 20))
    made = Scenario("killed", site(blocks, net), 5)
    roster, clock, anchor_real_s = servable(made.roster), Clock(speed, day.start_s), wall_s()
    tables = site_tables(
        roster,
        day,
        name=made.name,
        speed=speed,
        state="state",
        live=True,
        secrets=directory,
        anchor_real_s=anchor_real_s,
    )
    tables["feeds"][0] = {
        "kind": "http",
        "quantity": "power_usd_mwh",
        "unit": "USD/MWh",
        "url": price_url,
        "value": "price",
        "period_s": 10,
    }
    tables["switching"] = {"kind": "threshold"}
    tables["pace"] = {
        "min_up_s": 0,
        "min_down_s": 0,
        "min_step_s": 0,
        "starts_per_feeder": 2,
        "starts_window_s": 60,
    }
    # A LuxOS machine keeps a killed process's session for a minute of real time: back-off has to reach beyond it.
    tables["beliefs"] |= {"back_off_s": 20 * speed, "back_off_most_s": 40 * speed}
    tables["control"] |= {"farewell": "resume", "guard_grace_s": 1, "lease_s": 3}
    path = directory / "site.toml"
    path.write_text(tomli_w.dumps(tables))
    async with made.world(clock, roster=roster):
        sys.stdout.write(f"{path}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]).absolute(), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4], sys.argv[5:]))
