"""The four functions over HTTP, as supabase's clients and curl call them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from support.days_room import INTENT
from support.running_service import running_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

FUNCTIONS = "/functions/v1/orchestrator"
ADA = {"X-User-ID": "ada", "Authorization": "Bearer YOUR_JWT"}
UNREAL = "01a1ff7a-9ac0-715b-9087-9c6ddca97411"


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a service in dev mode, without limits on its requests."""
    generous = {"limits.burst": 10_000}
    async with (
        running_service(tmp_path, generous) as service,
        httpx2.AsyncClient(base_url=service.url, timeout=30, trust_env=False) as client,
    ):
        yield client


async def test_one_learners_way(http: httpx2.AsyncClient) -> None:
    """With our own agents, with and without the prefix, by GET and POST; JSON throughout."""
    intent = await http.post(f"{FUNCTIONS}/intent.sync", headers=ADA, json=INTENT)
    assert (intent.status_code, intent.headers["content-type"]) == (200, "application/json")
    ran = await http.post("/orchestrator/day.run", headers=ADA, json={"week": 1, "day": 3})
    planned = ran.json()
    assert ran.status_code == 200
    assert planned.keys() == {
        "session_id",
        "plan_md",
        "plan_json_summary",
        "time_boxes",
        "degraded_mode",
        "cache_hits",
        "cache_misses",
        "signal_quality",
    }
    assert planned["plan_json_summary"].keys() == {"title", "description", "steps"}
    assert sum(box["minutes"] for box in planned["time_boxes"]) <= 60
    assert (planned["degraded_mode"], planned["cache_hits"], planned["cache_misses"]) == (False, 0, 4)
    again = (await http.post(f"{FUNCTIONS}/day.run", headers=ADA, json={"week": 1, "day": 3})).json()
    assert again == planned | {"cache_hits": 4, "cache_misses": 0}
    done = {"session_id": planned["session_id"], "completion_time_min": 45, "confidence": 7, "more": 1}
    completed = await http.post(f"{FUNCTIONS}/day.done", headers=ADA, json=done)
    assert completed.json()["next_day_hint"].startswith("Good time investment! For day 4, focus on")
    shown = [
        await http.request(method, f"{prefix}/orchestrator/status", headers=ADA)
        for prefix in ("", "/functions/v1")
        for method in ("GET", "POST")
    ]
    assert [answer.status_code for answer in shown] == [200] * 4
    assert all(answer.json() == shown[0].json() for answer in shown)
    assert shown[0].json()["latest_session"]["id"] == planned["session_id"]


async def test_a_day_run_without_a_body_is_the_first_day(http: httpx2.AsyncClient) -> None:
    """Week and day are 1 unless told."""
    await http.post(f"{FUNCTIONS}/intent.sync", headers=ADA, json=INTENT)
    for body in (b"", b"{}"):
        headers = ADA | ({"Content-Type": "application/json"} if body else {})
        answer = await http.post(f"{FUNCTIONS}/day.run", headers=headers, content=body)
        assert answer.status_code == 200
    latest = (await http.get(f"{FUNCTIONS}/status", headers=ADA)).json()["latest_session"]
    assert (latest["week"], latest["day"]) == (1, 1)


WRONG: list[tuple[str, Any, int, str]] = [
    ("intent.sync", INTENT | {"time_per_day_min": 19}, 400, "invalid_input"),
    ("intent.sync", INTENT | {"user_tz": "Mars/Olympus"}, 400, "invalid_input"),
    ("intent.sync", [], 400, "invalid_input"),
    ("day.run", {}, 409, "NO_ACTIVE_INTENT"),
    ("day.run", {"week": 0}, 400, "invalid_input"),
    ("day.run", {"day": 6}, 400, "invalid_input"),
    ("day.run", {"week": 2**70}, 400, "invalid_input"),
    ("day.run", {"force_refresh": "yes"}, 400, "invalid_input"),
    ("day.done", {"session_id": UNREAL, "completion_time_min": 45}, 404, "SESSION_NOT_FOUND"),
    ("day.done", {"session_id": UNREAL}, 400, "invalid_input"),
    ("day.gone", {}, 404, "not_found"),
]


async def test_what_goes_wrong_is_told(http: httpx2.AsyncClient) -> None:
    """Status, code and a sentence where supabase's clients look for it."""
    for function, body, status, code in WRONG:
        answer = await http.post(f"{FUNCTIONS}/{function}", headers=ADA, json=body)
        told = answer.json()
        assert (answer.status_code, told["code"]) == (status, code), (function, body)
        assert told["error"] == told["detail"]


async def test_nobody_in_particular_is_let_in(http: httpx2.AsyncClient) -> None:
    """Days belong to a person: without any identity it is 401, in dev mode too."""
    for function in ("intent.sync", "day.run", "day.done", "status"):
        answer = await http.post(f"{FUNCTIONS}/{function}", json={})
        assert answer.status_code == 401, function
    assert (await http.get(f"{FUNCTIONS}/status")).status_code == 401


async def test_people_see_their_own(http: httpx2.AsyncClient) -> None:
    """A session of another is none."""
    await http.post(f"{FUNCTIONS}/intent.sync", headers=ADA, json=INTENT)
    planned = (await http.post(f"{FUNCTIONS}/day.run", headers=ADA, json={})).json()
    eve = {"X-User-ID": "eve"}
    done = {"session_id": planned["session_id"], "completion_time_min": 45}
    assert (await http.post(f"{FUNCTIONS}/day.done", headers=eve, json=done)).status_code == 404
    assert (await http.get(f"{FUNCTIONS}/status", headers=eve)).json()["latest_session"] is None


async def test_ten_days_an_hour(http: httpx2.AsyncClient) -> None:
    """The eleventh is told when to come again; others have ten of their own."""
    await http.post(f"{FUNCTIONS}/intent.sync", headers=ADA, json=INTENT)
    statuses = [
        (await http.post(f"{FUNCTIONS}/day.run", headers=ADA, json={"day": 1})).status_code for _ in range(10)
    ]
    refused = await http.post(f"{FUNCTIONS}/day.run", headers=ADA, json={"day": 1})
    assert statuses == [200] * 10
    assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (429, True)
    await http.post(f"{FUNCTIONS}/intent.sync", headers={"X-User-ID": "bob"}, json=INTENT)
    assert (await http.post(f"{FUNCTIONS}/day.run", headers={"X-User-ID": "bob"}, json={})).status_code == 200


async def test_the_description_has_the_documents_paths(http: httpx2.AsyncClient) -> None:
    """Once each, with the prefix."""
    described = (await http.get("/openapi.json")).json()["paths"]
    ours = {path: set(methods) for path, methods in described.items() if "orchestrator" in path}
    assert ours == {
        f"{FUNCTIONS}/intent.sync": {"post"},
        f"{FUNCTIONS}/day.run": {"post"},
        f"{FUNCTIONS}/day.done": {"post"},
        f"{FUNCTIONS}/status": {"get", "post"},
    }
