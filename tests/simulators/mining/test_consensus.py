"""Blocks that pretend machines find on regtest, judged by Bitcoin Core's own consensus code: all good, and a spoilt one not.

What judges is libbitcoinkernel (py-bitcoinkernel), which knows nothing of this project. The machines mine at the pretend
pool, and through the tap: what the tap does to a share on its way must leave a block whole.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pbk
import pytest

from controllers.clock import Clock
from controllers.pool.settings import TapSettings
from controllers.pool.tap import Tap
from controllers.pretend.simulate import free_ports
from fleet.catalogue import ANTMINER, LUXOS, WHATSMINER
from fleet.work.counted import Counted, Flaw
from fleet.work.sha256d import HashlibEngine, meets, sha256d
from fleet.work.target import target_of_nbits
from simulators.chain import (
    REGTEST_NBITS,
    Regtest,
    Template,
    branches_of,
    coinbase_halves,
    merkle_root,
    whole_block,
)
from simulators.wire.pool import FoundBlock, PretendPool
from simulators.wire.pool_settings import PoolSettings
from simulators.wire.pool_work import Claim, Found, Given, Rules, job_of, judge
from tests.simulators.mining.conftest import ACCOUNT, DIFFICULTY, SCALE, START_S, Dig

RULES = PoolSettings(
    scale=SCALE, start_difficulty=DIFFICULTY, shares_per_min=0.0, grace_s=60.0, accounts=frozenset({ACCOUNT})
)
TRIO = (LUXOS, ANTMINER, WHATSMINER)
BLOCKS = 120
TARGET = target_of_nbits(REGTEST_NBITS)


def judged(blocks: list[bytes], folder: Path) -> tuple[int, float]:
    """How high Bitcoin Core's chain is after these blocks, and how long it took to judge them."""
    chain = pbk.load_chainman(folder, pbk.ChainType.REGTEST)
    began = time.perf_counter()
    for raw in blocks:
        assert chain.process_block(pbk.Block(raw)) is True
    took_s = time.perf_counter() - began
    return int(chain.get_active_chain().height), took_s


async def enough(pool: PretendPool, blocks: int = BLOCKS) -> None:
    """Until so many blocks were found."""
    async with asyncio.timeout(600.0):
        while len(pool.blocks) < blocks:
            await asyncio.sleep(0.05)


def test_every_block_of_the_pretend_pool_is_a_block(dig: Dig, virtually: Any, tmp_path: Path) -> None:
    """If this fails, the pool, its miners or its coinbases are not what Bitcoin takes: heights, commitments, merkle roots."""

    async def run() -> list[FoundBlock]:
        async with dig(dialects=TRIO, regtest=True, speed=20.0) as world:
            await enough(world.pools["pool"])
            return world.pools["pool"].blocks[:BLOCKS]

    blocks = virtually(run())
    height, took_s = judged([one.raw for one in blocks], tmp_path)
    assert height == BLOCKS
    assert took_s < 1.0
    assert {one.worker.split(".")[1] for one in blocks} == {"luxos-1", "antminer-2", "whatsminer-v3-3"}
    # later ones carry three spends and their witnesses, which the commitment is over
    assert max(len(one.raw) for one in blocks) > len(blocks[0].raw) + 250


@pytest.mark.parametrize("how", ["pass", "aggregate"])
def test_every_block_found_through_the_tap_is_a_block(dig: Dig, tmp_path: Path, how: str) -> None:
    """If this fails, the tap loses a block, changes one, or counts other shares than the pool that paid for them."""

    async def run() -> tuple[list[FoundBlock], Counted, int]:
        port, speed = free_ports(4), 60.0
        pool = f"stratum+tcp://127.0.0.1:{port}"
        settings = TapSettings.model_validate(
            {
                "listen": f"127.0.0.1:{port + 3}",
                "pools": [{"url": pool}],
                "how": how,
                "accounts": [ACCOUNT],
                "simulated_scale": SCALE,
                "vardiff": {"shares_per_min": 60.0, "start": DIFFICULTY},
                "stale_grace_s": 60.0,
            }
        )
        tapped = f"stratum+tcp://127.0.0.1:{port + 3}"
        async with dig(
            dialects=TRIO, settings=RULES, regtest=True, speed=speed, pools=(tapped, pool), port=port
        ) as world:
            clock = Clock(speed, world.now())
            tap = Tap(settings, world.roster, clock, lambda *_: None, tmp_path, HashlibEngine())
            serving = asyncio.create_task(tap.run())
            try:
                while tap.port is None:
                    await asyncio.sleep(0.01)
                assert world.mine is not None
                for miner in world.mine.miners:
                    miner.line.hang_up()  # they had the pool alone so far, and call the tap first
                while not all(miner.line.index == 0 and miner.difficulty for miner in world.mine.miners):
                    await asyncio.sleep(0.01)
                books = world.pools["pool"].books.values()
                before = sum(book.shares for book in books)
                await enough(world.pools["pool"])
                blocks = list(world.pools["pool"].blocks)
                await world.mine.stop()
                await asyncio.sleep(0.2)
                counted = tap.counted()
            finally:
                serving.cancel()
                await asyncio.gather(serving, return_exceptions=True)
            return blocks, counted, sum(book.shares for book in books) - before

    blocks, counted, shares = asyncio.run(run())
    height, _ = judged([one.raw for one in blocks], tmp_path / "kernel")
    assert height == len(blocks) >= BLOCKS
    assert counted.flawed[:, [Flaw.LOW, Flaw.DUPLICATE, Flaw.EXTRANONCE, Flaw.VERSION, Flaw.FOREIGN]].sum() == 0
    if how == "pass":
        assert counted.shares.sum() == pytest.approx(shares, abs=6)
        assert counted.work.sum() == counted.shares.sum() * DIFFICULTY


class Digger:
    """Makes regtest blocks by hand, so that one can be made wrong in one place and right in all others."""

    def __init__(self) -> None:
        self.chain = Regtest()

    def block(self, change: Callable[[Template], Template] = lambda template: template) -> bytes:
        """The next block, of a template that was changed, with work that meets."""
        template = change(self.chain.template())
        job = job_of(template, 1, START_S, extranonce_bytes=12, tag=b"", clean=True)
        given = Given(job, 1e-12, b"\0\0\0\1", 0)
        for nonce in range(1 << 16):
            claim = Claim("a.b", "1", bytes(8), job.time_s, nonce, None)
            found = judge(claim, given, 1e-12, START_S, Rules(1.0, 8, 7_200.0))
            if isinstance(found, Found) and found.is_block:
                return whole_block(found.head, found.coinbase, template.transactions or ())
        raise AssertionError("no block among 65,536 nonces")

    def extend(self, raw: bytes, coinbase: bytes) -> None:
        """Go on from a block."""
        self.chain.extend(self.chain.template(), raw[:80], coinbase)


def altered(raw: bytes, at: int) -> bytes:
    """A block with one bit changed."""
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def unworked(raw: bytes) -> bytes:
    """A block whose nonce does not meet."""
    for nonce in range(1 << 16):
        head = raw[:76] + nonce.to_bytes(4, "little")
        if not meets(sha256d(head), TARGET):
            return head + raw[80:]
    raise AssertionError("every nonce meets")


def changed(**fields: Any) -> Callable[[Template], Template]:
    """A template with other fields."""
    return lambda template: replace(template, **fields)


def too_much(template: Template) -> Template:
    """A coinbase that pays itself one satoshi more than there is."""
    return changed(value_sat=template.value_sat + 1)(template)


SPOILT: dict[str, Callable[[Digger], bytes]] = {
    "without work": lambda digger: unworked(digger.block()),
    "a bit of its coinbase": lambda digger: altered(digger.block(), 140),
    "a bit of its time's neighbour, nBits": lambda digger: altered(digger.block(), 72),
    "a satoshi too much": lambda digger: digger.block(too_much),
    "another height": lambda digger: digger.block(changed(height=7)),
    "on another block": lambda digger: digger.block(changed(previous=bytes(31) + b"\1")),
    "another commitment": lambda digger: digger.block(changed(commitment=bytes.fromhex("6a24aa21a9ed") + bytes(32))),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_spoilt_block_is_refused(tmp_path: Path, how: str) -> None:
    """If this fails, whoever judges our blocks would have taken anything."""
    chain = pbk.load_chainman(tmp_path, pbk.ChainType.REGTEST)
    digger = Digger()
    spoilt = SPOILT[how](digger)
    with suppress(pbk.ProcessBlockException, RuntimeError):
        chain.process_block(pbk.Block(spoilt))
    assert chain.get_active_chain().height == 0
    assert chain.process_block(pbk.Block(digger.block())) is True
    assert chain.get_active_chain().height == 1


@pytest.mark.parametrize("count", range(12))
def test_branches_fold_to_the_root_that_bitcoin_has(count: int) -> None:
    """If this fails, merkle branches of some number of transactions are wrong: pairs, odd ones out, one alone."""
    leaves = [sha256d(bytes([number])) for number in range(count + 1)]
    level = list(leaves)
    while len(level) > 1:
        if len(level) % 2:
            level.append(level[-1])
        level = [sha256d(level[at] + level[at + 1]) for at in range(0, len(level), 2)]
    assert merkle_root(leaves[0], branches_of(leaves[1:])) == level[0]


def test_a_coinbase_script_has_its_limit() -> None:
    """If this fails, a pool with a long tag makes blocks that nobody takes."""
    with pytest.raises(ValueError, match="at most 100"):
        coinbase_halves(Regtest().template(), 12, b"x" * 90)
