"""The client on real sockets: what only bytes can do to it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from orchestrator.agents.remote import AgentClient, AgentError, AgentErrorCode, AgentReply, AgentRequest
from orchestrator.agents.remote.answers import MOST_ANSWER_BYTES
from orchestrator.core.clock import SystemClock
from orchestrator.core.telemetry import Metrics
from support.scripted_agent import TOKEN
from support.services import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from orchestrator.core.clock import Clock
    from orchestrator.testing.clock import ManualClock

REQUEST = AgentRequest("clo", "/signals")
OK = b'{"ok": true, "data": "here"}'


class RawAgent:
    """Takes requests, remembers them, and sends the bytes that a test gives it, once for each connection.

    With ``keep`` it answers all requests of a connection.
    """

    def __init__(
        self, send: Callable[[asyncio.StreamWriter], Awaitable[None]], *, keep: bool = False
    ) -> None:
        self.asked: list[bytes] = []
        self.arrived = asyncio.Event()
        self.connections = 0
        self._send = send
        self._keep = keep
        self._serving: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Listen on a free port while inside; gives the address."""
        async with await asyncio.start_server(self._accept, "127.0.0.1", 0) as server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            await asyncio.gather(*self._serving)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._serving.add(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                self.asked.append(await reader.readuntil(b"\r\n\r\n"))
                self.arrived.set()
                await self._send(writer)
                await writer.drain()
                if not self._keep:
                    break
        with suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()


def sending(*pieces: bytes) -> RawAgent:
    """An agent that sends these bytes, and closes."""

    async def send(writer: asyncio.StreamWriter) -> None:
        writer.writelines(pieces)

    return RawAgent(send)


def head(status: str, *lines: str) -> bytes:
    """The head of an answer."""
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


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
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        head("200 OK", "Content-Length: 100") + OK,
        head("200 OK", "Transfer-Encoding: chunked") + b"5\r\n{",
        head("200 OK", *(f"X-{n}: {'x' * 1_000}" for n in range(200))),
    ],
    ids=["nothing", "no HTTP", "cut off", "a chunk cut off", "a head without end"],
)
async def test_a_connection_that_breaks_off_is_a_failure(answer: bytes) -> None:
    """Whatever came of it is thrown away."""
    async with sending(answer).listening() as address:
        error = await asked(address)
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
