"""A whole service without EDGE_BASE_URL: its own agents plan the days, by rules and by a model."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2
from structlog.testing import capture_logs

from orchestrator.app.wiring import built
from orchestrator.core.settings import load_settings
from support import model_server
from support.scripted_tutors import ANSWERS, scripted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

FUNCTIONS = "/functions/v1/orchestrator"
AGENTS = "/functions/v1/agent-proxy"
INTENT = {
    "topic": "Machine Learning",
    "depth": "informed",
    "end_goal": "Build production ML models",
    "time_per_day_min": 60,
    "user_tz": "America/New_York",
}
NOTES = "Struggled with backpropagation but got the basic concept"


class Learner:
    """Ada, who uses the functions as the document shows them."""

    def __init__(self, http: httpx2.AsyncClient, operator: str) -> None:
        self.http = http
        self.operator = operator

    async def calls(self, function: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to a call that succeeds."""
        answer = await self.http.post(f"{FUNCTIONS}/{function}", json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def wants(self, **changed: object) -> None:
        """Say what to learn."""
        await self.calls("intent.sync", {**INTENT, **changed})

    async def runs(self, week: int, day: int, *, force: bool = False) -> dict[str, Any]:
        """Have a day planned."""
        return await self.calls("day.run", {"week": week, "day": day, "force_refresh": force})


@asynccontextmanager
async def learning(data_dir: Path, **settings: object) -> AsyncIterator[Learner]:
    """A service in dev mode, with these settings (dots as two underscores), and Ada."""
    named = {name.replace("__", "."): value for name, value in settings.items()}
    with built(load_settings(None, {"data_dir": data_dir, **named})) as service:
        http = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(service.app),
            base_url="http://127.0.0.1",
            headers={"X-User-ID": "ada"},
        )
        async with service.app.router.lifespan_context(service.app), http:
            yield Learner(http, service.claim.token)


def lookups(planned: dict[str, Any]) -> tuple[int, int, bool]:
    """Hits, misses, and whether the plan is degraded."""
    return planned["cache_hits"], planned["cache_misses"], planned["degraded_mode"]


def minutes(planned: dict[str, Any]) -> int:
    """What the steps take together."""
    found = [re.search(r"\((\d+) min\)$", step) for step in planned["plan_json_summary"]["steps"]]
    assert all(found)
    return sum(int(each[1]) for each in found if each)


async def test_days_are_planned_without_a_model_and_remember_what_was_hard(tmp_path: Path) -> None:
    """Nothing is degraded, a repeat has four hits, and the next day goes back to what was noted."""
    async with learning(tmp_path) as ada:
        await ada.wants()
        first = await ada.runs(1, 3)
        assert lookups(first) == (0, 4, False)
        assert first["plan_json_summary"]["title"] == "Machine Learning: a first worked example"
        assert minutes(first) == 60
        assert lookups(await ada.runs(1, 3)) == (4, 0, False)
        done = {"session_id": first["session_id"], "completion_time_min": 45, "confidence": 7, "notes": NOTES}
        await ada.calls("day.done", done)
        following = await ada.runs(1, 4)
        # Research is off and needs no second look; the curriculum and practice of another day are new.
        assert lookups(following) == (1, 3, False)
        assert "you noted trouble with “backpropagation”" in following["plan_md"]
        assert lookups(await ada.runs(1, 4)) == (4, 0, False)


async def test_our_own_agents_are_asked_as_often_as_there_is_need(tmp_path: Path) -> None:
    """How often an agent may be called is for those who are elsewhere."""
    async with learning(tmp_path, limits__agent_calls_per_minute=1, limits__agent_burst=1) as ada:
        await ada.wants()
        for _ in range(2):
            assert lookups(await ada.runs(1, 1, force=True)) == (0, 4, False)


async def test_another_goal_is_not_planned_from_the_cache(tmp_path: Path) -> None:
    """Time, depth and goal of the intent are what the agents plan for, though no query has them."""
    async with learning(tmp_path) as ada:
        await ada.wants()
        await ada.runs(1, 1)
        await ada.wants(time_per_day_min=30)
        shorter = await ada.runs(1, 1)
        assert lookups(shorter) == (3, 1, False)
        assert minutes(shorter) == 30
        await ada.wants(end_goal="Read papers")
        other = await ada.runs(1, 1)
        assert lookups(other)[1] == 4
        assert "your goal “Read papers”" in other["plan_md"]


async def test_a_model_words_the_days(tmp_path: Path) -> None:
    """All five are asked once; a repeat asks nobody, and forcing it asks all again."""
    with model_server.model_server() as provider:
        provider.respond = scripted
        async with learning(tmp_path, model__base_url=provider.base_url, model__name="model-x") as ada:
            await ada.wants()
            planned = await ada.runs(1, 3)
            assert lookups(planned) == (0, 4, False)
            assert sorted(asked.shape or "" for asked in provider.asked) == sorted(ANSWERS)
            assert lookups(await ada.runs(1, 3)) == (4, 0, False)
            assert len(provider.asked) == 5
            assert lookups(await ada.runs(1, 3, force=True)) == (0, 4, False)
            assert len(provider.asked) == 10
    assert planned["plan_json_summary"] == {
        "title": "Neural Network Fundamentals",
        "description": "Deep dive into neural network architecture",
        "steps": ["Review basics (12 min)", "Implement simple NN (24 min)", "Test with data (24 min)"],
    }
    assert "### Research\n\nNetworks learn from their error." in planned["plan_md"]
    assert planned["plan_md"].endswith("Planned by model-x.\n")


async def test_a_budget_that_is_used_up_leaves_the_rules(tmp_path: Path) -> None:
    """A learner's day has a plan all the same; research, which has no rules, is missing and said to be."""
    with model_server.model_server() as provider:
        provider.respond = scripted
        chosen = {"model__base_url": provider.base_url, "days__learner_daily_tokens": 100}
        async with learning(tmp_path, **chosen) as ada:
            await ada.wants()
            planned = await ada.runs(1, 3)
    assert provider.asked == []
    assert planned["degraded_mode"] is True
    assert planned["signal_quality"]["alex"]["available"] is False
    assert planned["plan_json_summary"]["title"] == "Machine Learning: a first worked example"


async def test_research_can_be_turned_off(tmp_path: Path) -> None:
    """The model words the rest, nothing is degraded, and no plan tells of research."""
    with model_server.model_server() as provider:
        provider.respond = scripted
        async with learning(tmp_path, model__base_url=provider.base_url, days__research=False) as ada:
            await ada.wants()
            planned = await ada.runs(1, 3)
    assert "AlexAnswer" not in {asked.shape for asked in provider.asked}
    assert lookups(planned) == (0, 4, False)
    assert "### Research" not in planned["plan_md"]


async def test_a_plan_that_is_asked_for_again_is_the_same(tmp_path: Path) -> None:
    """The model is asked once for one key; the key with another body is refused."""
    body: dict[str, Any] = {
        **{name.upper(): value for name, value in INTENT.items()},
        "USER_ID": "ada",
        "WEEK": 1,
        "DAY": 2,
    }
    with model_server.model_server() as provider:
        provider.respond = scripted
        async with learning(tmp_path, model__base_url=provider.base_url) as ada:
            headers = {"Authorization": f"Bearer {ada.operator}", "X-Idempotency-Key": "run-1"}
            address = f"{AGENTS}/instructor/daily"
            first, again = [await ada.http.post(address, json=body, headers=headers) for _ in range(2)]
            other = await ada.http.post(address, json={**body, "DAY": 3}, headers=headers)
    assert first.json()["data"]["plan_json"]["title"] == "Neural Network Fundamentals"
    assert again.content == first.content
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len(provider.asked) == 1


async def test_the_agents_are_served_to_services_alone(tmp_path: Path) -> None:
    """A learner is refused, the operator's token is taken, and the answer is the contract's."""
    query: dict[str, str | int] = {"user_id": "ada", "topic": "Machine Learning", "week": 1, "day": 1}
    async with learning(tmp_path) as ada:
        await ada.wants()
        for name in ("clo", "ta", "alex", "socratic"):
            address = f"{AGENTS}/{name}/signals"
            refused = await ada.http.get(address, params=query)
            service = {"Authorization": f"Bearer {ada.operator}", "X-User-ID": "ada"}
            served = await ada.http.get(address, params=query, headers=service)
            held = {**service, "If-None-Match": served.headers["etag"]}
            confirmed = await ada.http.get(address, params=query, headers=held)
            assert (refused.status_code, refused.json()["ok"]) == (403, False)
            assert (served.status_code, served.json()["ok"]) == (200, True)
            assert (confirmed.status_code, confirmed.content) == (304, b"")


async def test_no_log_tells_what_a_learner_wrote(tmp_path: Path) -> None:
    """Neither topic, goal and notes, nor what a model made of them, also where the model fails."""
    planted = ("Beekeeping", "Feed my family", "My neighbour Eve laughs at me", "Chatty model")
    with model_server.model_server() as provider, capture_logs() as logs:
        provider.respond = model_server.data({"title": planted[3]})
        async with learning(tmp_path, model__base_url=provider.base_url, days__research=False) as ada:
            await ada.wants(topic=planted[0], end_goal=planted[1])
            planned = await ada.runs(1, 1)
            done = {"session_id": planned["session_id"], "completion_time_min": 9, "notes": planted[2]}
            await ada.calls("day.done", done)
            following = await ada.runs(1, 2)
    told = str(logs)
    assert planted[2] in following["plan_md"]
    assert "rules stand in for the model" in told
    assert [text for text in planted if text in told] == []
