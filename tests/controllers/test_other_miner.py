"""Another miner beside us: what its benchmark prints is read, and what it does not do in time ends."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from controllers.other_miner import NoRate, OtherRate, installed, read, run

# cpuminer-opt 26.1, `--algo sha256d --benchmark --threads 1 --time-limit 16`, cut to what matters; the first total is of
# an instant, and too high
PRINTED = """
         **********  cpuminer-opt 26.1  **********
CPU: AMD EPYC
[2026-11-24 22:24:29] 1 of 2 miner threads started using 'sha256d' algorithm
[2026-11-24 22:24:35]\x1b[01;37m Total: 29.18 MH/s, Temp: 0C, Freq: 0.000/0.000 GHz\x1b[0m
[2026-11-24 22:24:40]\x1b[01;37m Total: 24.87 MH/s, Temp: 0C, Freq: 0.000/0.000 GHz\x1b[0m
[2026-11-24 22:24:45]\x1b[01;37m Total: 24.79 MH/s, Temp: 0C, Freq: 0.000/0.000 GHz\x1b[0m
[2026-11-24 22:24:45]\x1b[01;37m Benchmark: 24.78 MH/s\x1b[0m
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PRINTED, OtherRate("cpuminer-opt 26.1", 1, 24.87e6, "x")),
        ("[..] Total: 812.5 kH/s", OtherRate("m", 1, 812_500.0, "x")),
        ("[..] Total: 1.5 GH/s", OtherRate("m", 1, 1.5e9, "x")),
        # the forefather, pooler's minerd
        ("[..] Total: 4312 khash/s", OtherRate("m", 1, 4_312_000.0, "x")),
        ("[..] Total: 0.00 H/s\n", NoRate("m told no rate; it said last: [..] Total: 0.00 H/s")),
        (
            "m: unrecognized option '--time-limit'\n\n",
            NoRate("m told no rate; it said last: m: unrecognized option '--time-limit'"),
        ),
        ("", NoRate("m told no rate; it said last: nothing")),
    ],
)
def test_what_it_printed(text: str, said: OtherRate | NoRate) -> None:
    """A rate would be taken a thousand times too high or low, or silence for a rate of zero."""
    assert read(text, "m", 1, "x") == said


def program(folder: Path, name: str, body: str) -> Path:
    """A program of that name."""
    path = folder / name
    path.write_text(f"#!{sys.executable}\nimport sys\n{body}\n")
    path.chmod(0o755)
    return path


def test_the_first_that_is_installed(tmp_path: Path) -> None:
    """A miner that is there would not be found."""
    assert installed(str(tmp_path)) is None
    older = program(tmp_path, "minerd", "")
    assert installed(str(tmp_path)) == older
    newer = program(tmp_path, "cpuminer", "")
    assert installed(str(tmp_path)) == newer


def test_it_is_run_for_sha256d_alone_and_for_as_long_as_asked(tmp_path: Path) -> None:
    """Another algorithm's rate would be compared with ours, or that of another number of threads."""
    miner = program(tmp_path, "cpuminer", "print('Total: 2 MH/s', sys.argv[1:])")
    command = "cpuminer --algo sha256d --benchmark --cpu-priority 2 --threads 2 --time-limit 17"
    assert run(miner, 2, 17) == OtherRate("cpuminer", 2, 2e6, command)


def test_one_that_does_not_run(tmp_path: Path) -> None:
    """A file that is no program would be a traceback."""
    no_program = tmp_path / "cpuminer"
    no_program.write_bytes(b"\0")
    no_program.chmod(0o755)
    assert isinstance(run(no_program, 1, 5), NoRate)


def test_one_that_does_not_end(tmp_path: Path) -> None:
    """A miner without a time limit would mine on, and the benchmark wait for it."""
    miner = program(tmp_path, "minerd", "import time; print('Total: 2 MH/s', flush=True); time.sleep(60)")
    assert run(miner, 1, 5, grace_s=-15.5) == NoRate("minerd did not end -15.5 s after its time limit of 16 s")
