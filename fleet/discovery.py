"""Discovery: who is out there. Asks addresses for their identity, a bounded number at a time, and commands nothing.

Two questions tell the native dialects apart: `version` on port 4028 and `get.device.info` on port 4433. What answers one of
them and is none of ours is left to the asic-rs library by name; what answers neither in time is nobody. Identity is the
machine's own word (model, firmware, MAC, serial), read by the dialect's own driver afterwards.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from fleet.driver import DriverError, Garbled
from fleet.links import Endpoint, ask_framed, ask_text

AT_ONCE: Final = 256
DEADLINE_S: Final = 2.0
ADDRESSES_MOST: Final = 2**20
_PAIR: Final = 2
_API, _FRAMED = 4028, 4433
_REPLY_BYTES_MOST: Final = 200_000


@dataclass(frozen=True, slots=True)
class Found:
    """A machine that answered: its address, the dialect to speak with it, and what it says of its model and firmware."""

    host: str
    dialect: str
    model: str | None
    firmware: str | None


def addresses(ranges: Sequence[str]) -> Iterator[str]:
    """Every host of some ranges: "10.0.0.0/22", "10.0.0.5", "10.0.0.5-10.0.0.40".

    Raises:
        ValueError: not a range, or more than a million addresses.
    """
    parts = [_part(text) for text in ranges]
    if sum(last - first + 1 for first, last in parts) > ADDRESSES_MOST:
        raise ValueError(f"{', '.join(ranges)}: more than {ADDRESSES_MOST} addresses, expected fewer")
    for first, last in parts:
        yield from (str(ipaddress.IPv4Address(number)) for number in range(first, last + 1))


def _part(text: str) -> tuple[int, int]:
    """The first and the last host of a range, as numbers."""
    try:
        if "-" in text:
            first, last = (int(ipaddress.IPv4Address(part.strip())) for part in text.split("-", 1))
            return (first, last) if first <= last else _nothing(text)
        whole = ipaddress.IPv4Network(text, strict=False)
        first, last = int(whole.network_address), int(whole.broadcast_address)
        # The network's own address and its broadcast are nobody's, where there are such.
        return (first + 1, last - 1) if whole.num_addresses > _PAIR else (first, last)
    except ValueError:
        return _nothing(text)


def _nothing(text: str) -> NoReturn:
    raise ValueError(f"{text!r}: expected a subnet (10.0.0.0/22), an address, or first-last") from None


async def scan(
    hosts: Iterable[str],
    *,
    at_once: int = AT_ONCE,
    deadline_s: float = DEADLINE_S,
    seen: Callable[[], None] = lambda: None,
) -> tuple[Found, ...]:
    """Ask every address; those found, in the order of the addresses. `seen` is called after each."""
    found: dict[int, Found] = {}
    waiting = enumerate(hosts)

    async def walk() -> None:
        # All walkers share one iterator: the next address goes to whoever is free.
        for index, host in waiting:
            machine = await identify(host, deadline_s)
            if machine is not None:
                found[index] = machine
            seen()

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(walk())
    return tuple(found[index] for index in sorted(found))


async def identify(host: str, deadline_s: float = DEADLINE_S) -> Found | None:
    """Who answers at an address; None when nobody does within the deadline."""
    async with asyncio.TaskGroup() as group:
        framed = group.create_task(_ask(host, _FRAMED, b'{"cmd":"get.device.info"}', deadline_s))
        api = group.create_task(_ask(host, _API, b'{"command":"version"}', deadline_s))
    return _whatsminer(host, framed.result()) or _by_version(host, api.result())


async def _ask(host: str, port: int, request: bytes, deadline_s: float) -> Any:
    """One question; None when nobody answers, an empty mapping for an answer that is none."""
    endpoint = Endpoint(host, port, deadline_s, _REPLY_BYTES_MOST)
    ask = ask_framed if port == _FRAMED else ask_text
    try:
        return await ask(endpoint, request, "identity")
    except Garbled:
        return {}
    except DriverError:
        return None


def _whatsminer(host: str, reply: Any) -> Found | None:
    """A WhatsMiner of API v3, by its device info."""
    message = reply.get("msg") if isinstance(reply, Mapping) else None
    if not isinstance(message, Mapping) or not isinstance(message.get("miner"), Mapping):
        return None
    system = message.get("system")
    firmware = system.get("fwversion") if isinstance(system, Mapping) else None
    return Found(host, "whatsminer-v3", _text(message["miner"].get("type")), _text(firmware))


def _by_version(host: str, reply: Any) -> Found | None:
    """By the answer to `version`: LuxOS and stock Antminers natively, every other by the library."""
    if reply is None:
        return None
    rows = reply.get("VERSION") if isinstance(reply, Mapping) else None
    row = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], Mapping) else {}
    model = _text(row.get("Type"))
    if "LUXminer" in row:
        return Found(host, "luxos", model, _text(row.get("LUXminer")))
    said = json.dumps(reply)[:_REPLY_BYTES_MOST].lower() if isinstance(reply, Mapping) else ""
    others = ("bosminer", "boser", "vnish", "btminer", "cgminer 4", "avalon", "marathon", "hiveon")
    if model is not None and model.lower().startswith("antminer") and not any(name in said for name in others):
        return Found(host, "antminer", model, _text(row.get("CompileTime")))
    return Found(host, "asic-rs", model, None)


def _text(value: object) -> str | None:
    return value[:100] if isinstance(value, str) and value else None
