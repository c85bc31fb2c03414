"""How long a request may take and how much it may bring."""

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


class DeclaredBodySize:
    """Refuses a body by its Content-Length, before a byte of it is read.

    Bodies that do not declare their size are counted as they arrive, by FastAPI's ``max_body_size``.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse what is too large; pass on the rest."""
        if scope["type"] == "http" and self._declared(scope) > self.max_bytes:
            message = f"The body is larger than the {self.max_bytes} bytes that this service accepts."
            await ProblemResponse(413, "payload_too_large", message)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _declared(self, scope: Scope) -> int:
        length = Headers(scope=scope).get("content-length", "0")
        return int(length) if length.isascii() and length.isdigit() else 0
