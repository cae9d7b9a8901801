"""`hashwatt bench`: what it measures is hashing, and what it says is what it measured."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from controllers.bench import Asic, BenchFailed, Rate, best_asic, first_hash_s, measure, package_joules
from controllers.commands import bench
from controllers.exits import Exit
from controllers.other_miner import NoRate, OtherRate
from fleet.machine import Machine, Mode
from fleet.work.sha256d import Choice, HashlibEngine, Hit, Missing, Trial, engines


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
    one = measure(HashlibEngine(), 1, 0.2, "nonces", tmp_path)
    two = measure(HashlibEngine(), 2, 0.2, "versions", tmp_path)
    assert (one.kind, one.workers, one.work) == ("threads", 1, "nonces")
    assert (two.kind, two.workers, two.work) == ("processes", 2, "versions")
    for rate in (one, two):
        assert rate.seconds >= 0.2
        assert rate.hashes_s == pytest.approx(rate.hashes / rate.seconds)
        assert 10_000 < rate.hashes_s < 1e9
        assert rate.joules is None


def test_an_engine_that_is_wrong_is_not_timed() -> None:
    """A fast engine that finds nothing would top the table."""
    with pytest.raises(BenchFailed, match=r"engine blind does not find the genesis block, nonce 2083236893"):
        measure(Blind(), 1, 0.05)


class Broken(Blind):
    """An engine whose code cannot be made."""

    def scan(self, head: bytes, nonces: range, target: int, versions: Sequence[int] = ()) -> tuple[Hit, ...]:
        raise RuntimeError("no executable memory")


def test_an_engine_that_cannot_be_compiled() -> None:
    """A host that forbids machine code would get a traceback."""
    with pytest.raises(BenchFailed, match="engine blind cannot be compiled: no executable memory"):
        measure(Broken(), 1, 0.05)


def test_time_to_the_first_hash() -> None:
    """The time would be of this process, which has everything imported; and a process that hangs be waited for."""
    assert 0.02 < first_hash_s() < 20
    with pytest.raises(BenchFailed, match=r"a new process did not hash within 0\.001 s"):
        first_hash_s(0.001)


RATES = (
    Rate("hashlib", "nonces", 1, "threads", 1_000_000, 1.0, 50.0),
    Rate("x86-sha", "nonces", 1, "threads", 40_000_000, 1.0, None),
    Rate("x86-sha", "versions", 1, "threads", 45_000_000, 1.0, None),
    Rate("x86-sha", "versions", 2, "threads", 180_000_000, 2.0, None),
)
REPORT = bench.Report(
    RATES,
    Choice(HashlibEngine(), (Trial("hashlib", 1e6), Trial("x86-sha", None, "does not find the genesis block"))),
    (Missing("native", "no llvmlite"),),
    0.31,
    (OtherRate("cpuminer-opt 26.1", 1, 25e6, "cpuminer --benchmark"), NoRate("minerd told no rate")),
    Asic("S21", 200.0, 17.5),
    of_site=True,
    cores=2,
)


def test_what_programs_get() -> None:
    """A rate would be given for another work or number of workers, or a comparison be with the wrong one."""
    said = bench.as_json(REPORT)
    assert [(row["engine"], row["work"], row["workers"], row["hashrate_mhs"]) for row in said["rates"]] == [
        ("hashlib", "nonces", 1, 1.0),
        ("x86-sha", "nonces", 1, 40.0),
        ("x86-sha", "versions", 1, 45.0),
        ("x86-sha", "versions", 2, 90.0),
    ]
    assert said["rates"][0]["efficiency_j_th"] == pytest.approx(50e6)
    assert said["chosen"]["engine"] == "hashlib"
    assert said["chosen"]["trials"][1]["why_not"] == "does not find the genesis block"
    assert said["others"][0]["ours_against_it"] == {"nonces": pytest.approx(1.6), "versions": pytest.approx(1.8)}
    assert said["others"][1] == {"why_not": "minerd told no rate"}
    assert said["missing"] == [{"engine": "native", "why": "no llvmlite"}]
    assert (said["best_engine"], said["best_hashrate_mhs"]) == ("x86-sha", 90.0)
    assert said["asic"]["hosts_in_one"] == pytest.approx(200e6 / 90)
    assert said["asic"]["from"] == "site"


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs would get progress among the answer, people no comparison with a machine, or a figure be of nothing."""
    monkeypatch.setenv("PATH", "")
    assert run("--json", "--seconds", "0.05", "--workers", "1") == Exit.OK
    said = json.loads(capsys.readouterr().out)
    names = {engine.name for engine in engines()}
    assert {(row["engine"], row["work"]) for row in said["rates"]} == {(n, w) for n in names for w in bench.WORKS}
    assert all(row["hashrate_mhs"] > 0 for row in said["rates"])
    assert said["chosen"]["engine"] in names
    assert said["others"] == []
    assert said["asic"]["from"] == "catalogue"


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """People would not be told what another miner or a machine does in comparison, or which engine hashes."""
    bench.show(REPORT)
    said = " ".join(capsys.readouterr().out.split())
    for words in (
        "x86-sha rolled versions 2 threads 90.000 2.00x",
        "a start chooses: SHA-256d by hashlib (hashlib 1 MH/s, x86-sha does not find the genesis block)",
        "first hash 0.31 s after it",
        "native missing: no llvmlite",
        "hashwatt has 1.60x that on nonces, 1.80x with rolled versions",
        "no comparison: minerd told no rate",
        "this site's most efficient machine, S21: 200.0 TH/s at 17.5 J/TH, as much as 2,222,222 of this host",
    ):
        assert words in said


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
