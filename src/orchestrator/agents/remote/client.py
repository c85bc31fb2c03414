"""Calls agents over HTTP: retries, limits and deadlines included (docs/agents.md has them as a table)."""

from __future__ import annotations

import hashlib
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

import httpx2
import structlog
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from pydantic_core import to_json

from orchestrator.agents.remote.answers import read_reply
from orchestrator.agents.remote.contract import (
    AgentAwayError,
    AgentBusyError,
    AgentError,
    AgentErrorCode,
    AgentLeftAloneError,
    AgentReply,
    AgentRequest,
    Allowance,
)
from orchestrator.agents.remote.line import Line
from orchestrator.core.errors import SettingsError
from orchestrator.core.ids import new_id
from orchestrator.core.listening import is_loopback
from orchestrator.core.waiting import passed, time_limit

if TYPE_CHECKING:
    from pydantic import SecretStr

    from orchestrator.core.clock import Clock
    from orchestrator.core.telemetry import Metrics

BACKOFF_S: Final = (1.0, 2.0, 4.0)
LONGEST_KEY_CHARS: Final = 255

log = structlog.get_logger()


class AgentClient:
    """Speaks the contract with all agents below one address. Close it when done.

    ``transport`` reaches agents that are not on the network, such as those of this very process.

    Raises:
        SettingsError: the address or the token cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        service_jwt: SecretStr,
        *,
        clock: Clock,
        metrics: Metrics,
        allowance: Allowance | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._allowance = allowance
        self._lines: dict[str, Line] = {}
        url = _checked(base_url)
        on_this_machine = transport is not None or is_loopback(url.netloc.decode())
        if url.scheme == "http" and not on_this_machine:
            log.warning("the service token goes to the agents unencrypted; use https in EDGE_BASE_URL")
        self._address = str(url).rstrip("/")
        self._headers = {
            "Authorization": f"Bearer {_sound(service_jwt)}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
        self._transport = transport or _network(url, by_proxy=not on_this_machine)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def call(
        self,
        request: AgentRequest,
        *,
        idempotency_key: str | None = None,
        etag: str | None = None,
        deadline: float | None = None,
        start_by: float | None = None,
    ) -> AgentReply:
        """Ask an agent, again where that may help, and give its answer.

        All attempts go under one idempotency key. With ``etag`` the agent may answer that nothing changed.
        Everything ends by ``deadline``, and no attempt begins after ``start_by``, both in seconds since
        1970; without them only the number of attempts and their length bound the call.

        Raises:
            AgentError: there is no answer of use.
        """
        most_s = sum(BACKOFF_S) + (len(BACKOFF_S) + 1) * request.timeout_s
        began = self._clock.time()
        deadline = began + most_s if deadline is None else min(deadline, began + most_s)
        start_by = deadline if start_by is None else min(start_by, deadline)
        asked = self._asked(request, idempotency_key or new_id(), etag)
        call = _Call(request, asked, etag, deadline, start_by)
        outcome = "cancelled"
        try:
            reply = await self._tried(call)
            outcome = "not_modified" if reply.not_modified else "ok"
        except AgentLeftAloneError:
            outcome = "left_alone"  # the breaker has logged why, once
            raise
        except AgentError as error:
            outcome = error.code.lower()
            log.warning("agent call failed", agent=request.agent, code=error.code, reason=error.message)
            raise
        else:
            return reply
        finally:
            self._metrics.agent_called(request.agent, outcome, self._clock.time() - began)

    def _asked(self, request: AgentRequest, key: str, etag: str | None) -> httpx2.Request:
        """What is sent, the same on each attempt."""
        headers = {**self._headers, "X-Idempotency-Key": _sendable(key)}
        if etag is not None:
            headers["If-None-Match"] = etag
        if _is_sendable(request.user) and request.user == request.user.strip():
            headers["X-User-ID"] = request.user
        TraceContextTextMapPropagator().inject(headers)
        url = f"{self._address}{request.path}"
        if request.query:
            url += f"?{urlencode(request.query)}"
        content = None if request.body is None else to_json(request.body)
        return httpx2.Request(request.method, url, headers=headers, content=content)

    async def _tried(self, call: _Call) -> AgentReply:
        """The first attempt that succeeds; a failure that no later one may mend is raised."""
        for backoff_s in BACKOFF_S:
            try:
                return await self._attempt(call)
            except (AgentAwayError, AgentBusyError) as error:
                pause_s = _pause_s(error, backoff_s)
                if self._clock.time() + pause_s >= call.start_by:
                    raise
            await passed(self._clock, pause_s)
        return await self._attempt(call)

    async def _attempt(self, call: _Call) -> AgentReply:
        line = self._line_to(call.request.agent)
        line.breaker.check()
        if self._clock.time() >= call.start_by:
            message = f"There was no time left to ask the agent {call.request.agent}."
            raise AgentError(AgentErrorCode.TIMEOUT, message)
        await self._allowed(call)
        async with line.place(call.start_by):
            with line.breaker.attempt():
                return await self._exchange(call)

    async def _allowed(self, call: _Call) -> None:
        """Wait until the agent may be called once more."""
        agent = call.request.agent
        while self._allowance is not None and (wait_s := await self._allowance.take(agent)):
            if self._clock.time() + wait_s >= call.start_by:
                raise AgentError(
                    AgentErrorCode.RATE_LIMIT,
                    f"The agent {agent} was called as often as it may be for now.",
                    retry_after=wait_s,
                )
            await passed(self._clock, wait_s)

    async def _exchange(self, call: _Call) -> AgentReply:
        request, now = call.request, self._clock.time()
        try:
            async with time_limit(self._clock, min(now + request.timeout_s, call.deadline)):
                response = await self._transport.handle_async_request(call.asked)
                async with aclosing(response):
                    return await read_reply(response, request, etag=call.etag, now=self._clock.time())
        except TimeoutError:
            self._metrics.agent_timed_out(request.agent)
            raise AgentAwayError(
                AgentErrorCode.TIMEOUT, f"The agent {request.agent} did not answer in time."
            ) from None
        except httpx2.RequestError:
            # The library's own words may quote headers, and so the token.
            raise AgentAwayError(
                AgentErrorCode.AGENT_ERROR,
                f"The connection to the agent {request.agent} failed or broke off (EDGE_BASE_URL).",
            ) from None

    def _line_to(self, agent: str) -> Line:
        line = self._lines.get(agent)
        if line is None:
            line = self._lines[agent] = Line(agent, self._clock, self._metrics)
        return line


@dataclass(frozen=True, slots=True)
class _Call:
    """One call as all its attempts make it."""

    request: AgentRequest
    asked: httpx2.Request
    etag: str | None
    deadline: float
    start_by: float


def _network(url: httpx2.URL, *, by_proxy: bool) -> httpx2.AsyncBaseTransport:
    # It takes a tenth of a second to import, which those need not wait for whose agents are in this process.
    from orchestrator.agents.remote.network import way_to

    return way_to(url, by_proxy=by_proxy)


def _pause_s(error: AgentError, backoff_s: float) -> float:
    """How long to wait before the next attempt: as the agent says, but one that fails gets its back-off."""
    if isinstance(error, AgentBusyError):
        return backoff_s if error.retry_after is None else error.retry_after
    return max(backoff_s, error.retry_after or 0.0)


def _sendable(key: str) -> str:
    """The key, or a digest of one that no header can have: ids of runs may hold any text."""
    if _is_sendable(key):
        return key
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def _is_sendable(text: str) -> bool:
    return 0 < len(text) <= LONGEST_KEY_CHARS and text.isascii() and text.isprintable()


def _checked(base_url: str) -> httpx2.URL:
    """The address, where it is one."""
    try:
        url = httpx2.URL(base_url)
    except httpx2.InvalidURL:
        url = httpx2.URL()
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo or url.query or url.fragment:
        raise SettingsError(
            "EDGE_BASE_URL is where the agents are, such as https://agents.example.org: http or https, a "
            "host, perhaps a port and a path, and neither user nor query."
        )
    return url


def _sound(service_jwt: SecretStr) -> str:
    """The token, where it can be sent in a header."""
    token = service_jwt.get_secret_value()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise SettingsError("EDGE_SERVICE_JWT must be a token of printable ASCII characters without spaces.")
    return token
