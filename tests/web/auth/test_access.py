"""Who may call a route: a parameter's type, seen to when the application is put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fastapi import APIRouter, Request, Response, WebSocket

from orchestrator.core.errors import InternalError
from orchestrator.core.settings import Settings
from orchestrator.web.application import House, create_app
from orchestrator.web.auth.access import Admin, Anyone, Learner, Service, User, Viewer, access_of, routes_of
from orchestrator.web.auth.caller import caller_of
from orchestrator.web.feature import Feature

if TYPE_CHECKING:
    from collections.abc import Callable


def room() -> APIRouter:
    """Routes of every access, one of them in a router of its own and one a WebSocket."""
    router, inner = APIRouter(prefix="/room"), APIRouter(prefix="/inner")

    @router.get("/anyone")
    async def anyone(_: Anyone) -> None: ...

    @router.get("/learner")
    async def learner(_: Learner) -> None: ...

    @router.get("/viewer")
    async def viewer(_: Viewer) -> None: ...

    @inner.get("/user")
    async def user(_: User) -> None: ...

    @router.post("/service")
    async def service(_: Service) -> None: ...

    @router.websocket("/admin")
    async def admin(_: Admin, websocket: WebSocket) -> None: ...

    router.include_router(inner)
    return router


def test_a_route_says_who_may_call_it() -> None:
    """In whichever router it is, and whatever it speaks."""
    app = create_app(House(Settings()), [Feature("room", room())])

    said = {route.path: access_of(route) for route in routes_of(app)}

    assert said == {
        "/": "anyone",
        "/docs": "anyone",
        "/health": "anyone",
        "/openapi.json": "anyone",
        "/ready": "anyone",
        "/room/admin": "admin",
        "/room/anyone": "anyone",
        "/room/inner/user": "user",
        "/room/learner": "learner",
        "/room/service": "service",
        "/room/viewer": "viewer",
    }


def with_route(add: Callable[[APIRouter], object]) -> APIRouter:
    """A router with one more route."""
    router = room()
    add(router)
    return router


async def open_to_all() -> None:
    """A route that forgot to ask."""


async def open_plain(_: Request) -> Response:
    """Likewise."""
    return Response()


async def open_socket(websocket: WebSocket) -> None:
    """Likewise."""


@pytest.mark.parametrize(
    "router",
    [
        with_route(lambda router: router.add_api_route("/forgotten", open_to_all)),
        with_route(lambda router: router.add_api_websocket_route("/forgotten", open_socket)),
        with_route(lambda router: router.add_route("/forgotten", open_plain)),
        with_route(lambda router: router.mount("/forgotten", room())),
    ],
    ids=["route", "websocket", "plain", "mount"],
)
def test_a_route_that_does_not_say_it_is_not_served(router: APIRouter) -> None:
    """The application is not even put together, and the message names the route."""
    with pytest.raises(RuntimeError, match="/forgotten: say who may call it"):
        create_app(House(Settings()), [Feature("room", router)])


def test_a_request_that_was_not_identified_goes_no_further() -> None:
    """A hole in the order of the middleware is an error, not a caller."""
    with pytest.raises(InternalError, match="came past Identify"):
        caller_of({"type": "http"})
