"""Each dialect's replies agree in shape with the captures of real machines: the same keys, the same types."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from fleet.catalogue import ANTMINER, LUXOS, WHATSMINER
from fleet.machine import Machine, Roster
from simulators.clock import ScaledClock
from simulators.faults import FaultPlan, Quirk
from simulators.world import World

HERE = Path(__file__).parent
CAPTURES = (HERE / "captures", HERE.parent / "fleet" / "captures")
START_S = 1.79e9
DOCUMENTED = {
    "pools[].id": "in the API's document and FACTS, not in the capture",
    "pools[].reject-percent": "in the API's document",
    "pools[].last-share-time": "in the API's document",
    "Msg.chip": "in the API's document",
}
"""Keys beyond the captures, and why they are there."""


def captured(name: str) -> Any:
    """A captured reply by "dialect/name"."""
    for folder in CAPTURES:
        path = folder / f"{name}.json"
        if path.exists():
            return json.loads(path.read_text())
    raise FileNotFoundError(name)


def differences(got: Any, want: Any, path: str = "") -> list[str]:
    """Where a reply differs in shape from a capture; an element of a list may be like any element captured."""
    if isinstance(want, dict) and isinstance(got, dict):
        found = [f"{path}.{key}: missing" for key in want if key not in got]
        for key, value in got.items():
            where = f"{path}.{key}".lstrip(".")
            if key in want:
                found += differences(value, want[key], where)
            elif not any(where.endswith(known) for known in DOCUMENTED):
                found.append(f"{where}: not in the capture")
        return found
    if isinstance(want, list) and isinstance(got, list):
        found = [] if got or not want else [f"{path}: empty"]
        for element in got:
            each = [differences(element, example, f"{path}[]") for example in want]
            if each:
                closest: list[str] = min(each, key=len)
                found += closest
        return found
    return [] if type(got) is type(want) else [f"{path}: {type(got).__name__}, captured {type(want).__name__}"]


def test_the_walk_sees_differences() -> None:
    """If this fails, the comparison of shapes is blind."""
    want = {"a": [{"b": 1, "c": "x"}, {"d": 1.5}], "e": True}
    assert differences({"a": [{"b": 2, "c": "y"}, {"d": 0.0}], "e": False}, want) == []
    for wrong in (
        {"a": [{"b": 2.0, "c": "y"}], "e": False},
        {"a": [{"b": 2}], "e": False},
        {"a": [{"b": 2, "c": "y", "z": 1}], "e": False},
        {"a": [], "e": False},
        {"a": [{"d": 0.0}], "e": 1},
        {"a": [{"d": 0.0}]},
    ):
        assert differences(wrong, want), wrong


async def cgminer(host: str, command: str, parameter: str | None = None, port: int = 4028) -> Any:
    """One exchange with cgminer's API."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(json.dumps({"command": command} | ({"parameter": parameter} if parameter else {})).encode())
    raw = await reader.read()
    writer.close()
    assert raw.endswith(b"\0")
    return json.loads(raw[:-1])


async def v3(host: str, command: str, param: Any = None) -> Any:
    """One exchange with a WhatsMiner's API v3."""
    reader, writer = await asyncio.open_connection(host, 4433)
    body = json.dumps({"cmd": command} | ({"param": param} if param else {})).encode()
    writer.write(len(body).to_bytes(4, "little") + body)
    length = int.from_bytes(await reader.readexactly(4), "little")
    raw = await reader.readexactly(length)
    writer.close()
    return json.loads(raw)


def asked(roster: Roster, ask: Callable[[World], Any], prepare: Callable[[World], Any] = lambda _: None) -> Any:
    """What a world answers, an hour after something was done to it."""

    async def run() -> Any:
        async with World(roster, 5, ScaledClock(START_S, 1.0)) as world:
            prepare(world)
            return await ask(world)

    return asyncio.run(run())


@pytest.mark.parametrize(
    "name",
    ["version", "summary", "stats", "devs", "pools", "fans", "temps", "power", "profiles", "config", "voltageget"],
)
def test_luxos_as_captured(machine: Callable[..., Machine], name: str) -> None:
    """If this fails, a pretend LuxOS machine says something that a real one does not, or leaves something out."""
    one = machine(LUXOS)
    got = asked(Roster.of([one]), lambda _: cgminer(one.host, name))
    assert differences(got, captured(f"luxos/{name}")) == []


def test_luxos_events_as_captured(machine: Callable[..., Machine]) -> None:
    """If this fails, a LuxOS machine with a dead board reports it otherwise than real ones do."""
    one = machine(LUXOS)
    got = asked(Roster.of([one]), lambda _: cgminer(one.host, "events"), lambda world: world.physics.fail_board(0, 1))
    assert differences(got, captured("luxos/events")) == []


@pytest.mark.parametrize("name", ["version", "summary", "stats", "pools", "devs"])
def test_antminer_as_captured(machine: Callable[..., Machine], name: str) -> None:
    """If this fails, a pretend stock Antminer says something that a real one does not, or leaves something out."""
    one = machine(ANTMINER, ports={"web": 18_080})
    got = asked(Roster.of([one]), lambda _: cgminer(one.host, name))
    assert differences(got, captured(f"antminer/{name}")) == []


def test_antminer_system_info_as_captured(machine: Callable[..., Machine]) -> None:
    """If this fails, the Antminer's page of system information is not a real one's."""
    one = machine(ANTMINER, ports={"web": 18_080})

    async def page(_: World) -> Any:
        async with httpx.AsyncClient(auth=httpx.DigestAuth("root", "root")) as client:
            return (await client.get(f"http://{one.host}:18080/cgi-bin/get_system_info.cgi")).json()

    assert differences(asked(Roster.of([one]), page), captured("antminer/system_info")) == []


@pytest.mark.parametrize(
    ("name", "command", "param"),
    [
        ("get_device_info", "get.device.info", None),
        ("get_miner_status_summary", "get.miner.status", "summary"),
        ("get_miner_status_edevs", "get.miner.status", "edevs"),
        ("get_miner_status_pools", "get.miner.status", "pools"),
    ],
)
def test_whatsminer_as_captured(machine: Callable[..., Machine], name: str, command: str, param: str | None) -> None:
    """If this fails, a pretend WhatsMiner says something that a real one does not, or leaves something out."""
    one = machine(WHATSMINER)
    got = asked(Roster.of([one]), lambda _: v3(one.host, command, param))
    assert differences(got, captured(f"whatsminer_v3/{name}")) == []


def test_whatsminer_errors_have_the_captured_form(machine: Callable[..., Machine]) -> None:
    """If this fails, a WhatsMiner lists its error codes otherwise than real ones do."""
    one = machine(WHATSMINER)
    got = asked(Roster.of([one]), lambda _: v3(one.host, "get.device.info"), lambda world: world.physics.fail_fan(0, 1))
    want = captured("whatsminer_v3/get_device_info_with_errors")
    codes = got["msg"].pop("error-code")
    assert (
        differences(got, {**want, "msg": {key: value for key, value in want["msg"].items() if key != "error-code"}})
        == []
    )
    (entry,) = codes
    assert entry.pop("reason")
    assert [(code.isdigit(), len(at)) for code, at in entry.items()] == [(True, len("2026-05-23 09:19:10"))]


@pytest.mark.parametrize("name", ["get_version", "get_miner_info", "status", "summary", "pools"])
def test_whatsminer_v2_reads_as_captured(machine: Callable[..., Machine], name: str) -> None:
    """If this fails, port 4028 of a WhatsMiner is not that by which clients recognise the make."""
    one = machine(WHATSMINER)
    got = asked(Roster.of([one]), lambda _: cgminer(one.host, name))
    assert differences(got, captured(f"whatsminer_v2/{name}")) == []


@pytest.mark.parametrize("dialect", [LUXOS, ANTMINER, WHATSMINER])
def test_an_inflating_machine_inflates_all_but_its_shares(
    machine: Callable[..., Machine], dialect: str, until: Callable[[Callable[[], bool]], Awaitable[None]]
) -> None:
    """If this fails, a cheat shows in its own numbers, or its shares cheat too."""
    honest, cheat = machine(dialect, 1, ports={"web": 18_080}), machine(dialect, 2, ports={"web": 18_080})

    async def run() -> tuple[list[Any], Any]:
        roster = Roster.of([honest, cheat])
        async with World(roster, 5, ScaledClock(START_S, 1_000.0), claims={cheat.id: 1.5}) as world:
            await until(lambda: bool(world.truth.shares.min() >= 30))
            return [world.telemetry(row) for row in (0, 1)], world.truth

    told, truth = asyncio.run(run())
    ratio = [t.rate_ths / ths for t, ths in zip(told, truth.hashrate_ths, strict=True)]
    assert ratio[0] == pytest.approx(1.0, rel=0.05)
    assert ratio[1] == pytest.approx(1.5, rel=0.05)
    assert told[1].rate_av_ths == pytest.approx(1.5 * truth.hashrate_ths[1], rel=0.05)
    proven = told[1].accepted * told[1].share_difficulty * 2**32 / 1e12 / told[1].elapsed_s
    assert proven == pytest.approx(truth.hashrate_ths[1], rel=0.1)


def test_a_stopped_whatsminer_may_have_no_status(machine: Callable[..., Machine]) -> None:
    """If this fails, the quirk that other people's code knows ("btminer process is down err") cannot be rehearsed."""
    one = machine(WHATSMINER)

    async def run() -> tuple[Any, Any]:
        plan = FaultPlan(quirks=((one.id, Quirk.PROCESS_DOWN),))
        async with World(Roster.of([one]), 5, ScaledClock(START_S), faults=plan, asleep=[one.id]):
            return await v3(one.host, "get.miner.status", "summary"), await v3(one.host, "get.device.info")

    status, info = asyncio.run(run())
    assert (status["code"], status["msg"]) == (-1, "btminer process is down err")
    assert (info["msg"]["miner"]["working"], info["msg"]["error-code"]) == ("false", "btminer process is down err")
