"""One miner's connection to a pretend pool: lines in, answers out, difficulty and jobs as the pool has them for it.

Requests are those of Stratum V1 (slush's protocol, BIP 310's mining.configure, and what pools answer beside them:
mining.extranonce.subscribe, mining.suggest_difficulty, mining.suggest_target, mining.multi_version, mining.get_version).
A line that is none gets an error, or after too many the connection is cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import orjson
from typing_extensions import override

from fleet.work.target import difficulty_of_target
from simulators.wire.pool_books import Cause
from simulators.wire.pool_settings import FLOOD, GARBAGE, PoolFault
from simulators.wire.pool_vardiff import Vardiff
from simulators.wire.pool_work import Claim, Found, Given, Job, Misread, Rules, judge, word

if TYPE_CHECKING:
    from simulators.wire.pool import PretendPool

BAD_LINES_MOST: Final = 20
WORKERS_MOST: Final = 64
BUFFER_MOST: Final = 4 * 2**20
"""A miner that reads nothing is cut when so much waits for it."""


class PoolSession(asyncio.Protocol):
    """One connection."""

    def __init__(self, pool: PretendPool) -> None:
        self.pool, self.settings = pool, pool.settings
        self.agent = ""
        self.workers: dict[str, bool] = {}
        self.mask = 0
        self.extranonce1 = b""
        self.number = 0
        self._transport: asyncio.Transport | None = None
        self._inbox = bytearray()
        self._given: dict[str, Given] = {}
        self._subscribed = False
        self._working = False
        """Has it been told a difficulty, and gets jobs?"""
        self._bad = 0
        self._submits = 0
        self._asked = 0
        self._extranonces = 0
        self._moves = False
        """Did it ask for changes of the extranonce?"""
        rules = pool.settings
        self._vardiff = Vardiff(
            rules.start_difficulty,
            rules.least_difficulty,
            rules.most_difficulty,
            rules.shares_per_min,
            rules.retarget_s,
            pool.clock.now(),
        )
        self._silence: asyncio.TimerHandle | None = None

    @property
    def difficulty(self) -> float:
        """What is asked of it now."""
        return self._vardiff.difficulty

    @property
    def peer(self) -> str:
        """The address that it calls from; empty before it does."""
        found = None if self._transport is None else self._transport.get_extra_info("peername")
        return str(found[0]) if found else ""

    # ------------------------------------------------------------------------------------------------------ connection

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A number, and with it an extranonce that nobody else has."""
        self._transport = cast("asyncio.Transport", transport)
        number = self.pool.admit(self)
        if number is None:
            self.cut()
            return
        self.number = number
        self._renew()
        self._heard()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Gone."""
        self.pool.sessions.pop(self, None)
        if self._silence is not None:
            self._silence.cancel()

    def cut(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    def _heard(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
        self._silence = asyncio.get_running_loop().call_later(self.settings.silence_real_s, self.cut)

    @override
    def data_received(self, data: bytes) -> None:
        """Lines, up to the limit."""
        self._inbox += data
        *lines, rest = self._inbox.split(b"\n")
        self._inbox = rest
        if len(rest) > self.settings.line_bytes or any(len(line) > self.settings.line_bytes for line in lines):
            self.pool.counts.too_long += 1
            self.cut()
            return
        for line in lines:
            if self._transport is None or self._transport.is_closing():
                return
            if line.strip():
                self.pool.counts.lines += 1
                self._line(bytes(line))
        if lines:
            self._heard()

    def _write(self, message: Mapping[str, Any]) -> None:
        assert self._transport is not None
        if self._transport.is_closing():
            return
        self._transport.write(orjson.dumps(message) + b"\n")
        if self._transport.get_write_buffer_size() > BUFFER_MOST:
            self.cut()

    def send_method(self, method: str, params: list[Any]) -> None:
        """A notification."""
        self._write({"id": None, "method": method, "params": params})

    def send_request(self, method: str, params: list[Any]) -> None:
        """A request of the pool's, which the miner answers."""
        self._asked += 1
        self._write({"id": f"p{self._asked}", "method": method, "params": params})

    # -------------------------------------------------------------------------------------------------------- requests

    def _line(self, line: bytes) -> None:
        """One message: a request, or an answer to one of ours."""
        try:
            message = orjson.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            self._misread(None, "a message is a JSON object")
            return
        method = message.get("method")
        if method is None:
            self._answered(message)
            return
        verb = self.VERBS.get(method) if isinstance(method, str) else None
        if verb is None:
            self._misread(message.get("id"), "unknown method")
        else:
            self._do(verb, message.get("id"), message.get("params"))

    def _do(self, verb: Callable[[Any, Any, Any], Any], number: Any, params: Any) -> None:
        """One request; what its verb gives is the result, None where it answered itself."""
        try:
            result = verb(self, number, params if params is not None else [])
        except (Misread, TypeError, KeyError, IndexError, ValueError) as error:
            self._misread(number, str(error))
            return
        if result is not None:
            self._write({"id": number, "result": result, "error": None})

    def _misread(self, number: Any, why: str) -> None:
        self.pool.counts.malformed += 1
        self._bad += 1
        if self._bad > BAD_LINES_MOST:
            self.cut()
            return
        self._refuse(number, Cause.OTHER, why)

    def _refuse(self, number: Any, cause: Cause, words: str = "") -> None:
        self._write({"id": number, "result": None, "error": [cause.code, words or cause.words, None]})

    def _answered(self, message: Mapping[str, Any]) -> None:
        """An answer to a request of ours: a pong, or a version."""
        result = message.get("result")
        if result == "pong":
            self.pool.counts.pongs += 1
        elif isinstance(result, str):
            self.agent = result[:128]

    def _subscribe(self, _number: Any, params: Any) -> Any:
        """mining.subscribe: user agent and an old session; a session is not resumed here."""
        self.agent = str(params[0])[:128] if params else ""
        self._subscribed = True
        agents = self.pool.counts.agents
        if len(agents) < 1_000 or self.agent in agents:
            agents[self.agent] = agents.get(self.agent, 0) + 1
        mark = f"{self.number:08x}"
        kinds = [["mining.set_difficulty", mark], ["mining.notify", mark]]
        return [kinds, self.extranonce1.hex(), self.settings.extranonce2_bytes]

    def _authorize(self, number: Any, params: Any) -> Any:
        """mining.authorize: the first good worker gets a difficulty and a job."""
        worker = str(params[0])[:256]
        if not self.pool.knows(worker) or len(self.workers) >= WORKERS_MOST:
            self._refuse(number, Cause.UNAUTHORIZED)
            return None
        self.pool.book(worker)
        self.workers[worker] = True
        self._write({"id": number, "result": True, "error": None})
        if not self._working:
            self._working = True
            self._tell()
            self.give(self.pool.job)
        return None

    def _configure(self, _number: Any, params: Any) -> Any:
        """mining.configure (BIP 310): what of the extensions we know is granted."""
        extensions, wanted = params[0], params[1] if len(params) > 1 else {}
        result: dict[str, Any] = {}
        for name in extensions:
            match name:
                case "version-rolling":
                    self.mask = word(str(wanted.get("version-rolling.mask", "ffffffff"))) & self.settings.version_mask
                    enough = self.mask.bit_count() >= int(wanted.get("version-rolling.min-bit-count", 0))
                    result[name] = bool(self.mask) and enough
                    result["version-rolling.mask"] = f"{self.mask:08x}"
                case "minimum-difficulty":
                    least = float(wanted["minimum-difficulty.value"])
                    result[name] = self._vardiff.raise_least(self.pool.clock.now(), least)
                case "subscribe-extranonce":
                    self._moves = True
                    result[name] = True
                case "info":
                    result[name] = True
                case _:
                    result[str(name)] = False
        return result

    def _extranonce_subscribe(self, _number: Any, _params: Any) -> Any:
        """mining.extranonce.subscribe: we may send mining.set_extranonce."""
        self._moves = True
        return True

    def _suggest_difficulty(self, _number: Any, params: Any) -> Any:
        """mining.suggest_difficulty: taken where no share has told better."""
        self._suggested(float(params[0]))
        return True

    def _suggest_target(self, _number: Any, params: Any) -> Any:
        """mining.suggest_target: the same as a target."""
        self._suggested(difficulty_of_target(int(str(params[0]), 16)))
        return True

    def _suggested(self, difficulty: float) -> None:
        if self._submits == 0 and self._vardiff.set(self.pool.clock.now(), difficulty) and self._working:
            self._tell()
            self.give(self.pool.again())

    def _multi_version(self, _number: Any, _params: Any) -> Any:
        """mining.multi_version: version rolling as Antminers asked for it before BIP 310."""
        self.mask = self.settings.version_mask
        self.send_method("mining.set_version_mask", [f"{self.mask:08x}"])
        return True

    def _get_version(self, _number: Any, _params: Any) -> Any:
        return "pretendpool/1.0"

    def _ping(self, _number: Any, _params: Any) -> Any:
        return "pong"

    # ---------------------------------------------------------------------------------------------------------- shares

    def _submit(self, number: Any, params: Any) -> Any:
        """mining.submit: the verdict, or what the pool's fault makes of it."""
        self._submits += 1
        pool, now_s = self.pool, self.pool.clock.now()
        if self._strikes(PoolFault.DROP) is not None:
            self.cut()
            return None
        claim = Claim.read(params)
        if not self.workers:
            self._refuse(number, Cause.UNAUTHORIZED if self._subscribed else Cause.NOT_SUBSCRIBED)
            return None
        if claim.worker not in self.workers:
            self._refuse(number, Cause.UNAUTHORIZED)
            return None
        given = self._given.get(claim.job)
        lying = self._strikes(PoolFault.HARDER)
        rules = Rules(
            self.settings.scale,
            self.settings.extranonce2_bytes,
            self.settings.time_ahead_s,
            self.mask,
            1.0 if lying is None else lying.factor,
        )
        verdict = judge(claim, given, self.difficulty, now_s, rules)
        if isinstance(verdict, Found) and self._strikes(PoolFault.REFUSE) is not None:
            verdict = Cause.LOW
        if isinstance(verdict, Cause):
            pool.book(claim.worker).refuse(verdict, self.difficulty if given is None else given.difficulty)
            self._refuse(number, verdict)
            return None
        assert given is not None
        self._credit(claim.worker, verdict, now_s)
        if self._strikes(PoolFault.MUTE) is None:
            self._write({"id": number, "result": True, "error": None})
        if verdict.is_block:
            pool.block(claim.worker, verdict, given)
        if self._vardiff.share(now_s, verdict.asked):
            self._tell()
            self.give(self.pool.again())
        return None

    def _strikes(self, fault: PoolFault) -> Any:
        return self.pool.troubles.strikes(fault, self.pool.clock.now(), self.number, self._submits)

    def _credit(self, worker: str, found: Found, now_s: float) -> None:
        """Into the worker's book, if it gets there."""
        book = self.pool.book(worker)
        if self._strikes(PoolFault.LOSE) is not None or self._strikes(PoolFault.MUTE) is not None:
            book.lost_shares += 1
            book.lost_work += found.asked
            return
        skim = self._strikes(PoolFault.SKIM)
        book.credit(now_s, found.asked / (1.0 if skim is None else skim.factor), found.reached)

    # ------------------------------------------------------------------------------------------------ difficulty, jobs

    def _tell(self) -> None:
        """mining.set_difficulty: it holds from the next job on."""
        told = self.difficulty
        self.send_method("mining.set_difficulty", [int(told) if told.is_integer() else told])

    def ease(self, now_s: float) -> None:
        """Time passed: less is asked of a miner that brings nothing. A job follows."""
        if self._working and self._vardiff.ease(now_s):
            self._tell()

    def give(self, job: Job) -> None:
        """A job; a clean one makes those before it stale after the grace."""
        if not self._working:
            return
        now_s = self.pool.clock.now()
        self._sour(now_s)
        if job.clean:
            for other in self._given.values():
                other.stale_s = min(other.stale_s, now_s + self.settings.grace_s)
        # the same work under another number: what came in for it came in
        same = (one for one in self._given.values() if one.job.template is job.template)
        seen = next((one.seen for one in same if one.extranonce1 == self.extranonce1), set())
        self._given[job.id] = Given(job, self.difficulty, self.extranonce1, self.mask, seen=seen)
        while len(self._given) > self.settings.jobs_kept:
            del self._given[next(iter(self._given))]
        self.send_method("mining.notify", job.notify())

    def _sour(self, now_s: float) -> None:
        """What a pool at fault sends between its messages."""
        assert self._transport is not None
        if self.pool.troubles.strikes(PoolFault.GARBAGE, now_s, self.number, len(self._given)) is not None:
            self._transport.writelines(GARBAGE)
        if self.pool.troubles.strikes(PoolFault.FLOOD, now_s, self.number, len(self._given)) is not None:
            self._transport.write(FLOOD)

    def set_mask(self, mask: int) -> None:
        """mining.set_version_mask, for a miner that rolls."""
        if self.mask:
            self.mask = mask & self.settings.version_mask
            self.send_method("mining.set_version_mask", [f"{self.mask:08x}"])
            self.give(self.pool.again())

    def set_extranonce(self) -> None:
        """mining.set_extranonce, and a job that it holds for."""
        if self._moves and self._working:
            self._renew()
            self.send_method("mining.set_extranonce", [self.extranonce1.hex(), self.settings.extranonce2_bytes])
            self.give(self.pool.again())

    def _renew(self) -> None:
        """Another first extranonce: session and turn, and nobody else's."""
        size = self.settings.extranonce1_bytes
        text = (self.number << 4 | self._extranonces & 15) % (1 << 8 * size)
        self._extranonces += 1
        self.extranonce1 = text.to_bytes(size, "big")

    VERBS: ClassVar[dict[str, Callable[[Any, Any, Any], Any]]] = {
        "mining.subscribe": _subscribe,
        "mining.authorize": _authorize,
        "mining.configure": _configure,
        "mining.submit": _submit,
        "mining.extranonce.subscribe": _extranonce_subscribe,
        "mining.suggest_difficulty": _suggest_difficulty,
        "mining.suggest_target": _suggest_target,
        "mining.multi_version": _multi_version,
        "mining.get_version": _get_version,
        "mining.ping": _ping,
    }
