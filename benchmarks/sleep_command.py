"""How many stock Antminers a second each client puts to sleep: until the machine has accepted, not until it sleeps.

Each has to sign in by digest, read the configuration and write it back. The same world answers all in one run, from
another process on another core; between the rounds all machines are woken, unmeasured, and their pools counted.
`bare` sends the same three requests and looks at nothing but the challenge: what the world can give. `first` is a
client that never spoke to the machine before, as after its start. Rates and CPU count as in lean_read. Run: `python
benchmarks/run.py sleep_command`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Mapping, Sequence
from hashlib import md5
from pathlib import Path
from typing import Any, Final

import uvloop

from benchmarks._pretend_site import CREDENTIALS, served, two_cores
from benchmarks._turns import Clients, One, Rate, Ready, each, play, taken
from benchmarks.lean_read import line, missed
from fleet.driver import Driver
from fleet.drivers import open_driver
from fleet.links import Endpoint, Web
from fleet.machine import Machine
from fleet.reading import Depth

WANTED: Final = {"pyasic": 8.0}
"""The ratio to reach: hashwatt's rate over the peer's."""
_NONCE: Final = re.compile(rb'nonce="([^"]+)"')


async def bare(site: Sequence[Machine]) -> One:
    """The three requests on one connection, with a configuration made beforehand."""
    bodies = [""] * len(site)

    async def prepare(row: int) -> None:
        async with Web(Endpoint(site[row].host, 80), CREDENTIALS["antminer"]) as web:
            conf = await web.get("/cgi-bin/get_miner_conf.cgi")
        bodies[row] = json.dumps({**conf, "miner-mode": 1, "bitmain-work-mode": "1"})

    def digest(raw: str) -> str:
        return md5(raw.encode(), usedforsecurity=False).hexdigest()

    def signed(method: str, path: str, nonce: str, count: int) -> str:
        secret, asked = digest("root:antMiner Configuration:root"), digest(f"{method}:{path}")
        answer = digest(f"{secret}:{nonce}:{count:08x}:ab:auth:{asked}")
        return (
            f'Authorization: Digest username="root", realm="antMiner Configuration", nonce="{nonce}", uri="{path}", '
            f'response="{answer}", qop=auth, nc={count:08x}, cnonce="ab"\r\n'
        )

    async def one(row: int) -> None:
        reader, writer = await asyncio.open_connection(site[row].host, 80)
        get, post = "/cgi-bin/get_miner_conf.cgi", "/cgi-bin/set_miner_conf.cgi"
        writer.write(f"GET {get} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        found = _NONCE.search(await reader.read(65536))
        if found is None:
            raise RuntimeError(f"{site[row].host}: no challenge")
        nonce = found[1].decode()
        writer.write(f"GET {get} HTTP/1.1\r\nHost: x\r\n{signed('GET', get, nonce, 1)}\r\n".encode())
        await reader.read(65536)
        head = f"POST {post} HTTP/1.1\r\nHost: x\r\n{signed('POST', post, nonce, 2)}Content-Length: {len(bodies[row])}\r\n\r\n"
        writer.write((head + bodies[row]).encode())
        if b"success" not in await reader.read(65536):
            raise RuntimeError(f"{site[row].host}: not accepted")
        writer.transport.abort()

    await each(prepare, len(site))
    return one


def hashwatts(*, known: bool) -> Ready:
    """Our driver: one that has read the machine before, or one that never spoke to it."""

    async def ready(site: Sequence[Machine]) -> One:
        drivers: list[Driver] = [open_driver(machine, CREDENTIALS["antminer"]) for machine in site]
        if known:
            await each(lambda row: _look(drivers[row]), len(site))

        async def one(row: int) -> None:
            driver = drivers[row] if known else open_driver(site[row], CREDENTIALS["antminer"])
            await driver.set_mode(site[row].modes[0])

        return one

    return ready


async def _look(driver: Driver) -> None:
    await driver.read(Depth.LEAN)


async def asicrs(site: Sequence[Machine]) -> One:
    """pyasic-rs's miners, identified beforehand."""
    from pyasic_rs import MinerFactory

    factory = MinerFactory()
    miners: list[Any] = [None] * len(site)

    async def identify(row: int) -> None:
        miners[row] = await factory.get_miner(site[row].host)

    async def one(row: int) -> None:
        if not await miners[row].pause():
            raise RuntimeError(f"{site[row].host}: pyasic-rs was refused")

    await each(identify, len(site))
    return one


async def pyasic(site: Sequence[Machine]) -> One:
    """pyasic's miners, identified beforehand."""
    import pyasic as library

    miners: list[Any] = [None] * len(site)

    async def identify(row: int) -> None:
        miners[row] = await library.get_miner(site[row].host)

    async def one(row: int) -> None:
        await miners[row].stop_mining()

    await each(identify, len(site))
    return one


CLIENTS: Final[Clients] = {
    "bare": (bare, uvloop.new_event_loop),
    "hashwatt": (hashwatts(known=True), uvloop.new_event_loop),
    "hashwatt, first": (hashwatts(known=False), uvloop.new_event_loop),
    "hashwatt, asyncio's loop": (hashwatts(known=True), asyncio.new_event_loop),
    "asic-rs": (asicrs, asyncio.new_event_loop),
    "pyasic": (pyasic, asyncio.new_event_loop),
}


async def pools_of(site: Sequence[Machine]) -> list[Any]:
    """What each machine has for pools."""
    found: list[Any] = [None] * len(site)

    async def one(row: int) -> None:
        found[row] = (await open_driver(site[row], CREDENTIALS["antminer"]).read(Depth.POOLS)).pools

    await each(one, len(site))
    return found


async def woken(site: Sequence[Machine], before: Sequence[Any]) -> int:
    """Wake all again; how many had accepted sleep with their pools as they were."""
    drivers = [open_driver(machine, CREDENTIALS["antminer"]) for machine in site]
    kept = 0

    async def one(row: int) -> None:
        nonlocal kept
        told = await drivers[row].read(Depth.POOLS)
        kept += told.mode == "sleep" and told.pools == before[row]
        if told.pools:
            await drivers[row].set_mode(site[row].modes[site[row].mode_named(site[row].usual)])

    await each(one, len(site))
    return kept


def report(rates: Sequence[Rate], kept: Mapping[str, int]) -> list[dict[str, Any]]:
    """The rates, hashwatt's ratio to each with what is wanted, and how many accepted with their pools kept."""
    ours = next(rate for rate in rates if rate.client == "hashwatt")
    return [
        {
            "client": rate.client,
            "per_s": round(rate.per_s, 1),
            "cpu_ms": round(rate.cpu_ms, 3),
            "hashwatt_over_it": round(ours.per_s / rate.per_s, 2),
            "by_cpu": round(rate.cpu_ms / ours.cpu_ms, 2),
            "wanted": WANTED.get(rate.client),
            "accepted": kept[rate.client],
        }
        for rate in rates
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Put a pretend site to sleep with each client; 1 when a wanted ratio is missed or a machine of ours did not accept."""
    parser = argparse.ArgumentParser(prog="sleep_command", description=main.__doc__)
    parser.add_argument("--machines", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--dialect", default="antminer", help=argparse.SUPPRESS)
    parser.add_argument("--play", choices=sorted(CLIENTS), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.play:
        return play(CLIENTS, options.play, options.dialect, options.machines)
    apart = two_cores()
    kept = dict.fromkeys(CLIENTS, options.machines)
    with served("antminer", options.machines) as site:
        before = asyncio.run(pools_of(site))

        def between(name: str) -> None:
            kept[name] = min(kept[name], asyncio.run(woken(site, before)))

        names = list(CLIENTS)
        rates = taken("benchmarks.sleep_command", names, "antminer", options.machines, options.rounds, between)
    rows = report(rates, kept)
    cores = "client and world on a core each" if apart else "client and world share one core"
    print(f"sleep accepted, {options.machines} stock Antminers, {cores}, median of {options.rounds}\n")
    head = f"{'':26}{'machines/s':>12}{'CPU ms each':>13}{'hashwatt is':>13}{'by CPU':>10}{'wanted':>9}"
    print(head + f"{'accepted, pools kept':>22}")
    for row in rows:
        print(line(row) + f"{row['accepted']:>22}")
    if options.json is not None:
        figures = {"machines": options.machines, "rounds": options.rounds, "two_cores": apart, "sleep_command": rows}
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    lost = any(row["client"].startswith("hashwatt") and row["accepted"] < options.machines for row in rows)
    return 1 if lost or any(missed(row) for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
