"""How long a request may take, and each part of an answer that is made while it is sent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from orchestrator.web.problems import ProblemResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

EVENT_STREAM = "text/event-stream"


class Deadline:
    """Answers 504 when a request takes too long.

    An answer that has begun goes on for as long as each part of it comes in that time; event streams may go
    on for ever.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stop what is too late; pass on the rest."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        deadline = asyncio.timeout(self.seconds)
        started, endless = False, False

        async def watched(message: Message) -> None:
            nonlocal started, endless
            if message["type"] == "http.response.start":
                started = True
                endless = Headers(raw=message["headers"]).get("content-type", "").startswith(EVENT_STREAM)
            if not deadline.expired():
                deadline.reschedule(None if endless else asyncio.get_running_loop().time() + self.seconds)
            await send(message)

        try:
            async with deadline:
                await self.app(scope, receive, watched)
        except TimeoutError:
            if started or not deadline.expired():
                raise
            message = f"This took longer than {self.seconds:g} seconds, and was stopped."
            await ProblemResponse(504, "timeout", message)(scope, receive, send)
