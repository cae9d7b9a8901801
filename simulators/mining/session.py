"""A miner's connection to a pool: opens it in the manner of its firmware, takes jobs, submits shares.

Written from slush's Stratum protocol, BIP 310 and cgminer's behaviour; requests of the opening go one after another,
each when the one before was answered. A new difficulty, extranonce or mask counts from the next job on, as the protocol
has it (a mask at once, as BIP 310 has it). What a pool may send is bounded: a line, and the shares that wait for
its answer; of its jobs the last one is worked on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol, cast

import orjson
from typing_extensions import override

from simulators.mining.firmware import Firmware, Step
from simulators.mining.puzzle import Counter, Puzzle, Unreadable

LINE_BYTES: Final = 65_536
WAITING_MOST: Final = 4_096
STALE_CODE: Final = 21


@dataclass(frozen=True, slots=True)
class Share:
    """Something to submit: for whom, for which puzzle, and what was found; `bits` of the version, where any are rolled."""

    worker: str
    puzzle: Puzzle
    extranonce2: bytes
    nonce: int
    bits: int | None


class Listener(Protocol):
    """Who hears of a session."""

    def jobs(self, session: MinerSession, puzzle: Puzzle) -> None:
        """A new job; `puzzle.clean` makes those before it stale."""
        ...

    def answered(self, session: MinerSession, share: Share, code: int | None) -> None:
        """A share was taken (None), or refused with an error code."""
        ...

    def moved(self, session: MinerSession, host: str, port: int) -> None:
        """The pool wants us elsewhere (client.reconnect); without a host, there again."""
        ...


class MinerSession(asyncio.Protocol):
    """One connection. `ready` is set with the first job, `lost` when it is over."""

    def __init__(
        self, firmware: Firmware, agent: str, workers: Sequence[tuple[str, str]], scale: float, hears: Listener
    ) -> None:
        self.firmware, self.scale = firmware, scale
        self.ready, self.lost = asyncio.Event(), asyncio.Event()
        self.puzzle: Puzzle | None = None
        self.difficulty = 0.0
        self.mask = 0
        self.refused = False
        """Did the pool turn the worker away?"""
        self.heard_s = asyncio.get_running_loop().time()
        self._agent, self._workers, self._hears = agent, list(workers), hears
        self._transport: asyncio.Transport | None = None
        self._inbox = bytearray()
        self._extranonce1 = b""
        self._counter = Counter(4)
        self._next: tuple[bytes, int] | None = None
        self._id = firmware.first_id
        self._steps = list(firmware.opening)
        self._asked: dict[int, Step] = {}
        self._waiting: dict[int, Share] = {}

    @property
    def user(self) -> str:
        """Who logged in."""
        return self._workers[0][0]

    @property
    def alive(self) -> bool:
        """Is it connected, and has it something to work on?"""
        return self.ready.is_set() and not self.lost.is_set()

    # ------------------------------------------------------------------------------------------------------ connection

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the opening."""
        self._transport = cast("asyncio.Transport", transport)
        self._open()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Over."""
        self.lost.set()

    def cut(self) -> None:
        """Hang up."""
        self.lost.set()
        if self._transport is not None:
            self._transport.abort()

    @override
    def data_received(self, data: bytes) -> None:
        """Lines; a pool that sends one without end is left."""
        self.heard_s = asyncio.get_running_loop().time()
        self._inbox += data
        *lines, rest = self._inbox.split(b"\n")
        self._inbox = rest
        for line in lines:
            if len(line) <= LINE_BYTES and line.strip() and not self.lost.is_set():
                self._line(bytes(line))
        if len(rest) > LINE_BYTES:
            self.cut()

    def _send(self, method: str, params: list[Any]) -> int:
        assert self._transport is not None
        number, self._id = self._id, self._id + 1
        if not self._transport.is_closing():
            self._transport.write(orjson.dumps({"id": number, "method": method, "params": params}) + b"\n")
        return number

    # --------------------------------------------------------------------------------------------------------- opening

    def _open(self) -> None:
        """The next request of the opening."""
        if self._steps:
            step = self._steps.pop(0)
            self._asked[self._send(step.value, self._wanted(step))] = step
        elif self._workers[1:] and not self._asked:
            # whoever else is to be paid logs in when all else is done
            for user, password in self._workers[1:]:
                self._send(Step.AUTHORIZE.value, [user, password])
            del self._workers[1:]

    def _wanted(self, step: Step) -> list[Any]:
        """The parameters of a request of the opening."""
        firmware = self.firmware
        match step:
            case Step.CONFIGURE:
                wanted: dict[str, Any] = {"version-rolling.mask": f"{firmware.mask:08x}"}
                if firmware.min_bits is not None:
                    wanted["version-rolling.min-bit-count"] = firmware.min_bits
                return [["version-rolling"], wanted]
            case Step.SUBSCRIBE:
                return [self._agent]
            case Step.AUTHORIZE:
                return list(self._workers[0])
            case Step.EXTRANONCE:
                return []
            case Step.SUGGEST:
                return [firmware.suggests]
            case Step.MULTI_VERSION:
                return [1]

    def _opened(self, step: Step, result: Any, error: Any) -> None:
        """A request of the opening was answered."""
        match step:
            case Step.CONFIGURE if isinstance(result, dict) and result.get("version-rolling") is True:
                self.mask = int(str(result.get("version-rolling.mask", "0")), 16) & self.firmware.mask
            case Step.SUBSCRIBE:
                if not isinstance(result, list) or len(result) < 3:
                    self.cut()
                    return
                self._extranonce1 = bytes.fromhex(str(result[1]))
                self._counter = Counter(int(result[2]))
            case Step.AUTHORIZE if result is not True or error:
                self.refused = True
                self.cut()
                return
            case _:
                pass
        self._open()

    # ------------------------------------------------------------------------------------------------ what a pool says

    def _line(self, line: bytes) -> None:
        """One message; what cannot be read is passed over, as firmwares do."""
        try:
            message = orjson.loads(line)
            if isinstance(message, dict):
                self._message(message)
        except (ValueError, TypeError, KeyError, IndexError, Unreadable):
            return

    def _message(self, message: Mapping[str, Any]) -> None:
        method = message.get("method")
        if method is None:
            self._answer(message.get("id"), message.get("result"), message.get("error"))
            return
        verb = self.VERBS.get(method)
        if verb is not None:
            verb(self, message.get("id"), message.get("params") or [])

    def _answer(self, number: Any, result: Any, error: Any) -> None:
        step = self._asked.pop(number, None)
        if step is not None:
            self._opened(step, result, error)
            return
        share = self._waiting.pop(number, None)
        if share is not None:
            taken = result is True and not error
            self._hears.answered(self, share, None if taken else _code(error))

    def _notify(self, _number: Any, params: Any) -> None:
        """mining.notify: what was announced since the last job counts from here on."""
        if self._next is not None:
            self._extranonce1, self._counter = self._next[0], Counter(self._next[1])
            self._next = None
        if not self.difficulty:
            return
        puzzle = Puzzle(
            params,
            difficulty=self.difficulty,
            scale=self.scale,
            extranonce1=self._extranonce1,
            counter=self._counter,
            mask=self.mask,
        )
        self.puzzle = puzzle
        self.ready.set()
        self._hears.jobs(self, puzzle)

    def _set_difficulty(self, _number: Any, params: Any) -> None:
        difficulty = float(params[0])
        if 0.0 < difficulty < float("inf"):
            self.difficulty = difficulty

    def _set_extranonce(self, _number: Any, params: Any) -> None:
        self._next = (bytes.fromhex(params[0]), int(params[1]))

    def _set_mask(self, _number: Any, params: Any) -> None:
        """mining.set_version_mask: at once, so the stretch that is being cut ends here."""
        self.mask = int(str(params[0]), 16) & self.firmware.mask
        if self.puzzle is not None:
            self.puzzle.masked(self.mask)

    def _reconnect(self, _number: Any, params: Any) -> None:
        host = str(params[0]) if params and params[0] else ""
        port = int(params[1]) if len(params) > 1 and params[1] else 0
        self._hears.moved(self, host, port)

    def _get_version(self, number: Any, _params: Any) -> None:
        self._reply(number, self._agent)

    def _ping(self, number: Any, _params: Any) -> None:
        self._reply(number, "pong")

    def _reply(self, number: Any, result: str) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.write(orjson.dumps({"id": number, "result": result, "error": None}) + b"\n")

    # ---------------------------------------------------------------------------------------------------------- shares

    def submit(self, share: Share) -> None:
        """mining.submit, as the firmware writes it; a pool that answers nothing does not pile up."""
        prefix, puzzle = self.firmware.prefix, share.puzzle
        params = [
            share.worker,
            puzzle.job,
            share.extranonce2.hex(),
            f"{prefix}{puzzle.time_s:08x}",
            f"{prefix}{share.nonce:08x}",
        ]
        if self.firmware.submits_bits and share.bits is not None:
            params.append(f"{prefix}{share.bits:08x}")
        self._waiting[self._send("mining.submit", params)] = share
        if len(self._waiting) > WAITING_MOST:
            del self._waiting[next(iter(self._waiting))]

    VERBS: ClassVar[dict[str, Callable[[Any, Any, Any], None]]] = {
        "mining.notify": _notify,
        "mining.set_difficulty": _set_difficulty,
        "mining.set_extranonce": _set_extranonce,
        "mining.set_version_mask": _set_mask,
        "mining.ping": _ping,
        "client.reconnect": _reconnect,
        "client.get_version": _get_version,
        "mining.get_version": _get_version,
    }


def _code(error: Any) -> int:
    """The number of an error; 20 where it has none."""
    if isinstance(error, list) and error and isinstance(error[0], int):
        return error[0]
    return int(error["code"]) if isinstance(error, dict) and isinstance(error.get("code"), int) else 20
