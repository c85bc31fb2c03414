"""A whole service in this process, behind a real socket."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.app.server import Server
from orchestrator.app.wiring import built
from orchestrator.core.settings import load_settings
from orchestrator.web.events import STREAM
from support.stream_lab import turns

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from orchestrator.web.events import NewEvent
    from orchestrator.web.feature import Resources

PATIENCE_S = 30


@dataclass(frozen=True, slots=True)
class RunningService:
    """Where it listens, and what it stands on."""

    url: str
    server: Server
    resources: Resources
    operator_token: str

    async def tell(self, *events: NewEvent) -> None:
        """Commit these events, each in a transaction of its owner, and wait until they have been told."""
        streams = self.resources.streams()
        before, missing = await streams.last(STREAM), {event.id for event in events}
        for event in events:
            async with self.resources.database.session(event.owner) as session:
                self.resources.outbox.add(session, event)
        async with asyncio.timeout(PATIENCE_S), aclosing(streams.follow(STREAM, before)) as entries:  # type: ignore[type-var]  # an async generator
            async for entry in entries:
                missing.discard(entry.key)
                if not missing:
                    break
        await turns()  # those who follow the stream have it, too


@asynccontextmanager
async def running_service(
    folder: Path, settings: Mapping[str, object] | None = None
) -> AsyncGenerator[RunningService]:
    """The service on fresh data in ``folder``; settings by their dotted names."""
    ours = {
        "data_dir": str(folder),
        "server.port": 0,
        "server.enable_metrics": False,
        "limits.requests_per_minute": 1_000_000,
        "limits.burst": 10_000,
    }
    read = load_settings(overrides={**ours, **(settings or {})})
    with built(read) as service:
        server = Server(service.app, read.server, handle_signals=False)
        async with server.running() as url:
            yield RunningService(url, server, service.resources, service.claim.token)
