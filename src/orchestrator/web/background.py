"""Work that rooms do besides answering requests, for as long as the service lives."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from orchestrator.web.feature import Component

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from orchestrator.web.feature import Feature, Hook

log = structlog.get_logger()


class Background:
    """Runs the rooms' background work, and knows when some of it has failed."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self._features = features
        self._failed: set[str] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Await each room's ``on_start``, then run its ``background`` while inside."""
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
        """Unhealthy once any room's work has failed: it does not begin again by itself."""
        if not self._failed:
            return Component("healthy")
        return Component("unhealthy", f"stopped for {', '.join(sorted(self._failed))}; restart the service")

    async def _watched(self, name: str, hook: Hook) -> None:
        try:
            await hook()
        except Exception:
            log.exception("background work failed", feature=name)
            self._failed.add(name)
