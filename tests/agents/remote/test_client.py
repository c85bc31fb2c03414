"""One call of an agent: what is sent, when it is tried again, and what bounds it."""

from __future__ import annotations

import json

import pytest
from opentelemetry import trace
from pydantic import BaseModel

from orchestrator.agents.remote import AgentClient, AgentError, AgentReply, AgentRequest
from support.scripted_agent import (
    ADDRESS,
    TOKEN,
    ScriptedAgent,
    answer,
    finished,
    ok,
    status,
)

REQUEST = AgentRequest("clo", "/functions/v1/agent-proxy/clo/signals", query={"user_id": "ada", "week": 1})


class Practice(BaseModel):
    """A shape to ask for."""

    minutes: int


async def failure(call: object) -> AgentError:
    """The error that a call ends with."""
    with pytest.raises(AgentError) as caught:
        await call  # type: ignore[misc]
    return caught.value


async def test_a_call_is_sent_as_the_contract_has_it(agent: ScriptedAgent, client: AgentClient) -> None:
    """Token, idempotency key and JSON in the headers, the question in the query, below one address."""
    agent.script = [ok({"level": 2}, etag='"v1"')]
    reply = await client.call(REQUEST, idempotency_key="run-1/clo")
    assert reply == AgentReply({"level": 2}, '"v1"')
    (asked,) = agent.asked
    assert (asked.method, str(asked.url)) == (
        "GET",
        f"{ADDRESS}/functions/v1/agent-proxy/clo/signals?user_id=ada&week=1",
    )
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert asked.headers["x-idempotency-key"] == "run-1/clo"
    assert asked.headers["content-type"] == "application/json"
    assert "if-none-match" not in asked.headers


async def test_a_body_is_sent_as_json(agent: ScriptedAgent, client: AgentClient) -> None:
    """As the instructor takes it."""
    request = AgentRequest("instructor", "/daily", method="POST", body={"TOPIC": "Größe", "WEEK": 1})
    await client.call(request)
    (asked,) = agent.asked
    assert asked.method == "POST"
    assert json.loads(asked.content) == {"TOPIC": "Größe", "WEEK": 1}


async def test_the_trace_goes_on_at_the_agent(agent: ScriptedAgent, client: AgentClient) -> None:
    """By the W3C's traceparent."""
    span = trace.NonRecordingSpan(
        trace.SpanContext(trace_id=0xA11CE, span_id=0xB0B, is_remote=False, trace_flags=trace.TraceFlags(1))
    )
    with trace.use_span(span):
        await client.call(REQUEST)
    assert agent.asked[0].headers["traceparent"] == f"00-{0xA11CE:032x}-{0xB0B:016x}-01"


async def test_calls_without_a_key_get_one_of_their_own(agent: ScriptedAgent, client: AgentClient) -> None:
    """Two calls are two; the attempts of one are one."""
    agent.script = [status(500), ok(1)]
    await finished(client.call(REQUEST), agent.clock)
    await client.call(REQUEST)
    keys = [asked.headers["x-idempotency-key"] for asked in agent.asked]
    assert keys[0] == keys[1] != keys[2]


async def test_what_did_not_change_is_not_sent_again(agent: ScriptedAgent, client: AgentClient) -> None:
    """304 to the ETag that was sent along; one in the answer is the newer name of the same."""
    agent.script = [status(304), status(304, etag='"v2"')]
    assert await client.call(REQUEST, etag='"v1"') == AgentReply(None, '"v1"', not_modified=True)
    assert await client.call(REQUEST, etag='"v1"') == AgentReply(None, '"v2"', not_modified=True)
    assert [asked.headers["if-none-match"] for asked in agent.asked] == ['"v1"', '"v1"']


@pytest.mark.parametrize("etag", ["", "ä", "a\tb", "x" * 513])
async def test_an_etag_that_cannot_be_sent_back_is_none(
    agent: ScriptedAgent, client: AgentClient, etag: str
) -> None:
    """Too long, or with characters that a header cannot have."""
    agent.script = [answer({"ok": True}, headers={"ETag": etag})]
    assert (await client.call(REQUEST)).etag is None
