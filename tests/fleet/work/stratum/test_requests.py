"""What miners send, as their firmware really writes it, and back to the line."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.work.stratum import (
    Authorize,
    Configure,
    Error,
    ExtranonceSubscribe,
    GetVersion,
    Malformed,
    MultiVersion,
    Other,
    Ping,
    Pong,
    Request,
    Response,
    Submit,
    Subscribe,
    SuggestDifficulty,
    SuggestTarget,
    read_request,
    write_request,
)

NICEHASH_TIME, NICEHASH_SIGNATURE = "1662637786319", "3e747837e632920e8cd11453c2558233e3822489a20d828fdf205a149b064afc"


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        # subscribe: nobody, cgminer with a session, BOSminer, ESP-Miner, NiceHash
        ('{"id": 1, "method": "mining.subscribe", "params": []}', Subscribe(1)),
        ('{"id": 1, "method": "mining.subscribe"}', Subscribe(1)),
        ('{"id": 1, "method": "mining.subscribe", "params": null}', Subscribe(1)),
        (
            '{"id": 1, "method": "mining.subscribe", "params": ["cgminer/4.11.1", "5f2a0001"]}',
            Subscribe(1, "cgminer/4.11.1", "5f2a0001"),
        ),
        (
            '{"id":1,"method":"mining.subscribe","params":["Braiins OS 2019-06-05",null,"stratum.slushpool.com:3333",null]}',
            Subscribe(1, "Braiins OS 2019-06-05", None, "stratum.slushpool.com:3333"),
        ),
        (
            '{"id":1,"method":"mining.subscribe","params":["bitaxe/BM1368/v2.2.2"]}',
            Subscribe(1, "bitaxe/BM1368/v2.2.2"),
        ),
        (
            f'{{"id":1,"method":"mining.subscribe","params":["NiceHash/1.0.0","{NICEHASH_TIME}","{NICEHASH_SIGNATURE}"]}}',
            Subscribe(1, "NiceHash/1.0.0", NICEHASH_TIME, NICEHASH_SIGNATURE),
        ),
        ('{"id":1,"method":"mining.subscribe","params":["a",null,"b","3333"]}', Subscribe(1, "a", None, "b", 3333)),
        # authorize
        ('{"id":2,"method":"mining.authorize","params":["braiins.worker0",""]}', Authorize(2, "braiins.worker0", "")),
        ('{"id":2,"method":"mining.authorize","params":["solo"]}', Authorize(2, "solo")),
        ('{"id":2,"method":"mining.auth","params":["solo","x"]}', Authorize(2, "solo", "x")),
        # configure: BIP 310's example, ESP-Miner without min-bit-count
        (
            (
                '{"method": "mining.configure", "id": 1, "params": [["minimum-difficulty", "version-rolling"],'
                '{"minimum-difficulty.value": 2048, "version-rolling.mask": "1fffe000", "version-rolling.min-bit-count": 2}]}'
            ),
            Configure(
                1,
                ("minimum-difficulty", "version-rolling"),
                {
                    "minimum-difficulty.value": 2048,
                    "version-rolling.mask": "1fffe000",
                    "version-rolling.min-bit-count": 2,
                },
            ),
        ),
        (
            '{"id":2,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"ffffffff"}]}',
            Configure(2, ("version-rolling",), {"version-rolling.mask": "ffffffff"}),
        ),
        (
            '{"id":2,"method":"mining.configure","params":[["subscribe-extranonce"]]}',
            Configure(2, ("subscribe-extranonce",)),
        ),
        # submit: five parameters (slush's example), six (WhatsMiner), a nonce without its zeros (NerdMiner), 0x, capitals
        (
            '{"params": ["slush.miner1", "bf", "00000001", "504e86ed", "b2957c02"], "id": 4, "method": "mining.submit"}',
            Submit(4, "slush.miner1", "bf", b"\0\0\0\1", 0x504E86ED, 0xB2957C02),
        ),
        (
            (
                '{"params": ["spotbtc1.m30s40x16", "2", "147a3f0000000000", "6436eddf", "41d5deb0", "00000000"], "id": 2196,'
                '"method": "mining.submit"}'
            ),
            Submit(2196, "spotbtc1.m30s40x16", "2", b"\x14\x7a\x3f\0\0\0\0\0", 0x6436EDDF, 0x41D5DEB0, 0),
        ),
        (
            '{"id":9,"method":"mining.submit","params":["w","1f","00000002","6436eddf","a9a049c"]}',
            Submit(9, "w", "1f", b"\0\0\0\2", 0x6436EDDF, 0x0A9A049C),
        ),
        (
            '{"id":9,"method":"mining.submit","params":["w","1f","0x0000000A","6436EDDF","0xA9A049C","0X1FFFE000"]}',
            Submit(9, "w", "1f", b"\0\0\0\x0a", 0x6436EDDF, 0x0A9A049C, 0x1FFFE000),
        ),
        # numbers where hexadecimal is expected (SRI), and a job's number (btcpool)
        (
            '{"id":9,"method":"mining.submit","params":["w",17,"01",1681321439,1104535216,"2000"]}',
            Submit(9, "w", "17", b"\1", 1681321439, 1104535216, 0x2000),
        ),
        (
            '{"id":9,"method":"mining.submit","params":["w","1","1","6436eddf","41d5deb0",null]}',
            Submit(9, "w", "1", b"\1", 0x6436EDDF, 0x41D5DEB0),
        ),
        (
            '{"id":9,"method":"mining.submit","params":["w","1","","6436eddf","41d5deb0",""]}',
            Submit(9, "w", "1", b"", 0x6436EDDF, 0x41D5DEB0),
        ),
        # the rest
        ('{"id":5,"method":"mining.extranonce.subscribe","params":[]}', ExtranonceSubscribe(5)),
        ('{"id":4,"method":"mining.suggest_difficulty","params":[1000]}', SuggestDifficulty(4, 1000.0)),
        ('{"id":8,"method":"mining.suggest_difficulty","params":[0.0001]}', SuggestDifficulty(8, 0.0001)),
        ('{"id":8,"method":"mining.suggest_difficulty","params":["512"]}', SuggestDifficulty(8, 512.0)),
        ('{"id":8,"method":"mining.suggest_difficulty(1024)","params":[]}', SuggestDifficulty(8, 1024.0)),
        (
            f'{{"id":4,"method":"mining.suggest_target","params":["00000000ffff{"0" * 52}"]}}',
            SuggestTarget(4, 0xFFFF << 208),
        ),
        ('{"id": 2510, "method": "mining.multi_version", "params": [1]}', MultiVersion(2510, 1)),
        ('{"id":7,"method":"mining.ping","params":[]}', Ping(7)),
        ('{"id":42,"method":"pong","params":[]}', Pong(42)),
        ('{"id": 42, "result": "pong", "error": null}', Response(42, "pong")),
        ('{"id": 3, "result": "cgminer/4.11.1", "error": null}', Response(3, "cgminer/4.11.1")),
        ('{"id":3,"method":"client.get_version","params":[]}', GetVersion(3)),
        ('{"id":9,"method":"mining.get_transactions","params":["bf"]}', Other(9, "mining.get_transactions", ["bf"])),
        (
            '{"id":9,"method":"mining.capabilities","params":[{"notify":[]}]}',
            Other(9, "mining.capabilities", [{"notify": []}]),
        ),
        ('{"id":1,"method":"eth_submitLogin","params":{"a":1}}', Other(1, "eth_submitLogin", {"a": 1})),
    ],
)
def test_what_firmware_sends(line: str, request_: Request) -> None:
    """A message that some firmware sends would be read as another one, or not at all."""
    assert read_request(line.encode()) == request_


@pytest.mark.parametrize("id_", [None, 0, -1, 1 << 63, 1.5, "", "abc", True, [1], {"a": 1}])
def test_an_id_is_any_value(id_: object) -> None:
    """A miner with an id of its own kind would not get it back."""
    line = orjson.dumps({"id": id_, "method": "mining.submit", "params": ["w", "j", "00", "00000001", "00000002"]})
    assert read_request(line) == Submit(id_, "w", "j", b"\0", 1, 2)
    assert orjson.loads(write_request(Ping(id_)))["id"] == id_


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "no JSON"),
        (b"GET / HTTP/1.1", "no JSON"),
        (b'{"id":1,"method":"mining.submit","params":["w","1","00","6436eddf","41d5', "no JSON"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)), "no JSON"),
        (b'{"id":1,"method":"mining.subscribe"}{"id":2,"method":"mining.authorize"}', "no JSON"),
        (b'{"id":1,"method":"mining.authorize","params":["\\ud800"]}', "no JSON"),
        (b'{"id":1,"method":"mining.authorize","params":["\xff"]}', "no JSON"),
        (b'{"id":NaN,"method":"mining.ping"}', "no JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "no JSON"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "no JSON"),
        (b"17", "no object"),
        (b"null", "no object"),
        (b'["mining.submit"]', "no object"),
        (b"{}", "neither a method nor a result"),
        (b'{"id":1,"method":null,"params":[]}', "neither a method nor a result"),
        (b'{"id":1,"method":["mining.submit"],"params":[]}', "a method that is no text"),
        (b'{"id":1,"method":17}', "a method that is no text"),
        (b'{"id":1,"method":"mining.submit","params":{"worker":"w"}}', "expected 5 or 6"),
        (b'{"id":1,"method":"mining.submit"}', "expected 5 or 6"),
        (b'{"id":1,"method":"mining.submit","params":["w","1","00","6436eddf"]}', "4 parameters, expected 5 or 6"),
        (b'{"id":1,"method":"mining.submit","params":[null,"1","00","6436eddf","41d5deb0"]}', "worker None"),
        (b'{"id":1,"method":"mining.submit","params":["w",null,"00","6436eddf","41d5deb0"]}', "job None"),
        (b'{"id":1,"method":"mining.submit","params":["w",true,"00","6436eddf","41d5deb0"]}', "job True"),
        (b'{"id":1,"method":"mining.submit","params":["w","1",7,"6436eddf","41d5deb0"]}', "extranonce2 7"),
        (b'{"id":1,"method":"mining.submit","params":["w","1",["00"],"6436eddf","41d5deb0"]}', "extranonce2 a list"),
        (b'{"id":1,"method":"mining.submit","params":["w","1",{"0":1},"6436eddf","41d5deb0"]}', "extranonce2 a dict"),
        # NerdMiner 1.7.0 filled its extranonce2 up with spaces
        (
            b'{"id":1,"method":"mining.submit","params":["w","1","       1","6436eddf","41d5deb0"]}',
            "extranonce2 '       1'",
        ),
        (b'{"id":1,"method":"mining.submit","params":["w","1","zz","6436eddf","41d5deb0"]}', "extranonce2 'zz'"),
        (
            b'{"id":1,"method":"mining.submit","params":["w","1","' + b"00" * 33 + b'","6436eddf","41d5deb0"]}',
            "at most 32",
        ),
        (b'{"id":1,"method":"mining.submit","params":["w","1","00","6436eddf1","41d5deb0"]}', "time '6436eddf1'"),
        (b'{"id":1,"method":"mining.submit","params":["w","1","00","","41d5deb0"]}', "time ''"),
        (b'{"id":1,"method":"mining.submit","params":["w","1","00","6436_ddf","41d5deb0"]}', "time '6436_ddf'"),
        (b'{"id":1,"method":"mining.submit","params":["w","1","00"," 6436edd","41d5deb0"]}', "time ' 6436edd'"),
        (b'{"id":1,"method":"mining.submit","params":["w","1","00",-1,"41d5deb0"]}', "time -1"),
        (b'{"id":1,"method":"mining.submit","params":["w","1","00",4294967296,"41d5deb0"]}', "time 4294967296"),
        (b'{"id":1,"method":"mining.submit","params":["w","1","00",true,"41d5deb0"]}', "time True"),
        (b'{"id":1,"method":"mining.submit","params":["w","1","00",1.5,"41d5deb0"]}', "time 1.5"),
        (b'{"id":1,"method":"mining.submit","params":["w","1","00","6436eddf","\\uff14\\uff11d5deb0"]}', "nonce"),
        (b'{"id":1,"method":"mining.submit","params":["w","1","00","6436eddf",[]]}', "nonce a list"),
        (b'{"id":1,"method":"mining.submit","params":["w","1","00","6436eddf","41d5deb0",{}]}', "version bits a dict"),
        (
            b'{"id":1,"method":"mining.submit","params":["' + b"w" * 5_000 + b'","1","00","6436eddf","41d5deb0"]}',
            "worker",
        ),
        (b'{"id":1,"method":"mining.submit","params":["w","' + b"1" * 500 + b'","00","6436eddf","41d5deb0"]}', "job"),
        (b'{"id":1,"method":"mining.subscribe","params":[17]}', "user agent 17"),
        (b'{"id":1,"method":"mining.subscribe","params":["a",null,null,70000]}', "port 70000"),
        (b'{"id":1,"method":"mining.subscribe","params":["a",null,null,[]]}', "port a list"),
        (b'{"id":1,"method":"mining.subscribe","params":{}}', "no list"),
        (b'{"id":1,"method":"mining.authorize","params":[]}', "user None"),
        (b'{"id":1,"method":"mining.configure","params":["version-rolling"]}', "a list of extensions"),
        (b'{"id":1,"method":"mining.configure","params":[[1],{}]}', "extension 1"),
        (b'{"id":1,"method":"mining.configure","params":[[],[]]}', "and an object"),
        (b'{"id":1,"method":"mining.suggest_difficulty","params":[0]}', "above zero"),
        (b'{"id":1,"method":"mining.suggest_difficulty","params":[-8]}', "above zero"),
        (b'{"id":1,"method":"mining.suggest_difficulty","params":["NaN"]}', "expected a number"),
        (b'{"id":1,"method":"mining.suggest_difficulty","params":[true]}', "expected a number"),
        (b'{"id":1,"method":"mining.suggest_difficulty","params":[1e300]}', "below 2**224"),
        (b'{"id":1,"method":"mining.suggest_difficulty","params":["1e400"]}', "finite"),
        (b'{"id":1,"method":"mining.suggest_difficulty","params":[1e400]}', "no JSON"),
        (b'{"id":1,"method":"mining.suggest_difficulty","params":["' + b"9" * 5_000 + b'"]}', "expected a number"),
        (b'{"id":1,"method":"mining.suggest_target","params":["00"]}', "target of zero"),
        (b'{"id":1,"method":"mining.suggest_target","params":["' + b"ff" * 33 + b'"]}', "at most 32"),
        (b'{"id":1,"method":"mining.multi_version","params":["many"]}', "expected a number"),
        (b'{"id":1,"method":"mining.multi_version","params":[1.5]}', "a whole number"),
    ],
)
def test_what_is_no_message(line: bytes, reason: str) -> None:
    """Garbage would raise, or be taken for a message; or nobody would learn what was wrong with it."""
    found = read_request(line)
    assert isinstance(found, Malformed)
    assert reason in found.reason
    assert len(found.reason) < 200
    assert found.reason.isprintable()


def test_what_can_be_answered_is_kept() -> None:
    """A machine that sends a broken share would not be told which of them it was."""
    found = read_request(b'{"id":"q","method":"mining.submit","params":["w","1","00","6436eddf","no"]}')
    assert isinstance(found, Malformed)
    assert (found.method, found.id) == ("mining.submit", "q")


def test_the_last_of_two_keys_counts() -> None:
    """Two readers of one line could take different values from it (RFC 8259, 4: the last is what most take)."""
    line = b'{"id":1,"id":2,"method":"mining.ping","method":"pong","params":[]}'
    assert read_request(line) == Pong(2)


def test_passwords_are_not_shown() -> None:
    """A worker's password would appear in logs and tracebacks."""
    assert "hunter2" not in repr(Authorize(1, "w", "hunter2"))


ids = st.none() | st.integers(-(1 << 63), (1 << 63) - 1) | st.text(max_size=20)
texts = st.text(max_size=40)
words = st.integers(0, (1 << 32) - 1)
difficulties = st.floats(1e-9, 1e60)
requests = st.one_of(
    st.builds(
        Submit, ids, texts, texts, st.binary(max_size=32), time_s=words, nonce=words, version_bits=st.none() | words
    ),
    st.builds(Subscribe, ids, *[st.none() | texts] * 3, st.none() | st.integers(1, 65_535)),
    st.builds(Authorize, ids, texts, st.none() | texts),
    st.builds(Configure, ids, st.lists(texts, max_size=4).map(tuple), st.dictionaries(texts, ids, max_size=4)),
    st.builds(SuggestDifficulty, ids, difficulties),
    st.builds(SuggestTarget, ids, st.integers(1, (1 << 256) - 1)),
    st.builds(MultiVersion, ids, st.integers(0, 1 << 32)),
    st.builds(Response, ids, st.none() | st.booleans() | texts, st.none() | st.builds(Error, st.none() | words, texts)),
    st.builds(Other, ids, st.just("mining.unheard_of"), st.lists(texts, max_size=3)),
    *(st.builds(kind, ids) for kind in (ExtranonceSubscribe, Ping, Pong, GetVersion)),
)


@given(requests)
def test_a_request_survives_the_wire(request_: Request) -> None:
    """A request that is written and read again would be another one."""
    line = write_request(request_)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert read_request(line) == request_


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
methods = st.sampled_from(
    [
        "mining.subscribe",
        "mining.authorize",
        "mining.configure",
        "mining.submit",
        "mining.extranonce.subscribe",
        "mining.ping",
        "mining.suggest_difficulty",
        "mining.suggest_target",
        "mining.multi_version",
        "client.get_version",
        "mining.notify",
        "pong",
        "mining.set_difficulty",
        "mining.set_extranonce",
        "mining.set_version_mask",
        "client.reconnect",
        "client.show_message",
        "mining.set_goal",
        "mining.suggest_difficulty(x)",
    ]
)


@given(st.binary(max_size=60))
def test_no_bytes_raise(line: bytes) -> None:
    """Some bytes would end the connection's task, and with it more than that connection."""
    assert isinstance(read_request(line), Malformed | Response | Other)


@given(st.fixed_dictionaries({"method": methods | json_values, "params": json_values, "id": json_values}))
def test_no_values_raise(message: dict[str, object]) -> None:
    """Some parameters would end the connection's task: every method, every JSON value in every place."""
    try:
        line = orjson.dumps(message)
    except TypeError:
        return
    found = read_request(line)
    if not isinstance(found, Malformed):
        assert write_request(found)
