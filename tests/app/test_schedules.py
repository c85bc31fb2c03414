"""The routes of schedules: who may use them, and what they answer."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx2
import pytest

from orchestrator import Context, workflow
from orchestrator.app.wiring import built
from orchestrator.core.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from orchestrator.app.wiring import Service

ROUTES = ("pause", "resume", "run-now")


@workflow
async def approved(ctx: Context) -> str:
    """A run that stays open until it is told."""
    return await ctx.receive("approve", str)


@asynccontextmanager
async def serving(data_dir: Path) -> AsyncIterator[tuple[Service, httpx2.AsyncClient]]:
    """A service with a schedule `leap`, and a client that does not know the token."""
    with built(load_settings(None, {"data_dir": data_dir})) as service:
        service.engine.add(workflows=[approved])
        async with (
            service.app.router.lifespan_context(service.app),
            httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app=service.app), base_url="http://127.0.0.1"
            ) as client,
        ):
            await service.engine.schedule(approved, id="leap", cron="0 9 29 2 *", zone="Europe/Berlin")
            yield service, client


@pytest.mark.parametrize("route", ROUTES)
async def test_schedules_are_changed_by_who_knows_the_token_alone(tmp_path: Path, route: str) -> None:
    """No token: 401. A wrong one: 403. The right one and no such schedule: 404. Nothing has changed."""
    async with serving(tmp_path) as (service, client):
        before = await service.engine.schedules()
        right = {"Authorization": f"Bearer {service.claim.token}"}
        wrong = {"Authorization": "Bearer wrong"}
        for headers, schedule_id, status in (({}, "leap", 401), (wrong, "leap", 403), (right, "none", 404)):
            answer = await client.post(f"/api/v1/schedules/{schedule_id}/{route}", headers=headers)
            assert answer.status_code == status
        assert await service.engine.schedules() == before


async def test_a_schedule_is_paused_resumed_and_started(tmp_path: Path) -> None:
    """Each answer says where it stands then; a second run beside an open one is a conflict."""
    async with serving(tmp_path) as (service, client):
        client.headers["Authorization"] = f"Bearer {service.claim.token}"
        paused = (await client.post("/api/v1/schedules/leap/pause")).json()
        assert paused == {"id": "leap", "status": "paused", "next_at": None}
        resumed = (await client.post("/api/v1/schedules/leap/resume")).json()
        assert (resumed["id"], resumed["status"]) == ("leap", "active")
        assert resumed["next_at"].endswith("-02-29T08:00:00Z")
        begun = (await client.post("/api/v1/schedules/leap/run-now")).json()
        assert begun["run"].startswith("leap@")
        again = await client.post("/api/v1/schedules/leap/run-now")
        assert (again.status_code, again.json()["code"]) == (409, "schedule_busy")
        run = await service.engine.get(begun["run"])
        await run.signal("approve", "yes")
        assert await run.result() == "yes"


async def test_a_schedule_without_its_workflow_says_so(tmp_path: Path) -> None:
    """A service that was deployed without it answers 422 with the reason."""
    async with serving(tmp_path):
        pass
    with built(load_settings(None, {"data_dir": tmp_path})) as service:
        async with (
            service.app.router.lifespan_context(service.app),
            httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app=service.app), base_url="http://127.0.0.1"
            ) as client,
        ):
            client.headers["Authorization"] = f"Bearer {service.claim.token}"
            for route in ("resume", "run-now"):
                answer = await client.post(f"/api/v1/schedules/leap/{route}")
                assert (answer.status_code, answer.json()["code"]) == (422, "not_registered")
                assert "no workflow 'approved'" in answer.json()["detail"]
