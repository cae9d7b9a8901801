"""Fixtures of the pretend world's tests: addresses of one's own, machines, and a world that runs while a test does."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fleet.catalogue import ANTMINER, LUXOS, WHATSMINER, nameplate
from fleet.machine import Machine, Roster

CAPTURES = Path(__file__).parent / "captures"
MODELS = {LUXOS: "Antminer S19k Pro", ANTMINER: "Antminer S19j Pro", WHATSMINER: "WhatsMiner M60S"}


@pytest.fixture
def captures() -> Path:
    """Where the captured replies are."""
    return CAPTURES


@pytest.fixture(scope="session")
def block() -> str:
    """The first three numbers of addresses that no other test process uses now."""
    pid = os.getpid()
    return f"127.{100 + pid % 120}.{pid // 120 % 250}"


@pytest.fixture
def machine(block: str) -> Callable[..., Machine]:
    """Makes a machine of a dialect by its number; keywords replace fields."""

    def make(dialect: str, number: int = 1, **fields: object) -> Machine:
        plate = nameplate(str(fields.pop("model", MODELS[dialect])), dialect)
        given: dict[str, object] = {
            "id": f"{dialect}-{number}",
            "model": plate.model,
            "dialect": dialect,
            "host": f"{block}.{number}",
            "modes": plate.modes,
            "usual": plate.usual,
            "start_s": plate.start_s,
        }
        return Machine(**(given | fields))  # type: ignore[arg-type]

    return make


@pytest.fixture
def trio(machine: Callable[..., Machine]) -> Roster:
    """One machine of each dialect: LuxOS on .1, stock Antminer on .2, WhatsMiner on .3."""
    return Roster.of([machine(dialect, number) for number, dialect in enumerate(MODELS, 1)])


@pytest.fixture(scope="session")
def vendor_ports() -> None:
    """Skips where the vendors' ports may not be bound."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.255.255.253", 80))
        except PermissionError:
            pytest.skip("port 80 may not be bound: third-party clients know no other port for Antminers")


Until = Callable[[Callable[[], bool]], Awaitable[None]]


@pytest.fixture
def until() -> Until:
    """Waits until a condition holds, ten real seconds at most."""

    async def wait(holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10.0):
            while not holds():
                await asyncio.sleep(0.01)

    return wait
