"""Following a stream: what is there, then what comes, without polling."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from orchestrator.streams.port import PAGE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from orchestrator.core.errors import OrchestratorError
    from orchestrator.streams.port import Entry

# A follower this far behind reads from the store again instead of holding ever more in memory.
MOST_BUFFERED = 1_000


class Source(Protocol):
    """A stream of some backend, as a follower reads it."""

    def listen(self, follower: Follower) -> None:
        """Tell the follower of each entry that becomes durable from now on."""
        ...

    def unlisten(self, follower: Follower) -> None:
        """Tell the follower no more."""
        ...

    async def page(self, follower: Follower, after: int, limit: int) -> list[Entry]:
        """Up to ``limit`` entries above ``after``; the follower is ended where the stream is no more."""
        ...


async def follow(source: Source, after: int) -> AsyncGenerator[Entry, None]:
    """Every entry above ``after``, until the stream is deleted."""
    follower = Follower()
    source.listen(follower)
    try:
        while not follower.ended:
            follower.catch_up()
            while page := await source.page(follower, after, PAGE):
                for entry in page:
                    after = entry.offset
                    yield entry
                if len(page) < PAGE:
                    break
            while more := await follower.more(after):
                for entry in more:
                    after = entry.offset
                    yield entry
    finally:
        source.unlisten(follower)


class Follower:
    """What was committed since a reader last looked."""

    __slots__ = ("ended", "entries", "error", "missed", "waiting")

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque()
        self.missed = False
        self.waiting: asyncio.Future[None] | None = None
        self.error: OrchestratorError | None = None
        self.ended = False

    def push(self, entry: Entry) -> None:
        """Keep an entry, or that there was one."""
        if len(self.entries) < MOST_BUFFERED:
            self.entries.append(entry)
        else:
            self.missed = True
        self._wake()

    def miss(self) -> None:
        """There may be something that nobody told."""
        self.missed = True
        self._wake()

    def end(self) -> None:
        """There will be no more."""
        self.ended = True
        self._wake()

    def fail(self, error: OrchestratorError) -> None:
        """There can be no more."""
        self.error = error
        self._wake()

    def catch_up(self) -> None:
        """The store is read again; what comes from now on is kept."""
        self.entries.clear()
        self.missed = False

    async def more(self, after: int) -> list[Entry]:
        """Wait for what comes after that offset; nothing when the store must be read again, or at the end."""
        await self._changed()
        came = [entry for entry in self.entries if entry.offset > after]
        self.entries.clear()
        return [] if self.missed or (came and came[0].offset > after + 1) else came

    def _wake(self) -> None:
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_result(None)

    async def _changed(self) -> None:
        if not (self.entries or self.missed or self.ended or self.error):
            self.waiting = asyncio.get_running_loop().create_future()
            await self.waiting
        if self.error is not None:
            raise self.error
