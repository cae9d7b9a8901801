"""The dialects: one file each, and the table that says which name opens which.

A dialect is captured replies, a file here with `parse` (pure) and a thin Driver, and one row in `DIALECTS`. Modules
are imported when a machine needs them: the library drivers bring heavy packages along.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final, Protocol, cast

from fleet.driver import Driver
from fleet.links import READ_DEADLINE_S, WRITE_DEADLINE_S, Credentials
from fleet.machine import Machine


class Opener(Protocol):
    """Makes a machine's driver; nothing is sent yet."""

    def __call__(
        self, machine: Machine, credentials: Credentials, *, read_deadline_s: float, write_deadline_s: float
    ) -> Driver:
        """Deadlines are for each exchange, in real seconds."""
        ...


DIALECTS: Final[dict[str, tuple[str, str]]] = {
    "luxos": ("fleet.drivers.luxos", "LuxOS"),
    "antminer": ("fleet.drivers.antminer", "Antminer"),
    "whatsminer-v3": ("fleet.drivers.whatsminer_v3", "WhatsMinerV3"),
    "asic-rs": ("fleet.drivers.library_asicrs", "AsicRs"),
    "pyasic": ("fleet.drivers.library_pyasic", "PyAsic"),
}
"""Dialect by its name in the site file: the module, and the opener in it."""


def open_driver(
    machine: Machine,
    credentials: Credentials,
    *,
    read_deadline_s: float = READ_DEADLINE_S,
    write_deadline_s: float = WRITE_DEADLINE_S,
) -> Driver:
    """The driver of a machine by its dialect; nothing is sent yet.

    Raises:
        LookupError: no such dialect; the message names those there are.
    """
    if machine.dialect not in DIALECTS:
        raise LookupError(
            f"machine {machine.id!r}: unknown dialect {machine.dialect!r}, expected one of {', '.join(DIALECTS)}"
        )
    module, name = DIALECTS[machine.dialect]
    opener = cast("Opener", getattr(import_module(module), name))
    return opener(machine, credentials, read_deadline_s=read_deadline_s, write_deadline_s=write_deadline_s)
