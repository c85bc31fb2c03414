"""The client on real sockets: what only bytes can do to it."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx2
import pytest
from pydantic import SecretStr

from orchestrator.agents.remote import AgentClient, AgentError, AgentErrorCode, AgentReply, AgentRequest
from orchestrator.agents.remote.answers import MOST_ANSWER_BYTES
from orchestrator.agents.remote.network import Network, way_to
from orchestrator.core.clock import SystemClock
from orchestrator.core.telemetry import Metrics
from support.certificates import Authority
from support.raw_agent import RawAgent, head, sending
from support.scripted_agent import TOKEN, settled
from support.services import LOOPBACK, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.core.clock import Clock
    from orchestrator.testing.clock import ManualClock

REQUEST = AgentRequest("clo", "/signals")
OK = b'{"ok": true, "data": "here"}'


async def asked(address: str, clock: Clock | None = None) -> AgentReply | AgentError:
    """What comes of one attempt."""
    clock = clock or SystemClock()
    client = AgentClient(address, SecretStr(TOKEN), clock=clock, metrics=Metrics())
    try:
        return await client.call(REQUEST, start_by=clock.time() + 0.9)
    except AgentError as error:
        return error
    finally:
        await client.aclose()


async def test_an_answer_comes_over_a_socket() -> None:
    """With its ETag, and the request as any HTTP server reads it."""
    agent = sending(head("200 OK", f"Content-Length: {len(OK)}", 'ETag: W/"1"'), OK)
    async with agent.listening() as address:
        assert await asked(address) == AgentReply("here", 'W/"1"')
    (request,) = agent.asked
    assert request.startswith(b"GET /signals HTTP/1.1\r\n")
    assert f"Authorization: Bearer {TOKEN}".lower().encode() in request.lower()


async def test_connections_are_used_again(clock: ManualClock) -> None:
    """After an answer as after a 304, which is what most calls get."""
    answers = [head("200 OK", f"Content-Length: {len(OK)}", 'ETag: "1"') + OK, head("304 Not Modified")]

    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(answers[0 if len(agent.asked) == 1 else 1])

    agent = RawAgent(send, keep=True)
    async with agent.listening() as address:
        client = AgentClient(address, SecretStr(TOKEN), clock=clock, metrics=Metrics())
        replies = [await client.call(REQUEST, etag='"1"') for _ in range(3)]
        await client.aclose()
    assert [reply.not_modified for reply in replies] == [False, True, True]
    assert agent.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        head("200 OK") + OK,
        head("200 OK", "Transfer-Encoding: chunked") + f"{len(OK):x}\r\n".encode() + OK + b"\r\n0\r\n\r\n",
        head("100 Continue") + head("200 OK", f"Content-Length: {len(OK)}") + OK,
    ],
    ids=["up to the end", "in chunks", "after a first word"],
)
async def test_an_answer_may_come_in_any_way_that_http_knows(answer: bytes) -> None:
    """What counts is its body."""
    async with sending(answer).listening() as address:
        assert await asked(address) == AgentReply("here")


async def test_a_compressed_answer_is_not_unpacked() -> None:
    """None was asked for, and a small one may unfold to a thousand times its size."""
    packed = gzip.compress(OK)
    answer = head("200 OK", "Content-Encoding: gzip", f"Content-Length: {len(packed)}") + packed
    async with sending(answer).listening() as address:
        error = await asked(address)
    assert isinstance(error, AgentError)
    assert "it is compressed, though no compression was asked for" in error.message


async def test_cookies_are_not_kept(clock: ManualClock) -> None:
    """What an agent sets in one person's call must not come along in another's."""

    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(head("200 OK", "Set-Cookie: session=ada; Path=/", f"Content-Length: {len(OK)}") + OK)

    agent = RawAgent(send, keep=True)
    async with agent.listening() as address:
        client = AgentClient(address, SecretStr(TOKEN), clock=clock, metrics=Metrics())
        for _ in range(2):
            await client.call(REQUEST)
        await client.aclose()
    assert [b"cookie" in request.lower() for request in agent.asked] == [False, False]


async def test_a_connection_that_was_closed_is_not_used_again(clock: ManualClock) -> None:
    """Where the agent says nothing of it beforehand, too: no attempt is lost to that."""
    agent = sending(head("200 OK", f"Content-Length: {len(OK)}") + OK)
    async with agent.listening() as address:
        client = AgentClient(address, SecretStr(TOKEN), clock=clock, metrics=Metrics())
        for _ in range(2):
            assert await client.call(replace(REQUEST, method="POST")) == AgentReply("here")
            await settled()
        await client.aclose()
    assert agent.connections == 2


async def test_what_came_unasked_is_nobodys_answer(clock: ManualClock) -> None:
    """An agent that answers twice would else give the next person what was said to the one before."""
    answer = head("200 OK", f"Content-Length: {len(OK)}") + OK
    writers = list[asyncio.StreamWriter]()

    async def send(writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(answer)

    agent = RawAgent(send, keep=True)
    async with agent.listening() as address:
        client = AgentClient(address, SecretStr(TOKEN), clock=clock, metrics=Metrics())
        await client.call(REQUEST)
        writers[0].write(answer.replace(b"here", b"evil"))
        await settled()
        assert await client.call(REQUEST) == AgentReply("here")
        await client.aclose()
    assert agent.connections == 2


async def test_a_connection_whose_answer_was_given_up_is_closed(clock: ManualClock) -> None:
    """What is left of that answer would be taken for the next one's."""
    given_up = asyncio.Event()

    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(head("200 OK", f"Content-Length: {len(OK)}") + OK[:5])
        if len(agent.asked) == 1:
            await given_up.wait()
        writer.write(OK[5:])

    agent = RawAgent(send, keep=True)
    async with agent.listening() as address:
        client = AgentClient(address, SecretStr(TOKEN), clock=clock, metrics=Metrics())
        call = asyncio.ensure_future(client.call(REQUEST, start_by=clock.time() + 0.9))
        await agent.arrived.wait()
        await settled()
        await clock.advance(seconds=15)
        with pytest.raises(AgentError, match="did not answer in time"):
            await call
        given_up.set()
        assert await client.call(REQUEST) == AgentReply("here")
        await agent.left.wait()
        await client.aclose()
    assert agent.connections == 2


async def test_an_agent_behind_tls_is_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its certificate is of an authority that is trusted, as by SSL_CERT_FILE, and no other."""
    authority, stranger = (Authority(tmp_path / name) for name in ("authority.pem", "stranger.pem"))
    terms = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    terms.load_cert_chain(*authority.sign(LOOPBACK, tmp_path))
    agent = sending(head("200 OK", f"Content-Length: {len(OK)}") + OK)
    async with agent.listening(terms) as address:
        monkeypatch.setenv("SSL_CERT_FILE", str(stranger.ca_file))
        error = await asked(address)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
        reply = await asked(address)
    assert isinstance(error, AgentError)
    assert (reply, len(agent.asked)) == (AgentReply("here"), 1)


async def test_agents_elsewhere_are_asked_by_the_environments_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which gets the whole address, as proxies do."""
    proxy = sending(head("200 OK", f"Content-Length: {len(OK)}") + OK)
    async with proxy.listening() as address:
        use_proxy(monkeypatch, address)
        assert await asked("http://agents.example.org") == AgentReply("here")
    assert proxy.asked[0].startswith(b"GET http://agents.example.org/signals HTTP/1.1\r\n")


async def test_the_environments_proxy_is_left_alone_where_it_should_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """NO_PROXY names agents that it is not for, and none stands between this machine and itself."""
    agent = sending(head("200 OK", f"Content-Length: {len(OK)}") + OK)
    async with agent.listening() as address:
        use_proxy(monkeypatch, f"http://{LOOPBACK}:{free_port()}", spared="agents.example.org")
        assert await asked(address) == AgentReply("here")
    spared = way_to(httpx2.URL("http://agents.example.org"), by_proxy=True)
    assert isinstance(spared, Network)


def use_proxy(monkeypatch: pytest.MonkeyPatch, address: str, *, spared: str = "") -> None:
    """Set the environment's proxy, which stands before all hosts but those ``spared``."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("http_proxy", address)
    monkeypatch.setenv("no_proxy", spared)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        head("200 OK", "Content-Length: 100") + OK,
        head("200 OK", "Transfer-Encoding: chunked") + b"5\r\n{",
        head("200 OK", *(f"X-{n}: {'x' * 1_000}" for n in range(200))),
    ],
    ids=["nothing", "no HTTP", "cut off", "a chunk cut off", "a head without end"],
)
async def test_a_connection_that_breaks_off_is_a_failure(answer: bytes) -> None:
    """Whatever came of it is thrown away, and what was asked is not asked again at once."""
    agent = sending(answer)
    async with agent.listening() as address:
        error = await asked(address)
    assert len(agent.asked) == 1
    assert isinstance(error, AgentError)
    assert error.code is AgentErrorCode.AGENT_ERROR
    assert error.message == "The connection to the agent clo failed or broke off (EDGE_BASE_URL)."


async def test_nobody_listening_is_a_failure() -> None:
    """And the message says where to look."""
    error = await asked(f"http://127.0.0.1:{free_port()}")
    assert isinstance(error, AgentError)
    assert "EDGE_BASE_URL" in error.message


async def test_the_token_does_not_follow_a_redirect() -> None:
    """Whoever can make an agent redirect could have it else."""
    elsewhere = sending(head("200 OK", f"Content-Length: {len(OK)}"), OK)
    async with elsewhere.listening() as other:
        agent = sending(head("307 Temporary Redirect", f"Location: {other}/signals", "Content-Length: 0"))
        async with agent.listening() as address:
            error = await asked(address)
    assert isinstance(error, AgentError)
    assert "redirects are not followed" in error.message
    assert elsewhere.asked == []


async def test_a_body_without_end_is_left() -> None:
    """After the largest that is read, the connection is closed."""
    sent = 0
    stopped = asyncio.Event()

    async def flood(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(head("200 OK", "Transfer-Encoding: chunked"))
        try:
            while True:
                writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                sent += 0x10000
                await writer.drain()
        finally:
            stopped.set()

    async with RawAgent(flood).listening() as address:
        error = await asked(address)
        await stopped.wait()
    assert isinstance(error, AgentError)
    assert error.code is AgentErrorCode.BAD_SCHEMA
    assert "larger than 1,000,000 bytes" in error.message
    assert sent < 20 * MOST_ANSWER_BYTES  # what the sockets between hold, not all that there is


@pytest.mark.parametrize("begun", [b"", head("200 OK", f"Content-Length: {len(OK)}") + OK[:5]])
async def test_a_body_that_trickles_is_not_waited_for(begun: bytes, clock: ManualClock) -> None:
    """Fifteen seconds are for the whole answer, not for each piece of it."""
    closed = asyncio.Event()

    async def stall(writer: asyncio.StreamWriter) -> None:
        writer.write(begun)
        await writer.drain()
        await closed.wait()

    agent = RawAgent(stall)
    async with agent.listening() as address:
        call = asyncio.ensure_future(asked(address, clock))
        await agent.arrived.wait()
        await clock.advance(seconds=14.9)
        assert not call.done()
        await clock.advance(seconds=0.1)
        error = await call
        closed.set()
    assert isinstance(error, AgentError)
    assert error.code is AgentErrorCode.TIMEOUT
