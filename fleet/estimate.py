"""estimate(): from the last beliefs and a snapshot to the present beliefs.

Pure and level-triggered: it compares what each machine shows now with what we believed and asked for. A mode that we
asked for and now see is done; one that we see without having asked is somebody else's hand, unless the machine rebooted;
a command without an answer in the machine's own time has failed, and the machine counts at its worst until it says more.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Annotated

import numpy as np
from pydantic import Field

from fleet.columns import UNKNOWN, Bools, Codes, Floats
from fleet.command import OutcomeKind
from fleet.machine import SLEEP, Roster
from fleet.reading import State
from fleet.settings import Fraction, Seconds, Settings
from fleet.snapshot import Heard, Snapshot
from fleet.view import View
from fleet.work.counted import Counted
from fleet.work.pool_told import PoolTold
from fleet.work.proof.counters import observe
from fleet.work.proof.credited import credited
from fleet.work.proof.evidence import Evidence
from fleet.work.proof.faulty import ErrorCheck, Faulty, observe_faulty
from fleet.work.proof.losses import marked
from fleet.work.proof.pooled import observe_pool
from fleet.work.proof.proven import best
from fleet.work.proof.share_check import ShareCheck
from fleet.work.proof.spoilt import SpoilCheck, Spoilt, observe_spoilt
from fleet.work.proof.tapped import observe_counted

_SMOOTHING = 0.2
_SCALES = (0.5, 1.5)
_REBOOT_S = 90.0
"""Uptime that is shorter than it should be by so much is another boot's; less may be a clock that counts in minutes."""


class Beliefs(Settings):
    """How long beliefs last, and how failures are answered (the site file's [beliefs])."""

    silent_after_s: Seconds = 120
    """A machine that has given no reading for so long counts at its worst case and is not commanded."""
    back_off_s: Seconds = 30
    """Wait after a failed command; doubles with each further failure."""
    back_off_most_s: Seconds = 1800
    """The longest such wait."""
    quarantine_after: Annotated[int, Field(ge=1, le=1_000)] = 5
    """So many failures in a row, and the machine is left alone until it is released or `quarantine_s` is over."""
    quarantine_s: Seconds = 14_400
    """How long a quarantine lasts."""
    hand_s: Seconds = 14_400
    """How long a change by somebody else holds (an order to release ends it)."""
    confirm_slack_s: Seconds = 30
    """Beyond a machine's own time to confirm, before a command without any outcome counts as failed."""
    value_proven: bool = True
    """Value a machine's hashes by what its shares prove where that contradicts its claim; else always by its claim."""
    meter_error: Fraction = 0.02
    """How far the power that a machine measures may be off: for the interval of its proven efficiency."""
    place_meter_error: Fraction = 0.01
    """The same of the meters of places: class 1 of IEC 62053-21 is within 1 %."""
    share_check: ShareCheck = ShareCheck()
    """How shares are held against claims."""
    reject_check: SpoilCheck = SpoilCheck()
    """How many of its shares a machine may have rejected, by its own counters."""
    error_check: ErrorCheck = ErrorCheck()
    """How many of its nonces may be hardware errors, by its own counters."""


def estimate(view: View, snapshot: Snapshot, roster: Roster, beliefs: Beliefs) -> View:
    """The beliefs at `snapshot.at_s`. Shapes as in View; never looks at anything but its arguments."""
    heard, at_s = snapshot.heard, snapshot.at_s
    heard_s = np.fmax(heard.at_s, view.heard_s)
    fresh = heard_s > view.heard_s
    looked = view.looked | ~np.isnan(heard.asked_s)
    pending = view.wanted != UNKNOWN
    if not (fresh.any() or pending.any() or (view.doubt != UNKNOWN).any()):
        older = replace(view, at_s=at_s, looked=looked)
        return replace(older, worst_w=_worst_w(older, snapshot, roster, beliefs))
    # Where what a machine is told and what it does contradict each other, the last belief stands until they agree.
    known = fresh & (heard.mode != UNKNOWN) & ~_contradicts(snapshot, fresh)
    mode = np.where(known, heard.mode, view.mode)
    done = pending & known & (mode == view.wanted) & (heard_s > view.sent_s)
    withheld, failed = _unanswered(view, snapshot, roster, beliefs, pending & ~done)
    failures = np.where(done, 0, view.failures + failed).astype(np.int16)
    changed = known & (mode != view.mode) & (view.mode != UNKNOWN)
    strange = changed & ~done & ~_rebooted(view, snapshot, heard_s, known & (mode > SLEEP)) & ~_on_its_way(view, mode)
    # A machine that is asleep but not by us was put there by somebody, or was found so at the first look.
    ours = (view.wanted == SLEEP) | (view.doubt == SLEEP) | ~known | (mode == SLEEP)
    believed = replace(
        view,
        at_s=at_s,
        mode=mode,
        state=np.where(fresh, heard.state, view.state),
        heard_s=heard_s,
        changed_s=np.where(changed | (known & (view.mode == UNKNOWN)), heard_s, view.changed_s),
        looked=looked,
        uptime_s=_uptime_s(view, snapshot, heard_s, fresh, known),
        wanted=np.where(withheld | failed | done, np.int16(UNKNOWN), view.wanted),
        doubt=_doubt(view, roster, beliefs, failed, known, mode, heard_s),
        failures=failures,
        retry_s=np.where(failed, at_s + back_off(failures, beliefs), view.retry_s) if failed.any() else view.retry_s,
        hand_s=np.where(strange, heard_s, view.hand_s),
        fault_s=np.where(fresh & (heard.state == State.FAULTED), heard_s, view.fault_s),
        asleep_why=np.where(ours, view.asleep_why, np.int16(UNKNOWN)),
    )
    power_scale, rate_scale = _scales(believed, snapshot, roster, fresh)
    believed = replace(believed, power_scale=power_scale, rate_scale=rate_scale)
    believed = _proofs(_spoilt(believed, snapshot, beliefs), snapshot, beliefs)
    return replace(believed, worst_w=_worst_w(believed, snapshot, roster, beliefs))


def back_off(failures: Codes, beliefs: Beliefs) -> Floats:
    """wait_s[n] after so many failures in a row; a quarantine from `quarantine_after` on."""
    waits = np.minimum(beliefs.back_off_s * 2.0 ** np.clip(failures - 1, 0, 20), beliefs.back_off_most_s)
    return np.where(failures >= beliefs.quarantine_after, beliefs.quarantine_s, waits)


def silent(view: View, beliefs: Beliefs) -> Bools:
    """silent[n]: no reading for longer than the site file allows, or never one."""
    return view.heard_s < view.at_s - beliefs.silent_after_s


def _proofs(view: View, snapshot: Snapshot, beliefs: Beliefs) -> View:
    """The view with what the machines' counters, their pools and the tap say of the claims, and what these are credited."""
    heard, check = snapshot.heard, beliefs.share_check
    evidence, told, counted = view.evidence, snapshot.pool_told, snapshot.counted
    pool_evidence, tap_evidence = view.pool_evidence, view.tap_evidence
    if told is not None and pool_evidence is None:
        pool_evidence = Evidence.nothing(len(view))
    if counted is not None and tap_evidence is None:
        tap_evidence = Evidence.nothing(len(view))
    claims = {
        "heard_s": heard.at_s,
        "claimed_ths": np.where(heard.state == State.HASHING, heard.hashrate_ths, np.nan),
        "uptime_s": heard.uptime_s,
        "power_w": np.where(heard.measured, heard.power_w, np.nan),
    }
    tests = len(view) * (1 + (pool_evidence is not None) + (tap_evidence is not None))
    if not np.isnan(heard.accepted_difficulty).all():
        evidence = observe(
            evidence,
            check,
            accepted_difficulty=_accepted_now(heard),
            share_difficulty=heard.share_difficulty,
            tests=tests,
            **claims,
        )
    if told is not None and pool_evidence is not None:
        pool_evidence = observe_pool(
            pool_evidence,
            check,
            told=_without_the_tap(told, counted),
            share_difficulty=heard.share_difficulty,
            tests=tests,
            **claims,
        )
    if counted is not None and tap_evidence is not None:
        tap_evidence = observe_counted(tap_evidence, check, counted=counted, tests=tests, **claims)
    if (evidence, pool_evidence, tap_evidence) == (view.evidence, view.pool_evidence, view.tap_evidence):
        return view
    proven = replace(
        view,
        evidence=evidence,
        pool_evidence=pool_evidence,
        tap_evidence=tap_evidence,
        tap_marks=view.tap_marks if counted is None else marked(view.tap_marks, counted, check.window_s),
    )
    sources = proven.evidences
    credit = credited(best(sources), check, len(sources)) if beliefs.value_proven else np.ones(len(view))
    return replace(proven, credit=credit)


def _accepted_now(heard: Heard) -> Floats:
    """Accepted difficulty of the last reading: one that it did not bring is of an earlier moment, and says nothing of this."""
    return np.where(heard.counted_s == heard.at_s, heard.accepted_difficulty, np.nan)


def _spoilt(view: View, snapshot: Snapshot, beliefs: Beliefs) -> View:
    """The view with what the machines' counters say of rejected shares and of hardware errors."""
    heard, rejects, errors = snapshot.heard, view.rejects, view.errors
    if not np.isnan(heard.rejected).all():
        rejects = observe_spoilt(
            Spoilt.nothing(len(view)) if rejects is None else rejects,
            beliefs.reject_check,
            heard_s=heard.at_s,
            bad=heard.rejected,
            good=heard.accepted,
            uptime_s=heard.uptime_s,
        )
    if not np.isnan(heard.hardware_errors + heard.accepted_difficulty).all():
        errors = observe_faulty(
            Faulty.nothing(len(view)) if errors is None else errors,
            beliefs.error_check,
            heard_s=heard.at_s,
            errors=heard.hardware_errors,
            accepted_difficulty=_accepted_now(heard),
            share_difficulty=heard.share_difficulty,
            uptime_s=heard.uptime_s,
        )
    return view if (rejects, errors) == (view.rejects, view.errors) else replace(view, rejects=rejects, errors=errors)


def _without_the_tap(told: PoolTold, counted: Counted | None) -> PoolTold:
    """What pools told of machines that mine without the tap.

    Behind a tap the pool asks for another difficulty than the machine knows (in an audit, or for all of them together), and
    whoever does not know it cannot tell how much chance there is in what the pool credits.
    """
    if counted is None or not counted.connected.any():
        return told
    return replace(
        told,
        work=np.where(counted.connected, np.nan, told.work),
        rate_ths=np.where(counted.connected, np.nan, told.rate_ths),
    )


def _contradicts(snapshot: Snapshot, fresh: Bools) -> Bools:
    """Readings whose set mode and whose state do not agree: told to sleep and still hashing, told to run and asleep."""
    mode, state = snapshot.heard.mode, snapshot.heard.state
    works = (state == State.HASHING) | (state == State.STARTING)
    contradicts: Bools = fresh & (((mode == SLEEP) & works) | ((mode > SLEEP) & (state == State.SLEEPING)))
    return contradicts


def _rebooted(view: View, snapshot: Snapshot, heard_s: Floats, shown: Bools) -> Bools:
    """A reboot brings a machine back awake, in whatever its firmware prefers: its own doing, nobody's hand."""
    uptime_s = snapshot.heard.uptime_s
    passed_s = np.subtract(heard_s, view.heard_s, out=np.zeros(len(view)), where=shown & np.isfinite(view.heard_s))
    rebooted: Bools = shown & (uptime_s < view.uptime_s + passed_s - _REBOOT_S)
    return rebooted


def _uptime_s(view: View, snapshot: Snapshot, heard_s: Floats, fresh: Bools, known: Bools) -> Floats:
    """Uptime when a mode was last shown, aged since: so that a reboot is still one when the mode is shown only later."""
    said = snapshot.heard.uptime_s
    passed_s = np.subtract(heard_s, view.heard_s, out=np.zeros(len(view)), where=fresh & np.isfinite(view.heard_s))
    return np.where(known & ~np.isnan(said), said, view.uptime_s + passed_s)


def _on_its_way(view: View, mode: Codes) -> Bools:
    """Where our last command may have brought it: the mode asked for, or while it wakes any mode before that."""
    asked = np.where(view.wanted != UNKNOWN, view.wanted, view.doubt)
    waking = (view.mode == SLEEP) & (mode > SLEEP) & (asked > SLEEP)
    going: Bools = (asked != UNKNOWN) & ((mode == asked) | waking)
    return going


def _unanswered(
    view: View, snapshot: Snapshot, roster: Roster, beliefs: Beliefs, waiting: Bools
) -> tuple[Bools, Bools]:
    """(withheld[n], failed[n]): pending commands that were never sent; and those refused, lost, or never heard of again."""
    overdue: Bools = snapshot.at_s > view.sent_s + roster.confirm_s + beliefs.confirm_slack_s
    outcomes = snapshot.outcomes
    withheld = np.zeros(len(view), np.bool_)
    if len(outcomes):
        row = outcomes.machine
        # An outcome that this snapshot brought cannot be that of a command sent on this very snapshot.
        ours = (view.wanted[row] == outcomes.mode) & (outcomes.at_s >= view.sent_s[row])
        ours &= snapshot.at_s > view.sent_s[row]
        withheld[row[ours & (outcomes.kind == OutcomeKind.WITHHELD)]] = True
        overdue = overdue.copy()
        bad = (outcomes.kind != OutcomeKind.DONE) & (outcomes.kind != OutcomeKind.WITHHELD)
        overdue[row[ours & bad]] = True
    withheld &= waiting
    return withheld, waiting & overdue & ~withheld


def _doubt(
    view: View, roster: Roster, beliefs: Beliefs, failed: Bools, known: Bools, mode: Codes, heard_s: Floats
) -> Codes:
    """A failed command may still take hold, until a reading shows it or, after its time, shows that it has not."""
    late_s = view.sent_s + roster.confirm_s + beliefs.confirm_slack_s
    cleared = known & ((mode == view.doubt) | (heard_s > late_s))
    doubt = np.where(cleared & ~failed, np.int16(UNKNOWN), view.doubt)
    # Of two that are in doubt, the one that draws more.
    return np.where(failed & ~(known & (heard_s > late_s)), np.maximum(view.wanted, doubt), doubt)


def _scales(view: View, snapshot: Snapshot, roster: Roster, fresh: Bools) -> tuple[Floats, Floats]:
    """Measured over nameplate, smoothed over readings; only of machines that have settled on a known operating point."""
    heard = snapshot.heard
    steady = fresh & (view.mode > SLEEP) & (view.state == State.HASHING) & (view.wanted == UNKNOWN)
    if not steady.any():
        return view.power_scale, view.rate_scale
    steady &= view.heard_s >= view.changed_s + np.maximum(roster.start_s, roster.confirm_s)
    rows = np.flatnonzero(steady)
    column = view.mode[rows]
    power, rate = np.array(view.power_scale), np.array(view.rate_scale)
    for scale, said, plate in (
        (power, np.where(heard.measured[rows], heard.power_w[rows], np.nan), roster.modes.power_w[rows, column]),
        (rate, heard.hashrate_ths[rows], roster.modes.hashrate_ths[rows, column]),
    ):
        ratio = np.clip(np.divide(said, plate, out=np.full(len(rows), np.nan), where=plate > 0), *_SCALES)
        scale[rows] += np.where(np.isnan(ratio), 0.0, _SMOOTHING * (ratio - scale[rows]))
    return power, rate


def _worst_w(view: View, snapshot: Snapshot, roster: Roster, beliefs: Beliefs) -> Floats:
    """worst_w[n]: the most that each machine may draw now, given all that could be true of it."""
    plate, rows, mode = roster.modes.power_w, np.arange(len(roster)), view.mode
    scale = np.maximum(view.power_scale, 1.0)
    measured = snapshot.heard.measured
    shown = np.where(mode >= 0, plate[rows, np.maximum(mode, 0)] * scale, 0.0)
    shown = np.fmax(shown, np.where(measured, snapshot.heard.power_w, 0.0))
    lost = (silent(view, beliefs)) | (mode == UNKNOWN) | ((mode < 0) & ~measured)
    # Told to sleep, and nothing says yet that it does.
    works = (view.state == State.HASHING) | (view.state == State.STARTING)
    lost |= (snapshot.heard.mode == SLEEP) & works & ~measured
    worst = np.where(lost, np.fmax(roster.worst_w * scale, shown), shown)
    for asked in (view.wanted, view.doubt):
        if (asked >= 0).any():
            worst = np.where(asked >= 0, np.maximum(worst, plate[rows, np.maximum(asked, 0)] * scale), worst)
    return worst


def worst_of_all(roster: Roster) -> float:
    """W that the site draws with every machine at its worst; for checks of caps and brakes at load."""
    return float(roster.worst_w.sum()) if len(roster) else -inf
