"""The tap's table of the site file: [tap]."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from fleet.settings import Name, Seconds, Settings

_SCHEMES = ("stratum+tcp", "stratum+ssl")
PortNumber = Annotated[int, Field(ge=1, le=65_535)]


class PoolTable(Settings):
    """One pool."""

    url: Annotated[str, Field(max_length=300)]
    """stratum+tcp://host:port or stratum+ssl://host:port; workers and passwords are the machines' own."""
    ca_file: Path | None = None
    """For stratum+ssl: the authority that signed the pool's certificate, where it is none of the host's; relative to
    the site file."""

    @field_validator("url")
    @classmethod
    def _an_address(cls, url: str) -> str:
        """Scheme, host and port, and nothing else."""
        parts = urlsplit(url)
        if parts.username is not None or parts.password is not None:
            raise ValueError("expected no user and password in a pool's address, they are the machines' own")
        try:
            port = parts.port
        except ValueError:
            port = None
        if parts.scheme not in _SCHEMES or not parts.hostname or not port or parts.path.strip("/") or parts.query:
            raise ValueError(f"expected {' or '.join(f'{scheme}://host:port' for scheme in _SCHEMES)}")
        try:
            parts.hostname.encode("idna")
        except UnicodeError as error:
            raise ValueError("expected a host that names can be looked up by") from error
        return url

    @model_validator(mode="after")
    def _trust_for_tls(self) -> Self:
        """Who names an authority believes to be speaking TLS."""
        if self.ca_file is not None and not self.tls:
            raise ValueError("ca_file is given for a pool without TLS, expected stratum+ssl")
        return self

    @property
    def host(self) -> str:
        """Its host."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Its port."""
        return urlsplit(self.url).port or 0

    @property
    def tls(self) -> bool:
        """Is it spoken to through TLS?"""
        return urlsplit(self.url).scheme == "stratum+ssl"


class Failover(Settings):
    """When a pool is left, and when it is returned to; in real seconds."""

    connect_s: Annotated[float, Field(ge=0.1, le=60)] = 5
    """A pool that does not take a connection, or a subscription on it, within this is left."""
    silent_s: Annotated[float, Field(ge=5, le=86_400)] = 600
    """A pool that says nothing for this long is taken as gone."""
    back_off_s: Annotated[float, Field(ge=0.05, le=3_600)] = 1
    """After a failure a pool is left alone for this long, twice as long after each further one …"""
    back_off_most_s: Annotated[float, Field(ge=0.05, le=86_400)] = 60
    """… and no longer than this."""
    probe_s: Annotated[float, Field(ge=0.05, le=3_600)] = 10
    """How often a pool that is preferred to the one in use is tried."""
    return_after_s: Annotated[float, Field(ge=0, le=86_400)] = 120
    """It has to be well for this long before it is returned to."""
    moves_per_s: Annotated[float, Field(ge=0.1, le=100_000)] = 100
    """How many machines return in a second."""


class Vardiff(Settings):
    """The difficulty that a machine is given by the tap (aggregate; audits have bounds of their own)."""

    shares_per_min: Annotated[float, Field(gt=0, le=6_000)] = 20
    """What is aimed at."""
    start: Annotated[float, Field(gt=0, le=1e12)] = 8_192
    """Where a machine begins that suggests nothing and has no nominal hash rate."""
    least: Annotated[float, Field(gt=0, le=1e12)] = 1
    """No machine is given less …"""
    most: Annotated[float, Field(gt=0, le=1e15)] = 1e12
    """… or more."""
    retarget_s: Annotated[float, Field(ge=1, le=3_600)] = 90
    """How often it is looked at, in the site's seconds."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.least <= self.start <= self.most:
            raise ValueError(f"expected least ({self.least:g}) <= start ({self.start:g}) <= most ({self.most:g})")
        return self


class AuditBounds(Settings):
    """What an audit may ask of the machines and of the site."""

    shares_per_min: Annotated[float, Field(gt=0, le=6_000)] = 600
    """What an audit asks of a machine that no other number is given for."""
    most_shares_per_min: Annotated[float, Field(gt=0, le=6_000)] = 1_200
    """More than this is asked of no machine."""
    for_s: Annotated[float, Field(gt=0, le=86_400)] = 600
    """How long, where nothing else is said; in the site's seconds."""
    most_for_s: Annotated[float, Field(gt=0, le=604_800)] = 7_200
    """No audit lasts longer."""
    at_once: Annotated[int, Field(ge=1, le=10_000)] = 20
    """So many machines at once, at most."""
    site_shares_per_s: Annotated[float, Field(gt=0, le=100_000)] = 500
    """What all audits may bring together."""


class Limits(Settings):
    """What a connection may cost."""

    connections: Annotated[int, Field(ge=1, le=200_000)] = 20_000
    connections_per_address: Annotated[int, Field(ge=1, le=200_000)] = 16
    attempts_per_address_per_min: Annotated[float, Field(gt=0, le=10_000_000)] = 120
    """More new connections than this from one address are turned away."""
    line_bytes: Annotated[int, Field(ge=512, le=1_048_576)] = 16_384
    """A longer line ends a machine's connection."""
    pool_line_bytes: Annotated[int, Field(ge=4_096, le=16_777_216)] = 262_144
    """A longer line ends a pool's connection."""
    messages_per_s: Annotated[float, Field(gt=0, le=1_000_000)] = 200
    """Of one machine, and five seconds' worth at once; more end its connection."""
    pool_messages_per_s: Annotated[float, Field(gt=0, le=10_000_000)] = 50_000
    """Of one pool connection, in the same way."""
    garbage: Annotated[int, Field(ge=0, le=10_000)] = 10
    """So many lines of a connection may be no message."""
    idle_s: Annotated[float, Field(ge=1, le=86_400)] = 900
    """A connection that says nothing for so long is ended; in real seconds."""
    unauthorized_s: Annotated[float, Field(ge=0.5, le=3_600)] = 30
    """One that has authorized no worker, and one with half a line; in real seconds."""


class TapSettings(Settings):
    """The tap: a Stratum proxy that machines mine through, and that verifies each share. docs/tap.md."""

    listen: Annotated[str, Field(max_length=100)] = "127.0.0.1:3333"
    """Address and port that machines connect to; loopback unless the site file says otherwise. Port 0: any free one."""
    pools: Annotated[tuple[PoolTable, ...], Field(min_length=1, max_length=16)]
    """Pools in the order of preference."""
    how: Literal["pass", "aggregate"] = "pass"
    """Each machine with a pool connection of its own, everything unchanged; or all on one, with extranonces divided."""
    accounts: tuple[Name, ...] = ()
    """Our accounts: what stands before the first "." of a worker's name. A worker of any other is foreign: a hidden fee.
    None: not looked at."""
    payout_addresses: tuple[Annotated[str, Field(min_length=14, max_length=100)], ...] = ()
    """A job whose coinbase pays none of these is foreign. For solo mining and pools that pay in the coinbase; none: not
    looked at."""
    foreign: Literal["pass", "refuse"] = "pass"
    """Foreign work is passed on and counted, or refused and counted."""
    failover: Failover = Failover()
    """When a pool is left, and when it is returned to."""
    vardiff: Vardiff = Vardiff()
    """Difficulty per machine, when aggregating."""
    audit: AuditBounds = AuditBounds()
    """What an audit may ask."""
    limits: Limits = Limits()
    """What a connection may cost."""
    prefix_bytes: Annotated[int, Field(ge=1, le=4)] | None = None
    """Aggregating: how much of the pool's second extranonce tells machines apart. None: as much as twice the
    machines of the site file need."""
    away_most_s: Seconds = 600
    """A machine that is away is still expected to bring shares for this long; in the site's seconds."""
    stale_grace_s: Annotated[float, Field(ge=0, le=60)] = 2
    """A share of a job that was replaced no longer ago than this was under way, and is credited; in the site's
    seconds."""
    share_log_mb: Annotated[float, Field(gt=0, le=1_000)] = 16
    """Of one machine's log of verified shares, kept while it is under check; the oldest half goes."""
    blocks: Path = Path("blocks")
    """Where blocks are kept; relative to the state directory."""
    apart: bool = False
    """The tap is a process of its own (`hashwatt tap`), and survives the daemon's restarts."""
    simulated_scale: Annotated[float, Field(gt=0, le=1)] = 1
    """For a simulated site alone: a share of difficulty d stands for d * 2**32 * this many real hashes."""

    @field_validator("listen")
    @classmethod
    def _a_socket(cls, listen: str) -> str:
        """An address and a port."""
        host, colon, port = listen.rpartition(":")
        try:
            ip_address(host.strip("[]"))
            good = bool(colon) and 0 <= int(port) <= 65_535
        except ValueError:
            good = False
        if not good:
            raise ValueError('expected "address:port", as in "127.0.0.1:3333" or "[::1]:3333"')
        return listen

    @field_validator("payout_addresses")
    @classmethod
    def _addresses(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        """Bitcoin addresses."""
        from fleet.work.stratum.addresses import script_of

        for address in addresses:
            try:
                script_of(address)
            except ValueError as error:
                raise ValueError(f"{address!r} is {error}") from error
        return addresses

    @property
    def host(self) -> str:
        """The address that is listened on."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self.listen.rpartition(":")[2])
