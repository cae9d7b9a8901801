"""Recheck: a report that was not touched agrees with itself; one altered byte, anywhere, is found."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from controllers.commands.verify import again
from controllers.exits import BadArgument, Exit
from controllers.pool.share_log import RECORD_BYTES
from controllers.verify.recheck import NoReport, recheck
from controllers.verify.report import Report
from controllers.verify.shares import with_shares
from tests.controllers.verify.checked import SCALE, written


@pytest.fixture(scope="module")
def filed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a report, its page and its shares."""
    folder = tmp_path_factory.mktemp("filed")
    written(folder)
    return folder


@pytest.fixture
def copy(filed: Path, tmp_path: Path) -> Path:
    """One that a test may spoil."""
    shutil.copytree(filed, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize("name", ["report.json", "report.html"])
def test_what_nobody_touched_agrees(filed: Path, name: str) -> None:
    """A recheck that cries wolf, or that hashes nothing and says so nowhere."""
    found = recheck(filed / name)
    assert found.faults == ()
    assert found.shares == (filed / "report.shares").stat().st_size / RECORD_BYTES
    assert found.shares > 500
    assert found.unchecked == ("the claims, and for how long shares could be taken, are the report's own word",)
    assert again(filed / name) == Exit.OK


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["report.json", "report.html", "report.shares"]),
    st.floats(0, 1, exclude_max=True),
    st.integers(1, 255),
)
@example("report.shares", 0.0, 1)
@example("report.json", 0.999999, 10)
def test_one_altered_byte_is_found(copy: Path, filed: Path, name: str, where: float, bits: int) -> None:
    """A report that says something else than it did, and still looks signed off."""
    content = bytearray((filed / name).read_bytes())
    content[int(where * len(content))] ^= bits
    (copy / name).write_bytes(content)
    try:
        opened = copy / ("report.json" if name == "report.shares" else name)
        assert recheck(opened).faults != ()
    except NoReport:
        pass  # that much is found too
    finally:
        (copy / name).write_bytes((filed / name).read_bytes())


def resealed(folder: Path, change: dict[str, object]) -> None:
    """A forger's work: a changed first machine, under a new digest."""
    values = json.loads((folder / "report.json").read_text())
    values["machines"][0] |= change
    (folder / "report.json").write_text(Report.model_validate(values).sealed().in_json())


def test_a_forged_verdict_under_a_new_digest_is_found(copy: Path) -> None:
    """A verdict that does not follow from the shares, written by somebody who knows how digests are made."""
    counts = json.loads((copy / "report.json").read_text())["machines"][0]["counts"]
    resealed(copy, {"verdict": "honest"})
    assert any(
        "its verdict is honest, of who speaks it is short" in fault for fault in recheck(copy / "report.json").faults
    )
    better = [count | {"shares": count["expected"], "verdict": "honest"} for count in counts]
    resealed(copy, {"verdict": "honest", "counts": better})
    faults = recheck(copy / "report.json").faults
    assert any("the score by tap is" in fault for fault in faults)
    assert any("ratio by tap is" in fault for fault in faults)


def test_shares_that_were_made_up_are_found(tmp_path: Path) -> None:
    """A share file, hashed anew and sealed anew, whose headers are not the work that the report claims."""
    _, path = written(tmp_path, spoilt=3)
    assert "m0: 3 shares are not as hard as was asked of them" in recheck(path).faults
    content = bytearray((tmp_path / "report.shares").read_bytes())
    content[4 * RECORD_BYTES : 5 * RECORD_BYTES] = content[5 * RECORD_BYTES : 6 * RECORD_BYTES]
    (tmp_path / "report.shares").write_bytes(content)
    faults = recheck(path).faults
    assert "m0: 1 shares stand there twice" in faults
    assert "report.shares is not the file that the report names (its SHA-256 differs)" in faults


def test_shares_of_another_time_are_left_out_and_a_log_that_is_not_whole_is_told(tmp_path: Path) -> None:
    """Last week's shares that prove this week's check, or a log of which half is gone and nobody says so."""
    report, _ = written(tmp_path)
    machine = report.machines[0]
    assert machine.spoken is not None
    assert machine.spoken.from_s is not None
    assert machine.log is not None
    bare = report.model_copy(update={"machines": (machine.model_copy(update={"log": None}),), "notes": ()})
    before = replace_times(tmp_path / "m0.log", machine.spoken.from_s)
    (tmp_path / "old.log").write_bytes(before)
    logs = {"m0": [str(tmp_path / "old.log"), str(tmp_path / "m0.log")]}
    whole, content = with_shares(bare, logs, "x.shares", SCALE)
    assert whole.machines[0].log == machine.log.model_copy(update={"offset": 0})
    assert len(content) == machine.log.records * RECORD_BYTES
    (tmp_path / "half.log").write_bytes((tmp_path / "m0.log").read_bytes()[: len(content) // 2])
    half, _ = with_shares(bare, {"m0": [str(tmp_path / "half.log")]}, "x.shares", SCALE)
    assert any("it is not whole" in note for note in half.notes)
    gone, nothing = with_shares(bare, {"m0": [str(tmp_path / "gone.log")]}, "x.shares", SCALE)
    assert nothing == b""
    assert any("the share log of m0 cannot be read" in note for note in gone.notes)


def replace_times(log: Path, at_s: float) -> bytes:
    """The same shares, all of one time."""
    content = bytearray(log.read_bytes())
    for offset in range(88, len(content), RECORD_BYTES):
        content[offset : offset + 8] = struct.pack("<d", at_s)
    return bytes(content)


def test_a_share_file_that_is_gone_or_elsewhere_is_told(copy: Path) -> None:
    """A report whose shares were lost, and which agrees with itself all the same; or one that reads any file it names."""
    (copy / "report.shares").unlink()
    assert any("report.shares cannot be read" in fault for fault in recheck(copy / "report.json").faults)
    values = json.loads((copy / "report.json").read_text())
    values["share_file"]["file"] = "../../../etc/passwd"
    (copy / "report.json").write_text(Report.model_validate(values).sealed().in_json())
    assert any("is not beside the report" in fault for fault in recheck(copy / "report.json").faults)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"format": "hashwatt verify report", "version": 9}', "\ufeff", "[" * 9_999]
)
def test_what_is_no_report_is_told_so(tmp_path: Path, text: str) -> None:
    """A traceback for somebody who opened the wrong file."""
    for name in ("x.json", "x.html"):
        (tmp_path / name).write_text(text)
        with pytest.raises(NoReport):
            recheck(tmp_path / name)
        with pytest.raises(BadArgument, match=r"x\."):
            again(tmp_path / name)


def test_a_report_of_the_first_version_is_refused_with_its_version(tmp_path: Path) -> None:
    """It shared its chance among machines alone: judged by today's method, its verdicts would be called forged."""
    (tmp_path / "x.json").write_text('{"format": "hashwatt verify report", "version": 1}')
    with pytest.raises(NoReport, match="version 1, expected 'hashwatt verify report' version 2"):
        recheck(tmp_path / "x.json")
