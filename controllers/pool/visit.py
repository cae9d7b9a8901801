"""A visit: a short session of the tap's own with a pool, to see whether it is well or to bring it a block.

One question at a time, each with its answer or a deadline. What else the pool says meanwhile is left unread.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final, Self

from controllers.pool.dial import Dial
from controllers.pool.settings import Limits
from controllers.pool.wire import Cut, Wire
from fleet.work.stratum import (
    Malformed,
    Request,
    Response,
    Subscribe,
    Subscription,
    read_pool,
    read_subscription,
    write_request,
)

AGENT: Final = "hashwatt"


class Visit:
    """A session with pool `number`; entering connects, leaving ends it.

    Raises:
        ConnectionError: on entering, and from every question: the pool took no connection, went away, or did not answer
            in time; the message says which.
    """

    def __init__(
        self, dial: Dial, loop: asyncio.AbstractEventLoop, number: int, limits: Limits, answer_s: float
    ) -> None:
        self._dial, self._loop, self._number, self._answer_s = dial, loop, number, answer_s
        self._waiting: asyncio.Future[Response] | None = None
        self._wire = Wire(
            loop,
            line_bytes=limits.pool_line_bytes,
            messages_per_s=limits.pool_messages_per_s,
            said=self._said,
            lost=self._lost,
        )

    async def __aenter__(self) -> Self:
        """Connect."""
        await self._dial.connect(self._number, self._wire)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        self._wire.end(Cut.DONE)

    async def subscribe(self, session: str | None = None) -> Subscription:
        """Begin a session, or resume one; raises as a question does, and where the answer is none that can be read."""
        response = await self.ask(Subscribe(1, AGENT, session))
        subscription = read_subscription(response.result)
        if isinstance(subscription, Malformed):
            raise ConnectionError(f"it answered mining.subscribe with {subscription.reason}")
        return subscription

    async def ask(self, request: Request) -> Response:
        """One question and its answer."""
        if not self._wire.open:
            raise ConnectionError("it ended the connection")
        self._waiting = self._loop.create_future()
        self._wire.write(write_request(request))
        try:
            async with asyncio.timeout(self._answer_s):
                return await self._waiting
        except TimeoutError:
            raise ConnectionError(f"no answer within {self._answer_s:g} s") from None

    def _said(self, _raw: bytes, lines: list[bytes]) -> None:
        for line in lines:
            message = read_pool(line)
            if isinstance(message, Response) and message.id is not None:
                waiting, self._waiting = self._waiting, None
                if waiting is not None and not waiting.done():
                    waiting.set_result(message)

    def _lost(self, _cut: Cut | None) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(ConnectionError("it ended the connection"))
