"""Those who wait for runs to end, or to be stuck."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from orchestrator.durable.embedded.execution import Execution


class AwaitedEnds:
    """Who waits for the end of which run."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[str, set[asyncio.Future[Execution | None]]] = {}

    async def of(self, run_id: str) -> Execution | None:
        """Wait for the end of a run: the run as it ended, or None where it was not in memory then."""
        waiting: asyncio.Future[Execution | None] = self._loop.create_future()
        self._waiting.setdefault(run_id, set()).add(waiting)
        try:
            return await waiting
        finally:
            self._wait_no_more(run_id, waiting)

    def tell(self, run_id: str, run: Execution | None) -> None:
        """Tell all who wait for this run."""
        for waiting in self._waiting.pop(run_id, ()):
            if not waiting.done():
                waiting.set_result(run)

    def refuse(self, error: Exception) -> None:
        """Tell all who wait, for whatever run, that they wait in vain."""
        for waiters in self._waiting.values():
            for waiting in waiters:
                if not waiting.done():
                    waiting.set_exception(error)
        self._waiting.clear()

    def _wait_no_more(self, run_id: str, waiting: asyncio.Future[Execution | None]) -> None:
        waiters = self._waiting.get(run_id)
        if waiters is not None:
            waiters.discard(waiting)
            if not waiters:
                del self._waiting[run_id]
