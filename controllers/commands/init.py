"""`hashwatt init`: find machines, ask three questions, write a site file that starts as a dry run.

The questions are what power costs, what the site may draw, and where hashprice comes from; each has an answer on the command
line, so that a script needs no terminal. An existing file is never overwritten.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from controllers.config import SiteError, site_of
from controllers.exits import BadArgument, Exit
from controllers.observe import ask
from controllers.terminal import err, out, print_json, progress, table
from fleet.catalogue import nameplate
from fleet.discovery import Found, addresses, scan
from fleet.drivers import open_driver
from fleet.links import Credentials
from fleet.machine import SLEEP_NAME, Machine, Mode
from fleet.reading import Depth, Reading

_URL = "https://mempool.space/api"
_TIMEOUT_S = (0.1, 60.0)
_PROBE_MODES = (Mode(SLEEP_NAME, 0.0, 0.0), Mode("normal", 1.0, 1.0))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to look, the three answers, and where the file goes."""
    parser.add_argument("ranges", nargs="+", help="where to look: 10.0.0.0/22, 10.0.0.5, 10.0.0.5-10.0.0.40")
    parser.add_argument("--site", type=Path, default=Path("site.toml"), help="the file to write (default site.toml)")
    parser.add_argument("--name", default="site", help="the site's name (default site)")
    parser.add_argument("--power-usd-mwh", type=float, help="what power costs, all in (asked when not given)")
    parser.add_argument("--cap-kw", type=float, help="what the site may draw; 0 for no cap (asked when not given)")
    parser.add_argument(
        "--mempool-url", help="a mempool instance's API for price, difficulty and fees (asked when not given)"
    )
    parser.add_argument("--timeout", type=float, default=2.0, help="seconds to wait for each address (default 2)")
    parser.add_argument("--json", action="store_true", help="what was found and written, as one JSON object")


def main(args: argparse.Namespace) -> int:
    """Scan, ask, write; 1 when no machine was found, 2 when the file is there already or an answer is no number."""
    if args.site.exists():
        raise SiteError(f"{args.site}: is there already, expected a new file (--site)")
    if not args.site.absolute().parent.is_dir():
        raise SiteError(f"{args.site}: cannot be written, expected a file in a directory that exists (--site)")
    if not _TIMEOUT_S[0] <= args.timeout <= _TIMEOUT_S[1]:
        raise BadArgument(f"--timeout is {args.timeout}, expected {_TIMEOUT_S[0]:g} to {_TIMEOUT_S[1]:g} seconds")
    # What was given is looked at before the scan, not after it.
    site_of(_tables_of(args.name, args.power_usd_mwh or 0.0, args.cap_kw or 0.0, args.mempool_url or _URL), args.site)
    try:
        hosts = list(addresses(args.ranges))
    except ValueError as error:
        raise SiteError(str(error)) from error
    with progress(args.json) as bar:
        task = bar.add_task("looking", total=len(hosts))
        found = asyncio.run(_look(hosts, args.timeout, lambda: bar.advance(task)))
    if not found:
        err().print(f"nobody answered at {len(hosts)} addresses", markup=False)
        return Exit.FOUND
    tables = _tables(args, found)
    # What is written must be what `hashwatt run` takes.
    site_of(tables, args.site)
    import tomli_w

    with args.site.open("x", encoding="utf-8") as file:
        file.write(_HEAD + tomli_w.dumps(tables))
    if args.json:
        print_json({"written": str(args.site), "machines": tables["machines"]})
    else:
        rows = [(m["id"], m["host"], m["dialect"], m["model"]) for m in tables["machines"]]
        out().print(table(f"{len(rows)} machines", ("machine", "address", "dialect", "model"), rows))
        out().print(f"{args.site} is written: a dry run. Next: hashwatt check --site {args.site}", markup=False)
    return Exit.OK


_HEAD = """# Written by hashwatt init. A dry run: nothing is commanded until [control] live names a scope: live = ["site"].
# Machines that need a password: [credentials.NAME] with username and password_file, and credentials = "NAME" there.
"""


async def _look(hosts: Sequence[str], deadline_s: float, seen: Any) -> list[tuple[Found, Reading | None]]:
    """Who is there, and what each says of itself in its own dialect."""
    found = await scan(hosts, deadline_s=deadline_s, seen=seen)
    places = asyncio.Semaphore(100)

    async def read(machine: Found) -> Reading | None:
        probe = Machine("probe", "unknown", machine.dialect, machine.host, _PROBE_MODES, "normal")
        async with places:
            driver = open_driver(probe, Credentials())
            answer = await ask(driver, Depth.FULL)
            await driver.close()
        return answer if isinstance(answer, Reading) else None

    return list(zip(found, await asyncio.gather(*map(read, found)), strict=True))


def _tables(args: argparse.Namespace, found: Sequence[tuple[Found, Reading | None]]) -> dict[str, Any]:
    """The site file's tables: machines, the models that the catalogue lacks, and the three answers."""
    machines: list[dict[str, Any]] = []
    models: dict[tuple[str, str], dict[str, Any]] = {}
    count: Counter[str] = Counter()
    for machine, reading in found:
        who = None if reading is None else reading.identity
        model = _catalogued(
            (who.model if who is not None and who.model else machine.model) or "unknown", machine.dialect
        )
        own = _own_model(model, machine.dialect, reading)
        if own is not None:
            models.setdefault((model, machine.dialect), own)
        count[machine.dialect] += 1
        machines.append(
            {
                "id": f"{machine.dialect}-{count[machine.dialect]:03d}",
                "model": model,
                "dialect": machine.dialect,
                "host": machine.host,
            }
        )
    price = _answer(args.power_usd_mwh, "What does power cost, all in, in $/MWh?", 60.0)
    cap_kw = _answer(args.cap_kw, "What may the site draw, in kW (0: no cap)?", 0.0)
    url = args.mempool_url
    if url is None:
        url = _asked("Which mempool instance tells price and difficulty (its API's address)?", _URL)
    return _tables_of(args.name, price, cap_kw, url, machines, list(models.values()))


def _tables_of(
    name: str,
    price_usd_mwh: float,
    cap_kw: float,
    url: str,
    machines: Sequence[dict[str, Any]] = (),
    models: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """A site file's tables; a cap of 0 is none."""
    tables: dict[str, Any] = {
        "name": name,
        "tariff": {"kind": "fixed", "usd_mwh": price_usd_mwh},
        "feeds": [{"kind": "mempool", "url": url}],
        "machines": machines,
    }
    if cap_kw != 0:
        tables["caps_kw"] = {"site": cap_kw}
    if models:
        tables["models"] = models
    return tables


def _catalogued(said: str, dialect: str) -> str:
    """The catalogue's name of the model that a machine states, where it has one ("M60S_VK40" is a WhatsMiner M60S)."""
    for model in (said, f"WhatsMiner {said.split('_', maxsplit=1)[0]}"):
        with contextlib.suppress(LookupError):
            return nameplate(model, dialect).model
    return said


def _own_model(model: str, dialect: str, reading: Reading | None) -> dict[str, Any] | None:
    """A [[models]] table where the catalogue has none: the machine's own ladder, or what it shows now."""
    try:
        nameplate(model, dialect)
    except LookupError:
        pass
    else:
        return None
    ladder = (
        [] if reading is None else [mode for mode in reading.ladder if mode.power_w > 0 and mode.name != SLEEP_NAME]
    )
    usual = None if reading is None else reading.mode
    if not ladder:
        power_w = reading.power_w if reading is not None and reading.power_w else 3_300.0
        rate = reading.hashrate_ths if reading is not None and reading.hashrate_ths else 100.0
        usual = usual if usual and usual != SLEEP_NAME else "normal"
        ladder = [Mode(usual, power_w, rate)]
    ladder = sorted({mode.power_w: replace(mode) for mode in ladder}.values(), key=lambda mode: mode.power_w)
    names = [mode.name for mode in ladder]
    return {
        "model": model,
        "dialect": dialect,
        "usual": usual if usual in names else names[-1],
        "modes": [
            {"name": mode.name, "power_w": mode.power_w, "hashrate_ths": mode.hashrate_ths}
            for mode in (Mode(SLEEP_NAME, 0.0, 0.0), *ladder)
        ],
    }


def _answer(given: float | None, question: str, usual: float) -> float:
    """A number from the command line, or from the person."""
    if given is not None:
        return given
    text = _asked(question, f"{usual:g}")
    try:
        return float(text)
    except ValueError as error:
        raise SiteError(f"{question} {text!r}: expected a number") from error


def _asked(question: str, usual: str) -> str:
    """An answer from the terminal; the usual one where there is none to ask."""
    if not sys.stdin.isatty():
        err().print(f"{question} {usual} (no terminal to ask: this was taken)", markup=False)
        return usual
    err().print(f"{question} [{usual}] ", end="", markup=False)
    return sys.stdin.readline().strip() or usual
