"""Who may call a route is the type of one parameter of its function: ``caller: Learner``.

| type      | lets in                                                                                       |
|-----------|-----------------------------------------------------------------------------------------------|
| `Anyone`  | everybody                                                                                     |
| `Learner` | who has data here: a user, in dev mode this machine's own, a service that names a user        |
| `Viewer`  | the same, and who has a token for this address in its query: for <img> and EventSource        |
| `User`    | a learner, but not this machine's own                                                         |
| `Service` | our other services, and admins                                                                |
| `Admin`   | admins                                                                                        |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Depends, Query
from fastapi.routing import iter_route_contexts
from starlette.requests import HTTPConnection  # noqa: TC002 - FastAPI reads it

from orchestrator.core.errors import ForbiddenError, InvalidInputError, UnauthorizedError
from orchestrator.web.addresses import FixedAddresses
from orchestrator.web.audit.trail import note_refusal
from orchestrator.web.auth.caller import Caller, Role, caller_of
from orchestrator.web.auth.links import links_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import APIRouter, FastAPI
    from fastapi.dependencies.models import Dependant
    from fastapi.routing import RouteContext

SIGN_IN: Final = "Sign in first: send your token as 'Authorization: Bearer …'."
FOR_ADMINS: Final = (
    "This is for admins: send a token whose app_metadata.role is admin, or an API key of the scope admin. "
    "On the service's own machine use the command line: it has the rights."
)
NAME_A_USER: Final = "This is about one user's data: name the user as X-User-ID."


async def _anyone(connection: HTTPConnection) -> Caller:
    return caller_of(connection.scope)


async def _learner(connection: HTTPConnection) -> Caller:
    caller = caller_of(connection.scope)
    if caller.role is Role.NOBODY:
        raise UnauthorizedError(SIGN_IN)
    if not caller.user:
        raise InvalidInputError(NAME_A_USER, code="user_missing")
    _check_scopes(caller, connection)
    return caller


async def _viewer(
    connection: HTTPConnection,
    token: Annotated[str | None, Query(include_in_schema=False)] = None,  # described as a way to sign in
) -> Caller:
    if token is not None and caller_of(connection.scope).role in {Role.NOBODY, Role.LOCAL}:
        try:
            return Caller.of_user(links_of(connection).user(token, connection.scope["path"]))
        except UnauthorizedError as error:
            await note_refusal(connection, error)
            raise
    return await _learner(connection)


async def _user(connection: HTTPConnection) -> Caller:
    if caller_of(connection.scope).role is Role.LOCAL:
        raise UnauthorizedError(f"{SIGN_IN} In dev mode 'X-User-ID: …' will do.")
    return await _learner(connection)


async def _service(connection: HTTPConnection) -> Caller:
    caller = caller_of(connection.scope)
    if caller.role in {Role.NOBODY, Role.LOCAL}:
        raise UnauthorizedError("This is for our own services: send a service's token.")
    if caller.role is Role.USER:
        raise ForbiddenError("This is for our own services, not for users.")
    return caller


async def _admin(connection: HTTPConnection) -> Caller:
    caller = caller_of(connection.scope)
    if caller.role is Role.ADMIN:
        return caller
    if caller.role in {Role.USER, Role.SERVICE}:
        raise ForbiddenError(FOR_ADMINS)
    if caller.role is Role.LOCAL and "authorization" in connection.headers:
        raise ForbiddenError("This is not the token of this service; a restart makes a new one.")
    raise UnauthorizedError(FOR_ADMINS)


Anyone = Annotated[Caller, Depends(_anyone)]
Learner = Annotated[Caller, Depends(_learner)]
Viewer = Annotated[Caller, Depends(_viewer)]
User = Annotated[Caller, Depends(_user)]
Service = Annotated[Caller, Depends(_service)]
Admin = Annotated[Caller, Depends(_admin)]

_NAMES: Final = {
    _anyone: "anyone",
    _learner: "learner",
    _viewer: "viewer",
    _user: "user",
    _service: "service",
    _admin: "admin",
}


def routes_of(app: FastAPI) -> Iterator[RouteContext]:
    """Every route of the application, those of its rooms' routers included."""
    for route in iter_route_contexts(app.routes):
        if not isinstance(route.original_route, FixedAddresses):
            yield route


def tags_of_users(router: APIRouter) -> frozenset[str]:
    """The tags of a router's routes for users: what an API key may be confined to."""
    for_users = [
        route for route in iter_route_contexts(router.routes) if access_of(route) in {"learner", "user"}
    ]
    return frozenset(str(tag) for route in for_users for tag in getattr(route, "tags", ()))


def access_of(route: RouteContext) -> str | None:
    """Who may call the route, by the type's name in lower case, such as ``learner``; None if it is unsaid."""
    dependant: Dependant | None = getattr(route, "dependant", None)
    asked = [] if dependant is None else [dependency.call for dependency in dependant.dependencies]
    return next((_NAMES[call] for call in asked if call in _NAMES), None)


def check_access(app: FastAPI) -> None:
    """See that every route says who may call it.

    Raises:
        RuntimeError: one does not, and would be open to all.
    """
    unsaid = [route.path or str(route.route) for route in routes_of(app) if access_of(route) is None]
    if unsaid:
        raise RuntimeError(
            f"{', '.join(unsaid)}: say who may call it by a parameter of the route's function, such as "
            "`caller: Learner`; see orchestrator.web.auth.access"
        )


def _check_scopes(caller: Caller, connection: HTTPConnection) -> None:
    tags = getattr(connection.scope.get("route"), "tags", ())
    if not caller.opens(*map(str, tags)):
        raise ForbiddenError("This API key is for other parts of the service.", code="key_scope")
