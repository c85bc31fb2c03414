"""Streams in the journal's file. Waiting costs no polling: a commit wakes those who follow."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Literal

from orchestrator.streams.checks import (
    check_entries,
    check_expiry,
    check_group,
    check_removal,
    check_trim,
    check_utf8,
)
from orchestrator.streams.expiry import Sweep
from orchestrator.streams.follower import follow
from orchestrator.streams.groups import Groups
from orchestrator.streams.log import Log, StreamOfLog
from orchestrator.streams.port import PAGE, NewEntry

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from orchestrator.core.clock import Clock
    from orchestrator.journal import Group, Journal
    from orchestrator.streams.groups import EmbeddedGroup
    from orchestrator.streams.port import Entry

# A commit removes no more, so that trimming a long stream keeps nobody waiting.
TRIMMED_AT_ONCE = 1_000


class EmbeddedStreams:
    """The streams port over a journal.

    The durable engine stages the entries of its runs itself, in one commit with what they mean, so it uses
    ``create`` and ``stage``; everyone else uses the port.
    """

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._log = Log(journal)
        self._groups = Groups(journal, clock, self._log)
        self._sweep = Sweep(journal, clock, self._log.expiries, self._forget)

    def create(self, name: str, owner: str = "") -> int:
        """Stage a new stream and give its number. The caller knows that the name is free."""
        return self._log.create(name, owner)

    def stage(self, number: int, offset: int, at: float, type: str, key: str, data: bytes) -> Group:
        """Stage an entry whose offset the caller keeps.

        Raises:
            UnicodeEncodeError: a key or type with a lone surrogate.
        """
        return self._log.stage(number, offset, at, type, key, data)

    async def append(self, stream: str, type: str, data: bytes, *, key: str = "", once: bool = False) -> int:
        """Add an entry at the end; durable when this returns. See the port for ``once``.

        Raises:
            JournalFullError: nothing can be written now. JournalError: nor later. Others as in the port.
        """
        (offset,) = await self.append_all(stream, [NewEntry(type, data, key, once)])
        return offset

    async def append_all(self, stream: str, entries: Sequence[NewEntry]) -> list[int]:
        """Add these entries in order, in one commit. Raises what ``append`` does."""
        check_utf8(stream)
        check_entries(entries)
        await self._settled(stream)
        now = self._clock.time()
        appended = [self._log.append(stream, now, entry) for entry in entries]
        self._journal.flush()
        for commit in {commit for _, commit in appended if commit is not None}:
            await self._journal.durable(commit)
        return [offset for offset, _ in appended]

    async def read(self, stream: str, after: int = 0, limit: int = PAGE) -> list[Entry]:
        """Up to ``limit`` entries with offsets above ``after``."""
        number = self._find(stream)
        return [] if number is None else await self._log.page(number, after, limit)

    async def last(self, stream: str) -> int:
        """The offset of the last entry, trimmed or not; 0 where there never was one."""
        number = self._find(stream)
        return 0 if number is None else self._log.durable_extent(number).end

    async def follow(self, stream: str, after: int = 0) -> AsyncGenerator[Entry, None]:
        """Every entry above ``after``: first what is there, then each one as it becomes durable.

        It ends when the stream is deleted.
        """
        await self._settled(stream)
        number = self._log.ensure(stream)
        self._journal.flush()
        async with aclosing(self.follow_number(number, after)) as entries:
            async for entry in entries:
                yield entry

    def follow_number(self, number: int, after: int = 0) -> AsyncGenerator[Entry, None]:
        """Follow a stream by its number, until it is deleted."""
        return follow(StreamOfLog(self._log, number), after)

    async def group(
        self, stream: str, name: str, *, after: int | Literal["end"] = 0, most_deliveries: int = 5
    ) -> EmbeddedGroup:
        """The group of that name, made if there is none. See the port for the arguments."""
        check_group(after, most_deliveries)
        await self._settled(stream)
        return await self._groups.open(stream, name, after, most_deliveries)

    async def groups(self, stream: str) -> list[str]:
        """The names of the stream's groups, sorted."""
        return [] if self._find(stream) is None else await self._groups.names(stream)

    async def trim(
        self,
        stream: str,
        *,
        keep: int | None = None,
        before: int | None = None,
        unacknowledged: bool = False,
    ) -> int:
        """Remove entries from the beginning, and give how many. See the port for the arguments."""
        check_trim(keep, before)
        await self._settled(stream)
        number = self._log.find(stream)
        if number is None:
            return 0
        upto = self._log.extent(number).end - (keep or 0) if before is None else before - 1
        first = None if unacknowledged else self._groups.first_unacknowledged(number)
        return await self._remove(number, upto if first is None else min(upto, first - 1))

    async def remove(self, stream: str, offsets: Sequence[int]) -> int:
        """Remove these entries wherever they are; gives how many there were."""
        check_removal(offsets)
        await self._settled(stream)
        await self._journal.settled()
        number = self._log.find(stream)
        there = [] if number is None else list(await self._log.entries(number, offsets))
        if number is not None and there:
            commit = self._log.remove(number, there)
            self._journal.flush()
            await self._journal.durable(commit)
        return len(there)

    async def expire(self, stream: str, after_s: float | None) -> None:
        """Forget the stream once nobody has appended to it for so long; None: never."""
        check_expiry(after_s)
        check_utf8(stream)
        await self._settled(stream)
        number = self._log.ensure(stream)
        commit = self._log.expiries.set(stream, number, after_s, self._clock.time())
        self._sweep.plan()
        self._journal.flush()
        await self._journal.durable(commit)

    async def delete(self, stream: str) -> None:
        """Forget a stream, its entries and groups; nothing happens when there is none."""
        self._forget(stream)
        await self._log.settled(stream)

    def stage_delete(self, number: int) -> Group:
        """Stage the end of a stream, its entries and its groups."""
        self._groups.deleted(number)
        return self._log.stage_delete(number)

    def _forget(self, stream: str) -> None:
        """Begin to delete a stream, if it is there.

        Raises:
            JournalError: nothing can be written now.
        """
        number = self._log.find(stream)
        if number is not None:
            self._journal.check_writable()
            self._groups.deleted(number)
            self._log.delete(stream, number)

    def _find(self, stream: str) -> int | None:
        """The number of a stream whose time is not over."""
        over = self._log.expiries.is_over(stream, self._clock.time())
        return None if over else self._log.find(stream)

    async def _settled(self, stream: str) -> None:
        """Until the stream can be written: it is not being deleted, and its time is not over.

        Raises:
            JournalError: nothing can be written now.
        """
        self._journal.check_writable()
        if self._log.expiries.is_over(stream, self._clock.time()):
            self._forget(stream)
        await self._log.settled(stream)

    async def _remove(self, number: int, upto: int) -> int:
        removed = 0
        extent = self._log.extent(number)
        while extent.trimmed < min(upto, extent.end):
            cut = min(upto, extent.end, extent.trimmed + TRIMMED_AT_ONCE)
            removed += cut - extent.trimmed
            extent.trimmed = cut
            commit = self._log.trim(number, cut)
            self._groups.trimmed(number, cut)
            self._journal.flush()
            await self._journal.durable(commit)
        return removed
