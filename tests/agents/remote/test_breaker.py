"""An agent that keeps failing is left alone, and tried again by one call at a time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from orchestrator.agents.remote import AgentError, AgentErrorCode, AgentRequest, Allowance
from orchestrator.core.rates import Rate
from support.scripted_agent import (
    ScriptedAgent,
    ScriptedBuckets,
    answer,
    broken,
    finished,
    held,
    never,
    ok,
    settled,
    status,
)

if TYPE_CHECKING:
    from orchestrator.agents.remote import AgentClient
    from support.scripted_agent import Answering

REQUEST = AgentRequest("clo", "/signals")
CIRCUIT = "orchestrator_agent_circuit_open"


async def one_attempt(agent: ScriptedAgent, client: AgentClient) -> AgentError:
    """A call that has time for one attempt, and fails."""
    with pytest.raises(AgentError) as caught:
        await finished(client.call(REQUEST, start_by=agent.clock.time() + 0.5), agent.clock)
    return caught.value


async def opened(agent: ScriptedAgent, client: AgentClient, failing: Answering | None = None) -> None:
    """Five attempts in a row that fail."""
    agent.respond = failing or status(500)
    for _ in range(5):
        await one_attempt(agent, client)
    agent.asked.clear()


@pytest.mark.parametrize("failing", [status(500), broken(), never()], ids=["500", "not there", "silent"])
async def test_five_failures_in_a_row_open_it(
    agent: ScriptedAgent, client: AgentClient, failing: Answering
) -> None:
    """From then on calls fail at once, and say when one may be tried."""
    await opened(agent, client, failing)
    error = await one_attempt(agent, client)
    assert agent.asked == []
    assert (error.code, error.retry_after) == (AgentErrorCode.AGENT_ERROR, 30)
    assert agent.counted(CIRCUIT, agent="clo") == 1


async def test_one_call_alone_never_opens_it(agent: ScriptedAgent, client: AgentClient) -> None:
    """It has four attempts."""
    agent.respond = status(500)
    with pytest.raises(AgentError):
        await finished(client.call(REQUEST), agent.clock)
    agent.respond = ok(1)
    assert (await client.call(REQUEST)).data == 1


@pytest.mark.parametrize(
    "other", [ok(1), status(404), status(429, retry_after="60"), answer(b"no JSON")], ids=range(4)
)
async def test_any_answer_shows_that_the_agent_is_there(
    agent: ScriptedAgent, client: AgentClient, other: Answering
) -> None:
    """Also a refusal: failures count in a row."""
    agent.respond = status(500)
    for _ in range(4):
        await one_attempt(agent, client)
    agent.script = [other]
    with suppress(AgentError):
        await client.call(REQUEST, start_by=agent.clock.time() + 0.5)
    await one_attempt(agent, client)
    assert agent.counted(CIRCUIT, agent="clo") == 0


async def test_a_call_that_is_being_tried_ends_as_it_opens(agent: ScriptedAgent, client: AgentClient) -> None:
    """There is nothing to wait for."""
    agent.respond = status(500)
    with pytest.raises(AgentError):
        await finished(client.call(REQUEST), agent.clock)
    began = agent.clock.time()
    with pytest.raises(AgentError, match="left alone"):
        await finished(client.call(REQUEST), agent.clock)
    assert agent.clock.time() == began + 1
    assert len(agent.asked) == 5


async def test_other_agents_are_not_concerned(agent: ScriptedAgent, client: AgentClient) -> None:
    """Each has a breaker of its own."""
    await opened(agent, client)
    agent.respond = ok(1)
    assert (await client.call(AgentRequest("ta", "/signals"))).data == 1


async def test_after_thirty_seconds_one_call_probes(agent: ScriptedAgent, client: AgentClient) -> None:
    """Others fail at once meanwhile; an answer lets everybody in again."""
    await opened(agent, client)
    await agent.clock.advance(seconds=30)
    gate = asyncio.Event()
    agent.respond = held(gate, ok("back"))
    probe = asyncio.ensure_future(client.call(REQUEST))
    await settled()
    with pytest.raises(AgentError, match="left alone"):
        await client.call(REQUEST)
    assert len(agent.asked) == 1
    gate.set()
    assert (await probe).data == "back"
    assert (await client.call(REQUEST)).data == "back"
    assert agent.counted(CIRCUIT, agent="clo") == 0


async def test_a_probe_that_fails_opens_it_again(agent: ScriptedAgent, client: AgentClient) -> None:
    """For another thirty seconds from then on."""
    await opened(agent, client)
    await agent.clock.advance(seconds=31)
    await one_attempt(agent, client)
    await agent.clock.advance(seconds=29)
    await one_attempt(agent, client)
    assert len(agent.asked) == 1
    await agent.clock.advance(seconds=1)
    agent.respond = ok("back")
    assert (await client.call(REQUEST)).data == "back"


async def test_a_probe_that_is_given_up_lets_another_probe(agent: ScriptedAgent, client: AgentClient) -> None:
    """A call that was cancelled has told nothing."""
    await opened(agent, client)
    await agent.clock.advance(seconds=30)
    agent.respond = never()
    probe = asyncio.ensure_future(client.call(REQUEST))
    await settled()
    probe.cancel()
    await settled()
    agent.respond = ok("back")
    assert (await client.call(REQUEST)).data == "back"


@pytest.mark.parametrize("straggler", [status(500), ok(1)], ids=["failure", "answer"])
async def test_what_began_before_it_opened_tells_nothing(
    agent: ScriptedAgent, client: AgentClient, straggler: Answering
) -> None:
    """Neither an old answer closes it, nor does an old failure end a probe."""
    gate = asyncio.Event()
    agent.script = [held(gate, straggler)]
    old = asyncio.ensure_future(client.call(REQUEST, start_by=agent.clock.time() + 0.5))
    await settled()
    await opened(agent, client)
    await agent.clock.advance(seconds=10)
    gate.set()
    await asyncio.gather(old, return_exceptions=True)
    error = await one_attempt(agent, client)
    assert (error.retry_after, agent.asked) == (20, [])


async def test_an_agent_that_is_left_alone_costs_nothing_of_its_allowance(agent: ScriptedAgent) -> None:
    """Nor is a token waited for."""
    buckets = ScriptedBuckets([])
    client = agent.client(Allowance(buckets, Rate(60, 60, 1)))
    await opened(agent, client)
    buckets.names.clear()
    await one_attempt(agent, client)
    assert buckets.names == []
    await client.aclose()


async def test_opening_and_closing_are_logged(agent: ScriptedAgent, client: AgentClient) -> None:
    """Once each, with the agent's name."""
    with capture_logs() as lines:
        await opened(agent, client)
        await one_attempt(agent, client)
        await agent.clock.advance(seconds=30)
        agent.respond = ok(1)
        await client.call(REQUEST)
    told = [(line["event"], line["agent"]) for line in lines if line["event"] != "agent call failed"]
    assert told == [("agent left alone", "clo"), ("agent answers again", "clo")]
    assert len(lines) == 5 + len(told)  # not one more for who was not let through
    name = "orchestrator_agent_calls_total"
    assert agent.counted(name, agent="clo", outcome="left_alone") == 1
