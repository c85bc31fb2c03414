"""What the wiring counts limits in, and which parts of the service API keys may open."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import httpx2
import pytest

from orchestrator.app.wiring import built, code_of, key_scopes
from orchestrator.core.settings import Settings, load_settings
from orchestrator.web.auth.access import access_of, routes_of

if TYPE_CHECKING:
    from pathlib import Path

ADA = {"X-User-ID": f"ada-{uuid.uuid4()}"}  # of this run alone, since Redis remembers


@pytest.mark.redis
async def test_services_with_one_redis_limit_a_user_together(tmp_path: Path, redis_url: str) -> None:
    """Of a burst of four, each of two services gives half; a third one without Redis counts for itself."""

    async def statuses(folder: str, redis: str | None, times: int) -> list[int]:
        values = {
            "data_dir": tmp_path / folder,
            "redis.url": redis,
            "limits.requests_per_minute": 1,
            "limits.burst": 4,
        }
        with built(load_settings(None, values)) as service:
            transport = httpx2.ASGITransport(service.app)
            async with (
                service.app.router.lifespan_context(service.app),
                httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http,
            ):
                answers = [await http.get("/api/sessions", headers=ADA) for _ in range(times)]
        return [answer.status_code for answer in answers]

    assert await statuses("one", redis_url, 2) == [200, 200]
    assert await statuses("two", redis_url, 3) == [200, 200, 429]
    assert await statuses("alone", None, 2) == [200, 200]


async def test_a_redis_that_is_away_refuses_nobody(tmp_path: Path, free_port: int) -> None:
    """The service starts and answers; its health says that it counts alone."""
    values = {"data_dir": tmp_path, "redis.url": f"redis://127.0.0.1:{free_port}", "limits.burst": 2}
    with built(load_settings(None, values)) as service:
        transport = httpx2.ASGITransport(service.app)
        async with (
            service.app.router.lifespan_context(service.app),
            httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http,
        ):
            answers = [await http.get("/api/sessions", headers=ADA) for _ in range(3)]
            health = (await http.get("/health")).json()
            ready = await http.get("/ready")
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert health["components"]["limits"]["status"] == "degraded"
    assert ready.status_code == 200


def test_keys_may_be_made_for_what_users_may_open(tmp_path: Path) -> None:
    """Each scope is the tag of some route for users, or a key of it would open nothing."""
    settings = Settings(data_dir=tmp_path)
    with built(settings) as service:
        of_users = [route for route in routes_of(service.app) if access_of(route) in {"learner", "user"}]
        tags = {str(tag) for route in of_users for tag in getattr(route, "tags", ())}
    assert {"lessons", "days", "events"} <= key_scopes(code_of(settings)) <= tags
