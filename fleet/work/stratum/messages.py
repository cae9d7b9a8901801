"""Messages of Stratum V1 as values: what miners ask, what pools say, and what is not a message at all.

Hashes, nonces and times are decoded here already: bytes as they stand in a header, integers otherwise. Ids are whatever
JSON value the sender chose, because the answer has to carry the same one. What a share costs is dominated by the
objects made for it, so the two messages of the hot path, `Submit` and `Response`, are plain tuples with names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

Id: TypeAlias = Any
"""Any JSON value: numbers, strings, null, and what firmware comes up with."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """A line that is no message we can read: why, and as much of it as is needed to answer."""

    reason: str
    method: str | None = None
    id: Id = None


# ------------------------------------------------------------------------------------------------- miner -> pool


@dataclass(frozen=True, slots=True)
class Subscribe:
    """mining.subscribe: begins a session. `session` is what it wants to resume (mostly an extranonce1)."""

    id: Id
    agent: str | None = None
    session: str | None = None
    host: str | None = None
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Authorize:
    """mining.authorize: a worker logs in. The password is a secret, or `x`, or options (`d=1024`)."""

    id: Id
    user: str
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Configure:
    """mining.configure (BIP 310): extensions by name, and their parameters as `extension.parameter`."""

    id: Id
    extensions: tuple[str, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)


class Submit(NamedTuple):
    """mining.submit: one share. `extranonce2` as bytes, the others as the integers of a header.

    `version_bits` is the sixth parameter (BIP 310), None where there is none.
    """

    id: Id
    worker: str
    job_id: str
    extranonce2: bytes
    time_s: int
    nonce: int
    version_bits: int | None = None


@dataclass(frozen=True, slots=True)
class ExtranonceSubscribe:
    """mining.extranonce.subscribe: the miner can change its extranonce1 during a session."""

    id: Id


@dataclass(frozen=True, slots=True)
class SuggestDifficulty:
    """mining.suggest_difficulty: what the miner would like."""

    id: Id
    difficulty: float


@dataclass(frozen=True, slots=True)
class SuggestTarget:
    """mining.suggest_target: the same as a target of 256 bits."""

    id: Id
    target: int


@dataclass(frozen=True, slots=True)
class MultiVersion:
    """mining.multi_version: version rolling as Antminers asked for it before BIP 310."""

    id: Id
    versions: int


# ------------------------------------------------------------------------------------------------- pool -> miner


@dataclass(frozen=True, slots=True)
class Notify:
    """mining.notify: a job. `previous` and `branches` as they stand in a header and in the merkle tree."""

    job_id: str
    previous: bytes
    coinbase1: bytes
    coinbase2: bytes
    branches: tuple[bytes, ...]
    version: int
    nbits: int
    time_s: int
    clean: bool
    id: Id = None


@dataclass(frozen=True, slots=True)
class SetDifficulty:
    """mining.set_difficulty: from the next job on. Finite and above zero."""

    difficulty: float
    id: Id = None


@dataclass(frozen=True, slots=True)
class SetExtranonce:
    """mining.set_extranonce: from the next job on."""

    extranonce1: bytes
    extranonce2_bytes: int
    id: Id = None


@dataclass(frozen=True, slots=True)
class SetVersionMask:
    """mining.set_version_mask (BIP 310): the bits that may be rolled, at once."""

    mask: int
    id: Id = None


@dataclass(frozen=True, slots=True)
class Reconnect:
    """client.reconnect: to another address after some seconds; None is where it is connected now."""

    host: str | None = None
    port: int | None = None
    wait_s: float = 0.0
    id: Id = None


@dataclass(frozen=True, slots=True)
class ShowMessage:
    """client.show_message: for people."""

    text: str
    id: Id = None


@dataclass(frozen=True, slots=True)
class SetGoal:
    """mining.set_goal: the coin that is mined, by name."""

    goal: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    id: Id = None


# ---------------------------------------------------------------------------------------------------------- both


@dataclass(frozen=True, slots=True)
class GetVersion:
    """client.get_version: what software is at the other end?"""

    id: Id


@dataclass(frozen=True, slots=True)
class Ping:
    """mining.ping, answered with "pong"."""

    id: Id


@dataclass(frozen=True, slots=True)
class Pong:
    """ESP-Miner's answer to a ping, which is a request of its own."""

    id: Id


@dataclass(frozen=True, slots=True)
class Error:
    """Why a request was refused: the array [code, message, traceback], an object, or a bare text."""

    code: int | None
    message: str
    extra: Any = None


class Response(NamedTuple):
    """The answer to the request of that id."""

    id: Id
    result: Any
    error: Error | None = None

    @property
    def accepted(self) -> bool:
        """Was it granted? Null without an error is not."""
        return self.error is None and self.result is not None and self.result is not False


@dataclass(frozen=True, slots=True)
class Other:
    """A method that we do not know; it is passed on."""

    id: Id
    method: str
    params: Any


Request: TypeAlias = (
    Subscribe
    | Authorize
    | Configure
    | Submit
    | ExtranonceSubscribe
    | SuggestDifficulty
    | SuggestTarget
    | MultiVersion
    | GetVersion
    | Ping
    | Pong
    | Response
    | Other
)
"""What a miner sends."""
PoolMessage: TypeAlias = (
    Notify
    | SetDifficulty
    | SetExtranonce
    | SetVersionMask
    | Reconnect
    | ShowMessage
    | SetGoal
    | GetVersion
    | Ping
    | Pong
    | Response
    | Other
)
"""What a pool sends."""
