"""The outbox on real tables and a real stream, by a clock that the test owns."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Literal

from sqlalchemy import func, select

from orchestrator.core.errors import UnavailableError
from orchestrator.db import SYSTEM
from orchestrator.web.events import STREAM, Event, NewEvent, Outbox
from orchestrator.web.events.tables import OutboxRow
from support.stream_lab import EmbeddedLab

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from orchestrator.db import Database
    from orchestrator.streams import Streams
    from support.tables import Tables

# Longer than any disk takes, shorter than pytest's own limit.
PATIENCE_S = 30


class EventsLab:
    """One process with its outbox. ``is_away`` says whether the stream is."""

    def __init__(self, database: Database, stream_lab: EmbeddedLab) -> None:
        self.database = database
        self.clock = stream_lab.clock
        self.is_away = False
        self._stream_lab = stream_lab
        self.outbox = Outbox(database, self._reached, self.clock)

    def another(self) -> EventsLab:
        """Another process on the same tables and the same stream."""
        return EventsLab(self.database, self._stream_lab)

    @property
    def streams(self) -> Streams:
        """Where the events go."""
        return self._stream_lab.streams

    async def tell(self, *events: NewEvent) -> None:
        """Commit these events in one transaction, as their owner or as the system."""
        owners = {event.owner for event in events}
        async with self.database.session(owners.pop() if len(owners) == 1 else SYSTEM) as session:
            for event in events:
                self.outbox.add(session, event)

    async def told(self) -> list[Event]:
        """What is in the stream."""
        return [Event.of(entry) for entry in await self.streams.read(STREAM)]

    async def told_up_to(self, number: int) -> list[Event]:
        """The first ``number`` events of the stream, as soon as they are there."""
        found: list[Event] = []
        async with asyncio.timeout(PATIENCE_S):
            async for entry in self.streams.follow(STREAM):
                found.append(Event.of(entry))
                if len(found) == number:
                    break
        return found

    async def until(self, is_so: Callable[[], Awaitable[bool]]) -> None:
        """Wait until it is so."""
        async with asyncio.timeout(PATIENCE_S):
            for _ in count():
                if await is_so():
                    return
                await asyncio.sleep(0)

    async def health(self) -> Literal["healthy", "degraded", "unhealthy"]:
        """How the outbox says that it is."""
        return (await self.outbox.health()).status

    async def waiting(self) -> int:
        """How many events are in the outbox."""
        async with self.database.session(SYSTEM) as session:
            return await session.one(select(func.count()).select_from(OutboxRow)) or 0

    def _reached(self) -> Streams:
        if self.is_away:
            raise UnavailableError("The stream is away.")
        return self.streams


@asynccontextmanager
async def events_lab(tables: Tables) -> AsyncGenerator[EventsLab]:
    """A process on these tables, with a stream beside their file."""
    stream_lab = EmbeddedLab(tables.file.with_name("streams.db"))
    try:
        async with tables.database() as database:
            yield EventsLab(database, stream_lab)
    finally:
        await stream_lab.close()
