"""What is written in one turn of the loop leaves at once, all of it and in order."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.app.one_write import MOST_HELD_BYTES, OneWrite


class Wire(asyncio.Transport):
    """Keeps what comes to it, write by write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        assert not self.is_closed
        self.writes.append(bytes(data))

    def close(self) -> None:
        """Take nothing more."""
        self.is_closed = True

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.is_closed


@pytest.fixture
async def wire() -> Wire:
    """A connection's end."""
    return Wire()


@pytest.fixture
async def transport(wire: Wire) -> OneWrite:
    """The transport under test, over it."""
    return OneWrite(wire, asyncio.get_running_loop())


async def test_head_and_body_leave_together(wire: Wire, transport: OneWrite) -> None:
    """By one write, as soon as whoever wrote them lets the loop go on; the next answer by one of its own."""
    for answer in ("first", "second"):
        transport.write(b"head of the ")
        transport.write(answer.encode())
        await asyncio.sleep(0)

    assert wire.writes == [b"head of the first", b"head of the second"]


async def test_a_head_does_not_wait_for_a_body_that_takes_its_time(wire: Wire, transport: OneWrite) -> None:
    """Event streams show that they have begun."""
    transport.write(b"head")
    await asyncio.sleep(0)

    assert wire.writes == [b"head"]


async def test_what_was_written_is_sent_before_the_connection_closes(wire: Wire, transport: OneWrite) -> None:
    """As an answer that ends its connection is; after it nothing is sent."""
    transport.write(b"the last words")
    transport.close()
    transport.write(b"too late")
    await asyncio.sleep(0)

    assert wire.writes == [b"the last words"]
    assert wire.is_closed
    assert transport.is_closing()


async def test_a_long_answer_is_not_gathered_in_memory(wire: Wire, transport: OneWrite) -> None:
    """A writer that never pauses meets the transport's own limits, which slow it down."""
    for _ in range(3):
        transport.write(bytes(MOST_HELD_BYTES // 2 + 1))

    assert wire.writes == [bytes(2 * (MOST_HELD_BYTES // 2 + 1))]


@given(st.lists(st.lists(st.integers(0, MOST_HELD_BYTES + 9), max_size=4), max_size=4))
async def test_nothing_is_lost_or_turned_round(turns: list[list[int]]) -> None:
    """Whatever is written in whichever turns."""
    wire = Wire()
    transport = OneWrite(wire, asyncio.get_running_loop())
    written = b""
    for number, sizes in enumerate(turns):
        for place, size in enumerate(sizes):
            data = bytes([16 * number + place]) * size
            transport.write(data)
            written += data
        await asyncio.sleep(0)

    assert b"".join(wire.writes) == written
