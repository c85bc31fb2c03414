"""HEAD, for monitors and caches: what GET would answer, without the body (RFC 9110, section 9.3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.routing import Match

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

EVENT_STREAM = "text/event-stream"


class HeadAsGet:
    """Answers HEAD on every described route that takes GET, except on streams: to ask one may start a run."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass HEAD on as GET, and the rest as it is."""
        if scope["type"] != "http" or scope["method"] != "HEAD" or not takes_head(scope):
            await self.app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        asked = {**scope, "method": "GET"}
        try:
            await self.app(asked, receive, without_body)
        finally:
            if "route" in asked:
                scope["route"] = asked["route"]  # the log line names it


def takes_head(scope: Scope) -> bool:
    """Whether this address answers HEAD by what it answers to GET."""
    asked = {**scope, "method": "GET"}
    return any(
        _has_head(route) and route.matches(asked)[0] is Match.FULL
        for route in iter_route_contexts(scope["app"].routes)
    )


def _has_head(route: RouteContext) -> bool:
    return (
        isinstance(route.original_route, APIRoute)
        and bool(route.include_in_schema)
        and EVENT_STREAM not in route.responses.get(200, {}).get("content", {})
    )
