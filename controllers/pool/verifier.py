"""The verifier: shares of all connections, hashed together and judged one by one.

A share costs its hash, and a call costs as much again, so shares that come thick and fast wait until the event loop has
handed out everything that has come in, and are hashed in one call. Forwarding does not wait for it; whoever must not be
ahead of the verdict (a pool's answer, a farewell) flushes first. Blocks are handed on before any other verdict of their
batch.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

from fleet.work.sha256d import DIGEST_BYTES, HEADER_BYTES, Engine, sha256d
from fleet.work.stratum.messages import Submit
from fleet.work.stratum.shares import Candidate, Judged, judge

_CALM_S: Final = 0.001
"""A share that comes so long after the one before is not worth another turn of the loop to wait for company."""
_CALL_PAYS: Final = 4
_BRANCHES: Final = 12
"""Of the merkle tree of a full block."""
BATCH_MOST: Final = 256
"""Shares in one call: a quarter of a millisecond with the native engine, three with hashlib."""


@dataclass(slots=True, eq=False)
class Share:
    """A share on its way: who brought it, what it says, and what became of it.

    `foreign`: it is for somebody else. `line`: as it came in. `held`: it goes on to the pool after its verdict, and only
    where it is hard enough. `judged` is None, and `digest` empty, until it is hashed.
    """

    session: Judge
    submit: Submit
    candidate: Candidate
    line: bytes
    at_s: float
    foreign: bool = False
    held: bool = False
    began_s: float = 0.0
    """When it came in (the process's own timer), where it is verified before it is answered."""
    judged: Judged | None = None
    digest: bytes = b""

    @property
    def is_block(self) -> bool:
        """Was it found to meet the network's target?"""
        return self.judged is not None and self.judged.is_block


class Judge(Protocol):
    """A session, as the verifier sees it."""

    def block(self, share: Share) -> None:
        """This share meets the network's target; called before `verdict`, and before any other share's."""
        ...

    def verdict(self, share: Share) -> None:
        """This share is judged."""
        ...

    def settled(self) -> None:
        """Every share of a batch that was this session's is judged."""
        ...


class Verifier:
    """Collects shares, and judges them when the loop has nothing else at hand, or at `flush`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, engine: Engine) -> None:
        self._loop, self._engine = loop, engine
        self.fold = engine.folded
        """Makes merkle roots for job books."""
        self._waiting: list[Share] = []
        self._put_s = 0.0
        self.verified = 0
        """Shares hashed so far."""

    def warm(self) -> None:
        """Have the engine make its machine code now: a tenth of a second, in which later nobody would be answered."""
        self._engine.digests(bytes(HEADER_BYTES * BATCH_MOST))
        self._engine.folded(bytes(DIGEST_BYTES), [bytes(DIGEST_BYTES)] * _BRANCHES)

    def put(self, share: Share) -> None:
        """Judge this one soon: before the loop waits again."""
        waiting = self._waiting
        waiting.append(share)
        if len(waiting) == 1:
            before_s, self._put_s = self._put_s, self._loop.time()
            if self._put_s - before_s > _CALM_S:
                self.flush()
            else:
                self._loop.call_soon(self.flush)
        elif len(waiting) >= BATCH_MOST:
            self.flush()

    def flush(self) -> None:
        """Judge what waits."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        cut = self._digests([share.candidate.header for share in waiting])
        self.verified += len(waiting)
        for share, digest in zip(waiting, cut, strict=True):
            share.judged = judged = judge(share.candidate, digest)
            share.digest = digest if judged.header is share.candidate.header else sha256d(judged.header)
            if judged.is_block:
                share.session.block(share)
        for share in waiting:
            share.session.verdict(share)
        for session in dict.fromkeys([share.session for share in waiting]):
            session.settled()

    def _digests(self, headers: list[bytes]) -> list[bytes]:
        """Their hashes; a call to the engine pays from a few headers on."""
        if len(headers) < _CALL_PAYS:
            return [sha256d(header) for header in headers]
        digests = self._engine.digests(b"".join(headers))
        return [digests[at : at + DIGEST_BYTES] for at in range(0, len(digests), DIGEST_BYTES)]
