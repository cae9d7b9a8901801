"""plan(): from what was chosen to what is sent now.

Reductions that safety or an emergency asks for go at once. Everything else waits for the first full look, one command at
a time per machine, the back-off after failures, dwell, ramp, stagger and the brake; and power goes up only where every
cap above still holds with all machines at their worst case. What does not go now is decided anew at the next tick.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from fleet.columns import UNKNOWN, Bools, Codes, Floats, Ints
from fleet.command import Commands
from fleet.estimate import silent
from fleet.machine import SLEEP
from fleet.settings import PowerKilowatts, PowerMegawatts, Seconds, Settings
from fleet.units import WATTS_PER_MW
from fleet.view import Move
from policies.choices import Choices
from policies.dispatch.relaxed import ROUNDING
from policies.scene import Scene

_MINUTE_S = 60.0
WAITS = (
    "first full look",
    "not reachable or not known",
    "back-off",
    "dwell",
    "brake",
    "ramp down",
    "caps at the worst case",
    "ramp up",
    "stagger",
)
"""What a decision may wait for; `Planned.waits` indexes it."""


class Pace(Settings):
    """How fast the site may change (the site file's [pace])."""

    min_up_s: Seconds = 600
    """For money alone, a machine stays awake at least so long."""
    min_down_s: Seconds = 300
    """For money alone, a machine stays asleep at least so long."""
    min_step_s: Seconds = 120
    """For money alone, between two steps of its ladder."""
    step_earns_back_s: Seconds = 1_800
    """A step of the ladder is taken when it earns back within so long the hashes that the machine loses by it."""
    ramp_up_kw_min: PowerKilowatts | None = None
    """Power that may be added in any minute."""
    ramp_down_kw_min: PowerKilowatts | None = None
    """Power that may be shed in any minute, but for safety and emergencies."""
    starts_per_feeder: Annotated[int, Field(ge=1, le=100_000)] = 25
    """Machines of one feeder that may start in any `starts_window_s`: inrush trips breakers."""
    starts_window_s: Seconds = 10
    brake_mw: PowerMegawatts | None = None
    """Power that may move in any `brake_s` for money alone on one uncorroborated signal."""
    brake_s: Seconds = 600

    def dwell_s(self, *, asleep: bool, to_sleep: bool) -> float:
        """How long a machine stands still before a change for money."""
        if asleep:
            return self.min_down_s
        return self.min_up_s if to_sleep else self.min_step_s

    @property
    def memory_s(self) -> float:
        """How long past moves matter."""
        return max(_MINUTE_S, self.starts_window_s, self.brake_s)


@dataclass(frozen=True, eq=False, slots=True)
class Footing:
    """What planning stands on beside the scene.

    `live[n]`: rows under live control. `counts[n]`: rows whose decisions count for caps and pace: the live ones, or all
    while none is live, so that a dry run shows a whole site. `expected_w[n]`: what each draws once the commands under way
    are carried out. `forced[n]`: the present point was taken away by a kind stronger than money. `feeder[n]`: the node of
    the tree whose starts are staggered together. `cap_w[m]` now in force, `emergency[m]`: an emergency's is among them.
    `corroborated`: do two sources agree on the price? `whys[n]`: reason code of each row's target;
    `cap_reason` and `money_reason` are those of a cap of the tree and of what earns most.
    """

    live: Bools
    counts: Bools
    expected_w: Floats
    forced: Bools
    feeder: Ints
    cap_w: Floats
    emergency: Bools
    corroborated: bool
    whys: Codes
    cap_reason: int
    money_reason: int


@dataclass(frozen=True, eq=False, slots=True)
class Planned:
    """Commands to send now, and the move that they make.

    `held_back` counts rows that wait, by what they wait for; `waits[n]` says what each waits for (an index into WAITS, -1:
    nothing; None: no row waits).
    """

    commands: Commands
    move: Move | None
    held_back: tuple[tuple[str, int], ...] = ()
    waits: Codes | None = None


def plan(scene: Scene, choices: Choices, footing: Footing, pace: Pace) -> Planned:
    """What to send now. `choices.target` must be set."""
    assert choices.target is not None
    view, roster = scene.view, scene.roster
    target, standing = choices.target, view.standing
    differs = target != standing
    if not differs.any():
        return Planned(Commands.none(), None)
    rows = np.arange(len(roster))
    target_w = roster.modes.power_w[rows, target] * np.maximum(view.power_scale, 1.0)
    # In a dry run the site is the imagined one; beside live rows the others are what they really are.
    worst_w = np.where(footing.live | ~footing.counts, view.worst_w, footing.expected_w)
    gain, delta_w = _gain(choices, target, standing), target_w - worst_w
    # Already on its way there: asked once is asked. A machine on its way elsewhere is overtaken only in an emergency.
    lower = differs & (view.wanted != target) & ((delta_w < 0) | (target == SLEEP))
    expected_w = footing.expected_w
    emergency = _shed(scene, footing, gain, expected_w, target_w, lower & ~choices.urgent, footing.emergency)
    urgent = lower & (choices.urgent | emergency)
    held = _Held(len(roster))
    going = differs & ~urgent & (view.wanted == UNKNOWN)
    if choices.pinned is not None:
        going &= ~choices.pinned
    if not view.looked.all():
        going = held.back("first full look", going, np.zeros(len(roster), np.bool_))
    going = held.back("not reachable or not known", going, _commandable(scene, footing))
    going = held.back("back-off", going, view.at_s >= view.retry_s)
    going = _keep_setpoints(going, standing, target)
    # What has to go for a cap to hold goes before dwell, ramp and brake.
    expected_w = np.where(urgent, target_w, expected_w)
    shed = _shed(scene, footing, gain, expected_w, target_w, going & (delta_w < 0), np.isfinite(footing.cap_w))
    money = ~footing.forced & ~shed
    going = held.back("dwell", going, ~money | _rested(scene, pace, target))
    paced = _paced(scene, footing, pace, held, going & ~shed & footing.counts, money, gain, delta_w, target)
    free = going & ~shed & ~footing.counts
    send = np.flatnonzero(urgent | shed | paced | free)
    if not len(send):
        return Planned(Commands.none(), None, tuple(held.counts), held.waits)
    commands = Commands(
        machine=send,
        mode=target[send].astype(np.int64),
        why=np.where(shed & (footing.whys == footing.money_reason), footing.cap_reason, footing.whys)[send],
        urgent=urgent[send],
        live=footing.live[send],
        whys=choices.reasons,
    )
    moved = np.flatnonzero(paced)
    starts = moved[standing[moved] == SLEEP]
    moved_w, rises = delta_w[moved], target[moved] > standing[moved]
    move = Move(
        at_s=view.at_s,
        up_w=float(np.maximum(moved_w, 0.0).sum()),
        down_w=float(np.maximum(-moved_w[~rises], 0.0).sum()),
        money_w=float(np.abs(moved_w[money[moved]]).sum()),
        starts=np.bincount(footing.feeder[starts], minlength=len(roster.tree.names)),
    )
    return Planned(commands, move, tuple(held.counts), held.waits)


def _paced(
    scene: Scene,
    footing: Footing,
    pace: Pace,
    held: _Held,
    paced: Bools,
    money: Bools,
    gain: Floats,
    delta_w: Floats,
    target: Codes,
) -> Bools:
    """Those that the brake, the ramps, the caps at the worst case and the stagger let go now."""
    standing = scene.view.standing
    if pace.brake_mw is not None and not footing.corroborated:
        left_w = _left_w(scene, pace.brake_s, pace.brake_mw * WATTS_PER_MW, "money_w")
        paced = held.back("brake", paced, ~money | _within(gain, np.abs(delta_w), paced & money, left_w))
    # A machine that may be awake already counts at its power, and a start is a start all the same.
    rises = (delta_w > 0) | ((standing == SLEEP) & (target != SLEEP))
    down, up = paced & ~rises, paced & rises
    if pace.ramp_down_kw_min is not None and down.any():
        left_w = _left_w(scene, _MINUTE_S, pace.ramp_down_kw_min * 1e3, "down_w")
        down = held.back("ramp down", down, _within(gain, -delta_w, down, left_w))
    if up.any():
        worst_w = np.where(footing.live | ~footing.counts, scene.view.worst_w, footing.expected_w)
        up = held.back("caps at the worst case", up, _headroom(scene, footing, gain, up, worst_w, delta_w))
        if pace.ramp_up_kw_min is not None:
            left_w = _left_w(scene, _MINUTE_S, pace.ramp_up_kw_min * 1e3, "up_w")
            up = held.back("ramp up", up, _within(gain, np.maximum(delta_w, 0.0), up, left_w))
        up = held.back("stagger", up, _staggered(scene, footing, pace, gain, up & (standing == SLEEP)))
    moving: Bools = down | up
    return moving


class _Held:
    """Who waits, and for what, as the plan goes through its limits."""

    def __init__(self, n: int) -> None:
        self.counts: list[tuple[str, int]] = []
        self.waits: Codes | None = None
        self._n = n

    def back(self, why: str, going: Bools, may: Bools) -> Bools:
        """Those that may go; the rest is noted under what it waits for."""
        left = going & may
        waiting = np.flatnonzero(going & ~may)
        if len(waiting):
            self.counts.append((why, len(waiting)))
            if self.waits is None:
                self.waits = np.full(self._n, UNKNOWN, np.int16)
            self.waits[waiting] = WAITS.index(why)
        return left


def _commandable(scene: Scene, footing: Footing) -> Bools:
    """Rows whose mode is known and that answered lately; a row that only decides in shadow needs a known standing."""
    view = scene.view
    heard = ~silent(view, scene.beliefs) & (view.mode != UNKNOWN)
    may: Bools = np.where(footing.live, heard, view.standing != UNKNOWN)
    return may


def _rested(scene: Scene, pace: Pace, target: Codes) -> Bools:
    """Has it stood long enough for a change for money?"""
    standing = scene.view.standing
    dwell_s = np.where(standing == SLEEP, pace.min_down_s, np.where(target == SLEEP, pace.min_up_s, pace.min_step_s))
    rested: Bools = scene.view.changed_s <= scene.view.at_s - dwell_s
    return rested


def _keep_setpoints(going: Bools, standing: Codes, target: Codes) -> Bools:
    """A setpoint that is none of the ladder's is somebody's choice: only sleep replaces it."""
    kept: Bools = going & ((standing >= 0) | (target == SLEEP))
    return kept


def _gain(choices: Choices, target: Codes, standing: Codes) -> Floats:
    """What the change earns per hour: who goes first. 0 where no price is known."""
    if choices.value_usd_h is None:
        return np.zeros(len(target))
    rows = np.arange(len(target))
    value = choices.value_usd_h
    gain: Floats = np.nan_to_num(value[rows, target] - value[rows, np.maximum(standing, 0)])
    return gain


def _order(gain: Floats, rows: Ints, power_w: Floats) -> Ints:
    """Rows by what they earn per W moved, best first; equal ones by gain."""
    per_w = gain[rows] / np.maximum(power_w[rows], 1.0)
    return rows[np.lexsort((-gain[rows], -per_w))]


def _within(gain: Floats, power_w: Floats, asking: Bools, left_w: float) -> Bools:
    """The best of those asking whose power together stays within `left_w`; all others pass."""
    rows = np.flatnonzero(asking)
    may = np.ones(len(asking), np.bool_)
    if power_w[rows].sum() <= left_w:
        return may
    order = _order(gain, rows, power_w)
    may[order[np.cumsum(power_w[order]) > left_w]] = False
    return may


def _left_w(scene: Scene, window_s: float, most_w: float, what: Literal["up_w", "down_w", "money_w"]) -> float:
    """What is left of an allowance over a sliding window, after the moves in it."""
    at_s = scene.view.at_s
    gone: float = sum(getattr(move, what) for move in scene.view.moves if at_s - move.at_s < window_s)
    return max(most_w - gone, 0.0)


def _shed(
    scene: Scene, footing: Footing, gain: Floats, expected_w: Floats, target_w: Floats, going: Bools, nodes: Bools
) -> Bools:
    """The best of those going down that it takes to bring these places below their caps, once all under way is done."""
    tree, leaf = scene.roster.tree, scene.roster.leaf
    shed = np.zeros(len(leaf), np.bool_)
    if not nodes.any() or not going.any():
        return shed
    excess = tree.totals(leaf, np.where(footing.counts, expected_w, scene.view.worst_w))
    excess -= footing.cap_w * (1.0 + ROUNDING)
    less_w = expected_w - target_w
    rows = np.flatnonzero(going & (less_w > 0))
    rows = _order(gain, rows, less_w)
    # The deepest places first: what they shed helps those above.
    for m in np.flatnonzero((excess > 0) & nodes)[::-1]:
        below = rows[tree.member[leaf[rows], m]]
        done_w = less_w[below[shed[below]]].sum()
        more = below[~shed[below]]
        before_w = np.cumsum(less_w[more]) - less_w[more] + done_w
        shed[more[before_w < excess[m]]] = True
    return shed


def _headroom(scene: Scene, footing: Footing, gain: Floats, up: Bools, worst_w: Floats, delta_w: Floats) -> Bools:
    """The best of those going up for which every cap above still holds with all machines at their worst."""
    tree, leaf = scene.roster.tree, scene.roster.leaf
    may = np.ones(len(up), np.bool_)
    nodes = np.flatnonzero(np.isfinite(footing.cap_w))
    if not len(nodes):
        return may
    room = footing.cap_w * (1.0 + ROUNDING) - tree.totals(leaf, worst_w)
    more_w = np.maximum(delta_w, 0.0)
    asked = tree.totals(leaf, np.where(up, more_w, 0.0))
    if (asked[nodes] <= room[nodes]).all():
        return may
    order = _order(gain, np.flatnonzero(up), delta_w)
    for m in nodes[::-1]:
        below = order[tree.member[leaf[order], m] & may[order]]
        may[below[np.cumsum(more_w[below]) > room[m]]] = False
    return may


def _staggered(scene: Scene, footing: Footing, pace: Pace, gain: Floats, starting: Bools) -> Bools:
    """The best starts of each feeder, no more than the window has left; all others pass."""
    may = np.ones(len(starting), np.bool_)
    rows = np.flatnonzero(starting)
    if not len(rows):
        return may
    left = np.full(len(scene.roster.tree.names), pace.starts_per_feeder, np.int64)
    for move in scene.view.moves:
        if scene.view.at_s - move.at_s < pace.starts_window_s:
            left -= move.starts
    order = rows[np.lexsort((-gain[rows], footing.feeder[rows]))]
    feeder = footing.feeder[order]
    first = np.searchsorted(feeder, feeder, side="left")
    place = np.arange(len(order)) - first
    may[order[place >= np.maximum(left[feeder], 0)]] = False
    return may
