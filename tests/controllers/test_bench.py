"""`hashwatt bench`: what it measures is hashing, and what it says is what it measured."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from controllers.bench import BenchFailed, best_asic, measure, package_joules
from controllers.commands import bench
from controllers.exits import Exit
from fleet.machine import Machine, Mode
from fleet.work.sha256d import HashlibEngine, Hit


class Blind(HashlibEngine):
    """An engine that finds nothing."""

    @property
    def name(self) -> str:
        return "blind"

    def scan(self, head: bytes, nonces: range, target: int, versions: Sequence[int] = ()) -> tuple[Hit, ...]:
        return ()


def run(*words: str) -> int:
    """The command."""
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    return bench.main(parser.parse_args(words))


def test_rates_on_one_thread_and_on_two_processes(tmp_path: Path) -> None:
    """The rate would not be hashes by seconds, or a second worker not be one."""
    one = measure(HashlibEngine(), 1, 0.2, tmp_path)
    two = measure(HashlibEngine(), 2, 0.2, tmp_path)
    assert (one.kind, one.workers, two.kind, two.workers) == ("threads", 1, "processes", 2)
    for rate in (one, two):
        assert rate.seconds >= 0.2
        assert rate.hashes_s == pytest.approx(rate.hashes / rate.seconds)
        assert 10_000 < rate.hashes_s < 1e9
        assert rate.joules is None


def test_an_engine_that_is_wrong_is_not_timed() -> None:
    """A fast engine that finds nothing would top the table."""
    with pytest.raises(BenchFailed, match=r"engine blind finds nonces \[\] for the genesis block, expected 2083236893"):
        measure(Blind(), 1, 0.05)


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Programs would get another shape, or progress among the answer."""
    assert run("--json", "--seconds", "0.05", "--workers", "1") == Exit.OK
    said = json.loads(capsys.readouterr().out)
    row = next(row for row in said["rates"] if row["engine"] == "hashlib")
    assert row["workers"] == 1
    assert row["hashrate_mhs"] == pytest.approx(row["hashes"] / row["seconds"] / 1e6)
    assert said["asic"]["from"] == "catalogue"
    assert said["asic"]["hosts_in_one"] == pytest.approx(said["asic"]["hashrate_ths"] * 1e6 / said["best_hashrate_mhs"])


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    """People would not be told what a machine does in comparison."""
    assert run("--seconds", "0.05", "--workers", "1") == Exit.OK
    said = capsys.readouterr().out
    assert "hashlib" in said
    assert "most efficient machine" in said


@pytest.mark.parametrize(
    "words",
    [("--seconds", "0"), ("--seconds", "soon"), ("--workers", "0"), ("--workers", "two"), ("--workers", "1,,2")],
)
def test_bad_arguments(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """A bad argument would be a traceback or an endless measurement."""
    with pytest.raises(SystemExit) as caught:
        run(*words)
    assert caught.value.code == Exit.USAGE
    assert "expected" in capsys.readouterr().err


def test_best_machine() -> None:
    """The comparison would be with the largest machine, or with a mode that it does not run in."""
    sleep = Mode("sleep", 20, 0)
    large = Machine("a", "Large", "luxos", "127.0.0.1", (sleep, Mode("run", 6_000, 250)), "run")
    lean = Machine("b", "Lean", "luxos", "127.0.0.2", (sleep, Mode("eco", 1_000, 80), Mode("run", 3_000, 180)), "run")
    best = best_asic([large, lean])
    assert best is not None
    assert (best.model, best.hashrate_ths) == ("Lean", 180)
    assert best.efficiency_j_th == pytest.approx(3_000 / 180)
    assert best_asic() is not None


def test_energy_counters(tmp_path: Path) -> None:
    """A sub-domain would be counted twice, or a counter that cannot be read be taken as zero."""
    assert package_joules(tmp_path / "none") is None
    for name, micro in (("intel-rapl:0", "2500000"), ("intel-rapl:1", "500000"), ("intel-rapl:0:0", "900000")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{micro}\n")
    assert package_joules(tmp_path) == 3.0
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("")
    assert package_joules(tmp_path) is None
