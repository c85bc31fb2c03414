"""Lessons with sign-in: everybody has their own, and a browser reads a stream and pictures by a token."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx2
import pytest
import structlog

from orchestrator.app.wiring import built
from orchestrator.core.settings import load_settings
from support.tokens import SECRET, claims, signed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SESSIONS = "/api/sessions"
Headers = dict[str, str]
# What the clients of Supabase, and browsers for ours, send and read.
ALLOWED_HEADERS = [
    "authorization",
    "x-client-info",
    "apikey",
    "content-type",
    "x-retry-count",
    "traceparent",
    "tracestate",
    "baggage",
    "x-user-id",
    "x-region",
    "accept",
    "x-csrf-token",
    "idempotency-key",
    "x-idempotency-key",
    "last-event-id",
    "if-none-match",
]
EXPOSED_HEADERS = ["x-relay-error", "retry-after", "ratelimit", "ratelimit-policy", "etag", "link"]


def of(user: str) -> Headers:
    """What the browser of a signed-in user sends."""
    return {"Authorization": f"Bearer {signed(claims(user, exp=time.time() + 3_600))}"}


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """Calls a service with sign-in, under a name that other machines know it by."""
    settings = load_settings(
        overrides={"data_dir": tmp_path, "server.enable_metrics": False, "auth.jwt_secret": SECRET}
    )
    with built(settings) as service:
        transport = httpx2.ASGITransport(service.app)
        async with (
            service.app.router.lifespan_context(service.app),
            httpx2.AsyncClient(transport=transport, base_url="https://learn.example") as client,
        ):
            yield client


async def created(http: httpx2.AsyncClient, user: str) -> str:
    """The path of a new session of that user."""
    answer = await http.post(SESSIONS, json={"topic": "Tides"}, headers=of(user))
    assert answer.status_code == 201
    return f"{SESSIONS}/{answer.json()['id']}"


async def test_a_lesson_is_its_makers_alone(http: httpx2.AsyncClient) -> None:
    """Nobody has to sign in first, others find nothing, and lists have one's own."""
    path = await created(http, "ada")
    asked = [
        ("GET", path),
        ("POST", f"{path}/run"),
        ("GET", f"{path}/run"),
        ("GET", f"{path}/result"),
        ("GET", f"{path}/images/image1.jpg"),
        ("POST", f"{path}/stream-token"),
        ("DELETE", path),
    ]

    for method, address in asked:
        assert (await http.request(method, address)).status_code == 401
        assert (await http.request(method, address, headers=of("bob"))).status_code == 404
    assert (await http.get(SESSIONS)).status_code == 401
    assert (await http.get(SESSIONS, headers=of("bob"))).json()["total"] == 0
    assert (await http.get(SESSIONS, headers=of("ada"))).json()["total"] == 1
    assert (await http.post(f"{path}/run", headers=of("ada"))).status_code == 200


async def test_a_browser_watches_and_shows_pictures_by_a_token(http: httpx2.AsyncClient) -> None:
    """An EventSource and an <img> send no header; the token in their address opens these two and no more."""
    path, other = await created(http, "ada"), await created(http, "ada")
    answer = await http.post(f"{path}/stream-token", headers=of("ada"))
    token = {"token": answer.json()["token"]}
    assert set(answer.json()) == {"token", "expires_at"}

    with structlog.testing.capture_logs() as logs:
        watched = await http.get(f"{path}/run", params=token, headers={"Accept": "text/event-stream"})
        picture = await http.get(f"{path}/images/image1.jpg", params=token)
        refused = [
            await http.get(f"{path}/result", params=token),
            await http.get(path, params=token),
            await http.post(f"{path}/run", params=token),
            await http.delete(path, params=token),
            await http.post(f"{path}/stream-token", params=token),
            await http.get(f"{other}/run", params=token),
            await http.get(f"{path}/run", params={"token": f"{token['token']}x"}),
            await http.get(SESSIONS, params=token),
            await http.get(path, headers={"Authorization": f"Bearer {token['token']}"}),
        ]

    assert watched.status_code == 200
    assert '"type":"final"' in watched.text
    assert picture.headers["content-type"] == "image/jpeg"
    assert [answer.status_code for answer in refused] == [401] * len(refused)
    assert token["token"] not in str(logs)


async def test_a_page_elsewhere_may_ask(http: httpx2.AsyncClient) -> None:
    """Its preflight is answered before anybody signs in, and refusals can be read."""
    page = {"Origin": "https://front.example"}
    preflight = await http.options(SESSIONS, headers=page | {"Access-Control-Request-Method": "GET"})
    listed = await http.get(SESSIONS, headers=page | of("ada"))
    refused = await http.get(SESSIONS, headers=page)

    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-headers"].split(", ") == ALLOWED_HEADERS
    assert preflight.headers["access-control-allow-methods"] == "GET, POST, PUT, PATCH, DELETE, OPTIONS"
    assert listed.headers["access-control-expose-headers"].split(", ") == EXPOSED_HEADERS
    assert "x-relay-error" not in listed.headers
    assert (listed.status_code, refused.status_code) == (200, 401)
    for answer in (preflight, listed, refused):
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
