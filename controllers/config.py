"""The site file: TOML, decoded into one frozen, strict tree.

Every table is a Settings class; most stand beside what they configure (a tariff, a constraint, a feed), so the class is
the schema. Whatever is wrong is told with its path, its value and what was expected, all of it at once. Secrets come
from files or the environment when a driver is opened, and are never part of the tree.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

import numpy as np
from pydantic import Field, ValidationError, model_validator

from controllers.feeds import FeedSettings, check_sources
from controllers.journal.settings import JournalSettings
from controllers.pool.settings import TapSettings
from controllers.pool_apis import PoolApiSettings, check_pool_apis
from controllers.publish.settings import MetricsSettings, MqttSettings
from fleet.catalogue import nameplate
from fleet.columns import Bools
from fleet.drivers import DIALECTS
from fleet.estimate import Beliefs
from fleet.links import Credentials
from fleet.machine import SLEEP_NAME, Machine, Mode, Roster
from fleet.settings import HashrateTerahash, Name, PowerKilowatts, PowerWatts, Seconds, Settings, Usd
from policies.economics import Economics
from policies.plan import Pace
from policies.safety import Faulted, LongSilent, TooHot
from policies.switching import Regret, Switching
from policies.tariff import Tariff
from policies.tick import Judgment

ConstraintSettings = Annotated[TooHot | Faulted | LongSilent, Field(discriminator="kind")]
"""A constraint of the site file; a new one is a class in policies and a name here."""

Place = Annotated[str, Field(pattern=r"^([^/\s][^/]*(/[^/\s][^/]*)*)?$", max_length=400)]
Host = Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z.:_-]{0,252}$")]
Port = Annotated[int, Field(ge=1, le=65_535)]
_SECRET_BYTES_MOST = 4_096


class SiteError(Exception):
    """A site file that cannot be used: one line per fault, each with file, path, value and what was expected."""


class CredentialsTable(Settings):
    """Where a machine's user and password come from; the password itself never stands in the site file."""

    username: str = ""
    password_file: Path | None = None
    """A file whose first line is the password; relative to the site file."""
    password_env: str | None = None
    """Or the environment variable that has it."""

    def resolve(self, directory: Path) -> Credentials:
        """The credentials, read now; a relative `password_file` is sought in `directory`.

        Raises:
            SiteError: the file or the variable is not there.
        """
        file = None if self.password_file is None else directory / self.password_file.expanduser()
        return Credentials(self.username, read_secret(file, self.password_env) or "")


class ModeTable(Settings):
    """One operating point: the firmware's name for it, W at the wall, TH/s."""

    name: Name
    power_w: PowerWatts
    hashrate_ths: HashrateTerahash


class ModelTable(Settings):
    """A model's operating points, where the catalogue's are not this site's."""

    model: Name
    dialect: Name
    modes: tuple[ModeTable, ...]
    """By rising power; `sleep` first."""
    usual: Name
    start_s: Seconds = 0
    wear_usd: Usd = 0
    confirm_s: Seconds = 120


class MachineTable(Settings):
    """One machine."""

    id: Name
    """Its name in everything that hashwatt shows; no two alike."""
    model: Name
    """The catalogue's name of it (`hashwatt check` lists them), or that of a [[models]] table."""
    dialect: Name
    """luxos, antminer, whatsminer-v3, or a library for other makes: asic-rs, pyasic."""
    host: Host
    """Its address."""
    place: Place = ""
    """Where it stands and what feeds it: "feeder-a/rack-3"."""
    ports: Mapping[str, Port] = {}
    credentials: Name = "default"
    """Which [credentials.NAME] table it uses."""
    usual: Name | None = None
    """The operating point that it runs when nobody asks for another; the model's where none is given."""
    wear_usd: Usd | None = None
    """Wear of one start."""
    confirm_s: Seconds | None = None
    """How long its firmware may take until a reading shows what was commanded; the model's where it is not given."""

    @model_validator(mode="after")
    def _known_dialect(self) -> Self:
        if self.dialect not in DIALECTS:
            raise ValueError(f"dialect {self.dialect!r} is not known, expected one of {', '.join(DIALECTS)}")
        return self


class Control(Settings):
    """What hashwatt may command, and what it leaves behind."""

    live: tuple[str, ...] = ()
    """Scopes under live control: "site", places, machine ids. None: a dry run."""
    farewell: Literal["leave", "resume", "sleep"] = "leave"
    """What becomes of the machines when hashwatt stops or dies."""
    guard_grace_s: Seconds = 30
    """How long the guard waits after the lease lapsed."""
    lease_s: Annotated[float, Field(ge=2, le=600)] = 15
    """A daemon that does not renew for so long (real time) has lost its lease."""
    commands_at_once: Annotated[int, Field(ge=1, le=5_000)] = 200


class Polling(Settings):
    """How machines are asked."""

    lean_s: Annotated[float, Field(ge=1, le=3_600)] = 10
    full_s: Annotated[float, Field(ge=5, le=86_400)] = 300
    at_once: Annotated[int, Field(ge=1, le=5_000)] = 200
    read_deadline_s: Annotated[float, Field(ge=0.1, le=120)] = 5
    """For one exchange, in real time."""
    write_deadline_s: Annotated[float, Field(ge=1, le=300)] = 30


class SimulatedClock(Settings):
    """For a simulated site alone: the same speed and start as the world that is served."""

    speed: Annotated[float, Field(gt=0, le=1_000)] = 1
    start_s: float
    """UTC seconds."""
    anchor_real_s: float | None = None
    """The real UTC second at which the world showed `start_s`; None: when hashwatt starts."""


class SiteFile(Settings):
    """The whole file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    """The site's name in metrics, topics and records."""
    state: Path = Path("state")
    """Journal, lease and socket; relative to the site file."""
    tick_s: Annotated[float, Field(ge=1, le=3_600)] = 10
    """A tick at least so often; a new price, order or alarm is judged at once."""
    machines: tuple[MachineTable, ...]
    """Every machine of the site."""
    models: tuple[ModelTable, ...] = ()
    """Operating points that the catalogue does not have, or has otherwise."""
    caps_kw: Mapping[str, PowerKilowatts] = {}
    """Power caps by place; "site" for the whole."""
    credentials: Mapping[str, CredentialsTable] = {}
    """Users and passwords by name; machines use "default" unless they say otherwise."""
    tariff: Tariff
    """What a megawatt-hour costs, when."""
    feeds: tuple[FeedSettings, ...] = ()
    """Sources of price, difficulty and fees, in the order of preference."""
    pool_apis: tuple[PoolApiSettings, ...] = ()
    """Pools that are asked what they credited to each worker: proof of hash rate where there is no tap."""
    economics: Economics = Economics()
    """How hashes become money here."""
    switching: Switching = Regret()
    """When a start is worth its cost."""
    pace: Pace = Pace()
    """How fast the site may change."""
    beliefs: Beliefs = Beliefs()
    """How long beliefs last, and how failures are answered."""
    constraints: tuple[ConstraintSettings, ...] = (TooHot(), Faulted(), LongSilent())
    control: Control = Control()
    """What may be commanded, and what is left behind."""
    polling: Polling = Polling()
    """How machines are asked."""
    journal: JournalSettings = JournalSettings()
    """How much is kept, and how soon it is on disk."""
    tap: TapSettings | None = None
    """The tap, a Stratum proxy that verifies shares; no machine is listened to without this table."""
    metrics: MetricsSettings | None = None
    """Prometheus; nothing is opened without this table."""
    mqtt: MqttSettings | None = None
    """MQTT; no broker is sought without this table."""
    clock: SimulatedClock | None = None
    """For a simulated site alone."""

    @model_validator(mode="after")
    def _sources_have_names_of_their_own(self) -> Self:
        check_sources(self.feeds)
        check_pool_apis(self.pool_apis, frozenset(machine.id for machine in self.machines))
        return self


@dataclass(frozen=True, eq=False)
class Site:
    """A site file resolved: the tree, where it was read, its roster and its judgment."""

    file: SiteFile
    path: Path
    roster: Roster

    @property
    def state(self) -> Path:
        """The directory of journal, lease and socket."""
        return (self.path.parent / self.file.state).absolute()

    @property
    def socket(self) -> Path:
        """The daemon's Unix socket."""
        return self.state / "hashwatt.sock"

    @cached_property
    def live(self) -> Bools:
        """live[n]: machines under live control."""
        live = np.zeros(len(self.roster), np.bool_)
        for scope in self.file.control.live:
            live |= self.roster.within(scope)
        return live

    @cached_property
    def judgment(self) -> Judgment:
        """How this site decides."""
        file = self.file
        return Judgment(
            roster=self.roster,
            tariff=file.tariff,
            economics=file.economics,
            switching=file.switching,
            pace=file.pace,
            beliefs=file.beliefs,
            constraints=file.constraints,
            live=self.live,
        )

    @property
    def audit_shares_per_min(self) -> float | None:
        """What the tap asks of a machine in an audit; None: there is no tap."""
        return None if self.file.tap is None else self.file.tap.audit.shares_per_min

    @property
    def proof_sources(self) -> int:
        """How many sources may speak of a machine's shares: its own counters, a pool's API, the tap."""
        return 1 + bool(self.file.pool_apis) + (self.file.tap is not None)

    def settings_json(self) -> str:
        """The resolved settings as JSON, without a secret: what a journal needs to judge again."""
        return self.file.model_dump_json()

    def credentials(self, row: int) -> Credentials:
        """A machine's user and password, read now.

        Raises:
            SiteError: the secret's file or variable is not there.
        """
        name = self.file.machines[row].credentials
        table = self.file.credentials.get(name)
        if table is None:
            return Credentials()
        try:
            return table.resolve(self.path.parent)
        except SiteError as error:
            raise SiteError(f"{self.path}: credentials.{name}: {error}") from error


def load_site(path: Path) -> Site:
    """Read and resolve a site file.

    Raises:
        SiteError: it cannot be read, is no TOML, or does not describe a site; the message tells every fault.
    """
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise SiteError(f"{path}: cannot be read: {error}") from error
    try:
        return site_of(tomllib.loads(text), path)
    except tomllib.TOMLDecodeError as error:
        raise SiteError(f"{path}: not TOML: {error}") from error


def site_of(tables: Mapping[str, Any], path: Path) -> Site:
    """Resolve decoded tables; `path` is for messages and for what is relative to it.

    Raises:
        SiteError: as `load_site`.
    """
    try:
        file = SiteFile.model_validate(tables)
    except ValidationError as error:
        raise SiteError("\n".join(_fault(path, tables, fault) for fault in error.errors())) from error
    faults: list[str] = []
    machines = [m for m in (_machine(file, i, path, faults) for i in range(len(file.machines))) if m is not None]
    roster = _roster(file, machines, path, faults) if not faults else None
    if roster is not None:
        faults += _scope_faults(file, roster, path)
    if faults or roster is None:
        raise SiteError("\n".join(faults))
    return Site(file, path, roster)


def read_secret(file: Path | None, env: str | None) -> str | None:
    """A secret from a file (its first line) or an environment variable; None when neither is named.

    Raises:
        SiteError: it is named and not there. The message names the place, never the secret.
    """
    if file is not None:
        try:
            with file.expanduser().open(encoding="utf-8") as lines:
                return lines.readline(_SECRET_BYTES_MOST).rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SiteError(f"secret file {file}: cannot be read: {type(error).__name__}") from error
    if env is not None:
        if env not in os.environ:
            raise SiteError(f"environment variable {env}: not set, expected a secret")
        return os.environ[env]
    return None


def _fault(path: Path, tables: Mapping[str, Any], fault: Mapping[str, Any]) -> str:
    """One of pydantic's faults in our words: file, path, value, what was expected."""
    where, table = "", cast("Any", tables)
    for part in fault["loc"]:
        if isinstance(table, Mapping) and part == table.get("kind") and part not in table:
            continue  # pydantic's name of the kind of table it is, which is no key of the file
        where += f"[{part}]" if isinstance(part, int) else f".{part}"
        try:
            table = table[part]
        except (LookupError, TypeError):
            table = None
    value = fault.get("input")
    if fault["type"] == "extra_forbidden":
        return f"{path}: {where[1:]}: unknown key, expected one that the documentation names"
    if fault["type"] == "missing":
        return f"{path}: {where[1:]}: missing"
    secret = re.search(r"password$|token$|secret$", where)
    said = "" if isinstance(value, Mapping | list | tuple) or secret else f" is {_shown(value)},"
    return f"{path}: {where[1:]}:{said} {_expected(str(fault['msg']))}"


def _shown(value: Any) -> str:
    """A value as it stands in the file; an address without its user, password and query, which may be secrets."""
    if "://" not in str(value):
        return repr(value)
    return re.sub(r"\?.*", "?…'", re.sub(r"://[^/\s]*@", "://…@", repr(value)))


def _expected(message: str) -> str:
    """Pydantic's message as an expectation."""
    message = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return re.sub(r"^Input should be", "expected", message)


def _machine(file: SiteFile, index: int, path: Path, faults: list[str]) -> Machine | None:
    """One machine with its operating points: the site file's model table before the catalogue."""
    table = file.machines[index]
    where = f"{path}: machines[{index}] ({table.id})"
    own = next((m for m in file.models if (m.model, m.dialect) == (table.model, table.dialect)), None)
    try:
        modes, usual, start_s, wear_usd, confirm_s = _ladder(table, own)
    except LookupError as error:
        faults.append(f"{where}: {error.args[0]}; expected one of these or a [[models]] table for it")
        return None
    if table.credentials != "default" and table.credentials not in file.credentials:
        faults.append(f"{where}: credentials is {table.credentials!r}, expected one of {sorted(file.credentials)}")
        return None
    try:
        return Machine(
            id=table.id,
            model=table.model,
            dialect=table.dialect,
            host=table.host,
            modes=modes,
            usual=table.usual or usual,
            place=tuple(table.place.split("/")) if table.place else (),
            ports=dict(table.ports),
            start_s=start_s,
            wear_usd=wear_usd if table.wear_usd is None else table.wear_usd,
            confirm_s=confirm_s if table.confirm_s is None else table.confirm_s,
        )
    except ValueError as error:
        faults.append(f"{where}: {error}")
        return None


def _ladder(table: MachineTable, own: ModelTable | None) -> tuple[tuple[Mode, ...], str, float, float, float]:
    """Operating points, usual mode, start time, wear and confirmation time of a model.

    Raises:
        LookupError: neither the site file nor the catalogue has them.
    """
    if own is None:
        plate = nameplate(table.model, table.dialect)
        return plate.modes, plate.usual, plate.start_s, 0.0, plate.confirm_s
    modes = tuple(Mode(m.name, m.power_w, m.hashrate_ths) for m in own.modes)
    if modes and modes[0].name != SLEEP_NAME:
        modes = (Mode(SLEEP_NAME, 0.0, 0.0), *modes)
    return modes, own.usual, own.start_s, own.wear_usd, own.confirm_s


def _roster(file: SiteFile, machines: list[Machine], path: Path, faults: list[str]) -> Roster | None:
    """The roster with its caps in W."""
    caps_w = {("" if place == "site" else place): kw * 1e3 for place, kw in file.caps_kw.items()}
    try:
        return Roster.of(machines, caps_w)
    except ValueError as error:
        faults.append(f"{path}: {error}")
        return None


def _scope_faults(file: SiteFile, roster: Roster, path: Path) -> list[str]:
    """Names that point nowhere, and settings that could never be met."""
    faults = [
        f'{path}: control.live is {scope!r}, expected "site", a place or a machine id of this file'
        for scope in file.control.live
        if scope != "site" and scope not in roster.tree.row and scope not in roster.index
    ]
    faults += [
        f"{path}: caps_kw.{place}: no machine stands there, expected a place of this file"
        for place in file.caps_kw
        if place != "site" and not roster.within(place).any()
    ]
    largest_kw = float(roster.worst_w.max(initial=0.0)) / 1e3
    for key in ("ramp_up_kw_min", "ramp_down_kw_min"):
        ramp = getattr(file.pace, key)
        if ramp is not None and ramp < largest_kw:
            faults.append(
                f"{path}: pace.{key} is {ramp}, expected at least {largest_kw:g} kW, the largest machine's step"
            )
    return faults
