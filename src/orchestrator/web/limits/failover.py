"""Counting in Redis, and in this process while Redis is away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from orchestrator.core.errors import OrchestratorError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orchestrator.core.clock import Clock
    from orchestrator.core.rates import Buckets, Rate, Taken

ANSWER_LIMIT_S: Final = 0.25  # a request that waits for its limit waits for nothing else
PAUSE_S: Final = 5.0

log = structlog.get_logger()


class Failover:
    """Asks ``shared`` buckets, and ``own`` ones for a while whenever those do not answer.

    So limits neither stop the service nor go away with Redis: each process then allows the whole of them.
    """

    def __init__(self, shared: Buckets, own: Buckets, clock: Clock) -> None:
        self._shared = shared
        self._own = own
        self._clock = clock
        self._again_at: float | None = None  # None while the shared ones answer

    @property
    def is_on_its_own(self) -> bool:
        """Whether the shared buckets did not answer when they were asked last."""
        return self._again_at is not None

    async def take(self, name: str, rate: Rate) -> Taken:
        """Take a token from the bucket of that name, wherever it is now."""
        return await self._asked(lambda buckets: buckets.take(name, rate))

    async def look(self, name: str, rate: Rate) -> Taken:
        """See whether there is a token in the bucket of that name, wherever it is now."""
        return await self._asked(lambda buckets: buckets.look(name, rate))

    async def _asked(self, asking: Callable[[Buckets], Awaitable[Taken]]) -> Taken:
        if self._again_at is not None and self._clock.time() < self._again_at:
            return await asking(self._own)
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                taken = await asking(self._shared)
        except (OrchestratorError, TimeoutError) as error:
            self._give_up(str(error) or "no answer in time")
            return await asking(self._own)
        if self._again_at is not None:
            self._again_at = None
            log.info("limits are shared by all processes again")
        return taken

    def _give_up(self, reason: str) -> None:
        if self._again_at is None:
            log.warning("limits are counted by each process alone", reason=reason)
        self._again_at = self._clock.time() + PAUSE_S
