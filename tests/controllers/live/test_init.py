"""`hashwatt init` against a pretend site: who is found, as what, and that the written file is one that works."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytest

from controllers.cli import main
from controllers.config import load_site
from fleet.catalogue import ANTMINER, LUXOS, WHATSMINER
from fleet.discovery import addresses
from simulators.faults import Fault

Real = Callable[..., None]
ANSWERS = ("--power-usd-mwh", "62", "--cap-kw", "9.5", "--mempool-url", "http://127.0.0.1:9/api")


async def init(site: Any, *words: str) -> tuple[int, str, str]:
    """The command beside a running world."""
    output, errors = io.StringIO(), io.StringIO()

    def run() -> int:
        with redirect_stdout(output), redirect_stderr(errors):
            return main(["init", *words, "--site", str(site.folder / "new.toml")])

    code = await asyncio.to_thread(run)
    return code, output.getvalue(), errors.getvalue()


def block_of(site: Any) -> str:
    """The first three numbers of the site's addresses."""
    return str(site.roster.machines[0].host.rpartition(".")[0])


def test_each_dialect_is_found_as_what_it_is_and_the_file_works(real: Real) -> None:
    """A scan that takes one make for another writes a file whose commands go to the wrong place."""

    async def work(site: Any) -> None:
        block = block_of(site)
        code, output, errors = await init(site, f"{block}.0/29", "--json", *ANSWERS)
        assert code == 0, errors
        found = json.loads(output)["machines"]
        assert [(m["host"], m["dialect"], m["model"]) for m in found] == [
            (f"{block}.1", LUXOS, "Antminer S19k Pro"),
            (f"{block}.2", ANTMINER, "Antminer S19j Pro"),
            (f"{block}.3", WHATSMINER, "WhatsMiner M60S"),
        ]
        written = load_site(site.folder / "new.toml")
        assert not written.live.any(), "a new site file is a dry run"
        assert written.file.caps_kw == {"site": 9.5}
        for ours, truth in zip(written.roster.machines, site.roster.machines, strict=True):
            assert [mode.name for mode in ours.modes] == [mode.name for mode in truth.modes]
        before = (site.folder / "new.toml").read_bytes()
        code, _, errors = await init(site, f"{block}.1", *ANSWERS)
        assert (code, (site.folder / "new.toml").read_bytes()) == (2, before)

        def check() -> tuple[int, str]:
            text = io.StringIO()
            with redirect_stdout(text):
                code = main(["check", "--json", "--site", str(site.folder / "new.toml")])
            return code, text.getvalue()

        code, checked = await asyncio.to_thread(check)
        rows = json.loads(checked)["machines"]
        assert [row["answered"] for row in rows] == [True, True, True]
        assert [row["fault"] for row in rows] == [None, None, None]

    real(work)


def test_silence_and_noise_are_nobody(real: Real) -> None:
    """A host that hangs must not hold up the scan, and one that talks nonsense is not given a make."""

    async def work(site: Any) -> None:
        code, output, errors = await init(site, f"{block_of(site)}.1-{block_of(site)}.6", "--timeout", "1", *ANSWERS)
        assert (code, output) == (1, ""), errors
        assert "nobody answered at 6 addresses" in errors
        assert not (site.folder / "new.toml").exists()

    real(work, (LUXOS, ANTMINER), faults={0: Fault.HANG, 1: Fault.DROP})


def test_without_a_terminal_the_usual_answers_are_taken_and_said(real: Real) -> None:
    """A script must not hang at a question that nobody sees."""

    async def work(site: Any) -> None:
        code, _, errors = await init(site, f"{block_of(site)}.1")
        assert code == 0
        assert errors.count("no terminal to ask: this was taken") == 3
        written = load_site(site.folder / "new.toml").file
        assert (written.tariff.kind, written.caps_kw, written.feeds[0].kind) == ("fixed", {}, "mempool")

    real(work, (LUXOS,))


@pytest.mark.parametrize(
    ("ranges", "hosts"),
    [
        (["10.0.0.0/30"], ["10.0.0.1", "10.0.0.2"]),
        (["10.0.0.7"], ["10.0.0.7"]),
        (["10.0.0.6/31"], ["10.0.0.6", "10.0.0.7"]),
        (["10.0.0.254-10.0.1.1"], ["10.0.0.254", "10.0.0.255", "10.0.1.0", "10.0.1.1"]),
        (["10.0.0.9", "10.0.0.1-10.0.0.2"], ["10.0.0.9", "10.0.0.1", "10.0.0.2"]),
    ],
)
def test_ranges_are_what_people_write(ranges: list[str], hosts: list[str]) -> None:
    """A scan that leaves out the last host of a range loses a machine."""
    assert list(addresses(ranges)) == hosts


@pytest.mark.parametrize("text", ["10.0.0.2-10.0.0.1", "10.0.0", "::1", "10.0.0.0/40", "", "a-b", "0.0.0.0/0"])
def test_what_is_no_range_is_said(text: str) -> None:
    """A mistyped range must not become a scan of something else."""
    with pytest.raises(ValueError, match=r"expected"):
        list(addresses([text]))
