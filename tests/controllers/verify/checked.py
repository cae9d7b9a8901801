"""A check over made records, its report, and share logs whose headers really are as hard as was asked: no daemon, no clock."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from controllers.config import Site, site_of
from controllers.verify.check import Asked, Check
from controllers.verify.page import page
from controllers.verify.report import Count, Report
from controllers.verify.reporting import report_of
from controllers.verify.shares import with_shares
from fleet.catalogue import LUXOS
from fleet.reading import Identity, Reading, State
from fleet.work.sha256d import meets, sha256d
from fleet.work.target import target_of_difficulty
from policies.record import Record
from tests.policies.mine import DIFFICULTY, STEP_S, Mine

SCALE = 2.0**-45
"""One header in eight is as hard as a share of difficulty 65,536 has to be."""
HOSTILE = '<script>alert("1")</script>&\u2028'


def site(folder: Path, machines: Sequence[str], share_check: Mapping[str, float] | None = None) -> Site:
    """A site file's site with so many machines."""
    tables = {
        "name": "yard",
        "tariff": {"kind": "index"},
        "beliefs": {"share_check": dict(share_check or {})},
        "machines": [
            {"id": name, "model": "Antminer S19k Pro", "dialect": LUXOS, "host": f"127.9.{i // 250}.{i % 250 + 1}"}
            for i, name in enumerate(machines)
        ],
    }
    return site_of(tables, folder / "site.toml")


def asked(mine: Mine, for_s: float = 86_400.0, *, full: bool = False) -> Asked:
    """A check of every machine of a mine, from now on."""
    machines = tuple(machine.id for machine in mine.judgment.roster.machines)
    return Asked("c0ffee", "site", machines, "ann", "a hunch", mine.site.at_s, for_s, full)


def carried_out(mine: Mine, check: Check, ticks: int = 600) -> list[Record]:
    """Ticks until the check ends; the records."""
    records: list[Record] = []
    while check.ended is None and len(records) < ticks:
        records.append(mine.tick())
        check.saw(records[-1], mine.judgment.beliefs)
    return records


def readings(mine: Mine) -> dict[int, Reading]:
    """What machines say of themselves, one of them in bad faith."""
    said = Reading(State.HASHING, "high", 130.0, 3_200.0, identity=Identity("S19", "fw 1", None, "SN1"))
    bad = replace(said, identity=Identity("S19", HOSTILE, None, HOSTILE * 50))
    return {row: said if row else bad for row in range(len(mine.judgment.roster))}


def log_of(count: Count, seed: int, *, spoilt: int = 0) -> bytes:
    """A tap's share log of what was counted; the first so many are not as hard as was asked."""
    assert count.from_s is not None
    assert count.to_s is not None
    rng, target, written = np.random.default_rng(seed), target_of_difficulty(DIFFICULTY * SCALE), []
    times = np.linspace(count.from_s, count.to_s, int(count.shares) + 1)[1:]
    for number, at_s in enumerate(times):
        good = number >= spoilt
        while True:
            header = rng.bytes(80)
            if meets(sha256d(header), target) is good:
                break
        written.append(struct.pack("<80sdd32s", header, DIFFICULTY, float(at_s), rng.bytes(32)))
    return b"".join(written)


def written(folder: Path, *, delivers: tuple[float, ...] = (0.8, 1.0), spoilt: int = 0) -> tuple[Report, Path]:
    """A finished check's report in a folder, with its page and its share file; the JSON's path."""
    mine = Mine(delivers, ("counters", "tap"), price=10.0)
    mine.run(3)
    check = Check.begun(asked(mine), mine.judgment.roster)
    carried_out(mine, check)
    of = site(folder, check.asked.machines)
    report = report_of(check, of, readings(mine), {"engine": "reference"}, mine.site.at_s)
    logs: dict[str, list[str]] = {}
    for number, machine in enumerate(report.machines):
        assert machine.spoken is not None
        path = folder / f"{machine.machine}.log"
        path.write_bytes(log_of(machine.spoken, number, spoilt=spoilt))
        logs[machine.machine] = [str(path)]
    report, content = with_shares(report, logs, "report.shares", SCALE)
    sealed = report.sealed()
    (folder / "report.json").write_text(sealed.in_json())
    (folder / "report.html").write_text(page(sealed))
    (folder / "report.shares").write_bytes(content)
    return sealed, folder / "report.json"


__all__ = ["HOSTILE", "SCALE", "STEP_S", "Mine", "asked", "carried_out", "log_of", "readings", "site", "written"]
