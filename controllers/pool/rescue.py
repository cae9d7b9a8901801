"""Rescue: a block whose pool was gone before it answered is brought to it again, until somebody answers.

A pool can take a block only in the session whose extranonce1 is in its coinbase, so each configured pool is visited and
asked to resume that session; one that gives the same extranonce1 gets the share as it was. A pool that has the block
already says "duplicate", which settles it too. What a rescue did is written to the block file, so after a restart it is
taken up where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from controllers.pool.blocks import Answer, Block, Blocks
from controllers.pool.pools import Pools
from controllers.pool.visit import Visit
from fleet.work.stratum import Authorize, Submit

_FIRST_REAL_S: Final = 0.2
_LAST_REAL_S: Final = 30.0
GIVEN_UP_S: Final = 3_600.0
"""A block that is older (in the site's seconds) has long been built upon, or lost."""
_AT_ONCE: Final = 16
_NO_PASSWORD: Final = "x"  # noqa: S105 - what workers without one say


class Rescue:
    """Brings blocks to their pools; `visit(number)` makes a visit. Passwords are known for this process's blocks alone."""

    def __init__(
        self,
        blocks: Blocks,
        pools: Pools,
        visit: Callable[[int], Visit],
        *,
        now: Callable[[], float],
        say: Callable[[str, str], None],
    ) -> None:
        self._blocks, self._pools, self._visit, self._now, self._say = blocks, pools, visit, now, say
        self._some = asyncio.Semaphore(_AT_ONCE)
        self._passwords: dict[str, str | None] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, name: str, password: str | None = None) -> None:
        """Bring this block to a pool, from now on until one has answered; `password` is its worker's, where it is known."""
        block = self._blocks.open.get(name)
        if block is None or name in self._tasks:
            return
        task = asyncio.get_running_loop().create_task(self._bring(block, password))
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._tasks.pop(name, None))

    async def close(self) -> None:
        """Stop; what is open stays on disk, for the next process."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _bring(self, block: Block, password: str | None) -> None:
        wait_s, why = _FIRST_REAL_S, ""
        while block.hash in self._blocks.open:
            if self._now() - block.at_s > GIVEN_UP_S:
                self._blocks.answered(Answer(block.hash, self._now(), block.pool, False, f"given up: {why}"))
                return
            # its own pool first
            order = sorted(range(len(self._pools.states)), key=lambda n: self._pools.states[n].table.url != block.pool)
            for number in order:
                try:
                    async with self._some:
                        answer = await self._once(block, number, password)
                except ConnectionError as error:
                    why = str(error)
                    continue
                if isinstance(answer, Answer):
                    self._blocks.answered(answer)
                    return
                why = answer
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _LAST_REAL_S)

    async def _once(self, block: Block, number: int, password: str | None) -> Answer | str:
        """One visit to one pool: its answer, or why it cannot take the block.

        Raises:
            ConnectionError: it went away.
        """
        url = self._pools.states[number].table.url
        async with self._visit(number) as visit:
            subscription = await visit.subscribe(block.session or block.extranonce1)
            if subscription.extranonce1.hex() != block.extranonce1:
                return f"{url} does not resume the session of extranonce1 {block.extranonce1}"
            if not (await visit.ask(Authorize(2, block.worker, password or _NO_PASSWORD))).accepted:
                return f"{url} does not authorize {block.worker!r}"
            response = await visit.ask(
                Submit(
                    3,
                    block.worker,
                    block.job_id,
                    bytes.fromhex(block.extranonce2),
                    block.time_s,
                    block.nonce,
                    block.version_bits,
                )
            )
        message = "" if response.error is None else response.error.message
        # code 22 is a duplicate: it has it from the first time
        known = response.error is not None and (response.error.code == 22 or "duplicate" in message.lower())
        return Answer(block.hash, self._now(), url, response.accepted or known, f"submitted again. {message}".strip())
