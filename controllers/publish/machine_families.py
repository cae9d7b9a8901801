"""Per-machine metric families: what each machine does, from the last record and its last full reading.

Cardinality: one sample a machine in each family here, whose label `place` follows from its `machine`; a hash board and a
fan have theirs, up to a bound. Model and dialect stand in the info family alone. No worker, pool or address is a label.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from controllers.publish.exposition import column, labels, rows
from fleet.columns import OFF_LADDER, UNKNOWN, Bools, Codes, Floats
from fleet.machine import Machine
from fleet.reading import Reading
from fleet.view import View
from fleet.work.counted import Counted, Flaw
from fleet.work.proof.evidence import Verdict
from fleet.work.proof.faulty import Faulty
from fleet.work.proof.proven import Proven
from fleet.work.proof.spoilt import Spoilt, spoilt_share
from policies.proof import SOURCES
from policies.record import Record
from policies.site_sums import STATES, MachineColumns, machine_columns
from policies.tick import Judgment

BOARDS_MOST, FANS_MOST = 16, 16
"""More than any machine has; what claims more is cut there."""
_GAUGE, _COUNTER = "gauge", "counter"


class MachineFamilies:
    """Writes the families of one roster; the label sets are made once."""

    def __init__(self, judgment: Judgment) -> None:
        self._judgment = judgment
        machines = judgment.roster.machines
        self._sets = [_set(m) for m in machines]
        self._info = [_set(m, model=m.model, dialect=m.dialect) for m in machines]
        self._points: list[dict[int, str]] = [{} for _ in machines]

    def text(self, record: Record, full: Mapping[int, Reading]) -> str:
        """Every family, as text."""
        judgment, view, heard = self._judgment, record.view, record.snapshot.heard
        now = machine_columns(judgment, record)
        mode = np.where(view.mode >= 0, view.mode, np.nan).astype(np.float64)
        target = record.decision.choices.target
        wanted = np.full(len(view), np.nan) if target is None else target.astype(np.float64)
        age_s = np.where(np.isfinite(view.heard_s), view.at_s - view.heard_s, np.nan)
        parts = [
            self._rows("info", "A machine of the roster: its model and dialect.", np.ones(len(view)), self._info),
            self._column("hashrate_terahashes_per_second", "Hash rate as the machine claims it.", now.hashrate_ths),
            self._column(
                "power_watts",
                "Power: measured by the machine, or its operating point's nameplate as calibrated.",
                now.power_w,
            ),
            self._column(
                "power_measured",
                "1 where the power is measured by the machine, 0 where it is an estimate.",
                np.where(np.isnan(now.power_w), np.nan, now.measured),
            ),
            self._column("efficiency_joules_per_terahash", "Power over hash rate.", now.efficiency_j_th),
            self._column("chip_temperature_celsius", "Hottest chip.", _if_heard(heard.chip_c, view.heard_s)),
            self._column("operating_point", "Column of the operating point that the readings show; 0 is sleep.", mode),
            self._column("operating_point_decided", "Column of the operating point that was decided.", wanted),
            self._column("earning_usd_per_hour", "Revenue less energy, at present prices.", now.earns_usd_h),
            self._column(
                "break_even_usd_per_megawatt_hour",
                "Power price at the meter at which it earns nothing.",
                now.break_even_usd_mwh,
            ),
            self._column(
                "curtailed_watts", "What its usual operating point would draw beyond the present one.", now.curtailed_w
            ),
            self._column("worst_case_watts", "The most it may draw now, as the caps count it.", view.worst_w),
            self._column("last_reading_age_seconds", "Time since its last reading.", age_s),
            self._column("command_failures", "Commands in a row that failed.", view.failures.astype(np.float64)),
            self._column("uptime_seconds", "Uptime as the machine says.", heard.uptime_s),
            self._column(
                "shares_accepted_total", "Accepted shares, the machine's own counter.", heard.accepted, _COUNTER
            ),
            self._column(
                "shares_rejected_total", "Rejected shares, the machine's own counter.", heard.rejected, _COUNTER
            ),
            self._column(
                "hardware_errors_total", "Hardware errors, the machine's own counter.", heard.hardware_errors, _COUNTER
            ),
            *self._shares(now.proven, view),
            *self._efficiency(now),
            self._jumps(now.proven, view),
            *self._rejects(view.rejects),
            *self._errors(view.errors),
            *self._tap(record.snapshot.counted),
            self._state_text(now.state),
            self._point_text(view.mode),
            self._parts_text(full),
        ]
        return "".join(parts)

    def _shares(self, proven: Proven, view: View) -> tuple[str, ...]:
        """What the shares prove of the claimed hash rate."""
        tested = np.where(proven.verdict == Verdict.UNTESTED, np.nan, proven.verdict == Verdict.SHORT)
        age_s = np.where(np.isnan(tested), np.nan, view.at_s - proven.verdict_since_s)
        credit = np.where(proven.source == UNKNOWN, np.nan, view.credit)
        return (
            self._column("delivered_ratio", "Hash rate that shares prove, over the one claimed.", proven.ratio),
            self._column("delivered_ratio_low", "Its 95 % interval's lower end, at all times.", proven.low),
            self._column("delivered_ratio_high", "Its 95 % interval's upper end, at all times.", proven.high),
            self._column("credit_ratio", "The part of its claimed hash rate that it is valued at.", credit),
            self._column(
                "shortfall_found",
                "1 where the running test says that it delivers less than it claims, 0 where all.",
                tested,
            ),
            self._column("verdict_age_seconds", "For about how long that has been so.", age_s),
            self._column("proof_shares", "Shares that the ratio counts, over one to two windows.", proven.shares),
            self._source_text(proven.source),
        )

    def _efficiency(self, now: MachineColumns) -> tuple[str, ...]:
        """J/TH of proven hashes, with its interval."""
        end = "Its 95 % interval's {} end, at all times, with the meter's error."
        high = np.where(np.isinf(now.proven_j_th_high), np.nan, now.proven_j_th_high)
        return (
            self._column(
                "proven_efficiency_joules_per_terahash",
                "Power over proven hash rate, where it measures its power.",
                now.proven_j_th,
            ),
            self._column("proven_efficiency_low_joules_per_terahash", end.format("lower"), now.proven_j_th_low),
            self._column("proven_efficiency_high_joules_per_terahash", end.format("upper"), high),
        )

    def _jumps(self, proven: Proven, view: View) -> str:
        """Counters that jumped, of machines whose shares somebody counts."""
        jumps = sum(evidence.jumps for evidence in view.evidences.values())
        counted = np.where((proven.source != UNKNOWN) | (jumps > 0), jumps, np.nan)
        meaning = "Times that a counter of its shares brought more than it can have hashed; left out."
        return self._column("share_jumps_total", meaning, counted, _COUNTER)

    def _errors(self, errors: Faulty | None) -> tuple[str, ...]:
        """How many of their nonces machines say were hardware errors; nothing where none tells."""
        if errors is None:
            return ()
        told, tested = spoilt_share(errors), _tested(errors)
        meaning = "Hardware errors over all nonces, lately, the machine's own counters."
        return (
            self._column("hardware_error_ratio", meaning, told.ratio),
            self._column("hardware_error_ratio_low", "Its 95 % interval's lower end, at all times.", told.low),
            self._column("hardware_error_ratio_high", "Its 95 % interval's upper end, at all times.", told.high),
            self._column(
                "hardware_errors_found", "1 where the running test says that too many are, 0 where not.", tested
            ),
        )

    def _rejects(self, rejects: Spoilt | None) -> tuple[str, ...]:
        """How many of their shares machines say were rejected; nothing where none tells."""
        if rejects is None:
            return ()
        told, tested = spoilt_share(rejects), _tested(rejects)
        return (
            self._column("rejected_ratio", "Rejected shares over all, lately, the machine's own counters.", told.ratio),
            self._column("rejected_ratio_low", "Its 95 % interval's lower end, at all times.", told.low),
            self._column("rejected_ratio_high", "Its 95 % interval's upper end, at all times.", told.high),
            self._column("rejects_found", "1 where the running test says that too many are, 0 where not.", tested),
        )

    def _tap(self, counted: Counted | None) -> tuple[str, ...]:
        """What the tap counts of each machine; nothing where there is none."""
        if counted is None:
            return ()
        seen = np.isfinite(counted.last_s) | counted.connected | (counted.flawed.sum(axis=1) > 0)

        def known(values: Floats | Bools) -> Floats:
            return np.where(seen, values, np.nan)

        best = np.where(counted.best > 0, counted.best, np.nan)

        return (
            self._column("tap_connected", "1 while it is connected to the tap.", known(counted.connected)),
            self._column("tap_difficulty", "Difficulty that is asked of it.", counted.difficulty),
            self._column(
                "tap_shares_total", "Shares that the tap credited, since it began.", known(counted.shares), _COUNTER
            ),
            self._column("tap_work_total", "Their difficulty.", known(counted.work), _COUNTER),
            self._column("tap_away_seconds_total", "Time without a connection.", known(counted.away_s), _COUNTER),
            self._column(
                "tap_foreign_work_total", "Difficulty for others' workers.", known(counted.foreign_work), _COUNTER
            ),
            self._column("tap_best_share", "The hardest share, in difficulty.", best),
            self._flaw_text(counted.flawed),
        )

    def _source_text(self, source: Codes) -> str:
        """Who counts its shares, as one sample of 1."""
        ends = [f',source="{name}"}}' for name in SOURCES]
        samples = (
            (stem[:-1] + ends[code], 1.0)
            for stem, code in zip(self._sets, source.tolist(), strict=True)
            if code != UNKNOWN
        )
        return rows("hashwatt_machine_proof_source", _GAUGE, "1 for the source that speaks of its shares.", samples)

    def _flaw_text(self, flawed: Floats) -> str:
        """Shares that were not credited, by cause; causes that a machine never had are left out."""
        ends = [f',cause="{flaw.name.lower()}"}}' for flaw in Flaw]
        samples = (
            (self._sets[row][:-1] + ends[cause], float(flawed[row, cause]))
            for row, cause in np.argwhere(flawed > 0).tolist()
        )
        return rows(
            "hashwatt_machine_tap_flawed_total", _COUNTER, "Shares not credited, by cause, since it began.", samples
        )

    def _column(self, name: str, meaning: str, values: Floats, kind: str = _GAUGE) -> str:
        return column(f"hashwatt_machine_{name}", kind, meaning, self._sets, np.asarray(values, np.float64))

    def _rows(self, name: str, meaning: str, values: Floats, sets: list[str]) -> str:
        return column(f"hashwatt_machine_{name}", _GAUGE, meaning, sets, values)

    def _state_text(self, state: Codes) -> str:
        """The state that a machine is in, as one sample of 1: a machine has one series per state that it was in."""
        ends = [f',state="{name}"}}' for name in STATES]
        samples = ((stem[:-1] + ends[code], 1.0) for stem, code in zip(self._sets, state.tolist(), strict=True))
        return rows("hashwatt_machine_state", _GAUGE, "1 for the state that the machine is in.", samples)

    def _point_text(self, mode: Codes) -> str:
        """The name of the operating point that the readings show, as one sample of 1."""
        samples = ((self._point(row, column), 1.0) for row, column in enumerate(mode.tolist()) if column != UNKNOWN)
        return rows(
            "hashwatt_machine_operating_point_info",
            _GAUGE,
            "1 for the operating point that the readings show.",
            samples,
        )

    def _point(self, row: int, column: int) -> str:
        """A machine's label set with an operating point's name."""
        known = self._points[row]
        if column not in known:
            machine = self._judgment.roster.machines[row]
            known[column] = _set(machine, point="off ladder" if column == OFF_LADDER else machine.modes[column].name)
        return known[column]

    def _parts_text(self, full: Mapping[int, Reading]) -> str:
        """Boards and fans, from the last full readings."""
        boards, chips, fans, rates = [], [], [], []
        for row, reading in full.items():
            stem = self._sets[row][:-1]
            for index, board in enumerate(reading.boards[:BOARDS_MOST]):
                label = f'{stem},board="{index}"}}'
                if board.board_c is not None:
                    boards.append((label, board.board_c))
                if board.chip_c is not None:
                    chips.append((label, board.chip_c))
                if board.hashrate_ths is not None:
                    rates.append((label, board.hashrate_ths))
            fans += [(f'{stem},fan="{index}"}}', float(rpm)) for index, rpm in enumerate(reading.fans_rpm[:FANS_MOST])]
        return (
            rows(
                "hashwatt_board_temperature_celsius",
                _GAUGE,
                "A hash board's temperature, at the last full reading.",
                boards,
            )
            + rows(
                "hashwatt_board_chip_temperature_celsius",
                _GAUGE,
                "A hash board's hottest chip, at the last full reading.",
                chips,
            )
            + rows(
                "hashwatt_board_hashrate_terahashes_per_second",
                _GAUGE,
                "A hash board's rate, at the last full reading.",
                rates,
            )
            + rows("hashwatt_fan_speed_rpm", _GAUGE, "A fan's speed, at the last full reading.", fans)
        )


def _tested(spoilt: Spoilt) -> Floats:
    """1 where too many were found, 0 where not, NaN where nothing is known yet."""
    return np.where(spoilt.verdict == Verdict.UNTESTED, np.nan, spoilt.verdict == Verdict.SHORT)


def _if_heard(values: Floats, heard_s: Floats) -> Floats:
    return np.where(np.isfinite(heard_s), values, np.nan)


def _set(machine: Machine, **more: str) -> str:
    """A machine's label set."""
    return labels(machine=machine.id, place="/".join(machine.place), **more)
