"""Results and errors: what a session begins with, what was granted, and why a pool says no."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.work.counted import Flaw
from fleet.work.stratum import (
    Configure,
    Configured,
    Error,
    Malformed,
    Response,
    Subscription,
    asked_mask,
    cause,
    grant,
    read_configured,
    read_pool,
    read_subscription,
    refusal,
    write_subscription,
)


@pytest.mark.parametrize(
    ("result", "subscription"),
    [
        # ckpool and public-pool, slush's server, Braiins, the first servers' single pair, none
        ([[["mining.notify", "168e39c1"]], "168e39c1", 4], Subscription(b"\x16\x8e\x39\xc1", 4, "168e39c1")),
        (
            [[["mining.set_difficulty", "b4b6"], ["mining.notify", "ae68"]], "08000002", 4],
            Subscription(b"\x08\0\0\2", 4, "ae68"),
        ),
        (
            [[["mining.set_difficulty", "4"], ["mining.notify", "1"]], "6c6f010000000c", 4],
            Subscription(bytes.fromhex("6c6f010000000c"), 4, "1"),
        ),
        ([["mining.notify", "ae68"], "08000002", 4], Subscription(b"\x08\0\0\2", 4, "ae68")),
        ([[["mining.notify", 17]], "08000002", 4], Subscription(b"\x08\0\0\2", 4, "17")),
        ([None, "08000002", 8.0], Subscription(b"\x08\0\0\2", 8)),
        ([[], "", "8"], Subscription(b"", 8)),
        ([[["mining.notify", None]], "08000002", 4, "more"], Subscription(b"\x08\0\0\2", 4)),
        ([[[], ["mining.notify"], 1, {}], "08000002", 4], Subscription(b"\x08\0\0\2", 4)),
    ],
)
def test_subscriptions(result: object, subscription: Subscription) -> None:
    """A session would begin with another extranonce than its pool gave."""
    assert read_subscription(result) == subscription


@pytest.mark.parametrize(
    "result",
    [
        None,
        True,
        {},
        [],
        ["01650f001f25ea", 4],  # Braiins' own test of a broken one
        [[], 8000002, 4],
        [[], "zz", 4],
        [[], "08" * 33, 4],
        [[], "08000002", None],
        [[], "08000002", 33],
        [[], "08000002", -1],
        [[], "08000002", 1.5],
        [[["mining.notify", "x" * 5_000]], "08000002", 4],
    ],
)
def test_what_is_no_subscription(result: object) -> None:
    """A session would begin without an extranonce, or with one that no coinbase holds."""
    assert isinstance(read_subscription(result), Malformed)


@given(
    st.builds(Subscription, st.binary(min_size=1, max_size=32), st.integers(0, 32), st.text(min_size=1, max_size=20))
)
def test_a_subscription_survives_the_wire(subscription: Subscription) -> None:
    """A machine behind us would begin with another extranonce than we gave it."""
    answer = read_pool(write_subscription(1, subscription))
    assert isinstance(answer, Response)
    assert answer.accepted
    assert read_subscription(answer.result) == subscription


@pytest.mark.parametrize(
    ("result", "mask"),
    [
        ({"version-rolling": True, "version-rolling.mask": "18000000", "minimum-difficulty": True}, 0x18000000),
        ({"version-rolling": True, "version-rolling.mask": "1FFFE000"}, 0x1FFFE000),
        ({"version-rolling": True, "version-rolling.mask": "e000"}, 0xE000),
        ({"version-rolling": False, "version-rolling.mask": "00000000"}, None),
        ({"version-rolling": "unsupported"}, None),
        ({}, None),
    ],
)
def test_what_was_granted(result: dict[str, object], mask: int | None) -> None:
    """Rolled versions would be held against a mask that the pool did not give."""
    assert read_configured(result) == Configured(mask, result)


@pytest.mark.parametrize(
    "result", [None, True, [], {"version-rolling": True}, {"version-rolling": 1, "version-rolling.mask": "x"}]
)
def test_what_is_no_configuration(result: object) -> None:
    """A pool that grants rolling without saying which bits would be taken to grant some."""
    assert isinstance(read_configured(result), Malformed)


@pytest.mark.parametrize(
    ("extensions", "parameters", "granted"),
    [
        (
            ("version-rolling",),
            {"version-rolling.mask": "18006000", "version-rolling.min-bit-count": 16},
            {"version-rolling": True, "version-rolling.mask": "18006000"},
        ),
        (("version-rolling",), {}, {"version-rolling": True, "version-rolling.mask": "1fffe000"}),
        (
            ("version-rolling",),
            {"version-rolling.mask": "ffffffff"},
            {"version-rolling": True, "version-rolling.mask": "1fffe000"},
        ),
        (("version-rolling",), {"version-rolling.mask": "e0000000"}, {"version-rolling": False}),
        (("version-rolling",), {"version-rolling.mask": []}, {"version-rolling": False}),
        (
            ("minimum-difficulty", "subscribe-extranonce", "info", "unheard-of"),
            {"minimum-difficulty.value": 8},
            {"minimum-difficulty": False, "subscribe-extranonce": True, "info": True, "unheard-of": False},
        ),
    ],
)
def test_granting(extensions: tuple[str, ...], parameters: dict[str, object], granted: dict[str, object]) -> None:
    """A machine behind us would roll bits that the pool refuses, or wait for an answer to an extension (BIP 310)."""
    assert grant(Configure(1, extensions, parameters), 0x1FFFE000) == granted


def test_who_does_not_ask_to_roll_does_not() -> None:
    """A mask among the parameters would count as a wish to roll."""
    assert asked_mask(Configure(1, ("info",), {"version-rolling.mask": "ffffffff"})) is None


@pytest.mark.parametrize(
    ("line", "accepted"),
    [
        (b'{"id":1,"result":true,"error":null}', True),
        (b'{"id":1,"result":"accepted","error":null}', True),
        (b'{"id":1,"result":null,"error":null}', False),
        (b'{"id":1,"result":false,"error":null}', False),
        (b'{"id":1,"result":true,"error":[23,"Low difficulty share",null]}', False),
        (b'{"id":1,"result":true,"error":null,"reject-reason":"high-hash"}', False),
    ],
)
def test_what_was_accepted(line: bytes, accepted: bool) -> None:
    """A refused share would count as paid for, or the other way round."""
    answer = read_pool(line)
    assert isinstance(answer, Response)
    assert answer.accepted is accepted


@pytest.mark.parametrize(
    ("error", "flaw"),
    [
        # slush's server and public-pool
        (Error(21, "Job not found"), Flaw.UNKNOWN_JOB),
        (Error(22, "Duplicate share"), Flaw.DUPLICATE),
        (Error(23, "Difficulty too low"), Flaw.LOW),
        (Error(24, "Unauthorized worker"), Flaw.UNAUTHORIZED),
        (Error(25, "Not subscribed"), Flaw.UNAUTHORIZED),
        # ckpool's words beside its result
        (Error(None, "Stale"), Flaw.STALE),
        (Error(None, "Invalid JobID"), Flaw.UNKNOWN_JOB),
        (Error(None, "Ntime out of range"), Flaw.TIME),
        (Error(None, "Above target"), Flaw.LOW),
        (Error(None, "Below minimum difficulty"), Flaw.LOW),
        (Error(None, "Invalid version mask"), Flaw.VERSION),
        (Error(None, "Invalid nonce2 length"), Flaw.EXTRANONCE),
        (Error(None, "Worker mismatch"), Flaw.UNAUTHORIZED),
        # one code for everything (btcpool), and codes alone
        (Error(20, "Duplicate share"), Flaw.DUPLICATE),
        (Error(23, ""), Flaw.LOW),
        (Error(20, "Other/Unknown"), None),
        (Error(None, ""), None),
    ],
)
def test_why_a_pool_refuses(error: Error, flaw: Flaw | None) -> None:
    """A pool's reason would be shown as another one."""
    assert cause(error) is flaw


@pytest.mark.parametrize("flaw", list(Flaw))
def test_our_own_refusals_are_understood(flaw: Flaw) -> None:
    """A machine would be refused with words that the usual codes do not have, or with another flaw's."""
    error = refusal(flaw)
    assert error.code is not None
    assert 20 <= error.code <= 25
    assert error.message
    kin = {Flaw.UNKNOWN_JOB: Flaw.UNKNOWN_JOB, Flaw.STALE: Flaw.STALE}.get(flaw, flaw)
    assert cause(error) in {kin, None}
    assert orjson.dumps([error.code, error.message, error.extra])
