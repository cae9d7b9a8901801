"""What MQTT says of a machine's proof: the record's own figures, rounded, and told at once when a verdict changes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from controllers.publish.states import MachineState, MachineStates, Told
from fleet.work.proof.evidence import Source, Verdict
from tests.controllers.publish.yard import last_record, yard
from tests.policies.conftest import T0


def test_a_machines_proof_is_that_of_the_record() -> None:
    """A subscriber who is told another verdict than the operator, or a zero where nothing is known."""
    judgment = yard()
    states = MachineStates(judgment, last_record(judgment))
    honest, short, quiet, _ = (MachineState.model_validate_json(payload) for payload in states.written(np.arange(4)))
    assert (honest.verdict, honest.proof_source, honest.delivered, honest.credit) == ("honest", "tap", 1.0, 1.0)
    assert honest.verdict_since_s == pytest.approx(T0 - 3_600, abs=1)
    assert (short.verdict, short.delivered, short.credit) == ("short", 0.8, 0.874)
    assert short.delivered_low is not None
    assert short.delivered_high is not None
    assert short.delivered_low < 0.8 < short.delivered_high < 1
    assert (quiet.verdict, quiet.proof_source, quiet.delivered, quiet.verdict_since_s) == ("untested", None, None, None)
    assert all(set(json.loads(each)) == set(MachineState.model_fields) for each in states.written(np.arange(4)))


def test_a_verdict_is_told_at_once_and_a_ratio_in_its_time() -> None:
    """A broker that hears of every tenth of a percent at every tick, or of a finding a minute late."""
    judgment = yard()
    record = last_record(judgment)
    told = Told(4)
    told.note(MachineStates(judgment, record), np.arange(4), 100.0)
    evidence = record.view.evidences[Source.TAP]
    more = replace(evidence, before_shares=evidence.before_shares * 0.9)
    later = replace(record, view=replace(record.view, tap_evidence=more))
    assert list(told.due(MachineStates(judgment, later), 101.0, 10.0, 3_600.0)) == []
    assert list(told.due(MachineStates(judgment, later), 111.0, 10.0, 3_600.0)) == [0, 1]
    verdict = np.array([Verdict.SHORT, *evidence.verdict[1:]], np.int16)
    found = replace(record, view=replace(record.view, tap_evidence=replace(evidence, verdict=verdict)))
    assert list(told.due(MachineStates(judgment, found), 101.0, 10.0, 3_600.0)) == [0]
