"""Signals of agents: from the cache while they are fresh, from the agent otherwise (docs/agents.md)."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog
from pydantic_core import to_json

from orchestrator.agents.remote.cache import CachedSignal, SignalCache
from orchestrator.agents.remote.contract import AgentError, AgentErrorCode, AgentRequest
from orchestrator.agents.remote.signal import Endpoint, Signal, Source
from orchestrator.core.errors import UnavailableError
from orchestrator.core.waiting import time_limit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.agents.remote.client import AgentClient
    from orchestrator.core.clock import Clock
    from orchestrator.core.telemetry import Metrics

MOST_LATE: Final = 200  # lookups that go on though nobody waits for them any more

log = structlog.get_logger()


class Signals:
    """Asks agents for signals, and keeps what they answered. Close it before client and cache.

    ``endpoints`` has every agent by its name. What is asked by several at the same time is one call.
    """

    def __init__(
        self,
        client: AgentClient,
        cache: SignalCache,
        endpoints: Mapping[str, Endpoint],
        *,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._client = client
        self._cache = cache
        self._endpoints = endpoints
        self._clock = clock
        self._metrics = metrics
        self._lookups: dict[_Question, _Lookup] = {}

    async def get(
        self,
        agent: str,
        *,
        owner: str,
        query: Mapping[str, str | int],
        deadline: float,
        force: bool = False,
        idempotency_key: str | None = None,
        given: Sequence[str | int] = (),
    ) -> Signal:
        """The signal of ``agent`` for ``owner`` to that question, by ``deadline`` (seconds since 1970).

        ``given`` is what the answer depends on besides: where it differs, it is another question.
        ``force`` goes past the cache: the agent is asked for everything anew. An answer that comes too
        late for ``deadline`` is kept for the next time.

        Raises:
            KeyError: there is no endpoint for that agent.
        """
        endpoint = self._endpoints[agent]
        question = _Question(owner, agent, _key(endpoint.path, query, given), force)
        lookup = self._lookups.get(question)
        if lookup is None:
            request = AgentRequest(
                agent,
                endpoint.path,
                query=query,
                shape=endpoint.shape,
                timeout_s=endpoint.timeout_s,
                user=owner,
            )
            lookup = self._begin(_Lookup(question, endpoint, request, deadline, idempotency_key))
        signal = await self._awaited(lookup, deadline)
        self._metrics.signal_served(agent, signal.source)
        return signal

    async def close(self) -> None:
        """End what is still under way; who waits for it gets what the cache had."""
        tasks = [lookup.task for lookup in self._lookups.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, lookup: _Lookup) -> _Lookup:
        lookup.task = asyncio.create_task(self._look_up(lookup), name=f"signal of {lookup.question.agent}")
        lookup.task.add_done_callback(lambda _: self._ended(lookup))
        self._lookups[lookup.question] = lookup
        return lookup

    async def _awaited(self, lookup: _Lookup, deadline: float) -> Signal:
        """What the lookup gives by the deadline; where that is nothing, what the cache had."""
        lookup.waiting += 1
        try:
            async with time_limit(self._clock, deadline):
                await asyncio.wait({lookup.task})
        except TimeoutError:
            return self._stand_in(lookup, AgentErrorCode.TIMEOUT)
        finally:
            lookup.waiting -= 1
            self._let_go(lookup)
        if lookup.task.cancelled():
            return self._stand_in(lookup, AgentErrorCode.TIMEOUT)
        return lookup.task.result()

    async def _look_up(self, lookup: _Lookup) -> Signal:
        """Ask the cache, then the agent; keep what it says."""
        question, endpoint = lookup.question, lookup.endpoint
        lookup.cached = cached = await self._kept(question)
        if cached and not question.force and cached.is_fresh(endpoint.fresh_for_s, self._clock.time()):
            return self._signal(lookup, Source.CACHE, cached)
        try:
            # An attempt that is under way at the deadline goes on for what may come of it; none begins later.
            reply = await self._client.call(
                lookup.request,
                idempotency_key=lookup.idempotency_key,
                etag=cached.etag if cached and not question.force else None,
                deadline=lookup.deadline + endpoint.timeout_s,
                start_by=lookup.deadline,
            )
        except AgentError as error:
            return self._stand_in(lookup, error.code)
        now = self._clock.time()
        if reply.not_modified and cached:
            confirmed = CachedSignal(cached.data, reply.etag, cached.fetched_at, now)
            await self._keep(question, confirmed)
            return self._signal(lookup, Source.CONFIRMED, confirmed)
        fetched = CachedSignal(reply.data, reply.etag, now, now)
        await self._keep(question, fetched)
        return self._signal(lookup, Source.AGENT, fetched)

    def _stand_in(self, lookup: _Lookup, error_code: AgentErrorCode) -> Signal:
        """What the cache had, for want of better; else a signal that is missing."""
        if lookup.cached is None:
            return Signal(lookup.question.agent, Source.MISSING, error_code=error_code)
        return self._signal(lookup, Source.CACHE, lookup.cached, error_code)

    def _signal(
        self,
        lookup: _Lookup,
        source: Source,
        known: CachedSignal,
        error_code: AgentErrorCode | None = None,
    ) -> Signal:
        return Signal(
            lookup.question.agent,
            source,
            known.data,
            fresh=known.is_fresh(lookup.endpoint.fresh_for_s, self._clock.time()),
            updated_at=known.confirmed_at,
            error_code=error_code,
        )

    async def _kept(self, question: _Question) -> CachedSignal | None:
        try:
            return await self._cache.get(question.owner, question.agent, question.key)
        except UnavailableError as error:
            log.warning("signal cache away", agent=question.agent, reason=error.message)
            return None

    async def _keep(self, question: _Question, signal: CachedSignal) -> None:
        try:
            await self._cache.put(question.owner, question.agent, question.key, signal)
        except UnavailableError as error:
            log.warning("signal not kept", agent=question.agent, reason=error.message)

    def _let_go(self, lookup: _Lookup) -> None:
        """Let a lookup that nobody waits for go on, unless too many do so already."""
        if lookup.is_late and sum(other.is_late for other in self._lookups.values()) > MOST_LATE:
            del self._lookups[lookup.question]  # nobody is to join what ends here
            lookup.task.cancel()

    def _ended(self, lookup: _Lookup) -> None:
        if self._lookups.get(lookup.question) is lookup:
            del self._lookups[lookup.question]
        if not lookup.waiting and not lookup.task.cancelled() and (error := lookup.task.exception()):
            log.error("late signal lost", agent=lookup.question.agent, exc_info=error)


@dataclass(frozen=True, slots=True)
class _Question:
    """Who asks which agent what. ``key`` stands for path and query."""

    owner: str
    agent: str
    key: str
    force: bool


@dataclass(slots=True, eq=False)
class _Lookup:
    """A question under way: how many wait for its answer, and what the cache had, once that is known."""

    question: _Question
    endpoint: Endpoint
    request: AgentRequest
    deadline: float
    idempotency_key: str | None
    waiting: int = 0
    cached: CachedSignal | None = None
    task: asyncio.Task[Signal] = field(init=False)

    @property
    def is_late(self) -> bool:
        """Whether it goes on though nobody waits for it."""
        return not self.waiting and not self.task.done()


def _key(path: str, query: Mapping[str, str | int], given: Sequence[str | int]) -> str:
    """What is asked, as a digest: short, and telling nothing of the person."""
    return hashlib.sha256(to_json([path, sorted(query.items()), given])).hexdigest()
