"""`hashwatt simulate`: serve a pretend site on loopback, for hashwatt and for other programs, until it is told to stop.

It writes the site file that goes with the world, so that `hashwatt run --site` (and `check`, `once`, `init`) can be pointed
at it from another terminal. Time may run up to 1,000 times faster than the wall; the site file carries the same clock.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from controllers.clock import Clock, wall_s
from controllers.exits import BadArgument, Exit
from controllers.pretend.site import Day, Mined, real_day, site_tables
from controllers.terminal import err
from fleet.machine import Roster

TAP = "127.0.0.1:3333"
"""Where the site file's tap listens, and where the machines call first."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The scenario, its seed, its speed, its day, and where the site file goes."""
    parser.add_argument("--scenario", default="demo", help="demo, home, mining or thousand (default demo)")
    parser.add_argument(
        "--mine",
        action="store_true",
        help="every machine mines for real, at a pretend pool and through the tap of the site file"
        " (scenario mining does in any case)",
    )
    parser.add_argument("--no-tap", action="store_true", help="machines that mine for real call the pool itself")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--net", type=int, default=50, help="machines answer at 127.NET.x.y (default 50)")
    parser.add_argument(
        "--speed", type=float, default=1.0, help="simulated seconds per real second, 1 to 1000 (default 1)"
    )
    parser.add_argument(
        "--day", type=date.fromisoformat, default=date(2024, 8, 20), help="the day of real prices (default 2024-08-20)"
    )
    parser.add_argument(
        "--dir", type=Path, default=Path("pretend"), help="where site.toml and its state go (default ./pretend)"
    )
    parser.add_argument(
        "--live", action="store_true", help="write a site file that asks for live control of the pretend machines"
    )
    parser.add_argument(
        "--for", dest="for_s", type=float, default=None, metavar="SECONDS", help="stop after so many real seconds"
    )


def main(args: argparse.Namespace) -> int:
    """Serve until SIGINT, SIGTERM or --for."""
    if not 1 <= args.speed <= 1_000:
        raise BadArgument(f"--speed is {args.speed}, expected 1 to 1000")
    if not 1 <= args.net <= 254:
        raise BadArgument(f"--net is {args.net}, expected 1 to 254")
    if args.seed < 0:
        raise BadArgument(f"--seed is {args.seed}, expected 0 or more")
    if args.for_s is not None and not args.for_s > 0:
        raise BadArgument(f"--for is {args.for_s}, expected seconds above 0")
    from simulators.scenarios import scenario

    try:
        made = scenario(args.scenario, args.seed, args.net)
        made = all_mining(made) if args.mine else made
        day = real_day(args.day)
    except LookupError as error:
        raise BadArgument(str(error.args[0])) from error
    asyncio.run(_serve(args, day, made))
    return Exit.OK


async def _serve(args: argparse.Namespace, day: Day, made: Any) -> None:
    """The world, its site file, and the wait."""
    import tomli_w

    roster = servable(made.roster)
    clock = Clock(args.speed, day.start_s)
    anchor_real_s = wall_s()
    args.dir.mkdir(parents=True, exist_ok=True)
    made, tap = on_usual_ports(made)
    mined = mined_of(made, args.speed, None if args.no_tap else tap)
    tables = site_tables(
        roster,
        day,
        mined=mined,
        name=made.name,
        speed=args.speed,
        state="state",
        live=args.live,
        secrets=args.dir.absolute(),
        anchor_real_s=anchor_real_s,
    )
    path = args.dir / "site.toml"
    path.write_text(tomli_w.dumps(tables))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with made.world(clock, roster=roster, tap=None if mined is None else mined.tap):
        if mined is not None:
            err().print(
                f"machines mine for real at {mined.pool}"
                + ("" if mined.tap is None else f", through a tap at {mined.tap} where there is one")
                + f"; a hash stands for {1 / mined.scale:,.0f}",
                markup=False,
            )
        err().print(
            f"serving {len(roster)} machines of scenario {made.name!r} on 127.{args.net}.0.1 and on, "
            f"at {args.speed:g}x from {day.date}; site file: {path}",
            markup=False,
        )
        try:
            async with asyncio.timeout(args.for_s):
                await stop.wait()
        except TimeoutError:
            pass


def all_mining(made: Any) -> Any:
    """The same scenario, in which every machine mines for real."""
    from simulators.scenarios.scenario import Mining

    return made if made.mining is not None else replace(made, mining=Mining())


def on_usual_ports(made: Any) -> tuple[Any, str]:
    """The same scenario and the usual address for a tap; on free ports where another site has the usual ones."""
    if made.mining is None:
        return made, TAP
    usual = (made.mining.pool_port, made.mining.fee_port, made.mining.api_port, int(TAP.rpartition(":")[2]))
    return (made, TAP) if are_free(usual) else on_free_ports(made)


def on_free_ports(made: Any) -> tuple[Any, str]:
    """The same scenario with its pools on ports that nobody has now, and an address for a tap."""
    if made.mining is None:
        return made, TAP
    first = free_ports(4)
    return replace(made, mining=made.mining.on_ports(first)), f"127.0.0.1:{first + 3}"


def free_ports(count: int) -> int:
    """The first of so many ports in a row that nobody on 127.0.0.1 listens on now.

    They lie below those that outgoing connections get, so that none of these takes one before it is listened on.

    Raises:
        OSError: there are none.
    """
    ports = range(20_000, 32_000 - count, count)
    start = os.getpid() % len(ports)
    order: list[int] = [*ports[start:], *ports[:start]]
    for first in order:
        if are_free(range(first, first + count)):
            return first
    raise OSError(f"no {count} ports in a row are free on 127.0.0.1 from {ports[0]} to {ports[-1]}")


def are_free(ports: Iterable[int]) -> bool:
    """Does nobody on 127.0.0.1 listen on any of these ports?"""
    with contextlib.ExitStack() as held:
        try:
            for port in ports:
                probe = held.enter_context(socket.socket())
                # as servers do: a connection that has just ended takes no port
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
                probe.listen()
        except OSError:
            return False
    return True


def mined_of(made: Any, speed: float, tap: str | None) -> Mined | None:
    """What a site file has to know of a scenario's real mining; None where there is none."""
    if made.mining is None:
        return None
    return Mined(
        tap=tap,
        pool=f"stratum+tcp://127.0.0.1:{made.mining.pool_port}",
        page=f"http://127.0.0.1:{made.mining.api_port}/users/{made.mining.account}",
        account=made.mining.account,
        scale=made.scale(speed),
    )


def servable(roster: Roster) -> Roster:
    """The roster on the vendors' own ports, or with the privileged ones moved up where they may not be bound."""
    from simulators.world import mapped, may_bind

    return roster if may_bind(80) else mapped(roster, 8_000)
