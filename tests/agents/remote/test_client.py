"""One call of an agent: what is sent, when it is tried again, and what bounds it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace
from pydantic import BaseModel, SecretStr
from structlog.testing import capture_logs

from orchestrator.agents.remote import AgentClient, AgentError, AgentErrorCode, AgentReply, AgentRequest
from orchestrator.agents.remote.line import MOST_AT_ONCE
from orchestrator.core.errors import SettingsError
from orchestrator.core.telemetry import Metrics
from orchestrator.testing.clock import ManualClock
from support.scripted_agent import (
    ADDRESS,
    TOKEN,
    ScriptedAgent,
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
    from collections.abc import Awaitable

REQUEST = AgentRequest("clo", "/functions/v1/agent-proxy/clo/signals", query={"user_id": "ada", "week": 1})


class Practice(BaseModel):
    """A shape to ask for."""

    minutes: int


async def failure(call: Awaitable[AgentReply]) -> AgentError:
    """The error that a call ends with."""
    with pytest.raises(AgentError) as caught:
        await call
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


@pytest.mark.parametrize(("user", "named"), [("ada", "ada"), ("", None), ("größe", None), (" ada ", None)])
async def test_the_user_whom_a_call_is_for_is_named(
    agent: ScriptedAgent, client: AgentClient, user: str, named: str | None
) -> None:
    """So that what an agent keeps of it is that user's; a name that no header carries as it is stays out."""
    await client.call(replace(REQUEST, user=user))
    assert agent.asked[0].headers.get("x-user-id") == named


async def test_a_body_is_sent_as_json(agent: ScriptedAgent, client: AgentClient) -> None:
    """As the instructor takes it."""
    request = AgentRequest("instructor", "/daily", method="POST", body={"TOPIC": "Größe", "WEEK": 1})
    await client.call(request)
    (asked,) = agent.asked
    assert asked.method == "POST"
    assert json.loads(asked.content) == {"TOPIC": "Größe", "WEEK": 1}


@pytest.mark.parametrize("key", ["day-größe", "two\nlines", "k" * 256])
async def test_a_key_that_no_header_can_have_is_sent_as_its_digest(
    agent: ScriptedAgent, client: AgentClient, key: str
) -> None:
    """Ids of runs may hold any text; the same key is the same digest."""
    for _ in range(2):
        await client.call(REQUEST, idempotency_key=key)
    sent = [asked.headers["x-idempotency-key"] for asked in agent.asked]
    assert sent == [hashlib.sha256(key.encode()).hexdigest()] * 2


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


async def test_cookies_are_not_kept(agent: ScriptedAgent, client: AgentClient) -> None:
    """What an agent sets in one person's call must not come along in another's."""
    agent.respond = answer({"ok": True}, headers={"Set-Cookie": "session=ada; Path=/"})
    await client.call(REQUEST)
    await client.call(REQUEST)
    assert "cookie" not in agent.asked[1].headers


@pytest.mark.parametrize("path", ["evil.example.org/x", "//evil.example.org/x", "/\\evil.example.org", ""])
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    """The token would go there."""
    with pytest.raises(ValueError, match="no path below"):
        AgentRequest("clo", path)


@pytest.mark.parametrize(
    "address",
    ["", "agents.example.org", "ftp://agents.example.org", "https://", "https://a:b@c", "https://c?d"],
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    """With the setting's name, and what it takes."""
    with pytest.raises(SettingsError, match="EDGE_BASE_URL is where the agents are"):
        AgentClient(address, SecretStr(TOKEN), clock=ManualClock(), metrics=Metrics())


@pytest.mark.parametrize(
    ("address", "warned"),
    [("http://agents.internal:8000", 1), ("https://agents.internal", 0), ("http://[::1]:8000", 0)],
)
async def test_a_token_that_goes_unencrypted_is_warned_of(address: str, warned: int) -> None:
    """Once, where it leaves this machine."""
    with capture_logs() as lines:
        client = AgentClient(address, SecretStr(TOKEN), clock=ManualClock(), metrics=Metrics())
        await client.aclose()
    assert len([line for line in lines if "unencrypted" in line["event"]]) == warned


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "tökén"])
def test_a_token_that_no_header_can_have_is_refused(token: str) -> None:
    """Without showing it."""
    with pytest.raises(SettingsError, match="EDGE_SERVICE_JWT must be") as caught:
        AgentClient(ADDRESS, SecretStr(token), clock=ManualClock(), metrics=Metrics())
    assert not token or token not in str(caught.value)


BAD_ANSWERS = {
    "nothing": (b"", "not JSON"),
    "no JSON": (b"<html>secret maintenance</html>", "not JSON"),
    "cut off": (b'{"ok": true, "data": [1, 2', "not JSON"),
    "not UTF-8": (b'{"ok": true, "data": "\xff"}', "not JSON"),
    "half a character": (b'{"ok": true, "data": "\\ud83d"}', "not JSON"),
    "not a number": (b'{"ok": true, "data": NaN}', "not JSON"),
    "NUL": (b'{"ok": true, "data": "\\u0000"}', "the character NUL"),
    "NUL behind a backslash": (b'{"ok": true, "data": "\\\\\\u0000"}', "the character NUL"),
    "too deep": (b'{"ok": true, "data": ' + b"[" * 5_000 + b"]" * 5_000 + b"}", "not JSON"),
    "too long a number": (b'{"ok": true, "data": ' + b"1" * 5_000 + b"}", "not JSON"),
    "another shape": (b'{"data": {"minutes": 5}}', "(ok: missing)"),
    "a list": (b"[true]", "(the whole: model_type)"),
    "ok as a word": (b'{"ok": "true"}', "(ok: bool_type)"),
    "an error that is no text": (b'{"ok": false, "error": {"secret": 1}}', "(error: string_type)"),
    "too large": (b'{"ok": true, "data": "' + b"x" * 1_000_000 + b'"}', "larger than 1,000,000 bytes"),
}


@pytest.mark.parametrize(("body", "reason"), BAD_ANSWERS.values(), ids=BAD_ANSWERS)
async def test_an_answer_that_is_not_the_contract_is_of_no_use(
    agent: ScriptedAgent, client: AgentClient, body: bytes, reason: str
) -> None:
    """It is not asked for again, and none of its words are in the error."""
    agent.respond = answer(body)
    error = await failure(client.call(REQUEST))
    assert error.code is AgentErrorCode.BAD_SCHEMA
    assert error.message.startswith("The answer of the agent clo is of no use: ")
    assert reason in error.message
    assert "secret" not in str(error)
    assert len(agent.asked) == 1


async def test_the_fields_at_fault_are_named(agent: ScriptedAgent, client: AgentClient) -> None:
    """Those that the shape knows, so that who writes the agent can mend it."""
    agent.respond = ok({"minutes": "secret words", "secret name": 1})
    error = await failure(client.call(AgentRequest("clo", "/signals", shape=Practice)))
    assert error.code is AgentErrorCode.BAD_SCHEMA
    assert error.message.endswith("its data is no Practice (minutes: int_parsing).")


async def test_text_that_only_looks_like_nul_is_let_through(
    agent: ScriptedAgent, client: AgentClient
) -> None:
    """A lesson about JSON may well spell it out."""
    agent.script = [answer(b'{"ok": true, "data": "write \\\\u0000"}')]
    assert (await client.call(REQUEST)).data == "write \\u0000"


async def test_members_that_a_later_contract_adds_are_let_through(
    agent: ScriptedAgent, client: AgentClient
) -> None:
    """Agents may know more than we do."""
    agent.script = [answer({"ok": True, "data": 1, "error": None, "code": None, "took_ms": 5})]
    assert (await client.call(REQUEST)).data == 1


async def test_a_compressed_answer_is_not_unpacked(agent: ScriptedAgent, client: AgentClient) -> None:
    """None was asked for, and a small one may unfold to gigabytes."""
    agent.script = [answer(b"\x1f\x8b", headers={"Content-Encoding": "gzip"})]
    error = await failure(client.call(REQUEST))
    assert agent.asked[0].headers["accept-encoding"] == "identity"
    assert error.code is AgentErrorCode.BAD_SCHEMA


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("RATE_LIMIT", AgentErrorCode.RATE_LIMIT),
        ("TIMEOUT", AgentErrorCode.TIMEOUT),
        ("OUT_OF_IDEAS", AgentErrorCode.AGENT_ERROR),
        (None, AgentErrorCode.AGENT_ERROR),
    ],
)
async def test_an_agents_own_no_is_final(
    agent: ScriptedAgent, client: AgentClient, said: str | None, code: AgentErrorCode
) -> None:
    """``ok: false`` is an answer. Its code is taken over where it is one of ours; its words are not."""
    agent.respond = answer({"ok": False, "error": "no idea for ada@example.org", "code": said})
    error = await failure(client.call(REQUEST))
    assert error.code is code
    assert "ada" not in str(error)
    assert len(agent.asked) == 1


@pytest.mark.parametrize(("number", "attempts"), [(422, 1), (504, 4)])
async def test_a_refusals_code_is_taken_over_too(
    agent: ScriptedAgent, client: AgentClient, number: int, attempts: int
) -> None:
    """Whether it is asked again goes by its status."""
    agent.respond = answer({"ok": False, "error": "ada", "code": "TIMEOUT"}, status=number)
    error = await failure(finished(client.call(REQUEST), agent.clock))
    assert error.code is AgentErrorCode.TIMEOUT
    assert "ada" not in str(error)
    assert len(agent.asked) == attempts


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (304, "redirects are not followed"),
        (302, "redirects are not followed"),
        (400, "does not accept the request"),
        (401, "EDGE_SERVICE_JWT"),
        (403, "EDGE_SERVICE_JWT"),
        (404, "EDGE_BASE_URL"),
        (408, "does not accept the request"),
    ],
)
async def test_a_refusal_is_not_asked_again(
    agent: ScriptedAgent, client: AgentClient, number: int, words: str
) -> None:
    """Trying again would not help; the message says what does."""
    agent.respond = status(number)
    error = await failure(client.call(REQUEST))
    assert error.code is AgentErrorCode.AGENT_ERROR
    assert words in error.message
    assert len(agent.asked) == 1


async def test_only_so_many_attempts_go_to_one_agent_at_once(
    agent: ScriptedAgent, client: AgentClient
) -> None:
    """The next goes when one has ended; other agents are not concerned."""
    gate = asyncio.Event()
    agent.respond = held(gate, ok(1))
    calls = [asyncio.ensure_future(client.call(REQUEST)) for _ in range(MOST_AT_ONCE + 2)]
    await settled()
    assert len(agent.asked) == MOST_AT_ONCE
    other = asyncio.ensure_future(client.call(AgentRequest("ta", "/signals")))
    await settled()
    assert len(agent.asked) == MOST_AT_ONCE + 1
    gate.set()
    await asyncio.gather(*calls, other)
    assert len(agent.asked) == MOST_AT_ONCE + 3


async def test_who_finds_no_place_in_time_is_told(agent: ScriptedAgent, client: AgentClient) -> None:
    """And the places are as many as before, afterwards."""
    gate = asyncio.Event()
    agent.respond = held(gate, ok(1))
    calls = [asyncio.ensure_future(client.call(REQUEST)) for _ in range(MOST_AT_ONCE)]
    await settled()
    late = client.call(REQUEST, deadline=agent.clock.time() + 1)
    error = await failure(finished(late, agent.clock))
    assert error.code is AgentErrorCode.TIMEOUT
    gate.set()
    await asyncio.gather(*calls)
    assert len(agent.asked) == MOST_AT_ONCE
    calls = [asyncio.ensure_future(client.call(REQUEST)) for _ in range(MOST_AT_ONCE)]
    await asyncio.gather(*calls)


async def test_calls_and_timeouts_are_counted(agent: ScriptedAgent, client: AgentClient) -> None:
    """By agent and outcome, with how long they took; attempts that were too slow by themselves."""
    agent.script = [ok(1), status(304), never(), ok(1), answer(b"no"), status(429, retry_after="3600")]
    await client.call(REQUEST)
    await client.call(REQUEST, etag='"v1"')
    await finished(client.call(REQUEST), agent.clock)
    await failure(client.call(REQUEST))
    await failure(client.call(REQUEST))
    calls = "orchestrator_agent_calls_total"
    outcomes = ("ok", "not_modified", "bad_schema", "rate_limit")
    counted = [agent.counted(calls, agent="clo", outcome=outcome) for outcome in outcomes]
    assert counted == [2, 1, 1, 1]
    assert agent.counted("orchestrator_agent_call_duration_seconds_sum", agent="clo") == 16  # 15 and 1
    assert agent.counted("orchestrator_agent_timeouts_total", agent="clo") == 1


async def test_neither_token_nor_question_nor_answer_is_logged(
    agent: ScriptedAgent, client: AgentClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever happens to a call."""
    agent.script = [answer(b'{"ok": false, "error": "planted words"}'), broken(), answer(b"planted words")]
    request = AgentRequest("clo", "/signals", query={"user_id": "planted-user"})
    with caplog.at_level("DEBUG", "orchestrator"), capture_logs() as lines:
        await failure(client.call(request))
        await failure(finished(client.call(request), agent.clock))
    told = repr(lines) + caplog.text
    assert "agent call failed" in told
    assert "planted" not in told
    assert TOKEN not in told
