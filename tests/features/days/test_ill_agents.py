"""Agents that are ill in different ways at once: every learner gets a plan, and is told what is missing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from orchestrator.features.days.day import AGENTS
from support.days_room import INTENT
from support.fake_agents import DOWN, FLAPPING, SLOW, fake_agents
from support.running_service import PATIENCE_S, running_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.fake_agents import FakeAgents

FUNCTIONS = "/functions/v1/orchestrator"
LEARNERS = 10


@pytest.fixture
def agents() -> Iterator[FakeAgents]:
    """One is down, one slow, one flapping; clo and the instructor are well."""
    with fake_agents(ta=DOWN, alex=SLOW, socratic=FLAPPING) as agents:
        yield agents


async def test_one_down_one_slow_one_flapping_fail_nobody(tmp_path: Path, agents: FakeAgents) -> None:
    """Many learners at once: all are answered with a plan that fits, by clo at least, and repeats as well."""
    settings = {
        "days.edge_base_url": agents.address,
        "auth.edge_service_jwt": "service-token-of-agents-elsewhere",
        "days.deadline_s": 2.0,
        "server.shutdown_timeout_s": 0.1,  # alex says nothing for a minute
    }
    async with (
        running_service(tmp_path, settings) as service,
        httpx2.AsyncClient(base_url=service.url, timeout=PATIENCE_S, trust_env=False) as http,
    ):
        days = await asyncio.gather(*[learn(http, f"learner-{number}") for number in range(LEARNERS)])
    for first, again, status in days:
        for planned in (first, again):
            missing = {each["agent"] for each in planned["degraded_agents"]}
            assert planned["degraded_mode"]
            assert {"ta", "alex"} <= missing <= {"ta", "alex", "socratic"}
            assert planned["plan_json_summary"]["title"] == INTENT["topic"]
            assert planned["signal_quality"].keys() == set(AGENTS)
            assert planned["signal_quality"]["clo"] == {"available": True, "fresh": True}
            assert planned["signal_quality"]["ta"] == {"available": False, "fresh": False}
            assert planned["signal_quality"]["alex"] == {"available": False, "fresh": False}
        assert again["session_id"] == first["session_id"] == status["latest_session"]["id"]
        assert again["cache_hits"] >= 1
    assert any(first["signal_quality"]["socratic"]["available"] for first, _, _ in days)


async def learn(http: httpx2.AsyncClient, who: str) -> list[dict[str, Any]]:
    """The plan of a day, the same once more, and where the learner stands then."""

    async def asked(function: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await http.post(f"{FUNCTIONS}/{function}", json=body, headers={"X-User-ID": who})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    await asked("intent.sync", INTENT)
    first = await asked("day.run", {"week": 1, "day": 3})
    return [first, await asked("day.run", {"week": 1, "day": 3}), await asked("status", {})]
