"""Streams in the journal's file. Waiting costs no polling: a commit wakes those who follow."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, cast

from orchestrator.journal import Statement
from orchestrator.streams.port import Entry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from orchestrator.core.clock import Clock
    from orchestrator.journal import Group, Journal, JournalError

ADD_STREAM = Statement(0, "INSERT INTO streams (number, name, owner) VALUES {rows}", 3)
ADD_ENTRY = Statement(2, "INSERT INTO entries (stream, offset, at, type, key, data) VALUES {rows}", 6)
DELETE_ENTRIES = Statement(8, "DELETE FROM entries WHERE stream IN ({rows})", 1)
DELETE_STREAM = Statement(9, "DELETE FROM streams WHERE number IN ({rows})", 1)

PAGE = 1_000
# A follower this far behind reads from the file again instead of holding ever more in memory.
MOST_BUFFERED = 1_000


class _Follower:
    """What was committed since a reader last looked."""

    __slots__ = ("ended", "entries", "error", "missed", "waiting")

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque()
        self.missed = False
        self.waiting: asyncio.Future[None] | None = None
        self.error: JournalError | None = None
        self.ended = False

    def push(self, entry: Entry) -> None:
        if len(self.entries) < MOST_BUFFERED:
            self.entries.append(entry)
        else:
            self.missed = True
        self.wake()

    def end(self) -> None:
        self.ended = True
        self.wake()

    def fail(self, error: JournalError) -> None:
        self.error = error
        self.wake()

    def wake(self) -> None:
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_result(None)

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

    async def _changed(self) -> None:
        if not (self.entries or self.missed or self.ended or self.error):
            self.waiting = asyncio.get_running_loop().create_future()
            await self.waiting
        if self.error is not None:
            raise self.error


class EmbeddedStreams:
    """The streams port over a journal.

    The durable engine stages the entries of its runs itself, in one commit with what they mean, so it uses
    ``create`` and ``stage``; everyone else uses the port.
    """

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._followers: dict[int, list[_Follower]] = {}
        self._ends: dict[int, int] = {}
        self._staged: dict[str, int] = {}
        self._deleting: dict[str, Group] = {}
        self._last_number: int = journal.read("SELECT coalesce(max(number), 0) FROM streams")[0][0]
        journal.listen(self._committed, self._broken)

    def create(self, name: str, owner: str = "") -> int:
        """Stage a new stream and give its number. The caller knows that the name is free."""
        self._last_number += 1
        _check_utf8(name, owner)
        self._journal.stage(ADD_STREAM, (self._last_number, name, owner))
        return self._last_number

    def stage(self, number: int, offset: int, at: float, type: str, key: str, data: bytes) -> Group:
        """Stage an entry whose offset the caller keeps.

        Raises:
            UnicodeEncodeError: a key or type with a lone surrogate.
        """
        _check_utf8(type, key)
        return self._journal.stage(ADD_ENTRY, (number, offset, at, type, key, data))

    async def append(self, stream: str, type: str, data: bytes, *, key: str = "") -> int:
        """Add an entry at the end; durable when this returns. Gives its offset.

        Raises:
            JournalFullError: nothing can be written now. JournalError: nor later.
        """
        self._journal.check_writable()
        await self._deleted(stream)
        number = self._number(stream)
        if number is None:
            number = self._staged[stream] = self.create(stream)
            self._ends[number] = 0
        offset = self._end(number) + 1
        group = self.stage(number, offset, self._clock.time(), type, key, data)
        self._ends[number] = offset
        self._journal.flush()
        await self._journal.durable(group)
        self._staged.pop(stream, None)
        return offset

    async def read(self, stream: str, after: int = 0, limit: int = PAGE) -> list[Entry]:
        """Up to ``limit`` entries with offsets above ``after``."""
        number = self._number(stream)
        return [] if number is None else await self._page(number, after, limit)

    async def follow(self, stream: str, after: int = 0) -> AsyncIterator[Entry]:
        """Every entry above ``after``: first what is there, then each one as it becomes durable.

        It ends when the stream is deleted.
        """
        await self._deleted(stream)
        number = self._number(stream)
        if number is None:
            number = self._staged[stream] = self.create(stream)
            self._ends[number] = 0
            self._journal.flush()
        async for entry in self.follow_number(number, after):
            yield entry

    async def follow_number(self, number: int, after: int = 0) -> AsyncIterator[Entry]:
        """Follow a stream by its number, until it is deleted."""
        follower = _Follower()
        self._followers.setdefault(number, []).append(follower)
        try:
            while not follower.ended:
                follower.catch_up()
                while page := await self._page(number, after, PAGE):
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
            self._unfollow(number, follower)

    async def delete(self, stream: str) -> None:
        """Forget a stream and all its entries; nothing happens when there is none."""
        number = self._number(stream)
        if number is None:
            return
        self._journal.check_writable()
        self._ends.pop(number, None)
        self._staged.pop(stream, None)
        group = self._deleting[stream] = self.stage_delete(number)
        self._journal.flush()
        try:
            await self._journal.durable(group)
        finally:
            self._deleting.pop(stream, None)

    def stage_delete(self, number: int) -> Group:
        """Stage the end of a stream and all its entries."""
        self._journal.stage(DELETE_ENTRIES, (number,))
        group = self._journal.stage(DELETE_STREAM, (number,))
        group.then.append(partial(self._gone, number))
        return group

    async def _deleted(self, stream: str) -> None:
        """Until no delete of that stream is under way, for its name is taken so long."""
        while stream in self._deleting:
            await self._journal.durable(self._deleting[stream])

    def _number(self, name: str) -> int | None:
        if name in self._staged:
            return self._staged[name]
        found = self._journal.read("SELECT number FROM streams WHERE name = ?", (name,))
        return int(found[0][0]) if found else None

    def _end(self, number: int) -> int:
        if number not in self._ends:
            rows = self._journal.read(
                "SELECT coalesce(max(offset), 0) FROM entries WHERE stream = ?", (number,)
            )
            self._ends[number] = rows[0][0]
        return self._ends[number]

    async def _page(self, number: int, after: int, limit: int) -> list[Entry]:
        rows = await self._journal.fetch(
            "SELECT offset, at, type, key, data FROM entries WHERE stream = ? AND offset > ? "
            "ORDER BY offset LIMIT ?",
            (number, after, limit),
        )
        return [Entry(*row) for row in rows]

    def _committed(self, group: Group) -> None:
        if not self._followers:
            return
        for number, *values in group.rows.get(ADD_ENTRY, ()):
            followers = self._followers.get(cast("int", number))
            if followers:
                entry = Entry(*cast("tuple[int, float, str, str, bytes]", values))
                for follower in followers:
                    follower.push(entry)

    def _broken(self, error: JournalError) -> None:
        for followers in self._followers.values():
            for follower in followers:
                follower.fail(error)

    def _gone(self, number: int) -> None:
        for follower in self._followers.get(number, ()):
            follower.end()

    def _unfollow(self, number: int, follower: _Follower) -> None:
        followers = self._followers[number]
        followers.remove(follower)
        if not followers:
            del self._followers[number]


def _check_utf8(*texts: str) -> None:
    """Refuse text that SQLite cannot hold here, where it harms nobody else; in a group it would fail all."""
    for text in texts:
        if not text.isascii():
            text.encode()
