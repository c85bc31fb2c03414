"""Who may call from a browser: loopback pages everywhere, any page where a room says so.

The reasons are in docs/decisions/0003-dev-mode-and-open-cors.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.routing import compile_path

from orchestrator.core.listening import is_loopback
from orchestrator.web.problems import ProblemResponse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from orchestrator.web.feature import OpenRoute

# Document 001, "CORS Configuration".
OPEN_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Accept, Authorization, Content-Type, X-CSRF-Token",
    "Access-Control-Expose-Headers": "Link",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
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


class OpenCors:
    """Document 001's open CORS, on the open routes alone."""

    def __init__(self, app: ASGIApp, open_routes: OpenRoutes) -> None:
        self.app = app
        self.open_routes = open_routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer preflights of open routes, and open the answers of those routes."""
        if scope["type"] != "http" or not self.open_routes.takes(scope):
            await self.app(scope, receive, send)
            return
        if scope["method"] == "OPTIONS":
            await Response(headers=OPEN_CORS)(scope, receive, send)
            return

        async def opened(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(OPEN_CORS)
            await send(message)

        await self.app(scope, receive, opened)


def _is_foreign_page(headers: Headers) -> bool:
    origin = headers.get("origin")
    if origin is not None:
        return not is_loopback(origin.partition("://")[2])
    # Pictures and scripts are fetched without an Origin; following a link to us is no harm.
    is_cross_site = headers.get("sec-fetch-site") == "cross-site"
    return is_cross_site and headers.get("sec-fetch-mode") != "navigate"


def _asked_method(scope: Scope) -> str:
    method: str = scope["method"]
    if method != "OPTIONS":
        return method
    return Headers(scope=scope).get("access-control-request-method", method)
