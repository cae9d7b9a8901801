"""Faults: how the pretend machines misbehave on the wire, decided by a seed and never by the order of things.

A plan is frozen: chances per exchange for everybody or for a share of the machines, and a schedule of what one machine
does between two times. Whether the k-th exchange of a machine goes wrong is a pure function of the seed, the machine
and k, so that a day on the virtual clock can be played again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b

import numpy as np


class Fault(StrEnum):
    """What may go wrong in one exchange."""

    DROP = "drop"
    """The connection is cut instead of an answer."""
    DELAY = "delay"
    """The answer is late (the world's seconds)."""
    SPLIT = "split"
    """The answer comes in pieces."""
    GARBLE = "garble"
    """The answer is broken in its middle."""
    REFUSE = "refuse"
    """The machine says no."""
    TRICKLE = "trickle"
    """The answer comes at one byte a second (real time)."""
    FLOOD = "flood"
    """An answer begins and does not end before two gigabytes."""
    HANG = "hang"
    """No answer, and the connection stays open."""
    REBOOT = "reboot"
    """The machine restarts instead of answering and is dark until it is back."""
    LIE = "lie"
    """A write is confirmed and not done. Reads are not touched."""


class Quirk(StrEnum):
    """A firmware's own way, known from other people's code and not from a capture: documented only."""

    PROCESS_DOWN = "process down"
    """A stopped WhatsMiner answers get.miner.status with "btminer process is down err" instead of zeros."""


@dataclass(frozen=True, slots=True)
class Chances:
    """Probability per exchange of each fault; `lie` counts writes only. `delay_s` is the mean of an exponential."""

    drop: float = 0.0
    delay: float = 0.0
    split: float = 0.0
    garble: float = 0.0
    refuse: float = 0.0
    trickle: float = 0.0
    flood: float = 0.0
    hang: float = 0.0
    reboot: float = 0.0
    lie: float = 0.0
    delay_s: float = 3.0

    def __post_init__(self) -> None:
        """Probabilities, and together no more than one."""
        each = [getattr(self, fault.value) for fault in Fault]
        if min(each) < 0 or sum(each) > 1:
            raise ValueError(f"chances are {each}, expected each 0 or more and together 1 at most")


@dataclass(frozen=True, slots=True)
class Affliction:
    """A share of the machines, drawn from the seed, that has its own chances."""

    share: float
    chances: Chances


@dataclass(frozen=True, slots=True)
class Scheduled:
    """One machine shows one fault in every exchange from `from_s` until `until_s` (UTC seconds of the world)."""

    machine: str
    fault: Fault
    from_s: float = -np.inf
    until_s: float = np.inf


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Everything that will go wrong, and how likely. The default is a world without faults."""

    everyone: Chances = field(default_factory=Chances)
    afflictions: tuple[Affliction, ...] = ()
    schedule: tuple[Scheduled, ...] = ()
    quirks: tuple[tuple[str, Quirk], ...] = ()
    """(machine id, quirk)"""


@dataclass(frozen=True, slots=True)
class Mishap:
    """A fault in one exchange; `delay_s` for a late answer."""

    fault: Fault
    delay_s: float = 0.0


class Faults:
    """The plan at work for the machines `ids`, in their roster's order."""

    def __init__(self, plan: FaultPlan, ids: Sequence[str], seed: int) -> None:
        self._seed = seed
        self._exchanges = [0] * len(ids)
        self._chances = [plan.everyone] * len(ids)
        draw = np.random.default_rng([seed, 5]).random((len(plan.afflictions), len(ids)))
        for affliction, places in zip(plan.afflictions, draw, strict=True):
            for row in np.flatnonzero(places < affliction.share):
                self._chances[row] = affliction.chances
        self._schedule: dict[int, list[Scheduled]] = {}
        row_of = {machine: row for row, machine in enumerate(ids)}
        for item in plan.schedule:
            self._schedule.setdefault(row_of[item.machine], []).append(item)
        self.quirks = frozenset((row_of[machine], quirk) for machine, quirk in plan.quirks)
        self._calm = plan.everyone == Chances() and not plan.afflictions

    def next(self, row: int, at_s: float, *, write: bool) -> Mishap | None:
        """What goes wrong in the next exchange of machine `row`, if anything."""
        for item in self._schedule.get(row, ()):
            if item.from_s <= at_s < item.until_s and (write or item.fault is not Fault.LIE):
                return Mishap(item.fault, self._chances[row].delay_s)
        if self._calm:
            return None
        self._exchanges[row] += 1
        digest = blake2b(f"{self._seed}/{row}/{self._exchanges[row]}".encode(), digest_size=16).digest()
        place = int.from_bytes(digest[:8], "big") / 2**64
        chances = self._chances[row]
        for fault in Fault:
            place -= getattr(chances, fault.value)
            if place < 0:
                if fault is Fault.LIE and not write:
                    return None
                late = -np.log1p(-int.from_bytes(digest[8:], "big") / 2**64) * chances.delay_s
                return Mishap(fault, float(late))
        return None
