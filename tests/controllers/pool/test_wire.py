"""A wire hands on every byte once and in order, however it is cut, paused and resumed, and holds no more than its bounds."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controllers.pool.wire import EARLY_BYTES_MOST, LINES_AT_ONCE, Cut, Wire


class FakeTransport(asyncio.Transport):
    """A transport that notes what is done with it; it goes on reading in spite of a pause, as some loops do at first."""

    def __init__(self) -> None:
        super().__init__()
        self.reading, self.aborted = True, False
        self.written = b""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Noted by nobody."""

    def is_reading(self) -> bool:
        """As it was told."""
        return self.reading

    def pause_reading(self) -> None:
        """From the next time on."""
        self.reading = False

    def resume_reading(self) -> None:
        """Again."""
        self.reading = True

    def write(self, data: Any) -> None:
        """Keep it."""
        self.written += bytes(data)

    def abort(self) -> None:
        """Gone."""
        self.aborted = True


class World:
    """A wire on a loop of its own."""

    def __init__(self, line_bytes: int = 1_000, messages_per_s: float = 1e6) -> None:
        self.loop = asyncio.new_event_loop()
        self.raw, self.lines, self.calls = b"", list[bytes](), 0
        self.ends: list[Cut | None] = []
        self.transport = FakeTransport()
        self.wire = Wire(
            self.loop,
            line_bytes=line_bytes,
            messages_per_s=messages_per_s,
            said=self.said,
            lost=self.ends.append,
        )
        self.wire.connection_made(self.transport)

    def said(self, raw: bytes, lines: list[bytes]) -> None:
        """Keep it."""
        self.calls += 1
        assert len(lines) <= LINES_AT_ONCE
        self.raw += raw
        self.lines += lines

    def settle(self) -> None:
        """Let the loop have some turns."""
        for _ in range(50):
            self.loop.run_until_complete(asyncio.sleep(0))

    def close(self) -> None:
        """End the loop."""
        self.loop.close()


LINE = st.binary(max_size=12).map(lambda data: data.replace(b"\n", b"."))
PIECES = st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["", "pause", "resume", "turn"])), max_size=60)


@given(st.lists(LINE, max_size=60), PIECES, st.integers(0, 12))
def test_every_byte_once_and_in_order(lines: list[bytes], pieces: list[tuple[int, str]], tail: int) -> None:
    """A byte lost or turned around between machine and pool is a session that breaks, or a share that is refused."""
    data = b"".join(line + b"\n" for line in lines) + b"x" * tail
    world = World()
    at = 0
    for size, then in pieces:
        world.wire.data_received(data[at : at + size])
        at += size
        match then:
            case "pause":
                world.wire.pause()
            case "resume":
                world.wire.resume()
            case "turn":
                world.settle()
            case _:
                pass
    world.wire.data_received(data[at:])
    world.wire.resume()
    world.settle()
    world.close()
    whole = data[: data.rfind(b"\n") + 1]
    assert world.raw == whole
    wanted = [line.rstrip(b"\r\0") for line in lines]
    assert world.lines == [line for line in wanted if line]
    assert world.transport.is_reading()


def test_many_lines_are_heard_in_turns() -> None:
    """A machine that sends a thousand shares in one piece would hold up all others for as long as they take."""
    world = World()
    data = b"".join(b"%d\n" % n for n in range(1_000)) + b"half"
    world.wire.data_received(data)
    assert len(world.lines) == LINES_AT_ONCE
    assert not world.transport.is_reading()
    world.settle()
    assert world.raw == data[:-4]
    assert world.calls == 8
    assert world.transport.is_reading()
    world.wire.data_received(b" a line\n")
    assert world.lines[-1] == b"half a line"
    world.close()


def test_what_comes_in_during_a_pause_is_bounded() -> None:
    """A loop that reads on in spite of a pause would fill the memory."""
    world = World()
    world.wire.pause()
    for _ in range(EARLY_BYTES_MOST // 1_000 + 2):
        world.wire.data_received(b"a" * 999 + b"\n")
    assert world.ends == [Cut.FLOOD]
    assert world.transport.aborted
    assert not world.lines
    world.close()


def test_an_end_is_told_once() -> None:
    """A connection that ends twice is counted twice, and its machine is away twice."""
    world = World(line_bytes=10)
    world.wire.data_received(b"x" * 11)
    world.wire.connection_lost(None)
    world.wire.end(Cut.IDLE)
    world.wire.write(b"too late")
    world.wire.pause_writing()
    assert world.ends == [Cut.TOO_LONG]
    assert world.transport.written == b""
    world.close()


def test_half_a_line_is_told_by_its_age() -> None:
    """Half a line and silence holds a connection for nothing."""
    world = World()
    now_s = world.loop.time()
    assert world.wire.half_s(now_s + 100) == 0
    world.wire.data_received(b"half")
    assert 99 < world.wire.half_s(now_s + 100) < 101
    world.wire.data_received(b"\n")
    assert world.wire.half_s(now_s + 100) == 0
    world.close()
