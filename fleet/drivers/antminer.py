"""Stock Antminer: TCP-JSON for what it does, HTTP with digest authentication for what it is told.

A lean look is one exchange (`stats`) as long as the mining process is the one whose configuration was read: the work
mode cannot change without a restart of it, so the web server is asked again only then, and whenever the machine does
not hash. Writing is read, change, write back: the configuration carries the pools, so it goes back whole with nothing
changed but the work mode, and is not written at all when it cannot be read or lacks its pools. From the captures, the
firmware's cgi contract as 256foundation/asic-rs tests it, and its cgi's documentation; the web exchanges are
documented only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from fleet import links
from fleet.driver import DriverError, Garbled, Refused, Unreachable, Unsupported
from fleet.drivers.antminer_web import as_api
from fleet.drivers.cgminer import first, pools_of, sections, share_difficulty
from fleet.drivers.values import (
    Table,
    count,
    hashes,
    hottest,
    mode_of,
    number,
    rate_ths,
    seconds,
    table,
    tables,
    text,
    watts,
)
from fleet.links import Credentials, Endpoint, Web
from fleet.machine import SLEEP_NAME, Machine, Mode
from fleet.reading import Board, Depth, Identity, Pool, Reading, State

API_PORT: Final = 4028
WEB_PORT: Final = 80
CODES: Final = {"normal": "0", SLEEP_NAME: "1", "high": "2", "low": "3"}
"""Work modes by name, as the configuration writes them (a text; some firmware a number)."""
_NAMES: Final = {code: name for name, code in CODES.items()}
_MODE_KEYS: Final = ("miner-mode", "bitmain-work-mode")
_CHAINS: Final = (1, 2, 3, 4)
_FANS: Final = tuple(f"fan{fan}" for fan in range(1, 9))
_CHIP: Final = tuple((f"temp_chip{n}", f"temp_in_chip_{n}", f"temp_out_chip_{n}") for n in _CHAINS)
_PCB: Final = tuple((f"temp_pcb{n}", f"temp_in_pcb_{n}", f"temp_out_pcb_{n}") for n in _CHAINS)
_START_S: Final = 600.0
"""How long a machine without a start time of its own may draw power without hashing before that is a fault."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the configuration says: the work mode by name (as it stands where it has none), and the pools.

    `since_s` is how long it has said this mode, in the machine's own time, where it was seen to say another before.
    """

    mode: str | None
    pools: tuple[Pool, ...]
    since_s: float | None = None


def parse_told(conf: Any, where: str = "get_miner_conf.cgi") -> Told:
    """What `get_miner_conf.cgi` says.

    Raises:
        Garbled: it is not a JSON object.
    """
    if not isinstance(conf, dict):
        raise Garbled(f"{where}: expected a JSON object, got {type(conf).__name__}")
    codes = [code for key in _MODE_KEYS if (code := _code(conf.get(key))) is not None]
    pools = tuple(
        Pool(url=url, user=text(row.get("user")) or "", priority=place)
        for place, row in enumerate(tables(conf.get("pools")))
        if (url := text(row.get("url"))) is not None
    )
    return Told(_NAMES.get(codes[0], codes[0]) if codes else None, pools)


def _code(value: Any) -> str | None:
    whole = count(value)
    return None if whole is None else str(whole)


def parse(replies: Table, told: Told | None, machine: Machine, depth: Depth) -> Reading:
    """A reading from the replies of the API by command (and of `system_info` and `web_summary`), and what it was told.

    `replies` without `stats` is a machine whose mining process does not listen; `told` None is a web server that said
    nothing.

    Raises:
        Garbled, Refused: `stats` is there and is not a reply, or is a refusal.
    """
    stats = _stats(sections(replies["stats"], f"{machine.host} stats")) if "stats" in replies else {}
    rate, uptime = rate_ths(stats.get("GHS 5s"), 1e3), seconds(stats.get("Elapsed"))
    mode = told.mode if told else None
    age = uptime if uptime is None or told is None or told.since_s is None else min(uptime, told.since_s)
    state = _state(machine, mode, rate, age, listens="stats" in replies)
    power, measured = _power(stats, machine, mode, state)
    full = _full(replies, told) if depth is Depth.FULL else {}
    return Reading(
        state=state,
        mode=mode,
        hashrate_ths=rate,
        power_w=power,
        power_measured=measured,
        chip_c=hottest([value for chain in _CHAINS for value in _sensors(stats, _CHIP, chain)]),
        board_c=hottest([value for chain in _CHAINS for value in _sensors(stats, _PCB, chain)]),
        uptime_s=uptime,
        hardware_errors=count(stats.get("no_matching_work")),
        fans_rpm=tuple(rpm for fan in _FANS if fan in stats and (rpm := count(stats[fan])) is not None),
        depth=depth,
        **full,
    )


def _stats(reply: Table) -> Table:
    """The row of STATS that is about the boards: the one with the averages, after the one with the version."""
    rows = tables(reply.get("STATS"))
    return next((row for row in rows if "GHS 5s" in row or "Elapsed" in row), {})


def _state(machine: Machine, mode: str | None, rate: float | None, age_s: float | None, *, listens: bool) -> State:
    """Hashing is seen, sleeping is told and not contradicted, starting has a time within which it must end.

    `age_s` is that of the mining process, or of what it is told if that is younger.
    """
    if rate is not None and hashes(machine, rate):
        return State.HASHING
    if mode == SLEEP_NAME:
        return State.SLEEPING
    if mode is None:
        return State.UNKNOWN
    if not listens:
        return State.STARTING
    if rate is None or age_s is None:
        return State.UNKNOWN
    return State.STARTING if age_s < max(2 * machine.start_s, _START_S) else State.FAULTED


def _power(stats: Table, machine: Machine, mode: str | None, state: State) -> tuple[float | None, bool]:
    """The power and whether it was measured; most stock firmware reports none: then it is the nameplate's."""
    chain = text(stats.get("chain_power"))  # "3250 W"
    for said in (chain.split()[0] if chain else None, stats.get("power"), stats.get("Power"), stats.get("watt")):
        if found := watts(said):
            return found, True
    if state in (State.UNKNOWN, State.FAULTED) or (state is State.HASHING and mode == SLEEP_NAME):
        return None, False
    point = mode_of(machine, mode)
    return (point.power_w, False) if point else (None, False)


def _sensors(stats: Table, names: tuple[tuple[str, str, str], ...], chain: int) -> list[Any]:
    """One board's sensors of a kind: four in one text, or (newer firmware) one at the inlet and one at the outlet."""
    together, inlet, outlet = names[chain - 1]
    four = stats.get(together)
    return four.split("-") if isinstance(four, str) else [stats.get(inlet), stats.get(outlet)]


def _full(replies: Table, told: Told | None) -> dict[str, Any]:
    """The fields that only a full reading has."""
    stats = _stats(table(replies.get("stats")))
    summary, version = first(table(replies.get("summary")), "SUMMARY"), first(table(replies.get("version")), "VERSION")
    pools, system = table(replies.get("pools")), table(replies.get("system_info"))
    listed = pools_of(pools) if "POOLS" in pools else told.pools if told else None
    return {
        "accepted": count(summary.get("Accepted")),
        "rejected": count(summary.get("Rejected")),
        "stale": count(summary.get("Stale")),
        "accepted_difficulty": number(summary.get("Difficulty Accepted"), 0.0, 1e18),
        "share_difficulty": share_difficulty(pools),
        "boards": tuple(_board(stats, chain) for chain in _CHAINS if count(stats.get(f"chain_acn{chain}"))),
        "pools": listed,
        "errors": _errors(table(replies.get("web_summary"))),
        "identity": Identity(
            model=text(system.get("minertype")) or text(version.get("Type")),
            firmware=text(system.get("system_filesystem_version")) or text(version.get("Miner")),
            mac=text(system.get("macaddr")),
            serial=text(system.get("serinum")) or text(system.get("serial_no")),
            hostname=text(system.get("hostname")),
        ),
    }


def _board(stats: Table, chain: int) -> Board:
    return Board(
        hashrate_ths=rate_ths(stats.get(f"chain_rate{chain}"), 1e3),
        board_c=hottest(_sensors(stats, _PCB, chain)),
        chip_c=hottest(_sensors(stats, _CHIP, chain)),
        chips=count(stats.get(f"chain_acn{chain}")),
    )


def _errors(summary: Table) -> tuple[str, ...]:
    """The checks of `summary.cgi` that did not succeed."""
    checks = tables(first(summary, "SUMMARY").get("status"))
    return tuple(
        f"{text(check.get('type')) or 'check'}: {text(check.get('msg')) or text(check.get('status'))}"
        for check in checks
        if text(check.get("status")) not in (None, "s")
    )


def changed(conf: Any, mode: Mode, where: str) -> dict[str, Any] | None:
    """The configuration to write so that the work mode is another, all else as it was; None when it is set already.

    Raises:
        Unsupported: stock firmware has no such work mode.
        Refused: the configuration lacks its pools or its work mode; writing it would lose them.
    """
    code = CODES.get(mode.name)
    if code is None:
        raise Unsupported(f"{where}: stock Antminer firmware has no work mode {mode.name!r}; it has {', '.join(CODES)}")
    if not isinstance(conf, dict) or not parse_told(conf).pools:
        raise Refused(
            f"{where}: its configuration came without its pools, and writing it back would lose them; nothing sent"
        )
    keys = [key for key in _MODE_KEYS if key in conf]
    if not keys:
        raise Refused(f"{where}: its configuration has no work mode; nothing sent")
    if all(_code(conf[key]) == code for key in keys):
        return None
    # The cgi reads the page's names for two values that it lists under names of its own.
    written = {**conf, "miner-mode": int(code)}
    for key in keys:
        written[key] = int(code) if isinstance(conf[key], int) else code
    if "bitmain-freq-level" in conf:
        written.setdefault("freq-level", conf["bitmain-freq-level"])
    return written


class Antminer:
    """One machine that runs Bitmain's own firmware."""

    def __init__(
        self,
        machine: Machine,
        credentials: Credentials,
        *,
        read_deadline_s: float = links.READ_DEADLINE_S,
        write_deadline_s: float = links.WRITE_DEADLINE_S,
    ) -> None:
        self._machine = machine
        self._api = Endpoint(machine.host, machine.ports.get("api", API_PORT), read_deadline_s)
        self._web_endpoint = Endpoint(machine.host, machine.ports.get("web", WEB_PORT), read_deadline_s)
        self._web = Web(self._web_endpoint, credentials)
        self._write_deadline_s = write_deadline_s
        self._told: Told | None = None
        self._started: float | None = None
        self._last_mode: str | None = None
        self._mode_since: float | None = None

    async def read(self, depth: Depth) -> Reading:
        """See fleet.driver.Driver. Pools alone come from the configuration: it is there while the miner restarts."""
        if depth is Depth.POOLS:
            async with self._web:
                self._told = await self._conf()
            return Reading(State.UNKNOWN, self._told.mode, None, None, pools=self._told.pools, depth=depth)
        replies = await self._stats_reply()
        if depth is Depth.FULL and replies:
            for command in ("summary", "pools", "version"):
                replies[command] = await self._ask(command)
        told = None if depth is Depth.FULL else self._remembered(replies)
        errors: tuple[str, ...] = ()
        if told is None:
            told, errors = await self._ask_web(replies, depth)
        reading = parse(replies, told, self._machine, depth)
        return replace(reading, errors=(*reading.errors, *errors)) if errors else reading

    async def set_mode(self, mode: Mode) -> None:
        """See fleet.driver.Driver. Sends nothing when the work mode is set already."""
        where = f"{self._web_endpoint} set_miner_conf.cgi"
        async with self._web:
            try:
                conf = await self._web.get("/cgi-bin/get_miner_conf.cgi")
            except Garbled as error:
                raise Refused(f"{where}: its configuration cannot be read, so it is not written: {error}") from error
            written = changed(conf, mode, where)
            if written is None:
                return
            self._told = None
            answer = table(await self._web.post("/cgi-bin/set_miner_conf.cgi", written, self._write_deadline_s))
        if text(answer.get("stats")) != "success":
            said = " ".join(part for part in (text(answer.get("code")), text(answer.get("msg"))) if part)
            raise Refused(f"{where}: {said or 'no reason given'}")

    async def close(self) -> None:
        """See fleet.driver.Driver."""
        self._web.hang_up()

    async def _conf(self) -> Told:
        conf = await self._web.get("/cgi-bin/get_miner_conf.cgi")
        return parse_told(conf, f"{self._web_endpoint} get_miner_conf.cgi")

    async def _ask(self, command: str) -> Any:
        return await links.ask_text(self._api, b'{"command": "%s"}' % command.encode(), command)

    async def _stats_reply(self) -> dict[str, Any]:
        """The reply to `stats`; none when nobody listens there, as while the mining process restarts."""
        try:
            return {"stats": await self._ask("stats")}
        except Unreachable as error:
            if isinstance(error.__cause__, ConnectionRefusedError):
                return {}
            raise

    def _remembered(self, replies: Table) -> Told | None:
        """What it was told, if the mining process is still the one that was told it and hashes."""
        started = _started_s(table(replies.get("stats")))
        known, self._started = self._started, started
        if self._told is None or started is None or known is None or abs(started - known) > 3.0:
            return None
        rate = rate_ths(_stats(table(replies.get("stats"))).get("GHS 5s"), 1e3)
        return (
            self._told if rate is not None and hashes(self._machine, rate) and self._told.mode != SLEEP_NAME else None
        )

    async def _ask_web(self, replies: dict[str, Any], depth: Depth) -> tuple[Told | None, tuple[str, ...]]:
        """What it was told, and on a full look the web's tables; an error is told in the reading if the API spoke."""
        self._told = None
        try:
            async with self._web:
                self._told = await self._conf()
                if "stats" not in replies and (stats := as_api(await self._optional("/cgi-bin/stats.cgi"))) is not None:
                    replies["stats"] = stats
                if depth is Depth.FULL:
                    replies["system_info"] = await self._web.get("/cgi-bin/get_system_info.cgi")
                    replies["web_summary"] = await self._optional("/cgi-bin/summary.cgi")
        except DriverError as error:
            if not replies:
                raise
            return self._told, (f"web: {error}",)
        self._started = _started_s(table(replies.get("stats")))
        return self._dated(self._told, _now_s(table(replies.get("stats")))), ()

    def _dated(self, told: Told, now: float | None) -> Told:
        """The same with how long it has been so: a new work mode shows before the miner restarts for it."""
        if told.mode != self._last_mode:
            self._mode_since = None if self._last_mode is None else now
            self._last_mode = told.mode
        if now is None or self._mode_since is None:
            return told
        return replace(told, since_s=max(0.0, now - self._mode_since))

    async def _optional(self, path: str) -> Any:
        """A page that older firmware lacks."""
        try:
            return await self._web.get(path)
        except Refused:
            return None


def _now_s(stats: Table) -> float | None:
    """The machine's own clock; None when it does not say."""
    status = tables(stats.get("STATUS"), 1)
    return seconds(status[0].get("When")) if status else None


def _started_s(stats: Table) -> float | None:
    """When the mining process started, by the machine's own clock; None when it does not say."""
    now, uptime = _now_s(stats), seconds(_stats(stats).get("Elapsed"))
    return None if now is None or uptime is None else now - uptime
