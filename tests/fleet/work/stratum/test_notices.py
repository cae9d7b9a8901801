"""What pools send, as they really write it, and back to the line."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.work.stratum import (
    Error,
    GetVersion,
    Malformed,
    Notify,
    Other,
    Ping,
    Pong,
    PoolMessage,
    Reconnect,
    Response,
    SetDifficulty,
    SetExtranonce,
    SetGoal,
    SetVersionMask,
    ShowMessage,
    read_pool,
    write_pool,
)
from fleet.work.stratum.notices import swapped_words

PREVIOUS = "4d16b6f85af6e2198f44ae2a6de67f78487ae5611b77c6c0440b921e00000000"
BRANCH = "ae23055e00f0f697cc3640124812d96d4fe8bdfa03484c1c638ce5a1c0e9aa81"


def notify(*params: object) -> bytes:
    """A mining.notify with these parameters in place of the usual ones."""
    usual: list[object] = ["bf", PREVIOUS, "0100", "0200", [BRANCH], "20000000", "1c2ac4af", "504e86b9", False]
    return orjson.dumps({"id": None, "method": "mining.notify", "params": [*params, *usual[len(params) :]]})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        # difficulty: ckpool's whole numbers, Braiins' floats, text, below 1
        ('{"params":[42],"id":null,"method":"mining.set_difficulty"}', SetDifficulty(42.0)),
        ('{"id":null,"method":"mining.set_difficulty","params":[4.0]}', SetDifficulty(4.0)),
        ('{"id":null,"method":"mining.set_difficulty","params":["8192"]}', SetDifficulty(8192.0)),
        ('{"id":null,"method":"mining.set_difficulty","params":[" 1.5e3 "]}', SetDifficulty(1500.0)),
        ('{"id":null,"method":"mining.set_difficulty","params":[0.001]}', SetDifficulty(0.001)),
        ('{"id":null,"method":"mining.set_difficulty","params":0.25}', SetDifficulty(0.25)),
        ('{"id":3,"method":"mining.set_difficulty","params":[18446744073709551616]}', SetDifficulty(2.0**64, 3)),
        # extranonce: NiceHash's specification
        (
            '{"id": null, "method": "mining.set_extranonce", "params": ["08000002", 4]}',
            SetExtranonce(b"\x08\0\0\2", 4),
        ),
        ('{"id": null, "method": "mining.set_extranonce", "params": ["", "8"]}', SetExtranonce(b"", 8)),
        # version mask: BIP 310, a bare text (cgminer takes one), and SRI's name for it
        ('{"params":["00003000"], "id":null, "method": "mining.set_version_mask"}', SetVersionMask(0x3000)),
        ('{"params":"1fffe000", "id":1, "method": "mining.set_version_mask"}', SetVersionMask(0x1FFFE000, 1)),
        ('{"params":["1fffe000"], "method": "mining.set_version"}', SetVersionMask(0x1FFFE000)),
        # reconnect: nothing, the same server, ckpool with its port as text, a wait
        ('{"id":null,"method":"client.reconnect","params":[]}', Reconnect()),
        ('{"id":null,"method":"client.reconnect"}', Reconnect()),
        ('{"id":null,"method":"client.reconnect","params":["",0,0]}', Reconnect()),
        ('{"id":null,"method":"client.reconnect","params":[null,null,5]}', Reconnect(wait_s=5.0)),
        ('{"id":null,"method":"client.reconnect","params":["pool.test"]}', Reconnect("pool.test")),
        (
            '{"id":null,"method":"client.reconnect","params":["pool.test","3333",0]}',
            Reconnect("pool.test", 3333),
        ),
        (
            '{"id":null,"method":"client.reconnect","params":["pool.test",3333,"10"]}',
            Reconnect("pool.test", 3333, 10.0),
        ),
        ('{"id":null,"method":"client.reconnect","params":["pool.test",3333,-4]}', Reconnect("pool.test", 3333)),
        # the rest; cgminer compares names without case
        ('{"params":[],"id":42,"method":"mining.ping"}', Ping(42)),
        ('{"id":null,"method":"client.show_message","params":["Welcome"]}', ShowMessage("Welcome")),
        ('{"id":10,"method":"client.get_version","params":[]}', GetVersion(10)),
        ('{"id":10,"method":"Client.Get_Version","params":[]}', GetVersion(10)),
        (
            '{"method":"mining.set_goal","params":["bitcoin",{"malgo":"SHA256d"}]}',
            SetGoal("bitcoin", {"malgo": "SHA256d"}),
        ),
        (
            '{"id":1,"method":"mining.multi_version","params":[536870912]}',
            Other(1, "mining.multi_version", [536870912]),
        ),
        # answers: BIP 310's, ESP-Miner's table of errors
        ('{"id":4,"error":null,"result":true}', Response(4, result=True)),
        ('{"id":4,"result":false}', Response(4, result=False)),
        ('{"id":4,"result":true,"error":false}', Response(4, result=True)),
        ('{"id":4,"result":null,"error":[21,"Job not found",""]}', Response(4, None, Error(21, "Job not found", ""))),
        ('{"id":4,"result":null,"error":[20,"Other/Unknown"]}', Response(4, None, Error(20, "Other/Unknown"))),
        ('{"id":4,"result":null,"error":[23]}', Response(4, None, Error(23, ""))),
        ('{"id":4,"result":null,"error":["24",7]}', Response(4, None, Error(None, ""))),
        (
            '{"jsonrpc":"2.0","error":{"code":22,"message":"duplicate share","data":null},"id":42}',
            Response(42, None, Error(22, "duplicate share")),
        ),
        ('{"result":false,"error":"Stale","id":618}', Response(618, False, Error(None, "Stale"))),
        (
            '{"reject-reason":"Above target 2","result":false,"error":null,"id":8}',
            Response(8, False, Error(None, "Above target 2")),
        ),
        ('{"id":4,"result":null,"error":7}', Response(4, None, Error(None, ""))),
    ],
)
def test_what_pools_send(line: str, message: PoolMessage) -> None:
    """A message that some pool sends would be read as another one, or not at all."""
    assert read_pool(line.encode()) == message


def test_a_job() -> None:
    """A job's fields would be taken for each other, or its hashes stand the wrong way round in a header."""
    found = read_pool(notify())
    assert found == Notify(
        job_id="bf",
        # the first four bytes of the text are the last of the header's first word
        previous=bytes.fromhex("f8b6164d19e2f65a2aae448f787fe66d61e57a48c0c6771b1e920b4400000000"),
        coinbase1=b"\1\0",
        coinbase2=b"\2\0",
        branches=(bytes.fromhex(BRANCH),),
        version=0x20000000,
        nbits=0x1C2AC4AF,
        time_s=0x504E86B9,
        clean=False,
    )


@pytest.mark.parametrize(
    ("place", "value", "field", "read"),
    [
        # public-pool writes its numbers without leading zeros, capitals and 0x are read too
        (5, "2", "version", 2),
        (6, "1D00FFFF", "nbits", 0x1D00FFFF),
        (7, "0x504e86b9", "time_s", 0x504E86B9),
        (0, 17, "job_id", "17"),
        (0, "", "job_id", ""),
        (4, [], "branches", ()),
        (8, True, "clean", True),
        (8, 1, "clean", True),
        (8, "true", "clean", True),
        (8, 0, "clean", False),
        (8, None, "clean", False),
    ],
)
def test_a_job_as_some_write_it(place: int, value: object, field: str, read: object) -> None:
    """A pool's own way to write a field would make its jobs unreadable."""
    params = orjson.loads(notify())["params"]
    params[place] = value
    assert getattr(read_pool(notify(*params)), field) == read


def test_a_job_without_its_last_parameter_does_not_end_the_others() -> None:
    """A job that does not say that it is clean would make shares for the others stale."""
    params = orjson.loads(notify())["params"][:8]
    found = read_pool(orjson.dumps({"method": "mining.notify", "params": params}))
    assert isinstance(found, Notify)
    assert not found.clean


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"method":"mining.notify","params":["bf"]}', "1 parameters, expected 9"),
        (notify("bf", PREVIOUS[2:]), "previous hash of 31 bytes"),
        (notify("bf", PREVIOUS + "00"), "previous hash of 33 bytes"),
        (notify("bf", None), "previous hash None"),
        (notify("bf", PREVIOUS, "0g"), "coinbase 1 '0g'"),
        (notify("bf", PREVIOUS, "00" * 100_001), "coinbase 1 of 100001 bytes"),
        (notify("bf", PREVIOUS, "00", [1]), "coinbase 2 a list"),
        (notify("bf", PREVIOUS, "00", "00", BRANCH), "merkle branches"),
        (notify("bf", PREVIOUS, "00", "00", [BRANCH] * 33), "merkle branches"),
        (notify("bf", PREVIOUS, "00", "00", ["00"]), "merkle branch of 1 bytes"),
        (notify("bf", PREVIOUS, "00", "00", [], "2000000000"), "version"),
        (notify("bf", PREVIOUS, "00", "00", [], "20000000", ""), "nBits ''"),
        (notify("b" * 129), "job"),
        (b'{"method":"mining.set_difficulty","params":[0]}', "above zero"),
        (b'{"method":"mining.set_difficulty","params":[-1]}', "above zero"),
        (b'{"method":"mining.set_difficulty","params":[null]}', "difficulty None"),
        (b'{"method":"mining.set_difficulty","params":[]}', "difficulty None"),
        (b'{"method":"mining.set_difficulty","params":["NaN"]}', "difficulty 'NaN'"),
        (b'{"method":"mining.set_difficulty","params":["inf"]}', "difficulty 'inf'"),
        (b'{"method":"mining.set_difficulty","params":[1e400]}', "no JSON"),
        (b'{"method":"mining.set_difficulty","params":[1e69]}', "below 2**224"),
        (b'{"method":"mining.set_difficulty","params":[' + b"9" * 400 + b"]}", "no JSON"),
        (b'{"method":"mining.set_difficulty","params":["' + b"9" * 50 + b'e9999"]}', "finite"),
        (b'{"method":"mining.set_extranonce","params":["08000002"]}', "extranonce2 size None"),
        (b'{"method":"mining.set_extranonce","params":["08000002",33]}', "from 0 to 32"),
        (b'{"method":"mining.set_extranonce","params":["08000002",-1]}', "from 0 to 32"),
        (b'{"method":"mining.set_extranonce","params":["' + b"00" * 33 + b'",4]}', "extranonce1 of 33 bytes"),
        (b'{"method":"mining.set_version_mask","params":[]}', "version mask None"),
        (b'{"method":"client.reconnect","params":["pool.test",99999]}', "port 99999"),
        (b'{"method":"client.reconnect","params":[17]}', "host 17"),
        (b'{"method":"client.reconnect","params":["pool.test",3333,"soon"]}', "wait 'soon'"),
        (b'{"method":"client.show_message","params":[]}', "message None"),
        (b'{"method":"mining.set_goal","params":[]}', "goal None"),
        (b'{"id":1}', "neither a method nor a result"),
        (b"\xff\xfe\x00", "no JSON"),
    ],
)
def test_what_is_no_message(line: bytes, reason: str) -> None:
    """What a pool should never say would raise, or be believed: a difficulty of zero makes every hash a share."""
    found = read_pool(line)
    assert isinstance(found, Malformed)
    assert reason in found.reason
    assert len(found.reason) < 200


def test_sessions_of_one_pool_share_its_jobs() -> None:
    """Ten thousand sessions would keep ten thousand copies of one job."""
    assert read_pool(notify("shared")) is read_pool(notify("shared"))


def test_answers_that_name_a_job_are_nobody_elses() -> None:
    """The answer to mining.subscribe, which names mining.notify too, would be shared by those who may change it."""
    line = b'{"id":1,"result":[[["mining.notify","1"]],"08000002",4],"error":null}'
    assert read_pool(line) is not read_pool(line)


words = st.integers(0, (1 << 32) - 1)
hashes = st.binary(min_size=32, max_size=32)
ids = st.none() | st.integers(0, 1 << 40) | st.text(max_size=9)
messages = st.one_of(
    st.builds(
        Notify,
        st.text(max_size=20),
        hashes,
        st.binary(max_size=80),
        st.binary(max_size=80),
        st.lists(hashes, max_size=5).map(tuple),
        version=words,
        nbits=words,
        time_s=words,
        clean=st.booleans(),
        id=ids,
    ),
    st.builds(SetDifficulty, st.floats(1e-300, 1e60), ids),
    st.builds(SetExtranonce, st.binary(max_size=32), st.integers(0, 32), ids),
    st.builds(SetVersionMask, words, ids),
    st.builds(
        Reconnect,
        st.none() | st.text(min_size=1, max_size=40),
        st.none() | st.integers(1, 65_535),
        st.floats(0, 1e6),
        ids,
    ),
    st.builds(ShowMessage, st.text(max_size=40), ids),
    st.builds(SetGoal, st.text(max_size=9), st.dictionaries(st.text(max_size=5), words, max_size=2), ids),
    st.builds(
        Response, ids, st.none() | st.booleans() | words, st.none() | st.builds(Error, st.none() | words, st.text())
    ),
    *(st.builds(kind, ids) for kind in (Ping, Pong, GetVersion)),
)


@given(messages)
def test_a_message_survives_the_wire(message: PoolMessage) -> None:
    """A message that is written and read again would be another one."""
    assert read_pool(write_pool(message)) == message


@given(hashes)
def test_words_are_swapped_back(previous: bytes) -> None:
    """A job that is passed on would stand on another block."""
    assert swapped_words(swapped_words(previous)) == previous


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.just(PREVIOUS),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=16,
)
methods = st.sampled_from(
    [
        "mining.notify",
        "mining.set_difficulty",
        "mining.set_extranonce",
        "mining.set_version_mask",
        "mining.set_version",
        "pong",
        "client.reconnect",
        "client.show_message",
        "client.get_version",
        "mining.set_goal",
        "mining.ping",
        "mining.notify(bf)",
    ]
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "method": methods,
            "params": json_values,
            "id": json_values,
            "result": json_values,
            "error": json_values,
        },
    )
)
def test_no_values_raise(message: dict[str, object]) -> None:
    """Some parameters of a pool would end the task of its connection."""
    try:
        line = orjson.dumps(message)
    except TypeError:
        return
    found = read_pool(line)
    if not isinstance(found, Malformed):
        assert write_pool(found)
