"""`hashwatt verify` as an operator gives it, on a daemon over real sockets: with a tap and without, and when things end."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import tomli_w

from controllers.clock import Clock
from controllers.config import load_site
from controllers.daemon import Daemon
from controllers.pretend.simulate import mined_of
from controllers.pretend.site import real_day, site_tables
from controllers.verify.recheck import recheck
from controllers.verify.report import Report
from fleet.catalogue import LUXOS
from policies.proof import proofs
from simulators.mining.cheats import Cheat, Trick
from simulators.scenarios.scenario import FEE_WORKER, Block, Mining, Scenario
from simulators.scenarios.scenario import site as roster_of
from tests.controllers.live.conftest import DEADLINE_S, HASHWATT, PretendSite

OFTEN = {"lean_s": 10, "full_s": 20}
Real = Callable[..., None]


def report_in(path: Path) -> Report:
    """A report that was written."""
    return Report.model_validate_json(path.read_text())


def test_without_a_tap_the_counters_say_it(real: Real) -> None:
    """A site without a tap that gets no verdict, one that is taken for proof, or a report that cannot be judged again."""

    async def work(site: PretendSite) -> None:
        await site.run()
        page, told = site.folder / "r.html", site.folder / "r.json"
        words = ("verify", "site", "--site", str(site.path), "--for", "6h", "--by", "Ann B.", "--why", "trial")
        code, output, errors = await site.command(*words, "--json", str(told), "--html", str(page))
        assert code == 1, output + errors
        assert "undecided" in errors
        report = report_in(told)
        assert {m.machine: m.verdict for m in report.machines} == {"lux-1": "short", "lux-2": "honest"}
        assert {m.source for m in report.machines} == {"counters"}
        cheat = report.machines[0].spoken
        assert cheat is not None
        assert cheat.low is not None
        assert cheat.high is not None
        assert cheat.low < 1 / 1.4 < cheat.high < 1
        assert (report.asked_by, report.why, report.ended, report.share_file) == ("Ann B.", "trial", "verdicts", None)
        assert any("verified by nobody" in note for note in report.notes)
        assert re.search(r"lux-1 .* short", output)
        assert report.digest in output
        assert report.digest in page.read_text()
        for path in (told, page):
            again = recheck(path)
            assert again.faults == ()
            assert "no share is in the report: what was counted is the counter's own word" in again.unchecked

    real(work, (LUXOS, LUXOS), claims={"lux-1": 1.4}, polling=OFTEN, beliefs={"share_check": {"shortfall": 0.2}})


def test_a_restart_does_not_end_a_check_and_ctrl_c_reports_what_there_is(real: Real) -> None:
    """A check of a night that is lost at five in the morning, or a Ctrl-C after hours that leaves nothing."""

    async def work(site: PretendSite) -> None:
        daemon = await site.run()
        told = site.folder / "r.json"
        words = ("verify", "lux-1", "--site", str(site.path), "--for", "20h", "--full", "--json", str(told))
        verify = await site.spawn(*words, log="verify.log")
        await site.until(lambda: "check " in site.log("verify.log"), "the check is under way")
        found = re.search(r"check ([0-9a-f]{12})", site.log("verify.log"))
        assert found is not None

        async def expected() -> float:
            try:
                answer = await site.ask("verify_progress", id=found[1])
            except (ConnectionError, TimeoutError):
                return 0.0
            return float(answer["rows"][0]["expected"]) if answer["ok"] and answer["rows"] else 0.0

        async def counts() -> bool:
            return await expected() > 50

        await site.until(counts, "shares are counted")
        daemon.send_signal(signal.SIGTERM)
        await daemon.wait()
        before = json.loads(next((site.folder / "state" / "checks").glob("*.json")).read_text())
        kept = float(before["counting"]["counters"]["expected"][0])
        assert kept > 50
        await site.until(lambda: "goes on when the daemon is back" in site.log("verify.log"), "it waits, and says so")
        await site.run()

        async def goes_on() -> bool:
            return await expected() > kept + 20

        await site.until(goes_on, "the check goes on where it was")
        verify.send_signal(signal.SIGINT)
        async with asyncio.timeout(DEADLINE_S):
            assert await verify.wait() == 130
        report = report_in(told)
        spoken = report.machines[0].spoken
        assert spoken is not None
        assert spoken.expected > kept
        assert report.ended == "stopped"
        assert any("the daemon began anew" in note for note in report.notes)
        assert "partial report" in site.log("verify.log")
        answer = await site.ask("verify_progress", id="none")
        assert "check is 'none', expected the id" in answer["error"]

    real(work, (LUXOS,), polling=OFTEN)


def test_what_cannot_be_checked_is_refused(real: Real) -> None:
    """A machine that is not there, checked for two hours; or a check that nobody can end."""

    async def work(site: PretendSite) -> None:
        await site.start()
        for request, said in (
            ({"scope": "lux-9"}, "scope is 'lux-9'"),
            ({"for_s": 8_553_600.0}, "for_s is 8553600.0"),
            ({"for_s": 0.0}, "for_s is 0.0"),
            ({"shares_per_min": 0.0}, "shares_per_min is 0.0"),
            ({"by": ""}, "by is ''"),
            ({"rm": "-rf"}, "rm is '-rf'"),
        ):
            answer = await site.ask("verify_start", **{"scope": "lux-1", "for_s": 60.0, "by": "ann", **request})
            assert said in answer["error"], answer
        found, _, errors = await site.command("verify", "lux-9", "--site", str(site.path))
        assert (found, "scope is 'lux-9'" in errors) == (4, True), errors
        assert (await site.status())["ok"]
        for _ in range(16):
            assert (await site.ask("verify_start", scope="lux-1", for_s=60_000.0, by="ann"))["ok"]
        answer = await site.ask("verify_start", scope="lux-1", for_s=60.0, by="ann")
        assert "16 checks are under way" in answer["error"]
        await site.stop()
        found, _, errors = await site.command("verify", "lux-1", "--site", str(site.path))
        assert found == 3, errors

    real(work, (LUXOS,))


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def mining_site(net: int) -> tuple[Scenario, str]:
    """Two machines that mine for real, one of them a fifth of its shares for somebody else; and where the tap is."""
    pool, fee, api, tap = free_ports(4)
    roster = roster_of((Block("lux", "Antminer S19k Pro", LUXOS, 2, ("shed",)),), net)
    mining = Mining(
        pool_port=pool,
        fee_port=fee,
        api_port=api,
        hashes_per_s=50_000.0,
        cheats={"lux-001": (Cheat(Trick.FOREIGN, 0.2, worker=FEE_WORKER),)},
    )
    return Scenario("mining", roster, 1, mining=mining), f"127.0.0.1:{tap}"


def test_through_the_tap_it_is_proved_share_by_share(tmp_path: Path, block: str) -> None:
    """A hidden fee that a check at the tap does not find, does not explain, or cannot prove to somebody else."""
    made, tap = mining_site(int(block.split(".")[1]))
    speed, day = 60.0, real_day(date(2024, 8, 20))

    async def command(*words: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *HASHWATT, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        async with asyncio.timeout(90):
            output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()

    async def work() -> None:
        clock = Clock(speed, day.start_s)
        tables: dict[str, Any] = site_tables(
            made.roster,
            day,
            mined=mined_of(made, speed, tap),
            name="mining",
            speed=speed,
            state="state",
            live=False,
            secrets=tmp_path,
            anchor_real_s=time.time(),
        )
        tables["beliefs"] = {"share_check": {"shortfall": 0.15}}
        path = tmp_path / "site.toml"
        path.write_text(tomli_w.dumps(tables))
        async with made.world(clock, tap=tap):
            daemon = Daemon(load_site(path), clock)
            running = asyncio.create_task(daemon.run())
            try:
                told = tmp_path / "r.json"
                words = (
                    "verify",
                    "site",
                    "--site",
                    str(path),
                    "--for",
                    "4h",
                    "--shares-per-min",
                    "90",
                    "--json",
                    str(told),
                )
                async with asyncio.timeout(DEADLINE_S):
                    while daemon.tap_status.latest is None or daemon.tap_status.latest["shares"] < 20:
                        assert not running.done()
                        await asyncio.sleep(0.05)
                _, status = await command("status", "--site", str(path))
                assert re.search(
                    r"tap +2 connections, stratum\+tcp://127\.0\.0\.1:\d+; [\d.]+ shares/s verified by ", status
                )
                code, output = await command(*words)
            finally:
                daemon.stop()
                await running
        assert code == 1, output
        report = report_in(told)
        cheat, honest = report.machines
        assert (cheat.verdict, honest.verdict) == ("short", "honest"), output
        assert (cheat.source, honest.source) == ("tap", "tap")
        assert cheat.tap is not None
        assert cheat.tap.audit is not None
        assert cheat.tap.flawed["foreign"] > 10
        assert cheat.log is not None
        assert cheat.spoken is not None
        assert abs(cheat.log.shares - cheat.spoken.shares) <= 5 + 0.01 * cheat.spoken.shares
        assert report.share_file is not None
        code, output = await command("verify", "--recheck", str(told))
        assert (code, "it agrees with itself" in output) == (0, True), output
        shares = told.with_suffix(".shares")
        content = bytearray(shares.read_bytes())
        content[40] ^= 1
        shares.write_bytes(content)
        code, output = await command("verify", "--recheck", str(told))
        assert (code, "1 shares are not as hard as was asked" in output) == (1, True), output

    asyncio.run(work())


def all_told(daemon: Daemon) -> bool:
    """Has the pool told enough of every machine?"""
    evidence = None if daemon.loop is None else daemon.loop.view.pool_evidence
    return evidence is not None and bool((evidence.total_expected > 150).all())


def test_without_a_tap_the_pools_own_page_speaks(tmp_path: Path, block: str) -> None:
    """A pool whose word reaches nobody: workers that are no machine's, another unit, or figures of another moment."""
    made, _ = mining_site(int(block.split(".")[1]))
    speed, day = 60.0, real_day(date(2024, 8, 20))

    async def work() -> None:
        clock = Clock(speed, day.start_s)
        tables: dict[str, Any] = site_tables(
            made.roster,
            day,
            mined=mined_of(made, speed, None),
            name="mining",
            speed=speed,
            state="state",
            live=False,
            secrets=tmp_path,
            anchor_real_s=time.time(),
        )
        assert "tap" not in tables
        tables["beliefs"] = {"share_check": {"shortfall": 0.15}}
        path = tmp_path / "site.toml"
        path.write_text(tomli_w.dumps(tables))
        async with made.world(clock):
            daemon = Daemon(load_site(path), clock)
            running = asyncio.create_task(daemon.run())
            try:
                async with asyncio.timeout(DEADLINE_S):
                    while not running.done() and not all_told(daemon):
                        await asyncio.sleep(0.1)
                assert daemon.loop is not None
                assert daemon.loop.last is not None
                found = proofs(daemon.site.judgment, daemon.loop.last)
                cheat, honest = (next(said for said in proof.sources if said.source == "pool") for proof in found)
                assert cheat.delivered is not None
                assert honest.delivered is not None
                assert cheat.delivered < 0.92 < honest.delivered
                assert [proof.tap for proof in found] == [None, None]
                assert {state.source: state.ok for state in daemon.internals()["feeds"]}["ckpool"]
                assert not [event for event in daemon.events.last if event.kind == "pool"]
            finally:
                daemon.stop()
                await running

    asyncio.run(work())
