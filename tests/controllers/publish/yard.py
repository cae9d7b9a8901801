"""A site at one moment in which every family has something to show, and some machines have nothing to say."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from controllers.feeds import FeedState
from controllers.observe import PollCounts
from controllers.publish.prometheus import MetricsServer
from controllers.publish.settings import MetricsSettings
from fleet.machine import Roster
from fleet.meter import Meter
from fleet.order import Order, OrderKind
from fleet.reading import Board, Pool, Reading, State
from fleet.view import View
from fleet.work.counted import Counted, Flaw
from fleet.work.proof.evidence import Evidence, Verdict
from fleet.work.proof.faulty import Faulty
from fleet.work.proof.spoilt import Spoilt
from policies.record import Record
from policies.switching import Threshold
from policies.tariff import IndexTariff
from policies.tick import Judgment
from tests.policies.conftest import T0, Bench, machine

HOSTILE = 'm"1\\n{},\u2028é'
WORKER, POOL = "bc1qsecretworker", "stratum+tcp://pool.invalid:3333"
IDS = ("m0", HOSTILE, "quiet", "asleep")


def yard() -> Judgment:
    """Four machines, one of a hostile name, on a feeder with a cap."""
    machines = [machine(name, "feeder-a/rack 1" if i < 2 else "") for i, name in enumerate(IDS)]
    return Judgment(
        Roster.of(machines, {"": 20_000.0, "feeder-a": 7_000.0}),
        IndexTariff(),
        switching=Threshold(),
        live=np.ones(4, np.bool_),
    )


def last_record(judgment: Judgment) -> Record:
    """A tick with orders, a meter, a finding, and a machine that never answered."""
    bench, nan = Bench(judgment), np.nan
    bench.mode = ["high", "mid", "high", "sleep"]
    order = Order("o1", OrderKind.HOLD, "m0", "op", "test", T0 - 1, T0 + 1e6)
    columns: dict[str, Any] = {
        "hashrate_ths": [130.5, 105.0, nan, 0.0],
        "power_w": [3_300.0, nan, nan, 25.0],
        "measured": [True, False, False, True],
        "chip_c": [70.0, 65.5, nan, 20.0],
        "uptime_s": [5e5, 4e5, nan, 3e5],
        "accepted": [123_456_789_012.0, 4.0, nan, 5.0],
        "rejected": [1.0, 0.0, nan, 0.0],
        "hardware_errors": [7.0, nan, nan, 0.0],
    }
    record = bench.tick(10.0, silent=[2], orders=[order], obey=False, **columns)
    meter = Meter("", 9_876.0, T0, "main")
    snapshot = replace(record.snapshot, meters=(meter,), counted=_counted())
    return replace(record, snapshot=snapshot, view=_tested(record.view))


def _counted() -> Counted:
    """What the tap saw of two machines."""
    flawed = np.zeros((4, len(Flaw)))
    flawed[0, Flaw.STALE], flawed[1, Flaw.FOREIGN] = 3, 50
    return replace(
        Counted.nothing(4, T0, 1),
        shares=np.array([1_000.0, 800.0, 0.0, 0.0]),
        work=np.array([1_000.0, 800.0, 0.0, 0.0]) * 65_536,
        connected=np.array([True, False, False, False]),
        difficulty=np.array([65_536.0, np.nan, np.nan, np.nan]),
        away_s=np.array([0.0, 60.0, 0.0, 0.0]),
        last_s=np.array([T0, T0, np.nan, np.nan]),
        flawed=flawed,
        foreign_work=np.array([0.0, 50.0, 0.0, 0.0]) * 65_536,
        best=np.array([1e9, 2e7, 0.0, 0.0]),
    )


def _tested(view: View) -> View:
    """One machine found short by the tap, one honest, two untested."""
    verdict = np.array([Verdict.HONEST, Verdict.SHORT, Verdict.UNTESTED, Verdict.UNTESTED], np.int16)
    shares, expected = np.array([1_000.0, 800.0, 0.0, 0.0]), np.array([1_000.0, 1_000.0, 0.0, 0.0])
    tested = replace(
        Evidence.nothing(4),
        verdict=verdict,
        since_s=np.where(verdict == Verdict.UNTESTED, np.nan, T0 - 3_600),
        before_shares=shares,
        before_expected=expected,
        jumps=np.array([0.0, 3.0, 0.0, 0.0]),
        before_work=expected * 65_536,
        before_used_j=expected * 65_536 * 2**32 / 1e12 * 25.0,
    )
    rejects = replace(
        Spoilt.nothing(4),
        verdict=verdict,
        before_shares=np.array([10.0, 50.0, 0.0, 0.0]),
        before_expected=np.array([1_000.0, 500.0, 0.0, 0.0]),
    )
    errors = replace(
        Faulty.nothing(4),
        verdict=verdict,
        before_shares=np.array([2.0, 40.0, 0.0, 0.0]),
        before_expected=np.array([1_000.0, 500.0, 0.0, 0.0]),
    )
    return replace(view, tap_evidence=tested, rejects=rejects, errors=errors, credit=np.array([1.0, 0.874, 1.0, 1.0]))


def full_readings() -> dict[int, Reading]:
    """What full looks brought: boards and fans, a worker's name, and a machine that claims a thousand of each."""
    pool = (Pool(POOL, WORKER),)
    plain = Reading(
        State.HASHING,
        "high",
        130.5,
        3_300.0,
        boards=(Board(43.5, 60.0, 70.0), Board(43.5, None, float("inf")), Board()),
        fans_rpm=(5_000, 5_100),
        pools=pool,
    )
    absurd = replace(plain, boards=(Board(1.0, 2.0, 3.0),) * 1_000, fans_rpm=(1,) * 1_000)
    return {0: plain, 1: absurd}


def internals() -> dict[str, Any]:
    """What a daemon tells beside its records."""
    polls = PollCounts(Counter({("lean", "reading"): 7, ("full", "unreachable"): 1}), seconds=0.4, count=8)
    polls.within[2] += 8
    return {
        "polls": polls,
        "feeds": [FeedState("csv power_usd_mwh", True, T0, None), FeedState('sly "feed"\n', False, None, "x")],
        "events": Counter({"machine lost": 2}),
        "outcomes": Counter({"done": 3, "lost": 1}),
        "writing": 1,
        "accepted": 4,
        "journal_failures": 0,
        "lease_held": True,
        "full": full_readings(),
        "has_tap": True,
        "tap": tap_status(),
    }


def tap_status() -> dict[str, Any]:
    """What a tap says of itself (controllers/pool/tap.py); its pool's address is nobody's business."""
    return {
        "listening": True,
        "connections": 3,
        "turned_away": {"too many connections": 2},
        "pools": [{"url": POOL, "in_use": False}, {"url": POOL, "in_use": True}],
        "shares": 1_000,
        "work": 65_536_000.0,
        "shares_of_strangers": 4,
        "verified_per_s": 1.5,
        "flaws": {"stale": 3, "foreign": 50},
        "blocks": {"found": 1, "accepted": 0, "refused": 0, "open": ["00ab"], "not_on_disk": 0},
        "audits": [{"machine": "m0"}],
        "forwarding": {"buckets": {"0.0001": 5, "0.0002": 9}, "count": 10, "sum_s": 0.002},
    }


def server(judgment: Judgment, **settings: Any) -> MetricsServer:
    """A metrics server of a site; not listening."""
    return MetricsServer(MetricsSettings(port=0, **settings), judgment, internals)
