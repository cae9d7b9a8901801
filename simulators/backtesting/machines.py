"""The machines of a backtest without a site file: so many of each model, from the catalogue of nameplates.

They run or sleep; with their ladder they may also run at every other point that the catalogue has. A restart takes ten
minutes unless told otherwise: what the market's published comparisons assume, longer than most firmware of today needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fleet.catalogue import NAMEPLATES, Nameplate
from fleet.columns import Floats
from fleet.machine import Machine, Mode, Roster
from fleet.units import WATTS_PER_MW

START_S = 600.0
"""Seconds of a restart at full power without a hash."""


class UnknownModel(LookupError):
    """A model that the catalogue does not have; the message lists those that it has."""


def nameplate_like(name: str) -> Nameplate:
    """The first row of the catalogue whose model is `name`, with or without the maker, spaces, hyphens or capitals.

    Raises:
        UnknownModel: there is none.
    """
    wanted = _plain(name)
    for row in NAMEPLATES:
        model = _plain(row.model)
        if wanted in (model, model.removeprefix("antminer"), model.removeprefix("whatsminer")):
            return row
    known = ", ".join(dict.fromkeys(row.model for row in NAMEPLATES))
    raise UnknownModel(f"--model {name!r}: no such nameplate, expected one of {known}")


def _plain(name: str) -> str:
    """A model's name without what people write differently."""
    return "".join(c for c in name.casefold() if c.isalnum())


def fleet_of(models: Sequence[str], machines: int, *, start_s: float = START_S, ladder: bool = False) -> Roster:
    """A roster of `machines` machines, the models taken in turn; `ladder`: with every operating point of the catalogue.

    Raises:
        UnknownModel: a model that the catalogue does not have.
    """
    plates = [nameplate_like(name) for name in models]
    return Roster.of([_machine(number, plates[number % len(plates)], start_s, ladder) for number in range(machines)])


def _machine(number: int, plate: Nameplate, start_s: float, ladder: bool) -> Machine:
    """One machine of a model; nobody ever connects to its address."""
    name = f"machine-{number + 1:05}"
    modes: tuple[Mode, ...] = plate.modes
    if not ladder:
        modes = tuple(mode for mode in modes if mode.name in (modes[0].name, plate.usual))
    return Machine(name, plate.model, plate.dialect, name, modes, plate.usual, start_s=start_s)


def with_start_cost(roster: Roster, usd_mw: float) -> Roster:
    """The same machines, each start costing wear of so many USD per MW of the usual mode."""
    usual_w = usual_power_w(roster)
    worn = zip(roster.machines, usual_w.tolist(), strict=True)
    return Roster(tuple(replace(m, wear_usd=usd_mw * watts / WATTS_PER_MW) for m, watts in worn), roster.tree)


def usual_power_w(roster: Roster) -> Floats:
    """Nameplate power of each machine's usual mode."""
    power: Floats = roster.modes.power_w[np.arange(len(roster)), roster.usual]
    return power


def with_start_s(roster: Roster, start_s: float) -> Roster:
    """The same machines, each restart taking so long."""
    return Roster(tuple(replace(machine, start_s=start_s) for machine in roster.machines), roster.tree)
