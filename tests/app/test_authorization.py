"""Every route as every kind of caller, against docs/authorization.md: the table that people read."""

from __future__ import annotations

import asyncio
import json
import re
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import httpx2
import pytest
import structlog

from orchestrator.app.wiring import built
from orchestrator.core.settings import load_settings
from orchestrator.web.auth.access import access_of, routes_of
from support.tokens import OTHER_SECRET, SECRET, claims, signed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from fastapi import FastAPI
    from starlette.types import Message

    Mode = Callable[[Path], AbstractAsyncContextManager["Walk"]]

TABLES = (Path(__file__).parents[2] / "docs" / "authorization.md").read_text().partition("\n## Routes\n")
SERVICE_KEY = "sb_secret_a-service-role-key-of-the-project"
ANON_KEY = "sb_publishable_an-anon-key-of-the-project"
KEY_OF = "lessons"  # the part of the key for parts
LIMIT_S = 30.0
Headers = dict[str, str]


class Route(NamedTuple):
    """One line of the table of routes."""

    access: str
    method: str
    path: str
    part: str


def rows(text: str) -> list[list[str]]:
    """The cells of a table, without its head."""
    lines = [line.strip()[1:-1] for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip(" `") for cell in line.split("|")] for line in lines[2:]]


HEAD, *_ = (line for line in TABLES[0].splitlines() if line.startswith("| caller"))
ACCESSES = [cell.strip() for cell in HEAD.strip("| ").split("|")][1:]
CALLERS = {caller: dict(zip(ACCESSES, outcomes, strict=True)) for caller, *outcomes in rows(TABLES[0])}
ROUTES = [Route(*cells) for cells in rows(TABLES[2])]


@dataclass(frozen=True, slots=True)
class Walk:
    """A service, and what each kind of caller sends to it."""

    app: FastAPI
    sent: Mapping[str, Headers]

    async def outcome(self, route: Route, headers: Headers) -> str:
        """What the caller gets: a refusal by its status, or *in* for whatever the route itself answers."""
        status, code = await self._answer(route, headers)
        refused = status in {401, 403, 500} or code == "user_missing"
        return str(status) if refused else "in"

    async def _answer(self, route: Route, headers: Headers) -> tuple[int, str]:
        """Status and code of the answer; streams are left as soon as they begin."""
        is_socket = route.method == "WebSocket"
        scope: dict[str, object] = {
            "type": "websocket" if is_socket else "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "ws" if is_socket else "http",
            "path": re.sub(r"\{\w+\}", "none", route.path),
            "query_string": f"apikey={ANON_KEY}".encode() if is_socket else b"",  # as Realtime's clients do
            "headers": [
                (name.lower().encode(), value.encode())
                for name, value in (
                    {"Host": "localhost", "Content-Type": "application/json"} | headers
                ).items()
            ],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8080),
            **({"subprotocols": []} if is_socket else {"method": route.method}),
        }
        came: asyncio.Queue[Message] = asyncio.Queue()
        asked = iter(
            [{"type": "websocket.connect"} if is_socket else {"type": "http.request", "body": b"{}"}]
        )

        async def receive() -> Message:
            for message in asked:
                return message
            await asyncio.Event().wait()
            raise AssertionError

        serving = asyncio.create_task(self.app(scope, receive, came.put))
        try:
            async with asyncio.timeout(LIMIT_S):
                begun = await came.get()
                if begun["type"] == "websocket.accept":
                    return 101, ""
                is_problem = any(b"problem+json" in value for _, value in begun["headers"])
                return int(begun["status"]), code_in((await came.get())["body"]) if is_problem else ""
        finally:
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving


def code_in(body: bytes) -> str:
    """The code of a problem document."""
    return str(json.loads(body)["code"])


def bearer(token: str) -> Headers:
    """The header with a token."""
    return {"Authorization": f"Bearer {token}"}


def token(secret: str = SECRET, **others: object) -> Headers:
    """The header with a token that is good for an hour, but for what is said."""
    return bearer(signed(claims(iss=None, **{"exp": time.time() + 3_600, **others}), secret))


async def made(http: httpx2.AsyncClient, scope: str) -> Headers:
    """The header with a new API key."""
    body = {"name": scope, "scopes": [scope], "user": "ada" if scope == KEY_OF else None}
    answer = await http.post("/api/v1/keys", json=body)
    assert answer.status_code == 201, answer.text
    return {"X-API-Key": answer.json()["key"]}


@asynccontextmanager
async def signed_in(folder: Path) -> AsyncIterator[Walk]:
    """A service with sign-in."""
    async with opened(folder, {"auth.jwt_secret": SECRET}) as (app, operator):
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
            http.headers.update(bearer(operator))
            keys = {scope: await made(http, scope) for scope in (KEY_OF, "service", "admin")}
            revoked = await made(http, KEY_OF)
            newest = (await http.get("/api/v1/keys")).json()["items"][0]
            assert (await http.delete(f"/api/v1/keys/{newest['id']}")).status_code == 200
        yield Walk(
            app,
            {
                "nobody": {},
                "the anonymous key": bearer(ANON_KEY) | {"apikey": ANON_KEY},
                "a user": token() | {"apikey": ANON_KEY},
                "a user who names another one": token() | {"X-User-ID": "bob"},
                "an expired token": token(exp=time.time() - 60),
                "a token with a wrong signature": token(OTHER_SECRET),
                "a token for another audience": token(aud="others"),
                "a service": bearer(SERVICE_KEY),
                "a service token": token(role="service_role", sub=None),
                "a service that names a user": {"apikey": SERVICE_KEY, "X-User-ID": "ada"},
                "an admin": token(app_metadata={"role": "admin"}),
                "the operator": bearer(operator),
                "a key for parts": keys[KEY_OF],
                "a key for services": keys["service"],
                "a key for services that names a user": keys["service"] | {"X-User-ID": "ada"},
                "a key for admins": keys["admin"],
                "a revoked key": revoked,
            },
        )


@asynccontextmanager
async def in_dev_mode(folder: Path) -> AsyncIterator[Walk]:
    """A service with nothing configured about sign-in."""
    async with opened(folder, {}) as (app, operator):
        yield Walk(
            app,
            {
                "in dev mode: nobody": {},
                "in dev mode: a named user": bearer("YOUR_JWT_TOKEN") | {"X-User-ID": "ada"},
                "in dev mode: some other Bearer": bearer("YOUR_JWT_TOKEN"),
                "in dev mode: the operator": bearer(operator),
            },
        )


@asynccontextmanager
async def opened(folder: Path, settings: Mapping[str, object]) -> AsyncIterator[tuple[FastAPI, str]]:
    """A whole service, and the operator's token."""
    given = {
        "data_dir": folder,
        "auth.supabase_service_role_key": SERVICE_KEY,
        "auth.supabase_anon_key": ANON_KEY,
        "limits.requests_per_minute": 1_000_000,
        "limits.burst": 10_000,
        "limits.refused_sign_ins_per_minute": 1_000_000,
        **settings,
    }
    with built(load_settings(overrides=given)) as service:
        async with service.app.router.lifespan_context(service.app):
            yield service.app, service.claim.token


def expected(caller: str, route: Route) -> str:
    """What the table says that the caller gets."""
    said = CALLERS[caller][route.access]
    if said == "its parts":
        return "in" if route.part == KEY_OF else "403"
    return said


def test_the_table_has_every_route_and_no_other(tmp_path: Path) -> None:
    """With who may call it, and the part whose scope an API key needs."""
    with built(load_settings(overrides={"data_dir": tmp_path})) as service:
        served = [
            Route(
                access_of(route) or "",
                method,
                route.path or "",
                ", ".join(getattr(route, "tags", None) or []),
            )
            for route in routes_of(service.app)
            for method in sorted((route.methods or {"WebSocket"}) - {"HEAD"})
        ]

    assert sorted(served) == sorted(ROUTES), "The rows of docs/authorization.md must be:\n" + "\n".join(
        f"| {route.access} | {route.method} | `{route.path}` | {route.part} |"
        for route in sorted(served, key=lambda route: (ACCESSES.index(route.access), route.path))
    )


@pytest.mark.parametrize("mode", [signed_in, in_dev_mode])
async def test_every_route_lets_in_whom_the_table_says(mode: Mode, tmp_path: Path) -> None:
    """All routes, all kinds of callers, no more and no fewer than the table has."""
    with structlog.testing.capture_logs():  # hundreds of refusals, none of which anybody reads
        async with mode(tmp_path) as walk:
            found = {
                (caller, route): await walk.outcome(route, headers)
                for caller, headers in walk.sent.items()
                for route in ROUTES
            }

    wrong = [
        f"{caller}: {route.method} {route.path}: {outcome}, not {expected(caller, route)}"
        for (caller, route), outcome in found.items()
        if outcome != expected(caller, route)
    ]
    assert not wrong, "\n".join(wrong)
    is_dev = mode is in_dev_mode
    assert set(walk.sent) == {caller for caller in CALLERS if caller.startswith("in dev mode") == is_dev}
