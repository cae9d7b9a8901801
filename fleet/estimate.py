"""estimate(): from the last beliefs and a snapshot to the present beliefs.

Pure and level-triggered: it compares what each machine shows now with what we believed and asked for. A mode that we
asked for and now see is done; one that we see without having asked is somebody else's hand, unless the machine rebooted;
a command without an answer in the machine's own time has failed, and the machine counts at its worst case until it says otherwise.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np

from fleet.columns import UNKNOWN, Bools, Codes, Floats
from fleet.command import OutcomeKind
from fleet.machine import SLEEP, Roster
from fleet.reading import State
from fleet.settings import Seconds, Settings
from fleet.snapshot import Snapshot
from fleet.view import View

_SMOOTHING = 0.2
_SCALE_LEAST, _SCALE_MOST = 0.5, 1.5


class Beliefs(Settings):
    """How long beliefs last, and how failures are answered (the site file's [beliefs])."""

    silent_after_s: Seconds = 120
    """A machine that has given no reading for so long counts at its worst case and is not commanded."""
    back_off_s: Seconds = 30
    """Wait after a failed command; doubles with each further failure."""
    back_off_most_s: Seconds = 1800
    """The longest such wait."""
    quarantine_after: int = 5
    """So many failures in a row, and the machine is left alone until it is released or `quarantine_s` is over."""
    quarantine_s: Seconds = 14_400
    """How long a quarantine lasts."""
    hand_s: Seconds = 14_400
    """How long a change by somebody else holds (an order to release ends it)."""
    confirm_slack_s: Seconds = 30
    """Beyond a machine's own time to confirm, before a command without any outcome counts as failed."""


def estimate(view: View, snapshot: Snapshot, roster: Roster, beliefs: Beliefs) -> View:
    """The beliefs at `snapshot.at_s`. Shapes as in View; never looks at anything but its arguments."""
    heard, at_s = snapshot.heard, snapshot.at_s
    heard_s = np.fmax(heard.at_s, view.heard_s)
    fresh = heard_s > view.heard_s
    known = fresh & (heard.mode != UNKNOWN)
    mode = np.where(known, heard.mode, view.mode)
    state = np.where(fresh, heard.state, view.state)
    pending = view.wanted != UNKNOWN
    done = pending & known & (mode == view.wanted) & (heard_s > view.sent_s)
    failed = _failed(view, snapshot, roster, beliefs, pending & ~done)
    failures = np.where(done, 0, view.failures + failed).astype(np.int16)
    retry_s = view.retry_s
    if failed.any():
        retry_s = np.where(failed, at_s + back_off(failures, beliefs), retry_s)
    doubt = _doubt(view, heard_s, failed | done, done, known)
    changed = known & (mode != view.mode) & (view.mode != UNKNOWN)
    # A reboot brings a machine back in whatever its firmware prefers: its doing, nobody's hand.
    rebooted = fresh & (heard.uptime_s < view.uptime_s - 1.0)
    strange = changed & ~done & ~rebooted & (mode != view.doubt) & (mode != view.wanted)
    changed_s = np.where(changed | (known & (view.mode == UNKNOWN)), heard_s, view.changed_s)
    # A machine that is asleep but not by us was put there by somebody, or was found so at the first look.
    asleep_why = np.where(known & (mode != SLEEP), UNKNOWN, view.asleep_why).astype(np.int16)
    asleep_why = np.where(view.wanted == SLEEP, view.asleep_why, asleep_why).astype(np.int16)
    power_scale, rate_scale = _scales(view, snapshot, roster, mode, state, fresh)
    resolved = failed | done
    return replace(
        view,
        at_s=at_s,
        mode=mode.astype(np.int16),
        state=state.astype(np.int16),
        heard_s=heard_s,
        changed_s=changed_s,
        looked=view.looked | ~np.isnan(heard.asked_s),
        uptime_s=np.where(fresh & ~np.isnan(heard.uptime_s), heard.uptime_s, view.uptime_s),
        wanted=np.where(resolved, UNKNOWN, view.wanted).astype(np.int16),
        doubt=doubt,
        failures=failures,
        retry_s=retry_s,
        hand_s=np.where(strange, heard_s, view.hand_s),
        fault_s=np.where(fresh & (heard.state == State.FAULTED), heard_s, view.fault_s),
        asleep_why=asleep_why,
        regret_usd=np.where(changed & ((mode == SLEEP) != (view.mode == SLEEP)), 0.0, view.regret_usd),
        power_scale=power_scale,
        rate_scale=rate_scale,
        worst_w=_worst_w(view, snapshot, roster, beliefs, mode, heard_s, resolved, doubt, power_scale),
    )


def back_off(failures: Codes, beliefs: Beliefs) -> Floats:
    """wait_s[n] after so many failures in a row; a quarantine from `quarantine_after` on."""
    waits = np.minimum(beliefs.back_off_s * 2.0 ** np.clip(failures - 1, 0, 20), beliefs.back_off_most_s)
    return np.where(failures >= beliefs.quarantine_after, beliefs.quarantine_s, waits)


def silent(view: View, beliefs: Beliefs) -> Bools:
    """silent[n]: no reading for longer than the site file allows, or never one."""
    return view.at_s - view.heard_s > beliefs.silent_after_s


def _failed(view: View, snapshot: Snapshot, roster: Roster, beliefs: Beliefs, waiting: Bools) -> Bools:
    """failed[n]: a pending command that was refused, lost, not confirmed, or never heard of again."""
    overdue: Bools = snapshot.at_s > view.sent_s + roster.confirm_s + beliefs.confirm_slack_s
    outcomes = snapshot.outcomes
    if len(outcomes):
        bad = (outcomes.kind != OutcomeKind.DONE) & (view.wanted[outcomes.machine] == outcomes.mode)
        bad &= outcomes.at_s >= view.sent_s[outcomes.machine]
        overdue = overdue.copy()
        overdue[outcomes.machine[bad]] = True
    return waiting & overdue


def _doubt(view: View, heard_s: Floats, resolved: Bools, done: Bools, known: Bools) -> Codes:
    """doubt[n]: a command that failed may still take hold, until a later reading shows where the machine is."""
    cleared = done | (known & ~resolved & (view.wanted == UNKNOWN))
    doubt = np.where(cleared, UNKNOWN, view.doubt)
    return np.where(resolved & ~done, view.wanted, doubt).astype(np.int16)


def _scales(
    view: View, snapshot: Snapshot, roster: Roster, mode: Codes, state: Codes, fresh: Bools
) -> tuple[Floats, Floats]:
    """Measured over nameplate, smoothed over readings; only of machines that hash on a known operating point."""
    heard = snapshot.heard
    steady = fresh & (mode > SLEEP) & (state == State.HASHING)
    if not steady.any():
        return view.power_scale, view.rate_scale
    rows = np.flatnonzero(steady)
    column = mode[rows]
    power, rate = np.array(view.power_scale), np.array(view.rate_scale)
    for scale, said, plate in (
        (power, np.where(heard.measured[rows], heard.power_w[rows], np.nan), roster.modes.power_w[rows, column]),
        (rate, heard.hashrate_ths[rows], roster.modes.hashrate_ths[rows, column]),
    ):
        ratio = np.clip(said / plate, _SCALE_LEAST, _SCALE_MOST)
        scale[rows] += np.where(np.isnan(ratio), 0.0, _SMOOTHING * (ratio - scale[rows]))
    return power, rate


def _worst_w(
    view: View,
    snapshot: Snapshot,
    roster: Roster,
    beliefs: Beliefs,
    mode: Codes,
    heard_s: Floats,
    resolved: Bools,
    doubt: Codes,
    power_scale: Floats,
) -> Floats:
    """worst_w[n]: the most that each machine may draw now, given all that could be true of it."""
    plate, rows = roster.modes.power_w, np.arange(len(roster))
    scale = np.maximum(power_scale, 1.0)
    measured = np.where(snapshot.heard.measured, snapshot.heard.power_w, 0.0)
    shown = np.fmax(np.where(mode >= 0, plate[rows, np.maximum(mode, 0)] * scale, 0.0), np.where(mode == SLEEP, 0.0, measured))
    lost = (snapshot.at_s - heard_s > beliefs.silent_after_s) | (mode == UNKNOWN)
    lost |= (mode < 0) & ~snapshot.heard.measured
    worst = np.where(lost, roster.worst_w * scale, shown)
    for asked in (np.where(resolved, UNKNOWN, view.wanted), doubt):
        if (asked >= 0).any():
            worst = np.where(asked >= 0, np.maximum(worst, plate[rows, np.maximum(asked, 0)] * scale), worst)
    return worst


def worst_of_all(roster: Roster) -> float:
    """W that the site draws with every machine at its worst; for checks of caps and brakes at load."""
    return float(roster.worst_w.sum()) if len(roster) else -inf
