"""The way to one agent: how many go at once, and whether anybody should."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from orchestrator.agents.remote.breaker import CircuitBreaker
from orchestrator.agents.remote.contract import AgentError, AgentErrorCode
from orchestrator.core.waiting import time_limit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from orchestrator.core.clock import Clock
    from orchestrator.core.telemetry import Metrics

MOST_AT_ONCE: Final = 64  # attempts under way


class Line:
    """A circuit breaker, and places for the attempts that are under way."""

    def __init__(self, agent: str, clock: Clock, metrics: Metrics) -> None:
        self.breaker = CircuitBreaker(agent, clock, metrics)
        self._agent = agent
        self._clock = clock
        self._places = asyncio.Semaphore(MOST_AT_ONCE)

    @asynccontextmanager
    async def place(self, start_by: float) -> AsyncIterator[None]:
        """Take one of the places for attempts under way; wait for one where all are taken.

        Raises:
            AgentError: none was free by ``start_by``.
        """
        if self._places.locked():
            await self._freed(start_by)
        else:
            await self._places.acquire()
        try:
            yield
        finally:
            self._places.release()

    async def _freed(self, start_by: float) -> None:
        """Take a place once one is free."""
        try:
            async with time_limit(self._clock, start_by):
                await self._places.acquire()
        except TimeoutError:
            message = (
                f"{MOST_AT_ONCE} calls of the agent {self._agent} are under way, and none ended in time."
            )
            raise AgentError(AgentErrorCode.TIMEOUT, message) from None
