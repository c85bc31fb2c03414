"""How many requests one caller may send."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from orchestrator.core.errors import RateLimitedError
from orchestrator.web.headers import put, written
from orchestrator.web.limits.counting import count, counted_in, headers
from orchestrator.web.problems import problem_of
from orchestrator.web.sse import ComeAgain, is_from_event_source

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from orchestrator.core.rates import Buckets
    from orchestrator.web.limits.counting import Limit


class LimitRequests:
    """Counts every request but those to the ``free`` paths, and a stream or a WebSocket once.

    An answer tells of all limits that its request was counted against, those of its route included.
    """

    def __init__(self, app: ASGIApp, buckets: Buckets, limit: Limit, free: Collection[str]) -> None:
        self.app = app
        self.buckets = buckets
        self.limit = limit
        self.free = free

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse what is too much; pass on the rest."""
        if scope["type"] == "lifespan" or scope["path"] in self.free:
            await self.app(scope, receive, send)
            return
        counted = counted_in(scope)

        async def told(message: Message) -> None:
            if counted and message["type"].endswith("response.start"):
                put(written(headers(counted)), message)
            await send(message)

        try:
            await count(scope, self.buckets, self.limit)
        except RateLimitedError as error:
            await _refusal(scope, error)(scope, receive, told)
            return
        await self.app(scope, receive, told)


def _refusal(scope: Scope, error: RateLimitedError) -> Response:
    # An EventSource would give up for good at 429.
    if scope["type"] == "http" and is_from_event_source(HTTPConnection(scope)):
        return ComeAgain()
    return problem_of(error)
