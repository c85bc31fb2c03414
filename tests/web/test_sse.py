"""Ending streams without disturbing what feeds them."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from orchestrator.web.sse import Closing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import httpx2

    from orchestrator.web.sse import Event


class Source:
    """One event, then silence; knows whether it was closed."""

    def __init__(self) -> None:
        self.is_waiting = asyncio.Event()
        self.is_closed = False

    async def events(self) -> AsyncGenerator[Event]:
        """The event, and the silence."""
        try:
            yield "1", "{}"
            self.is_waiting.set()
            await asyncio.Event().wait()
        finally:
            self.is_closed = True


async def test_closing_ends_a_silent_stream_and_closes_its_source() -> None:
    """The watcher sees an ordinary end, not a cancellation, however often closing is asked for."""
    closing, source = Closing(), Source()

    async def watch() -> list[Event]:
        return [event async for event in closing.until(source.events())]

    watching = asyncio.create_task(watch())
    await source.is_waiting.wait()
    closing.begin()
    closing.begin()

    assert await watching == [("1", "{}")]
    assert source.is_closed


async def test_a_closed_service_opens_no_stream() -> None:
    """What comes after the decision ends before its first event."""
    closing = Closing()
    closing.begin()

    assert [event async for event in closing.until(Source().events())] == []


async def test_a_timeout_of_the_source_is_not_taken_for_closing() -> None:
    """Its errors reach the caller as they are."""

    async def late() -> AsyncGenerator[Event]:
        raise TimeoutError("the store did not answer")
        yield "1", "{}"

    with pytest.raises(TimeoutError, match="the store did not answer"):
        await anext(Closing().until(late()))


async def test_a_watcher_that_stops_closes_the_source() -> None:
    """Nothing is left open for nobody."""
    source = Source()
    async with aclosing(Closing().until(source.events())) as events:
        await anext(events)

    assert source.is_closed


async def test_an_event_source_is_asked_to_come_again_while_a_part_is_away(
    client: httpx2.AsyncClient,
) -> None:
    """While a part is away: at any answer but 200 it gives up for good. Others are told what is wrong."""
    to_event_source = await client.get("/fails/away", headers={"Accept": "text/event-stream"})
    to_anybody = await client.get("/fails/away", headers={"Accept": "*/*"})
    to_who_asks_once = await client.post("/fails/away", headers={"Accept": "text/event-stream"})

    assert (to_event_source.status_code, to_event_source.text) == (200, "retry: 2000\n\n")
    assert to_event_source.headers["content-type"].startswith("text/event-stream")
    assert (to_anybody.status_code, to_anybody.json()["code"]) == (503, "unavailable")
    assert to_who_asks_once.status_code == 405
