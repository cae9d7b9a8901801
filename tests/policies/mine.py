"""Machines that deliver a part of what they claim, exactly, to the sources that a test has: no wire, no chance, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fleet.estimate import Beliefs
from fleet.machine import Roster
from fleet.snapshot import Snapshot
from fleet.work.counted import Counted, Flaw
from fleet.work.pool_told import PoolTold
from fleet.work.proof.evidence import WORK_PER_THS_S
from policies.record import Record
from policies.switching import Threshold
from policies.tariff import IndexTariff
from policies.tick import Judgment
from tests.policies.conftest import LADDER, Bench, machine

STEP_S = 240.0
DIFFICULTY = 65_536.0


@dataclass
class Mine:
    """Machines that claim their nameplate and deliver a part of it, exactly, to the sources that a test has.

    Sources are "counters" (or "lies": counters that agree with the claim), "pool" and "tap".
    """

    delivers: tuple[float, ...]
    sources: tuple[str, ...]
    beliefs: Beliefs = Beliefs()
    price: float = 50.0
    foreign: float = 0.0
    """Of all shares of the first machine: for somebody else's worker."""
    metered: bool = False
    """The machines measure their power."""
    rejected: float = 0.0
    """Of all shares that the machines bring besides: by their own counters."""
    wrong: float = 0.0
    """Of all nonces that the machines find: hardware errors, by their own counters."""
    places: tuple[str, ...] = ()
    """Where the machines are; none: right at the site."""
    site: Bench = field(init=False)
    brought: Any = field(init=False)

    def __post_init__(self) -> None:
        """A bench of so many machines."""
        places = self.places or ("",) * len(self.delivers)
        roster = Roster.of([machine(f"m{i}", place) for i, place in enumerate(places)])
        live = np.ones(len(roster), np.bool_)
        self.site = Bench(Judgment(roster, IndexTariff(), switching=Threshold(), live=live, beliefs=self.beliefs))
        self.brought = np.zeros(len(roster))

    @property
    def judgment(self) -> Judgment:
        """The site's."""
        return self.site.judgment

    def tick(self) -> Record:
        """Four minutes later: everybody has worked for as long as it was awake."""
        site, n = self.site, len(self.delivers)
        rate = {mode.name: mode.hashrate_ths for mode in LADDER}
        claimed = np.array([rate[mode] for mode in site.modes()])
        site.at_s += STEP_S
        self.brought = self.brought + np.array(self.delivers) * claimed * STEP_S * WORK_PER_THS_S
        columns: dict[str, Any] = {"hashrate_ths": claimed}
        if self.metered:
            power = {mode.name: mode.power_w for mode in LADDER}
            columns |= {"power_w": [power[mode] for mode in site.modes()], "measured": np.ones(n, np.bool_)}
        if {"counters", "lies"} & set(self.sources):
            columns |= {
                "accepted_difficulty": self.brought / (self.delivers if "lies" in self.sources else 1.0),
                "counted_s": np.full(n, site.at_s),
                "share_difficulty": np.full(n, DIFFICULTY),
            }
        if self.rejected:
            good = self.brought / DIFFICULTY
            columns |= {"accepted": good, "rejected": good * self.rejected / (1 - self.rejected)}
        if self.wrong:
            columns |= {"hardware_errors": self.brought * self.wrong / (1 - self.wrong)}
        snapshot = site.snapshot(price=self.price, **columns)
        snapshot = replace(snapshot, counted=self._counted(), pool_told=self._told(snapshot))
        site.view, decision = self.judgment.tick(site.view, snapshot)
        site.number += 1
        for command in decision.commands:
            site.mode[command.machine] = command.mode
        return Record(site.number, snapshot, site.view, decision)

    def run(self, ticks: int) -> Record:
        """So many ticks; the last record."""
        for _ in range(ticks - 1):
            self.tick()
        return self.tick()

    def _counted(self) -> Counted | None:
        if "tap" not in self.sources:
            return None
        n, elapsed_s = len(self.delivers), self.site.number * STEP_S + STEP_S
        flawed = np.zeros((n, len(Flaw)))
        shares = self.brought / DIFFICULTY
        flawed[0, Flaw.FOREIGN] = shares[0] / (1 - self.foreign) * self.foreign
        return replace(
            Counted.nothing(n, self.site.at_s, 7),
            shares=shares,
            work=np.array(self.brought),
            exposure=np.full(n, elapsed_s / DIFFICULTY),
            connected=np.ones(n, np.bool_),
            difficulty=np.full(n, DIFFICULTY),
            last_s=np.full(n, self.site.at_s),
            flawed=flawed,
        )

    def _told(self, snapshot: Snapshot) -> PoolTold | None:
        if "pool" not in self.sources:
            return None
        nothing = PoolTold.nothing(len(self.delivers))
        return replace(nothing, heard_s=np.array(snapshot.heard.at_s), work=np.array(self.brought))
