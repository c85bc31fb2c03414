"""To a learner a day is the same on both engines: its plan, its repeats, its cache, its morning."""

from __future__ import annotations

import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from sqlalchemy import update

from orchestrator.core.clock import utc
from orchestrator.features.days.schedule import schedule_id
from orchestrator.features.days.tables import IntentRow
from orchestrator.features.days.workflow import prepare_days
from support.days_room import INTENT
from support.fake_agents import fake_agents
from support.running_service import running_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from support.fake_agents import FakeAgents
    from support.running_service import RunningService

FUNCTIONS = "/functions/v1/orchestrator"
ADA = {"X-User-ID": "ada"}


@pytest.fixture
def agents() -> Iterator[FakeAgents]:
    """Agents elsewhere."""
    with fake_agents() as agents:
        yield agents


@pytest.fixture(params=["embedded", pytest.param("temporal", marks=pytest.mark.temporal)])
def settings(request: pytest.FixtureRequest, agents: FakeAgents) -> dict[str, object]:
    """A service on each engine, whose agents are elsewhere."""
    ours: dict[str, object] = {
        "days.edge_base_url": agents.address,
        "auth.edge_service_jwt": "service-token-of-agents-elsewhere",
        "server.shutdown_timeout_s": 0.5,
    }
    if request.param == "embedded":
        return ours
    address = request.getfixturevalue("temporal_server").address
    return ours | {
        "engine": "temporal",
        "temporal.host_port": address,
        "temporal.task_queue": str(uuid.uuid4()),
    }


@asynccontextmanager
async def life(
    folder: Path, settings: dict[str, object]
) -> AsyncIterator[tuple[RunningService, httpx2.AsyncClient]]:
    """One life of the service, and a client of it."""
    async with (
        running_service(folder, settings) as service,
        httpx2.AsyncClient(base_url=service.url, timeout=30, trust_env=False, headers=ADA) as http,
    ):
        yield service, http


async def ran(http: httpx2.AsyncClient, **body: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
    """The answer of day.run."""
    answer = await http.post(f"{FUNCTIONS}/day.run", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_day_is_planned_repeated_and_prepared(
    tmp_path: Path, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over two lives of the service: four misses, four hits, two of each, and the next day in the morning."""
    monkeypatch.chdir(tmp_path)
    async with life(tmp_path, settings) as (service, http):
        await http.post(f"{FUNCTIONS}/intent.sync", json=INTENT)
        first = await ran(http, week=1, day=3)
        assert (first["cache_misses"], first["degraded_mode"]) == (4, False)
        assert first["plan_json_summary"]["title"] == "Machine Learning"
        again = await ran(http, week=1, day=3)
        assert again == first | {"cache_hits": 4, "cache_misses": 0}
    async with life(tmp_path, settings) as (service, http):
        following = await ran(http, week=1, day=4)
        assert (following["cache_hits"], following["cache_misses"]) == (2, 2)
        done = {"session_id": following["session_id"], "completion_time_min": 45}
        assert (await http.post(f"{FUNCTIONS}/day.done", json=done)).json()["ok"]
        assert await kept_schedules(service) == {schedule_id(service.resources.settings)}
        await make_due(service)
        await (await service.resources.engine().start(prepare_days)).result()
        latest = (await http.get(f"{FUNCTIONS}/status")).json()["latest_session"]
        assert (latest["week"], latest["day"], latest["completion"]) == (1, 5, None)


async def kept_schedules(service: RunningService) -> set[str]:
    """The schedules that the engine has."""
    return {schedule.id for schedule in await service.resources.engine().schedules()}


async def make_due(service: RunningService) -> None:
    """Let the next morning be now."""
    now = service.resources.clock.time()
    async with service.resources.database.session("ada") as session:
        await session.change(update(IntentRow).where(IntentRow.active).values(next_run_at=utc(now)))
