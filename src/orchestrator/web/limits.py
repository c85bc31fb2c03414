"""How long a request may take and how much it may bring."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import HTTPException
from starlette.datastructures import Headers

from orchestrator.web.problems import ProblemResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

EVENT_STREAM = "text/event-stream"
TOO_LARGE = "The body is larger than this service accepts."


class Deadline:
    """Answers 504 when a request takes too long; event streams may go on for ever once they begin."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stop what is too late; pass on the rest."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        deadline = asyncio.timeout(self.seconds)
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                if Headers(raw=message["headers"]).get("content-type", "").startswith(EVENT_STREAM):
                    deadline.reschedule(None)
            await send(message)

        try:
            async with deadline:
                await self.app(scope, receive, watched)
        except TimeoutError:
            if started or not deadline.expired():
                raise
            message = f"This took longer than {self.seconds:g} seconds, and was stopped."
            await ProblemResponse(504, "timeout", message)(scope, receive, send)


class BodyLimit:
    """Refuses bodies that are too large: by their Content-Length unread, or as soon as they pass it."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse what declares too much; count what the rest really brings."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if _declared_bytes(scope) > self.max_bytes:
            await ProblemResponse(400, "payload_too_large", TOO_LARGE)(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_bytes:
                # FastAPI takes any other exception here for a body that it cannot parse. Answered as 400.
                raise HTTPException(413, TOO_LARGE)
            return message

        await self.app(scope, counted, send)


def _declared_bytes(scope: Scope) -> int:
    length = Headers(scope=scope).get("content-length", "0")
    return int(length) if length.isascii() and length.isdigit() else 0
