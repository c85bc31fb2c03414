"""Routes at an address without parameters, found by looking it up.

FastAPI asks the routes one after the other, and those of a router in a router twice. Of what a request cost
before its room was reached that was the largest part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from opentelemetry import trace
from starlette.routing import BaseRoute, Match, NoMatchFound

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastapi import FastAPI
    from starlette.types import Receive, Scope, Send


class FixedAddresses(BaseRoute):
    """Stands before all routes: comes at once to what a search would come to, and leaves the rest to them."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._routes: dict[tuple[str, str], RouteContext] = {}
        earlier: list[RouteContext] = []
        for route in iter_route_contexts(list(routes)):
            if isinstance(route.original_route, APIRoute) and "{" not in str(route.path):
                self._take_over(route, earlier)
            earlier.append(route)

    def _take_over(self, route: RouteContext, earlier: Iterable[RouteContext]) -> None:
        path = str(route.path)
        for method in route.methods or ():
            if not _is_taken(earlier, method, path):
                self._routes[method, path] = route

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether a route is known for this method and address."""
        route = self._find(scope)
        if route is None:
            return Match.NONE, {}
        return Match.FULL, {"endpoint": route.endpoint, "path_params": {}, "route": route.original_route}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Go on with that route."""
        route = self._routes[scope["method"], scope["path"]]
        span = trace.get_current_span()
        if span.is_recording():  # FastAPI names a span by the route that it has found itself
            span.set_attribute("http.route", str(route.path))
            span.update_name(f"{scope['method']} {route.path}")
        await route.app(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: object) -> NoReturn:
        """Names are the routes' own."""
        raise NoMatchFound(name, path_params)

    def _find(self, scope: Scope) -> RouteContext | None:
        if scope["type"] != "http" or scope.get("root_path"):
            return None
        return self._routes.get((scope["method"], scope["path"]))


def look_up_addresses(app: FastAPI) -> None:
    """Have ``app`` look up the routes that it has now; those that it gets later are searched for."""
    app.router.routes.insert(0, FixedAddresses(app.router.routes))


def _is_taken(earlier: Iterable[RouteContext], method: str, path: str) -> bool:
    """Whether a route that is asked before takes it."""
    asked = {"type": "http", "method": method, "path": path}
    return any(route.matches(asked)[0] is Match.FULL for route in earlier)
