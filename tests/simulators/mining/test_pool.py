"""The pretend pool's side of the wire, as tables: what is written in, what has to come back, and what is counted."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest

from fleet.work.target import target_of_difficulty
from simulators.wire.pool import PretendPool
from simulators.wire.pool_books import Cause
from simulators.wire.pool_settings import PoolFault, PoolTrouble
from tests.simulators.mining.conftest import ACCOUNT, DIFFICULTY, SCALE, START_S, Opened, RawClient, solved

TARGET = target_of_difficulty(DIFFICULTY * SCALE)
WORKER = f"{ACCOUNT}.raw"
MASK = "version-rolling.mask"


def calling(pool: PretendPool) -> RawClient:
    """A client of a pool."""
    return RawClient(*pool.address)


REQUESTS: list[tuple[str, list[Any], Any]] = [
    ("mining.configure", [["version-rolling"], {MASK: "ffffffff"}], {"version-rolling": True, MASK: "1fffe000"}),
    ("mining.configure", [["version-rolling"], {MASK: "1c000000"}], {"version-rolling": True, MASK: "1c000000"}),
    ("mining.configure", [["version-rolling"], {}], {"version-rolling": True, MASK: "1fffe000"}),
    (
        "mining.configure",
        [["version-rolling"], {MASK: "00002000", "version-rolling.min-bit-count": 2}],
        {"version-rolling": False, MASK: "00002000"},
    ),
    ("mining.configure", [["minimum-difficulty"], {"minimum-difficulty.value": 2048}], {"minimum-difficulty": True}),
    ("mining.configure", [["minimum-difficulty"], {"minimum-difficulty.value": -1}], {"minimum-difficulty": False}),
    ("mining.configure", [["info", "teleport"], {}], {"info": True, "teleport": False}),
    ("mining.extranonce.subscribe", [], True),
    ("mining.suggest_difficulty", [1024], True),
    ("mining.suggest_target", ["00" * 4 + "ff" * 28], True),
    ("mining.multi_version", [1], True),
    ("mining.ping", [], "pong"),
    ("mining.get_version", [], "pretendpool/1.0"),
    ("mining.authorize", [WORKER, "x"], True),
]


async def answered(pool: PretendPool, method: str, params: list[Any]) -> Any:
    """The result of one request."""
    async with calling(pool) as client:
        return (await client.ask(method, *params))["result"]


@pytest.mark.parametrize(("method", "params", "result"), REQUESTS)
def test_each_request_has_its_result(pool: Opened, method: str, params: list[Any], result: Any) -> None:
    """If this fails, a firmware that asks for this gets something else than pools give."""

    async def run() -> Any:
        async with pool() as made:
            return await answered(made, method, params)

    assert asyncio.run(run()) == result


def test_a_session_begins_with_an_extranonce_a_difficulty_and_a_job(pool: Opened) -> None:
    """If this fails, a miner gets no work, or two miners get the same."""

    async def run() -> tuple[RawClient, RawClient]:
        async with pool() as made, calling(made) as one, calling(made) as other:
            await one.join()
            await other.join("hashwatt.other")
            return one, other

    one, other = asyncio.run(run())
    assert one.difficulty() == other.difficulty() == DIFFICULTY
    assert len({one.extranonce1, other.extranonce1}) == 2
    assert one.extranonce2_bytes == 8


def mangled(share: tuple[str, str, str, str], **other: str) -> tuple[str, str, str, str]:
    """A share with something else in one place."""
    named = dict(zip(("job", "extranonce2", "time", "nonce"), share, strict=True)) | other
    return named["job"], named["extranonce2"], named["time"], named["nonce"]


@pytest.mark.parametrize(
    ("what", "cause"),
    [
        ("good", None),
        ("with 0x", None),
        ("short nonce", None),
        ("above", Cause.LOW),
        ("unknown job", Cause.STALE),
        ("extranonce of another size", Cause.OTHER),
        ("time before the job", Cause.OTHER),
        ("time hours after it", Cause.OTHER),
        ("bits that were not given", Cause.OTHER),
        ("another worker", Cause.UNAUTHORIZED),
        ("no hexadecimal", Cause.OTHER),
        ("four parameters", Cause.OTHER),
        ("numbers", Cause.OTHER),
        ("null", Cause.OTHER),
    ],
)
def test_a_share_gets_its_code(pool: Opened, what: str, cause: Cause | None) -> None:
    """If this fails, the pool takes what no pool takes, or says another reason for refusing it."""

    async def run() -> tuple[Any, int]:
        async with pool() as made, calling(made) as client:
            job = await client.join()
            share = solved(client, job, TARGET, above=what == "above")
            later = f"{int(job.time, 16) + 100_000:08x}"
            earlier = f"{int(job.time, 16) - 1:08x}"
            params: Any = {
                "with 0x": [WORKER, *share[:2], "0x" + share[2], "0x" + share[3]],
                "short nonce": [WORKER, *share[:3], f"{int(share[3], 16):x}"],
                "unknown job": [WORKER, *mangled(share, job="ffff")],
                "extranonce of another size": [WORKER, *mangled(share, extranonce2="00" * 4)],
                "time before the job": [WORKER, *mangled(share, time=earlier)],
                "time hours after it": [WORKER, *mangled(share, time=later)],
                "bits that were not given": [WORKER, *share, "00002000"],
                "another worker": ["hashwatt.somebody", *share],
                "no hexadecimal": [WORKER, *mangled(share, nonce="xyz")],
                "four parameters": [WORKER, *share[:3]],
                "numbers": [WORKER, share[0], share[1], 1, 2],
                "null": [None, None, None, None, None],
            }.get(what, [WORKER, *share])
            answer = await client.ask("mining.submit", *params)
            return answer, made.books[WORKER].shares

    answer, shares = asyncio.run(run())
    if cause is None:
        assert (answer["result"], answer["error"], shares) == (True, None, 1)
    else:
        assert (answer["result"], answer["error"][0], shares) == (None, cause.code, 0)


def test_who_did_not_log_in_has_no_shares(pool: Opened) -> None:
    """If this fails, work is credited to nobody, or the code says that something else is wrong."""

    async def run() -> list[Any]:
        async with pool(accounts=frozenset({ACCOUNT})) as made:
            async with calling(made) as client:
                early = await client.ask("mining.submit", WORKER, "1", "00" * 8, "00000000", "00000000")
                await client.ask("mining.subscribe")
                later = await client.ask("mining.submit", WORKER, "1", "00" * 8, "00000000", "00000000")
                stranger = await client.ask("mining.authorize", "somebody.else", "x")
            return [one["error"][0] for one in (early, later, stranger)]

    assert asyncio.run(run()) == [25, 24, 24]


def test_the_same_share_counts_once(pool: Opened) -> None:
    """If this fails, a miner is paid twice for one hash: also when the job was sent again with another difficulty."""

    async def run() -> tuple[list[Any], dict[Cause, int]]:
        async with pool() as made, calling(made) as client:
            job = await client.join()
            share = solved(client, job, TARGET)
            first = await client.ask("mining.submit", WORKER, *share)
            again = await client.ask("mining.submit", WORKER, *share)
            for session in made.sessions:
                session.give(made.again())
            reissued = await client.job()
            third = await client.ask("mining.submit", WORKER, *mangled(share, job=reissued.id))
            return [first["error"], again["error"][0], third["error"][0]], made.books[WORKER].refused

    answers, refused = asyncio.run(run())
    assert answers == [None, 22, 22]
    assert refused == {Cause.DUPLICATE: 2}


@pytest.mark.parametrize(("waits_s", "code"), [(0.0, None), (1.9, None), (2.5, 21)])
def test_a_share_for_the_block_before_is_stale_after_the_grace(
    pool: Opened, virtually: Any, waits_s: float, code: int | None
) -> None:
    """If this fails, the pool takes work for a block that is over, or refuses what was under way."""

    async def run() -> Any:
        async with pool(speed=1.0, grace_s=2.0) as made, calling(made) as client:
            share = solved(client, await client.join(), TARGET)
            made.broadcast(clean=True)
            await asyncio.sleep(waits_s)
            return (await client.ask("mining.submit", WORKER, *share))["error"]

    error = virtually(run())
    assert (error and error[0]) == code


def test_rolled_bits_are_part_of_the_header(pool: Opened) -> None:
    """If this fails, version rolling does not work, or a share is judged without its bits."""

    async def run() -> list[Any]:
        async with pool() as made, calling(made) as client:
            await client.ask("mining.configure", ["version-rolling"], {MASK: "1fffe000"})
            job = await client.join()
            share = solved(client, job, TARGET, bits=0x0000_4000)
            good = await client.ask("mining.submit", WORKER, *share, "00004000")
            without = await client.ask("mining.submit", WORKER, *share)
            return [good["error"], without["error"][0]]

    assert asyncio.run(run()) == [None, 23]


def test_a_new_mask_holds_at_once(pool: Opened) -> None:
    """If this fails, mining.set_version_mask is not told, or bits that were taken back are still good."""

    async def run() -> tuple[str, Any]:
        async with pool() as made, calling(made) as client:
            await client.ask("mining.configure", ["version-rolling"], {MASK: "1fffe000"})
            await client.join()
            made.set_mask(0x0000_2000)
            job = await client.job()
            told = next(one for one in client.heard if one.get("method") == "mining.set_version_mask")
            share = solved(client, job, TARGET, bits=0x0000_4000)
            return told["params"][0], (await client.ask("mining.submit", WORKER, *share, "00004000"))["error"][0]

    assert asyncio.run(run()) == ("00002000", 20)


def test_a_new_extranonce_is_told_to_those_who_asked(pool: Opened) -> None:
    """If this fails, mining.set_extranonce comes unasked, or does not count for the next job."""

    async def run() -> list[Any]:
        async with pool() as made, calling(made) as asked, calling(made) as not_asked:
            await asked.ask("mining.extranonce.subscribe")
            await asked.join()
            await not_asked.join("hashwatt.not")
            before = asked.extranonce1
            made.set_extranonces()
            job = await asked.job()
            told = next(one for one in asked.heard if one.get("method") == "mining.set_extranonce")
            asked.extranonce1, asked.extranonce2_bytes = told["params"]
            share = solved(asked, job, TARGET)
            taken = await asked.ask("mining.submit", WORKER, *share)
            await not_asked.ask("mining.ping")
            surprised = any(one.get("method") == "mining.set_extranonce" for one in not_asked.heard)
            return [before != asked.extranonce1, taken["result"], surprised]

    assert asyncio.run(run()) == [True, True, False]


def test_the_operators_words_reach_the_miners(pool: Opened) -> None:
    """If this fails, client.reconnect, client.show_message or a ping is not what the protocol has."""

    async def run() -> tuple[list[Any], int]:
        async with pool() as made, calling(made) as client:
            await client.join()
            client.heard.clear()
            made.reconnect("127.0.0.9", 3333, 5)
            made.reconnect()
            made.show("maintenance at noon")
            made.ping()
            messages = [await client.line() for _ in range(4)]
            await client.write(json.dumps({"id": messages[3]["id"], "result": "pong", "error": None}).encode() + b"\n")
            await client.ask("mining.ping")
            return [(one["method"], one["params"]) for one in messages], made.counts.pongs

    messages, pongs = asyncio.run(run())
    assert messages == [
        ("client.reconnect", ["127.0.0.9", 3333, 5]),
        ("client.reconnect", []),
        ("client.show_message", ["maintenance at noon"]),
        ("mining.ping", []),
    ]
    assert pongs == 1


BAD_LINES = [
    b"\xff\xfe\n",
    b"[1,2]\n",
    b"nothing\n",
    b'{"id":1,"method":"mining.fly","params":[]}\n',
    b'{"method":7}\n',
]


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_bad_line_gets_an_error_and_the_next_one_is_heard(pool: Opened, line: bytes) -> None:
    """If this fails, garbage ends a connection at once, or is not counted."""

    async def run() -> tuple[Any, int, Any]:
        async with pool() as made, calling(made) as client:
            await client.write(line)
            error = (await client.line())["error"][0]
            return error, made.counts.malformed, (await client.ask("mining.ping"))["result"]

    assert asyncio.run(run()) == (20, 1, "pong")


@pytest.mark.parametrize("raw", [b"x" * 20_000, b"\xff\n" * 100, b"x" * 20_000 + b"\n"])
def test_garbage_without_end_is_cut(pool: Opened, raw: bytes) -> None:
    """If this fails, a client can make the pool keep as much as it likes."""

    async def run() -> bytes:
        async with pool() as made, calling(made) as client:
            try:
                await client.write(raw)
                while await client.reader.read(65_536):
                    pass
            except ConnectionError:
                pass
            async with calling(made) as other:
                return bytes((await other.ask("mining.ping"))["result"].encode())

    assert asyncio.run(run()) == b"pong"


@pytest.mark.parametrize(
    ("fault", "factor", "told", "credited", "lost"),
    [
        (None, 1.0, True, DIFFICULTY, 0.0),
        (PoolFault.LOSE, 1.0, True, 0.0, DIFFICULTY),
        (PoolFault.SKIM, 4.0, True, DIFFICULTY / 4, 0.0),
        (PoolFault.REFUSE, 1.0, 23, 0.0, 0.0),
        (PoolFault.HARDER, 2.0**40, 23, 0.0, 0.0),
    ],
)
def test_a_pool_that_lies(
    pool: Opened, fault: PoolFault | None, factor: float, told: Any, credited: float, lost: float
) -> None:
    """If this fails, a fault does something else than its name says, and who is tested against it proves nothing."""
    troubles = () if fault is None else (PoolTrouble(fault, factor=factor),)

    async def run() -> tuple[Any, float, float]:
        async with pool(troubles) as made, calling(made) as client:
            share = solved(client, await client.join(), TARGET)
            answer = await client.ask("mining.submit", WORKER, *share)
            book = made.books[WORKER]
            return answer["result"] or answer["error"][0], book.work, book.lost_work

    assert asyncio.run(run()) == (told, credited, lost)


def test_a_dark_pool_is_not_there(pool: Opened, virtually: Any) -> None:
    """If this fails, a pool that is dark between two times answers all the same, or does not come back."""
    dark = PoolTrouble(PoolFault.DARK, from_s=START_S + 100.0, until_s=START_S + 200.0)

    async def run() -> list[str]:
        seen = []
        async with pool((dark,), speed=1.0) as made:
            async with calling(made) as client:
                await client.join()
                await asyncio.sleep(101.0)
                try:
                    while True:
                        await client.line()
                except ConnectionError:
                    seen.append("cut")
            async with calling(made) as client:
                try:
                    await client.ask("mining.ping")
                except ConnectionError:
                    seen.append("turned away")
            await asyncio.sleep(100.0)
            async with calling(made) as client:
                seen.append((await client.ask("mining.ping"))["result"])
        return seen

    assert virtually(run()) == ["cut", "turned away", "pong"]


def test_mute_and_drop(pool: Opened) -> None:
    """If this fails, a pool that never answers or that hangs up at a share is not pretended."""

    async def run(fault: PoolFault) -> Any:
        async with pool((PoolTrouble(fault),)) as made, calling(made) as client:
            share = solved(client, await client.join(), TARGET)
            message = {"id": 9, "method": "mining.submit", "params": [WORKER, *share]}
            await client.write(json.dumps(message).encode() + b"\n")
            try:
                answer = await client.ask("mining.ping")
            except ConnectionError:
                return "cut"
            return answer["result"], [one["id"] for one in client.heard if one.get("id") == 9]

    assert asyncio.run(run(PoolFault.MUTE)) == ("pong", [])
    assert asyncio.run(run(PoolFault.DROP)) == "cut"


@pytest.mark.parametrize(("fault", "shows"), [(PoolFault.FLOOD, b"0" * 1_000_000), (PoolFault.GARBAGE, b"\xff\xfe")])
def test_a_sour_pool(pool: Opened, fault: PoolFault, shows: bytes) -> None:
    """If this fails, a pool that floods or that sends garbage is not pretended."""

    async def run() -> bytes:
        async with pool((PoolTrouble(fault),)) as made, calling(made) as client:
            await client.write(b'{"id":1,"method":"mining.authorize","params":["hashwatt.raw","x"]}\n')
            heard = b""
            async with asyncio.timeout(5.0):
                while shows not in heard:
                    heard += await client.reader.read(2**20)
            return heard

    assert shows in asyncio.run(run())


def test_jobs_that_never_end(pool: Opened, virtually: Any) -> None:
    """If this fails, the pool that sends jobs all the time and never a clean one is not pretended."""

    async def run() -> list[bool]:
        async with pool((PoolTrouble(PoolFault.JOBS, factor=10.0),), speed=1.0) as made, calling(made) as client:
            await client.join()
            return [(await client.job()).clean for _ in range(50)]

    assert virtually(run()).count(True) <= 1


def test_new_blocks_come_by_themselves(pool: Opened, virtually: Any) -> None:
    """If this fails, the pretend network stands still, or a job of a new block is not clean."""

    async def run() -> tuple[int, int, int]:
        async with pool(speed=60.0) as made, calling(made) as client:
            jobs = [await client.join()]
            while int(jobs[-1].time, 16) < START_S + 4 * 3_600:
                jobs.append(await client.job())
            tips = [one.previous for one in jobs]
            moved = [later for earlier, later in pairwise(jobs) if earlier.previous != later.previous]
            return len(set(tips)), len(moved), sum(one.clean for one in moved)

    tips, moved, clean = virtually(run())
    assert 12 <= tips <= 40  # a mean of 24 in four hours
    assert moved == clean == tips - 1
