"""Dev mode: pages on this machine everywhere, foreign pages on the open routes alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import httpx2
    from fastapi import FastAPI
    from starlette.types import Message

    from support.sample_room import SampleRoom

FOREIGN = {"Origin": "https://evil.example"}
# Document 001, "CORS Configuration".
DOCUMENTED_CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET, POST, PUT, DELETE, OPTIONS",
    "access-control-allow-headers": "Accept, Authorization, Content-Type, X-CSRF-Token",
    "access-control-expose-headers": "Link",
}


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:9", "127.0.0.1:8080", "127.1.2.3", "[::1]:8080", "LOCALHOST"]
)
async def test_this_machine_is_answered_under_all_its_names(client: httpx2.AsyncClient, host: str) -> None:
    """Any loopback name, any port, since tunnels use others."""
    assert (await client.get("/things", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "10.0.0.1",
        "",
        "[",
        "localhost@evil.example",
        "evil.example@127.0.0.1",
        "127.0.0.1/evil.example",
        "127.0.0.1, evil.example",
        "127.0.0.1:80:80",
        "127.0.0.1#evil.example",
    ],
)
@pytest.mark.parametrize("path", ["/things", "/things/t1", "/health"])
async def test_a_foreign_name_that_resolves_here_is_refused(
    client: httpx2.AsyncClient, host: str, path: str
) -> None:
    """DNS rebinding makes a foreign page same-origin, so the name is checked, on open routes too."""
    answer = await client.get(path, headers={"Host": host})

    assert answer.status_code == 421
    assert answer.json()["code"] == "foreign_host"


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost.evil.example", "file://"]
)
async def test_foreign_pages_are_refused_before_anything_happens(
    client: httpx2.AsyncClient, room: SampleRoom, origin: str
) -> None:
    """Outside the open routes the handler does not even run."""
    answer = await client.get("/waits", headers={"Origin": origin})

    assert (answer.status_code, answer.json()["code"]) == (403, "foreign_origin")
    assert "access-control-allow-origin" not in answer.headers
    assert not room.going_on.is_set()


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1", "http://[::1]:5173"])
async def test_pages_of_this_machine_may_use_every_route(client: httpx2.AsyncClient, origin: str) -> None:
    """A front end under development runs on some loopback port."""
    assert (await client.get("/things", headers={"Origin": origin})).status_code == 200


async def test_pages_of_this_machine_are_told_so(client: httpx2.AsyncClient) -> None:
    """A front end on another loopback port is another origin: without CORS it could read nothing."""
    page = {"Origin": "http://localhost:3000"}
    preflight = await client.options("/things", headers=page | {"Access-Control-Request-Method": "GET"})
    read = await client.get("/things", headers=page)
    missing = await client.get("/nothing", headers=page)

    assert preflight.status_code == 200
    for answer in (preflight, read, missing):
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
        allowed = answer.headers["access-control-allow-headers"].split(", ")
        assert {"authorization", "apikey", "x-client-info", "x-user-id", "idempotency-key"} <= set(allowed)
        assert "PATCH" in answer.headers["access-control-allow-methods"]
        assert "ratelimit" in answer.headers["access-control-expose-headers"]


async def test_what_is_fetched_without_an_origin_is_judged_by_its_site(client: httpx2.AsyncClient) -> None:
    """Pictures and scripts carry no Origin; following a link here is harmless."""
    embedded = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}

    assert (await client.get("/things", headers=embedded)).status_code == 403
    assert (await client.get("/things", headers=followed)).status_code == 200
    assert (await client.get("/health", headers=embedded)).status_code == 200


@pytest.mark.parametrize("name", ["Host", "Origin"])
@pytest.mark.parametrize("path", ["/things", "/things/t1"])
async def test_two_answers_to_who_is_asking_are_none(
    client: httpx2.AsyncClient, name: str, path: str
) -> None:
    """A second Host or Origin is refused, since something in between may have judged by the other."""
    own = "localhost" if name == "Host" else "http://localhost"
    answer = await client.get(path, headers=[("Host", "localhost")] * (name != "Host") + [(name, own)] * 2)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert f"{name} may come once" in answer.json()["detail"]


async def test_open_routes_have_the_documents_cors(client: httpx2.AsyncClient) -> None:
    """Exactly the listed headers, on good answers and on errors, and pictures may be embedded."""
    made = await client.post("/things", json={"name": "a"}, headers=FOREIGN)
    missing = await client.get("/things/t9", headers=FOREIGN)
    health = await client.get("/health", headers=FOREIGN)

    assert [answer.status_code for answer in (made, missing, health)] == [201, 404, 200]
    for answer in (made, missing, health):
        assert {name: answer.headers.get(name) for name in DOCUMENTED_CORS} == DOCUMENTED_CORS
        assert "access-control-allow-credentials" not in answer.headers
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"


async def test_open_cors_ends_at_the_open_methods(client: httpx2.AsyncClient) -> None:
    """POST /things is open, GET /things (which would list what others made) is not."""
    answer = await client.get("/things", headers=FOREIGN)

    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


async def test_preflights_are_answered_for_open_routes_alone(client: httpx2.AsyncClient) -> None:
    """The browser is told what the document lists, or nothing."""
    post, get = (FOREIGN | {"Access-Control-Request-Method": method} for method in ("POST", "GET"))

    opened = await client.options("/things", headers=post)
    closed = await client.options("/things", headers=get)

    assert opened.status_code == 200
    assert opened.content == b""
    assert {name: opened.headers.get(name) for name in DOCUMENTED_CORS} == DOCUMENTED_CORS
    assert closed.status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"host": "evil.example"}, 421), ({"host": "localhost", "origin": "https://evil.example"}, 403)],
)
async def test_foreign_pages_open_no_websocket(app: FastAPI, headers: dict[str, str], status: int) -> None:
    """WebSockets know no same-origin policy: the guard is all there is, and tells why."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await app({"type": "websocket", "path": "/things", "headers": raw, "query_string": b""}, receive, send)

    assert [message["type"] for message in sent] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert sent[0]["status"] == status
    assert json.loads(sent[1]["body"])["error"]
