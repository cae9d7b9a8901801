"""The site file's [metrics] and [mqtt]: where the last Record is shown. Nothing is opened unless the site file says so."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from fleet.settings import Name, Seconds, Settings

Port = Annotated[int, Field(ge=0, le=65_535)]


class MetricsSettings(Settings):
    """Prometheus exposition over HTTP."""

    host: str = "127.0.0.1"
    """Loopback unless the site file says otherwise."""
    port: Port = 9184
    """0: any free port."""


class MqttSettings(Settings):
    """State out and orders in over an MQTT broker."""

    host: str = "127.0.0.1"
    port: Port = 1883
    topic: Name = "hashwatt"
    """First level of every topic: {topic}/{site}/…"""
    username: str | None = None
    password_file: Path | None = None
    password_env: str | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    orders: bool = False
    """Take orders from {topic}/{site}/order."""
    period_s: Seconds = 10
    """At most so often is a machine's state sent, unless its operating point changed."""
