"""Following a stream: what is in the file, then what is committed, without polling."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from orchestrator.streams.port import PAGE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from orchestrator.journal import JournalError
    from orchestrator.streams.log import Log
    from orchestrator.streams.port import Entry

# A follower this far behind reads from the file again instead of holding ever more in memory.
MOST_BUFFERED = 1_000


async def follow(log: Log, number: int, after: int) -> AsyncGenerator[Entry, None]:
    """Every entry above ``after``, until the stream is deleted."""
    follower = Follower()
    log.listen(number, follower)
    try:
        while not follower.ended:
            follower.catch_up()
            while page := await log.page(number, after, PAGE):
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
        log.unlisten(number, follower)


class Follower:
    """What was committed since a reader last looked."""

    __slots__ = ("ended", "entries", "error", "missed", "waiting")

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque()
        self.missed = False
        self.waiting: asyncio.Future[None] | None = None
        self.error: JournalError | None = None
        self.ended = False

    def push(self, entry: Entry) -> None:
        """Keep an entry, or that there was one."""
        if len(self.entries) < MOST_BUFFERED:
            self.entries.append(entry)
        else:
            self.missed = True
        self._wake()

    def end(self) -> None:
        """There will be no more."""
        self.ended = True
        self._wake()

    def fail(self, error: JournalError) -> None:
        """There can be no more."""
        self.error = error
        self._wake()

    def catch_up(self) -> None:
        """The file is read again; what comes from now on is kept."""
        self.entries.clear()
        self.missed = False

    async def more(self, after: int) -> list[Entry]:
        """Wait for what comes after that offset; nothing when the file must be read again, or at the end."""
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
