"""Which pages a browser may call from. In dev mode: loopback pages, and any page where a room says so.

The reasons are in docs/decisions/0003-dev-mode-and-open-cors.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.routing import compile_path

from orchestrator.core.listening import is_loopback
from orchestrator.web.headers import put, written
from orchestrator.web.problems import ProblemResponse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from orchestrator.web.feature import OpenRoute
    from orchestrator.web.headers import Written

# Document 001, "CORS Configuration".
OPEN_CORS = written(
    {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS",
        "Access-Control-Allow-Headers": "Accept, Authorization, Content-Type, X-CSRF-Token",
        "Access-Control-Expose-Headers": "Link",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
)
# What the clients of Supabase, and ours, send and read; `*` would not cover Authorization.
CORS = written(
    {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE, OPTIONS",
        "Access-Control-Allow-Headers": (
            "authorization, x-client-info, apikey, content-type, x-retry-count, traceparent, tracestate, "
            "baggage, x-user-id, x-region, accept, x-csrf-token, idempotency-key, x-idempotency-key, "
            "last-event-id, if-none-match"
        ),
        "Access-Control-Expose-Headers": (
            "x-relay-error, retry-after, ratelimit, ratelimit-policy, etag, link"
        ),
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
)
GIVEN_ONCE = ("host", "origin")  # of two, another reader might take the other one


class OpenRoutes:
    """The routes that pages of any origin may use."""

    def __init__(self, routes: Iterable[OpenRoute]) -> None:
        self._routes = [(compile_path(route.path)[0], route.methods) for route in routes]

    def takes(self, scope: Scope) -> bool:
        """Whether this request, or the one that this preflight asks about, goes to an open route."""
        method = _asked_method(scope)
        return any(method in methods and path.match(scope["path"]) for path, methods in self._routes)


class LoopbackOnly:
    """Dev mode's guard: answers only callers on this machine, whatever a browser is tricked into.

    The Host must be loopback, or a foreign name that resolves here could read everything (DNS rebinding):
    421. Outside the open routes the Origin must be loopback too: 403. Two of either are refused: 400.
    """

    def __init__(self, app: ASGIApp, open_routes: OpenRoutes) -> None:
        self.app = app
        self.open_routes = open_routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse foreign callers; pass on the rest."""
        if scope["type"] == "lifespan" or (refusal := self._refusal(scope)) is None:
            await self.app(scope, receive, send)
        else:
            await refusal(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        for name in GIVEN_ONCE:
            if len(headers.getlist(name)) > 1:
                return ProblemResponse(400, "invalid_input", f"The header {name.title()} may come once only.")
        if not is_loopback(headers.get("host", "")):
            return ProblemResponse(
                421,
                "foreign_host",
                "This service answers on this machine alone: call it as localhost or 127.0.0.1.",
            )
        if not _is_foreign_page(headers) or (scope["type"] == "http" and self.open_routes.takes(scope)):
            return None
        return ProblemResponse(
            403, "foreign_origin", "Pages of other origins may not use this address; pages on localhost may."
        )


class Cors:
    """What pages of other origins may read, and send: said before anybody has to sign in.

    With sign-in every page may use every route, since what it may do there is its user's to say, by a token
    that no browser sends on its own accord. In dev mode pages of this machine may, and document 001's open
    routes are for all, as it has them.
    """

    def __init__(self, app: ASGIApp, open_routes: OpenRoutes, *, is_dev: bool) -> None:
        self.app = app
        self.open_routes = open_routes
        self.is_dev = is_dev

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer preflights, and open the answers."""
        allowed = self._allowed(scope) if scope["type"] == "http" else None
        if allowed is None:
            await self.app(scope, receive, send)
            return
        if scope["method"] == "OPTIONS":
            preflight = Response()
            preflight.raw_headers.extend(allowed)
            await preflight(scope, receive, send)
            return

        async def opened(message: Message) -> None:
            if message["type"] == "http.response.start":
                put(allowed, message)
            await send(message)

        await self.app(scope, receive, opened)

    def _allowed(self, scope: Scope) -> Written | None:
        if not self.is_dev:
            return CORS
        origin = Headers(scope=scope).get("origin")
        if origin is not None and _is_local(origin):
            return CORS
        return OPEN_CORS if self.open_routes.takes(scope) else None


def _is_foreign_page(headers: Headers) -> bool:
    origin = headers.get("origin")
    if origin is not None:
        return not _is_local(origin)
    # Pictures and scripts are fetched without an Origin; following a link to us is no harm.
    is_cross_site = headers.get("sec-fetch-site") == "cross-site"
    return is_cross_site and headers.get("sec-fetch-mode") != "navigate"


def _is_local(origin: str) -> bool:
    return is_loopback(origin.partition("://")[2])


def _asked_method(scope: Scope) -> str:
    method: str = scope["method"]
    if method != "OPTIONS":
        return method
    return Headers(scope=scope).get("access-control-request-method", method)
