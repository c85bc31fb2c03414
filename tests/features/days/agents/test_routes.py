"""Our agents over HTTP, as the client of agents calls them, and as one that is not let in does."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import JsonValue, SecretStr

from orchestrator.agents.model import BadAnswerError, Usage
from orchestrator.agents.remote import AgentClient, AgentReply, AgentRequest
from orchestrator.core.errors import BudgetExceededError, RateLimitedError, UnavailableError
from orchestrator.core.telemetry import Metrics
from orchestrator.features.days.agents.requests import DailyRequest
from orchestrator.features.days.agents.routes import AGENTS, agents_app, agents_router
from orchestrator.features.days.agents.signals import (
    AlexSignal,
    CloSignal,
    DailyPlan,
    SocraticSignal,
    TaSignal,
)
from orchestrator.features.days.agents.signals import Signal as OwnSignal
from orchestrator.features.days.plan import read_plan
from orchestrator.testing.model import ScriptedModel
from orchestrator.web.auth.caller import NOBODY, OPERATOR, SCOPE_KEY, SERVICE, Caller, Role
from support.learners import MACHINE_LEARNING, done

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp, Receive, Scope, Send

    from features.days.agents.conftest import Agents
    from orchestrator.testing.clock import ManualClock
    from support.learners import Learners

OF_A_TOPIC: dict[str, str | int] = {"user_id": "ada", "topic": "Machine Learning"}
OF_A_DAY = {**OF_A_TOPIC, "week": 1, "day": 2}
SHAPES: dict[str, tuple[type[OwnSignal], dict[str, str | int]]] = {
    "clo": (CloSignal, OF_A_DAY),
    "ta": (TaSignal, OF_A_DAY),
    "alex": (AlexSignal, OF_A_TOPIC),
    "socratic": (SocraticSignal, OF_A_TOPIC),
}
# As facts of the old system have it, its user's JWT included, which we do not read.
DAILY: dict[str, JsonValue] = {
    "USER_ID": "ada",
    "USER_TZ": "America/New_York",
    "TOPIC": "Machine Learning",
    "DEPTH": "informed",
    "END_GOAL": "Build production ML models",
    "TIME_PER_DAY_MIN": 60,
    "WEEK": 1,
    "DAY": 2,
    "CLARIFIER_TOPIC_SPEC": {"meta": {"learning_style": "project-first"}},
    "SIGNALS": {"CLO": None, "ALEX": None, "TA": None, "SOCRATIC": None},
    "SIGNAL_QUALITY": {"clo": {"available": False, "fresh": False}},
    "CACHE_STATS": {"hits": 0, "misses": 0},
    "USER_JWT": "ignored",
}


@asynccontextmanager
async def client_of(app: ASGIApp, clock: ManualClock) -> AsyncIterator[AgentClient]:
    """The client that rooms use, on these agents."""
    client = AgentClient(
        "http://agents.invalid",
        SecretStr("token"),
        clock=clock,
        metrics=Metrics(),
        transport=httpx2.ASGITransport(app),
    )
    yield client
    await client.aclose()


def request_of(name: str) -> AgentRequest:
    """The question to this agent, whose answer must have its shape."""
    shape, query = SHAPES[name]
    return AgentRequest(name, f"{AGENTS}/{name}/signals", query=query, shape=shape)


def instructor(body: dict[str, JsonValue]) -> AgentRequest:
    """The question to the instructor."""
    return AgentRequest(
        "instructor",
        f"{AGENTS}/instructor/daily",
        method="POST",
        body=body,
        shape=DailyPlan,
        timeout_s=30,
    )


@asynccontextmanager
async def http_of(app: ASGIApp) -> AsyncIterator[httpx2.AsyncClient]:
    """Plain HTTP to the same routes."""
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://agents.invalid") as http:
        yield http


@pytest.mark.parametrize("name", SHAPES)
async def test_each_agent_keeps_the_contract(agents: Agents, clock: ManualClock, name: str) -> None:
    """Data of its own shape under an ETag, and 304 to whoever has it."""
    async with client_of(agents_app(agents()), clock) as client:
        first = await client.call(request_of(name), idempotency_key="run-1")
        again = await client.call(request_of(name), idempotency_key="run-2", etag=first.etag)
    assert first.etag is not None
    assert again == AgentReply(None, first.etag, not_modified=True)


async def test_a_day_that_is_done_ends_a_304(agents: Agents, learners: Learners, clock: ManualClock) -> None:
    """The questions are others now."""
    async with client_of(agents_app(agents()), clock) as client:
        first = await client.call(request_of("socratic"))
        learners.days["ada", "Machine Learning"].append(done(1, 7, 1, "Confused about the chain rule"))
        again = await client.call(request_of("socratic"), etag=first.etag)
    assert not again.not_modified
    assert "chain rule" in str(again.data)


async def test_the_instructor_plans_from_what_the_agents_said(agents: Agents, clock: ManualClock) -> None:
    """The signals as they came, the body in capitals, and a plan that the room reads."""
    async with client_of(agents_app(agents()), clock) as client:
        signals: dict[str, JsonValue] = {
            name.upper(): (await client.call(request_of(name))).data for name in SHAPES
        }
        reply = await client.call(instructor({**DAILY, "SIGNALS": signals}), idempotency_key="run-1")
    plan = read_plan(reply.data, 60)
    assert plan.title == "Machine Learning: core vocabulary"
    assert plan.steps[0].startswith("Recall “Subject 0” (week 1, day 1)")
    assert "“backpropagation”" in plan.markdown
    assert sum(plan.minutes) == 60
    assert DailyPlan.model_validate(reply.data).ignored_signals == []


def test_the_rooms_own_request_is_the_contracts() -> None:
    """Its names in capitals, and nothing of it lost on the way."""
    request = DailyRequest.of("ada", MACHINE_LEARNING, 1, 2, DailyRequest.model_validate(DAILY).signals)
    body = request.model_dump(mode="json", by_alias=True)
    assert set(body) == set(DAILY) - {"USER_JWT"}
    assert set(body["SIGNALS"]) == {"CLO", "ALEX", "TA", "SOCRATIC"}
    assert DailyRequest.model_validate(body) == request


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"week": 0}, "week"),
        ({"day": 6}, "day"),
        ({"week": "first"}, "week"),
        ({"topic": " "}, "topic"),
        ({"topic": "x" * 501}, "topic"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": "a\x00b"}, "user_id"),
        ({"topic": "a\nb"}, "topic"),
    ],
)
async def test_wrong_questions_are_told_what_is_right(
    agents: Agents, query: dict[str, str | int], field: str
) -> None:
    """In the contract's own envelope."""
    async with http_of(agents_app(agents())) as http:
        response = await http.get(f"{AGENTS}/clo/signals", params={**OF_A_DAY, **query})
    body = response.json()
    assert (response.status_code, body["ok"], body["code"]) == (400, False, "BAD_SCHEMA")
    assert body["error"].startswith(f"The request is not valid. {field}: ")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"TIME_PER_DAY_MIN": 19},
        {"TIME_PER_DAY_MIN": 181},
        {"DEPTH": "deep"},
        {"SIGNALS": {"CLO": "text"}},
        {"DAY": 0},
        {"DAY": "1"},
        {"CACHE_STATS": {"hits": True}},
    ],
)
async def test_the_instructors_request_is_checked(agents: Agents, body: dict[str, JsonValue]) -> None:
    """By its ranges and shapes."""
    wrong = {**DAILY, **body} if body else {}
    async with http_of(agents_app(agents())) as http:
        response = await http.post(f"{AGENTS}/instructor/daily", json=wrong)
        garbled = await http.post(
            f"{AGENTS}/instructor/daily", content=b"{", headers={"Content-Type": "application/json"}
        )
    assert (response.status_code, response.json()["code"]) == (400, "BAD_SCHEMA")
    assert (garbled.status_code, garbled.json()["code"]) == (400, "BAD_SCHEMA")


async def test_whole_numbers_are_those_of_json(agents: Agents) -> None:
    """60.0 is 60 to JSON Schema, and so to us."""
    async with http_of(agents_app(agents())) as http:
        body = {**DAILY, "TIME_PER_DAY_MIN": 60.0, "WEEK": 1.0}
        same = await http.post(f"{AGENTS}/instructor/daily", json=DAILY)
        assert (await http.post(f"{AGENTS}/instructor/daily", json=body)).content == same.content


@pytest.mark.parametrize(
    ("trouble", "status", "code", "retry_after"),
    [
        (RateLimitedError("Slower.", retry_after=6.2), 429, "RATE_LIMIT", "7"),
        (UnavailableError("Away.", retry_after=3), 503, "AGENT_ERROR", "3"),
        (UnavailableError("Slow.", code="model_slow"), 504, "TIMEOUT", None),
        (BadAnswerError("No JSON.", usage=Usage()), 502, "BAD_SCHEMA", None),
        (BudgetExceededError("Spent."), 422, "AGENT_ERROR", None),
        (ZeroDivisionError("a secret"), 500, "AGENT_ERROR", None),
    ],
    ids=["slow down", "away", "slow", "misshapen", "budget", "unforeseen"],
)
async def test_research_that_fails_says_how(
    agents: Agents, trouble: Exception, status: int, code: str, retry_after: str | None
) -> None:
    """By the contract's codes, and by statuses that tell whether a retry may help."""
    async with http_of(agents_app(agents(ScriptedModel(trouble)))) as http:
        response = await http.get(f"{AGENTS}/alex/signals", params=OF_A_TOPIC)
    body = response.json()
    assert (response.status_code, body["ok"], body["code"]) == (status, False, code)
    assert response.headers.get("retry-after") == retry_after
    assert "secret" not in response.text


@pytest.mark.parametrize(
    ("caller", "status"),
    [
        (NOBODY, 401),
        (Caller(Role.LOCAL, "local", "local"), 401),
        (Caller.of_user("ada"), 403),
        (SERVICE, 200),
        (Caller(Role.SERVICE, "ada", "service"), 200),
        (Caller(Role.SERVICE, "bob", "service"), 403),
        (OPERATOR, 200),
        (Caller.of_user("root", Role.ADMIN), 200),
    ],
)
async def test_only_services_ask(agents: Agents, caller: Caller, status: int) -> None:
    """Not users, not even about themselves; and a service that names a user asks about that one."""
    app = FastAPI()
    app.include_router(agents_router(agents()))

    async def identified(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, SCOPE_KEY: caller}, receive, send)

    async with http_of(identified) as http:
        got = await http.get(f"{AGENTS}/clo/signals", params=OF_A_DAY)
        posted = await http.post(f"{AGENTS}/instructor/daily", json=DAILY)
    assert (got.status_code, posted.status_code) == (status, status)
    if status != 200:
        refusal: dict[str, Any] = got.json()
        assert set(refusal) == {"ok", "error", "code"}
        assert refusal["code"] == {401: "unauthorized", 403: "forbidden"}[status]
