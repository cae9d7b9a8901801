"""Pools behind TLS: one that proves who it is carries everything, one that does not is told by name and left."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from controllers.pool.dial import Dial
from controllers.pool.pools import Pools
from controllers.pool.settings import Failover, PoolTable
from controllers.pool.wire import LINES_AT_ONCE
from tests.controllers.pool.conftest import HonestPool, met, standing

QUICK = {"back_off_s": 0.05, "back_off_most_s": 0.1, "probe_s": 0.05, "return_after_s": 1_000, "connect_s": 0.5}
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
YEAR = dt.timedelta(days=365)


class Authority:
    """Signs certificates; its own is `file`."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory, self._name = directory, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.file = directory / f"{name}.pem"
        self.file.write_bytes(self._signed(self._name, self._key, YEAR, []).public_bytes(serialization.Encoding.PEM))

    def context(self, name: x509.GeneralName, lasts: dt.timedelta = YEAR) -> ssl.SSLContext:
        """A server's, with a certificate for this name that lasts so long from now on."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pool")])
        made = self._signed(subject, key, lasts, [name])
        file = self._directory / "pool.pem"
        pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
        file.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _signed(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, lasts: dt.timedelta, names: list[x509.GeneralName]
    ) -> x509.Certificate:
        until = dt.datetime.now(dt.UTC) + lasts
        builder = (
            x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(until - 2 * YEAR)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())


LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
ELSEWHERE = x509.DNSName("pool.example")


def on(loop: str, world: Coroutine[Any, Any, None]) -> None:
    """Run it on this loop, on which no error may go unheard."""
    unheard: list[Any] = []
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: unheard.append(context))
        runner.run(world)
    assert not unheard


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("how", ["pass", "aggregate"])
def test_a_pool_that_proves_who_it_is_carries_everything(tmp_path: Path, how: str, loop: str) -> None:
    """Words, jobs in bunches, and shares both ways: a site whose pool takes TLS alone could not mine."""

    async def world() -> None:
        authority = Authority(tmp_path, "ca")
        pool = HonestPool(tls=authority.context(LOOPBACK))
        async with (
            pool,
            standing(tmp_path, [{"url": pool.url, "ca_file": "ca.pem"}], how=how, failover=QUICK) as tap,
            tap.miner(1) as miner,
            tap.miner(2) as other,
        ):
            await miner.begin(rolls=True)
            await other.begin()
            for machine in (miner, other):
                assert (await machine.submit())["result"] is True
            # more lines at once than are heard in a turn: TLS pauses and goes on like TCP
            for _ in range(3 * LINES_AT_ONCE):
                last = pool.notify()
            await miner.until(lambda: miner.work == last)
            assert (await miner.submit())["result"] is True
            assert sorted(worker for worker, _ in pool.shares) == ["acct.m1", "acct.m1", "acct.m2"]
            assert not pool.bad
            assert not any(tap.tap.status()["flaws"].values())
            assert tap.tap.counted().shares.tolist() == [2, 1, 0, 0]
            assert tap.told("pool") == [f"in use: {pool.url}"]
            assert tap.told("pool failed") == tap.told("pool lost") == []
            await pool.close()
            await asyncio.wait_for(miner.ended.wait(), 5)

    on(loop, world())


class PlainPool(HonestPool):
    """One without TLS, at an address that says that it has it: it closes, says something or waits for the end of a line."""

    def __init__(self, manner: str, host: str) -> None:
        super().__init__("plain", host=host)
        self.manner, self.left = manner, asyncio.Event()

    @property
    def url(self) -> str:
        """Its address."""
        return f"stratum+ssl://{self.host}:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.manner == "speaks":
            writer.write(b'{"id":null,"result":null,"error":[20,"hunter2 is unknown",null]}\n')
        if self.manner != "closes":
            with suppress(ConnectionError):
                while await reader.read(1_000):
                    pass
        writer.transport.abort()
        self.left.set()


BAD: dict[str, tuple[Any, dict[str, Any], str, str]] = {
    "another's certificate": (ELSEWHERE, {}, "127.0.0.1", "not trusted: IP address mismatch"),
    "another name's certificate": (ELSEWHERE, {}, "localhost", "not trusted: Hostname mismatch"),
    "unknown authority": (LOOPBACK, {"ca_file": "other.pem"}, "127.0.0.1", "not trusted: unable to get local issuer"),
    "none of the host's authorities": (LOOPBACK, {"ca_file": None}, "127.0.0.1", "not trusted: unable to get local"),
    "expired": ((LOOPBACK, -YEAR / 365), {}, "127.0.0.1", "not trusted: certificate has expired"),
    "no authority's file": (LOOPBACK, {"ca_file": "no.pem"}, "127.0.0.1", "ca_file no.pem: cannot be used: No such"),
    "a file that is none": (LOOPBACK, {"ca_file": "secret.pem"}, "127.0.0.1", "ca_file secret.pem: cannot be used: "),
    "plain text, closes": ("closes", {}, "127.0.0.1", "it ended the connection before it began"),
    "plain text, speaks": ("speaks", {}, "127.0.0.1", "it does not speak TLS as we do: "),
    "plain text, waits": ("waits", {}, "127.0.0.1", "no TLS connection within 0.5 s"),
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("how", ["pass", "aggregate"])
@pytest.mark.parametrize("bad", BAD)
def test_a_pool_that_cannot_be_trusted_is_told_and_the_next_is_used(
    tmp_path: Path, bad: str, how: str, loop: str
) -> None:
    """Whoever stands between site and pool takes the hashes; and who is told no reason turns the check off."""
    kind, table, host, told = BAD[bad]

    async def world() -> None:
        authority = Authority(tmp_path, "ca")
        Authority(tmp_path, "other")
        (tmp_path / "secret.pem").write_text("hunter2")
        if isinstance(kind, str):
            pool: HonestPool = PlainPool(kind, host)
        else:
            name, lasts = kind if isinstance(kind, tuple) else (kind, YEAR)
            pool = HonestPool("bad", tls=authority.context(name, lasts), host=host)
        async with (
            pool,
            HonestPool("good") as second,
            standing(
                tmp_path, [{"url": pool.url, "ca_file": "ca.pem", **table}, second.url], how=how, failover=QUICK
            ) as tap,
            tap.miner() as miner,
        ):
            await miner.begin()
            assert (await miner.submit())["result"] is True
            assert second.shares
            # it is tried again and again, and told once
            state = tap.tap._pools.states[0]
            await met(lambda: state.failures >= 3)
            (event,) = tap.told("pool failed")
            assert event.startswith(f"{pool.url}: ")
            assert told in event
            assert tap.tap.status()["pools"][0]["why"] in event
            assert not any("hunter2" in text for _, text in tap.said)
            assert state.sessions == 0
            assert pool.agents == []
            if isinstance(pool, PlainPool):
                # a handshake that was given up does not go on
                await asyncio.wait_for(pool.left.wait(), 5)

    on(loop, world())


def test_a_failure_is_told_again_when_it_is_another_or_the_pool_was_well(tmp_path: Path) -> None:
    """An event for every attempt buries the journal; one for ever hides that it broke again, or in another way."""
    said: list[tuple[str, str]] = []

    async def world() -> None:
        tables = tuple(PoolTable(url=f"stratum+ssl://{name}:1") for name in "ab")
        failover, loop = Failover(), asyncio.get_running_loop()
        dial = Dial(
            loop,
            Pools(tables, failover),
            failover,
            tmp_path,
            say=lambda kind, text: said.append((kind, text)),
            changed=lambda: None,
        )
        dial.served(1)
        for why in ("late", "late", "expired", "expired"):
            dial.failed(0, why)
        dial.pools.well(0, loop.time())
        dial.failed(0, "expired")
        dial.failed(0, "expired")
        dial.failed(1, "gone")
        dial.failed(1, "gone")

    asyncio.run(world())
    a, b = "stratum+ssl://a:1: ", "stratum+ssl://b:1: "
    failed = [("pool failed", a + why) for why in ("late", "expired", "expired")]
    assert said == [("pool", f"in use: {b.removesuffix(': ')}"), *failed, ("pool lost", f"{b}gone")]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"url": "stratum+tcp://p:1", "ca_file": "ca.pem"}, r"a pool without TLS, expected stratum\+ssl"),
        ({"url": "stratum+ssl://a..b:1"}, "expected a host"),
        ({"url": "stratum+ssl://.a:1"}, "expected a host"),
        ({"url": f"stratum+tcp://{'a' * 64}:1"}, "expected a host"),
    ],
)
def test_a_pool_that_can_never_be_dialled_is_refused_at_once(table: dict[str, str], told: str) -> None:
    """An authority that nobody asks makes plain text look safe; a host that nobody can look up ends the tap when dialled."""
    with pytest.raises(ValidationError, match=told):
        PoolTable.model_validate(table)
