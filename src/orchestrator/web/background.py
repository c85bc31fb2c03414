"""Work that rooms do besides answering requests, for as long as the service lives."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from orchestrator.core.errors import UnavailableError
from orchestrator.core.patience import growing_pauses
from orchestrator.core.waiting import passed
from orchestrator.web.feature import Component

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from orchestrator.core.clock import Clock
    from orchestrator.web.feature import Feature, Hook

log = structlog.get_logger()


EVERY_HOUR_S = 3_600.0


async def hourly(clock: Clock) -> AsyncIterator[None]:
    """Once an hour, beginning in an hour, without end."""
    while True:
        await passed(clock, EVERY_HOUR_S, background=True)
        yield


class Background:
    """Runs the rooms' background work, and knows when some of it has failed."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self._features = features
        self._failed: set[str] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Await each room's ``on_start``, then run its ``background`` while inside.

        Raises:
            Exception: what a hook raises; entering again calls all of them again.
        """
        for feature in self._features:
            for hook in feature.on_start:
                await hook()
        tasks = [
            asyncio.create_task(self._watched(feature.name, hook), name=f"{feature.name} background")
            for feature in self._features
            for hook in feature.background
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def health(self) -> Component:
        """Unhealthy once any room's work has failed: it begins again by itself only where a part was away."""
        if not self._failed:
            return Component("healthy")
        return Component("unhealthy", f"stopped for {', '.join(sorted(self._failed))}; restart the service")

    async def _watched(self, name: str, hook: Hook) -> None:
        try:
            await _persistently(name, hook)
        except Exception:
            log.exception("background work failed", feature=name)
            self._failed.add(name)


async def _persistently(name: str, hook: Hook) -> None:
    """Do it, and begin again whenever a part that it needs was away."""
    for pause_s in growing_pauses():
        try:
            await hook()
        except UnavailableError as error:
            log.warning("background work waits", feature=name, reason=error.message)
        else:
            return
        await asyncio.sleep(pause_s)
