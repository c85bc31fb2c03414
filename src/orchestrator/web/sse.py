"""Server-Sent Events as EventSource clients need them."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import structlog
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import HTTPConnection, Request
    from starlette.types import Receive, Scope, Send

PING_EVERY_S = 15
SEND_TIMEOUT_S = 30  # a client that takes nothing for this long is gone
RECONNECT_AFTER_MS = 2_000
MEDIA_TYPE = "text/event-stream"
LINE_END = "\n"

# An id (None leaves the client where it stands) and compact JSON.
Event = tuple[str | None, str]

log = structlog.get_logger()


class Closing:
    """The service's decision to close: told once, heard by all that wait for it."""

    def __init__(self) -> None:
        self.begun = False
        self._waits: set[asyncio.Timeout] = set()

    def begin(self) -> None:
        """End every open stream, and each that opens from now on. Call it on the event loop."""
        if self.begun:
            return
        self.begun = True
        now = asyncio.get_running_loop().time()
        for wait in tuple(self._waits):
            wait.reschedule(now)

    async def until(self, events: AsyncGenerator[Event]) -> AsyncGenerator[Event]:
        """``events`` until they end or the service closes; closes them at the end."""
        async with aclosing(events):
            while (event := await self._next(events)) is not None:
                yield event

    async def _next(self, events: AsyncGenerator[Event]) -> Event | None:
        if self.begun:
            return None
        # A timeout that only begin() sets costs next to nothing per event; two racing tasks would not.
        wait = asyncio.timeout(None)
        try:
            async with wait:
                self._waits.add(wait)
                return await anext(events, None)
        except TimeoutError:
            if not wait.expired():
                raise
            return None
        finally:
            self._waits.discard(wait)


class EventStream(EventSourceResponse):
    """A response that sends events as they come, from a generator that it closes at the end.

    No ``event:`` field, so that ``onmessage`` gets everything; ``retry:`` once; a ping every 15 seconds;
    the stream ends well-formed when the service closes. A client that stops reading is let go.
    """

    def __init__(self, request: Request, events: AsyncGenerator[Event]) -> None:
        closing: Closing = request.app.state.closing
        super().__init__(
            _messages(closing.until(events)),
            headers={"Cache-Control": "no-cache"},
            ping=PING_EVERY_S,
            ping_message_factory=lambda: ServerSentEvent(comment="ping", sep=LINE_END),
            sep=LINE_END,
            send_timeout=SEND_TIMEOUT_S,
            # Closing ends the stream cleanly; the library's own way would cut it off at once.
            shutdown_grace_period=request.app.state.shutdown_timeout_s,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the events end, the client leaves, or the service closes."""
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            log.info("stream client too slow", seconds=SEND_TIMEOUT_S)


class ComeAgain(Response):
    """An event stream without events, for an EventSource that asks while it cannot be served.

    It gives up for good at any answer but 200. When a stream ends, it comes back after a while.
    """

    media_type = MEDIA_TYPE

    def __init__(self) -> None:
        super().__init__(
            ServerSentEvent(retry=RECONNECT_AFTER_MS, sep=LINE_END).encode(),
            headers={"Cache-Control": "no-cache"},
        )


def is_from_event_source(request: HTTPConnection) -> bool:
    """Whether a browser's EventSource asks, or who says that it takes event streams alone."""
    return request.scope.get("method") == "GET" and request.headers.get("accept") == MEDIA_TYPE


def described(what: str, event: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI response of a stream: ``what`` it holds, and the JSON schema of each event's data.

    Before OpenAPI 3.2 a stream's schema is that of each of its events.
    """
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": event}
    schema = {"type": "object", "properties": {"id": {"type": "string"}, "data": data}}
    return {"description": what, "content": {MEDIA_TYPE: {"schema": schema}}}


async def _messages(events: AsyncGenerator[Event]) -> AsyncGenerator[ServerSentEvent]:
    yield ServerSentEvent(retry=RECONNECT_AFTER_MS, sep=LINE_END)
    async with aclosing(events):
        async for event_id, data in events:
            yield ServerSentEvent(data, id=event_id, sep=LINE_END)
