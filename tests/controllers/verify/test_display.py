"""The display of a check: the interval on its scale, the claim always to be seen, and a log that is no flood."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.verify.display import Display, bar, duration, in_words

RATIO = st.one_of(st.none(), st.floats(0, 1e6))


def row(ratio: float | None, low: float | None, high: float | None) -> dict[str, Any]:
    """A machine as the daemon tells it."""
    return {
        "machine": "m0",
        "ratio": ratio,
        "low": low,
        "high": high,
        "shares": 9.0,
        "verdict": "untested",
        "lacks_s": None,
    }


@pytest.mark.parametrize(
    ("ratio", "low", "high", "drawn"),
    [
        (None, None, None, "               ┊    │          "),
        (1.0, 0.9, 1.1, "          ━━━━━╍━━━━●━━━━━━━━━━"),
        (0.9, 0.85, 0.97, "     ━━━━━●━━━━╍━━  │          "),
        (0.97, 0.9, 1.02, "          ━━━━━╍━●━━┿━━        "),
        (0.1, 0.0, 0.2, "●              ┊    │          "),
        (5.0, 4.0, 6.0, "               ┊    │         ●"),
    ],
)
def test_bars(ratio: float | None, low: float | None, high: float | None, drawn: str) -> None:
    """An interval that is drawn where it is not, or a claim that vanishes behind it."""
    assert bar(row(ratio, low, high), 0.05, "red").plain == drawn


@given(st.tuples(RATIO, RATIO, RATIO), st.floats(0.005, 0.9))
def test_bars_are_of_one_width(three: tuple[float | None, ...], shortfall: float) -> None:
    """A table that jumps, or a traceback of a machine that delivers a thousand times its claim."""
    known = sorted(value for value in three if value is not None)
    low, ratio, high = known if len(known) == 3 else (None, None, None)
    assert len(bar(row(ratio, low, high), shortfall, "red").plain) == 31


def test_a_log_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    """A night's log with a line for every half second."""
    progress: dict[str, Any] = {
        "id": "c0ffee",
        "began_s": 0.0,
        "for_s": 1_000.0,
        "ended": None,
        "machines": 1,
        "verdicts": {"short": 0, "honest": 0, "untested": 1},
        "rows": [row(None, None, None)],
    }
    with Display(shortfall=0.05) as display:
        for at_s in range(1_001):
            display.show({**progress, "at_s": float(at_s)})
        for _ in range(3):
            display.waiting("no daemon")
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 21 + 1
    assert said[0] == "check c0ffee: 0 s of 17 min; 1 machines: 0 short, 0 honest, 1 undecided"
    assert said[-1] == "no daemon"
    assert in_words({**progress, "at_s": 5_000.0}).startswith("check c0ffee: 17 min of 17 min")


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (89, "89 s"), (90, "2 min"), (5_400, "1.5 h"), (172_800, "2.0 days")]
)
def test_durations(seconds: float, said: str) -> None:
    """Hours told as seconds, or days as hours."""
    assert duration(seconds) == said
