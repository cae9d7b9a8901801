"""Real blocks and recorded sessions: what the chain and other people's pools accepted, we accept too, to the last bit."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from fleet.work.counted import Flaw
from fleet.work.sha256d import sha256d
from fleet.work.stratum import (
    Candidate,
    Configured,
    JobBook,
    Judged,
    Malformed,
    Notify,
    PoolMessage,
    Response,
    SetDifficulty,
    Submit,
    Subscription,
    judge,
    read_configured,
    read_pool,
    read_request,
    read_subscription,
)


@dataclass(frozen=True)
class Block:
    """A block of the chain: its hash and its previous one's as they are printed, its coinbase and the tree beside it."""

    name: str
    hash: str
    previous: str
    coinbase: str
    branches: tuple[str, ...]
    nbits: int
    time_s: int
    nonce: int


FIRST = "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff"
BLOCKS = [
    Block(
        "0",
        "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
        "0" * 64,
        FIRST
        + "4d04ffff001d0104455468652054696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f"
        "6e64206261696c6f757420666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a6"
        "7962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000",
        (),
        0x1D00FFFF,
        1_231_006_505,
        2_083_236_893,
    ),
    Block(
        "1",
        "00000000839a8e6886ab5951d76f411475428afc90947ee320161bbf18eb6048",
        "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
        FIRST
        + "0704ffff001d0104ffffffff0100f2052a0100000043410496b538e853519c726a2c91e61ec11600ae1390813a627c66fb8be7947be63c52da75"
        "89379515d4e0a604f8141781e62294721166bf621e73a82cbf2342c858eeac00000000",
        (),
        0x1D00FFFF,
        1_231_469_665,
        2_573_394_689,
    ),
    Block(
        "170, with the first payment",
        "00000000d1145790a8694403d4063f323d499e655c83426834d4ce2f8dd4a2ee",
        "000000002a22cfee1f2c846adbd12b3e183d4f97683f85dad08a79780a84bd55",
        FIRST
        + "0704ffff001d0102ffffffff0100f2052a01000000434104d46c4968bde02899d2aa0963367c7a6ce34eec332b32e42e5f3407e052d64ac625da"
        "6f0718e7b302140434bd725706957c092db53805b821a85b23a7ac61725bac00000000",
        ("f4184fc596403b9d638783cf57adfe4c75c605f6356fbc91338530e9831e9e16",),
        0x1D00FFFF,
        1_231_731_025,
        1_889_418_792,
    ),
    Block(
        "100000, with four transactions",
        "000000000003ba27aa200b1cecaad478d2b00432346c3f1f3986da1afd33e506",
        "000000000002d01c1fccc21636b607dfd930d31d01c3a62104612a1719011250",
        FIRST
        + "08044c86041b020602ffffffff0100f2052a010000004341041b0e8c2567c12536aa13357b79a073dc4444acb83c4ec7a0e2f99dd7457516c581"
        "7242da796924ca4e99947d087fedf9ce467cb9f7c6287078f801df276fdf84ac00000000",
        (
            "fff2525b8931402dd09222c50775608f75787bd2b87e56995a7bdd30f79702c4",
            # the hash of the third and the fourth
            "8e30899078ca1813be036a073bbf80b86cdddde1c96e9e9c99e9e3782df4ae49",
        ),
        0x1B04864C,
        1_293_623_863,
        274_148_111,
    ),
]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
@pytest.mark.parametrize(("extranonce1_bytes", "extranonce2_bytes"), [(1, 1), (2, 4), (0, 6)])
def test_blocks_are_found_again(block: Block, extranonce1_bytes: int, extranonce2_bytes: int) -> None:
    """A block that a machine finds would not be seen as one: somewhere on the way from a job to a header is a mistake."""
    coinbase, at = bytes.fromhex(block.coinbase), 42
    first = at + extranonce1_bytes
    second = first + extranonce2_bytes
    book = JobBook()
    book.subscribed(coinbase[at:first], extranonce2_bytes)
    branches = tuple(bytes.fromhex(branch)[::-1] for branch in block.branches)
    previous = bytes.fromhex(block.previous)[::-1]
    book.take(
        Notify("1", previous, coinbase[:at], coinbase[second:], branches, 1, block.nbits, block.time_s, clean=True), 0.0
    )
    candidate = book.prepare(Submit(1, "w", "1", coinbase[first:second], block.time_s, block.nonce), 0.0)
    assert isinstance(candidate, Candidate)
    digest = sha256d(candidate.header)
    assert digest[::-1].hex() == block.hash
    judged = judge(candidate, digest)
    assert judged.flaw is None
    assert judged.is_block


@dataclass(frozen=True)
class Session:
    """A recorded session: the answers to subscribe and configure, what the pool sent, and a share that it took.

    `difficulty` is what was asked, `hash` the share's as it is printed, `height` that of the block worked on.
    """

    name: str
    subscribed: str
    configured: str
    lines: tuple[str, ...]
    submit: str
    difficulty: float
    hash: str
    height: int | None


SESSIONS = [
    # Stratum's first documentation (slush): a share on testnet, and a block as it happens
    Session(
        "slush",
        '{"id": 1, "result": [["mining.notify", "ae6812eb4cd7735a302a8a9dd95cf71f"], "08000002", 4], "error": null}',
        "",
        (
            (
                '{"params": ["bf", "4d16b6f85af6e2198f44ae2a6de67f78487ae5611b77c6c0440b921e00000000",'
                f'"{FIRST}20020862062f503253482f04b8864e5008",'
                '"072f736c7573682f000000000100f2052a010000001976a914d23fcdf86f7e756a64a7a9688ef9903327048ed988ac00000000", [],'
                '"00000002", "1c2ac4af", "504e86b9", false], "id": null, "method": "mining.notify"}'
            ),
        ),
        '{"params": ["slush.miner1", "bf", "00000001", "504e86ed", "b2957c02"], "id": 4, "method": "mining.submit"}',
        1.0,
        "000000002076870fe65a2b6eeed84fa892c0db924f1482243a6247d931dcab32",
        25_096,
    ),
    # public-pool's recording of a Bitaxe (test/models/MockRecording1.ts, StratumV1Client.spec.ts): a rolled version
    Session(
        "bitaxe",
        '{"id":1,"error":null,"result":[[["mining.notify","57a6f098"]],"57a6f098",4]}',
        '{"id":2,"error":null,"result":{"version-rolling":true,"version-rolling.mask":"1fffe000"}}',
        (
            '{"id":null,"method":"mining.set_difficulty","params":[512]}',
            (
                '{"id":null,"method":"mining.notify","params":["1","171592f223740e92d223f6e68bff25279af7ac4f2246451e0000000200000000",'
                '"02000000010000000000000000000000000000000000000000000000000000000000000000ffffffff1903c943255c7075626c69632d706f6f6c5c"'
                ',"ffffffff037a90000000000000160014e6f22ca44dc800e9d049621a3b9a42c509f1c4bc3b0f250000000000160014e6f22ca44dc800e9d04962'
                "1a3b9a42c509f1c4bc0000000000000000266a24aa21a9edbd3d1d916aa0b57326a2d88ebe1b68a1d7c48585f26d8335fe6a94b62755f64c0000"
                '0000",["175335649d5e8746982969ec88f52e85ac9917106fba5468e699c8879ab974a1",'
                '"d5644ab3e708c54cd68dc5aedc92b8d3037449687f92ec41ed6e37673d969d4a",'
                '"5c9ec187517edc0698556cca5ce27e54c96acb014770599ed9df4d4937fbf2b0"],"20000000","192495f8","64b3f3ec",false]}'
            ),
        ),
        '{"id": 5, "method": "mining.submit", "params": ["tb1qumezefzdeqqwn5zfvgdrhxjzc5ylr39uhuxcz4.bitaxe3", "1",'
        '"c7080000", "64b3f3ec", "ed460d91", "00002000"]}',
        512.0,
        "000000000061d52983863e5c424c00d9e0981874fddf6a8493433e73928a3e4e",
        2_442_185,
    ),
    # ESP-Miner's own test of a share on Braiins Pool with thirteen branches (test_mining.c): it reaches 683
    Session(
        "braiins",
        '{"id":1,"error":null,"result":[[["mining.notify","1"]],"01000000",4]}',
        "",
        (
            '{"id":null,"method":"mining.set_difficulty","params":[683]}',
            (
                '{"id":null,"method":"mining.notify","params":["e","0c859545a3498373a57452fac22eb7113df2a465000543520000000000000000",'
                f'"{FIRST}4b0389130cfabe6d6d5cbab26a2599e92916edec5657a94a0708ddb970f5c45b5d12905085617eff8e",'
                '"31650707758de07b010000000000001cfd7038212f736c7573682f000000000379ad0c2a000000001976a9147c154ed1dc59609e3d26abb2df2e'
                "a3d587cd8c4188ac00000000000000002c6a4c2952534b424c4f434b3ae725d3994b811572c1f345deb98b56b465ef8e153ecbbd27fa37bf1b00"
                '5161380000000000000000266a24aa21a9ed63b06a7946b190a3fda1d76165b25c9b883bcc6621b040773050ee2a1bb18f1800000000",'
                '["2b77d9e413e8121cd7a17ff46029591051d0922bd90b2b2a38811af1cb57a2b2",'
                '"5c8874cef00f3a233939516950e160949ef327891c9090467cead995441d22c5",'
                '"2d91ff8e19ac5fa69a40081f26c5852d366d608b04d2efe0d5b65d111d0d8074",'
                '"0ae96f609ad2264112a0b2dfb65624bedbcea3b036a59c0173394bba3a74e887",'
                '"e62172e63973d69574a82828aeb5711fc5ff97946db10fc7ec32830b24df7bde",'
                '"adb49456453aab49549a9eb46bb26787fb538e0a5f656992275194c04651ec97",'
                '"a7bc56d04d2672a8683892d6c8d376c73d250a4871fdf6f57019bcc737d6d2c2",'
                '"d94eceb8182b4f418cd071e93ec2a8993a0898d4c93bc33d9302f60dbbd0ed10",'
                '"5ad7788b8c66f8f50d332b88a80077ce10e54281ca472b4ed9bbbbcb6cf99083",'
                '"9f9d784b33df1b3ed3edb4211afc0dc1909af9758c6f8267e469f5148ed04809",'
                '"48fd17affa76b23e6fb2257df30374da839d6cb264656a82e34b350722b05123",'
                '"c4f5ab01913fc186d550c1a28f3f3e9ffaca2016b961a6a751f8cca0089df924",'
                '"cff737e1d00176dd6bbfa73071adbb370f227cfb5fba186562e4060fcec877e1"],"20000004","1705ae3a","647025b5",true]}'
            ),
        ),
        '{"id":1,"method":"mining.submit","params":["w","e","00000000","647025b5","a029ed1"]}',
        683.0,
        "00000000005fe144efbc66241c0094b8fdc2702b7729226fdfed70ca8094c0b5",
        791_433,
    ),
]


def said(line: str) -> PoolMessage:
    """A line of a pool that can be read."""
    message = read_pool(line.encode())
    assert not isinstance(message, Malformed)
    return message


def opened(session: Session, difficulty: float | None = None) -> JobBook:
    """A book as the session's first lines make it, with another difficulty if one is given."""
    book = JobBook()
    answer = said(session.subscribed)
    assert isinstance(answer, Response)
    subscription = read_subscription(answer.result)
    assert isinstance(subscription, Subscription)
    book.subscribed(subscription.extranonce1, subscription.extranonce2_bytes)
    if session.configured:
        answer = said(session.configured)
        assert isinstance(answer, Response)
        configured = read_configured(answer.result)
        assert isinstance(configured, Configured)
        book.granted(configured.version_mask or 0)
    for message in map(said, session.lines):
        changed = isinstance(message, SetDifficulty) and difficulty is not None
        book.take(SetDifficulty(difficulty) if changed and difficulty is not None else message, 0.0)
    return book


def shared(session: Session) -> Submit:
    """The session's share."""
    submit = read_request(session.submit.encode())
    assert isinstance(submit, Submit)
    return submit


def judged_in(book: JobBook, submit: Submit) -> Judged:
    """The verdict on a share that can be hashed."""
    candidate = book.prepare(submit, 1.0)
    assert isinstance(candidate, Candidate)
    return judge(candidate, sha256d(candidate.header))


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.name)
def test_recorded_shares_are_good(session: Session) -> None:
    """A share that a real pool took from a real machine would count as a flaw."""
    book, submit = opened(session), shared(session)
    judged = judged_in(book, submit)
    assert sha256d(judged.header)[::-1].hex() == session.hash
    assert (judged.flaw, judged.credit, judged.for_pool) == (None, session.difficulty, True)
    assert judged.reached > session.difficulty
    assert judged.is_block is (session.name == "slush")
    assert judged_in(book, submit).flaw is Flaw.DUPLICATE
    job = book.newest
    assert job is not None
    coinbase = job.coinbase(submit.extranonce2)
    assert coinbase is not None
    assert coinbase.height == session.height


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.name)
@pytest.mark.parametrize("field", ["nonce", "time_s", "extranonce2", "version_bits"])
def test_a_changed_share_is_not_good(session: Session, field: str) -> None:
    """A share of which one field is made up would be paid for; version bits that nobody gave are a flaw of their own."""
    submit = shared(session)
    changed = {
        "nonce": submit._replace(nonce=submit.nonce + 1),
        "time_s": submit._replace(time_s=submit.time_s + 1),
        "extranonce2": submit._replace(extranonce2=submit.extranonce2[:-1] + b"\7"),
        "version_bits": submit._replace(version_bits=0x4000),
    }[field]
    judged = judged_in(opened(session), changed)
    flaw = Flaw.VERSION if field == "version_bits" and not session.configured else Flaw.LOW
    assert (judged.flaw, judged.credit) == (flaw, 0.0)


@pytest.mark.parametrize(("asked", "flaw"), [(669.868291, None), (669.868292, Flaw.LOW)])
def test_a_share_a_little_too_easy(asked: float, flaw: Flaw | None) -> None:
    """A share just below what was asked would be paid for, or one just above it not."""
    assert judged_in(opened(SESSIONS[1], asked), shared(SESSIONS[1])).flaw is flaw
