"""The agents of tests and benchmarks keep the contract, as the real client sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest
from pydantic import BaseModel, SecretStr

from orchestrator.agents.remote import AgentClient, AgentError, AgentErrorCode, AgentReply, AgentRequest
from orchestrator.core.telemetry import Metrics
from orchestrator.features.days.agents.signals import (
    AlexSignal,
    CloSignal,
    DailyPlan,
    SocraticSignal,
    TaSignal,
)
from support.fake_agents import DOWN, FLAPPING, SLOW, FakeAgents, fake_agents
from support.impatient_clock import ImpatientClock
from support.scripted_agent import TOKEN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator

    from orchestrator.testing.clock import ManualClock

BELOW = "/functions/v1/agent-proxy"
SHAPES: dict[str, type[BaseModel]] = {
    "clo": CloSignal,
    "alex": AlexSignal,
    "ta": TaSignal,
    "socratic": SocraticSignal,
}


@pytest.fixture
def agents() -> Iterator[FakeAgents]:
    """All agents, well."""
    with fake_agents() as running:
        yield running


@pytest.fixture
async def client(agents: FakeAgents, clock: ManualClock) -> AsyncIterator[AgentClient]:
    """The real client, pointed at them."""
    talking = AgentClient(agents.address, SecretStr(TOKEN), clock=clock, metrics=Metrics())
    yield talking
    await talking.aclose()


def asking(agent: str) -> AgentRequest:
    """The request for an agent's signals."""
    query: dict[str, str | int] = {"user_id": "ada", "topic": "Tides", "week": 1, "day": 3}
    return AgentRequest(agent, f"{BELOW}/{agent}/signals", query=query, shape=SHAPES[agent])


async def ended(call: Awaitable[AgentReply]) -> AgentReply | AgentError:
    """How a call ends."""
    try:
        return await call
    except AgentError as error:
        return error


async def test_well_agents_answer_in_the_shapes_of_ours(client: AgentClient) -> None:
    """The four signals, and the instructor's plan."""
    for agent in SHAPES:
        assert (await client.call(asking(agent))).data
    daily = AgentRequest(
        "instructor",
        f"{BELOW}/instructor/daily",
        method="POST",
        body={"TOPIC": "Tides", "TIME_PER_DAY_MIN": 60},
        shape=DailyPlan,
    )
    assert (await client.call(daily)).data


async def test_what_was_said_before_is_confirmed(agents: FakeAgents, client: AgentClient) -> None:
    """By its ETag."""
    first = await client.call(asking("clo"), idempotency_key="k")
    again = await client.call(asking("clo"), etag=first.etag, idempotency_key="k")
    assert again.not_modified
    assert (agents.asked["clo"], agents.unchanged["clo"], agents.keys["clo"]) == (2, 1, ["k", "k"])


async def test_one_that_is_down_fails_and_one_that_flaps_every_other_time(
    agents: FakeAgents, client: AgentClient, clock: ManualClock
) -> None:
    """The others go on."""
    agents.manners |= {"ta": DOWN, "clo": FLAPPING}
    calls = [
        client.call(asking(agent), start_by=clock.time() + 0.5) for agent in ("ta", "clo", "clo", "alex")
    ]
    failed = [isinstance(end, AgentError) for end in [await ended(call) for call in calls]]
    assert failed == [True, False, True, False]


async def test_one_that_is_slow_is_given_up(agents: FakeAgents) -> None:
    """After all attempts, on a clock that jumps to the next moment that somebody waits for."""
    agents.manners["ta"] = SLOW
    client = AgentClient(agents.address, SecretStr(TOKEN), clock=ImpatientClock(), metrics=Metrics())
    with pytest.raises(AgentError) as caught:
        await client.call(asking("ta"))
    assert caught.value.code is AgentErrorCode.TIMEOUT
    await client.aclose()


async def test_who_does_not_keep_the_contract_is_refused(agents: FakeAgents) -> None:
    """Without a token or a key."""
    async with httpx2.AsyncClient(base_url=agents.address, trust_env=False) as bare:
        answer = await bare.get(f"{BELOW}/clo/signals?topic=Tides")
        counts = await bare.get("/asked")
        nobody = await bare.get(f"{BELOW}/nobody")
    assert (answer.status_code, nobody.status_code) == (401, 404)
    assert counts.json() == {"asked": {"clo": 1}, "unchanged": {}}
