"""A miner's side of the wire: the manner of each firmware, and what it makes of what a pool may say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.work.sha256d import MOST_NONCES, HashlibEngine
from fleet.work.target import target_of_difficulty
from simulators.mining.firmware import (
    ANTMINER,
    BITAXE,
    CGMINER_OLD,
    LUXOS,
    MULTI_VERSION,
    WHATSMINER,
    Firmware,
    firmware_of,
)
from simulators.mining.puzzle import Counter, Puzzle, Unreadable, rolled
from simulators.mining.session import MinerSession, Share
from tests.simulators.mining.conftest import DIFFICULTY, SCALE, Opened

EVERY = (ANTMINER, LUXOS, WHATSMINER, BITAXE, CGMINER_OLD, MULTI_VERSION)
JOB = ["1f", "00" * 32, "01", "02", ["ab" * 32], "20000000", "17025ff5", "65500000", True]


class Heard:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.puzzles: list[Puzzle] = []
        self.answers: list[int | None] = []
        self.sent: list[tuple[str, int]] = []

    def jobs(self, session: MinerSession, puzzle: Puzzle) -> None:
        self.puzzles.append(puzzle)

    def answered(self, session: MinerSession, share: Share, code: int | None) -> None:
        self.answers.append(code)

    def moved(self, session: MinerSession, host: str, port: int) -> None:
        self.sent.append((host, port))


Script = Callable[[dict[str, Any]], list[dict[str, Any]]]


def polite(message: dict[str, Any]) -> list[dict[str, Any]]:
    """A pool that says yes to everything, and sends a job after the login."""
    number, method = message["id"], message["method"]
    result: Any = True
    if method == "mining.configure":
        result = {"version-rolling": True, "version-rolling.mask": "1fffe000"}
    if method == "mining.subscribe":
        result = [[["mining.notify", "1"]], "08000001", 4]
    answer = {"id": number, "result": result, "error": None}
    if method != "mining.authorize":
        return [answer]
    told = {"id": None, "method": "mining.set_difficulty", "params": [DIFFICULTY]}
    return [answer, told, {"id": None, "method": "mining.notify", "params": JOB}]


async def at_a_pool(
    firmware: Firmware, script: Script, then: Callable[[MinerSession, Any], Any] | None = None
) -> tuple[Heard, list[dict[str, Any]]]:
    """What a session hears at a scripted pool, and what it wrote to it; `then` gets the session and a way to send."""
    wrote: list[dict[str, Any]] = []
    heard = Heard()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append(writer)
        while line := await reader.readline():
            message = json.loads(line)
            wrote.append(message)
            if "method" in message:
                for answer in script(message):
                    writer.write(json.dumps(answer).encode() + b"\n")
        writer.close()

    lines: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(serve, "127.0.0.1", 3334)
    workers = [("hashwatt.m", "x")]
    session = MinerSession(firmware, firmware.agent.format(model="Antminer S21"), workers, SCALE, heard)
    await asyncio.get_running_loop().create_connection(lambda: session, "127.0.0.1", 3334)
    await asyncio.sleep(1.0)
    if then is not None:
        then(session, lines[0].write)
        await asyncio.sleep(1.0)
    session.cut()
    await asyncio.sleep(0.1)
    server.close()
    return heard, wrote


MANNERS: list[tuple[Firmware, list[str], int]] = [
    (ANTMINER, ["mining.configure", "mining.subscribe", "mining.authorize"], 1),
    (LUXOS, ["mining.configure", "mining.subscribe", "mining.authorize", "mining.extranonce.subscribe"], 1),
    (WHATSMINER, ["mining.configure", "mining.subscribe", "mining.authorize"], 1),
    (
        BITAXE,
        [
            "mining.configure",
            "mining.subscribe",
            "mining.authorize",
            "mining.suggest_difficulty",
            "mining.extranonce.subscribe",
        ],
        1,
    ),
    (CGMINER_OLD, ["mining.subscribe", "mining.authorize"], 0),
    (MULTI_VERSION, ["mining.subscribe", "mining.authorize", "mining.multi_version"], 1),
]


@pytest.mark.parametrize(("firmware", "methods", "first_id"), MANNERS)
def test_each_firmware_opens_in_its_manner(
    virtually: Any, firmware: Firmware, methods: list[str], first_id: int
) -> None:
    """If this fails, a pretend machine says what its firmware does not, or in another order."""
    _, wrote = virtually(at_a_pool(firmware, polite))
    assert [one["method"] for one in wrote] == methods
    assert [one["id"] for one in wrote] == list(range(first_id, first_id + len(methods)))


@pytest.mark.parametrize("firmware", EVERY)
def test_each_firmware_mines_at_the_pretend_pool(pool: Opened, virtually: Any, firmware: Firmware) -> None:
    """If this fails, the pool and the miner read the protocol differently for one of the firmwares."""

    async def run() -> tuple[list[int | None], int]:
        heard = Heard()
        async with pool() as made:
            host, port = made.address
            session = MinerSession(firmware, firmware.agent, [("hashwatt.m", "x")], SCALE, heard)
            await asyncio.get_running_loop().create_connection(lambda: session, host, port)
            await asyncio.sleep(0.5)
            assert session.puzzle is not None
            for stretch in session.puzzle.stretches(500):
                for hit in HashlibEngine().scan(stretch.head, stretch.nonces, stretch.puzzle.target, stretch.versions):
                    bits = hit.version & stretch.mask if stretch.mask else None
                    session.submit(Share(session.user, stretch.puzzle, stretch.extranonce2, hit.nonce, bits))
            await asyncio.sleep(0.5)
            session.cut()
            return heard.answers, made.books["hashwatt.m"].shares

    answers, shares = virtually(run())
    assert len(answers) == shares > 10
    assert set(answers) == {None}


def test_a_new_difficulty_and_extranonce_count_from_the_next_job_on(virtually: Any) -> None:
    """If this fails, a share is found for another difficulty or extranonce than the pool judges it by."""

    def say(_: MinerSession, write: Callable[[bytes], None]) -> None:
        for method, params in (
            ("mining.set_difficulty", [2 * DIFFICULTY]),
            ("mining.set_extranonce", ["0800ffff", 8]),
            ("mining.notify", [*JOB[:8], False]),
        ):
            write(json.dumps({"id": None, "method": method, "params": params}).encode() + b"\n")

    heard, _ = virtually(at_a_pool(LUXOS, polite, say))
    first, second = heard.puzzles
    assert (first.difficulty, first.extranonce1.hex()) == (DIFFICULTY, "08000001")
    assert (second.difficulty, second.extranonce1.hex()) == (2 * DIFFICULTY, "0800ffff")
    assert second.target == target_of_difficulty(2 * DIFFICULTY * SCALE)
    assert len(next(second.stretches(2)).extranonce2) == 8


@pytest.mark.parametrize(
    ("raw", "answers"),
    [
        (b'{"id":"p1","method":"mining.ping","params":[]}\n', ["pong"]),
        (b'{"id":"p1","method":"client.get_version","params":[]}\n', ["LUXminer/2025.4.9"]),
        (b'{"id":null,"method":"client.show_message","params":["hello"]}\n', []),
        (b"\xff\xfe\nnull\n[]\n{}\n", []),
        (b'{"id":null,"method":"mining.notify","params":[1,2]}\n', []),
        (b'{"id":null,"method":"mining.set_difficulty","params":["hard"]}\n', []),
        (b'{"id":null,"method":"mining.set_difficulty","params":[-1]}\n', []),
        (b'{"id":99,"result":true,"error":null}\n', []),
        (b"x" * 70_000 + b"\n", []),
    ],
)
def test_what_a_pool_may_say_beside_jobs(virtually: Any, raw: bytes, answers: list[str]) -> None:
    """If this fails, a question is not answered, or a bad line ends the session."""
    alive = []

    def say(session: MinerSession, write: Callable[[bytes], None]) -> None:
        write(raw)
        asyncio.get_running_loop().call_later(0.9, lambda: alive.append(session.alive))

    _, wrote = virtually(at_a_pool(LUXOS, polite, say))
    assert [one["result"] for one in wrote if "method" not in one] == answers
    assert alive == [True]


def test_a_line_without_end_is_left(virtually: Any) -> None:
    """If this fails, a pool can fill a machine's memory."""
    alive = []

    def say(session: MinerSession, write: Callable[[bytes], None]) -> None:
        write(b"x" * 200_000)
        asyncio.get_running_loop().call_later(0.9, lambda: alive.append(session.alive))

    virtually(at_a_pool(LUXOS, polite, say))
    assert alive == [False]


def test_a_worker_who_is_turned_away_has_no_session(virtually: Any) -> None:
    """If this fails, a machine goes on hashing for a pool that does not know it."""

    def strict(message: dict[str, Any]) -> list[dict[str, Any]]:
        if message["method"] != "mining.authorize":
            return polite(message)
        return [{"id": message["id"], "result": None, "error": [24, "Unauthorized worker", None]}]

    heard, _ = virtually(at_a_pool(ANTMINER, strict))
    assert heard.puzzles == []


def test_every_family_has_a_firmware() -> None:
    """If this fails, a dialect mines in another make's manner."""
    assert [firmware_of(one).name for one in ("antminer", "luxos", "whatsminer", "vnish")] == [
        "antminer",
        "luxos",
        "whatsminer",
        "antminer",
    ]


@given(mask=st.integers(1, 2**32 - 1), numbers=st.sets(st.integers(0, 2**16 - 1), max_size=20))
def test_rolled_bits_stay_in_the_mask_and_differ(mask: int, numbers: set[int]) -> None:
    """If this fails, a miner rolls bits that it was not given, or tries the same header twice."""
    fitting = {number for number in numbers if number < 1 << mask.bit_count()}
    bits = [rolled(mask, number) for number in fitting]
    assert all(one & ~mask == 0 for one in bits)
    assert len(set(bits)) == len(bits)


def puzzle(counter: Counter, mask: int = 0) -> Puzzle:
    """A job with a counter of its own."""
    return Puzzle(JOB, difficulty=1.0, scale=1.0, extranonce1=b"\x01", counter=counter, mask=mask)


@given(
    sizes=st.lists(st.integers(0, 5_000), max_size=12), mask=st.sampled_from([0, 0x1FFF_E000]), jobs=st.integers(1, 3)
)
def test_no_header_is_tried_twice(sizes: list[int], mask: int, jobs: int) -> None:
    """If this fails, a machine finds the same share again, in one job or in the same work under another number."""
    counter = Counter(4)
    tried: set[tuple[bytes, int, int]] = set()
    hashes = 0
    for _ in range(jobs):
        one = puzzle(counter, mask)
        for size in sizes:
            for stretch in one.stretches(size):
                hashes += stretch.hashes
                for version in stretch.versions or (0,):
                    tried |= {(stretch.head[4:], version, nonce) for nonce in stretch.nonces}
    assert len(tried) == hashes
    assert hashes >= jobs * (sum(sizes) - len(sizes))


def test_nonces_that_run_out_go_on_with_another_extranonce() -> None:
    """If this fails, a machine that is faster than 2**32 hashes a job tries nonces beyond 32 bits."""
    one = puzzle(Counter(4))
    first, second = one.stretches(MOST_NONCES + 10)
    assert (len(first.nonces), len(second.nonces)) == (MOST_NONCES, 10)
    assert first.head != second.head


@pytest.mark.parametrize(
    "place", [(1, "00" * 31), (2, "xx"), (4, ["ab"]), (5, "zz"), (7, None), (4, None), (0, None)], ids=str
)
def test_a_job_that_cannot_be_read(place: tuple[int, Any]) -> None:
    """If this fails, a miner hashes something that no share can come of."""
    params = [*JOB]
    index, params[index] = place[0], place[1]
    if index == 0:
        params = params[:8]
    with pytest.raises(Unreadable):
        Puzzle(params, difficulty=1.0, scale=1.0, extranonce1=b"", counter=Counter(4), mask=0)
