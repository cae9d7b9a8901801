"""The site file's [metrics] and [mqtt]: where the last Record is shown. Nothing is opened unless the site file says so."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fleet.settings import Seconds, Settings

Port = Annotated[int, Field(ge=0, le=65_535)]
Topic = Annotated[
    str, Field(pattern=r"^[^/+#$\x00-\x20][^+#\x00-\x1f]*[^/+#\x00-\x1f]$|^[^/+#$\x00-\x20]$", max_length=200)
]
"""Levels of an MQTT topic, without wildcards and not the broker's own ($SYS)."""
_SECRET_BYTES_MOST = 4_096


class SecretMissing(ValueError):
    """A secret or a certificate that is named and cannot be read; the message names the place, never what stands there."""


class MetricsSettings(Settings):
    """Prometheus exposition over HTTP."""

    host: str = "127.0.0.1"
    """Loopback unless the site file says otherwise."""
    port: Port = 9184
    """0: any free port."""
    detail: Literal["site", "machines", "parts"] = "parts"
    """Sums of the site and its places alone, every machine too, or its hash boards and fans besides."""


class MqttSettings(Settings):
    """State out and orders in over an MQTT 5 broker."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65_535)] = 1883
    topic: Topic = "hashwatt"
    """First level, or levels, of every topic: {topic}/{site}/…"""
    username: str | None = None
    password_file: Path | None = None
    """A file whose first line is the password; relative to the site file."""
    password_env: str | None = None
    """Or the environment variable that has it."""
    tls: bool = False
    """TLS with the host's own authorities; a `ca_file` means TLS too."""
    ca_file: Path | None = None
    cert_file: Path | None = None
    """The client's certificate; the key may stand in the same file."""
    key_file: Path | None = None
    orders: bool = False
    """Take orders from {topic}/{site}/order."""
    period_s: Annotated[Seconds, Field(ge=0.1)] = 10
    """At most so often is a machine's state sent (real time), unless its state or operating point changed."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        """One source of the password, a name with it, and TLS for a certificate."""
        if self.password_file is not None and self.password_env is not None:
            raise ValueError("password_file and password_env are both given, expected one of them")
        if self.username is None and (self.password_file is not None or self.password_env is not None):
            raise ValueError("a password is given without a username, expected both")
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file is given without cert_file, expected both")
        if self.cert_file is not None and not self.encrypted:
            raise ValueError("cert_file is given without tls or ca_file, expected TLS for a client's certificate")
        return self

    @property
    def encrypted(self) -> bool:
        """Does it speak TLS?"""
        return self.tls or self.ca_file is not None

    def password(self, directory: Path) -> str | None:
        """The password, read now; files are relative to `directory`. None where none is named.

        Raises:
            SecretMissing: the file or the variable is not there.
        """
        if self.password_file is not None:
            try:
                with (directory / self.password_file.expanduser()).open(encoding="utf-8") as lines:
                    return lines.readline(_SECRET_BYTES_MOST).rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                raise SecretMissing(
                    f"mqtt.password_file {self.password_file}: cannot be read: {type(error).__name__}"
                ) from None
        if self.password_env is not None and self.password_env not in os.environ:
            raise SecretMissing(f"mqtt.password_env {self.password_env}: not set, expected the broker's password")
        return None if self.password_env is None else os.environ[self.password_env]

    def tls_context(self, directory: Path) -> ssl.SSLContext | None:
        """What TLS asks of the broker and shows of us; None without TLS. The broker's name is always checked.

        Raises:
            SecretMissing: a file cannot be read or is no certificate.
        """
        if not self.encrypted:
            return None
        try:
            context = ssl.create_default_context(cafile=None if self.ca_file is None else directory / self.ca_file)
            if self.cert_file is not None:
                key = None if self.key_file is None else directory / self.key_file
                context.load_cert_chain(directory / self.cert_file, key)
        except OSError as error:  # ssl.SSLError is one
            files = ", ".join(str(f) for f in (self.ca_file, self.cert_file, self.key_file) if f is not None)
            raise SecretMissing(f"mqtt: {files or 'TLS'}: cannot be used: {type(error).__name__}: {error}") from None
        return context
