"""Sees runs end, so that what is told of an ending is told at once."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.core.errors import OrchestratorError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orchestrator.durable.engine import Engine


@dataclass(frozen=True, slots=True)
class Expected:
    """A run that was started, and the session whose it is."""

    run_id: str
    owner: str
    session_id: str


class Endings:
    """Waits for the runs that it is told of. What it misses, by a crash or an outage, others find later."""

    def __init__(self, engine: Callable[[], Engine], then: Callable[[str, str], Awaitable[None]]) -> None:
        """Take what is to be done with the owner and the id of a session whose run has ended."""
        self._engine = engine
        self._then = then
        self._told: asyncio.Queue[Expected] = asyncio.Queue()
        self._waiting: set[str] = set()

    def expect(self, run: Expected) -> None:
        """See this run end; once, however often it is told."""
        if run.run_id not in self._waiting:
            self._waiting.add(run.run_id)
            self._told.put_nowait(run)

    async def see_always(self) -> None:
        """See runs end for as long as this goes on."""
        async with asyncio.TaskGroup() as waiting:
            while True:
                waiting.create_task(self._see(await self._told.get()))

    async def _see(self, expected: Expected) -> None:
        try:
            with suppress(OrchestratorError):  # it failed, is stuck, or cannot be asked; it may have ended
                await (await self._engine().get(expected.run_id)).result()
            with suppress(OrchestratorError):
                await self._then(expected.owner, expected.session_id)
        finally:
            self._waiting.discard(expected.run_id)
