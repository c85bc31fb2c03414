"""When a call is tried again, and that nothing goes past its deadline."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agents.remote import AgentError, AgentErrorCode, AgentRequest, Allowance
from orchestrator.core.rates import Rate
from orchestrator.testing.clock import BEGINNING, ManualClock
from support.scripted_agent import (
    Answering,
    ScriptedAgent,
    ScriptedBuckets,
    answer,
    broken,
    finished,
    never,
    ok,
    status,
)

if TYPE_CHECKING:
    from orchestrator.agents.remote import AgentClient, AgentReply

REQUEST = AgentRequest("clo", "/signals")


def http_date(seconds: float) -> str:
    """The moment that many seconds after the clock's beginning, as Retry-After has it."""
    return format_datetime(ManualClock().datetime + timedelta(seconds=seconds), usegmt=True)


async def called(
    agent: ScriptedAgent, client: AgentClient, *, deadline: float = 1_000, start_by: float = 1_000
) -> AgentReply | AgentError:
    """What comes of one call, with its bounds in seconds from now."""
    now = agent.clock.time()
    call = client.call(REQUEST, idempotency_key="run-1", deadline=now + deadline, start_by=now + start_by)
    try:
        return await finished(call, agent.clock)
    except AgentError as error:
        return error


@pytest.mark.parametrize("failing", [status(500), status(503), broken()], ids=["500", "503", "not there"])
async def test_a_failing_agent_is_asked_again_after_1_2_and_4_seconds(
    agent: ScriptedAgent, client: AgentClient, failing: Answering
) -> None:
    """Four attempts in all."""
    agent.respond = failing
    error = await called(agent, client)
    assert isinstance(error, AgentError)
    assert error.code is AgentErrorCode.AGENT_ERROR
    assert agent.times == [0, 1, 3, 7]


async def test_a_silent_agent_gets_15_seconds_each_time(agent: ScriptedAgent, client: AgentClient) -> None:
    """And the same pauses between."""
    agent.respond = never()
    error = await called(agent, client)
    assert isinstance(error, AgentError)
    assert error.code is AgentErrorCode.TIMEOUT
    assert agent.times == [0, 16, 33, 52]
    assert agent.clock.time() == BEGINNING + 67


async def test_the_first_answer_ends_it(agent: ScriptedAgent, client: AgentClient) -> None:
    """However the attempts before it failed."""
    agent.script = [status(502), broken(), never(), ok("at last")]
    reply = await called(agent, client)
    assert not isinstance(reply, AgentError)
    assert reply.data == "at last"
    assert agent.times == [0, 1, 3, 22]


@pytest.mark.parametrize(
    ("said", "pause_s"),
    [
        ("5", 5),
        ("0", 0),
        ("1.5", 1.5),
        (http_date(9), 9),
        (http_date(-9), 0),
        ("Thu Jan  1 00:00:05 2026", 5),
        ("soon", 1),
        ("nan", 1),
    ],
)
async def test_who_asks_to_slow_down_is_asked_again_when_it_says(
    agent: ScriptedAgent, client: AgentClient, said: str, pause_s: float
) -> None:
    """Retry-After in seconds or as a date; what is neither counts as not said."""
    agent.script = [status(429, retry_after=said)]
    reply = await called(agent, client)
    assert not isinstance(reply, AgentError)
    assert agent.times == [0, pause_s]


async def test_without_a_word_slowing_down_is_backing_off(agent: ScriptedAgent, client: AgentClient) -> None:
    """1, 2, 4 seconds, and then it is a rate limit."""
    agent.respond = status(429)
    error = await called(agent, client)
    assert isinstance(error, AgentError)
    assert error.code is AgentErrorCode.RATE_LIMIT
    assert agent.times == [0, 1, 3, 7]


async def test_a_failing_agent_may_ask_for_more_time_not_for_less(
    agent: ScriptedAgent, client: AgentClient
) -> None:
    """503 with Retry-After: the longer of both."""
    agent.script = [status(503, retry_after="6"), status(503, retry_after="0")]
    await called(agent, client)
    assert agent.times == [0, 6, 8]


async def test_nobody_waits_for_a_try_that_comes_too_late(agent: ScriptedAgent, client: AgentClient) -> None:
    """The error comes at once, and says when a later call may help."""
    agent.respond = status(429, retry_after="30")
    error = await called(agent, client, deadline=12)
    assert isinstance(error, AgentError)
    assert (error.code, error.retry_after) == (AgentErrorCode.RATE_LIMIT, 30)
    assert agent.clock.time() == BEGINNING


async def test_the_deadline_cuts_an_attempt_short(agent: ScriptedAgent, client: AgentClient) -> None:
    """Twelve seconds are twelve, though an attempt may take fifteen."""
    agent.respond = never()
    error = await called(agent, client, deadline=12)
    assert isinstance(error, AgentError)
    assert error.code is AgentErrorCode.TIMEOUT
    assert agent.clock.time() == BEGINNING + 12


async def test_an_attempt_may_end_later_than_the_last_may_begin(
    agent: ScriptedAgent, client: AgentClient
) -> None:
    """So a late answer is still of use to somebody."""
    agent.respond = never()
    error = await called(agent, client, start_by=12, deadline=27)
    assert isinstance(error, AgentError)
    assert agent.clock.time() == BEGINNING + 15
    assert agent.times == [0]


async def test_a_call_without_any_time_is_not_made(agent: ScriptedAgent, client: AgentClient) -> None:
    """The agent is not asked for what nobody can use."""
    error = await called(agent, client, deadline=0)
    assert isinstance(error, AgentError)
    assert error.code is AgentErrorCode.TIMEOUT
    assert agent.times == []


async def test_calls_wait_for_the_agents_allowance(agent: ScriptedAgent) -> None:
    """As long as it takes, for every attempt anew."""
    buckets = ScriptedBuckets([2, 0.5])
    client = agent.client(Allowance(buckets, Rate(60, 60, 1)))
    agent.script = [status(500)]
    await called(agent, client)
    assert agent.times == [2.5, 3.5]
    assert buckets.names == ["agent:clo"] * 4
    await client.aclose()


async def test_an_allowance_that_comes_too_late_is_a_rate_limit(agent: ScriptedAgent) -> None:
    """Said at once, with the seconds, and without a call."""
    client = agent.client(Allowance(ScriptedBuckets([13]), Rate(60, 60, 1)))
    error = await called(agent, client, deadline=12)
    assert isinstance(error, AgentError)
    assert (error.code, error.retry_after) == (AgentErrorCode.RATE_LIMIT, 13)
    assert (agent.times, agent.clock.time()) == ([], BEGINNING)
    await client.aclose()


seconds = st.integers(0, 40)
failing = st.one_of(
    st.sampled_from([status(500), status(400), status(429), broken(), never(), answer(b"no"), ok(1)]),
    seconds.map(lambda s: status(429, retry_after=str(s))),
    seconds.map(lambda s: status(429, retry_after=http_date(s))),
    seconds.map(lambda s: status(503, retry_after=str(s))),
)


@given(script=st.lists(failing, max_size=8), deadline=seconds, start_by=seconds, waits=st.lists(seconds))
async def test_nothing_goes_past_its_bounds_whatever_fails(
    script: list[Answering], deadline: int, start_by: int, waits: list[float]
) -> None:
    """No attempt begins after ``start_by`` or goes on after the deadline, and all have one key."""
    agent = ScriptedAgent(ManualClock(), script=script)
    client = agent.client(Allowance(ScriptedBuckets(waits), Rate(60, 60, 1)))
    await called(agent, client, deadline=deadline, start_by=start_by)
    assert agent.clock.time() <= BEGINNING + deadline
    assert all(at < min(start_by, deadline) for at in agent.times)
    assert {asked.headers["x-idempotency-key"] for asked in agent.asked} <= {"run-1"}
    assert len(agent.asked) <= 4
    await client.aclose()
