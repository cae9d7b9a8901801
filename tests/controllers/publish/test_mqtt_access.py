"""MQTT's doors: certificates, access lists, and what the settings refuse before anything is opened."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import ipaddress
import json
import re
import ssl
from functools import partial
from pathlib import Path
from typing import Any, cast

import aiomqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from controllers.control import order_of
from controllers.publish.settings import MqttSettings, SecretMissing
from controllers.publish.states import MachineState
from tests.conftest import ROOT
from tests.controllers.publish.conftest import eventually, listening, make_broker
from tests.controllers.publish.test_mqtt import BASE, Yard, run
from tests.controllers.publish.yard import yard
from tests.policies.conftest import T0


def certify(directory: Path, name: str, by: str | None = None) -> None:
    """A certificate for 127.0.0.1 with its key, `{name}.pem`, signed by another's (its own: an authority)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, signer = subject, key
    if by is not None:
        text = (directory / f"{by}.pem").read_bytes()
        issuer = x509.load_pem_x509_certificate(text).subject
        loaded = serialization.load_pem_private_key(text, None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        signer = loaded
    began = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(began)
        .not_valid_after(began + dt.timedelta(days=36_500))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (directory / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)


@pytest.mark.requires("mosquitto")
# paho leaves the socket of a failed handshake to the garbage collector, which may come round in the middle of the story.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_tls_with_certificates_on_both_sides(tmp_path: Path) -> None:
    """State and orders cross a network only encrypted, to the broker that is meant, as the one that we are."""
    for name, by in (("ca", None), ("broker", "ca"), ("yard", "ca"), ("other-ca", None)):
        certify(tmp_path, name, by)
    files = {"cafile": "ca.pem", "certfile": "broker.pem", "keyfile": "broker.pem"}
    tls = "".join(f"{key} {tmp_path / file}\n" for key, file in files.items())
    made = make_broker(
        tmp_path, f"{tls}require_certificate true\nuse_identity_as_username true\nallow_anonymous false\n"
    )

    async def story() -> None:
        files = {"ca_file": "ca.pem", "cert_file": "yard.pem"}
        good = Yard(made.port, tmp_path, **files)
        good.tick()
        context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        context.load_cert_chain(tmp_path / "yard.pem")
        async with good.running(), listening(made.port, tls_context=context) as ear:
            await eventually(lambda: f"{BASE}/machine/m0" in ear.last, "told over TLS")
        for broken in (
            {"ca_file": "other-ca.pem"},
            {**files, "ca_file": "other-ca.pem"},
            {**files, "cert_file": "no.pem"},
        ):
            bad = Yard(made.port, tmp_path, **broken)
            task = asyncio.create_task(bad.publisher.run())
            await eventually(partial(bad.count, "broker lost"), f"refused: {broken}")
            assert not bad.publisher.connected
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    try:
        made.start()
        run(story())
    finally:
        made.end()
        # What it leaves is collected here, and not in another test.
        gc.collect()


def test_a_subscription_that_is_refused_is_an_error(tmp_path: Path) -> None:
    """An operator who believes that orders arrive, while the broker refused them, finds out too late."""

    class Refusing:
        async def subscribe(self, topic: str, **more: Any) -> list[int]:
            return [0x87]

    with pytest.raises(aiomqtt.MqttError, match=f"refused the subscription to {BASE}/order"):
        asyncio.run(Yard(1, tmp_path).publisher._subscribe(cast("aiomqtt.Client", Refusing())))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"topic": "a/#"}, "topic"),
        ({"topic": "$SYS"}, "topic"),
        ({"topic": "/a"}, "topic"),
        ({"topic": ""}, "topic"),
        ({"password_file": "x", "username": "u", "password_env": "Y"}, "expected one of them"),
        ({"password_env": "Y"}, "without a username"),
        ({"key_file": "k"}, "without cert_file"),
        ({"cert_file": "c"}, "expected TLS"),
        ({"period_s": 0}, "period_s"),
        ({"password": "x"}, "password"),
        ({"port": 0}, "port"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], expected: str) -> None:
    """A site file that asks for the impossible is told at once, not when the broker is first needed."""
    with pytest.raises(ValidationError, match=re.escape(expected)):
        MqttSettings(**settings)


def test_a_secret_that_is_not_there_names_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has to lead to the file or variable, and hold nothing of what stands in another."""
    with pytest.raises(SecretMissing, match=r"mqtt\.password_file nowhere"):
        MqttSettings(username="u", password_file=Path("nowhere")).password(tmp_path)
    monkeypatch.delenv("HASHWATT_NO_SUCH", raising=False)
    with pytest.raises(SecretMissing, match="HASHWATT_NO_SUCH"):
        MqttSettings(username="u", password_env="HASHWATT_NO_SUCH").password(tmp_path)
    (tmp_path / "bad.pem").write_text("hunter2")
    with pytest.raises(SecretMissing, match=r"bad\.pem") as caught:
        MqttSettings(ca_file=Path("bad.pem")).tls_context(tmp_path)
    assert "hunter2" not in str(caught.value)


def test_the_examples_of_the_page_are_what_is_sent_and_taken() -> None:
    """Whoever writes a client from docs/mqtt.md must find the fields that are there."""
    first, second = re.findall(r"```json\n(.*?)```", (ROOT / "docs/mqtt.md").read_text(), re.DOTALL)
    state = MachineState.model_validate_json(first)
    assert set(json.loads(first)) == set(state.model_dump())
    assert order_of(json.loads(second), yard().roster, T0).cap_w == 60_000
