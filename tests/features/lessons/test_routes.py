"""The routes of document 001 behind the whole web kit: statuses, shapes, headers."""

from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from orchestrator.app.wiring import built
from orchestrator.core.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.tables import Tables

SESSIONS = "/api/sessions"


@pytest.fixture
async def http(
    tmp_path: Path, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx2.AsyncClient]:
    """Calls a whole service on the embedded defaults but for the tables, in process."""
    monkeypatch.chdir(tmp_path)
    set_here = {"data_dir": str(tmp_path / "data"), "server.enable_metrics": False, "limits.burst": 100}
    settings = load_settings(overrides=set_here | tables.settings)
    with built(settings) as service:
        transport = httpx2.ASGITransport(service.app)
        async with (
            service.app.router.lifespan_context(service.app),
            httpx2.AsyncClient(transport=transport, base_url="http://localhost:8080") as client,
        ):
            yield client


async def created(http: httpx2.AsyncClient, **body: Any) -> str:  # noqa: ANN401  # JSON
    """The path of a new session."""
    answer = await http.post(SESSIONS, json={"topic": "machine learning", **body})
    assert answer.status_code == 201
    assert list(answer.json()) == ["id"]
    return f"{SESSIONS}/{answer.json()['id']}"


def events(answer: httpx2.Response) -> list[dict[str, Any]]:
    """The events of a stream that has ended."""
    return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]


async def test_a_session_from_creation_to_deletion(http: httpx2.AsyncClient) -> None:
    """Each step of the document with its status and shape."""
    path = await created(http)
    idle = (await http.get(path)).json()
    assert set(idle) == {"id", "topic", "status", "created_at", "updated_at", "steps"}
    assert (await http.get(f"{path}/result")).status_code == 400

    stream = await http.post(f"{path}/run")
    assert stream.status_code == 200
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.headers["cache-control"] == "no-cache"
    told = events(stream)
    assert [told[0]["type"], told[-1]["type"]] == ["connected", "final"]
    assert stream.text.count("retry:") == 1
    assert stream.text.count("id: ") == len(told)
    assert "event:" not in stream.text

    result = (await http.get(f"{path}/result")).json()
    assert set(result) == {"lesson", "images", "summary", "duration", "completed_at", "generator", "usage"}
    assert isinstance(result["duration"], int)
    assert result["duration"] > 0
    assert result["completed_at"].endswith("Z")
    shown = (await http.get(path)).json()
    assert shown["status"] == "completed"
    assert shown["result"] == result
    assert "error" not in shown["steps"][0]
    assert shown["updated_at"] == result["completed_at"]
    assert all(step["duration"] > 0 for step in shown["steps"])
    assert (await http.get(SESSIONS)).json()["items"][0]["status"] == "completed"

    assert (await http.post(f"{path}/run")).status_code == 409
    last_id = stream.text.rpartition("\nid: ")[2].partition("\n")[0]
    assert (await http.get(f"{path}/run", headers={"Last-Event-ID": last_id})).status_code == 204

    deleted = await http.delete(path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await http.delete(path)).status_code == 404
    assert (await http.get(SESSIONS)).json() == {"items": [], "total": 0, "limit": 50}


async def test_a_picture_is_a_jpeg_that_can_be_kept(http: httpx2.AsyncClient) -> None:
    """Its address stands in the result; its ETag spares sending it again."""
    path = await created(http)
    await http.get(f"{path}/run")
    address = (await http.get(f"{path}/result")).json()["images"]["image1"]
    picture = await http.get(address)
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.content.startswith(b"\xff\xd8\xff")
    for known in (picture.headers["etag"], f'"other", W/{picture.headers["etag"]}'):
        again = await http.get(address, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
    assert (await http.get(f"{path}/images/image9.jpg")).status_code == 404


async def test_bad_input_is_refused_and_leaves_nothing(
    http: httpx2.AsyncClient, subtests: pytest.Subtests
) -> None:
    """400 with a problem document that says what is wrong, and no session."""
    for body in (
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"\xff",
        b"{}",
        b'{"topic": ""}',
        b'{"topic": "  "}',
        b'{"topic": 5}',
        b'{"topic": "a\\u0000b"}',
        b'{"topic": "\\ud800"}',
        b'{"topic": "a", "more": 1}',
        b'{"topic": "a", "metadata": {"materials": [1]}}',
        json.dumps({"topic": "x" * 501}).encode(),
    ):
        with subtests.test(body=body):
            answer = await http.post(SESSIONS, content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code == 400
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"] == "invalid_input"
            assert (await http.get(SESSIONS)).json()["total"] == 0


async def test_a_huge_body_is_refused(http: httpx2.AsyncClient) -> None:
    """Over the limit of the service: 400 with its own code, and no session."""
    answer = await http.post(SESSIONS, json={"topic": "x" * 11 * 1024 * 1024})
    assert (answer.status_code, answer.json()["code"]) == (400, "payload_too_large")
    assert (await http.get(SESSIONS)).json()["total"] == 0


async def test_an_unknown_session_is_not_found(http: httpx2.AsyncClient, subtests: pytest.Subtests) -> None:
    """404 everywhere, and what was asked for is not repeated."""
    ids = ("019a0000-0000-7000-8000-000000000000", "no-such", "%00", "..%2f..", "x" * 3000, "☃")
    asked = (
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/run"),
        ("POST", "/run"),
        ("GET", "/result"),
        ("GET", "/images/image1.jpg"),
    )
    for session_id, (method, rest) in product(ids, asked):
        with subtests.test(session_id=session_id, method=method, rest=rest):
            answer = await http.request(method, f"{SESSIONS}/{session_id}{rest}")
            assert answer.status_code == 404
            assert "no-such" not in answer.text


async def test_a_wrong_page_is_refused(http: httpx2.AsyncClient, subtests: pytest.Subtests) -> None:
    """Limits are 1 to 200, and a page begins after an id."""
    for query in ("limit=0", "limit=201", "limit=x", "before=x"):
        with subtests.test(query=query):
            assert (await http.get(f"{SESSIONS}?{query}")).status_code == 400


async def test_pages_of_any_origin_may_use_the_documents_routes(http: httpx2.AsyncClient) -> None:
    """The document's open CORS, on its routes."""
    headers = {"Origin": "https://example.org"}
    made = await http.post(SESSIONS, json={"topic": "tides"}, headers=headers)
    address = f"{SESSIONS}/{made.json()['id']}"
    for answer in (
        made,
        await http.post(f"{address}/run", headers=headers),
        await http.get(f"{address}/result", headers=headers),
    ):
        assert answer.is_success
        assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(("method", "path"), [("GET", SESSIONS), ("DELETE", f"{SESSIONS}/x")])
async def test_no_foreign_page_lists_or_removes_sessions(
    http: httpx2.AsyncClient, method: str, path: str
) -> None:
    """What the document does not have is for pages of this machine alone."""
    answer = await http.request(method, path, headers={"Origin": "https://example.org"})
    assert answer.status_code == 403


async def test_nothing_of_a_topic_reaches_the_logs(
    http: httpx2.AsyncClient, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """What people learn about is their own business."""
    path = await created(http, topic="xyzzy-secret", metadata={"materials": ["plugh-secret. It is text."]})
    await http.get(f"{path}/run")
    await http.post(f"{path}/run")
    logged = "".join(capsys.readouterr()) + caplog.text
    assert "session" in logged
    assert "secret" not in logged
