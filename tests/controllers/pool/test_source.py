"""The tap as the daemon has it: inside it, or a process of its own, the same numbers and the same answers."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tomli_w

from controllers.config import SiteError, load_site
from controllers.control import ask_daemon
from controllers.daemon import Daemon
from controllers.pool.source import Apart, gather
from controllers.pool.transfer import packed, unpacked
from fleet.work.counted import Counted, Flaw
from tests.controllers.pool.conftest import DIFFICULTY, SCALE, HonestPool, Miner, met

HASHWATT = (sys.executable, "-P", "-c", "import sys; from controllers.cli import main; sys.exit(main())")


def site_file(folder: Path, **tap: Any) -> Path:
    """A site of two machines with a tap."""
    machines = [
        {"id": f"m{n}", "model": "Antminer S19k Pro", "dialect": "luxos", "host": f"127.0.1.{n}"} for n in (1, 2)
    ]
    table = {"listen": "127.0.0.1:0", "simulated_scale": SCALE, **tap}
    site = {"name": "t", "tariff": {"kind": "fixed", "usd_mwh": 60}, "tick_s": 1, "machines": machines, "tap": table}
    path = folder / "site.toml"
    path.write_text(tomli_w.dumps(site))
    return path


def test_counts_go_through_the_socket_whole() -> None:
    """A column lost between tap and daemon is a machine judged by half of its shares."""
    rng = np.random.default_rng(3)
    columns = {name: rng.random(50) for name in ("shares", "work", "exposure", "away_s", "foreign_work", "best")}
    counted = Counted(
        at_s=12.5,
        epoch=9,
        connected=rng.random(50) > 0.5,
        last_s=np.where(rng.random(50) > 0.5, np.nan, 3.0),
        difficulty=np.full(50, np.nan),
        flawed=rng.random((50, len(Flaw))),
        **columns,
    )
    again = unpacked(packed(counted))
    for name in vars(counted):
        assert np.array_equal(getattr(again, name), getattr(counted, name), equal_nan=name in {"last_s", "difficulty"})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda values: values.pop("columns"),
        lambda values: values["columns"].pop("work"),
        lambda values: values["columns"].update(work="no base64 at all"),
        lambda values: values["columns"].update(work=values["columns"]["connected"]),
        lambda values: values.update(flaws=["LOW"]),
        lambda values: values.update(epoch=None),
    ],
)
def test_what_is_no_count_is_refused(spoil: Callable[[dict[str, Any]], Any]) -> None:
    """A tap of another version would be read as nonsense."""
    values = packed(Counted.nothing(3))
    spoil(values)
    with pytest.raises(ValueError, match=r"cannot be read|different lengths|expected"):
        unpacked(values)


@pytest.mark.parametrize(
    ("aggregates", "connections", "naps"),
    [(True, 2_000, True), (True, 1_999, False), (False, 10_000, False)],
)
def test_thousands_that_aggregate_are_heard_together(aggregates: bool, connections: int, naps: bool) -> None:
    """A tap that wakes for each share of ten thousand machines needs a third more of a core; for three, a nap is lost time."""
    tap: Any = SimpleNamespace(aggregates=aggregates, connections=connections)
    napped: list[float] = []

    async def turns() -> int:
        gathering, count = asyncio.create_task(gather(tap, napped.append)), 0
        while count < 20:
            await asyncio.sleep(0)
            count += 1
        gathering.cancel()
        return count

    # whatever it does, the loop has its turns in between
    assert asyncio.run(turns()) == 20
    assert set(napped) == ({0.002} if naps else set())
    assert len(napped) <= 20


def test_inside_the_daemon(tmp_path: Path) -> None:
    """A tap that nobody wired to the loop verifies for nobody."""

    async def world() -> None:
        async with HonestPool() as pool:
            daemon = Daemon(load_site(site_file(tmp_path, pools=[{"url": pool.url}], accounts=["acct"])))
            running = asyncio.create_task(daemon.run())
            socket = tmp_path / "state" / "hashwatt.sock"

            async def asked(**request: Any) -> dict[str, Any]:
                return await ask_daemon(socket, request)

            await met(lambda: any("listens" in event.text for event in daemon.events.last))
            (said,) = (event.text for event in daemon.events.last if "listens" in event.text)
            port = int(said.split("port ")[1].split(",")[0])
            async with Miner(port, address="127.0.1.2", user="acct.m2") as miner:
                await miner.begin()
                await miner.submit()
                await met(
                    lambda: (
                        daemon.loop is not None
                        and daemon.loop.last is not None
                        and daemon.loop.last.snapshot.counted is not None
                        and daemon.loop.last.snapshot.counted.work.tolist() == [0, DIFFICULTY]
                    )
                )
                status = (await asked(ask="tap"))["tap"]
                assert (status["shares"], status["connections"]) == (1, 1)
                pool.set_difficulty(2.0**24)
                await miner.until(lambda: miner.difficulty == 2.0**24)
                audit = await asked(ask="audit", machine="m2", shares_per_min=600, for_s=60)
                assert audit["audit"]["shares_per_min"] <= 600
                await miner.until(lambda: miner.difficulty == audit["audit"]["difficulty"])
                assert (await asked(ask="end_audit", machine="m2"))["ended"] is True
                assert (await asked(ask="share_log", machine="m2", for_s=5))["share_log"] == []
                for request, told in (
                    ({"ask": "audit", "machine": "m1"}, "no connection"),
                    ({"ask": "audit", "machine": "nobody"}, "expected an id"),
                    ({"ask": "audit", "machine": "m2", "for_s": -1}, "for_s is -1, expected a number above 0"),
                    ({"ask": "audit", "machine": "m2", "shares_per_min": "all"}, "expected a number"),
                ):
                    answer = await asked(**request)
                    assert not answer["ok"]
                    assert told in answer["error"]
                command = (*HASHWATT, "audit", "m2", "--site", str(tmp_path / "site.toml"))
                for words, code, answer_said in (
                    (("--shares-per-min", "600", "--for", "5m"), 0, b"for 300 s, at difficulty"),
                    (("--end",), 0, b"m2: let go"),
                    (("--end",), 0, b"was not under audit"),
                ):
                    ran = await asyncio.create_subprocess_exec(*command, *words, stdout=asyncio.subprocess.PIPE)
                    out, _ = await ran.communicate()
                    assert (ran.returncode, answer_said in out) == (code, True), out
                daemon.stop()
                await asyncio.wait_for(miner.ended.wait(), 10)
            await asyncio.wait_for(running, 20)

    asyncio.run(world())


def test_apart_it_survives_the_daemon(tmp_path: Path) -> None:
    """A restart of the daemon would cut every machine off."""

    async def world() -> None:
        async with HonestPool() as pool:
            path = site_file(tmp_path, pools=[{"url": pool.url}], apart=True)
            log = tmp_path / "log"
            with log.open("wb") as said:
                tap = await asyncio.create_subprocess_exec(
                    *HASHWATT, "tap", "--site", str(path), stdout=said, stderr=said
                )
            told: list[str] = []
            source = Apart(tmp_path / "state" / "tap.sock", lambda _, text: told.append(text))
            asking = asyncio.create_task(source.run())
            try:
                await met(lambda: b"listens" in log.read_bytes())
                port = int(log.read_text().split("port ")[1].split(",")[0])
                async with Miner(port, address="127.0.1.1") as miner:
                    await miner.begin()
                    await miner.submit()

                    def heard() -> bool:
                        counted = source.counted()
                        return counted is not None and counted.shares.tolist() == [1, 0]

                    await met(heard)
                    assert (await source.ask({"ask": "tap"}))["tap"]["connections"] == 1
                    with pytest.raises(LookupError, match="no connection"):
                        await source.ask({"ask": "audit", "machine": "m2"})
                    # the daemon goes and comes: another asks, and the machine has not noticed
                    other = Apart(tmp_path / "state" / "tap.sock", lambda *_: None)
                    second = asyncio.create_task(other.run())
                    await met(lambda: other.counted() is not None)
                    second.cancel()
                    assert not miner.ended.is_set()
                    os.kill(tap.pid, signal.SIGTERM)
                    await asyncio.wait_for(miner.ended.wait(), 5)
                assert await asyncio.wait_for(tap.wait(), 10) == 0
                await met(lambda: "does not answer" in told[-1])
                assert "the tap answers" in told
            finally:
                asking.cancel()
                if tap.returncode is None:
                    with suppress(ProcessLookupError):
                        tap.kill()
                    await tap.wait()

    asyncio.run(world())


@pytest.mark.parametrize(
    ("tap", "told"),
    [
        ({"pools": []}, "tap.pools: "),
        ({"pools": [{"url": "http://p:1"}]}, "tap.pools[0].url: is 'http://p:1', expected stratum+tcp://host:port"),
        ({"pools": [{"url": "stratum+tcp://p"}]}, "expected stratum+tcp://host:port"),
        ({"pools": [{"url": "stratum+tcp://u:secret@p:1"}]}, "expected no user and password"),
        ({"listen": "3333"}, "tap.listen: is '3333', expected \"address:port\""),
        ({"listen": "127.0.0.1:99999"}, "tap.listen"),
        ({"payout_addresses": ["1BoatSLRHtKNngkdXEeobR76b53LETtpyX"]}, "tap.payout_addresses: "),
        ({"how": "magic"}, "tap.how: is 'magic', expected 'pass' or 'aggregate'"),
        ({"vardiff": {"least": 9, "start": 3}}, "expected least (9) <= start (3)"),
        ({"limits": {"line_bytes": 1}}, "tap.limits.line_bytes: is 1, expected greater than or equal to 512"),
        ({"simulated_scale": 2}, "tap.simulated_scale: is 2"),
        ({"colour": 1}, "tap.colour: unknown key"),
    ],
)
def test_a_wrong_table_is_told_with_its_place(tmp_path: Path, tap: dict[str, Any], told: str) -> None:
    """A site file that is refused without a reason, or with a password in it, helps nobody."""
    path = site_file(tmp_path, **{"pools": [{"url": "stratum+tcp://p:1"}], **tap})
    with pytest.raises(SiteError) as error:
        load_site(path)
    assert told in str(error.value)
    assert "secret" not in str(error.value)


def test_a_tap_listens_on_loopback_unless_told() -> None:
    """A proxy for everybody on the network, that nobody asked for."""
    from controllers.pool.settings import PoolTable, TapSettings

    settings = TapSettings(pools=(PoolTable(url="stratum+ssl://pool.example:443"),))
    assert (settings.host, settings.port) == ("127.0.0.1", 3333)
    assert settings.pools[0].tls
    assert TapSettings(pools=settings.pools, listen="[::1]:0").host == "::1"
