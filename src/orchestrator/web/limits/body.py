"""How much a request may bring."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import HTTPException
from starlette.datastructures import Headers

from orchestrator.web.problems import ProblemResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOO_LARGE = "The body is larger than this service accepts."


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
