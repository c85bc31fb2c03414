"""How long a request may take."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from orchestrator.web.problems import ProblemResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

EVENT_STREAM = "text/event-stream"


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
