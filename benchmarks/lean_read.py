"""How many machines a second each client reads: hash rate, power, temperatures.

The same world answers all of them in one run, from another process on another core; hashwatt reads state and
operating point besides. `bare` connects, sends and takes what comes without looking at it: what the world can give.
Clients take turns round by round, and the median of the rounds counts. The ratio of the rates is what is wanted; the
CPU time that a client takes for a machine is shown beside it. Run: `python benchmarks/run.py lean_read`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

import uvloop

from benchmarks._pretend_site import CREDENTIALS, MODELS, served, two_cores
from benchmarks._turns import Clients, One, Rate, each, play, taken
from fleet.drivers import open_driver
from fleet.machine import Machine
from fleet.reading import Depth, State

WANTED: Final = {
    ("antminer", "pyasic"): 15.0,
    ("antminer", "asic-rs"): 2.0,
    ("whatsminer-v3", "asic-rs"): 1.5,
}
"""The ratios to reach: hashwatt's rate over the peer's."""
REQUESTS: Final = {
    "antminer": (4028, b'{"command": "stats"}'),
    "luxos": (4028, b'{"command": "summary+config+power+temps+events"}'),
    "whatsminer-v3": (4433, b'\x2f\x00\x00\x00{"cmd": "get.miner.status", "param": "summary"}'),
}


class _Taker(asyncio.Protocol):
    """The bare client: what comes first is the answer."""

    def __init__(self, request: bytes, done: asyncio.Future[None]) -> None:
        self.request, self.done = request, done
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self.request)

    def data_received(self, _data: bytes) -> None:
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, _exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def bare(site: Sequence[Machine]) -> One:
    """Connect, send, take the first bytes."""
    loop = asyncio.get_running_loop()
    port, request = REQUESTS[site[0].dialect]

    async def one(row: int) -> None:
        done: asyncio.Future[None] = loop.create_future()
        await loop.create_connection(lambda: _Taker(request, done), site[row].host, port)
        await done

    return one


async def hashwatt(site: Sequence[Machine]) -> One:
    """Our own drivers; a first look has told them what does not change between looks."""
    drivers = [open_driver(machine, CREDENTIALS[machine.dialect]) for machine in site]

    async def one(row: int) -> None:
        reading = await drivers[row].read(Depth.LEAN)
        if reading.state is not State.HASHING or not reading.hashrate_ths or reading.power_w is None:
            raise RuntimeError(f"{site[row].host}: {reading}")

    await each(one, len(site))
    return one


async def asicrs(site: Sequence[Machine]) -> One:
    """pyasic-rs's miners, identified beforehand: its three calls for the three fields, which is its fastest way."""
    from pyasic_rs import MinerFactory

    factory = MinerFactory()
    miners: list[Any] = [None] * len(site)

    async def identify(row: int) -> None:
        miners[row] = await factory.get_miner(site[row].host)

    async def one(row: int) -> None:
        miner = miners[row]
        rate = await miner.get_hashrate()
        await miner.get_wattage()
        await miner.get_hashboards_no_chips()
        if rate is None:
            raise RuntimeError(f"{site[row].host}: pyasic-rs read no hash rate")

    await each(identify, len(site))
    return one


async def pyasic(site: Sequence[Machine]) -> One:
    """pyasic's miners, identified beforehand: one collection of the three fields."""
    import pyasic as library

    miners: list[Any] = [None] * len(site)

    async def identify(row: int) -> None:
        miners[row] = await library.get_miner(site[row].host)

    async def one(row: int) -> None:
        data = await miners[row].get_data(include=["hashrate", "wattage", "hashboards"])
        if data.hashrate is None:  # on LuxOS the sum of its boards
            raise RuntimeError(f"{site[row].host}: pyasic read no hash rate")

    await each(identify, len(site))
    return one


CLIENTS: Final[Clients] = {
    "bare": (bare, uvloop.new_event_loop),
    "hashwatt": (hashwatt, uvloop.new_event_loop),
    "hashwatt, asyncio's loop": (hashwatt, asyncio.new_event_loop),
    "asic-rs": (asicrs, asyncio.new_event_loop),
    "pyasic": (pyasic, asyncio.new_event_loop),
}


def report(dialect: str, rates: Sequence[Rate]) -> dict[str, Any]:
    """One dialect's rates, and hashwatt's ratio to each with what is wanted."""
    ours = next(rate for rate in rates if rate.client == "hashwatt")
    rows = [
        {
            "client": rate.client,
            "per_s": round(rate.per_s, 1),
            "cpu_ms": round(rate.cpu_ms, 3),
            "hashwatt_over_it": round(ours.per_s / rate.per_s, 2),
            "by_cpu": round(rate.cpu_ms / ours.cpu_ms, 2),
            "wanted": WANTED.get((dialect, rate.client)),
        }
        for rate in rates
    ]
    return {"dialect": dialect, "clients": rows}


def table(title: str, found: Sequence[dict[str, Any]]) -> str:
    """For people."""
    lines = [title]
    for part in found:
        head = (
            f"{part['dialect']:26}{'machines/s':>12}{'CPU ms each':>13}{'hashwatt is':>13}{'by CPU':>10}{'wanted':>9}"
        )
        lines += ["", head, *(line(row) for row in part["clients"])]
    return "\n".join(lines)


def line(row: dict[str, Any]) -> str:
    """One client."""
    wanted = "" if row["wanted"] is None else f"{row['wanted']:g} x"
    return (
        f"  {row['client']:24}{row['per_s']:>12,.0f}{row['cpu_ms']:>13.3f}{row['hashwatt_over_it']:>11.2f} x"
        f"{row['by_cpu']:>8.2f} x{wanted:>9}"
    )


def missed(row: dict[str, Any]) -> bool:
    """Whether a wanted ratio of rates is not reached."""
    return bool(row["wanted"]) and row["hashwatt_over_it"] < row["wanted"]


def main(argv: Sequence[str] | None = None) -> int:
    """Read a pretend site with each client; 1 when a wanted ratio is missed."""
    parser = argparse.ArgumentParser(prog="lean_read", description=main.__doc__)
    parser.add_argument("--machines", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dialect", choices=sorted(MODELS), action="append")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--play", choices=sorted(CLIENTS), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.play:
        return play(CLIENTS, options.play, options.dialect[0], options.machines, least_s=1.0)
    apart, found = two_cores(), []
    for dialect in options.dialect or list(MODELS):
        with served(dialect, options.machines):
            names = list(CLIENTS)
            rates = taken("benchmarks.lean_read", names, dialect, options.machines, options.rounds, lambda _: None)
        found.append(report(dialect, rates))
    cores = "client and world on a core each" if apart else "client and world share one core"
    print(table(f"lean read, {options.machines} machines, {cores}, median of {options.rounds}", found))
    if options.json is not None:
        figures = {"machines": options.machines, "rounds": options.rounds, "two_cores": apart, "lean_read": found}
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 1 if any(missed(row) for part in found for row in part["clients"]) else 0


if __name__ == "__main__":
    sys.exit(main())
