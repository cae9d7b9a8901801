"""Machine, Mode, the site's tree and the roster with its columns.

A machine's operating points (modes) are columns: column 0 is sleep, the others follow by rising power. Where a machine
stands is a path of names below the site ("feeder-a", "rack-3"); each place may carry a power cap, and what feeds a
machine is every place above it. The roster never changes while a daemon runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np

from fleet.columns import OFF_LADDER, UNKNOWN, Bools, Floats, Ints, freeze_columns, frozen

SLEEP = 0
"""The column of every machine's sleeping mode."""
SLEEP_NAME = "sleep"


@dataclass(frozen=True, slots=True)
class Mode:
    """One operating point: the firmware's own name for it, power at the wall in W, hash rate in TH/s."""

    name: str
    power_w: float
    hashrate_ths: float


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine as the site file describes it.

    `modes[0]` is sleep; the others rise in power. `usual` is the name of the mode it runs when nobody asks for another.
    `start_s` is how long it draws power without hashing when it wakes, `wear_usd` what one start costs in wear,
    `confirm_s` how long its firmware may take until a reading shows what was commanded.
    """

    id: str
    model: str
    dialect: str
    host: str
    modes: tuple[Mode, ...]
    usual: str
    place: tuple[str, ...] = ()
    ports: Mapping[str, int] = field(default_factory=dict)
    """The vendor's ports where they are mapped elsewhere: {"api": 14028, "web": 18080}; absent: the vendor's own."""
    start_s: float = 0.0
    wear_usd: float = 0.0
    confirm_s: float = 60.0

    def __post_init__(self) -> None:
        """A machine has a sleep mode and at least one other, of distinct names, by rising power."""
        names = [mode.name for mode in self.modes]
        powers = [mode.power_w for mode in self.modes]
        if len(names) < 2 or names[0] != SLEEP_NAME:
            raise ValueError(f"machine {self.id!r}: modes are {names}, expected {SLEEP_NAME!r} and at least one other")
        if len(set(names)) != len(names):
            raise ValueError(f"machine {self.id!r}: two modes have one name in {names}")
        if any(later <= earlier for earlier, later in pairwise(powers)):
            raise ValueError(f"machine {self.id!r}: powers are {powers} W, expected rising with the modes")
        if self.usual not in names[1:]:
            raise ValueError(f"machine {self.id!r}: usual mode {self.usual!r} is none of {names[1:]}")

    def mode_named(self, name: str) -> int:
        """The column of a mode by its name; OFF_LADDER when the machine has none of that name."""
        for column, mode in enumerate(self.modes):
            if mode.name == name:
                return column
        return OFF_LADDER


@dataclass(frozen=True, eq=False)
class Tree:
    """The places of a site: node 0 is the site, a parent stands before its children.

    `parent[m]` (the site's is -1), `cap_w[m]` (inf where there is none), `names[m]` the path ("feeder-a/rack-3"; the
    site's is "").
    """

    names: tuple[str, ...]
    parent: Ints
    cap_w: Floats

    def __post_init__(self) -> None:
        """Parents before children, one row per name."""
        if len(self.names) != len(self.parent) or len(self.names) != len(self.cap_w):
            raise ValueError("a tree has one parent and one cap per name")
        if self.parent[0] != UNKNOWN or any(not 0 <= self.parent[m] < m for m in range(1, len(self.names))):
            raise ValueError("a tree's parents stand before their children")
        freeze_columns(self)

    @classmethod
    def of(cls, places: Iterable[tuple[str, ...]], cap_w: Mapping[str, float] | None = None) -> Tree:
        """The tree that holds every place and all above it; caps by path, "" for the site's own."""
        paths: dict[tuple[str, ...], None] = {(): None}
        capped = [tuple(name.split("/")) for name in (cap_w or {}) if name]
        for place in [*places, *capped]:
            for depth in range(1, len(place) + 1):
                paths.setdefault(place[:depth])
        order = sorted(paths, key=len)
        row = {path: index for index, path in enumerate(order)}
        names = tuple("/".join(path) for path in order)
        parent = np.array([row[path[:-1]] if path else UNKNOWN for path in order], dtype=np.int64)
        caps = np.array([(cap_w or {}).get(name, np.inf) for name in names])
        return cls(names, parent, caps)

    @cached_property
    def row(self) -> Mapping[str, int]:
        """Node by its path."""
        return {name: index for index, name in enumerate(self.names)}

    @cached_property
    def member(self) -> Bools:
        """member[m, a]: node a is m itself or stands above it."""
        size = len(self.names)
        member = np.eye(size, dtype=np.bool_)
        for m in range(1, size):
            member[m] |= member[self.parent[m]]
        return frozen(member)

    @cached_property
    def capped(self) -> Ints:
        """The nodes that carry a cap."""
        return frozen(np.flatnonzero(np.isfinite(self.cap_w)))

    def totals(self, leaf: Ints, per_machine: Floats) -> Floats:
        """total[m] of a per-machine quantity over everything below each node; leaf[n] is each machine's own node."""
        total: Floats = np.bincount(leaf, weights=per_machine, minlength=len(self.names)).astype(np.float64, copy=False)
        for m in range(len(self.names) - 1, 0, -1):
            total[self.parent[m]] += total[m]
        return total


@dataclass(frozen=True, eq=False)
class ModeColumns:
    """power_w[n, k], hashrate_ths[n, k] and exists[n, k]; cells that do not exist hold 0 W, 0 TH/s and False."""

    power_w: Floats
    hashrate_ths: Floats
    exists: Bools

    def __post_init__(self) -> None:
        """Read-only."""
        freeze_columns(self)

    @classmethod
    def of(cls, ladders: Sequence[Sequence[Mode]]) -> ModeColumns:
        """Columns of n ladders, padded to the longest."""
        n, k = len(ladders), max((len(ladder) for ladder in ladders), default=2)
        power, rate, exists = np.zeros((n, k)), np.zeros((n, k)), np.zeros((n, k), dtype=np.bool_)
        for i, ladder in enumerate(ladders):
            for j, mode in enumerate(ladder):
                power[i, j], rate[i, j], exists[i, j] = mode.power_w, mode.hashrate_ths, True
        return cls(power, rate, exists)


@dataclass(frozen=True, eq=False)
class Roster:
    """Every machine of a site, in one fixed order, with the tree that feeds them."""

    machines: tuple[Machine, ...]
    tree: Tree

    def __post_init__(self) -> None:
        """No two machines of one id or one address; every place in the tree."""
        seen: dict[str, str] = {}
        for machine in self.machines:
            address = f"{machine.host} {sorted(machine.ports.items())}"
            for key in (f"id {machine.id}", f"address {address}"):
                if key in seen:
                    raise ValueError(f"machine {machine.id!r}: {key} is that of machine {seen[key]!r} too")
                seen[key] = machine.id
            if "/".join(machine.place) not in self.tree.row:
                raise ValueError(f"machine {machine.id!r}: place {'/'.join(machine.place)!r} is not in the tree")

    def __len__(self) -> int:
        """How many machines."""
        return len(self.machines)

    @classmethod
    def of(cls, machines: Sequence[Machine], cap_w: Mapping[str, float] | None = None) -> Roster:
        """A roster with the tree that its machines' places span."""
        return cls(tuple(machines), Tree.of((machine.place for machine in machines), cap_w))

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Row by machine id."""
        return {machine.id: row for row, machine in enumerate(self.machines)}

    @cached_property
    def modes(self) -> ModeColumns:
        """Operating points as columns."""
        return ModeColumns.of([machine.modes for machine in self.machines])

    @cached_property
    def leaf(self) -> Ints:
        """leaf[n]: the node of the tree on which each machine hangs."""
        row = self.tree.row
        return frozen(np.array([row["/".join(m.place)] for m in self.machines], dtype=np.int64))

    @cached_property
    def usual(self) -> Ints:
        """usual[n]: the column of each machine's usual mode."""
        return frozen(np.array([m.mode_named(m.usual) for m in self.machines], dtype=np.int64))

    @cached_property
    def start_s(self) -> Floats:
        """start_s[n]: seconds at power without a hash after a wake."""
        return frozen(np.array([m.start_s for m in self.machines], dtype=np.float64))

    @cached_property
    def wear_usd(self) -> Floats:
        """wear_usd[n]: wear of one start."""
        return frozen(np.array([m.wear_usd for m in self.machines], dtype=np.float64))

    @cached_property
    def confirm_s(self) -> Floats:
        """confirm_s[n]: how long a command may stay unconfirmed."""
        return frozen(np.array([m.confirm_s for m in self.machines], dtype=np.float64))

    @cached_property
    def worst_w(self) -> Floats:
        """worst_w[n]: the most that each machine can draw."""
        return frozen(self.modes.power_w.max(axis=1, initial=0.0))

    def within(self, scope: str) -> Bools:
        """within[n]: the machines that a scope names: "site", a place's path, or a machine's id.

        Raises:
            KeyError: the scope is neither.
        """
        if scope == "site":
            return np.ones(len(self), dtype=np.bool_)
        if scope in self.index:
            only = np.zeros(len(self), dtype=np.bool_)
            only[self.index[scope]] = True
            return only
        below: Bools = self.tree.member[self.leaf, self.tree.row[scope]]
        return below
