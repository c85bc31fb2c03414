"""Dev mode: on this machine alone, everybody is who they say, and nobody is more than a user by saying so."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import httpx2
import jwt
import pytest
from fastapi import APIRouter

from orchestrator.core.settings import Settings
from orchestrator.web.application import House, create_app
from orchestrator.web.auth.access import Admin, Anyone, Learner, Service, User
from orchestrator.web.auth.dev import dev_sign_in
from orchestrator.web.feature import Feature
from support.tokens import unsigned

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from orchestrator.web.auth.caller import Caller

OPERATOR = "the-secret-of-the-data-directory"
Headers = dict[str, str]


def bearer(token: str) -> Headers:
    """The header with a token."""
    return {"Authorization": f"Bearer {token}"}


def made(claims: dict[str, object], secret: str = "whoever-signed-it-with-thirty-two-bytes") -> str:  # noqa: S107
    """A token that says ``claims``."""
    return jwt.encode(claims, secret, "HS256")


def told(caller: Caller) -> list[str]:
    """What a route was told of its caller."""
    return [caller.role, caller.user, caller.name]


def router() -> APIRouter:
    """A route of every access that answers with its caller."""
    routes = APIRouter()

    @routes.get("/anyone")
    async def anyone(caller: Anyone) -> list[str]:
        return told(caller)

    @routes.get("/learner")
    async def learner(caller: Learner) -> list[str]:
        return told(caller)

    @routes.get("/user")
    async def user(caller: User) -> list[str]:
        return told(caller)

    @routes.get("/service")
    async def service(caller: Service) -> list[str]:
        return told(caller)

    @routes.get("/admin")
    async def admin(caller: Admin) -> list[str]:
        return told(caller)

    return routes


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    """Calls a service in dev mode."""
    app = create_app(House(Settings(), sign_in=dev_sign_in(OPERATOR)), [Feature("room", router())])
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:8080") as client:
        yield client


NO_ALGORITHM, NESTED = (
    base64.urlsafe_b64encode(text).rstrip(b"=").decode() for text in (b'{"alg":"none"}', b"[" * 100_000)
)
LOCAL = ["local", "local", "local"]
ADA = ["user", "ada", "user:ada"]
AS_ADMIN = {"sub": "ada", "role": "service_role", "app_metadata": {"role": "admin"}, "exp": 1}


@pytest.mark.parametrize(
    ("headers", "caller"),
    [
        ({}, LOCAL),
        (bearer("YOUR_JWT_TOKEN"), LOCAL),
        (bearer(""), LOCAL),
        (bearer("a.b.c"), LOCAL),
        ({"Authorization": "Basic YWRhOng="}, LOCAL),
        ({"X-User-ID": "ada"}, ADA),
        ({"X-User-ID": ""}, LOCAL),
        (bearer("YOUR_JWT_TOKEN") | {"X-User-ID": "ada"}, ADA),
        (bearer(made({"sub": "ada"})), ADA),
        (bearer(made(AS_ADMIN)), ADA),
        (bearer(unsigned({"sub": "ada"})), ADA),
        (bearer(made({"sub": "ada"})) | {"X-User-ID": "ada"}, ADA),
        ({"Authorization": f"bearer  {made({'sub': 'ada'})}"}, ADA),
        (bearer(made({"role": "anon"})), LOCAL),
        (bearer(unsigned({"sub": 7})), LOCAL),
        (bearer(unsigned({"sub": ""})), LOCAL),
        (bearer(unsigned({"sub": "a\x00b"})), LOCAL),
        (bearer(unsigned(["ada"])), LOCAL),
        (bearer(f"{NO_ALGORITHM}.{NESTED}."), LOCAL),
        (bearer("anon-key") | {"apikey": "anon-key"}, LOCAL),
        (bearer(made({"sub": "ada"})) | {"apikey": "anon-key"}, ADA),
        (bearer(OPERATOR), ["admin", "local", "operator"]),
        (bearer(OPERATOR) | {"X-User-ID": "ada"}, ["admin", "ada", "operator"]),
    ],
)
async def test_everybody_is_who_they_say(
    http: httpx2.AsyncClient, headers: Headers, caller: Sequence[str]
) -> None:
    """What is no token is ignored, no role is believed, and the data directory's token is the operator's."""
    assert (await http.get("/anyone", headers=headers)).json() == caller


@pytest.mark.parametrize("user", ["zoë", "Łukasz 7", "ada@example.org", "x" * 255])
async def test_users_have_any_name(http: httpx2.AsyncClient, user: str) -> None:
    """In a header as UTF-8, and in a token; both are the same user."""
    raw = user.encode()
    named = await http.get("/user", headers=[(b"X-User-ID", raw)])
    signed = await http.get(
        "/user", headers=[(b"X-User-ID", raw), (b"Authorization", f"Bearer {made({'sub': user})}".encode())]
    )

    assert named.json() == signed.json() == ["user", user, f"user:{user}"]


@pytest.mark.parametrize("user", [b"x" * 256, b"\xff", b"a\tb"])
async def test_what_is_no_name_is_refused(http: httpx2.AsyncClient, user: bytes) -> None:
    """Rather than cut, guessed, or found wrong by the database."""
    answer = await http.get("/anyone", headers=[(b"X-User-ID", user)])

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert "X-User-ID" in answer.json()["error"]


async def test_two_names_are_refused(http: httpx2.AsyncClient) -> None:
    """A token of one user with another one's name beside it is 403, whatever the route."""
    answer = await http.get("/anyone", headers=bearer(made({"sub": "ada"})) | {"X-User-ID": "bob"})

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("name", ["Authorization", "apikey", "X-User-ID", "X-API-Key"])
async def test_a_header_that_comes_twice_is_refused(http: httpx2.AsyncClient, name: str) -> None:
    """Something in between may have judged by the other one."""
    answer = await http.get("/anyone", headers=[(name, "Bearer a"), (name, "Bearer a")])

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")


async def test_there_are_no_api_keys_unless_somebody_keeps_them(http: httpx2.AsyncClient) -> None:
    """A key that is not known is a wrong credential: 401, with how to sign in."""
    answer = await http.get("/anyone", headers={"X-API-Key": "k"})

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("headers", "statuses"),
    [
        ({}, {"learner": 200, "user": 401, "service": 401, "admin": 401}),
        (bearer("wrong"), {"learner": 200, "user": 401, "service": 401, "admin": 403}),
        ({"X-User-ID": "ada"}, {"learner": 200, "user": 200, "service": 403, "admin": 403}),
        (bearer(made(AS_ADMIN)), {"learner": 200, "user": 200, "service": 403, "admin": 403}),
        (bearer(OPERATOR), {"learner": 200, "user": 200, "service": 200, "admin": 200}),
    ],
)
async def test_each_access_lets_in_whom_it_names(
    http: httpx2.AsyncClient, headers: Headers, statuses: dict[str, int]
) -> None:
    """401 for who has not said who they are, 403 for who may not."""
    found: dict[str, Any] = {
        access: (await http.get(f"/{access}", headers=headers)).status_code for access in statuses
    }

    assert found == statuses
