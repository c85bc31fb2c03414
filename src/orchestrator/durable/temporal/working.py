"""A worker that is begun again should it fail, for as long as its engine is open."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from orchestrator.core.patience import growing_pauses
from orchestrator.durable.errors import EngineStoppedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from temporalio.worker import Worker

log = logging.getLogger(__name__)


class Working:
    """Runs workers of one kind, one after the other, until it is left.

    A server that is away fails no worker: it asks until there is an answer. What does, such as a namespace
    that was deleted, is logged, and another worker tries after a pause.
    """

    def __init__(self, make: Callable[[], Worker]) -> None:
        self._make = make
        self._trouble = ""
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._work(), name="temporal worker")

    async def __aexit__(self, *_: object) -> None:
        """Take nothing more, and wait until what was taken is done or handed back."""
        self._stop.set()
        if self._task is not None:
            await self._task

    def check(self) -> None:
        """See whether there is a worker.

        Raises:
            EngineStoppedError: the last one failed, for the reason in the message.
        """
        if self._trouble:
            raise EngineStoppedError(f"the Temporal worker failed and is begun again: {self._trouble}")

    async def _work(self) -> None:
        pauses = growing_pauses()
        while not self._stop.is_set():
            self._trouble = ""
            try:
                await self._work_once()
            except Exception as error:  # noqa: BLE001  # whatever ends a worker
                self._trouble = str(error)
                log.warning("the Temporal worker failed and is begun again: %s", error)
                await self._pause(next(pauses))

    async def _work_once(self) -> None:
        worker = self._make()
        running = asyncio.create_task(worker.run())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not running.done():
            await worker.shutdown()
        await running

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return
