"""Sign-in behind a real socket: what clients and proxies might mangle on the way, on purpose or not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx2
import pytest

from support.running_service import running_service
from support.tokens import OTHER_SECRET, SECRET, claims, signed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SESSIONS = "/api/sessions"


def token(secret: str = SECRET, **others: object) -> str:
    """The value of a header with a token."""
    return f"Bearer {signed(claims(**{'exp': time.time() + 3_600, **others}), secret)}"


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """Calls a service with sign-in over the network."""
    async with (
        running_service(tmp_path, {"auth.jwt_secret": SECRET}) as service,
        httpx2.AsyncClient(base_url=service.url) as client,
    ):
        yield client


Sent = list[tuple[str, str]]


def attempts() -> list[tuple[Sent, int]]:
    """What is sent, and the status that it gets. Some clients leave out the word Bearer."""
    return [
        ([("Authorization", token())], 200),
        ([("AUTHORIZATION", token().replace("Bearer", "BEARER"))], 200),
        ([("Authorization", token()), ("Host", "other-machines-call-it.so")], 200),
        ([], 401),
        ([("Authorization", token()), ("Authorization", token())], 400),
        ([("Authorization", token()), ("authorization", token(sub="bob"))], 400),
        ([("Authorization", f"{token()}, {token()}")], 401),
        ([("Authorization", token().removeprefix("Bearer "))], 200),
        ([("Authorization", f"Basic {token().removeprefix('Bearer ')}")], 401),
        ([("Authorization", token(OTHER_SECRET))], 401),
        ([("Authorization", token(exp=time.time() - 60))], 401),
        ([("Authorization", f"Bearer {'a' * 1_000_000}")], 401),
        ([("Authorization", token()), ("X-User-ID", "bob")], 403),
        ([("Authorization", token()), ("X-User-ID", "ada"), ("X-User-ID", "bob")], 400),
        ([("Authorization", token()), ("X-User-ID", "a" * 300)], 400),
        ([("X-User-ID", "ada")], 401),
        ([("X-API-Key", "k" * 1_000_000)], 401),
        ([("Authorization", token()), ("X-API-Key", "k")], 400),
        ([("Cookie", f"access_token={token()}")], 401),
    ]


async def test_nobody_gets_in_by_the_way_it_is_sent(http: httpx2.AsyncClient) -> None:
    """A refusal is a problem document that says why, with the way to sign in where that is missing."""
    for headers, status in attempts():
        answer = await http.get(SESSIONS, headers=headers)
        shown = [(name, value[:80]) for name, value in headers]
        assert answer.status_code == status, (shown, answer.text)
        assert status == 200 or answer.json()["error"], shown
        assert ("www-authenticate" in answer.headers) == (status == 401), shown


async def test_a_wrong_token_is_refused_on_open_routes_too(http: httpx2.AsyncClient) -> None:
    """A client learns that its token has ended wherever it asks first."""
    for path in ("/health", "/docs", "/openapi.json", "/nothing"):
        answer = await http.get(path, headers={"Authorization": token(exp=time.time() - 60)})
        assert (answer.status_code, answer.json()["code"]) == (401, "token_expired")
    assert (await http.get("/health")).status_code == 200
    assert (await http.get(SESSIONS, params={"token": token()})).status_code == 401
